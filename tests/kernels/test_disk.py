"""Compiled code on disk: what is not exactly what was written is compiled again."""

import ctypes
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from numba import config, types
from numba.core.cpu import CPUContext

from neocog.kernels.fused import disk
from neocog.kernels.fused.pointwise import pointwise

pytestmark = pytest.mark.skipif(bool(config.DISABLE_JIT), reason="nothing is compiled")

SIGNATURE = types.int64(types.int64)


def double(n):
    return 2 * n


def triple(n):
    return 3 * n


def run(function, kind="float32"):
    """Compile or load a function; return what it makes of 7, and whether it was loaded."""
    compiled = disk.compile_cfunc(function, SIGNATURE, kind, {})
    value = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(compiled.address)(7)
    return value, compiled.cache_hits == 1


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    return tmp_path / "neocog"


def file_of(cache, function):
    (file,) = cache.rglob(f"{function.__name__}-*.code")
    return file


def test_compiled_once_and_loaded_again(cache):
    assert run(double) == (14, False)
    assert run(double) == (14, True)
    assert run(double, "float64") == (14, False)
    assert not list(cache.rglob("*.part"))


def test_loading_imports_nothing_that_only_compiling_needs(cache, monkeypatch):
    run(double)
    monkeypatch.setattr(CPUContext, "refresh", lambda context: pytest.fail("Numba's registries are loaded"))
    assert run(double) == (14, True)


@pytest.mark.skipif(sys.platform == "win32", reason="rights of POSIX")
def test_folders_and_files_are_the_users_alone(cache):
    run(double)
    assert {path.stat().st_mode & 0o777 for path in cache.rglob("*") if path.is_dir()} == {0o700}
    assert file_of(cache, double).stat().st_mode & 0o777 == 0o600


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


def cut(content, marker):
    return content[: len(content) // 2]


def empty(content, marker):
    return b""


def head_only(content, marker):
    return content[:32]


def longer(content, marker):
    return content + b"x"


def flipped(content, marker):
    place = int(np.random.default_rng(0).integers(len(content)))
    return content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :]


def flipped_digest(content, marker):
    return bytes([content[0] ^ 1]) + content[1:]


def a_pickle(content, marker):
    return pickle.dumps(Evil(marker))


def a_pickle_behind_the_digest(content, marker):
    return content[:32] + pickle.dumps(Evil(marker))


DAMAGE = [cut, empty, head_only, longer, flipped, flipped_digest, a_pickle, a_pickle_behind_the_digest]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_compiled_again(cache, tmp_path, damage):
    run(double)
    file, marker = file_of(cache, double), str(tmp_path / "marker")
    file.write_bytes(damage(file.read_bytes(), marker))
    assert run(double) == (14, False)
    assert run(double) == (14, True)
    assert not os.path.exists(marker)


def test_swapped_files_are_noticed(cache):
    run(double), run(triple)
    one, other = file_of(cache, double), file_of(cache, triple)
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second), other.write_bytes(first)
    assert (run(double), run(triple)) == ((14, False), (21, False))


@pytest.mark.parametrize("what", ["_VERSIONS", "_sources"])
def test_other_versions_and_sources_compile_for_themselves(cache, monkeypatch, what):
    run(double)
    monkeypatch.setattr(disk, what, ("another",) if what == "_VERSIONS" else lambda: "0" * 64)
    assert run(double) == (14, False)


def test_a_file_of_another_version_under_this_name(cache, monkeypatch):
    run(double)
    file = file_of(cache, double)
    with monkeypatch.context() as patch:
        patch.setattr(disk, "_VERSIONS", ("another",))
        run(double)
    (other,) = set(cache.rglob("double-*.code")) - {file}
    file.write_bytes(other.read_bytes())
    assert run(double) == (14, False)


@pytest.mark.skipif(sys.platform == "win32", reason="rights of POSIX")
@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_can_write_is_not_loaded(cache, mode):
    run(double)
    file_of(cache, double).chmod(mode)
    assert run(double) == (14, False)
    assert run(double) == (14, True)  # replaced by one of its own


@pytest.mark.skipif(sys.platform == "win32", reason="rights of POSIX")
def test_a_link_is_not_followed(cache, tmp_path):
    run(double)
    file = file_of(cache, double)
    moved = file.rename(tmp_path / "elsewhere")
    file.symlink_to(moved)
    assert run(double) == (14, False)
    assert not file.is_symlink()


@pytest.mark.skipif(sys.platform == "win32", reason="rights of POSIX")
@pytest.mark.parametrize("depth", [0, 1, 2])
def test_a_folder_that_others_could_write_is_closed_to_them(cache, depth):
    run(double)
    folder = file_of(cache, double).parents[depth]
    folder.chmod(0o777)
    assert run(double) == (14, True)
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can give files away")
def test_a_file_of_another_user_is_not_loaded(cache):
    run(double)
    os.chown(file_of(cache, double), 12345, -1)
    assert run(double) == (14, False)
    os.chown(cache, 12345, -1)
    disk._refused.clear()
    with pytest.warns(RuntimeWarning, match="is another user's.*Set NUMBA_CACHE_DIR"):
        assert run(double) == (14, False)
    assert run(double) == (14, False)  # and said once


def test_a_folder_that_cannot_be_made(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file"))
    assert run(double) == (14, False)


def test_a_full_disk_costs_the_file_only(cache, monkeypatch):
    def full(file, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(disk, "_write", full)
    assert run(double) == (14, False)
    assert not list(cache.rglob("double*"))


def test_a_write_that_fails_leaves_nothing(cache, tmp_path, monkeypatch):
    def refuse(*paths):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "replace", refuse)
    assert run(double) == (14, False)
    assert not [path for path in cache.rglob("*") if path.is_file()]


@pytest.mark.nightly
def test_processes_that_compile_at_once(tmp_path):
    code = """
import numpy as np, neocog
x = np.linspace(-1, 1, 128, dtype="f4").reshape(2, 1, 8, 8)
print(neocog.models.tiny_cnn(1, dtype="float32").for_inference()(x).tolist())
"""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", code]
    started = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    outputs = {process.communicate(timeout=300)[0] for process in started}
    outputs.add(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)
    assert len(outputs) == 1
    assert all(process.returncode == 0 for process in started)
    assert not list(tmp_path.rglob("*.part"))


def test_a_loop_around_a_function_is_found_again(tmp_path):
    """Its file depends on which function it is, not on the object, which is another in every process."""

    def twice(x, like):
        return 2 * x

    def thrice(x, like):
        return 3 * x

    once, again, other = (disk.DiskCache(pointwise(f), tmp_path)._identity for f in (twice, twice, thrice))
    assert once == again != other
