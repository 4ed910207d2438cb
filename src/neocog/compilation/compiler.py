"""Write a network's forward and backward pass as a program."""

from __future__ import annotations

from typing import Any

import numpy as np

from neocog.compilation import lowerings  # noqa: F401 - which register themselves
from neocog.compilation.emitter import Emitter
from neocog.compilation.nodes import TensorNode, Uncompilable, wider
from neocog.compilation.state import network_arrays
from neocog.compilation.tracing import trace
from neocog.kernels.fused import lowering
from neocog.kernels.fused.program import NO_BORDER, Maps, Program
from neocog.layers.base import Layer

DTYPES = (np.dtype(np.float32), np.dtype(np.float64))


class Compiler(Emitter):
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
        super().__init__(Program(dtype, frozen, exact=exact), input_shape[0], training)
        self.start, self.nodes, self.end, self.left = trace(network, input_shape, training)
        if training and self.left is not None:
            raise Uncompilable("training through a softmax")
        self._plan()

    def _plan(self) -> None:
        """Find the borders of all values and of their gradients."""
        for node in self.nodes:
            node.lowering.plan(self, node)
        self._align()
        for node in self.nodes:
            flat_inputs, flat_output = node.lowering.flat(node, self.training)
            for value in (*(node.inputs if flat_inputs else ()), *((node.output,) if flat_output else ())):
                value.border = value.gradient_border = NO_BORDER

    def _align(self) -> None:
        """Give narrow maps of one size one border, so that a convolution can take them as one long row."""
        sizes: dict[tuple[int, int], list[TensorNode]] = {}
        for node in self.nodes:
            for value in (*node.inputs, node.output):
                _, H, W = value.shape
                if H > 1 and W * self.N < lowering.NARROW:
                    sizes.setdefault((H, W), []).append(value)
        for values in sizes.values():
            widest = NO_BORDER
            for value in values:
                widest = wider(widest, wider(value.border, value.gradient_border))
            for value in values:
                value.border = value.gradient_border = widest

    def forward(self) -> Maps:
        """Add the forward pass; return the output's maps."""
        lowering.load(self.program, self.x, self.maps(self.start))
        for node in self.nodes:
            if not node.fused and not node.memo.get("folded"):
                node.lowering.forward(self, node)
        return self.end.place

    def backward(self, input_grad: bool = False) -> None:
        """Add the backward pass from the gradient of the output, which is ``self.end.gradient``."""
        self.start.wanted = input_grad
        for node in self.nodes:
            if not node.fused:
                node.output.wanted = bool(node.layer.params) or any(value.wanted for value in node.inputs)
        for node in reversed(self.nodes):
            if node.fused or not node.output.wanted:
                continue
            dy = node.output.gradient
            assert dy is not None
            if node.relu and not node.lowering.undoes_relu and not self.pooling_undoes_relu(node):
                self.relu_backward(dy, node.output.place)
            node.lowering.backward(self, node, dy)
