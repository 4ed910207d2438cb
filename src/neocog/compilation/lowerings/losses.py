"""Lower losses. A loss that is not registered here is called in Python, at a cut of the program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

import numpy as np

from neocog.layers.base import Array
from neocog.losses import BinaryCrossEntropy, MeanSquaredError, SoftmaxCrossEntropy

__all__ = ["LossLowering", "loss_lowering_of", "lowers_loss"]


class LossLowering:
    """The compiled form of a loss of outputs (N, K).

    Attributes
    ----------
    operation : str
    settings : tuple of str
        Attributes of the loss that a program is compiled with.
    """

    operation: ClassVar[str]
    settings: ClassVar[tuple[str, ...]] = ()

    def fields(self, loss: Any, outputs: int) -> dict[str, Any]:
        """Return the operation's fields that hold the settings of the loss, for so many outputs."""
        return {}

    def targets(self, t: Array, shape: tuple[int, int], dtype: np.dtype[Any]) -> Array | None:
        """Return the targets as the operation reads them; None if they do not fit outputs of this shape."""
        raise NotImplementedError


_INT64 = np.dtype(np.int64)


def as_read(t: Array, dtype: np.dtype[Any]) -> Array:
    """Return an array in a dtype, contiguous; the array itself where it is so already, at little cost."""
    return t if t.dtype == dtype and t.flags.c_contiguous else np.ascontiguousarray(t, dtype)


_LOSSES: dict[type, LossLowering] = {}
_Class = TypeVar("_Class", bound=type[LossLowering])


def lowers_loss(loss: type) -> Callable[[_Class], _Class]:
    """Register a class as the compiled form of a loss."""

    def register(lowering_class: _Class) -> _Class:
        _LOSSES[loss] = lowering_class()
        return lowering_class

    return register


def loss_lowering_of(loss_class: type) -> LossLowering | None:
    """Return the compiled form of exactly this class of losses, or None."""
    return _LOSSES.get(loss_class)


@lowers_loss(SoftmaxCrossEntropy)
class SoftmaxCrossEntropyLowering(LossLowering):
    """Softmax cross-entropy; a label that is no class makes the loss NaN, inside the operation."""

    operation = "softmax_cross_entropy"
    settings = ("label_smoothing",)

    def fields(self, loss: SoftmaxCrossEntropy, outputs: int) -> dict[str, Any]:
        return {"smoothing": loss.label_smoothing}

    def targets(self, t: Array, shape: tuple[int, int], dtype: np.dtype[Any]) -> Array | None:
        fits = t.dtype.kind in "iu" and t.shape == shape[:1]
        return as_read(t, _INT64) if fits else None


@lowers_loss(MeanSquaredError)
class MeanSquaredErrorLowering(LossLowering):
    """Mean squared error; the targets are numbers of the network's dtype."""

    operation = "mean_squared_error"

    def targets(self, t: Array, shape: tuple[int, int], dtype: np.dtype[Any]) -> Array | None:
        return as_read(t, dtype) if t.shape == shape else None


@lowers_loss(BinaryCrossEntropy)
class BinaryCrossEntropyLowering(LossLowering):
    """Binary cross-entropy; a target that is no probability makes the loss NaN, inside the operation."""

    operation = "binary_cross_entropy"
    settings = ("label_smoothing", "pos_weight")

    def fields(self, loss: BinaryCrossEntropy, outputs: int) -> dict[str, Any]:
        weights = np.array(loss.weights_of(outputs), np.float64)
        return {"smoothing": loss.label_smoothing, "pos_weight": weights}

    def targets(self, t: Array, shape: tuple[int, int], dtype: np.dtype[Any]) -> Array | None:
        fits = t.dtype.kind in "biuf" and (t.shape == shape or (t.shape == shape[:1] and shape[1] == 1))
        return as_read(t, dtype) if fits else None
