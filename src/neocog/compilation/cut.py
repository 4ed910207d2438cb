"""Call a layer without a compiled form at its place in a program: the cut."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from neocog.compilation.emitter import Emitter, Lowering
from neocog.compilation.nodes import LayerNode, Uncompilable
from neocog.kernels.fused.program import Maps

__all__ = ["CUT", "Cut"]


class Cut(Lowering):
    """End a stretch of the program, call the layer's own ``forward`` or ``backward``, and begin the next.

    What the layer reads is stored to NumPy arrays before the call, and what it returns is loaded into the
    program's memory after it, if a compiled layer reads it; between two such layers arrays are passed
    unchanged, of any shape and dtype.
    """

    computes = False

    def forward(self, emit: Emitter, node: LayerNode) -> None:
        layer, output = node.layer, node.output
        for value in node.inputs:
            emit.hand_out(value)
        emit.program.cut()

        def call() -> None:
            arrays = tuple(value.array for value in node.inputs)
            output.array, cache = layer.forward(arrays if layer.several_inputs else arrays[0], node.training)
            if emit.training:
                node.memo["cache"] = cache
            if take is not None:
                try:
                    take(output.array)
                except ValueError as error:
                    if emit.training:
                        raise
                    raise Uncompilable(str(error)) from None

        emit.program.call(call)
        take = None
        if output.laid_out:
            take = emit.take_in(output, emit.maps(output), f"the output of {_named(node)}, by output_shape,")

    def backward(self, emit: Emitter, node: LayerNode, dy: Maps | None) -> None:
        layer, output = node.layer, node.output
        wanted = [value for value in node.inputs if value.wanted]
        takers: dict[int, Any] = {}
        emit.hand_out_gradient(output)
        emit.program.cut()

        def call() -> None:
            cache = node.memo.pop("cache")
            dx, grads = layer.backward(output.gradient_array, cache, bool(wanted))
            _check_gradients(node, grads)
            if not node.learns:
                grads = {}
            for name, gradient in grads.items():
                emit.parameter_gradients[node, name] = gradient
            for k, value in enumerate(node.inputs):
                if value.wanted:
                    part = dx[k] if layer.several_inputs else dx
                    if k in takers:
                        takers[k](part)
                    elif value.gradient_array is None:
                        value.gradient_array = part
                    else:
                        value.gradient_array = value.gradient_array + part

        emit.program.call(call)
        for k, value in enumerate(node.inputs):
            if value.wanted and value.laid_out:
                with emit.into(value) as maps:
                    takers[k] = emit.take_in(value, maps, f"the gradient that {_named(node)} returns")


def _check_gradients(node: LayerNode, grads: Mapping[str, Any]) -> None:
    """Raise what an optimizer would, before the program has moved the other parameters."""
    params = node.layer.params
    for name, gradient in grads.items():
        if name not in params:
            full = f"{node.name}.{name}".lstrip(".")
            raise KeyError(f"gradient {full!r} belongs to no parameter; {_named(node)} has {sorted(params)}.")
        if np.shape(gradient) != params[name].shape:
            raise ValueError(
                f"the gradient {name!r} that {_named(node)} returns must have its parameter's shape "
                f"{params[name].shape}, got {np.shape(gradient)}."
            )


def _named(node: LayerNode) -> str:
    return f"layer {node.name!r} ({type(node.layer).__name__})"


CUT = Cut()
