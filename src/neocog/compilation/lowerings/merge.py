"""Lower layers of several inputs: sums, products, extrema, and concatenation of channels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from neocog.compilation.emitter import Emitter, Lowering, lowers
from neocog.compilation.nodes import LayerNode, TensorNode
from neocog.kernels.fused import lowering
from neocog.kernels.fused.operations import broadcasting
from neocog.kernels.fused.program import UNBOUNDED, Maps
from neocog.layers import Add, Concat, Maximum, Minimum, Multiply


def _part(node: LayerNode, value: TensorNode, maps: Maps) -> Maps | lowering.Operand:
    """Return maps of an input, or of its gradient, as an operand if the output does not have its shape.

    As in NumPy the last axes are aligned: with fewer axes, its batch lies along another one of the output's.
    """
    lacking = len(node.output.array_shape) - len(value.array_shape)
    if not lacking and value.shape == node.output.shape:
        return maps
    own = [step * (size > 1) for step, size in zip(lowering.strides(maps), maps.shape, strict=True)]
    steps = [0] * 4
    for axis, step in zip(maps.axes, [0] * lacking + [own[axis] for axis in maps.axes], strict=False):
        steps[axis] = step
    return lowering.Operand(maps.origin, *steps)


def _inputs(node: LayerNode) -> list[Maps | lowering.Operand]:
    return [_part(node, value, value.place) for value in node.inputs]


def _chain(emit: Emitter, kind: int, parts: Sequence[Maps | lowering.Operand], z: Maps) -> None:
    """Write ``z`` as the sum, product or extremum of some maps, each repeated where it lacks an axis of z."""
    first, *rest = sorted(parts, key=lambda part: isinstance(part, lowering.Operand))
    if isinstance(first, lowering.Operand) or not rest:
        lowering.repeat(emit.program, first, z)
        first = z
    for part in rest:
        lowering.combine(emit.program, kind, first, part, z)
        first = z


def _product(emit: Emitter, x: Maps, y: Maps | lowering.Operand) -> Maps:
    """Write ``x y`` into new maps."""
    product = emit.program.maps(*x.shape)
    lowering.combine(emit.program, broadcasting.MULTIPLY, x, y, product)
    return product


def _summed(emit: Emitter, node: LayerNode, value: TensorNode, dy: Maps, other: Maps | None = None) -> None:
    """Add ``dy``, or ``dy other``, summed over the axes that an input lacks, to the input's gradient."""
    with emit.into(value) as maps:
        dx = _part(node, value, maps)
        if isinstance(dx, lowering.Operand):
            lowering.reduce(emit.program, dy, dx, other)
        elif other is not None:
            lowering.combine(emit.program, broadcasting.MULTIPLY, dy, other, dx)
        else:
            lowering.transfer(emit.program, dy, dx)


@lowers(Add)
class Sum(Lowering):
    """``y = x_1 + x_2 + ...``."""

    any_layout = True
    takes_clip = True

    def forward(self, emit: Emitter, node: LayerNode) -> None:
        z, parts = emit.maps(node.output), _inputs(node)
        whole = [part for part in parts if isinstance(part, Maps)]
        if len(whole) < len(parts) or len(parts) == 1:
            _chain(emit, broadcasting.ADD, parts, z)
            emit.clip(z, node.bounds)
            return
        for k, part in enumerate(whole[1:], 1):
            last = k == len(whole) - 1
            emit.sum(whole[0] if k == 1 else z, part, z, node.bounds if last else UNBOUNDED)

    def backward(self, emit: Emitter, node: LayerNode, dy: Maps) -> None:
        # One input may take dy itself as its gradient; the others need copies.
        wanted = [value for value in node.inputs if value.wanted]
        keeper = next(
            (
                value
                for value in wanted
                if value.array_shape == node.output.array_shape
                and value.gradient is None
                and value.alone
                and value.gradient_border == dy.border
                and (dy.flat or not value.flat)
            ),
            None,
        )
        for value in wanted:
            if value is not keeper:
                _summed(emit, node, value, dy)
        if keeper is not None:
            keeper.gradient = dy


@lowers(Multiply)
class Product(Lowering):
    """``y = x_1 x_2 ...``."""

    any_layout = True

    def forward(self, emit: Emitter, node: LayerNode) -> None:
        _chain(emit, broadcasting.MULTIPLY, _inputs(node), emit.maps(node.output))

    def backward(self, emit: Emitter, node: LayerNode, dy: Maps) -> None:
        inputs = _inputs(node)
        for k, value in enumerate(node.inputs):
            if value.wanted:
                # A factor of dy's shape comes last: its product is not stored on its own.
                others = inputs[:k] + inputs[k + 1 :]
                last = next((other for other in others if isinstance(other, Maps)), None)
                product = dy
                for other in others:
                    if other is not last:
                        product = _product(emit, product, other)
                _summed(emit, node, value, product, last)


@lowers(Maximum, Minimum)
class Extremum(Lowering):
    """``y = max(x_1, x_2, ...)``, or the least; those that are y share its gradient."""

    any_layout = True

    def forward(self, emit: Emitter, node: LayerNode) -> None:
        kind = broadcasting.MAXIMUM if isinstance(node.layer, Maximum) else broadcasting.MINIMUM
        _chain(emit, kind, _inputs(node), emit.maps(node.output))

    def backward(self, emit: Emitter, node: LayerNode, dy: Maps) -> None:
        program, y = emit.program, node.output.place
        won = [program.maps(*y.shape) for _ in node.inputs]
        for part, mask in zip(_inputs(node), won, strict=True):
            lowering.combine(program, broadcasting.TIES, y, part, mask)
        share = program.maps(*y.shape)
        _chain(emit, broadcasting.ADD, won, share)
        lowering.combine(program, broadcasting.DIVIDE, dy, share, share)
        for value, mask in zip(node.inputs, won, strict=True):
            if value.wanted:
                _summed(emit, node, value, share, mask)


@lowers(Concat)
class Concatenation(Lowering):
    """Concatenation: each input is copied to its part of the output."""

    any_layout = True
    settings = ("axis",)
    computes = False

    def flat(self, node: LayerNode, training: bool) -> tuple[bool, bool]:
        return True, True

    def forward(self, emit: Emitter, node: LayerNode) -> None:
        y = emit.maps(node.output)
        for value, place in zip(node.inputs, self._places(node, y), strict=True):
            x = value.place
            lowering.copy(emit.program, x.origin, lowering.strides(x), place, x.shape, lowering.strides(y))

    def backward(self, emit: Emitter, node: LayerNode, dy: Maps) -> None:
        for value, place in zip(node.inputs, self._places(node, dy), strict=True):
            if value.wanted:
                with emit.into(value) as dx:
                    steps = lowering.strides(dy), lowering.strides(dx)
                    lowering.copy(emit.program, place, steps[0], dx.origin, dx.shape, steps[1])

    @staticmethod
    def _places(node: LayerNode, maps: Maps) -> Iterator[tuple[Any, int]]:
        """Yield where each input begins in the output, or in its gradient."""
        axis, place = node.layer.axis, maps.origin
        for value in node.inputs:
            yield place
            step = lowering.strides(maps)[maps.axes[axis]]
            place = lowering.shifted(place, value.array_shape[axis] * step)
