"""Sessions through the server's own socket: what a page asks, what it is told, and what stays of it."""

import asyncio
import contextlib
import http.client
import importlib
import io
import json
import re
import time
from pathlib import Path

import numpy as np
import pytest
import websockets
from PIL import Image
from typer.testing import CliRunner

from neocog import load, runs, save
from neocog.cli.common import app
from neocog.layers import Conv2D, Dense, GlobalAvgPool2D, Graph, ReLU, Residual, Sequential, Tanh
from neocog.settings import settings_for
from neocog.studio import hosting
from neocog.studio import session as session_module
from neocog.studio.protocol import KINDS, LIMITS, VERSION
from neocog.studio.uploads import Pictures
from neocog.studio.work import Work, model_work, run_work, source_work

from .serving import Client, Refused, cookie_of, fetch, serving, talk


@pytest.fixture
def studio(tmp_path):
    with serving(tmp_path / "runs") as served:
        yield served


def picture(colour=(200, 30, 30), size=(20, 16), form="PNG"):
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, form)
    return out.getvalue()


def upload(studio, session, content, name="photo.png"):
    return fetch(studio.base, f"/upload?session={session}&name={name}", cookie_of(studio.base), content)


def test_a_page_is_told_what_there_is(studio):
    async def conversation(client):
        page = await client()
        hello = page.hello
        assert hello["version"] == VERSION
        assert hello["session"] == page.state["session"]
        assert hello["data"]["class_names"] == ["vertical", "horizontal", "diagonal"]
        assert hello["data"]["tone"] == "ink"
        assert hello["description"]["nodes"][0]["name"] == "conv1"
        assert page.samples.shape == (len(hello["samples"]), 1, 8, 8)
        labels = [sample["label"] for sample in hello["samples"]]
        assert set(labels) == {0, 1, 2}
        assert {source["id"] for source in hello["sources"]} == {"lines", "digits"}
        assert {"id": "relu", "name": "ReLU, and units that die"} in hello["lessons"]
        await page.until(lambda: page.rows)
        state = page.state
        assert (state["epoch"], state["batch"], state["playing"], state["problem"]) == (0, 0, False, "")
        assert state["settings"]["lr"] == 0.12
        await page.tell("want")
        await page.until(lambda: page.frames)
        assert page.frames[0][1].keys() == {"conv1.weight", "conv1.bias", "dense.weight", "dense.bias"}

    talk(studio, conversation)


def test_play_pause_step_rewind_and_branch(studio, tmp_path):
    expected = runs.train(settings_for("lines", epochs=3, kernels="im2col"), tmp_path / "r", io.StringIO())

    async def conversation(client):
        page = await client()
        await page.ask("play", until=3)
        await page.idle(3)
        assert len(page.rows) == 4
        assert page.rows[3]["val_accuracy"] == expected.history.last["val_accuracy"]
        weights = await page.weights()
        np.testing.assert_array_equal(
            weights["dense.weight"], expected.network.params["dense.weight"].astype("f4")
        )
        await page.ask("step", unit="batch", count=2)
        await page.until(lambda: page.state["batch"] == 2 and not page.state["playing"])
        answer, _ = await page.ask("restart", epoch=1)
        assert answer["exact"]
        await page.idle(1)
        await page.until(lambda: len(page.rows) == 2)
        assert page.state["epochs"] == [0, 1]
        with pytest.raises(Refused, match="epoch must be one that is stored, 0, 1, got 3"):
            await page.ask("restart", epoch=3)
        await page.tell("want", epoch=1)
        await page.until(lambda: 1 in page.snapshots)
        assert page.snapshots[1][0]["exact"]
        answer, _ = await page.ask("branch", epoch=1, settings={"lr": 0.5}, name="faster")
        await page.idle(1)
        await page.until(lambda: page.state["branches"])
        assert page.state["branches"][0]["name"] == "faster"
        assert page.state["settings"]["lr"] == 0.5
        await page.ask("step", unit="epoch")
        await page.idle(2)
        await page.until(lambda: len(page.rows) == 3)
        assert page.rows[2]["lr"] == 0.5
        assert page.state["epochs"] == [0, 1, 2]

    talk(studio, conversation)


def test_a_branch_with_another_momentum_begins_at_its_epoch(studio):
    async def conversation(client):
        page = await client()
        await page.ask("play", until=3)
        await page.idle(3)
        await page.ask("branch", epoch=1, settings={"momentum": 0.5}, name="heavier")
        await page.until(lambda: page.state["branches"] and page.state["epoch"] == 1)
        assert [row["epoch"] for row in page.state["branches"][0]["rows"]] == [0, 1, 2, 3]
        await page.ask("step", unit="epoch")
        await page.idle(2)
        await page.until(lambda: len(page.rows) == 3)
        assert studio.sessions[page.state["session"]].live.optimizer.momentum == 0.5

    talk(studio, conversation)


def test_an_epoch_that_was_just_left_is_not_promised(studio):
    async def conversation(client):
        page = await client()
        await page.ask("play", until=3)
        await page.idle(3)
        back, too_late = await asyncio.gather(
            page.ask("restart", epoch=1), page.ask("restart", epoch=3), return_exceptions=True
        )
        assert back[0]["epoch"] == 1
        assert re.search("epoch 3 was left|epoch must be one that is stored", str(too_late))
        await page.idle(1)

    talk(studio, conversation)


def test_settings_edits_and_swaps(studio):
    async def conversation(client):
        page = await client()
        answer, _ = await page.ask("set", settings={"lr": 0.3, "batch_size": 30})
        assert not answer["anew"]
        await page.ask("step", unit="epoch")
        await page.idle(1)
        assert page.rows[1]["lr"] == 0.3
        assert page.state["batches"] == 6
        before = await page.weights()
        kernel = [float(k) for k in range(9)]
        answer, _ = await page.ask("edit", array="conv1.weight", index=[1, 0], values=kernel)
        assert answer["undo"] == 1
        painted = await page.weights()
        np.testing.assert_array_equal(painted["conv1.weight"][1, 0].ravel(), kernel)
        await page.ask("edit", undo=True)
        for name, array in (await page.weights()).items():
            np.testing.assert_array_equal(array, before[name])
        await page.ask("swap", node="relu1", to="none")
        await page.until(lambda: page.hello["description"]["nodes"][1]["kind"] == "LeakyReLU")
        await page.until(lambda: page.state["swapped"] == {"relu1": "none"})
        assert page.state["epoch"] == 1  # and training goes on from there
        await page.ask("swap", node="pool1", to="AvgPool2D")
        await page.ask("swap", node="relu1", to="ReLU")
        await page.until(lambda: page.hello["description"]["nodes"][2]["kind"] == "AvgPool2D")
        await page.ask("step", unit="epoch")
        await page.idle(2)

    talk(studio, conversation)


def test_a_graph_of_ones_own_trains_and_a_layer_deep_in_it_is_swapped(tmp_path):
    body = Sequential(conv=Conv2D(4, 4, 3, padding=1), relu=ReLU())
    nodes = {
        "stem": (Conv2D(1, 4, 3, padding=1), "input"),
        "block": (Residual(body), "stem"),
        "pool": (GlobalAvgPool2D(), "block"),
        "dense": (Dense(4, 3), "pool"),
    }
    path = tmp_path / "mine.neocog"
    network = Graph(nodes)
    network.input_shape = (1, 8, 8)
    save(network, path)

    async def conversation(client):
        page = await client()
        names = [node["name"] for node in page.hello["description"]["nodes"]]
        assert "block.body.relu" in names
        await page.ask("step", unit="epoch")
        await page.idle(1)
        answer, _ = await page.ask("swap", node="block.body.relu", to="Tanh")
        await page.until(lambda: page.state["swapped"] == {"block.body.relu": "Tanh"})
        await page.ask("step", unit="epoch")
        await page.idle(2)
        answer, _ = await page.ask("save", what="run")
        kept = load(Path(answer["path"]) / "model.neocog")
        assert isinstance(kept["block.body.relu"], Tanh)
        assert not np.array_equal(kept.params["dense.weight"], network.params["dense.weight"])
        again = run_work(Path(answer["path"]), "again").make_network()
        np.testing.assert_array_equal(again.params["dense.weight"], kept.params["dense.weight"])

    lines = source_work("lines", "line patterns", "lines", "im2col")
    with serving(tmp_path / "runs", begin_with=lambda: model_work(path, lines)) as studio:
        talk(studio, conversation)


def test_another_network_zeros_at_the_start_and_shuffled_labels_begin_anew(studio):
    async def conversation(client):
        page = await client()
        await page.ask("step", unit="epoch")
        await page.idle(1)
        blocks = [{"kind": "Flatten"}, {"kind": "Dense", "features": 5}, {"kind": "ReLU"}, {"kind": "Dense"}]
        answer, _ = await page.ask("set", blocks=blocks)
        assert answer["anew"]
        await page.until(lambda: len(page.hello["description"]["nodes"]) == 4)
        await page.idle(0)
        assert page.state["blocks"] == blocks
        await page.ask("step", unit="epoch")
        await page.idle(1)
        await page.ask("set", settings={"start": "zeros"})
        await page.idle(0)
        await page.tell("want")
        await page.until(lambda: page.frames)
        assert not any(array.any() for array in page.frames[-1][1].values())
        await page.ask(
            "set", network="tiny-cnn", settings={"start": "usual", "labels": "shuffled", "lr": 0.5}
        )
        await page.idle(0)
        await page.ask("play", until=5)
        await page.idle(5)
        assert page.rows[-1]["train_accuracy"] < 0.8  # there is nothing to be learned

    talk(studio, conversation)


def test_an_image_is_shown_and_asked_about(studio):
    async def conversation(client):
        page = await client()
        answer, arrays = await page.ask("image", sample=5)
        np.testing.assert_array_equal(arrays["image"], page.samples[5])
        assert answer["label"] == page.hello["samples"][5]["label"]
        assert sum(answer["probabilities"]) == pytest.approx(1)
        drawn = np.eye(8, dtype="float32")[None]
        answer, arrays = await page.ask("image", {"image": drawn})
        assert answer["label"] is None
        found, _ = await page.ask("ask", about="value", at="input", index=[0, 3, 3])
        assert found["value"] == 1
        _, maps = await page.ask("measure", what="maps")
        assert maps["conv1"].shape == (3, 6, 6)

    talk(studio, conversation)


BAD = [
    ({"kind": "run"}, "kind must be one of 'open'"),
    ({"kind": None}, "kind must be one of"),
    ({"kind": "play", "fast": 1}, "a field of play must be one of 'until'"),
    ({"kind": "play", "until": -1}, "until must be at least 0, got -1"),
    ({"kind": "step"}, "step needs unit"),
    ({"kind": "step", "unit": "year"}, "unit must be one of 'batch', 'epoch', got 'year'"),
    ({"kind": "step", "unit": "batch", "count": 10**9}, "count must be at most 10000"),
    ({"kind": "step", "unit": "batch", "count": True}, "count must be an integer, got True"),
    ({"kind": "speed", "batches": 0}, "batches must be in"),
    ({"kind": "speed", "batches": "fast"}, "batches must be a number, got 'fast'"),
    ({"kind": "set", "settings": {"lr": "0.1"}}, "lr must be a number, got '0.1'"),
    ({"kind": "set", "settings": {"lr": -1}}, r"lr must be in \[0, 1000\], got -1"),
    ({"kind": "set", "settings": {"lr": float("nan")}}, "lr must be in"),
    ({"kind": "set", "settings": {"lr": 1e999}}, "lr must be in"),
    ({"kind": "set", "settings": {"batch_size": 2.5}}, "batch_size must be an integer, got 2.5"),
    ({"kind": "set", "settings": {"rate": 1}}, "settings must be one of 'lr'"),
    ({"kind": "set", "settings": [1]}, r"settings must be an object, got \[1\]"),
    ({"kind": "set", "settings": {"optimizer": "magic"}}, "optimizer must be one of 'sgd'"),
    ({"kind": "set", "network": "vgg16"}, "network must be one of 'digits-cnn'"),
    ({"kind": "set", "network": "lenet5"}, "is larger than the"),
    ({"kind": "set", "blocks": [{"kind": "Dense"}]}, "block dense: Dense needs a row of numbers"),
    ({"kind": "set", "blocks": "Dense"}, "blocks must be a list of objects"),
    ({"kind": "edit"}, "edit needs array, index and values, or undo"),
    ({"kind": "edit", "undo": True}, "there is no edit to undo"),
    (
        {"kind": "edit", "array": "conv9.weight", "index": [], "values": [1]},
        "array must be one of 'conv1.weight'",
    ),
    ({"kind": "edit", "array": "conv1.bias", "index": [3], "values": [1]}, "index must fit conv1.bias"),
    ({"kind": "edit", "array": "conv1.bias", "index": [-1], "values": [1]}, "index must be at least 0"),
    (
        {"kind": "edit", "array": "conv1.weight", "index": [0, 0], "values": [1]},
        "values must be the 9 numbers",
    ),
    ({"kind": "edit", "array": "conv1.bias", "index": [0], "values": [float("inf")]}, "values must be in"),
    (
        {"kind": "swap", "node": "dense", "to": "ReLU"},
        "only an activation or a pooling can be swapped, got Dense",
    ),
    ({"kind": "swap", "node": "relu9", "to": "none"}, "node must be one of 'conv1'"),
    ({"kind": "swap", "node": "relu1", "to": "MaxPool2D"}, "in the place of ReLU there may be ReLU"),
    ({"kind": "swap", "node": "pool1", "to": "none"}, "in the place of MaxPool2D there may be"),
    ({"kind": "restart", "epoch": 7}, "epoch must be one that is stored, 0, got 7"),
    ({"kind": "branch", "epoch": 0, "settings": {"seed": 1}}, "a branch keeps seed"),
    ({"kind": "image"}, "image needs an array image, a sample, or an upload"),
    ({"kind": "image", "sample": 1000}, "sample must be below"),
    ({"kind": "image", "upload": "../../etc/passwd"}, "upload must be one of the 0 pictures"),
    ({"kind": "data"}, "data needs a source, classes, or relabel"),
    ({"kind": "data", "source": "/etc"}, "data must be one of 'lines', 'digits', got '/etc'"),
    ({"kind": "data", "source": "folder:/etc"}, "data must be one of"),
    ({"kind": "data", "classes": [{"name": "a", "images": ["x"]}]}, "upload must be one of the 0 pictures"),
    ({"kind": "data", "classes": [{"name": "a", "images": "x"}]}, "each class needs images"),
    ({"kind": "data", "classes": [{"name": "a", "images": [[]]}]}, r"upload must be one of .* got \[\]"),
    (
        {"kind": "data", "relabel": [{"part": "train", "index": 10**6, "label": 0}]},
        "index must be a whole number",
    ),
    (
        {"kind": "data", "relabel": [{"part": "train", "index": 0, "label": 3}]},
        "label must be a whole number",
    ),
    ({"kind": "data", "relabel": [{"part": "all"}]}, "part must be one of"),
    ({"kind": "ask", "about": "life"}, "about must be one of 'value'"),
    ({"kind": "ask", "about": "lesson", "lesson": "/etc/passwd"}, "lesson must be one of 'convolution'"),
    ({"kind": "measure", "what": "speed"}, "what must be one of 'accuracy'"),
    ({"kind": "measure", "what": "landscape", "steps": 4}, "steps must be odd"),
    ({"kind": "save", "what": "run"}, "nothing has been trained yet"),
]


def test_whatever_is_wrong_is_a_sentence_and_the_session_goes_on(studio):
    async def conversation(client):
        page = await client()
        await page.idle(0)
        for message, text in BAD:
            with pytest.raises(Refused) as refused:
                await page.ask(**message)
            assert re.search(text, str(refused.value)), (message, str(refused.value))
            assert "Traceback" not in str(refused.value)
            assert "bug" not in str(refused.value)
        for raw in ("", "{", "[]", "7", "null", '"play"', "[" * 5000, b"", b"\x01", b"\xff" * 40):
            await page.socket.send(raw)
        await page.until(lambda: len(page.notices) == 10)
        assert all(notice["to"] is None and "bug" not in notice["text"] for notice in page.notices)
        await page.ask("step", unit="epoch")
        await page.idle(1)

    talk(studio, conversation)


@pytest.mark.parametrize(
    ("images", "counts", "text"),
    [
        ((6, 1, 8, 8), [("a", 3), ("a", 3)], "different names"),
        ((6, 1, 8, 8), [("a", 3), ("b", 2)], "classes must count 6 drawings together, got 5"),
        ((6, 1, 8, 8), [("a", 6), ("b", 0)], "'b' needs at least one drawing"),
        ((6, 1, 8, 8), [("a", 6)], "2 to 100 classes, got 1"),
        ((6, 1, 8, 8), [("a", 3), ("", 3)], "a name of 1 to 60 characters"),
        ((6, 1, 8, 8), [("a", 3), (7, 3)], "a name of 1 to 60 characters"),
        ((6, 1, 8, 8), [("a", 3), ("b", 3.5)], "a count of its drawings"),
        ((6, 1, 200, 8), [("a", 3), ("b", 3)], "at most 128 pixels a side"),
        ((6, 2, 8, 8), [("a", 3), ("b", 3)], "finite numbers"),
        ((6, 8, 8), [("a", 3), ("b", 3)], "finite numbers"),
    ],
)
def test_drawings_that_do_not_fit_are_refused(studio, images, counts, text):
    async def conversation(client):
        page = await client()
        classes = [{"name": name, "count": count} for name, count in counts]
        with pytest.raises(Refused, match=text):
            await page.ask("data", {"images": np.zeros(images, "f4")}, classes=classes)
        with pytest.raises(Refused, match="shape"):
            await page.ask("image", {"image": np.zeros((1, 9, 9), "f4")})
        with pytest.raises(Refused, match="finite"):
            await page.ask("image", {"image": np.full((1, 8, 8), np.nan, "f4")})

    talk(studio, conversation)


def test_own_drawings_are_learned_saved_and_opened_again(studio, tmp_path):
    rng = np.random.default_rng(0)
    bars = np.zeros((10, 1, 8, 8), "f4")
    bars[:5, :, :, 2:4], bars[5:, :, 2:4] = 1, 1
    bars += rng.random(bars.shape, "f4") * 0.1
    kept = {}

    async def draw(client):
        page = await client()
        classes = [{"name": "up", "count": 5}, {"name": "flat/../x", "count": 5}]
        answer, _ = await page.ask("data", {"images": bars}, classes=classes)
        assert answer["images"] == 8
        await page.until(lambda: page.hello["data"]["own"])
        assert page.hello["data"]["class_names"] == ["up", "flat/../x"]
        await page.ask("play", until=10)
        await page.idle(10)
        assert page.rows[-1]["train_accuracy"] == 1
        answer, _ = await page.ask("save", what="run")
        kept["path"], kept["session"] = Path(answer["path"]), page.state["session"]

    talk(studio, draw)
    assert kept["path"] == tmp_path / "runs" / kept["session"]
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == [kept["session"]]
    found = runs.RunDirectory(kept["path"])
    train, held = found.open_data()
    np.testing.assert_allclose(
        np.concatenate([train[0], held[0]]).sum(), np.clip(bars, 0, 1).sum(), rtol=1e-6
    )
    assert found.result().held_out.matrix.sum() == 2
    result = CliRunner().invoke(app, ["evaluate", str(kept["path"])])
    assert result.exit_code == 0, result.output
    with serving(tmp_path / "runs") as again:

        async def reopen(client):
            page = await client(session=kept["session"])
            assert page.state["session"] == kept["session"]
            await page.until(lambda: len(page.rows) == 11)
            assert page.state["epoch"] == 10
            await page.ask("step", unit="epoch")
            await page.idle(11)

        talk(again, reopen)


def test_pictures_are_uploaded_named_and_never_used_as_paths(studio):
    async def conversation(client):
        page = await client()
        session = page.state["session"]
        ids = []
        for colour in ((200, 30, 30), (180, 40, 20), (30, 30, 200), (20, 40, 180)):
            status, _, body = await asyncio.to_thread(
                upload, studio, session, picture(colour), "..%2F..%2Fx.png"
            )
            assert status == 200, body
            ids.append(json.loads(body)["image"])
        for content, text in (
            (b"no picture", b"is not an image"),
            (b"", b"is empty"),
            (picture()[:60], b"cannot be read|is not an image"),
        ):
            status, _, body = await asyncio.to_thread(upload, studio, session, content, "bad.png")
            assert status == 400
            assert re.search(text, body), body
            assert b"bad.png" in body
            assert b"/tmp" not in body
        status, _, body = await asyncio.to_thread(upload, studio, "no-session", picture())
        assert status == 404
        answer, arrays = await page.ask("image", upload=ids[0])  # read as the lines are: grey, 8 x 8
        assert arrays["image"].shape == (1, 8, 8)
        classes = [{"name": "red", "images": ids[:2]}, {"name": "blue", "images": ids[2:]}]
        await page.ask("data", classes=classes)
        await page.until(lambda: page.hello["data"]["class_names"] == ["red", "blue"])
        assert page.hello["data"]["image_shape"][0] == 3
        assert page.hello["data"]["tone"] == "white"
        await page.ask("step", unit="epoch")
        await page.idle(1)
        with pytest.raises(Refused, match="'blue' needs at least one picture"):
            await page.ask("data", classes=[classes[0], {"name": "blue", "images": []}])
        folder = studio.sessions[session].pictures.folder
        assert sorted(path.name for path in folder.iterdir()) == [f"picture-{k}.png" for k in range(1, 5)]
        answer, _ = await page.ask("save", what="run")
        network = load(Path(answer["path"]) / "model.neocog")
        assert network.class_names == ("red", "blue")
        kept["session"] = session

    kept = {}
    talk(studio, conversation)
    with serving(studio.runs_folder) as again:

        async def reopen(client):
            page = await client(session=kept["session"])
            await page.ask("step", unit="epoch")
            await page.idle(2)
            assert page.hello["data"]["class_names"] == ["red", "blue"]
            assert page.hello["data"]["tone"] == "white"

        talk(again, reopen)


def test_a_body_that_is_too_large_is_413_before_it_is_sent(studio):
    connection = http.client.HTTPConnection(studio.base.removeprefix("http://"), timeout=60)
    connection.putrequest("POST", "/upload?session=any")
    headers = {"Origin": studio.base, "Cookie": cookie_of(studio.base)}
    for name, value in (headers | {"Content-Length": str(LIMITS["upload_bytes"] + 1)}).items():
        connection.putheader(name, value)
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()


def test_an_image_with_too_many_pixels_is_refused(studio, monkeypatch):
    monkeypatch.setenv("NEOCOG_BUDGET_PIXELS", "100")

    async def conversation(client):
        page = await client()
        status, _, body = await asyncio.to_thread(upload, studio, page.state["session"], picture())
        assert status == 400
        assert b"more than the 100 pixels allowed" in body

    talk(studio, conversation)


def test_labels_are_corrected_and_training_goes_on(studio):
    async def conversation(client):
        page = await client()
        await page.ask("step", unit="epoch")
        await page.idle(1)
        sample = page.hello["samples"][0]
        assert sample["label"] == 0
        index = int(sample["name"].removeprefix("image "))
        await page.ask("data", relabel=[{"part": "held_out", "index": index, "label": 2}])
        await page.until(lambda: page.hello["data"]["own"])
        held = studio.sessions[page.state["session"]].live.data.validation
        assert held[1][index] == 2
        assert page.state["epoch"] == 1
        await page.ask("step", unit="epoch")
        await page.idle(2)
        await page.ask("save", what="run")
        kept["session"], kept["index"] = page.state["session"], index

    kept = {}
    talk(studio, conversation)
    with serving(studio.runs_folder) as again:  # where the images and the labels are the run's own

        async def reopen(client):
            page = await client(session=kept["session"])
            await page.idle(2)
            live = again.sessions[kept["session"]].live
            assert live.data.validation[1][kept["index"]] == 2
            assert live.problem == ""
            await page.ask("step", unit="epoch")
            await page.idle(3)

        talk(again, reopen)


def test_a_few_images_of_each_class(studio):
    kept = {}

    async def conversation(client):
        page = await client()
        with pytest.raises(Refused, match=r"images_per_class must be in 1\.\.\d+, got 9999"):
            await page.ask("data", source="digits", images_per_class=9999)
        answer, _ = await page.ask("data", source="digits", images_per_class=3)
        assert answer["images"] == 30
        await page.until(lambda: page.hello["data"]["name"] == "digits, 3 of each class")
        live = studio.sessions[page.state["session"]].live
        assert np.bincount(live.data.train[1]).tolist() == [3] * 10
        kept["session"], kept["images"] = page.state["session"], np.array(live.data.train[0])
        await page.ask("step", unit="epoch")
        await page.idle(1)
        await page.ask("save", what="run")

    talk(studio, conversation)
    with serving(studio.runs_folder) as again:

        async def reopen(client):
            page = await client(session=kept["session"])
            await page.idle(1)
            np.testing.assert_array_equal(again.sessions[kept["session"]].live.data.train[0], kept["images"])

        talk(again, reopen)


def test_twenty_pages_train_at_once_without_a_mix_up(studio):
    """Each has a rate of its own, and ends with the weights of a run of that rate."""
    rates = [0.02 + 0.01 * k for k in range(20)]

    async def conversation(client):
        pages = await asyncio.gather(*(client() for _ in rates))
        assert len({page.state["session"] for page in pages}) == 20
        for page, rate in zip(pages, rates, strict=True):
            await page.ask("set", settings={"lr": rate})
        await asyncio.gather(*(page.ask("play", until=4) for page in pages))
        await asyncio.gather(*(page.idle(4) for page in pages))
        for page, rate in zip(pages, rates, strict=True):
            assert page.state["settings"]["lr"] == rate
            assert [row["lr"] for row in page.rows[1:]] == [rate] * 4
            found[rate] = (await page.weights())["dense.weight"]

    found = {}
    talk(studio, conversation)
    for rate in (rates[0], rates[7], rates[19]):
        settings = settings_for("lines", epochs=4, lr=rate, kernels="im2col")
        split = runs.training_split(settings, runs.open_images(settings))
        network = runs.network_for(settings, split)
        runs.fit_as(settings, split, network, runs.draw_sample(settings, len(split.train[1]))[1])
        np.testing.assert_array_equal(found[rate], network.params["dense.weight"].astype("f4"))


def test_more_sessions_than_allowed_are_refused(studio, monkeypatch):
    monkeypatch.setitem(LIMITS, "sessions", 1)

    async def conversation(client):
        await client()
        with pytest.raises(Refused, match="at most 1 sessions"):
            await client()

    talk(studio, conversation)


def test_more_sessions_than_allowed_are_refused_when_all_come_at_once(studio, monkeypatch):
    monkeypatch.setitem(LIMITS, "sessions", 2)

    async def conversation(client):
        found = await asyncio.gather(*(client() for _ in range(4)), return_exceptions=True)
        assert sum(isinstance(each, Refused) for each in found) == 2
        assert len(studio.sessions) == 2

    talk(studio, conversation)


def test_a_picture_that_comes_when_its_session_has_ended_leaves_no_file():
    pictures = Pictures()
    pictures.remove()
    with pytest.raises(ValueError, match="session of the picture has ended"):
        pictures.add("late.png", picture())
    assert pictures.folder is None


def test_a_folder_of_photos_is_trained_on_and_its_mistakes_have_their_names(tmp_path):
    for name, colour in (("red", (220, 40, 40)), ("blue", (40, 40, 220))):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for k in range(10):
            (tmp_path / "photos" / name / f"{k}.png").write_bytes(picture(colour, (20 + k, 16)))
    sources = {"given": ("photos", f"folder:{tmp_path / 'photos'}")}
    with serving(tmp_path / "runs", sources=sources) as studio:

        async def conversation(client):
            page = await client(data="given")
            assert page.hello["data"]["class_names"] == ["blue", "red"]
            assert page.samples.shape == (4, *page.hello["data"]["image_shape"])
            assert page.hello["samples"][0]["name"].startswith("blue/")
            await page.ask("set", settings={"start": "zeros", "labels": "shuffled"})
            await page.ask("step", unit="epoch")
            await page.idle(1)
            found, _ = await page.ask("measure", what="mistakes", part="train")
            for mistake in found["mistakes"]:
                assert re.fullmatch(r"(red|blue)/\d\.png", mistake["name"])
            await page.ask("image", sample=0)
            answer, _ = await page.ask("save", what="page")
            assert Path(answer["path"]).stat().st_size > 10_000
            assert not page.hello["data"]["own"]

        talk(studio, conversation)


def test_a_closed_tab_pauses_and_comes_back_to_the_same_state(studio):
    async def conversation(client):
        page = await client()
        session = page.state["session"]
        await page.ask("speed", batches=100)
        await page.ask("play")
        await page.until(lambda: page.frames or page.state["playing"])
        await page.close()
        live = studio.sessions[session].live
        began = time.monotonic()
        while live.playing:
            await asyncio.sleep(0.005)
            assert time.monotonic() - began < 60
        place = live.tick
        await asyncio.sleep(0.1)
        assert live.tick - place <= 1  # the batch that was under way
        again = await client(session=session)
        assert again.state["session"] == session
        assert not again.state["playing"]
        assert again.state["speed"] == 100
        assert studio.sessions[session].live is live

    talk(studio, conversation)


def test_a_lost_page_is_noticed_by_its_silence(tmp_path, monkeypatch):
    monkeypatch.setattr(hosting, "PING_SECONDS", 0.2)
    with serving(tmp_path / "runs") as studio:

        async def conversation(client):
            page = await client()
            await page.ask("speed", batches=50)
            await page.ask("play")
            live = studio.sessions[page.state["session"]].live
            await asyncio.sleep(1)  # a page that answers pings is not lost
            assert live.playing
            page.socket.transport.pause_reading()  # as of a page whose machine is busy
            await asyncio.sleep(0.6)
            page.socket.transport.resume_reading()
            await page.ask("speed", batches=20)
            assert live.playing
            page.socket.transport.pause_reading()  # neither pongs nor a farewell
            while live.playing:
                await asyncio.sleep(0.01)
            page.socket.transport.abort()

        talk(studio, conversation)


def test_another_page_takes_a_session_over(studio):
    async def conversation(client):
        first = await client()
        second = await client(session=first.state["session"])
        await first.reading
        assert first.socket.close_code == 4001
        await second.ask("step", unit="epoch")
        await second.idle(1)
        assert len(studio.sessions) == 1

    talk(studio, conversation)


def test_a_session_that_is_left_is_saved_freed_and_opened_again(tmp_path):
    with serving(tmp_path / "runs", keep_seconds=0.1) as studio:
        kept = {}

        async def conversation(client):
            page = await client()
            kept["session"] = session = page.state["session"]
            await page.ask("set", settings={"lr": 0.25})
            await page.ask("edit", array="conv1.bias", index=[0], values=[0.5])
            await page.ask("play", until=2)
            await page.idle(2)
            await page.ask("step", unit="batch", count=3)
            await page.until(lambda: page.state["batch"] == 3 and not page.state["playing"])
            weights = await page.weights()
            await page.close()
            while session in studio.sessions:
                await asyncio.sleep(0.01)
            path = tmp_path / "runs" / session
            assert "edited: conv1.bias[0]" in (path / "log.txt").read_text()
            again = await client(session=session)
            assert again.state["saved"] == str(path)
            await again.until(lambda: again.state["batch"] == 3)  # in the middle of an epoch
            assert again.state["settings"]["lr"] == 0.25
            for name, array in (await again.weights()).items():
                np.testing.assert_array_equal(array, weights[name])
            await again.ask("play", until=3)
            await again.idle(3)
            kept["weights"] = await again.weights()

        talk(studio, conversation)
        other = {}

        async def never_left(client):
            page = await client()
            await page.ask("set", settings={"lr": 0.25})
            await page.ask("edit", array="conv1.bias", index=[0], values=[0.5])
            await page.ask("play", until=3)
            await page.idle(3)
            other["weights"] = await page.weights()

        talk(studio, never_left)
        for name, array in other["weights"].items():
            np.testing.assert_array_equal(array, kept["weights"][name])


def test_another_network_of_as_many_steps_is_saved_too(studio):
    async def conversation(client):
        page = await client()
        await page.ask("play", until=1)
        await page.idle(1)
        first, _ = await page.ask("save", what="run")
        await page.ask("set", network="tiny-mlp")
        await page.until(lambda: page.state["saved"] == "")
        with pytest.raises(Refused, match="nothing has been trained yet"):
            await page.ask("save", what="page")
        await page.ask("play", until=1)
        await page.idle(1)
        second, _ = await page.ask("save", what="run")
        assert second["path"] == first["path"]
        assert runs.RunDirectory(Path(second["path"])).settings().network == "tiny-mlp"

    talk(studio, conversation)


def test_a_session_that_could_not_be_saved_is_saved_later_with_all_that_was_noted(tmp_path, monkeypatch):
    failing, really = [True], session_module.save_run

    def full(*arguments):
        if failing:
            raise OSError("no space left")
        return really(*arguments)

    monkeypatch.setattr(session_module, "save_run", full)
    with serving(tmp_path / "runs", keep_seconds=0.05) as studio:

        async def conversation(client):
            page = await client()
            await page.ask("edit", array="conv1.bias", index=[0], values=[0.5])
            with pytest.raises(Refused, match="no space left"):
                await page.ask("save", what="run")
            await page.close()
            await asyncio.sleep(0.2)
            assert studio.sessions
            failing.clear()
            while studio.sessions:
                await asyncio.sleep(0.01)
            log = tmp_path / "runs" / page.state["session"] / "log.txt"
            assert log.read_text().count("edited: conv1.bias[0]") == 1

        talk(studio, conversation)


def test_one_session_that_cannot_be_saved_at_the_end_does_not_cost_the_others(tmp_path, monkeypatch, capsys):
    really, pages = session_module.save_run, []

    def broken(path, *arguments):
        if path.name == pages[0].state["session"]:
            raise RuntimeError("a bug")
        time.sleep(0.2)  # the other one is still being saved when this one fails
        return really(path, *arguments)

    monkeypatch.setattr(session_module, "save_run", broken)
    with serving(tmp_path / "runs") as studio:

        async def conversation(client):
            for _ in range(2):
                pages.append(await client())
                await pages[-1].ask("step", unit="epoch")
                await pages[-1].idle(1)

        talk(studio, conversation)
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [pages[1].state["session"]]
    assert runs.RunDirectory(tmp_path / "runs" / pages[1].state["session"]).settings().epochs == 1
    assert f"the session {pages[0].state['session']} cannot be saved" in capsys.readouterr().err


def test_a_loss_landscape_ends_with_the_server(studio, monkeypatch):
    """Else Ctrl-C would wait for all of its 1681 points."""
    points = []

    def measured(*_, **__):
        points.append(1)
        studio.ended = "The server was stopped." if len(points) == 3 else ""
        return really(*_, **__)

    module = importlib.import_module("neocog.inspection.loss_landscape")
    really = module.evaluate
    monkeypatch.setattr(module, "evaluate", measured)

    async def conversation(client):
        page = await client()
        with pytest.raises(Refused, match="The server was stopped"):
            await page.ask("measure", what="landscape", steps=41)

    talk(studio, conversation)
    assert len(points) == 3


def test_two_pages_that_open_a_saved_session_at_once_get_it_when_it_is_ready(tmp_path, monkeypatch):
    with serving(tmp_path / "runs", keep_seconds=0.05) as studio:
        kept = []

        async def leave(client):
            page = await client()
            await page.ask("step", unit="epoch")
            await page.idle(1)
            kept.append(page.state["session"])
            await page.close()
            while studio.sessions:
                await asyncio.sleep(0.01)

        talk(studio, leave)
        made = Work.make_network
        monkeypatch.setattr(Work, "make_network", lambda work: time.sleep(0.2) or made(work))

        async def reopen(client):
            async def both():
                page = Client(studio.base, cookie_of(studio.base))
                page.until = lambda _: asyncio.sleep(0)  # ask at once
                await page.connect(session=kept[0])
                with contextlib.suppress(websockets.ConnectionClosed, TimeoutError):  # the other has it
                    await asyncio.wait_for(page.ask("pause"), 5)
                await page.close()

            await asyncio.gather(both(), both())
            page = await client(session=kept[0])
            assert len(studio.sessions) == 1
            await page.ask("step", unit="epoch")
            await page.idle(2)

        talk(studio, reopen)


def test_a_session_whose_checkpoint_is_damaged_goes_on_from_its_weights(studio):
    kept = {}

    async def conversation(client):
        page = await client()
        await page.ask("play", until=2)
        await page.idle(2)
        kept["path"] = Path((await page.ask("save", what="run"))[0]["path"])
        kept["weights"] = await page.weights()

    talk(studio, conversation)
    (kept["path"] / "checkpoint.neocog").write_bytes(b"damaged")
    with serving(studio.runs_folder) as again:

        async def reopen(client):
            page = await client(session=kept["path"].name)
            await page.until(lambda: page.state["ready"])
            assert page.state["problem"] == ""
            assert "goes on from the weights alone" in page.state["hints"][0]
            for name, array in (await page.weights()).items():
                np.testing.assert_array_equal(array, kept["weights"][name])
            await page.ask("step", unit="epoch")
            await page.idle(3)

        talk(again, reopen)


def test_neocog_train_goes_on_with_a_session_bit_by_bit(studio, tmp_path):
    settings = settings_for("lines", epochs=4, kernels="im2col")
    expected = runs.train(settings, tmp_path / "expected", io.StringIO())
    kept = {}

    async def conversation(client):
        page = await client()
        await page.ask("play", until=2)
        await page.idle(2)
        kept["path"] = (await page.ask("save", what="run"))[0]["path"]

    talk(studio, conversation)
    out = io.StringIO()
    assert runs.resume(kept["path"], stream=out).history.last["epoch"] == 2
    assert "is finished: all 2 epochs are trained; for more, resume it with --epochs" in out.getvalue()
    result = runs.resume(kept["path"], 4, io.StringIO())
    for name, array in expected.network.params.items():
        np.testing.assert_array_equal(result.network.params[name], array)


def test_a_session_in_which_nothing_was_done_leaves_nothing(tmp_path):
    with serving(tmp_path / "runs", keep_seconds=0.05) as studio:

        async def conversation(client):
            page = await client()
            await page.idle(0)
            session = page.state["session"]
            await page.close()
            while session in studio.sessions:
                await asyncio.sleep(0.01)

        talk(studio, conversation)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("wish", [{"session": "studio-00000000"}, {"run": "../../etc"}, {"session": ""}])
def test_what_is_not_there_any_more_is_said_and_a_new_session_can_begin(studio, wish):
    async def conversation(client):
        if wish != {"session": ""}:
            with pytest.raises(Refused, match="there is no session or run"):
                await client(**wish)
        page = await client()
        assert page.state["epoch"] == 0

    talk(studio, conversation)


def test_data_network_and_settings_of_a_link(studio):
    async def conversation(client):
        page = await client(data="digits", network="tiny-mlp", settings={"lr": 0.3, "seed": 5})
        assert page.hello["data"]["id"] == "digits"
        assert page.state["network"] == "tiny-mlp"
        assert page.state["settings"]["seed"] == 5
        page = await client(data="digits", settings={"lr": -3, "batch_size": 1e99})
        assert page.state["settings"]["lr"] == 0
        assert page.state["settings"]["batch_size"] == 4096
        with pytest.raises(Refused, match="lr must be a number, got 'fast'"):
            await client(data="digits", settings={"lr": "fast"})
        with pytest.raises(Refused, match="data must be one of"):
            await client(data="nonsense")

    talk(studio, conversation)


def test_a_run_of_neocog_train_is_opened_with_its_past(tmp_path):
    settings = settings_for("lines", epochs=4, kernels="im2col")
    expected = runs.train(settings, tmp_path / "runs" / "mine", io.StringIO())
    with serving(tmp_path / "runs") as studio:

        async def conversation(client):
            page = await client(run="mine")
            await page.until(lambda: len(page.rows) == 5)
            assert page.state["epoch"] == 4
            assert page.state["session"] != "mine"  # the run itself stays as it is
            assert set(page.state["epochs"]) >= {0, 1, 2, 3, 4}
            weights = await page.weights()
            np.testing.assert_array_equal(
                weights["dense.weight"], expected.network.params["dense.weight"].astype("f4")
            )
            await page.tell("want", epoch=1)
            await page.until(lambda: 1 in page.snapshots)
            assert not page.snapshots[1][0]["exact"]
            await page.ask("step", unit="epoch")
            await page.idle(5)
            answer, _ = await page.ask("restart", epoch=2)
            assert not answer["exact"]
            await page.idle(2)

        before = {path.name: path.read_bytes() for path in (tmp_path / "runs" / "mine").iterdir()}
        talk(studio, conversation)
        assert {path.name: path.read_bytes() for path in (tmp_path / "runs" / "mine").iterdir()} == before


def test_a_page_and_a_report_are_written_and_downloaded(studio):
    async def conversation(client):
        page = await client()
        await page.ask("play", until=2)
        await page.idle(2)
        cookie = cookie_of(studio.base)
        for what, mark in (("page", b"<script"), ("report", b"<html")):
            answer, _ = await page.ask("save", what=what)
            status, headers, body = await asyncio.to_thread(fetch, studio.base, answer["url"], cookie)
            assert status == 200
            assert headers["Content-Disposition"].startswith("attachment")
            assert mark in body
        for wrong in ("config.json", "..%2Fconfig.json", "%2Fetc%2Fpasswd"):
            url = f"/files/{page.state['session']}/{wrong}"
            status, _, _ = await asyncio.to_thread(fetch, studio.base, url, cookie)
            assert status == 404

    talk(studio, conversation)


def test_a_slow_page_is_not_flooded(studio):
    """A page that reads nothing for a while gets the newest frame and state, not all that were."""

    async def conversation(client):
        page = await client()
        await page.idle(0)
        session = studio.sessions[page.state["session"]]
        await page.ask("play")
        await page.until(lambda: len(page.rows) > 20)
        assert len(session.outbox._messages) < 5
        assert len(page.frames) == 0  # none was wanted
        await page.tell("want")
        await page.until(lambda: page.frames)
        assert page.frames[-1][0]["epoch"] >= 19
        await page.ask("pause")

    talk(studio, conversation)


def test_every_kind_has_its_checks_and_stands_in_the_table():
    import neocog.studio.protocol as protocol

    for kind in KINDS:
        assert f"``{kind}``" in protocol.__doc__
