"""Send signals to training runs and sweeps at random moments: resumed, they end as if nothing had happened.

A failure names its case, as ``digits/INT/3``; it runs again, alone, with

    NEOCOG_KILL=digits/INT/3 python -m pytest tests/robustness -k killed_again

The moments are drawn from the case's name, but what a process does at a moment depends on the machine: a
failure may need several tries.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

import neocog
from neocog import sweeps
from neocog.training import History, load_snapshots

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

# Until it says so, Python itself starts, and answers Ctrl-C with a traceback.
START = "import runpy, neocog; print('started', flush=True); runpy.run_module('neocog', run_name='__main__')"

CASES = {
    "lines": "train lines --epochs 20 --no-report",
    "digits": "train digits --epochs 6",
    "best": "train digits --recipe best --epochs 2 --no-report",
    "fused": "train digits --kernels fused --epochs 40 --no-report",
    "im2col": "train digits --kernels im2col --epochs 6 --no-report",
    "folder": "train folder:{pictures} --epochs 3 --no-report",
    "sweep": "sweep lines --grid lr=0.05,0.1 --grid epochs=2 --seeds 3 --jobs 1",
    "sweep-on-cores": "sweep lines --grid lr=0.05,0.1 --grid epochs=2 --seeds 3 --jobs 2",
}
"""The words of each command, without ``--out``."""

KINDS = {
    "KILL": ("KILL",),
    "TERM": ("TERM",),
    "INT": ("INT",),
    "STOP-KILL": ("STOP", "CONT", "STOP", "KILL"),
    "INT-INT": ("INT", "INT"),
    "TERM-TERM": ("TERM", "TERM"),
    "TERM-KILL": ("TERM", "KILL"),
}
"""Signals, each soon after the one before it."""

# A moment is so many seconds at most after one of these files appears.
FILES = {
    "config.json": 0.05,
    "checkpoint.neocog": 0.2,
    ".*.part": 0.002,
    "model.neocog": 0.02,
    "history.json": 0.01,
    "snapshots.neocog": 1.0,
}
LINES = 7
"""A whole sweep's: the header and a line for each point."""
SECONDS = 300


class Command:
    """A command of a case, its files, and how it goes on."""

    def __init__(self, name, folder, pictures):
        self.words = CASES[name].format(pictures=pictures).split()
        self.is_sweep = self.words[0] == "sweep"
        self.out = folder / ("sweep.jsonl" if self.is_sweep else "run")

    def next_words(self):
        """Return the words that start it, or go on with what has begun."""
        begun = b"\n" in read(self.out) if self.is_sweep else (self.out / "config.json").exists()
        if begun:
            return [
                self.words[0],
                "--resume",
                str(self.out),
                *self.words[-1:] * ("--no-report" in self.words),
            ]
        return [*self.words, "--out", str(self.out)]

    def start(self):
        return subprocess.Popen(
            [sys.executable, "-c", START, *self.next_words()],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def has(self, pattern):
        return any(self.out.glob(pattern))

    def result(self):
        """Return all that must be equal, however often the command was ended."""
        if self.is_sweep:
            return sweep_result(self.out)
        return run_result(self.out)


def read(path):
    return path.read_bytes() if path.exists() else b""


def make_pictures(folder):
    rng = np.random.default_rng(0)
    for k in range(36):
        (folder / "abc"[k % 3]).mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)
        pixels[..., k % 3] //= 4
        Image.fromarray(pixels).save(folder / "abc"[k % 3] / f"{k}.png")


def run_result(folder):
    model = neocog.load(folder / "model.neocog")
    arrays = {**model.params, **model.buffers}
    history = History.from_json(folder / "history.json")
    rows = [{name: value for name, value in row.items() if name != "seconds"} for row in history.rows]
    lines = (folder / "history.csv").read_text().splitlines()
    return {
        "files": sorted(path.name for path in folder.iterdir()),
        "layers": repr(model),
        "arrays": {name: array.tobytes() for name, array in arrays.items()},
        "history": (repr(rows), history.stopped),
        "table": [line.rpartition(",")[0] for line in lines],
        "config": json.loads((folder / "config.json").read_text()),
        "snapshots": {
            epoch: {name: (array.dtype, array.tobytes()) for name, array in arrays.items()}
            for epoch, arrays in load_snapshots(folder / "snapshots.neocog").items()
        },
    }


def sweep_result(path):
    rows = [json.loads(line) for line in path.read_text().splitlines()[1:]]
    plain = [{key: row[key] for key in row if key not in ("seconds", "worker")} for row in rows]
    return {
        "files": sorted(file.name for file in path.parent.iterdir()),
        "rows": sorted(plain, key=lambda row: row["point"]),
        "best": sweeps.open_sweep(path).best.values,
    }


def wait_for_moment(command, process, rng, seconds):
    """Wait for a moment of a run; ``seconds`` are those that a whole one takes."""
    if rng.random() < 0.4:
        sleep(rng.uniform(0, seconds), process)
    elif command.is_sweep:
        count = rng.randrange(1, LINES + 1)
        wait_until(lambda: read(command.out).count(b"\n") >= count, process)
        sleep(rng.uniform(0, 0.1), process)
    else:
        pattern, most = rng.choice(list(FILES.items()))
        wait_until(lambda: command.has(pattern), process)
        sleep(rng.uniform(0, most), process)


def wait_until(is_so, process):
    while process.poll() is None and not is_so():
        time.sleep(0.0005)


def sleep(seconds, process):
    end = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() > end, process)


def send(process, name, command):
    number = signal.Signals[f"SIG{name}"]
    try:
        if command.is_sweep and name == "INT":  # a terminal sends it to all processes of a job
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
    except ProcessLookupError:
        pass


def disturbed(command, kind, rng, seconds):
    """Run a command, and send it signals; return its exit code and what it printed."""
    process = command.start()
    assert process.stdout.readline() == "started\n"
    wait_for_moment(command, process, rng, seconds)
    for name in KINDS[kind]:
        send(process, name, command)
        time.sleep(rng.choice([0, rng.uniform(0, 0.01), rng.uniform(0, 0.1)]))
    output, errors = process.communicate(timeout=SECONDS)
    return process.returncode, output, errors


def allowed_codes(kind):
    codes = {0}
    for name in KINDS[kind]:
        if name in ("KILL", "TERM", "INT"):  # INT: before and after the command; a shell, too, calls it 130
            codes.add(-signal.Signals[f"SIG{name}"])
        if name in ("INT", "TERM"):
            codes.add(130)
    return codes


def complaint(name, kind, seed, folder, whole, pictures=None, most=1):
    """Return what is wrong about a case, in which a run is ended so often at most; None if nothing is."""
    expected, seconds = whole
    command, rng, story = Command(name, folder, pictures), random.Random(f"{name}/{kind}/{seed}"), []
    for _ in range(min(most, rng.choice([1, 1, 2, 3]))):
        code, output, errors = disturbed(command, kind, rng, seconds)
        story.append((code, errors))
        if code not in allowed_codes(kind):
            return f"exit code {code}: {output}{errors}"
        if "Traceback" in errors or "Error" in errors:
            return f"it says {errors}"
        if code == 130 and errors.count("\n") != 1:
            return f"not one line: {errors!r}"
    process = command.start()
    output, errors = process.communicate(timeout=SECONDS)
    if process.returncode != 0:
        return f"a dead end after {story}: exit code {process.returncode}: {output}{errors}"
    try:
        found = command.result()
    except (OSError, ValueError, LookupError) as error:
        return f"after {story} there is no result: {type(error).__name__}: {error}"
    wrong = [key for key in expected if found[key] != expected[key]]
    if not wrong:
        return None
    return f"after {story} these differ: {', '.join(wrong)}; there are {found['files']}"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder of pictures, of which a run's configuration holds the path."""
    folder = tmp_path_factory.mktemp("pictures")
    make_pictures(folder)
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory, pictures):
    """The result of each case that nothing disturbed, and the seconds that it took."""
    made = {}

    def get(name):
        if name not in made:
            folder = tmp_path_factory.mktemp("undisturbed") / name
            folder.mkdir()
            command = Command(name, folder, pictures)
            process = command.start()
            assert process.stdout.readline() == "started\n"
            start = time.monotonic()
            _, errors = process.communicate(timeout=SECONDS)
            assert process.returncode == 0, errors
            made[name] = command.result(), time.monotonic() - start
        return made[name]

    return get


@pytest.fixture
def check(tmp_path, whole, pictures):
    def check(name, kind, seed, most=1):
        found = complaint(name, kind, seed, tmp_path, whole(name), pictures, most)
        assert found is None, f"NEOCOG_KILL={name}/{kind}/{seed}: {found}"

    return check


@pytest.mark.parametrize("kind", ["KILL", "TERM", "INT-INT"])
def test_a_killed_run_goes_on_as_if_nothing_had_happened(kind, check):
    check("lines", kind, 0)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(1, 4))
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CASES)
def test_hundreds_of_kills(name, kind, seed, check):
    check(name, kind, seed, most=3)


@pytest.mark.skipif("NEOCOG_KILL" not in os.environ, reason="NEOCOG_KILL names no case")
def test_killed_again(check):
    name, kind, seed = os.environ["NEOCOG_KILL"].split("/")
    check(name, kind, int(seed), most=3 if int(seed) else 1)


def test_the_harness_finds_what_it_looks_for(whole, tmp_path):
    """Another result, files that are left, and a run that cannot go on."""
    expected, seconds = whole("lines")
    (tmp_path / "one").mkdir()
    other = expected | {"table": []}, seconds
    assert "differ: table" in complaint("lines", "KILL", 0, tmp_path / "one", other)
    (tmp_path / "two" / "run" / "mine").mkdir(parents=True)  # not neocog's: it cannot go on here
    assert "run already exists" in complaint("lines", "TERM", 3, tmp_path / "two", whole("lines"))
