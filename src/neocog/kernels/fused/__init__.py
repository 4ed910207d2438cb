"""Convolve and pool in code that Numba compiles: vector instructions written out, all cores.

For NumPy arrays of float32 and float64; other dtypes, and arrays of other libraries, go through ``im2col``.
Memory runs batch-last inside, as there, and results are returned as views of it.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from neocog.kernels import columns, sampling
from neocog.kernels.choice import active_precision, missing_numba
from neocog.kernels.geometry import Array, Counts, Padding, Pair, output_sizes

if reason := missing_numba():
    raise ImportError(reason, name="numba")

from neocog.kernels.fused import lowering
from neocog.kernels.fused.operation import OPERATIONS
from neocog.kernels.fused.operations.sampling import scratch_bytes
from neocog.kernels.fused.program import Maps, Program, Slot
from neocog.kernels.fused.workers import codes

_DTYPES = (np.dtype(np.float32), np.dtype(np.float64))
_KEPT = 64
"""Geometries whose programs are kept for the next call."""
_LARGEST = 1 << 24
"""Bytes of a program that is kept, at most."""
_lock = threading.Lock()


def _renew_lock() -> None:
    global _lock
    _lock = threading.Lock()  # in a forked process, without the thread that may have held it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def warm_up(dtype: Any) -> float:
    """Compile all operations for a dtype, or load them from disk; return the seconds it took."""
    began = time.perf_counter()
    codes(sorted(OPERATIONS), np.dtype(dtype))
    return time.perf_counter() - began


class _Call:
    """Run one function of this module as a program, with the arrays that it reads and returns in slots."""

    def __init__(self, dtype: np.dtype[Any], exact: bool) -> None:
        self.program = Program(dtype, exact=exact)
        self.slots: list[Slot] = []
        self.results: list[tuple[Slot, tuple[int, ...], np.dtype[Any]]] = []

    def array(self) -> Slot:
        """Add a slot for an array that is read as it lies in memory."""
        self.slots.append(Slot())
        return self.slots[-1]

    def images(self, x: np.ndarray, border: Any = (0, 0, 0, 0)) -> Maps:
        """Add a slot for images (N, C, H, W) with the strides of ``x``, copied to maps."""
        N, C, H, W = x.shape
        maps = self.program.maps(C, H, W, N, border)
        n, c, h, w = (stride // x.itemsize for stride in x.strides)
        lowering.copy(
            self.program,
            self.array(),
            (c, h, w, n),
            maps.origin,
            maps.shape,
            (maps.plane, maps.row, maps.N, 1),
        )
        return maps

    def result(self, shape: tuple[int, ...], dtype: Any = None) -> Slot:
        """Add a slot for an array that is made anew in every run, and returned."""
        self.results.append((Slot(), shape, np.dtype(dtype or self.program.dtype)))
        return self.results[-1][0]

    def result_maps(self, C: int, H: int, W: int, N: int) -> Maps:
        """Add a slot for maps that are returned."""
        return Maps(self.result((C, H, W, N)), C, H, W, N)

    def __call__(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        bind, results = self.program.bind, []
        for slot, array in zip(self.slots, arrays, strict=True):
            bind(slot, array)
        for slot, shape, dtype in self.results:
            results.append(np.empty(shape, dtype))
            bind(slot, results[-1])
        self.program.run()
        return results


_calls: dict[Any, list[_Call]] = {}


def _call(key: Any, build: Callable[[_Call], None], arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Run the program of this key on the arrays; a program serves one thread at a time."""
    key = (active_precision(), *key)
    idle = _calls.get(key)
    if idle is None:
        with _lock:
            idle = _calls.setdefault(key, [])
            while len(_calls) > _KEPT:
                del _calls[next(iter(_calls))]  # the oldest
    try:
        call = idle.pop()
    except IndexError:  # the first call, or another thread has it
        call = _Call(arrays[0].dtype, active_precision() == "exact")
        build(call)
        call.program.finish()
    results = call(arrays)
    if call.program.bytes <= _LARGEST:
        idle.append(call)
    return results


def _suits(x: Any, *others: Any) -> bool:
    """Return whether the arrays are of one dtype that is compiled, and none is empty."""
    if not isinstance(x, np.ndarray) or x.dtype not in _DTYPES:
        return False
    for array in (x, *others):
        if array is not None and not (
            isinstance(array, np.ndarray) and array.dtype == x.dtype and array.size
        ):
            return False
    return True


def _strided(x: np.ndarray) -> np.ndarray:
    """Return x, or a copy where its strides are negative or not whole elements."""
    return x if min(x.strides) >= 0 and x.flags.aligned else np.ascontiguousarray(x)


def _batch_first(y: np.ndarray) -> np.ndarray:
    return y.transpose(3, 0, 1, 2)


def conv2d(
    x: Array, w: Array, b: Array | None, stride: Pair, padding: Padding, dilation: Pair, groups: int
) -> Array:
    """Add products over one table of offsets; see :mod:`neocog.kernels.fused.lowering.convolution`."""
    if not _suits(x, w, b):
        return columns.conv2d(x, w, b, stride, padding, dilation, groups)
    x = _strided(x)

    def build(call: _Call) -> None:
        conv = lowering.Convolution(call.program, x.shape, w.shape, stride, padding, dilation, groups)
        windows = conv.windows(call.images(x, conv.input_border))
        y = call.result_maps(w.shape[0], *conv.out, x.shape[0])
        conv.forward(windows, call.array(), None if b is None else call.array(), y)

    key = ("conv2d", x.dtype, x.shape, x.strides, w.shape, b is None, stride, padding, dilation, groups)
    arrays = [x, np.ascontiguousarray(w), *([] if b is None else [np.ascontiguousarray(b)])]
    return _batch_first(_call(key, build, arrays)[0])


def conv2d_input(
    dy: Array, w: Array, x_shape: tuple[int, ...], stride: Pair, padding: Padding, dilation: Pair, groups: int
) -> Array:
    """Convolve dy with the flipped kernel."""
    if not _suits(dy, w) or 0 in x_shape:
        return columns.conv2d_input(dy, w, x_shape, stride, padding, dilation, groups)
    N, C, H, W = x_shape
    dy = _strided(dy)

    def build(call: _Call) -> None:
        conv = lowering.Convolution(call.program, x_shape, w.shape, stride, padding, dilation, groups)
        maps = call.images(dy, conv.output_border)
        conv.input_gradient(maps, call.array(), call.result_maps(C, H, W, N))

    key = (
        "conv2d_input",
        dy.dtype,
        x_shape,
        dy.shape,
        dy.strides,
        w.shape,
        stride,
        padding,
        dilation,
        groups,
    )
    return _batch_first(_call(key, build, [dy, np.ascontiguousarray(w)])[0])


def conv2d_weight(
    x: Array, dy: Array, w_shape: tuple[int, ...], stride: Pair, padding: Padding, dilation: Pair, groups: int
) -> Array:
    """Sum the windows of x, each weighted by its dy."""
    if not _suits(x, dy):
        return columns.conv2d_weight(x, dy, w_shape, stride, padding, dilation, groups)
    x, dy = _strided(x), _strided(dy)

    def build(call: _Call) -> None:
        conv = lowering.Convolution(call.program, x.shape, w_shape, stride, padding, dilation, groups)
        maps, dy_maps = call.images(x, conv.input_border), call.images(dy)
        conv.weight_gradient(conv.windows(maps), dy_maps, call.result(w_shape))

    geometry = (w_shape, stride, padding, dilation, groups)
    key = ("conv2d_weight", x.dtype, x.shape, x.strides, dy.shape, dy.strides, *geometry)
    return _call(key, build, [x, dy])[0]


def _pool_call(
    kind: str,
    x: np.ndarray,
    kernel: Pair,
    stride: Pair,
    padding: Padding,
    counted: bool = True,
) -> list[np.ndarray]:
    x = _strided(x)

    def build(call: _Call) -> None:
        shape = x.shape[1], *output_sizes(x.shape, kernel, stride, padding), x.shape[0]
        y, maps = call.result_maps(*shape), call.images(x)
        index = call.result(shape, np.uint8) if kind == "max" else None
        lowering.pool(call.program, kind, maps, y, index, kernel, stride, padding, counted)

    return _call((kind, x.dtype, x.shape, x.strides, kernel, stride, padding, counted), build, [x])


def _pool_back_call(
    kind: str,
    dy: np.ndarray,
    winners: np.ndarray | None,
    x_shape: tuple[int, ...],
    kernel: Pair,
    stride: Pair,
    padding: Padding,
    counted: bool = True,
) -> Array:
    dy = _strided(dy)

    def build(call: _Call) -> None:
        N, C, H, W = x_shape
        maps, dx = call.images(dy), call.result_maps(C, H, W, N)
        index = None if winners is None else call.array()
        lowering.pool_back(call.program, kind, maps, dx, index, kernel, stride, padding, counted)

    key = (f"{kind}_back", dy.dtype, x_shape, dy.strides, kernel, stride, padding, counted)
    return _batch_first(_call(key, build, [dy] if winners is None else [dy, winners])[0])


def max_pool2d(
    x: Array, kernel_size: Pair, stride: Pair, padding: Padding, dilation: Pair
) -> tuple[Array, Array]:
    """Compare tap by tap along the batch; the winner's tap is one byte."""
    if not _suits(x) or kernel_size[0] * kernel_size[1] > lowering.LARGEST_WINDOW or dilation != (1, 1):
        return columns.max_pool2d(x, kernel_size, stride, padding, dilation)
    y, index = _pool_call("max", x, kernel_size, stride, padding)
    return _batch_first(y), _batch_first(index)


def max_pool2d_input(
    dy: Array,
    argmax: Array,
    x_shape: tuple[int, ...],
    kernel_size: Pair,
    stride: Pair,
    padding: Padding,
    dilation: Pair,
) -> Array:
    """Add dy tap by tap where the tap is the winner."""
    plain = kernel_size[0] * kernel_size[1] <= lowering.LARGEST_WINDOW and dilation == (1, 1)
    if not plain or not _suits(dy) or 0 in x_shape:
        return columns.max_pool2d_input(dy, argmax, x_shape, kernel_size, stride, padding, dilation)
    winners = np.ascontiguousarray(argmax.transpose(1, 2, 3, 0), np.uint8)
    return _pool_back_call("max", dy, winners, x_shape, kernel_size, stride, padding)


def avg_pool2d(
    x: Array, kernel_size: Pair, stride: Pair, padding: Padding, dilation: Pair, counts: Counts | None
) -> Array:
    """Average window by window along the batch."""
    counted = lowering.counts_padding(x.shape, kernel_size, stride, padding, dilation, counts)
    if counted is None or not _suits(x):
        return columns.avg_pool2d(x, kernel_size, stride, padding, dilation, counts)
    return _batch_first(_pool_call("avg", x, kernel_size, stride, padding, counted)[0])


def avg_pool2d_input(
    dy: Array,
    x_shape: tuple[int, ...],
    kernel_size: Pair,
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    counts: Counts | None,
) -> Array:
    """Add each window's share to all its pixels."""
    counted = lowering.counts_padding(x_shape, kernel_size, stride, padding, dilation, counts)
    if counted is None or not _suits(dy) or 0 in x_shape:
        return columns.avg_pool2d_input(dy, x_shape, kernel_size, stride, padding, dilation, counts)
    return _pool_back_call("avg", dy, None, x_shape, kernel_size, stride, padding, counted)


_SAMPLE_WORK = 60
"""Floating point operations that take as long as reading one number between four pixels."""


def affine(x: Array, matrix: Array, fill: float | None) -> Array:
    """Read image by image, a row's places once for all channels."""
    if not _suits(x):
        return sampling.affine(x, matrix, fill)
    x, y = np.ascontiguousarray(x), np.empty(x.shape, x.dtype)

    def build(call: _Call) -> None:
        program, (N, C, H, W) = call.program, x.shape
        program.scratch = max(program.scratch, scratch_bytes(C, H, W, x.itemsize))
        program.add(
            "affine",
            N,
            work=_SAMPLE_WORK * x.size,
            x=call.array(),
            y=call.array(),
            matrix=call.array(),
            n0=N,
            n1=C,
            n2=H,
            n3=W,
            edge=int(fill is None),
            fill=0.0 if fill is None else fill,
        )

    _call(("affine", x.dtype, x.shape, fill), build, [x, y, np.ascontiguousarray(matrix, np.float64)])
    return y
