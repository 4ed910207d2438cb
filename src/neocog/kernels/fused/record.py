"""What one operation is: a row of numbers.

Addresses are bytes, strides and offsets are elements. Arrays lie in memory as (C, H, W, N), the batch last:
an operation sees planes (channels), rows, and in each row a run of ``lanes`` = W N numbers.
"""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["OPTIONS", "RECORD", "compiled"]

INTEGERS = ["code", "units", "block", "x", "x_plane", "x_row", "y", "y_plane", "y_row", "z", "z_plane", "z_row", "C", "rows", "lanes", "K", "depth", "a", "a_row", "a_step", "offsets", "rows_offsets", "init", "init_plane", "init_row", "weight", "bias", "zeros", "mean", "inv_std", "running_mean", "running_var", "d_weight", "d_bias", "F", "f_block", "row_block", "lane_block", "H", "W", "N", "kernel_h", "kernel_w", "stride_h", "stride_w", "top", "left", "index", "labels", "gate", "n0", "n1", "n2", "n3", "x0", "x1", "x2", "x3", "y0", "y1", "y2", "y3", "kind", "pad_h", "pad_w"]

NUMBERS = ["floor", "slope", "lr", "momentum", "decay", "beta1", "beta2", "eps", "correction1", "correction2", "smoothing"]

RECORD = np.dtype([(name, np.int64) for name in INTEGERS] + [(name, np.float64) for name in NUMBERS])
"""The fields of all operations together; each uses those that its docstring names."""

OPTIONS = {"nogil": True, "error_model": "numpy", "fastmath": {"reassoc", "contract"}}
"""Compile for one thread and let the others run; sums may be reordered into vectors, nothing else."""

compiled = njit(**OPTIONS)
