"""Start processes on damaged files of compiled kernels: each computes what it should, and mends the files.

A failure names its case, as ``flipped/3``; it runs again, alone, with

    NEOCOG_CACHE=flipped/3 python -m pytest tests/robustness -k damaged_again
"""

import hashlib
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numba import config

import neocog
from neocog.kernels import use_kernels

pytestmark = pytest.mark.skipif(bool(config.DISABLE_JIT), reason="nothing is compiled")

PROGRAM = """
import sys
import numpy as np
import neocog
from neocog.kernels.fused import disk

read, used = disk._read, []
disk._read = lambda file: used.append(str(file)) or read(file)
x = np.linspace(-1, 1, 128, dtype="f4").reshape(2, 1, 8, 8)
y = neocog.models.tiny_cnn(1, dtype="float32").for_inference()(x)
print(y.tobytes().hex(), *used, sep="\\n")
"""
LIMITED = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))"
DIGEST = 32
OTHER_VERSION = "3.11.0 (of another Python)"


def empty(content, rng):
    return b""


def cut(content, rng):
    return content[: rng.randrange(1, len(content))]


def flipped(content, rng):
    """As a disk's or a memory's fault does; in the code more often than in its description."""
    content = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 20])):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return bytes(content)


def zeros(content, rng):
    """As a power cut leaves what was not yet written."""
    start = rng.choice([0, rng.randrange(len(content))])
    return content[:start] + bytes(len(content) - start)


def garbage(content, rng):
    return rng.randbytes(rng.choice([1, DIGEST, 1000, len(content)]))


def longer(content, rng):
    return content + rng.randbytes(rng.choice([1, 1000]))


def without_a_part(content, rng):
    start = rng.randrange(len(content))
    return content[:start] + content[start + rng.choice([1, 8, 512]) :]


def of_another_version(content, rng):
    """Whole and sound, but written by another Python."""
    rest = content[DIGEST:].replace(repr(sys.version).encode(), repr(OTHER_VERSION).encode(), 1)
    assert OTHER_VERSION.encode() in rest
    return hashlib.sha256(rest).digest() + rest


CHANGES = [empty, cut, flipped, zeros, garbage, longer, without_a_part, of_another_version]


def damage(name, files, rng):
    """Damage one file or several, in one of the ways."""
    if name == "swapped":
        one, other = rng.sample(files, 2)
        first, second = one.read_bytes(), other.read_bytes()
        one.write_bytes(second), other.write_bytes(first)
    elif name == "folder":
        file = rng.choice(files)
        file.unlink(), file.mkdir()
    else:
        (change,) = (change for change in CHANGES if change.__name__ == name)
        for file in rng.sample(files, rng.choice([1, 1, 1, len(files)])):
            file.write_bytes(change(file.read_bytes(), rng))


NAMES = [*(change.__name__ for change in CHANGES), "swapped", "folder"]


def start(home, largest=None):
    """Run the program; return its exit code, the bytes of its result, the files it read, and its errors.

    ``largest`` is the size to which a file may grow, as on a disk that is almost full.
    """
    limited = "" if largest is None else LIMITED.format(size=largest)
    environment = os.environ | {"NUMBA_CACHE_DIR": str(home)}
    command = [sys.executable, "-c", limited + PROGRAM]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    result, *files = done.stdout.split("\n") if done.stdout else [""]
    return done.returncode, result, [Path(file) for file in files if file], done.stderr


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A cache of few files, and what the program makes of it."""
    first = tmp_path_factory.mktemp("first") / "cache"
    own = os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    code, result, files, errors = start(own)
    assert code == 0, errors
    for file in files:  # this program's alone
        copied = first / file.relative_to(own)
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, copied)
    x = np.linspace(-1, 1, 128, dtype="f4").reshape(2, 1, 8, 8)
    y = np.frombuffer(bytes.fromhex(result), "f4")
    with use_kernels("im2col"):
        np.testing.assert_allclose(y, neocog.models.tiny_cnn(1, dtype="float32")(x).ravel(), rtol=1e-5)
    assert len(files) > 3
    return first, result


@pytest.fixture
def check(sound, tmp_path):
    home, expected = sound

    def check(name, seed):
        shutil.copytree(home, tmp_path / "cache")
        files = sorted((tmp_path / "cache").rglob("*.code"))
        damage(name, files, random.Random(f"{name}/{seed}"))
        code, result, _, errors = start(tmp_path / "cache")
        case = f"NEOCOG_CACHE={name}/{seed}"
        assert (code, result) == (0, expected), f"{case}: exit code {code}, {result}: {errors}"
        assert "Traceback" not in errors, f"{case}: {errors}"
        for file in files:
            if file.is_file():
                content = file.read_bytes()
                assert content[:DIGEST] == hashlib.sha256(content[DIGEST:]).digest(), f"{case}: {file}"
                assert OTHER_VERSION.encode() not in content, f"{case}: {file}"
        assert not list((tmp_path / "cache").rglob("*.part")), case

    return check


@pytest.mark.parametrize("name", ["flipped", "swapped"])
def test_a_process_that_starts_on_a_damaged_file(name, check):
    check(name, 0)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(1, 21))
@pytest.mark.parametrize("name", NAMES)
def test_two_hundred_starts_on_damaged_files(name, seed, check):
    check(name, seed)


@pytest.mark.skipif("NEOCOG_CACHE" not in os.environ, reason="NEOCOG_CACHE names no case")
def test_damaged_again(check):
    name, seed = os.environ["NEOCOG_CACHE"].split("/")
    check(name, int(seed))
