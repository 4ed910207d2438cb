"""Activation maximization, and the images of a data set that activate a unit most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from neocog.deprecation import accepts_old_names
from neocog.inspection.arguments import (
    activations,
    check_batch,
    find_layer,
    input_size,
    without_probabilities,
)
from neocog.inspection.receptive_field import ReceptiveField, unit_receptive_field
from neocog.inspection.trace import LayerRecord, _Watch, _watched
from neocog.layers import Layer
from neocog.layers.base import Array, Grads, as_dtype
from neocog.validation import RandomSource, check_images, finite, generator, integer, number

__all__ = ["Exciting", "Maximization", "maximize_activation", "most_exciting"]


@dataclass(frozen=True)
class Maximization:
    """The result of :func:`maximize_activation`: an image that activates a unit strongly.

    Attributes
    ----------
    image : array (C, H, W)
    activations : array (steps + 1,)
        The unit's value at the start and after each step.
    """

    image: Array
    activations: Array


def maximize_activation(
    network: Layer,
    unit: int | tuple[int, ...],
    layer: str | None = None,
    *,
    input_shape: tuple[int, int, int] | None = None,
    steps: int = 100,
    lr: float = 0.5,
    l2: float = 0.1,
    clip: tuple[float, float] | None = None,
    start: Any = None,
    rng: RandomSource = 0,
) -> Maximization:
    """Optimize an image, from noise, by gradient ascent on the activation of a unit.

    ``x <- x + lr (da/dx - 2 l2 x)``, gradient ascent on ``a(x) - l2 ||x||^2``. For a linear unit
    ``a = <w, x>`` the maximum is at ``w / (2 l2)``.

    Parameters
    ----------
    network : Layer
    unit : int or tuple of int
        A class, a feature, a channel (the mean of its map), or (channel, row, column) for one unit of a map.
    layer : str, default the network's outputs
        Dotted name. Without one, a Softmax, LogSoftmax or Sigmoid at the end is left out, and a class is its
        logit. After a ReLU a unit may be inactive at the start and stay so; take the layer before it.
    input_shape : (C, H, W), default the network's own
    steps : int
    lr : float
        The step size.
    l2 : float
        The strength of the penalty on the norm of the image.
    clip : (low, high), optional
        Keep the pixels in this range, as those of real images are; default leaves them free.
    start : array (C, H, W), optional
        Default: normal noise of standard deviation 0.5; with less, all units may be inactive and stay so.
    rng : Generator, int or None

    Returns
    -------
    Maximization

    Raises
    ------
    TypeError, ValueError
        If there is no such layer or unit, the start does not fit, an argument is out of range, or the image
        does not stay finite.

    Notes
    -----
    Source: D. Erhan et al., "Visualizing higher-layer features of a deep network", 2009; for classes K.
    Simonyan et al., "Deep inside convolutional networks", 2013.
    """
    C, H, W = input_size(network, input_shape)
    steps = integer("steps", steps)
    lr, l2 = number("lr", lr, 0, exclusive_minimum=True), number("l2", l2, 0)
    low, high = _range(clip)
    if start is None:
        start = 0.5 * generator(rng).normal(size=(C, H, W))
    x = check_images("start", start)[None]
    if x.shape != (1, C, H, W):
        raise ValueError(f"start must have shape {(C, H, W)}, got {x.shape[1:]}.")
    x = as_dtype(x, network.dtype)
    probe = _Probe(without_probabilities(network) if layer is None else network, layer)
    values = []
    for _ in range(steps):
        y = probe.forward(x)
        place = _unit(unit, y.shape)
        values.append(y[place].mean())
        dy = np.zeros_like(y)
        dy[place] = 1 / y[place].size
        with np.errstate(over="ignore", invalid="ignore"):  # checked just below
            x = np.clip(x + lr * (probe.backward(dy) - 2 * l2 * x), low, high)
        finite("the image, which a smaller lr would keep from growing,", x)
    values.append(probe.forward(x)[place].mean())
    return Maximization(x[0], np.array(values))


def _range(clip: Any) -> tuple[float, float]:
    """Return the bounds of the pixels; ValueError if they are not an ordered pair."""
    if clip is None:
        return -np.inf, np.inf
    if not isinstance(clip, tuple | list) or len(clip) != 2:
        raise ValueError(f"clip must be (low, high), got {clip!r}.")
    low = number("clip", clip[0])
    return low, number("clip", clip[1], low)


def _unit(unit: Any, shape: tuple[int, ...]) -> tuple[Any, ...]:
    """Return the index of a unit in the outputs for one image; ValueError if it does not exist."""
    place = unit if isinstance(unit, tuple | list) else (unit,)
    sizes = shape[1:]
    if len(place) not in (1, len(sizes)):
        raise ValueError(
            f"unit must be an index or {len(sizes)} indices in outputs of {sizes}, got {unit!r}."
        )
    place = tuple(integer("unit", k, 0) for k in place)
    if any(k >= size for k, size in zip(place, sizes, strict=False)):
        raise ValueError(f"unit must lie in the outputs, whose shape is {sizes}, got {unit!r}.")
    return (0, *place)


class _Probe:
    """The outputs of one layer as a function of the image, with the derivative of that function.

    ``backward`` is linear in ``dy``: a gradient of zeros enters at the outputs of the network, and ``dy`` is
    added to it at the layer.
    """

    def __init__(self, network: Layer, layer: str | None) -> None:
        if layer is not None:
            find_layer(network, layer)
        self._records: dict[str, LayerRecord] = {}
        self._layer = layer
        self._network = _watched(network.original, "", self._records)
        self._adding: _Adding | None = None
        for name, watch in self._network.leaves():
            if name == layer and isinstance(watch, _Watch):
                watch.layer = self._adding = _Adding(watch.layer)

    def forward(self, x: Array) -> Array:
        self._z, self._cache = self._network.forward(x)
        return self._z if self._layer is None else self._records[self._layer].y

    def backward(self, dy: Array) -> Array:
        dz = dy
        if self._adding is not None:
            self._adding.dy, dz = dy, np.zeros_like(self._z)
        return self._network.backward(dz, self._cache)[0]


class _Adding(Layer):
    """A wrapper around a layer that adds another gradient to its ``dy``."""

    dy: Array

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Any, training: bool = False) -> tuple[Array, Any]:
        return self.layer.forward(x, training)

    def backward(self, dy: Array, cache: Any, input_grad: bool = True) -> tuple[Any, Grads]:
        return self.layer.backward(dy + self.dy, cache, input_grad)


@dataclass(frozen=True)
class Exciting:
    """The images that activate a filter most, the strongest first.

    Attributes
    ----------
    index : int array (M,)
        Index of the image among those passed.
    position : int array (M, 2)
        Row and column of the filter's map where it is strongest.
    value : array (M,)
        The activation there.
    patches : array (M, C, h, w)
        The pixels that the filter sees there; zeros outside the image.
    fields : list of ReceptiveField
        Where the patch lies in the image.
    """

    index: Array
    position: Array
    value: Array
    patches: Array
    fields: list[ReceptiveField]

    def __len__(self) -> int:
        return len(self.index)


@accepts_old_names
def most_exciting(
    network: Layer, x: Any, layer: str, channel: int, count: int = 9, *, batch_size: int = 256
) -> Exciting:
    """Find the images, and the positions in them, that activate a filter most.

    For each image the strongest place, ``max_{i,j} y[n, channel, i, j]``, the first on a tie; then the
    ``count`` strongest images.

    Parameters
    ----------
    network : Layer
    x : floating point array (N, C, H, W), or lazy images
    layer : str
        A layer that makes maps.
    channel : int
        The filter: a channel of the layer's maps.
    count : int
    batch_size : int

    Returns
    -------
    Exciting

    Raises
    ------
    TypeError, ValueError
        If there is no such layer or channel, the layer makes no maps, or the images do not fit the network.

    Notes
    -----
    Source: R. Girshick et al., "Rich feature hierarchies for accurate object detection", 2014; M. Zeiler, R.
    Fergus, "Visualizing and understanding convolutional networks", 2014.
    """
    x = check_batch(network, x, "x")
    channel, count = integer("channel", channel, 0), integer("count", count)
    strongest, places = [], []
    for outputs in activations(network, x, [layer], batch_size):
        y = outputs[layer]
        if y.ndim != 4:
            raise ValueError(f"layer must make maps (N, C, H, W), got {layer!r}, which makes {y.shape}.")
        if channel >= y.shape[1]:
            raise ValueError(f"channel must be in 0..{y.shape[1] - 1} in {layer!r}, got {channel}.")
        maps = y[:, channel].reshape(len(y), -1)
        strongest.append(maps.max(axis=1))
        places.append(np.stack(np.unravel_index(maps.argmax(axis=1), y.shape[2:]), axis=1))
    value, position = np.concatenate(strongest), np.concatenate(places)
    best = np.argsort(-value, kind="stable")[:count]
    shape = tuple(x.shape[1:])
    fields = [unit_receptive_field(network, layer, tuple(position[n].tolist()), shape) for n in best]
    size = tuple(max(field.size[axis] for field in fields) for axis in (0, 1))
    patches = [_patch(x[n : n + 1], field, size) for n, field in zip(best, fields, strict=True)]
    return Exciting(best, position[best], value[best], np.concatenate(patches), fields)


def _patch(image: Any, field: ReceptiveField, size: tuple[int, ...]) -> Array:
    """Cut a receptive field out of an image (1, C, H, W), with zeros outside the image."""
    inside = np.asarray(image)[:, :, field.rows, field.columns]
    patch = np.zeros((*inside.shape[:2], *size), dtype=inside.dtype)
    top = max(field.rows.start - field.unclipped_rows[0], 0)
    left = max(field.columns.start - field.unclipped_columns[0], 0)
    patch[:, :, top : top + inside.shape[2], left : left + inside.shape[3]] = inside
    return patch
