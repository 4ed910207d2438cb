"""Relate losses to what the outputs of a network are."""

from __future__ import annotations

from neocog.layers.activation import Sigmoid
from neocog.layers.base import Layer
from neocog.layers.outputs import INDEPENDENT, last_layer
from neocog.layers.prediction import Predictor, ends_in_softmax
from neocog.layers.softmax import Softmax
from neocog.losses.base import Loss, kind_of_loss
from neocog.losses.binary import BinaryCrossEntropy
from neocog.losses.softmax import SoftmaxCrossEntropy, SoftmaxLoss
from neocog.losses.squared import MeanSquaredError

_INCLUDED: dict[str | None, tuple[type[Layer], ...]] = {
    "logits": (Softmax,),
    "independent-logits": (Softmax, Sigmoid),
}
"""The layers at a network's end that losses of logits hold themselves."""


def check_logits(network: Layer, loss: Loss) -> None:
    """Raise ValueError if the softmax, or the sigmoid, of a network's outputs would be taken twice."""
    last = last_layer(network)
    if isinstance(last, _INCLUDED.get(kind_of_loss(loss), ())):
        own, end = "softmax" if isinstance(loss, SoftmaxLoss) else "sigmoid", type(last).__name__
        take = "without_softmax()" if isinstance(last, Softmax) else "without_last(neocog.layers.Sigmoid)"
        raise ValueError(
            f"the network must end in logits for {type(loss).__name__}, which holds the {own} itself, got "
            f"one that ends in {end}; take network.{take}, which shares its weights."
        )


def network_for_loss(network: Layer, loss: Loss) -> Layer:
    """Return the network without a last layer that the loss holds itself, to be measured by the loss."""
    kinds = _INCLUDED.get(kind_of_loss(loss), ())
    return network.without_last(*kinds) if isinstance(network, Predictor) and kinds else network


def state_output(network: Layer, loss: Loss) -> None:
    """Have a network say what its outputs are by the loss that it is trained with.

    Squared errors of a softmax leave probabilities what they are.
    """
    kind = kind_of_loss(loss)
    if isinstance(network, Predictor) and kind and not (kind == "values" and ends_in_softmax(network)):
        network.output_kind = kind


def loss_of_kind(kind: str) -> Loss:
    """Return the loss by which a network is measured if none is named, by what its outputs are.

    Examples
    --------
    >>> loss_of_kind("probabilities"), loss_of_kind("independent-logits"), loss_of_kind("values")
    (SoftmaxCrossEntropy(), BinaryCrossEntropy(), MeanSquaredError())
    """
    if kind in INDEPENDENT:
        return BinaryCrossEntropy()
    return MeanSquaredError() if kind == "values" else SoftmaxCrossEntropy()
