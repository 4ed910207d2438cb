"""Change files of every format at random: each is read as it was, or refused by one clear error.

A failure names its case, as ``model/17``; it runs again, alone, with

    NEOCOG_FUZZ=model/17 python -m pytest tests/robustness -k again
"""

import os
import random
import shutil
import signal
import tracemalloc
import warnings
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from neocog.budgets import budgets
from neocog.cli import app
from neocog.training import NonFiniteLossError

from .formats import FORMATS
from .mutations import change_bytes

SMALL = {"data": 2**23, "columns": 2**12, "pixels": 2**20, "scanned": 2**22, "values": 2**20, "folded": 2**22}
MEMORY = 2**27
"""Bytes: more than a few times what the budgets allow."""
SECONDS = 60
CONFIG_ONLY = {"config": "config.json"}


class Hang(BaseException):
    """A case took more than SECONDS."""


@contextmanager
def in_time():
    def stop(*_):
        raise Hang

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def mutated(name, seed, originals, folder):
    """Copy a format's files into a folder, and change one; return whether only its bytes were changed."""
    rng = random.Random(f"{name}/{seed}")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(originals, folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if name in CONFIG_ONLY:
        files = [folder / CONFIG_ONLY[name]]
    path = rng.choice(files)
    if rng.random() < 0.4:
        path.write_bytes(change_bytes(path.read_bytes(), rng))
        return True
    FORMATS[name].change(path, rng)
    return False


def complaint(name, seed, originals, folder, expected):
    """Return what is wrong about the outcome of a case; None if nothing is."""
    try:
        only_bytes = mutated(name, seed, originals, folder)
    except (OverflowError, ValueError, TypeError, OSError):
        return None  # it cannot be written so
    tracemalloc.reset_peak()
    start = tracemalloc.get_traced_memory()[0]
    try:
        with in_time(), budgets(**SMALL), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = FORMATS[name].read(folder)
    except Hang:
        return "it hangs"
    except NonFiniteLossError:
        return None if name == "checkpoint" and not only_bytes else "a loss that is not finite"
    except (ValueError, OSError) as error:
        text = str(error)
        if str(folder) not in text:
            return f"{type(error).__name__} does not name the file: {text}"
        if "\n" in text:
            return f"{type(error).__name__} has several lines: {text}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    else:
        if only_bytes and FORMATS[name].is_checked and found != expected:
            return f"the content has changed: {found}"
    used = tracemalloc.get_traced_memory()[1] - start
    return f"it took {used / 2**20:.0f} MiB" if used > MEMORY else None


def command_complaint(name, seed, originals, folder):
    """Return what is wrong about how the command line answers a case; None if nothing is."""
    try:
        mutated(name, seed, originals, folder)
    except (OverflowError, ValueError, TypeError, OSError):
        return None
    with in_time(), budgets(**SMALL), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = CliRunner().invoke(app, FORMATS[name].command(folder))
    if result.exit_code == 0:
        return None
    if result.exit_code != 2:
        return f"exit code {result.exit_code}: {result.output}"
    if result.stderr.count("\n") != 1 or str(folder) not in result.stderr:
        return f"not one line that names the file: {result.stderr}"
    return None


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """The unchanged files of each format, and what is in them."""
    made = {}

    def get(name):
        if name not in made:
            folder = tmp_path_factory.mktemp(name.replace(".", "-")) / "files"
            folder.mkdir()
            FORMATS[name].make(folder)
            made[name] = folder, FORMATS[name].read(folder)
        return made[name]

    return get


def check(name, seeds, originals, tmp_path, commands=False):
    original, expected = originals(name)
    wrong = {}
    if not commands:  # which take several times as long so
        tracemalloc.start()
    try:
        for seed in seeds:
            if commands:
                found = command_complaint(name, seed, original, tmp_path / "files")
            else:
                found = complaint(name, seed, original, tmp_path / "files", expected)
            if found is not None:
                wrong[f"{name}/{seed}"] = found
    finally:
        tracemalloc.stop()
    shown = "\n".join(f"NEOCOG_FUZZ={case}: {found}" for case, found in wrong.items())
    assert not wrong, f"{len(wrong)} of {len(seeds)} cases:\n{shown}"


@pytest.mark.parametrize("name", FORMATS)
def test_a_changed_file_is_read_as_it_was_or_refused(name, originals, tmp_path):
    check(name, range(15 if name == "checkpoint" else 40), originals, tmp_path)


@pytest.mark.parametrize("name", [name for name in FORMATS if FORMATS[name].command])
def test_the_command_line_answers_with_one_line(name, originals, tmp_path):
    check(name, range(1000, 1010), originals, tmp_path, commands=True)


@pytest.mark.nightly
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("first", range(10_000, 20_000, 1000))
def test_a_thousand_changed_files(name, first, originals, tmp_path):
    count = 100 if name == "checkpoint" else 1000
    check(name, range(first, first + count), originals, tmp_path)


@pytest.mark.nightly
@pytest.mark.parametrize("name", [name for name in FORMATS if FORMATS[name].command])
def test_the_command_line_answers_hundreds_with_one_line(name, originals, tmp_path):
    check(name, range(30_000, 30_300), originals, tmp_path, commands=True)


@pytest.mark.skipif("NEOCOG_FUZZ" not in os.environ, reason="NEOCOG_FUZZ names no case")
def test_one_case_again(originals, tmp_path):
    name, _, seed = os.environ["NEOCOG_FUZZ"].rpartition("/")
    check(name, [int(seed)], originals, tmp_path)
    if FORMATS[name].command:
        check(name, [int(seed)], originals, tmp_path, commands=True)


def test_the_fuzzer_finds_what_it_looks_for(originals, tmp_path, monkeypatch):
    """A reader that fails by another error, does not name the file, changes content or allocates too much."""
    original, expected = originals("history")

    def reading(function):
        monkeypatch.setitem(FORMATS, "history", replace(FORMATS["history"], read=function, is_checked=True))
        tracemalloc.start()
        try:
            found = [complaint("history", seed, original, tmp_path / "files", expected) for seed in range(20)]
        finally:
            tracemalloc.stop()
        return " ".join(filter(None, found))

    def two_lines(folder):
        raise ValueError(f"{folder}\nis bad")

    assert "ZeroDivisionError" in reading(lambda folder: 1 / 0)
    assert "does not name the file" in reading(lambda folder: int("x"))
    assert "several lines" in reading(two_lines)
    assert "the content has changed" in reading(lambda folder: "another")
    assert "MiB" in reading(lambda folder: str(np.zeros(2**25).sum()))
