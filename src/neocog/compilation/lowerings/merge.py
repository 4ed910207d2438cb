"""Lower layers of several inputs: sums, and concatenation of channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from neocog.compilation.emitter import Emitter, Lowering, Use, lowers
from neocog.compilation.nodes import LayerNode, Uncompilable
from neocog.kernels.fused import lowering
from neocog.kernels.fused.operations import activation
from neocog.kernels.fused.program import Maps
from neocog.layers import Add, Concat
from neocog.layers.base import Shape


@lowers(Add)
class Sum(Lowering):
    """``y = x_1 + x_2 + ...`` of arrays of one shape."""

    takes_relu = True

    def supports(self, layer: Any, input_shapes: Sequence[Shape], output_shape: Shape, use: Use) -> None:
        if any(tuple(part) != tuple(output_shape) for part in input_shapes):
            raise Uncompilable("a sum of arrays of different shapes")

    def forward(self, emit: Emitter, node: LayerNode) -> None:
        z = emit.maps(node.output)
        parts = [value.place for value in node.inputs]
        if len(parts) == 1:
            lowering.transfer(emit.program, parts[0], z)
            if node.relu:
                emit.pointwise("activate", 2.0, x=z, y=z, kind=activation.RELU)
        for k, part in enumerate(parts[1:], 1):
            last = k == len(parts) - 1
            emit.sum(parts[0] if k == 1 else z, part, z, node.floor if last else -np.inf)

    def backward(self, emit: Emitter, node: LayerNode, dy: Maps) -> None:
        # The last input may take dy itself as its gradient; the others need copies.
        wanted = [value for value in node.inputs if value.wanted]
        keeper = next(
            (v for v in wanted if v.gradient is None and v.alone and v.gradient_border == dy.border), None
        )
        for value in wanted:
            if value is not keeper:
                with emit.into(value) as dx:
                    lowering.transfer(emit.program, dy, dx)
        if keeper is not None:
            keeper.gradient = dy


@lowers(Concat)
class Concatenation(Lowering):
    """Concatenation: each input is copied to its channels of the output."""

    computes = False

    def supports(self, layer: Any, input_shapes: Sequence[Shape], output_shape: Shape, use: Use) -> None:
        if layer.axis != 1:
            raise Uncompilable("Concat along another axis than the channels")

    def flat(self, node: LayerNode, training: bool) -> tuple[bool, bool]:
        return True, True

    def forward(self, emit: Emitter, node: LayerNode) -> None:
        y, at = emit.maps(node.output), 0
        for value in node.inputs:
            lowering.transfer(emit.program, value.place, y.channels(at, value.place.C))
            at += value.place.C

    def backward(self, emit: Emitter, node: LayerNode, dy: Maps) -> None:
        at = 0
        for value in node.inputs:
            if value.wanted:
                with emit.into(value) as dx:
                    lowering.transfer(emit.program, dy.channels(at, value.shape[0]), dx)
            at += value.shape[0]
