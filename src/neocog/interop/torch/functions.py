"""From PyTorch's functions and methods of tensors to layers.

Each function here has the arguments of PyTorch's. It returns a layer, or several one after another, or
none for a function that changes nothing.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neocog.initializers import zeros
from neocog.interop.torch.graph_builder import BATCH, MOVED_BATCH, UnsupportedError, Value, check_batch, known
from neocog.layers import (
    GELU,
    AvgPool2D,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool2D,
    GlobalMaxPool2D,
    Layer,
    LeakyReLU,
    LocalResponseNorm,
    LogSoftmax,
    MaxPool2D,
    Pad2D,
    PadChannels,
    ReLU,
    Reshape,
    Sigmoid,
    Softmax,
    Tanh,
    Transpose,
)


@dataclass
class Loaded:
    """A layer, and the tensors that its arrays are to be copied from."""

    layer: Layer
    tensors: dict[str, Tensor]


Chain: TypeAlias = Layer | Loaded | tuple[Layer, ...]

IN_TRAINING = "in training"
"""The value of ``training`` of a function that was given the module's own."""

FUNCTIONS: dict[Any, Callable[..., Chain]] = {}
"""What stands for each function, and for each method by its name."""


def _table(*targets: Any) -> Callable[[Callable[..., Chain]], Callable[..., Chain]]:
    def enter(make: Callable[..., Chain]) -> Callable[..., Chain]:
        FUNCTIONS.update(dict.fromkeys(targets, make))
        return make

    return enter


@_table(F.relu, torch.relu, torch.relu_, "relu", "relu_")
def relu(x: Value, inplace: bool = False) -> Chain:
    return ReLU()


@_table(F.leaky_relu, F.leaky_relu_)
def leaky_relu(x: Value, negative_slope: float = 0.01, inplace: bool = False) -> Chain:
    return LeakyReLU(negative_slope)


@_table(F.sigmoid, torch.sigmoid, torch.sigmoid_, "sigmoid", "sigmoid_")
def sigmoid(x: Value) -> Chain:
    return Sigmoid()


@_table(F.tanh, torch.tanh, torch.tanh_, "tanh", "tanh_")
def tanh(x: Value) -> Chain:
    return Tanh()


@_table(F.gelu)
def gelu(x: Value, approximate: str = "none") -> Chain:
    return GELU(approximate)


@_table(F.softmax, torch.softmax, "softmax")
def softmax(x: Value, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Chain:
    return Softmax(_softmax_axis(dim, dtype))


@_table(F.log_softmax, torch.log_softmax, "log_softmax")
def log_softmax(x: Value, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Chain:
    return LogSoftmax(_softmax_axis(dim, dtype))


def _softmax_axis(dim: int | None, dtype: Any) -> int:
    if dim is None or dtype is not None:
        raise UnsupportedError("it needs a dim, and no dtype")
    return dim


@_table(F.dropout)
def dropout(x: Value, p: float = 0.5, training: Any = True, inplace: bool = False) -> Chain:
    if training is True:
        raise UnsupportedError("it drops in evaluation too; with training=self.training it is supported")
    return Dropout(p) if training == IN_TRAINING else ()


@_table(F.local_response_norm)
def local_response_norm(
    x: Value, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Chain:
    return LocalResponseNorm(size, alpha, beta, k)


@_table(F.max_pool2d, torch.max_pool2d)
def max_pool2d(
    x: Value,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Chain:
    _without_indices(return_indices)
    return MaxPool2D(_size(kernel_size), _size(stride) or None, _size(padding), _size(dilation), ceil_mode)


@_table(F.avg_pool2d)
def avg_pool2d(
    x: Value,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Chain:
    return AvgPool2D(
        _size(kernel_size),
        _size(stride) or None,
        _size(padding),
        count_include_pad,
        ceil_mode,
        divisor_override,
    )


def _without_indices(return_indices: bool) -> None:
    if return_indices:
        raise UnsupportedError("return_indices=True has no counterpart; False is supported")


def _size(size: Any) -> Any:
    """PyTorch takes ``(3,)`` for 3."""
    return size[0] if isinstance(size, tuple | list) and len(size) == 1 else size


@_table(F.adaptive_avg_pool2d)
def adaptive_avg_pool2d(x: Value, output_size: Any) -> Chain:
    return _adaptive(x, output_size, GlobalAvgPool2D, AvgPool2D)


@_table(F.adaptive_max_pool2d)
def adaptive_max_pool2d(x: Value, output_size: Any, return_indices: bool = False) -> Chain:
    _without_indices(return_indices)
    return _adaptive(x, output_size, GlobalMaxPool2D, MaxPool2D)


def _adaptive(
    x: Value,
    output_size: Any,
    whole: type[GlobalAvgPool2D | GlobalMaxPool2D],
    pool: type[AvgPool2D | MaxPool2D],
) -> Chain:
    """The pooling whose windows are those of adaptive pooling, of one size and at one distance."""
    if output_size in (1, (1, 1), [1, 1]):
        return whole(), Reshape((0, -1, 1, 1))
    *_, H, W = known(x, "an output_size other than 1")
    wanted = output_size if isinstance(output_size, tuple | list) else (output_size, output_size)
    windows = []
    for size, asked in zip((H, W), wanted, strict=True):
        out = size if asked is None else asked
        starts = [i * size // out for i in range(out)]
        lengths = {-(-(i + 1) * size // out) - start for i, start in enumerate(starts)}
        steps = {after - start for start, after in pairwise(starts)}
        if len(lengths) != 1 or len(steps) > 1 or steps == {0}:
            raise UnsupportedError(
                f"output_size={output_size!r} of a {H}x{W} map takes windows of different sizes, or the same "
                "one again; sizes that divide those of the map are supported"
            )
        windows.append((lengths.pop(), steps.pop() if steps else size))
    (kH, sH), (kW, sW) = windows
    return () if (kH, kW, sH, sW) == (1, 1, 1, 1) else pool((kH, kW), (sH, sW))


@_table(torch.mean, "mean")
def mean(x: Value, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Chain:
    if dtype is not None or not isinstance(dim, tuple | list) or {d % 4 for d in dim} != {2, 3}:
        raise UnsupportedError(f"dim={dim!r} has no counterpart; the mean of whole maps, dim=(2, 3), has")
    return (GlobalAvgPool2D(), Reshape((0, -1, 1, 1))) if keepdim else GlobalAvgPool2D()


@_table(torch.flatten, "flatten")
def flatten(x: Value, start_dim: int = 0, end_dim: int = -1) -> Chain:
    if (start_dim, end_dim) == (1, -1):
        return Flatten()
    if start_dim < 1 or end_dim != -1:
        shape = known(x, f"start_dim={start_dim}, end_dim={end_dim}")
        start, end = start_dim % (len(shape) + 1), end_dim % (len(shape) + 1)
        if start == 0:
            raise UnsupportedError("start_dim=0 would join the images of a batch; start_dim=1 is supported")
        return _reshaped((*shape[: start - 1], prod(shape[start - 1 : end]), *shape[end:]))
    return Reshape((0,) * start_dim + (-1,))


@_table(torch.reshape, "reshape", "view")
def reshape(x: Value, *args: Any, shape: Any = (), size: Any = ()) -> Chain:
    sizes = [*(_listed(args) or shape or size)]
    if not all(isinstance(size, int) for size in sizes) or not sizes:
        raise UnsupportedError(f"the shape {tuple(sizes)} has no counterpart; a shape of integers has")
    batch, *rest = sizes
    if x.shape is not None and batch == -1 and prod(rest) == prod(x.shape):
        batch = BATCH
    if any(size % BATCH == 0 for size in rest) or (batch != BATCH and (batch != -1 or x.shape is not None)):
        raise UnsupportedError(
            f"the shape {tuple('N' if size == BATCH else size for size in sizes)} does not keep the images "
            "of a batch apart; (N, ...) does, with N = x.size(0)"
        )
    if batch == -1:
        return Reshape((-1, *rest))
    check_batch(x)
    return _reshaped(tuple(rest))


def _listed(args: tuple[Any, ...]) -> Sequence[Any]:
    """PyTorch takes ``(2, 3)`` for ``2, 3``."""
    return args[0] if len(args) == 1 and isinstance(args[0], tuple | list) else args


def _reshaped(rest: tuple[int, ...]) -> Chain:
    """A shape without the batch; Flatten where that does the same."""
    return Flatten() if len(rest) == 1 else Reshape((0, *rest))


@_table(torch.squeeze, "squeeze")
def squeeze(x: Value, dim: int | None = None) -> Chain:
    if not isinstance(dim, int):
        raise UnsupportedError("without a dim it would take a batch of 1 away; one dim is supported")
    shape = known(x, "squeeze")
    axis = dim % (len(shape) + 1) - 1
    if axis < 0:
        raise UnsupportedError("dim=0 is the batch; another dim is supported")
    return _reshaped(shape[:axis] + shape[axis + 1 :]) if shape[axis] == 1 else ()


@_table(torch.permute, "permute")
def permute(x: Value, *args: Any, dims: Any = ()) -> Chain:
    given = _listed(args) or dims
    axes = tuple(axis % len(given) for axis in given)
    if axes and axes[0] != 0:  # which the shape does not say where it is unknown
        raise UnsupportedError(MOVED_BATCH)
    return Transpose(axes)


@_table(torch.transpose, "transpose")
def transpose(x: Value, dim0: int, dim1: int) -> Chain:
    axes = list(range(len(known(x, "transpose")) + 1))
    axes[dim0], axes[dim1] = axes[dim1], axes[dim0]
    return Transpose(tuple(axes))


@_table(operator.getitem)
def getitem(x: Value, index: Any) -> Chain:
    """``x[:, :, ::2, ::2]``, every second pixel, is a pooling of single pixels."""
    parts = list(index) if isinstance(index, tuple) else [index]
    if Ellipsis in parts:
        at = parts.index(Ellipsis)
        parts[at : at + 1] = [slice(None)] * (5 - len(parts))
    whole = [part for part in parts if isinstance(part, slice) and not part.start and part.stop is None]
    steps = [part.step or 1 for part in whole] + [1] * (4 - len(parts))
    if len(whole) < len(parts) or len(steps) > 4 or steps[:2] != [1, 1]:
        raise UnsupportedError("the index has no counterpart; x[:, :, ::a, ::b] has")
    return MaxPool2D(1, (steps[2], steps[3])) if max(steps) > 1 else ()


@_table(F.pad)
def pad(x: Value, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Chain:
    sides = [*pad, *[0] * (6 - len(pad))]
    left, right, top, bottom, before, after = sides
    if len(sides) > 6:
        raise UnsupportedError(f"pad={tuple(pad)} pads the batch; three axes or fewer are supported")
    if not before and not after:
        return Pad2D(((top, bottom), (left, right)), value or 0.0, mode)
    if mode != "constant" or value or any(sides[:4]):
        raise UnsupportedError(f"pad={tuple(pad)}: maps of zeros cannot be joined with other padding")
    if not before:
        return PadChannels(after)
    # Channels stand last for a while, where Pad2D can reach them.
    return Transpose((0, 2, 3, 1)), Pad2D(((0, 0), (before, after))), Transpose((0, 3, 1, 2))


@_table(F.conv2d)
def conv2d(
    x: Value,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Chain:
    out_channels, in_channels, kH, kW = _parameter("weight", weight).shape
    options = (_size(stride), _size(padding), _size(dilation), groups, bias is not None)
    layer = Conv2D(in_channels * groups, out_channels, (kH, kW), *options, init=zeros)
    return Loaded(layer, _parameters(weight, bias))


@_table(F.linear)
def linear(x: Value, weight: Any, bias: Any = None) -> Chain:
    out_features, in_features = _parameter("weight", weight).shape
    return Loaded(Dense(in_features, out_features, bias is not None, init=zeros), _parameters(weight, bias))


def _parameters(weight: Any, bias: Any) -> dict[str, Tensor]:
    tensors = {"weight": weight}
    if bias is not None:
        tensors["bias"] = _parameter("bias", bias)
    return tensors


def _parameter(name: str, tensor: Any) -> Tensor:
    if not isinstance(tensor, nn.Parameter):
        raise UnsupportedError(f"its {name} is computed; a parameter of the module is supported")
    return tensor
