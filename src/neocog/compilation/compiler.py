"""Write a network's forward and backward pass as a program."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from neocog.compilation.tracing import Node, Uncompilable, Value, Windows, network_arrays, trace, windows_of
from neocog.kernels.fused import lowering
from neocog.kernels.fused.operations import activation
from neocog.kernels.fused.program import NO_BORDER, Border, Maps, Program, Slot
from neocog.layers import (
    GELU,
    Add,
    AvgPool2D,
    BatchNorm1D,
    BatchNorm2D,
    Concat,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool2D,
    GlobalMaxPool2D,
    LeakyReLU,
    MaxPool2D,
    PadChannels,
    ReLU,
    Reshape,
    ScaledTanh,
    Sigmoid,
    Tanh,
)
from neocog.layers.base import Layer

DTYPES = (np.dtype(np.float32), np.dtype(np.float64))
_NO_FLOOR = -math.inf


def _wider(a: Border, b: Border) -> Border:
    return max(a[0], b[0]), max(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])


class Compiler:
    """Lowers one network for one batch size.

    Parameters
    ----------
    network : Layer
    input_shape : (N, C, H, W)
    training : bool
        Batch norm by the batch, dropout dropping; then :meth:`backward` may follow.
    frozen : bool
        The weights will never change: batch norm is folded and the weights are packed once.
    exact : bool
        Take every sum as it is written: no Winograd.
    dtype : floating point type
        Of a network without parameters.

    Raises
    ------
    Uncompilable
        If a layer has no compiled form.
    """

    def __init__(
        self,
        network: Layer,
        input_shape: tuple[int, ...],
        training: bool = False,
        frozen: bool = False,
        exact: bool = False,
        dtype: Any = np.float32,
    ) -> None:
        dtype = np.dtype(network.dtype or dtype)
        arrays = [array for _, _, array in network_arrays(network)]
        if dtype not in DTYPES or any(a.dtype != dtype or not a.flags.c_contiguous for a in arrays):
            raise Uncompilable("parameters that are not contiguous, all float32 or all float64")
        if training and (
            len({id(a) for a in arrays}) < len(arrays) or not all(a.flags.writeable for a in arrays)
        ):
            raise Uncompilable("parameters that several layers share, or that are read-only")
        self.program = Program(dtype, frozen, exact=exact)
        self.N = input_shape[0]
        self.training, self.frozen = training, frozen
        self.start, self.nodes, self.end, self.left = trace(network, input_shape)
        if training and self.left is not None:
            raise Uncompilable("training through a softmax")
        self.x = Slot()
        self.masks: list[tuple[Dropout, tuple[int, ...], Slot]] = []
        self.gradients: list[tuple[Node, str, Any]] = []
        self._plan()

    def _plan(self) -> None:
        """Find the borders that convolutions want around their inputs and around their outputs' gradients."""
        for node in self.nodes:
            if isinstance(node.layer, Conv2D):
                conv = node.memo["conv"] = self._convolution(node)
                node.input.border = _wider(node.input.border, conv.input_border)
                node.output.gradient_border = conv.output_border
        self._align()
        for node in self.nodes:
            if isinstance(node.layer, Flatten | Reshape | Concat | Dense | Dropout) or self._passes(node):
                for value in node.inputs:
                    value.border = value.gradient_border = NO_BORDER
            if isinstance(node.layer, Flatten | Reshape | Concat) or self._passes(node):
                node.output.border = node.output.gradient_border = NO_BORDER

    def _convolution(self, node: Node) -> lowering.Convolution:
        layer, x_shape = node.layer, (self.N, *node.input.shape)
        return lowering.Convolution(
            self.program,
            x_shape,
            layer._params["weight"].shape,
            layer.stride,
            layer._sides,
            layer.dilation,
            layer.groups,
        )

    def _align(self) -> None:
        """Give narrow maps of one size one border, so that a convolution can take them as one long row."""
        sizes: dict[tuple[int, int], list[Value]] = {}
        for node in self.nodes:
            for value in (*node.inputs, node.output):
                _, H, W = value.shape
                if H > 1 and W * self.N < lowering.NARROW:
                    sizes.setdefault((H, W), []).append(value)
        for values in sizes.values():
            widest = NO_BORDER
            for value in values:
                widest = _wider(widest, _wider(value.border, value.gradient_border))
            for value in values:
                value.border = value.gradient_border = widest

    def _passes(self, node: Node) -> bool:
        """Whether a node hands its input on as it is."""
        return isinstance(node.layer, Flatten | Reshape) or (
            isinstance(node.layer, Dropout) and not self._drops(node.layer)
        )

    def _drops(self, layer: Dropout) -> bool:
        return self.training and layer.p > 0

    def _clean(self, value: Value) -> bool:
        """Whether the border of a value is read, by a convolution or its gradient, and must then be zero."""
        borders = (node.memo["conv"].input_border for node in value.consumers if "conv" in node.memo)
        return self.training or any(border != NO_BORDER for border in borders)

    def _maps(self, value: Value) -> Maps:
        """Reserve the memory of a value."""
        value.maps = self.program.maps(*value.shape, self.N, value.border, self._clean(value))
        return value.maps

    # Forward

    def forward(self) -> Maps:
        """Add the forward pass; return the output's maps."""
        lowering.load(self.program, self.x, self._maps(self.start))
        for node in self.nodes:
            if not node.fused and not node.memo.get("folded"):
                FORWARD[type(node.layer)](self, node)
        assert self.end.maps is not None
        return self.end.maps

    @staticmethod
    def _floor(node: Node) -> float:
        return 0.0 if node.relu else _NO_FLOOR

    def _conv(self, node: Node) -> None:
        layer, source, conv = node.layer, _there(node.input.maps), node.memo["conv"]
        first, other = node, None
        weight, bias = layer._params["weight"], layer._params.get("bias")
        if self.frozen and (norm := self._norm_after(node)):
            weight, bias = self._folded(node, norm)
            node = norm
        if not conv.by_winograd and (total := self._sum_after(node)):
            (other,) = (value.maps for value in total.inputs if value is not node.output)
            total.memo["folded"] = True
            node = total
        y = self._maps(node.output)
        first.memo["windows"] = windows = conv.windows(source, y.row)
        conv.forward(windows, weight, bias, y, self._floor(node), other, self._clean(node.output))

    def _sum_after(self, node: Node) -> Node | None:
        """The sum that alone reads a node's output, where all else that it adds is there already."""
        if self.training or node.relu or not node.output.alone:
            return None
        (after,) = node.output.consumers
        if not isinstance(after.layer, Add) or len(after.inputs) != 2:
            return None
        others = [value for value in after.inputs if value is not node.output]
        return after if len(others) == 1 and others[0].maps is not None else None

    def _norm_after(self, node: Node) -> Node | None:
        """The batch norm that alone reads a convolution's output."""
        if node.relu or not node.output.alone:
            return None
        (after,) = node.output.consumers
        return after if isinstance(after.layer, BatchNorm2D) else None

    def _folded(self, node: Node, norm: Node) -> tuple[np.ndarray, np.ndarray]:
        """Weights and bias that do the work of the convolution and of the batch norm after it."""
        layer, after = node.layer, norm.layer
        exact = {
            name: array.astype(np.float64) for name, array in {**after._params, **after._buffers}.items()
        }
        scale = exact["weight"] / np.sqrt(exact["running_var"] + after.eps)
        bias = layer._params.get("bias")
        shift = exact["bias"] + ((0 if bias is None else bias) - exact["running_mean"]) * scale
        weight = layer._params["weight"]
        norm.memo["folded"] = True
        return (weight * scale[:, None, None, None]).astype(weight.dtype), shift.astype(weight.dtype)

    def _dense(self, node: Node) -> None:
        x, y = _there(node.input.maps), self._maps(node.output)
        params = node.layer._params
        lowering.dense(self.program, x, params["weight"], params.get("bias"), y, self._floor(node))

    def _norm(self, node: Node) -> None:
        layer, x, y = node.layer, _there(node.input.maps), self._maps(node.output)
        mean, inv_std = (self.program.memory(y.C) for _ in range(2))
        node.memo.update(mean=mean, inv_std=inv_std)
        self.program.add(
            "normalise",
            y.C,
            6.0 * y.C * y.H * y.lanes,
            training=int(self.training),
            weight=layer._params["weight"],
            bias=layer._params["bias"],
            running_mean=layer._buffers["running_mean"],
            running_var=layer._buffers["running_var"],
            mean=mean,
            inv_std=inv_std,
            momentum=layer.momentum,
            eps=layer.eps,
            floor=self._floor(node),
            **_space(y),
            **_place("x", x),
            **_place("y", y),
        )

    def _activation(self, node: Node) -> None:
        x, y = _there(node.input.maps), self._maps(node.output)
        self.program.add(
            "activate",
            y.C,
            self._cost(node.layer) * y.C * y.H * y.lanes,
            **_function(node.layer),
            **_space(y),
            **_place("x", x),
            **_place("y", y),
        )

    @staticmethod
    def _cost(layer: Layer) -> float:
        return 2.0 if isinstance(layer, ReLU | LeakyReLU) else 40.0

    def _pool(self, node: Node) -> None:
        x, y, windows = _there(node.input.maps), self._maps(node.output), self._windows(node)
        kind, index = self._pooling(node), None
        if kind == "max" and self.training:
            index = node.memo["index"] = self.program.memory(y.C * y.H * y.lanes, size=1)
        geometry = (windows.kernel, windows.stride, windows.padding, windows.counted)
        lowering.pool(self.program, kind, x, y, index, *geometry)

    def _windows(self, node: Node) -> Windows:
        return windows_of(node.layer, (self.N, *node.input.shape))

    @staticmethod
    def _pooling(node: Node) -> str:
        return "avg" if isinstance(node.layer, AvgPool2D) else "max"

    def _global_mean(self, node: Node) -> None:
        x, y = _there(node.input.maps), self._maps(node.output)
        self.program.add(
            "plane_mean",
            x.C,
            1.0 * x.C * x.H * x.lanes,
            C=x.C,
            rows=x.H,
            W=x.W,
            N=x.N,
            **_place("x", x),
            **_place("y", y),
        )

    def _reshape(self, node: Node) -> None:
        node.output.maps = _there(node.input.maps).reshaped(*node.output.shape)

    def _dropout(self, node: Node) -> None:
        if not self._drops(node.layer):
            return self._reshape(node)
        x, y = _there(node.input.maps), self._maps(node.output)
        mask = node.memo["mask"] = self.program.maps(*node.output.shape, self.N)
        slot = Slot()
        lowering.load(self.program, slot, mask)
        C, H, W = node.output.shape
        rank = (self.N, C, H, W) if node.input.shape[1:] != (1, 1) else (self.N, C)
        self.masks.append((node.layer, rank, slot))
        return self._multiply(x, mask, y)

    def _multiply(self, x: Maps, mask: Maps, y: Maps) -> None:
        self.program.add(
            "multiply",
            y.C,
            1.0 * y.C * y.H * y.lanes,
            **_space(y),
            **_place("x", x),
            **_place("y", mask),
            **_place("z", y),
        )

    def _sum(self, x: Maps, y: Maps, z: Maps, floor: float = _NO_FLOOR) -> None:
        self.program.add(
            "add",
            z.C,
            2.0 * z.C * z.H * z.lanes,
            floor=floor,
            **_space(z),
            **_place("x", x),
            **_place("y", y),
            **_place("z", z),
        )

    def _add(self, node: Node) -> None:
        z = self._maps(node.output)
        parts = [_there(value.maps) for value in node.inputs]
        if len(parts) == 1:
            lowering.transfer(self.program, parts[0], z)
            parts = [z]
        for k, part in enumerate(parts[1:], 1):
            last = k == len(parts) - 1
            self._sum(parts[0] if k == 1 else z, part, z, self._floor(node) if last else _NO_FLOOR)

    def _concat(self, node: Node) -> None:
        y, at = self._maps(node.output), 0
        for value in node.inputs:
            x = _there(value.maps)
            lowering.transfer(self.program, x, y.channels(at, x.C))
            at += x.C

    def _pad_channels(self, node: Node) -> None:
        x, y = _there(node.input.maps), self._maps(node.output)
        self.program.clear(y.channels(x.C, y.C - x.C))
        lowering.transfer(self.program, x, y.channels(0, x.C))

    # Backward

    def backward(self, input_grad: bool = False) -> None:
        """Add the backward pass from the gradient of the output, which is ``self.end.gradient``."""
        self.start.wanted = input_grad
        for node in self.nodes:
            if not node.fused:
                node.output.wanted = bool(node.layer.params) or any(value.wanted for value in node.inputs)
        for node in reversed(self.nodes):
            if node.fused or not node.output.wanted:
                continue
            dy = _there(node.output.gradient)
            norm = isinstance(node.layer, BatchNorm1D | BatchNorm2D)  # whose backward does the ReLU's
            if node.relu and not norm and not self._opened_by_pooling(node):
                self._relu_back(dy, _there(node.output.maps), dy)
            BACKWARD[type(node.layer)](self, node, dy)

    def gradient(self, node: Node, name: str) -> Any:
        """Reserve memory for a parameter's gradient."""
        memory = self.program.memory(node.layer._params[name].size)
        self.gradients.append((node, name, memory))
        return memory

    def gradient_maps(self, value: Value) -> Maps:
        """Reserve the memory of a value's gradient."""
        value.gradient = self.program.maps(*value.shape, self.N, value.gradient_border)
        return value.gradient

    @contextmanager
    def _into(self, value: Value) -> Iterator[Maps]:
        """Give the maps to write a gradient into; if there is one already, what was written is added."""
        if value.gradient is None:
            yield self.gradient_maps(value)
        else:
            part = self.program.maps(*value.shape, self.N)
            yield part
            lowering.transfer(self.program, part, value.gradient, adding=True)

    def _relu_back(self, dy: Maps, y: Maps, dx: Maps) -> None:
        self.program.add(
            "activate_back",
            y.C,
            2.0 * y.C * y.H * y.lanes,
            kind=activation.RELU,
            **_space(y),
            **_place("saved", y),
            **_place("dy", dy),
            **_place("dx", dx),
        )

    def _conv_back(self, node: Node, dy: Maps) -> None:
        conv, weight = node.memo["conv"], node.layer._params["weight"]
        conv.weight_gradient(node.memo["windows"], dy, self.gradient(node, "weight"))
        self._bias_back(node, dy)
        if node.input.wanted:
            adding = node.input.gradient is not None
            dx = node.input.gradient or self.gradient_maps(node.input)
            conv.input_gradient(dy, weight, dx, adding)

    def _bias_back(self, node: Node, dy: Maps) -> None:
        if "bias" in node.layer._params:
            self.program.add(
                "plane_sum",
                dy.C,
                1.0 * dy.C * dy.H * dy.lanes,
                d_bias=self.gradient(node, "bias"),
                **_space(dy),
                **_place("dy", dy),
            )

    def _dense_back(self, node: Node, dy: Maps) -> None:
        lowering.dense_weight(self.program, _there(node.input.maps), dy, self.gradient(node, "weight"))
        self._bias_back(node, dy)
        if node.input.wanted:
            with self._into(node.input) as dx:
                lowering.dense_input(self.program, dy, node.layer._params["weight"], dx)

    def _norm_back(self, node: Node, dy: Maps) -> None:
        x = _there(node.input.maps)
        fields = {
            "training": int(self.training),
            "weight": node.layer._params["weight"],
            "mean": node.memo["mean"],
            "inv_std": node.memo["inv_std"],
            "d_weight": self.gradient(node, "weight"),
            "d_bias": self.gradient(node, "bias"),
            **_space(dy),
            **_place("x", x),
            **_place("dy", dy),
        }
        if node.relu and not self._opened_by_pooling(node):
            fields |= _place("relu_output", _there(node.output.maps))
        work = 8.0 * dy.C * dy.H * dy.lanes
        if not node.input.wanted:
            self.program.add("normalise_back", dy.C, work, **fields)
            return
        with self._into(node.input) as dx:
            self.program.add("normalise_back", dy.C, work, **fields, **_place("dx", dx))

    def _activation_back(self, node: Node, dy: Maps) -> None:
        if not node.input.wanted:
            return
        if isinstance(node.layer, LeakyReLU) and node.layer.negative_slope < 0:
            raise Uncompilable("the outputs of this LeakyReLU do not tell the signs of its inputs")
        x = node.input.maps if isinstance(node.layer, GELU) else node.output.maps
        with self._into(node.input) as dx:
            self.program.add(
                "activate_back",
                dy.C,
                self._cost(node.layer) * dy.C * dy.H * dy.lanes,
                **_function(node.layer),
                **_space(dy),
                **_place("saved", _there(x)),
                **_place("dy", dy),
                **_place("dx", dx),
            )

    def _opened_by_pooling(self, node: Node) -> bool:
        """Whether a node's ReLU is followed by max pooling alone, whose backward then does the ReLU's, too.

        A winner is above 0 just where the pooled output is, and that is the smaller array.
        """
        return node.output.alone and isinstance(node.output.consumers[0].layer, MaxPool2D | GlobalMaxPool2D)

    def _pool_back(self, node: Node, dy: Maps) -> None:
        if not node.input.wanted:
            return
        before, windows = node.input.producer, self._windows(node)
        relu = before is not None and before.relu is not None and self._opened_by_pooling(before)
        geometry = (windows.kernel, windows.stride, windows.padding, windows.counted)
        index, where = node.memo.get("index"), node.output.maps if relu else None
        with self._into(node.input) as dx:
            lowering.pool_back(self.program, self._pooling(node), dy, dx, index, *geometry, where)

    def _global_mean_back(self, node: Node, dy: Maps) -> None:
        if not node.input.wanted:
            return
        with self._into(node.input) as dx:
            self.program.add(
                "plane_mean_back",
                dx.C,
                1.0 * dx.C * dx.H * dx.lanes,
                C=dx.C,
                rows=dx.H,
                W=dx.W,
                N=dx.N,
                **_place("dy", dy),
                **_place("dx", dx),
            )

    def _reshape_back(self, node: Node, dy: Maps) -> None:
        if not node.input.wanted:
            return
        if node.input.gradient is None and node.input.alone:
            node.input.gradient = dy.reshaped(*node.input.shape)
            return
        with self._into(node.input) as dx:
            lowering.transfer(self.program, dy.reshaped(*node.input.shape), dx)

    def _dropout_back(self, node: Node, dy: Maps) -> None:
        if not self._drops(node.layer):
            self._reshape_back(node, dy)
        elif node.input.wanted:
            with self._into(node.input) as dx:
                self._multiply(dy, node.memo["mask"], dx)

    def _add_back(self, node: Node, dy: Maps) -> None:
        # The last to take dy may keep it; the others need copies.
        wanted = [value for value in node.inputs if value.wanted]
        keeper = next(
            (v for v in wanted if v.gradient is None and v.alone and v.gradient_border == dy.border), None
        )
        for value in wanted:
            if value is not keeper:
                with self._into(value) as dx:
                    lowering.transfer(self.program, dy, dx)
        if keeper is not None:
            keeper.gradient = dy

    def _pad_channels_back(self, node: Node, dy: Maps) -> None:
        if node.input.wanted:
            with self._into(node.input) as dx:
                lowering.transfer(self.program, dy.channels(0, dx.C), dx)

    def _concat_back(self, node: Node, dy: Maps) -> None:
        at = 0
        for value in node.inputs:
            if value.wanted:
                with self._into(value) as dx:
                    lowering.transfer(self.program, dy.channels(at, value.shape[0]), dx)
            at += value.shape[0]


def _there(maps: Maps | None) -> Maps:
    assert maps is not None
    return maps


def _place(name: str, maps: Maps) -> dict[str, Any]:
    return {name: maps.origin, f"{name}_plane": maps.plane, f"{name}_row": maps.row}


def _space(maps: Maps) -> dict[str, Any]:
    return {"C": maps.C, "rows": maps.H, "lanes": maps.lanes}


def _function(layer: Layer) -> dict[str, Any]:
    """Fields of an activation."""
    if isinstance(layer, LeakyReLU):
        return {"kind": activation.LEAKY, "negative_slope": layer.negative_slope}
    if isinstance(layer, ScaledTanh):
        return {"kind": activation.TANH, "amplitude": layer.amplitude, "slope": layer.slope}
    if isinstance(layer, Tanh):
        return {"kind": activation.TANH, "amplitude": 1.0, "slope": 1.0}
    if isinstance(layer, GELU):
        return {"kind": activation.GELU_TANH if layer.approximate == "tanh" else activation.GELU}
    return {"kind": activation.SIGMOID if isinstance(layer, Sigmoid) else activation.RELU}


FORWARD: dict[type[Layer], Callable[[Compiler, Node], None]] = {
    Conv2D: Compiler._conv,
    Dense: Compiler._dense,
    BatchNorm1D: Compiler._norm,
    BatchNorm2D: Compiler._norm,
    MaxPool2D: Compiler._pool,
    AvgPool2D: Compiler._pool,
    GlobalAvgPool2D: Compiler._global_mean,
    GlobalMaxPool2D: Compiler._pool,
    Flatten: Compiler._reshape,
    Reshape: Compiler._reshape,
    Dropout: Compiler._dropout,
    Add: Compiler._add,
    Concat: Compiler._concat,
    PadChannels: Compiler._pad_channels,
}
BACKWARD: dict[type[Layer], Callable[[Compiler, Node, Maps], None]] = {
    Conv2D: Compiler._conv_back,
    Dense: Compiler._dense_back,
    BatchNorm1D: Compiler._norm_back,
    BatchNorm2D: Compiler._norm_back,
    MaxPool2D: Compiler._pool_back,
    AvgPool2D: Compiler._pool_back,
    GlobalAvgPool2D: Compiler._global_mean_back,
    GlobalMaxPool2D: Compiler._pool_back,
    Flatten: Compiler._reshape_back,
    Reshape: Compiler._reshape_back,
    Dropout: Compiler._dropout_back,
    Add: Compiler._add_back,
    Concat: Compiler._concat_back,
    PadChannels: Compiler._pad_channels_back,
}
for _activation in (ReLU, LeakyReLU, Sigmoid, Tanh, ScaledTanh, GELU):
    FORWARD[_activation] = Compiler._activation
    BACKWARD[_activation] = Compiler._activation_back
