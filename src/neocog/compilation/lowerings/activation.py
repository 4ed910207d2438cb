"""Activations."""

from __future__ import annotations

from typing import Any

from neocog.compilation.emitter import Emitter, Lowering, lowers
from neocog.compilation.nodes import LayerNode, TensorNode
from neocog.kernels.fused.operations import activation
from neocog.kernels.fused.program import Maps
from neocog.layers import GELU, LeakyReLU, ReLU, ScaledTanh, Sigmoid, Tanh


class Activation(Lowering):
    """``y = f(x)``, ``dx = dy f'``.

    Attributes
    ----------
    flops : float
        Of one number, about: a transcendental function costs as much as some tens of additions.
    """

    flops = 40.0

    def known(self, node: LayerNode) -> TensorNode:
        """Return what the derivative is told from."""
        return node.output

    def fields(self, layer: Any) -> dict[str, Any]:
        """Say which function it is."""
        raise NotImplementedError

    def forward(self, emit: Emitter, node: LayerNode) -> None:
        x, y = node.input.place, emit.maps(node.output)
        emit.pointwise("activate", self.flops, x, y, **self.fields(node.layer))

    def backward(self, emit: Emitter, node: LayerNode, dy: Maps) -> None:
        if node.input.wanted:
            known, fields = self.known(node).place, self.fields(node.layer)
            with emit.into(node.input) as dx:
                emit.pointwise("activate_back", self.flops, known, dy, dx, **fields)


@lowers(ReLU)
class Rectifier(Activation):
    """``max(x, 0)``, done along with the layer before it where that can."""

    flops = 2.0
    is_relu = True

    def fields(self, layer: ReLU) -> dict[str, Any]:
        return {"kind": activation.RELU}


@lowers(LeakyReLU)
class LeakyRectifier(Activation):
    """``x``, or ``a x`` of negative numbers."""

    settings = ("negative_slope",)
    flops = 2.0

    def fields(self, layer: LeakyReLU) -> dict[str, Any]:
        return {"kind": activation.LEAKY, "slope": layer.negative_slope}

    def known(self, node: LayerNode) -> TensorNode:
        # With a negative slope the output does not tell the sign of the input.
        return node.output if node.layer.negative_slope >= 0 else node.input


@lowers(Sigmoid)
class Logistic(Activation):
    """``1 / (1 + exp(-x))``."""

    def fields(self, layer: Sigmoid) -> dict[str, Any]:
        return {"kind": activation.SIGMOID}


@lowers(Tanh)
class HyperbolicTangent(Activation):
    """``tanh(x)``."""

    def fields(self, layer: Tanh) -> dict[str, Any]:
        return {"kind": activation.TANH, "slope": 1.0, "lr": 1.0}


@lowers(ScaledTanh)
class ScaledHyperbolicTangent(Activation):
    """``a tanh(s x)``."""

    settings = ("amplitude", "slope")

    def fields(self, layer: ScaledTanh) -> dict[str, Any]:
        return {"kind": activation.TANH, "slope": layer.amplitude, "lr": layer.slope}


@lowers(GELU)
class GaussianErrorLinearUnit(Activation):
    """``x Phi(x)``, whose derivative needs x."""

    settings = ("approximate",)

    def known(self, node: LayerNode) -> TensorNode:
        return node.input

    def fields(self, layer: GELU) -> dict[str, Any]:
        return {"kind": activation.GELU_TANH if layer.approximate == "tanh" else activation.GELU}
