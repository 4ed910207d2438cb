"""Lower activations."""

from __future__ import annotations

import dis
import inspect
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, ClassVar

import numpy as np

from neocog.compilation.emitter import Emitter, Lowering, Use, lowers
from neocog.compilation.nodes import LayerNode, TensorNode, Uncompilable
from neocog.errors import UnsupportedError
from neocog.kernels.fused.declared import declared_operation, read_outside
from neocog.kernels.fused.operations import activation
from neocog.kernels.fused.program import Bounds, Maps
from neocog.layers import (
    GELU,
    Clip,
    Elementwise,
    Hardsigmoid,
    Hardswish,
    LeakyReLU,
    PReLU,
    ReLU,
    ScaledTanh,
    Sigmoid,
    SiLU,
    Tanh,
)
from neocog.layers.activation import DECLARED
from neocog.layers.base import Layer, Shape


class Activation(Lowering):
    """``y = f(x)``, ``dx = dy f'``.

    Attributes
    ----------
    flops : float
        Work for one number, about: a transcendental function costs as much as some tens of additions.
    operation : str
        The operation of the forward pass; that of the backward pass has the same name with "_back".
    from_input : bool
        Whether the derivative is computed from x, not from the output.
    """

    any_layout = True
    flops: ClassVar[float] = 40.0
    operation: ClassVar[str]
    from_input: ClassVar[bool] = False

    def known(self, node: LayerNode) -> TensorNode:
        """Return the value that the derivative is computed from."""
        return node.input if self.from_input else node.output

    def operation_of(self, layer: Any) -> str:
        """Return the operation of the forward pass."""
        return self.operation

    def fields(self, layer: Any) -> dict[str, float]:
        """Return the fields of the operation that hold settings."""
        return {}

    def forward(self, emit: Emitter, node: LayerNode) -> None:
        x, y = node.input.place, emit.maps(node.output)
        emit.pointwise(self.operation_of(node.layer), self.flops, x=x, y=y, **self.fields(node.layer))

    def backward(self, emit: Emitter, node: LayerNode, dy: Maps) -> None:
        if node.input.wanted:
            operation = f"{self.operation_of(node.layer)}_back"
            fields = {k: v for k, v in self.fields(node.layer).items() if k != "offset"}  # has no derivative
            with emit.into(node.input) as dx:
                emit.pointwise(operation, self.flops, saved=self.known(node).place, dy=dy, dx=dx, **fields)


@lowers(ReLU)
class Rectifier(Activation):
    """``max(x, 0)``, fused into the layer before it where possible."""

    flops = 2.0
    operation = "relu"

    def bounds(self, layer: Any) -> Bounds:
        return 0.0, np.inf


@lowers(LeakyReLU)
class LeakyRectifier(Activation):
    """``x``, or ``a x`` of negative numbers."""

    settings = ("negative_slope",)
    flops = 2.0
    operation = "leaky_relu"

    def fields(self, layer: LeakyReLU) -> dict[str, float]:
        return {"negative_slope": layer.negative_slope}

    def known(self, node: LayerNode) -> TensorNode:
        # With a negative slope the sign of the input does not follow from the output.
        return node.output if node.layer.negative_slope >= 0 else node.input


@lowers(Sigmoid)
class Logistic(Activation):
    """``1 / (1 + exp(-x))``."""

    operation = "sigmoid"


@lowers(Tanh)
class HyperbolicTangent(Activation):
    """``tanh(x)``."""

    operation = "tanh"

    def fields(self, layer: Any) -> dict[str, float]:
        return {"amplitude": 1.0, "slope": 1.0}


@lowers(ScaledTanh)
class ScaledHyperbolicTangent(Activation):
    """``a tanh(s x)``."""

    settings = ("amplitude", "slope")
    operation = "tanh"

    def fields(self, layer: ScaledTanh) -> dict[str, float]:
        return {"amplitude": layer.amplitude, "slope": layer.slope}


@lowers(GELU)
class GaussianErrorLinearUnit(Activation):
    """``x Phi(x)``, whose derivative needs x."""

    settings = ("approximate",)
    from_input = True

    def operation_of(self, layer: GELU) -> str:
        return "gelu_tanh" if layer.approximate == "tanh" else "gelu"


@lowers(Clip)
class Clipping(Activation):
    """``min(max(x, low), high)``, fused into the layer before it where possible."""

    settings = ("low", "high")
    flops = 2.0
    operation = "clip"

    def bounds(self, layer: Any) -> Bounds:
        bounds: Bounds = layer.bounds
        return bounds

    def fields(self, layer: Clip) -> dict[str, float]:
        low, high = layer.bounds
        return {"slope": 1.0, "offset": 0.0, "low": low, "high": high}


@lowers(Hardsigmoid)
class HardLogistic(Activation):
    """``min(max(a x + b, 0), 1)``."""

    settings = ("slope", "offset")
    flops = 4.0
    operation = "clip"

    def fields(self, layer: Hardsigmoid) -> dict[str, float]:
        return {"slope": layer.slope, "offset": layer.offset, "low": 0.0, "high": 1.0}


class Gate(Activation):
    """``x`` times a gate, whose derivative needs x; in inference fused into a convolution before it."""

    from_input = True
    kind: ClassVar[int]


@lowers(SiLU)
class SigmoidGate(Gate):
    """``x sigmoid(x)``."""

    operation = "silu"
    kind = activation.SILU


@lowers(Hardswish)
class HardGate(Gate):
    """``x min(max(x / 6 + 1/2, 0), 1)``."""

    flops = 6.0
    operation = "hardswish"
    kind = activation.HARDSWISH


@lowers(PReLU)
class LearnedSlope(Lowering):
    """``x``, or ``w x`` of negative numbers, and the gradient of w."""

    def forward(self, emit: Emitter, node: LayerNode) -> None:
        weight, y = node.layer.params["weight"], emit.maps(node.output)
        step = int(len(weight) > 1)
        emit.pointwise("learned_slope", 2.0, x=node.input.place, y=y, weight=weight, weight_step=step)

    def backward(self, emit: Emitter, node: LayerNode, dy: Maps) -> None:
        weight = node.layer.params["weight"]
        d_weight = emit.gradient(node, "weight") if node.learns else None
        shared = len(weight) == 1
        # One slope: the sums of the channels, which threads compute side by side, are added up afterwards.
        sums = emit.program.maps(1, 1, dy.C, 1) if shared and node.learns else None
        fields = {
            "x": node.input.place,
            "dy": dy,
            "weight": weight,
            "weight_step": int(not shared),
            "d_weight": d_weight if sums is None else sums.memory,
        }
        if node.input.wanted:
            with emit.into(node.input) as dx:
                emit.pointwise("learned_slope_back", 4.0, **fields, dx=dx)
        else:
            emit.pointwise("learned_slope_back", 4.0, **fields)
        if sums is not None:
            emit.pointwise("plane_sum", 1.0, dy=sums, d_bias=d_weight)


@lowers(Elementwise)
class DeclaredActivation(Lowering):
    """``y = function(x)``, ``dx = dy derivative(x)``, with the functions that the layer's class declares."""

    any_layout = True
    overridable = DECLARED

    def supports(self, layer: Any, input_shapes: Sequence[Shape], output_shape: Shape, use: Use) -> None:
        if layer.params:
            raise Uncompilable("an element-wise layer with parameters")
        for value in layer.settings:
            if not (isinstance(value, float) or type(value) in (bool, int, str, type(None))):
                raise Uncompilable(f"a setting that is no number: {value!r}")
        _operation(layer, "function", use.dtype)
        if use.training:
            _operation(layer, "derivative", use.dtype)

    def settings_of(self, layer_class: Any) -> Callable[[Any], Any] | None:
        names = ["settings"]
        if layer_class.config is Layer.config and layer_class.settings is Elementwise.settings:
            # called in every step: cheaper than the property ``settings``
            arguments = inspect.signature(layer_class).parameters
            names = [name for name in arguments if name not in layer_class._undescribed]
        own = attrgetter("function", "derivative", *names)
        try:
            outside = [read_outside(each) for each in (layer_class.function, layer_class.derivative)]
        except UnsupportedError:  # the layer becomes a cut
            return own
        return lambda layer: (own(layer), *(read() for read in outside))

    def forward(self, emit: Emitter, node: LayerNode) -> None:
        x, y = node.input.place, emit.maps(node.output)
        operation = _operation(node.layer, "function", emit.program.dtype)
        emit.pointwise(operation, 40.0, x=x, y=y, settings=_floats(node.layer))

    def backward(self, emit: Emitter, node: LayerNode, dy: Maps) -> None:
        if node.input.wanted:
            operation = _operation(node.layer, "derivative", emit.program.dtype)
            settings = _floats(node.layer)
            with emit.into(node.input) as dx:
                emit.pointwise(operation, 40.0, saved=node.input.place, dy=dy, dx=dx, settings=settings)


def _operation(layer: Elementwise, name: str, dtype: np.dtype[Any]) -> str:
    """Return the operation of a layer's function or derivative; raise Uncompilable if there is none."""
    declared = inspect.getattr_static(layer, name)
    if not isinstance(declared, staticmethod):
        raise Uncompilable(f"{name} is no static method")
    if any(each.opname == "RAISE_VARARGS" for each in dis.get_instructions(declared.__func__)):
        raise Uncompilable(f"{name} may raise, which compiled code cannot")
    try:
        return declared_operation(declared.__func__, layer.settings, dtype, name == "derivative")
    except UnsupportedError as error:
        raise Uncompilable(str(error)) from None


def _floats(layer: Elementwise) -> np.ndarray:
    return np.array([value for value in layer.settings if isinstance(value, float)])
