"""What an operation is: a compiled function, and the row of numbers that it is given.

Addresses are bytes, strides and offsets are elements. Arrays lie in memory as (C, H, W, N), the batch last:
an operation sees planes (channels), rows, and in each row a run of ``lanes`` = W N numbers.
"""

from __future__ import annotations

import ctypes
import os
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numba import cfunc, config, from_dtype, njit, types
from numba.extending import intrinsic

__all__ = ["OPTIONS", "ROW", "Operation", "compiled", "compiled_on_disk", "operation", "record"]

INTEGERS = """
code units block
x x_plane x_row  y y_plane y_row  z z_plane z_row
C rows lanes K depth
a a_row a_step  offsets rows_offsets  init init_plane init_row  weight bias zeros
mean inv_std running_mean running_var  d_weight d_bias
F f_block row_block lane_block
H W N kernel_h kernel_w stride_h stride_w top left
index targets weights gate settings
n0 n1 n2 n3 x0 x1 x2 x3 y0 y1 y2 y3
kind
"""
NUMBERS = "floor slope lr momentum decay alpha beta1 beta2 eps correction1 correction2 smoothing"

ROW = np.dtype([*((name, "i8") for name in INTEGERS.split()), *((name, "f8") for name in NUMBERS.split())])
"""The fields of all operations together; each uses those that its docstring names."""

OPTIONS: dict[str, Any] = {"error_model": "numpy", "fastmath": {"reassoc", "contract"}}
"""Sums may be reordered into vectors; nothing else may change."""

compiled = njit(**OPTIONS)

_RECORD = from_dtype(ROW)


@intrinsic
def _record(_, address):
    """Turn the address of a row into the row."""

    def generate(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], context.get_value_type(_RECORD))

    return _RECORD(types.int64), generate


def _plain_record(address: int) -> Any:
    row = (ctypes.c_char * ROW.itemsize).from_address(address)
    values = np.frombuffer(row, ROW)[0]
    return SimpleNamespace(**{name: values[name].item() for name in ROW.names or ()})


record = _plain_record if config.DISABLE_JIT else _record


def _sources() -> int:
    """Checksum of all that is compiled here."""
    files = sorted(Path(__file__).parent.rglob("*.py"))
    return zlib.crc32(b"".join(file.read_bytes() for file in files))


_lock = threading.RLock()


def _folder(name: str) -> Path | None:
    """Where compiled code is kept on disk, a folder for just these sources and one dtype; or None.

    Numba would look at the date of one file only, and keep code whose other files have changed.
    """
    try:
        home = os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(home) / "neocog" / f"{_sources():08x}" / name
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # no home
        return None
    return folder if os.access(folder, os.W_OK) else None


def compiled_on_disk(name: str, compiler: Callable[[bool], Any]) -> Any:
    """Call ``compiler(cache)`` with Numba's cache in a folder of that name, or without a cache."""
    with _lock:
        folder, before = _folder(name), config.CACHE_DIR
        if folder is not None:
            config.CACHE_DIR = str(folder)
            try:
                return compiler(True)
            except OSError:  # a full disk
                pass
            finally:
                config.CACHE_DIR = before
        return compiler(False)


class Operation:
    """A function of a row, a unit, scratch memory and a zero of the dtype; compiled when first needed.

    Attributes
    ----------
    name : str
    function : the function as it is written
    on_disk : bool
        Whether the compiled function is kept there.
    """

    def __init__(self, function: Callable[[int, int, int, Any], None], on_disk: bool = True) -> None:
        self.function, self.name, self.on_disk = function, function.__name__, on_disk
        self._compiled: dict[np.dtype[Any], Any] = {}

    def address(self, dtype: np.dtype[Any]) -> int:
        """Address of the compiled function; it is compiled, or loaded from disk, if it has not been."""
        if dtype not in self._compiled:
            signature = types.void(*(types.int64,) * 3, types.CPointer(from_dtype(dtype)))

            def compiler(cache: bool) -> Any:
                return cfunc(signature, cache=cache, **OPTIONS)(self.function)

            on_disk = self.on_disk
            self._compiled[dtype] = compiled_on_disk(dtype.name, compiler) if on_disk else compiler(False)
        address: int = self._compiled[dtype].address
        return address


OPERATIONS: dict[str, Operation] = {}


def operation(function: Callable[[int, int, int, Any], None]) -> Operation:
    """Make an operation of a function, under its name."""
    OPERATIONS[function.__name__] = Operation(function)
    return OPERATIONS[function.__name__]
