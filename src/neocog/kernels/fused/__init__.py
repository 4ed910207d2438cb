"""Convolve and pool in code that Numba compiles: vector instructions written out, all cores.

For NumPy arrays of float32 and float64; other dtypes, and arrays of other libraries, go through ``im2col``.
Memory runs batch-last inside, as there, and results are returned as views of it.
"""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
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
from neocog.kernels.fused.program import Maps, Memory, Program, Slot
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
    """Run one function of this module as a program: arrays are bound to slots, one or two are returned."""

    def __init__(self, dtype: np.dtype[Any], exact: bool) -> None:
        self.program = Program(dtype, exact=exact)
        self.slots: list[Slot] = []
        self.results: list[tuple[Memory, tuple[int, ...], Any]] = []

    def array(self) -> Slot:
        """Add a slot for an array that is read as it lies in memory."""
        self.slots.append(Slot())
        return self.slots[-1]

    def images(self, shape: tuple[int, ...], strides: tuple[int, ...], border: Any = (0, 0, 0, 0)) -> Maps:
        """Add a slot for images (N, C, H, W) with any strides (in elements), copied to maps."""
        N, C, H, W = shape
        maps = self.program.maps(C, H, W, N, border)
        n, c, h, w = strides
        lowering.copy(
            self.program,
            self.array(),
            (c, h, w, n),
            maps.origin,
            maps.shape,
            (maps.plane, maps.row, maps.N, 1),
        )
        return maps

    def add_result(self, memory: Memory | Slot, shape: tuple[int, ...], dtype: Any = None) -> None:
        """Add the contents of some memory to the results."""
        assert isinstance(memory, Memory)
        memory.kept = True
        self.results.append((memory, shape, dtype))

    def __call__(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        for slot, array in zip(self.slots, arrays, strict=True):
            self.program.bind(slot, array)
        self.program.run()
        return [
            self.program.array(memory, dtype)[: int(np.prod(shape))].reshape(shape).copy()
            for memory, shape, dtype in self.results
        ]


_calls: OrderedDict[Any, list[_Call]] = OrderedDict()


def _call(key: Any, build: Callable[[_Call], None], arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Run the program of this key on the arrays; a program serves one thread at a time."""
    key = (active_precision(), *key)
    with _lock:
        idle = _calls.setdefault(key, [])
        _calls.move_to_end(key)
        call = idle.pop() if idle else None
        while len(_calls) > _KEPT:
            _calls.popitem(last=False)
    if call is None:
        call = _Call(arrays[0].dtype, active_precision() == "exact")
        build(call)
        call.program.finish()
    results = call(arrays)
    if call.program.bytes <= _LARGEST:
        with _lock:
            if key in _calls:
                _calls[key].append(call)
    return results


def _suits(*arrays: Any) -> bool:
    """Return whether the arrays are of a dtype that is compiled, and none is empty."""
    return (
        all(
            array is None or (isinstance(array, np.ndarray) and array.dtype in _DTYPES and array.size > 0)
            for array in arrays
        )
        and len({array.dtype for array in arrays if array is not None}) == 1
    )


def _strided(x: np.ndarray) -> tuple[np.ndarray, tuple[int, ...]]:
    """Return x and its strides in elements; a copy where these are negative or not whole elements."""
    if any(s < 0 or s % x.itemsize for s in x.strides) or not x.flags.aligned:
        x = np.ascontiguousarray(x)
    return x, tuple(s // x.itemsize for s in x.strides)


def _batch_first(y: np.ndarray) -> np.ndarray:
    return y.transpose(3, 0, 1, 2)


def conv2d(
    x: Array, w: Array, b: Array | None, stride: Pair, padding: Padding, dilation: Pair, groups: int
) -> Array:
    """Add products over one table of offsets; see :mod:`neocog.kernels.fused.lowering.convolution`."""
    if not _suits(x, w, b):
        return columns.conv2d(x, w, b, stride, padding, dilation, groups)
    x, strides = _strided(x)

    def build(call: _Call) -> None:
        conv = lowering.Convolution(call.program, x.shape, w.shape, stride, padding, dilation, groups)
        maps = call.images(x.shape, strides, conv.input_border)
        y = call.program.maps(w.shape[0], *conv.out, x.shape[0])
        windows = conv.windows(maps)
        conv.forward(windows, call.array(), None if b is None else call.array(), y)
        call.add_result(y.memory, y.shape)

    key = ("conv2d", x.dtype, x.shape, strides, w.shape, b is None, stride, padding, dilation, groups)
    arrays = [x, np.ascontiguousarray(w), *([] if b is None else [np.ascontiguousarray(b)])]
    return _batch_first(_call(key, build, arrays)[0])


def conv2d_input(
    dy: Array, w: Array, x_shape: tuple[int, ...], stride: Pair, padding: Padding, dilation: Pair, groups: int
) -> Array:
    """Convolve dy with the flipped kernel."""
    if not _suits(dy, w) or 0 in x_shape:
        return columns.conv2d_input(dy, w, x_shape, stride, padding, dilation, groups)
    N, C, H, W = x_shape
    dy, strides = _strided(dy)

    def build(call: _Call) -> None:
        conv = lowering.Convolution(call.program, x_shape, w.shape, stride, padding, dilation, groups)
        maps = call.images(dy.shape, strides, conv.output_border)
        dx = call.program.maps(C, H, W, N)
        conv.input_gradient(maps, call.array(), dx)
        call.add_result(dx.memory, dx.shape)

    key = ("conv2d_input", dy.dtype, x_shape, dy.shape, strides, w.shape, stride, padding, dilation, groups)
    return _batch_first(_call(key, build, [dy, np.ascontiguousarray(w)])[0])


def conv2d_weight(
    x: Array, dy: Array, w_shape: tuple[int, ...], stride: Pair, padding: Padding, dilation: Pair, groups: int
) -> Array:
    """Sum the windows of x, each weighted by its dy."""
    if not _suits(x, dy):
        return columns.conv2d_weight(x, dy, w_shape, stride, padding, dilation, groups)
    x, strides = _strided(x)
    dy, dy_strides = _strided(dy)

    def build(call: _Call) -> None:
        conv = lowering.Convolution(call.program, x.shape, w_shape, stride, padding, dilation, groups)
        maps = call.images(x.shape, strides, conv.input_border)
        dy_maps = call.images(dy.shape, dy_strides)
        dw = call.program.memory(int(np.prod(w_shape)))
        conv.weight_gradient(conv.windows(maps), dy_maps, dw)
        call.add_result(dw, w_shape)

    geometry = (w_shape, stride, padding, dilation, groups)
    key = ("conv2d_weight", x.dtype, x.shape, strides, dy.shape, dy_strides, *geometry)
    return _call(key, build, [x, dy])[0]


def _pool_call(
    kind: str,
    like: np.ndarray,
    x_shape: Any,
    kernel: Pair,
    stride: Pair,
    padding: Padding,
    counted: bool,
    arrays: list[np.ndarray],
) -> list[np.ndarray]:
    N, C, H, W = x_shape
    out = output_sizes(x_shape, kernel, stride, padding)
    laid_out = [_strided(array) for array in arrays]
    arrays = [array for array, _ in laid_out]
    strides = [s for _, s in laid_out]

    def build(call: _Call) -> None:
        program = call.program
        first = call.images(arrays[0].shape, strides[0])
        if kind.endswith("back"):
            result = program.maps(C, H, W, N)
            winners = call.array() if kind.startswith("max") else None
            lowering.pool_back(program, kind[:3], first, result, winners, kernel, stride, padding, counted)
            call.add_result(result.memory, result.shape)
            return
        result = program.maps(C, *out, N)
        index = program.memory(C * out[0] * out[1] * N, size=1) if kind == "max" else None
        lowering.pool(program, kind, first, result, index, kernel, stride, padding, counted)
        call.add_result(result.memory, result.shape)
        if index is not None:
            call.add_result(index, result.shape, np.uint8)

    key = (kind, like.dtype, x_shape, tuple(strides), kernel, stride, padding, counted)
    return _call(key, build, arrays)


def max_pool2d(
    x: Array, kernel_size: Pair, stride: Pair, padding: Padding, dilation: Pair
) -> tuple[Array, Array]:
    """Compare tap by tap along the batch; the winner's tap is one byte."""
    if not _suits(x) or kernel_size[0] * kernel_size[1] > lowering.LARGEST_WINDOW or dilation != (1, 1):
        return columns.max_pool2d(x, kernel_size, stride, padding, dilation)
    y, index = _pool_call("max", x, x.shape, kernel_size, stride, padding, True, [x])
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
    return _batch_first(
        _pool_call("max_back", dy, x_shape, kernel_size, stride, padding, True, [dy, winners])[0]
    )


def avg_pool2d(
    x: Array, kernel_size: Pair, stride: Pair, padding: Padding, dilation: Pair, counts: Counts | None
) -> Array:
    """Average window by window along the batch."""
    counted = lowering.counts_padding(x.shape, kernel_size, stride, padding, dilation, counts)
    if counted is None or not _suits(x):
        return columns.avg_pool2d(x, kernel_size, stride, padding, dilation, counts)
    return _batch_first(_pool_call("avg", x, x.shape, kernel_size, stride, padding, counted, [x])[0])


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
    return _batch_first(_pool_call("avg_back", dy, x_shape, kernel_size, stride, padding, counted, [dy])[0])


_SAMPLE_WORK = 60
"""Floating point operations that take as long as reading one number between four pixels."""


def affine(x: Array, matrix: Array, fill: float | None) -> Array:
    """Read image by image, a row's places once for all channels."""
    if not _suits(x):
        return sampling.affine(x, matrix, fill)
    x, y = np.ascontiguousarray(x), np.empty(x.shape, x.dtype)

    def build(call: _Call) -> None:
        program, (N, C, H, W) = call.program, x.shape
        program.scratch = scratch_bytes(C, H, W, x.itemsize)
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
