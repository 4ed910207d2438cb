"""Lower layers of several inputs: sums, products, extrema, and concatenation of channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from neocog.compilation.emitter import Emitter, Lowering, Use, lowers
from neocog.compilation.nodes import LayerNode, Uncompilable
from neocog.kernels.fused import lowering
from neocog.kernels.fused.operations import broadcasting
from neocog.kernels.fused.program import UNBOUNDED, Maps
from neocog.layers import Add, Concat, Maximum, Minimum, Multiply
from neocog.layers.base import Shape


@lowers(Add)
class Sum(Lowering):
    """``y = x_1 + x_2 + ...``."""

    takes_clip = True

    def supports(self, layer: Any, input_shapes: Sequence[Shape], output_shape: Shape, use: Use) -> None:
        _of_one_rank(input_shapes)

    def forward(self, emit: Emitter, node: LayerNode) -> None:
        z = emit.maps(node.output)
        if any(value.shape != node.output.shape for value in node.inputs):
            _chain(emit, broadcasting.ADD, [value.place for value in node.inputs], z)
            emit.clip(z, node.bounds)
            return
        parts = [value.place for value in node.inputs]
        if len(parts) == 1:
            lowering.transfer(emit.program, parts[0], z)
            emit.clip(z, node.bounds)
        for k, part in enumerate(parts[1:], 1):
            last = k == len(parts) - 1
            emit.sum(parts[0] if k == 1 else z, part, z, node.bounds if last else UNBOUNDED)

    def backward(self, emit: Emitter, node: LayerNode, dy: Maps) -> None:
        # The last input may take dy itself as its gradient; the others need copies.
        wanted = [value for value in node.inputs if value.wanted]
        whole = [value for value in wanted if value.shape == node.output.shape]
        keeper = next(
            (v for v in whole if v.gradient is None and v.alone and v.gradient_border == dy.border), None
        )
        for value in wanted:
            if value is not keeper:
                with emit.into(value) as dx:
                    if value in whole:
                        lowering.transfer(emit.program, dy, dx)
                    else:
                        lowering.reduce(emit.program, dy, dx)
        if keeper is not None:
            keeper.gradient = dy


def _of_one_rank(input_shapes: Sequence[Shape]) -> None:
    """Raise Uncompilable unless all have as many axes: else NumPy would lay the batch along another axis."""
    if len({len(shape) for shape in input_shapes}) > 1:
        raise Uncompilable("arrays of different ranks")


def _chain(emit: Emitter, kind: int, parts: Sequence[Maps], z: Maps) -> None:
    """Write ``z`` as the sum, product or extremum of some maps, each repeated where it lacks an axis of z."""
    first, *rest = sorted(parts, key=lambda part: part.shape != z.shape)
    if first.shape != z.shape or not rest:
        lowering.repeat(emit.program, first, z)
        first = z
    for part in rest:
        lowering.combine(emit.program, kind, first, part, z)
        first = z


@lowers(Multiply)
class Product(Lowering):
    """``y = x_1 x_2 ...``."""

    def supports(self, layer: Any, input_shapes: Sequence[Shape], output_shape: Shape, use: Use) -> None:
        _of_one_rank(input_shapes)

    def forward(self, emit: Emitter, node: LayerNode) -> None:
        z = emit.maps(node.output)
        _chain(emit, broadcasting.MULTIPLY, [value.place for value in node.inputs], z)

    def backward(self, emit: Emitter, node: LayerNode, dy: Maps) -> None:
        for k, value in enumerate(node.inputs):
            if value.wanted:
                others = [other.place for i, other in enumerate(node.inputs) if i != k]
                with emit.into(value) as dx:
                    self._gradient(emit, dy, others, dx)

    @staticmethod
    def _gradient(emit: Emitter, dy: Maps, others: Sequence[Maps], dx: Maps) -> None:
        """Write ``dx``, dy times all other inputs, summed to its shape."""
        # A factor of dy's shape comes last: its product is summed without being stored.
        ordered = sorted(others, key=lambda part: part.shape == dy.shape)
        product = dy
        for k, part in enumerate(ordered):
            last = k == len(ordered) - 1
            if last and dx.shape != dy.shape and part.shape == dy.shape:
                lowering.reduce(emit.program, product, dx, part)
                return
            target = dx if last and dx.shape == dy.shape else emit.program.maps(*dy.shape)
            lowering.combine(emit.program, broadcasting.MULTIPLY, product, part, target)
            product = target
        if dx.shape != dy.shape:
            lowering.reduce(emit.program, product, dx)
        elif not ordered:
            lowering.transfer(emit.program, dy, dx)


@lowers(Maximum, Minimum)
class Extremum(Lowering):
    """``y = max(x_1, x_2)`` of two arrays of one shape, or the least."""

    def supports(self, layer: Any, input_shapes: Sequence[Shape], output_shape: Shape, use: Use) -> None:
        if len(input_shapes) != 2 or any(tuple(part) != tuple(output_shape) for part in input_shapes):
            raise Uncompilable("an extremum of other than two arrays of one shape")

    def forward(self, emit: Emitter, node: LayerNode) -> None:
        x, y = (value.place for value in node.inputs)
        lowering.combine(emit.program, self._kind(node), x, y, emit.maps(node.output))

    def backward(self, emit: Emitter, node: LayerNode, dy: Maps) -> None:
        for value, other in (node.inputs, node.inputs[::-1]):
            if value.wanted:
                places = {"x": value.place, "y": other.place}
                with emit.into(value) as dx:
                    emit.pointwise("extremum_back", 4.0, **places, dz=dy, dx=dx, kind=self._kind(node))

    @staticmethod
    def _kind(node: LayerNode) -> int:
        return broadcasting.MAXIMUM if isinstance(node.layer, Maximum) else broadcasting.MINIMUM


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
