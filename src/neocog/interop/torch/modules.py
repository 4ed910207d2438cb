"""Define modules for the layers that PyTorch lacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neocog.kernels.geometry import NO_PADDING, Padding, Pair, ceil_paddings, same_paddings, window_counts

Shape: TypeAlias = tuple[int, ...]


def pad(x: Tensor, sides: Padding, value: float = 0.0) -> Tensor:
    """Pad the last two axes with a number."""
    (top, bottom), (left, right) = sides
    return F.pad(x, (left, right, top, bottom), value=value)


def one_map(x: Tensor) -> Shape:
    """Return the shape of one map of one image; the number of them may be a symbol in ``torch.export``."""
    return (1, 1, *x.shape[2:])


class Graph(nn.Module):
    """Modules joined into an acyclic graph, run in the order in which they are given.

    ``sources`` names where each takes its input from: a name, or a tuple of names for a module that takes
    a tuple.
    """

    def __init__(
        self,
        modules: Mapping[str, nn.Module],
        sources: Mapping[str, str | tuple[str, ...]],
        inputs: Sequence[str],
        output: str,
    ) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)
        self._sources, self._inputs, self._output = dict(sources), tuple(inputs), output

    def forward(self, x: Tensor) -> Tensor:
        return self._run((x,))

    def _run(self, x: Sequence[Tensor]) -> Tensor:
        values = dict(zip(self._inputs, x, strict=True))
        for name, sources in self._sources.items():
            given = values[sources] if isinstance(sources, str) else tuple(values[s] for s in sources)
            values[name] = self._modules[name](given)  # type: ignore[misc]
        return values[self._output]

    def extra_repr(self) -> str:
        return "\n".join(f"{sources} -> {name}" for name, sources in self._sources.items()).replace("'", "")


class GraphOfSeveralInputs(Graph):
    """A graph that is called with its inputs, or with a tuple of them."""

    def forward(self, *x: Any) -> Tensor:
        return self._run(x if len(x) > 1 else x[0])


class Residual(nn.Module):
    """``body(x) + shortcut(x)``, or ``body(x) + x``."""

    def __init__(self, body: nn.Module, shortcut: nn.Module | None = None) -> None:
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, x: Tensor) -> Tensor:
        around = x if self.shortcut is None else self.shortcut(x)
        total: Tensor = self.body(x) + around
        return total


class Add(nn.Module):
    """Sum a tuple of tensors, broadcast."""

    def forward(self, x: Sequence[Tensor]) -> Tensor:
        total = x[0]
        for part in x[1:]:
            total = total + part
        return total


class Multiply(nn.Module):
    """Multiply a tuple of tensors, broadcast."""

    def forward(self, x: Sequence[Tensor]) -> Tensor:
        return reduce(torch.mul, x)


class MatMul(nn.Module):
    """Multiply two tensors as matrices."""

    def forward(self, x: Sequence[Tensor]) -> Tensor:
        return torch.matmul(*x)


class Maximum(nn.Module):
    """Take the largest of a tuple of tensors, broadcast; equal ones have the same gradient."""

    def forward(self, x: Sequence[Tensor]) -> Tensor:
        if len(x) == 2:
            return torch.maximum(*x)
        return torch.stack(torch.broadcast_tensors(*x)).amax(0)  # type: ignore[no-untyped-call]


class Minimum(nn.Module):
    """Take the smallest of a tuple of tensors, broadcast; equal ones have the same gradient."""

    def forward(self, x: Sequence[Tensor]) -> Tensor:
        if len(x) == 2:
            return torch.minimum(*x)
        return torch.stack(torch.broadcast_tensors(*x)).amin(0)  # type: ignore[no-untyped-call]


class Concat(nn.Module):
    """Concatenate a tuple of tensors."""

    def __init__(self, dim: int = 1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Sequence[Tensor]) -> Tensor:
        return torch.cat(tuple(x), dim=self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class PaddedConv2d(nn.Conv2d):
    """``nn.Conv2d`` with another padding on each side; None is TensorFlow's "same"."""

    kernel_size: Pair
    stride: Pair
    dilation: Pair

    def __init__(self, *args: Any, sides: Padding | None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sides = sides

    def forward(self, x: Tensor) -> Tensor:
        sides = self.sides or same_paddings(one_map(x), self.kernel_size, self.stride, self.dilation)
        return super().forward(pad(x, sides))

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, sides={self.sides}"  # type: ignore[no-untyped-call]


class CroppedConvTranspose2d(nn.ConvTranspose2d):
    """``nn.ConvTranspose2d`` with another padding on each side."""

    def __init__(self, *args: Any, sides: Padding, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sides = sides

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        return pad(super().forward(x, output_size), _negative(self.sides))

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, sides={self.sides}"  # type: ignore[no-untyped-call]


def _negative(sides: Padding) -> Padding:
    """Return the padding that crops."""
    (top, bottom), (left, right) = sides
    return (-top, -bottom), (-left, -right)


class SparseConv2d(nn.Module):
    """A convolution with a kernel for each connection ``(f, c)`` of the output map f with the input map c."""

    def __init__(
        self,
        in_channels: int,
        connections: Sequence[Sequence[int]],
        kernel_size: tuple[int, int],
        stride: tuple[int, int],
        padding: tuple[int, int],
    ) -> None:
        super().__init__()
        self.in_channels, self.kernel_size = in_channels, kernel_size
        self.stride, self.padding = stride, padding
        self.connections = tuple(tuple(seen) for seen in connections)
        pairs = [(f, c) for f, seen in enumerate(self.connections) for c in seen]
        self._filters, self._channels = [f for f, _ in pairs], [c for _, c in pairs]
        self.weight = nn.Parameter(torch.zeros(len(pairs), *kernel_size))
        self.bias = nn.Parameter(torch.zeros(len(self.connections)))

    def forward(self, x: Tensor) -> Tensor:
        bank = self.weight.new_zeros(len(self.connections), self.in_channels, *self.kernel_size)
        bank[self._filters, self._channels] = self.weight
        return F.conv2d(x, bank, self.bias, self.stride, self.padding)

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, {self.connections}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"padding={self.padding}"
        )


class WindowPool2d(nn.Module):
    """Base of pooling with a padding that ``nn.MaxPool2d`` and ``nn.AvgPool2d`` refuse: uneven, or wide."""

    def __init__(
        self, kernel_size: Pair, stride: Pair, sides: Padding | None, dilation: Pair, ceil_mode: bool
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.sides = kernel_size, stride, sides
        self.dilation, self.ceil_mode = dilation, ceil_mode

    def stated_sides(self, shape: Shape) -> Padding:
        """Return the padding, without what ``ceil_mode`` adds to it; None is TensorFlow's "same"."""
        return self.sides or same_paddings(shape, self.kernel_size, self.stride, self.dilation)

    def window_sides(self, shape: Shape) -> Padding:
        """Return the padding, with what ``ceil_mode`` adds to it."""
        stated = self.stated_sides(shape)
        if not self.ceil_mode:
            return stated
        return ceil_paddings(shape, self.kernel_size, self.stride, stated, self.dilation)

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, sides={self.sides}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class PaddedMaxPool2d(WindowPool2d):
    """``nn.MaxPool2d`` with any padding."""

    def forward(self, x: Tensor) -> Tensor:
        x = pad(x, self.window_sides(one_map(x)), -torch.inf)
        return F.max_pool2d(x, self.kernel_size, self.stride, dilation=self.dilation)


class PaddedAvgPool2d(WindowPool2d):
    """``nn.AvgPool2d`` with any padding, and with dilation."""

    def __init__(self, *args: Any, count_include_pad: bool, divisor_override: int | None) -> None:
        super().__init__(*args)
        self.count_include_pad, self.divisor_override = count_include_pad, divisor_override

    def forward(self, x: Tensor) -> Tensor:
        sides = self.window_sides(one_map(x))
        C = x.shape[1]
        ones = x.new_ones(C, 1, *self.kernel_size)
        sums = F.conv2d(pad(x, sides), ones, stride=self.stride, dilation=self.dilation, groups=C)
        if self.divisor_override is not None:
            return sums / self.divisor_override
        counted = self.stated_sides(one_map(x)) if self.count_include_pad else NO_PADDING
        geometry = (self.kernel_size, self.stride, sides, self.dilation)
        rows, columns = window_counts(one_map(x), *geometry, counted=counted)
        return sums / (x.new_tensor(rows)[:, None] * x.new_tensor(columns))

    def extra_repr(self) -> str:
        return (
            f"{super().extra_repr()}, count_include_pad={self.count_include_pad}, "
            f"divisor_override={self.divisor_override}"
        )


class GlobalAvgPool2d(nn.Module):
    """Average each map: (N, C, H, W) -> (N, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


class GlobalMaxPool2d(nn.Module):
    """Take the maximum of each map: (N, C, H, W) -> (N, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return F.adaptive_max_pool2d(x, 1).flatten(1)


class Reshape(nn.Module):
    """Reshape, the batch included; 0 copies a size, -1 is inferred."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        sizes = [x.shape[axis] if size == 0 else size for axis, size in enumerate(self.shape)]
        if self.shape[0] == 0 and -1 in self.shape:
            # Image by image, so that -1 is known even for a batch of none.
            return torch.unflatten(x.unsqueeze(-1).flatten(1), 1, sizes[1:])
        return x.reshape(sizes)

    def extra_repr(self) -> str:
        return f"{self.shape}"


class Permute(nn.Module):
    """Permute the axes."""

    def __init__(self, dims: Shape) -> None:
        super().__init__()
        self.dims = dims

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(self.dims)

    def extra_repr(self) -> str:
        return f"{self.dims}"


class Bias(nn.Module):
    """Add a learned array."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(shape))

    @property
    def shape(self) -> Shape:
        """Return the shape of the learned array."""
        return tuple(self.bias.shape)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bias

    def extra_repr(self) -> str:
        return f"{self.shape}"


class Scale(nn.Module):
    """Multiply by a learned array."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(shape))

    @property
    def shape(self) -> Shape:
        """Return the shape of the learned array."""
        return tuple(self.weight.shape)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight

    def extra_repr(self) -> str:
        return f"{self.shape}"


class Rescale(nn.Module):
    """``scale x + offset`` with fixed numbers, or buffers."""

    scale: Any
    offset: Any

    def __init__(self, scale: Any, offset: Any) -> None:
        super().__init__()
        for name, value in (("scale", scale), ("offset", offset)):
            if isinstance(value, float):
                setattr(self, name, value)
            else:
                self.register_buffer(name, torch.tensor(value))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x * self.scale + self.offset
        return y

    def extra_repr(self) -> str:
        return f"scale={self.scale}, offset={self.offset}"


class Mean(nn.Module):
    """Take the mean along axes."""

    def __init__(self, dim: Shape, keepdim: bool) -> None:
        super().__init__()
        self.dim, self.keepdim = dim, keepdim

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(self.dim, keepdim=self.keepdim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, keepdim={self.keepdim}"


class Sum(Mean):
    """Sum along axes."""

    def forward(self, x: Tensor) -> Tensor:
        return x.sum(self.dim, keepdim=self.keepdim)


class Slice(nn.Module):
    """Take the entries ``start:stop:step`` along an axis."""

    def __init__(self, start: int, stop: int | None, step: int = 1, dim: int = 1) -> None:
        super().__init__()
        self.start, self.stop, self.step, self.dim = start, stop, step, dim

    def forward(self, x: Tensor) -> Tensor:
        return x[(slice(None),) * self.dim + (slice(self.start, self.stop, self.step),)]

    def extra_repr(self) -> str:
        return f"{self.start}, {self.stop}, {self.step}, dim={self.dim}"


class StochasticDepth(nn.Module):
    """Set all numbers of some images, or of the batch, to zero in training, as torchvision's does."""

    def __init__(self, p: float, mode: str) -> None:
        super().__init__()
        self.p, self.mode = p, mode

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        images = x.shape[0] if self.mode == "row" else 1
        kept = torch.full((images, *(1,) * (x.ndim - 1)), 1 - self.p, dtype=x.dtype, device=x.device)
        return x * (torch.bernoulli(kept) / (1 - self.p))

    def extra_repr(self) -> str:
        return f"p={self.p}, mode={self.mode}"


class LayerNorm(nn.LayerNorm):
    """``nn.LayerNorm`` of axes that begin at ``axis``."""

    def __init__(self, *args: Any, axis: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.axis = axis

    def forward(self, x: Tensor) -> Tensor:
        axes = tuple(range(self.axis, self.axis + len(self.normalized_shape)))
        last = tuple(range(-len(axes), 0))
        return super().forward(x.movedim(axes, last)).movedim(last, axes)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, axis={self.axis}"


class PadChannels(nn.Module):
    """Append channels of zeros."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x, (0, 0, 0, 0, 0, self.channels))

    def extra_repr(self) -> str:
        return f"{self.channels}"


class ScaledTanh(nn.Module):
    """``amplitude tanh(slope x)``."""

    def __init__(self, amplitude: float, slope: float) -> None:
        super().__init__()
        self.amplitude, self.slope = amplitude, slope

    def forward(self, x: Tensor) -> Tensor:
        return self.amplitude * torch.tanh(self.slope * x)

    def extra_repr(self) -> str:
        return f"amplitude={self.amplitude}, slope={self.slope}"


class Hardsigmoid(nn.Module):
    """``slope x + offset`` between 0 and 1; PyTorch's own has the float32 of 1/6 also for float64."""

    def __init__(self, slope: float, offset: float) -> None:
        super().__init__()
        self.slope, self.offset = slope, offset

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.hardtanh(self.slope * x + self.offset, 0.0, 1.0)

    def extra_repr(self) -> str:
        return f"slope={self.slope}, offset={self.offset}"


class RadialBasis(nn.Module):
    """Minus the squared distance to each of some fixed centers: (N, in) -> (N, out)."""

    centers: Tensor

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.register_buffer("centers", torch.zeros(out_features, in_features))

    def forward(self, x: Tensor) -> Tensor:
        return -((x[:, None, :] - self.centers) ** 2).sum(2)


class Normalize(nn.Module):
    """Subtract a fixed mean from each channel, and divide by a fixed standard deviation: (N, C, ...)."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("std", torch.tensor(std))

    def forward(self, x: Tensor) -> Tensor:
        shape = (-1, *(1,) * (x.ndim - 2))
        return (x - self.mean.reshape(shape)) / self.std.reshape(shape)

    def extra_repr(self) -> str:
        return f"mean={self.mean.tolist()}, std={self.std.tolist()}"
