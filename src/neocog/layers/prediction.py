"""Predict batch by batch: the methods that a network and its copy for inference share."""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from neocog.budgets import limit
from neocog.deprecation import accepts_old_names
from neocog.layers.base import Array, Layer, as_dtype
from neocog.layers.softmax import Softmax, softmax
from neocog.validation import batch_hint, check_images, finite, integer

if TYPE_CHECKING:
    from neocog.layers.summary import Summary


class Predictor(Layer):
    """Base of callables that map images to logits.

    Attributes
    ----------
    class_names : tuple of str or None
        Names of the outputs; saved in the model file.
    input_shape : (int, int, int) or None
        (channels, height, width) of the images; saved in the model file.
    preprocessing : neocog.data.Preprocessing or None
        How a picture becomes an image; saved in the model file.
    class_weight : tuple of float or None
        The weight that each class's images had in training; saved in the model file. The logits are those of
        the weighted classes, and the predicted class is that of the least expected cost; only
        ``predict_proba`` takes the weights out again.
    """

    class_names: tuple[str, ...] | None
    input_shape: tuple[int, int, int] | None
    preprocessing: Any = None
    class_weight: tuple[float, ...] | None = None

    def without_softmax(self) -> Predictor:
        """Return the network that outputs the logits: without the Softmax or LogSoftmax at its end."""
        raise NotImplementedError

    @accepts_old_names
    def predict_logits(self, x: Array, batch_size: int = 256) -> Array:
        """Run the network in inference, batch by batch.

        Parameters
        ----------
        x : floating point array (N, C, H, W), or lazy images
        batch_size : int
            Fewer are taken at once where a layer would make more numbers of them than the budget "values"
            (:mod:`neocog.budgets`).

        Returns
        -------
        array (N, classes)

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
        return logits

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
        """Return the probability of each class, the softmax of the logits: (N, C, H, W) -> (N, classes).

        Of a network that ends in Softmax, its outputs. With ``class_weight`` w the softmax q is that of
        images counted w times each; the probabilities are ``p_k = (q_k / w_k) / sum_j (q_j / w_j)``, by
        Bayes' rule those for classes as frequent as among the training images.
        """
        return self.probabilities(self.predict_logits(x, batch_size))

    def probabilities(self, outputs: Array) -> Array:
        """Return the probability of each class, from the network's outputs: see :meth:`predict_proba`.

        Raises
        ------
        ValueError
            If ``class_weight`` has not one number above 0 for each output.
        """
        if self.class_weight is None:
            return outputs if ends_in_softmax(self) else softmax(outputs)
        weight = np.asarray(self.class_weight, float)
        if weight.shape != outputs.shape[1:] or not (np.isfinite(weight).all() and weight.min() > 0):
            raise ValueError(
                f"class_weight must hold a number above 0 for each of {outputs.shape[1]} outputs, got "
                f"{self.class_weight}."
            )
        if not ends_in_softmax(self):
            return softmax((outputs - np.log(weight)).astype(outputs.dtype))
        shares = outputs / weight
        return (shares / shares.sum(axis=1, keepdims=True)).astype(outputs.dtype)

    def ranking(self, probabilities: Array) -> Array:
        """Return the classes of each image, the one that is predicted first: (N, classes) -> the same.

        They are in the order of the probabilities, each times its class's weight in training.
        """
        weight = 1.0 if self.class_weight is None else np.asarray(self.class_weight)
        return (-probabilities * weight).argsort(axis=1, kind="stable")

    @accepts_old_names
    def predict(self, x: Array, batch_size: int = 256) -> Array:
        """Return the index of the most probable class: (N, C, H, W) -> (N,).

        With ``class_weight`` w, that of the highest ``w_k p_k``: of the least expected cost, if a mistake
        on an image of class k costs w_k.
        """
        return self.predict_logits(x, batch_size).argmax(axis=1)

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
    """Return whether a network's outputs are probabilities: whether its last layer is a Softmax."""
    *_, (_, last) = [("", network), *network.leaves()]  # of a graph, too: all nodes lead to the last one
    return isinstance(last, Softmax)
