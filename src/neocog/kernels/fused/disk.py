"""Keep compiled functions on disk, and believe no file that is not exactly what was written.

A file holds machine code and a pickle, so that loading one runs what it says. A file is loaded only if it and
its folder belong to this user and nobody else can write them, and if the digest at its start is that of its
content and of all that it depends on: sources, versions, processor, signature. Any other file is replaced.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import pickle
import stat
import sys
import uuid
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
from numba.core.caching import _Cache
from numba.core.ccallback import CFunc
from numba.core.compiler import CompileResult
from numba.core.runtime import rtsys
from numba.core.serialize import dumps

from neocog.kernels.fused.lean import Lean

__all__ = ["DiskCache", "compile_cfunc", "compile_njit"]

_DIGEST = hashlib.sha256
_VERSIONS = (sys.version, sys.platform, np.__version__, numba.__version__, llvmlite.__version__)


@functools.cache
def _sources() -> str:
    """Return a digest of all that is compiled here."""
    files = sorted(Path(__file__).parent.rglob("*.py"))
    return _DIGEST(b"\0".join(file.read_bytes() for file in files)).hexdigest()


def _home() -> Path:
    """Return the folder of all compiled code; RuntimeError if there is no home directory."""
    chosen = os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME")
    return Path(chosen or Path.home() / ".cache") / "neocog"


def _mine(status: os.stat_result) -> bool:
    """Return whether a file or folder is this user's, and nobody else can write it."""
    if not hasattr(os, "getuid"):  # Windows keeps a user's folders from others by itself
        return True
    return status.st_uid == os.getuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _claim(folder: Path) -> bool:
    """Make a folder that only this user can write; return whether it is this user's."""
    folder.mkdir(mode=0o700, exist_ok=True)
    if hasattr(os, "getuid") and {folder.lstat().st_uid, folder.stat().st_uid} != {os.getuid()}:
        return False
    if not _mine(folder.stat()):
        folder.chmod(0o700)
    return True


_refused: set[Path] = set()


def _folder(name: str) -> Path | None:
    """Return the folder of the compiled code of these sources and one kind; None if there is no safe one."""
    try:
        home = _home()
        home.parent.mkdir(parents=True, exist_ok=True)
        for folder in (home, home / _sources()[:16], home / _sources()[:16] / name):
            if not _claim(folder):
                _warn(folder)
                return None
    except (OSError, RuntimeError):  # no home directory, or none that can be written
        return None
    return folder if os.access(folder, os.W_OK) else None


def _warn(folder: Path) -> None:
    if folder not in _refused:
        _refused.add(folder)
        text = "is another user's: compiled kernels are neither read from it nor kept there."
        advice = "Set NUMBA_CACHE_DIR to a folder of your own."
        warnings.warn(f"{folder} {text} {advice}", RuntimeWarning, stacklevel=2)


class DiskCache(_Cache):
    """The cache of one function: a file for each signature and processor.

    Implements Numba's interface of a cache. A file is the digest of the rest, then the description of what it
    holds, then the pickled code. Whatever is wrong with one, it is removed and the function compiled again.

    Parameters
    ----------
    function : function
    folder : Path
    """

    def __init__(self, function: Callable[..., Any], folder: Path) -> None:
        self.function, self.folder = function, folder
        cells = [cell.cell_contents for cell in function.__closure__ or ()]
        cells = [getattr(cell, "__qualname__", cell) for cell in cells]  # of a function; its source is known
        self._identity = (
            function.__qualname__,
            _DIGEST(function.__code__.co_code).hexdigest(),
            _DIGEST(dumps(cells)).hexdigest() if cells else "",
            _sources(),
            *_VERSIONS,
        )

    @property
    def cache_path(self) -> str:
        """The folder."""
        return str(self.folder)

    def enable(self) -> None:
        """Do nothing: a cache that is not wanted is not made."""

    disable = enable

    def flush(self) -> None:
        """Remove all files of the function."""
        for file in self.folder.glob(f"{self.function.__name__}-*.code"):
            file.unlink(missing_ok=True)

    def _describe(self, signature: Any, codegen: Any) -> tuple[Path, bytes]:
        """Return the file of a signature and processor, and the text that it must begin with."""
        text = repr((*self._identity, str(signature), codegen.magic_tuple())).encode()
        name = f"{self.function.__name__}-{_DIGEST(text).hexdigest()[:24]}.code"
        return self.folder / name, text

    def load_overload(self, sig: Any, target_context: Any) -> CompileResult | None:
        """Return the compiled function, or None if it is not there or its file is not sound."""
        # Not ``refresh``, which imports all that Numba can compile: machine code needs its runtime alone.
        rtsys.initialize(target_context)
        file, text = self._describe(sig, target_context.codegen())
        try:
            content = _read(file)
        except FileNotFoundError:
            return None
        except OSError:
            content = b""
        size = _DIGEST().digest_size
        digest, rest = content[:size], content[size:]
        if digest != _DIGEST(rest).digest() or not rest.startswith(text):
            with contextlib.suppress(OSError):  # it will be replaced, or it is another user's
                file.unlink()
            return None
        payload = pickle.loads(rest[len(text) :])
        return CompileResult._rebuild(target_context, *payload)

    def save_overload(self, sig: Any, data: CompileResult) -> None:
        """Write a compiled function; do nothing if the file cannot be written."""
        if data.lifted or data.library.has_dynamic_globals:
            return
        file, text = self._describe(sig, data.codegen)
        rest = text + dumps(data._reduce())
        with contextlib.suppress(OSError):  # such as a full disk
            _write(file, _DIGEST(rest).digest() + rest)


def _read(file: Path) -> bytes:
    """Read a file of this user's, no link; PermissionError if it is another's or others can write it."""
    descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))
    with open(descriptor, "rb") as opened:
        if not _mine(os.fstat(descriptor)):
            raise PermissionError(f"others can write {file}.")
        return opened.read()


def _write(file: Path, content: bytes) -> None:
    """Write a file that only this user can write, completely or not at all."""
    beside = file.with_name(f".{uuid.uuid4().hex}.part")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        with open(os.open(beside, flags, 0o600), "wb") as opened:
            opened.write(content)
        os.replace(beside, file)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _on_disk(function: Callable[..., Any], name: str | None) -> DiskCache | None:
    folder = None if name is None else _folder(name)
    return None if folder is None else DiskCache(function, folder)


def compile_cfunc(
    function: Callable[..., Any], signature: Any, name: str | None, options: dict[str, Any]
) -> Any:
    """Compile a function that is called by its address, or load it from the folder of that name, if any."""
    types = signature.args, signature.return_type
    if name is None:  # it calls a user's function, which may do anything
        compiled = CFunc(function, types, locals={}, options=options)
    else:
        compiled = CFunc(function, types, locals={}, options={"_nrt": False, **options}, pipeline_class=Lean)
    compiled._cache = _on_disk(function, name) or compiled._cache
    compiled.compile()
    return compiled


def compile_njit(function: Callable[..., Any], signature: Any, name: str, **options: Any) -> Any:
    """Compile a function for one signature, or load it from the folder of that name."""
    dispatcher = numba.njit(**options)(function)
    dispatcher._cache = _on_disk(function, name) or dispatcher._cache
    dispatcher.compile(signature)
    dispatcher.disable_compile()
    return dispatcher
