"""Define what an operation is: a compiled function, and the fields of its row of numbers.

Addresses are bytes, strides and offsets are elements. Arrays lie in memory as (C, H, W, N), the batch last:
an operation sees planes (channels), rows, and in each row a run of ``lanes`` = W N numbers.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, TypeAlias

import numpy as np
from numba import from_dtype, types

from neocog.kernels.fused.disk import compile_cfunc
from neocog.kernels.fused.lean import lean

__all__ = [
    "HEADER",
    "OPERATIONS",
    "OPTIONS",
    "PLANES",
    "SETTINGS",
    "Operation",
    "compiled",
    "operation",
    "row_layout",
]

Body: TypeAlias = Callable[[Any, int, int, Any], None]
"""``body(p, unit, scratch, zero)``: ``p`` holds the fields of a row."""

HEADER = ("code", "units")
"""The first fields of every row: the address of the compiled function, and its number of units of work."""

SETTINGS = "settings"
"""The address of the settings of a user's function, whose operation is made after the row is laid out."""

PLANES = "C rows lanes block"
"""Integers of an operation on planes: C planes of ``rows`` x ``lanes`` numbers, ``block`` planes a unit."""

OPTIONS: dict[str, Any] = {"error_model": "numpy", "fastmath": {"reassoc", "contract"}}
"""Sums may be reordered into vectors; nothing else may change."""
EXACT: dict[str, Any] = {"error_model": "numpy"}
"""Every number is computed as it is written, as NumPy computes it."""

compiled = lean(**OPTIONS)


class Operation:
    """A function of a row, a unit, scratch memory and a zero of the dtype; compiled when first needed.

    It reads the row's fields as attributes of its first argument, and sees those that it declares, no others.

    Parameters
    ----------
    function : the function as it is written
    maps : str
        Names of feature maps: ``x`` stands for the fields ``x`` (address), ``x_plane`` and ``x_row``
        (elements from a plane or a row to the next).
    arrays, integers, numbers : str
        Names of fields that hold an address, an integer, or a floating point number.
    on_disk : bool
        Whether the compiled function is kept on disk.
    exact : bool
        Whether no sum may be reordered, so that the numbers are those of the uncompiled function.

    Attributes
    ----------
    name : str
    fields : dict of str
        The type of each field.
    """

    def __init__(
        self,
        function: Body,
        maps: str = "",
        arrays: str = "",
        integers: str = "",
        numbers: str = "",
        on_disk: bool = True,
        exact: bool = False,
    ) -> None:
        self.function, self.name, self.on_disk = function, function.__name__, on_disk
        self.options = EXACT if exact else OPTIONS
        names = [f"{name}{part}" for name in maps.split() for part in ("", "_plane", "_row")]
        names += [*arrays.split(), *integers.split()]
        self.fields = dict.fromkeys(names, "i8") | dict.fromkeys(numbers.split(), "f8")
        self._compiled: dict[np.dtype[Any], Any] = {}

    def row(self) -> np.dtype[Any]:
        """Return the part of :func:`row_layout` that this operation sees."""
        return row_layout()[list(self.fields)]

    def address(self, dtype: np.dtype[Any]) -> int:
        """Return the address of the compiled function, which the first call compiles or loads from disk."""
        if dtype not in self._compiled:
            integers = (types.int64, types.int64)
            signature = types.void(from_dtype(self.row()), *integers, types.CPointer(from_dtype(dtype)))

            folder = dtype.name if self.on_disk else None
            self._compiled[dtype] = compile_cfunc(self.function, signature, folder, self.options)
        address: int = self._compiled[dtype].address
        return address

    def run_uncompiled(self, row: int, unit: int, scratch: int, zero: Any) -> None:
        """Run one unit as Python; ``row`` is an address."""
        row_bytes = (ctypes.c_char * row_layout().itemsize).from_address(row)
        values = np.frombuffer(row_bytes, self.row())[0]
        p = SimpleNamespace(**{name: values[name].item() for name in self.fields})
        self.function(p, unit, scratch, zero)


OPERATIONS: dict[str, Operation] = {}


def operation(
    maps: str = "", arrays: str = "", integers: str = "", numbers: str = "", exact: bool = False
) -> Callable[[Body], Operation]:
    """Make an operation of a function; the arguments declare its fields, see :class:`Operation`."""

    def register(function: Body) -> Operation:
        made = OPERATIONS[function.__name__] = Operation(
            function, maps, arrays, integers, numbers, exact=exact
        )
        return made

    return register


@functools.cache
def row_layout() -> np.dtype[Any]:
    """Lay out the row of a program: the fields of all operations, each name at one place.

    Raises
    ------
    TypeError
        If two operations declare one name as different types.
    """
    fields = dict.fromkeys((*HEADER, SETTINGS), "i8")
    for each in OPERATIONS.values():
        for name, kind in each.fields.items():
            if fields.setdefault(name, kind) != kind:
                raise TypeError(f"the field {name!r} of the operation {each.name!r} has two types.")
    return np.dtype(list(fields.items()))
