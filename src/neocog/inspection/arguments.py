"""Check the arguments that the functions of this package share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from neocog.layers import Container, Conv2D, Layer, LogSoftmax, Sigmoid, Softmax
from neocog.layers.base import Array, as_dtype, check_network
from neocog.layers.outputs import flat_shape
from neocog.layers.prediction import Predictor
from neocog.validation import check_images, finite, integer, one_of, unmasked


def find_layer(network: Layer, name: str) -> Layer:
    """Return the layer with a dotted name; ValueError that lists the names if there is none."""
    layers = dict(network.leaves())
    layer: Layer = layers[one_of("layer", name, layers)]
    return layer


def find_convolution(network: Layer, name: str | None = None, *, last: bool = False) -> tuple[str, Conv2D]:
    """Return a convolution and its name: the named one, or by default the first or the last.

    Raises
    ------
    ValueError
        If there is no such layer, it is no convolution, or the network has none.
    """
    convolutions = {key: layer for key, layer in network.leaves() if isinstance(layer, Conv2D)}
    if name is None:
        if not convolutions:
            raise ValueError("layer must be a convolution, but the network has none.")
        name = list(convolutions)[-1 if last else 0]
    layer = find_layer(network, name)
    if not isinstance(layer, Conv2D):
        raise ValueError(
            f"layer must be a convolution, one of {list(convolutions)}, got {name!r}, which is a "
            f"{type(layer).__name__}."
        )
    return name, layer


def prepare_batch(network: Layer, x: Any, name: str = "x") -> Array:
    """Return a batch in the network's dtype.

    Raises
    ------
    TypeError, ValueError
        If it is not floating point, not finite, empty, or does not fit the network.
    """
    x = check_batch(network, x, name)
    return as_dtype(np.asarray(x), network.dtype)


def check_batch(network: Layer, x: Any, name: str = "x") -> Any:
    """Return images, which may be lazy, checked against the network but not yet in its dtype."""
    if check_network(network).several_inputs:
        raise TypeError("the network must have one input.")
    x = check_images(name, x)
    if len(x.shape) == 0 or len(x) == 0:
        raise ValueError(f"{name} must not be empty, got shape {tuple(x.shape)}.")
    network.output_shape(tuple(x.shape))
    return x


def image_batch(network: Layer, x: Any) -> Array:
    """Return a batch checked by :func:`prepare_batch`; ValueError if its shape is not (N, C, H, W)."""
    x = prepare_batch(network, x)
    if x.ndim != 4:
        raise ValueError(f"x must be images of shape (N, C, H, W), got shape {x.shape}.")
    return x


def input_size(network: Layer, input_shape: Any = None) -> tuple[int, int, int]:
    """Return (C, H, W), by default the network's input shape; ValueError if it does not fit the network."""
    if input_shape is None:
        input_shape = network.input_shape if isinstance(network, Predictor) else None
        if input_shape is None:
            raise ValueError("input_shape is not known to this network: pass (channels, height, width).")
    if not isinstance(input_shape, tuple | list) or len(input_shape) != 3:
        raise ValueError(f"input_shape must be (channels, height, width), got {input_shape!r}.")
    C, H, W = (integer("input_shape", size) for size in input_shape)
    network.output_shape((1, C, H, W))
    return C, H, W


def class_indices(name: str, labels: Any, count: int, classes: int) -> Array:
    """Return an array of ``count`` class indices; a single index is repeated.

    Raises
    ------
    TypeError, ValueError
        If they are not integers in ``0..classes-1``, or not one for each image.
    """
    labels = np.asarray(unmasked(name, labels))
    if labels.dtype.kind not in "iu":
        raise TypeError(f"{name} must be integers, got {labels.dtype}.")
    if labels.shape not in ((), (count,)):
        raise ValueError(f"{name} must have shape ({count},), one an image, got {labels.shape}.")
    wrong = labels[(labels < 0) | (labels >= classes)]
    if wrong.size:
        raise ValueError(f"{name} must be in 0..{classes - 1}, got {wrong.flat[0]}.")
    return np.broadcast_to(labels, (count,)).astype(np.intp)


def without_probabilities(network: Layer) -> Layer:
    """Return the network that outputs logits: without the Softmax, LogSoftmax or Sigmoid at its end.

    Where a network is sure, a probability hardly moves with the image, and its gradient vanishes. A network
    that ends in none of these is returned itself.

    Raises
    ------
    TypeError
        If such a layer is the last of a container of the user's that cannot be built without it.
    """
    original = check_network(network).original
    if not isinstance(original, Container):
        return network
    logits = original.without_last(Softmax, LogSoftmax, Sigmoid)
    return network if logits is original else logits


def class_targets(network: Layer, x: Array, target: Any) -> Array:
    """Return a class index for each image, by default the class that the network predicts."""
    shape = flat_shape(network.output_shape(x.shape))
    if len(shape) != 2:
        raise ValueError(f"the network's outputs must be logits (N, classes), got shape {shape}.")
    if target is None:
        z = network(x)
        finite("the network's outputs", z)
        return z.reshape(shape).argmax(axis=1)
    return class_indices("y", target, *shape)


def activations(
    network: Layer, images: Any, layers: Sequence[str], batch_size: int = 256, *, inputs: bool = False
) -> Iterator[dict[str, Array]]:
    """Yield the outputs of some layers (or their inputs), in inference, batch by batch."""
    for name in layers:
        find_layer(network, name)
    kept: dict[str, Array] = {}

    def visit(name: str, leaf: Layer, value: Any) -> Any:
        y = leaf.forward(value)[0]
        if name in layers:
            kept[name] = value if inputs else y
        return y

    for start in range(0, len(images), integer("batch_size", batch_size)):
        batch = np.asarray(images[start : start + batch_size])
        network.walk(visit, as_dtype(batch, network.dtype))
        yield dict(kept)
