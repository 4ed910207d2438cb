"""Lower what reads the rows and the columns of maps at places given by tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from neocog.kernels.fused.program import Maps, Program

__all__ = ["resample", "resample_back"]

Places = tuple[Sequence[int], Sequence[int], Sequence[float]]
"""For each place along an axis the two pixels that it lies between, and the share of the second."""

_WORK = 6.0
"""Floating point operations of a number between four pixels."""


def resample(program: Program, x: Maps, y: Maps, rows: Places, columns: Places) -> None:
    """Add the reading of y from x."""
    fields = _fields(program, x, y, rows, columns)
    program.add("resample", y.C, _WORK * y.C * y.H * y.lanes, x=x, y=y, **fields)


def resample_back(program: Program, dy: Maps, dx: Maps, rows: Places, columns: Places) -> None:
    """Add the gradient of :func:`resample`."""
    fields = _fields(program, dx, dy, rows, columns)
    program.add("resample_back", dy.C, _WORK * dy.C * dy.H * dy.lanes, dy=dy, dx=dx, H=dx.H, **fields)


def _fields(program: Program, x: Maps, y: Maps, rows: Places, columns: Places) -> dict[str, Any]:
    """Return the fields of both operations; a thread needs room for a row of x."""
    program.scratch = max(program.scratch, x.lanes * program.size)
    return {
        "C": y.C,
        "rows": y.H,
        "lanes": y.lanes,
        "W": x.W,
        "N": x.N,
        "linear": int(any(rows[2]) or any(columns[2])),
        "down": program.table([*rows[0], *rows[1]]),
        "across": program.table([*columns[0], *columns[1]]),
        "down_share": np.array(rows[2], program.dtype),
        "across_share": np.array(columns[2], program.dtype),
    }
