"""Predict batch by batch: the methods that a network and its copy for inference share."""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from neocog.budgets import limit
from neocog.deprecation import accepts_old_names
from neocog.layers.base import Array, Layer, as_dtype
from neocog.layers.outputs import (
    INDEPENDENT,
    OUTPUT_KINDS,
    as_logits,
    classes_of,
    count_outputs,
    flat_shape,
    implied_kind,
    kind_of,
    last_layer,
    log_odds,
    probabilities_of,
)
from neocog.layers.softmax import Softmax
from neocog.validation import batch_hint, check_images, finite, integer, one_of

if TYPE_CHECKING:
    from neocog.layers.summary import Summary


class Predictor(Layer):
    """Base of callables that map images to numbers, of which ``output_kind`` says what they are.

    Attributes
    ----------
    class_names : tuple of str or None
        Names of the outputs; saved in the model file.
    input_shape : (int, int, int) or None
        (channels, height, width) of the images; saved in the model file.
    preprocessing : neocog.data.Preprocessing or None
        How a picture becomes an image; saved in the model file.
    class_weight : tuple of float or None
        The weight that each class's images had in training; of independent labels that of the images that
        have the label, the others count once. Saved in the model file. The logits are those of the weighted
        classes, and the predicted class is that of the least expected cost; only ``predict_proba`` takes the
        weights out again.
    """

    class_names: tuple[str, ...] | None
    input_shape: tuple[int, int, int] | None
    preprocessing: Any = None
    class_weight: tuple[float, ...] | None = None
    stated_kind: str | None = None
    """What was said of the outputs; None: what follows from the network's end."""

    @property
    def output_kind(self) -> str:
        """What the outputs are; saved in the model file, and stated anew by the loss of ``fit``.

        "logits", "probabilities", "independent-logits", "independent-probabilities" (a probability for each
        label, or of the second of two classes) or "values". By default it follows from the end: Softmax
        makes probabilities, Sigmoid independent ones, a single output is a value, any others are logits. Set
        it where that is wrong; None restores the default.
        """
        return kind_of(self, count_outputs(self, self.input_shape))

    @output_kind.setter
    def output_kind(self, kind: str | None) -> None:
        if kind is not None:
            one_of("output_kind", kind, OUTPUT_KINDS)
        implied = implied_kind(self, count_outputs(self, self.input_shape))
        self.stated_kind = None if kind == implied else kind

    def without_softmax(self) -> Predictor:
        """Return the network that outputs the logits: without the Softmax or LogSoftmax at its end."""
        raise NotImplementedError

    def without_last(self, *kinds: type[Layer]) -> Predictor:
        """Return the network without its last layer, if it is of one of these kinds; else itself."""
        raise NotImplementedError

    @accepts_old_names
    def predict_logits(self, x: Array, batch_size: int = 256) -> Array:
        """Run the network in inference, batch by batch, and return its outputs, of whatever kind they are.

        Parameters
        ----------
        x : floating point array (N, C, H, W), or lazy images
        batch_size : int
            Fewer are taken at once where a layer would make more numbers of them than the budget "values"
            (:mod:`neocog.budgets`).

        Returns
        -------
        array (N, outputs)
            Outputs (N, outputs, 1, 1) are reshaped.

        Raises
        ------
        TypeError, ValueError
            If the images are not floating point, not finite, empty or of a wrong shape.
        """
        x = check_images("x", x)
        integer("batch_size", batch_size)
        self._check_batch(tuple(x.shape))
        if min(len(x), batch_size) > 1:
            with contextlib.suppress(ValueError, TypeError):  # of a layer that states no output_shape
                _, numbers = largest_output(self, x.shape[1:])
                batch_size = max(1, min(batch_size, limit("values") // max(1, numbers)))
        batches = (x[start : start + batch_size] for start in range(0, len(x), batch_size))
        logits = np.concatenate([self(as_dtype(batch, self.dtype)) for batch in batches])
        finite("the network's outputs", logits)
        return logits.reshape(flat_shape(logits.shape))

    def _check_batch(self, shape: tuple[int, ...]) -> None:
        """Raise ValueError if there are no images, or one image is not a batch of one."""
        if not shape or shape[0] == 0:
            raise ValueError(f"x must not be empty, got shape {shape}.")
        if self.input_shape is None or (len(shape) == 4 and shape[1:] == self.input_shape):
            return
        try:
            self.output_shape(shape)
        except ValueError:
            if hint := batch_hint("x", shape, self.input_shape):
                C, H, W = self.input_shape
                raise ValueError(
                    f"x must be images of shape (N, {C}, {H}, {W}), got shape {shape}; {hint}."
                ) from None
            raise

    @accepts_old_names
    def predict_proba(self, x: Array, batch_size: int = 256) -> Array:
        """Return the probability of each class: (N, C, H, W) -> (N, classes).

        The softmax of logits; probabilities as they are; of independent ones each its own, and of a single
        one those of two classes, 1 - p and p. With ``class_weight`` w these q are those of images counted w
        times each; the probabilities are ``p_k = (q_k / w_k) / sum_j (q_j / w_j)``, by Bayes' rule those for
        classes as frequent as among the training images; of independent labels
        ``p_k = (q_k / w_k) / (q_k / w_k + 1 - q_k)``.

        Raises
        ------
        ValueError
            If the outputs are values.
        """
        return self.probabilities(self.predict_logits(x, batch_size))

    def probabilities(self, outputs: Array) -> Array:
        """Return the probability of each class, from the network's outputs: see :meth:`predict_proba`.

        Raises
        ------
        ValueError
            If the outputs are values, or ``class_weight`` has not one number above 0 for each class.
        """
        kind = kind_of(self, outputs.shape[1] if outputs.ndim == 2 else None)
        if self.class_weight is None:
            return probabilities_of(kind, outputs)
        classes = classes_of(kind, outputs.shape[1])
        weight = np.asarray(self.class_weight, float)
        if weight.shape != (classes,) or not (np.isfinite(weight).all() and weight.min() > 0):
            raise ValueError(
                f"class_weight must hold a number above 0 for each of {classes} classes, got "
                f"{self.class_weight}."
            )
        if kind in INDEPENDENT and outputs.shape[1] > 1:
            odds = (as_logits(kind, outputs) - np.log(weight)).astype(outputs.dtype)
            return probabilities_of("independent-logits", odds)
        if kind == "logits":
            return probabilities_of(kind, (outputs - np.log(weight)).astype(outputs.dtype))
        shares = probabilities_of(kind, outputs) / weight
        return (shares / shares.sum(axis=1, keepdims=True)).astype(outputs.dtype)

    def ranking(self, probabilities: Array) -> Array:
        """Return the classes of each image, the one that is predicted first: (N, classes) -> the same.

        They are in the order of the probabilities, each times its class's weight in training.
        """
        return (-self._weighted(probabilities)).argsort(axis=1, kind="stable")

    def applying(self, probabilities: Array) -> Array:
        """Return which independent labels are said to apply, by their probabilities: (N, labels) -> the same.

        Those over one half; with ``class_weight`` w over ``1 / (1 + w)``, where missing a label costs w times
        as much as saying it wrongly.
        """
        applies: Array = self._weighted(probabilities) > 0.5
        return applies

    def _weighted(self, probabilities: Array) -> Array:
        """Return what the probabilities of images weighted as in training are proportional, or equal, to."""
        if self.class_weight is None:
            return probabilities
        p, weight = probabilities, np.asarray(self.class_weight)
        if self.output_kind in INDEPENDENT and count_outputs(self, self.input_shape) != 1:
            return p * weight / (p * weight + 1 - p)
        return p * weight

    @accepts_old_names
    def predict(self, x: Array, batch_size: int = 256) -> Array:
        """Return the answer for each image: (N, C, H, W) -> (N,), the index of the most probable class.

        With ``class_weight`` w, that of the highest ``w_k p_k``: of the least expected cost, if a mistake
        on an image of class k costs w_k. Of several independent outputs, (N, outputs): 1 for each label that
        is more probable than not, else 0; with ``class_weight`` see :meth:`applying`. Of values, the values:
        (N, outputs).
        """
        return self.answers(self.predict_logits(x, batch_size))

    def answers(self, outputs: Array) -> Array:
        """Return the answer for each image, from the network's outputs: see :meth:`predict`."""
        kind = kind_of(self, outputs.shape[1] if outputs.ndim == 2 else None)
        if kind == "values":
            return outputs
        if kind in INDEPENDENT:
            applies = (log_odds(kind, outputs) > 0).astype(np.intp)
            return applies[:, 0] if outputs.shape[1] == 1 else applies
        return outputs.argmax(axis=1)

    def summary(self, input_shape: tuple[int, ...] | None = None, *, show: bool = True) -> Summary:
        """Print output shape, parameters, FLOPs and receptive field of every layer; return them as data.

        Parameters
        ----------
        input_shape : (N, C, H, W), default one image of ``self.input_shape``
        show : bool
            Whether to print the table.

        Raises
        ------
        ValueError
            If the shape is unknown or does not fit the network.
        """
        from neocog.layers.summary import summarize

        if input_shape is None:
            if self.input_shape is None:
                raise ValueError("input_shape is not known to this network: pass (N, C, H, W).")
            input_shape = (1, *self.input_shape)
        table = summarize(self, input_shape)
        if show:
            table.print()
        return table


def largest_output(network: Layer, image_shape: tuple[int, ...]) -> tuple[str, int]:
    """Return the layer that makes the most numbers of one image, and how many; "" is the image itself.

    Raises
    ------
    ValueError
        If the layers do not fit such images.
    """
    largest = "", math.prod(image_shape)

    def visit(name: str, layer: Layer, shapes: Any) -> Any:
        nonlocal largest
        shape = _Shape(layer.output_shape(tuple(shapes)))
        largest = max(largest, (name, math.prod(shape)), key=lambda found: found[1])
        return shape

    network.walk(visit, _Shape((1, *image_shape)))
    return largest


class _Shape(tuple):  # type: ignore[type-arg]
    """Hold one shape, as distinct from a tuple of shapes."""


def ends_in_softmax(network: Layer) -> bool:
    """Return whether a network's outputs are probabilities of classes: whether a Softmax makes them."""
    return isinstance(last_layer(network), Softmax)
