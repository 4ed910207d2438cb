"""Weights by name, from a server on loopback that answers as the hub does."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from .torch_twins import BasicBlock, ResNet

pytest.importorskip("huggingface_hub")

REPOSITORY, COMMIT = "timm/resnet18.a1_in1k", "0123456789abcdef0123456789abcdef01234567"
MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.25, 0.3]
CONFIG = {
    "architecture": "resnet18",
    "num_classes": 7,
    "pretrained_cfg": {"input_size": [3, 64, 64], "mean": MEAN, "std": STD, "num_classes": 7},
}


class Hub(BaseHTTPRequestHandler):
    """Answers HEAD and GET of files, and GET of what is known of a model."""

    files: dict[str, bytes] = {}  # noqa: RUF012
    asked: list[str] = []  # noqa: RUF012

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, body):
        self.asked.append(f"{self.command} {self.path}")
        path = self.path.partition("?")[0]
        if path.startswith("/api/models/"):
            known = json.dumps({"id": REPOSITORY, "sha": COMMIT}).encode()
            self.reply(200 if REPOSITORY in path else 404, known, body, {})
            return None
        owner, name, _, revision, file = path.lstrip("/").split("/", 4)
        if f"{owner}/{name}" != REPOSITORY:
            return self.refuse(401, "RepoNotFound")
        if revision not in ("main", COMMIT):
            return self.refuse(404, "RevisionNotFound")
        if file not in self.files:
            return self.refuse(404, "EntryNotFound")
        data = self.files[file]
        headers = {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Repo-Commit": COMMIT}
        return self.reply(200, data, body, headers)

    def refuse(self, status, code):
        self.reply(status, b"{}", False, {"X-Error-Code": code, "X-Error-Message": "no"})

    def reply(self, status, data, body, headers):
        self.send_response(status)
        length = len(data) if body or status == 200 else 0
        for name, value in {**headers, "Content-Length": str(length)}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def twin():
    """A network of PyTorch under torchvision's names, in bfloat16, with statistics other than 0 and 1."""
    torch.manual_seed(0)
    made = ResNet(BasicBlock, (2, 2, 2, 2), 7).eval()
    for name, buffer in made.named_buffers():
        if "running" in name:
            buffer.uniform_(0.5, 1.5)
    return made.to(torch.bfloat16)


@pytest.fixture(scope="module")
def hub(tmp_path_factory, twin):
    """The environment of a client of the server."""
    folder = tmp_path_factory.mktemp("hub")
    save_file(twin.state_dict(), folder / "weights")
    Hub.files = {
        "config.json": json.dumps(CONFIG).encode(),
        "model.safetensors": (folder / "weights").read_bytes(),
    }
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    yield kept | {"HF_ENDPOINT": endpoint, "HF_HOME": str(folder / "cache"), "HF_HUB_DISABLE_TELEMETRY": "1"}
    server.shutdown()
    server.server_close()


PROGRAM = """
import sys
import numpy as np
from neocog.models.pretrained import load_pretrained
path, *names = sys.argv[1:]
for name in names:
    try:
        found = load_pretrained(name)
    except Exception as error:
        print(type(error).__name__, error)
        continue
    print(found.name, found.architecture, found.network.input_shape, found.network["normalize"])
    np.save(path, found.network(np.random.default_rng(0).random((2, 3, 64, 64), dtype="float32")))
"""
NAME = f"hf:{REPOSITORY}"


def load(env, path, *names):
    """Load weights by name in a process of their own; return what it says, a line a name."""
    command = [sys.executable, "-c", PROGRAM, str(path), *names]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_weights_by_name_and_again_without_the_hub(hub, twin, tmp_path):
    unknown = (f"{NAME}@v9", "hf:nobody/nothing", "hf:no such/name")
    said, revision, repository, name = load(hub, tmp_path / "y.npy", NAME, *unknown)
    assert said == f"{NAME}@{COMMIT} resnet18 (3, 64, 64) Normalize((0.5, 0.4, 0.3), (0.2, 0.25, 0.3))"
    assert revision.startswith(f"ValueError there is no repository or revision {NAME}@v9 that you may read;")
    assert repository.startswith("ValueError there is no repository or revision hf:nobody/nothing")
    assert name.startswith("ValueError hf:no such/name must be as hf:timm/resnet18.a1_in1k")
    x = np.random.default_rng(0).random((2, 3, 64, 64), dtype="float32")
    mean, std = (np.float32(each)[:, None, None] for each in (MEAN, STD))
    with torch.no_grad():
        expected = twin.float()(torch.from_numpy((x - mean) / std)).numpy()
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), expected, rtol=1e-3, atol=1e-4)
    assert f"HEAD /{REPOSITORY}/resolve/{COMMIT}/model.safetensors" in Hub.asked
    assert all(path.endswith((".json", ".safetensors")) for path in Hub.asked)
    asked = len(Hub.asked)
    offline = hub | {"HF_HUB_OFFLINE": "1"}
    again = load(offline, tmp_path / "again.npy", NAME, f"{NAME}@{COMMIT}", "hf:nobody/nothing")
    assert again[:2] == [said, said]
    assert again[2].startswith("ConnectionError hf:nobody/nothing: config.json is not in the cache, and")
    np.testing.assert_array_equal(np.load(tmp_path / "again.npy"), np.load(tmp_path / "y.npy"))
    assert len(Hub.asked) == asked
