"""Predict batch by batch: the methods that a network and its copy for inference share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from neocog.deprecation import accepts_old_names
from neocog.layers.activation import softmax
from neocog.layers.base import Array, Layer, as_dtype
from neocog.layers.softmax import Softmax
from neocog.validation import check_images, finite, integer

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
    """

    class_names: tuple[str, ...] | None
    input_shape: tuple[int, int, int] | None
    preprocessing: Any = None

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
        if len(x) == 0:
            raise ValueError("x must not be empty.")
        batches = (x[start : start + batch_size] for start in range(0, len(x), batch_size))
        logits = np.concatenate([self(as_dtype(batch, self.dtype)) for batch in batches])
        finite("the network's outputs", logits)
        return logits

    @accepts_old_names
    def predict_proba(self, x: Array, batch_size: int = 256) -> Array:
        """Return the probability of each class, the softmax of the logits: (N, C, H, W) -> (N, classes).

        Of a network that ends in Softmax, its outputs.
        """
        outputs = self.predict_logits(x, batch_size)
        return outputs if ends_in_softmax(self) else softmax(outputs)

    @accepts_old_names
    def predict(self, x: Array, batch_size: int = 256) -> Array:
        """Return the index of the most probable class: (N, C, H, W) -> (N,)."""
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


def ends_in_softmax(network: Layer) -> bool:
    """Return whether a network's outputs are probabilities: whether its last layer is a Softmax."""
    *_, (_, last) = [("", network), *network.leaves()]  # of a graph, too: all nodes lead to the last one
    return isinstance(last, Softmax)
