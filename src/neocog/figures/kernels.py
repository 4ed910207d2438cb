"""Draw the kernels of a convolution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from neocog.figures.animation import BOTTOM, add_slider
from neocog.figures.checks import array, mapping
from neocog.figures.image_grid import LINE_HEIGHT, ImageGrid, tiles
from neocog.figures.style import MUTED, Scale, symmetric
from neocog.validation import integer

LABEL = "weight"
WIDEST = 26.0
CHANNELS = ("red", "green", "blue")
BYTES = Scale(0.0, 255.0, [])


def filters(
    weights: Any,
    names: Sequence[str] | None = None,
    values: bool | None = None,
    columns: int | None = None,
    title: str = "Learned filters",
    colour: bool | None = None,
) -> go.Figure:
    """Draw the kernels of a convolution: one column per filter, one row per input channel, one scale.

    Kernels over red, green and blue are also drawn as colour pictures, above their channels: grey is 0, and a
    weight of the largest size is full light or none in its channel.

    Parameters
    ----------
    weights : array (F, C, kH, kW)
    names : sequence of str, optional
        Of the filters.
    values : bool, optional
        Write the weights in the cells; by default where there is room.
    columns : int, optional
        Filters side by side, by default 4 or 8 at most.
    title : str
    colour : bool, optional
        Whether the channels are red, green and blue; by default if there are three.

    Raises
    ------
    ValueError, TypeError
        If the weights are not four-dimensional, or of colour and not of three channels, or the names are not
        as many as the filters.

    Examples
    --------
    >>> figure = filters(np.array([[[[1.0, -2.0]]]]))
    >>> figure.data[0].zmin, figure.data[0].zmax
    (-2.0, 2.0)
    """
    weights = array("weights", weights, 4)
    colour = _of_colour(colour, weights)
    scale = symmetric(weights, label=LABEL)
    return _kernels(weights, names, values, columns, title, scale, colour).finish()


def filter_evolution(
    snapshots: Mapping[int, Any],
    columns: int | None = None,
    title: str = "How the filters change",
    colour: bool | None = None,
) -> go.Figure:
    """Draw the kernels as they were after some epochs, with a slider through time and one scale for all.

    Parameters
    ----------
    snapshots : dict of epoch to array (F, C, kH, kW)
        As ``KernelSnapshots`` keeps them.
    columns : int, optional
        Filters side by side, by default 4 or 8 at most.
    title : str
    colour : bool, optional
        As in :func:`filters`.

    Returns
    -------
    plotly Figure
        Opens at the last epoch. It has a frame a snapshot; ``figure.frames[k].data`` are its kernels, filter
        by filter.

    Raises
    ------
    ValueError, TypeError
        If the snapshots are not of one shape, or their keys are no epochs.
    """
    epochs, steps = _steps(snapshots)
    scale = symmetric(*steps, label=LABEL)
    colour = _of_colour(colour, steps[0])
    figure = _kernels(steps[-1], None, None, columns, title, scale, colour).finish(BOTTOM, numbers=True)
    frames = []
    for epoch, weights in zip(epochs, steps, strict=True):
        data: list[Any] = []
        for kernel in weights:
            if colour:
                data.append(go.Image(z=light(kernel, scale).transpose(1, 2, 0)))
            data += [go.Heatmap(z=channel) for channel in kernel]
        frames.append(go.Frame(name=str(epoch), traces=list(range(len(data))), data=data))
    return add_slider(figure, frames, "epoch ", active=len(frames) - 1)


def filter_grid(
    snapshots: Mapping[int, Any], names: Sequence[str] | None = None, title: str = "The filters over time"
) -> go.Figure:
    """Draw the kernels as they were after some epochs: one row per filter, one column per epoch, one scale.

    What :func:`filter_evolution` shows with a slider is seen here at a glance. With several input channels
    each filter has a row per channel.

    Parameters
    ----------
    snapshots : dict of epoch to array (F, C, kH, kW)
        As ``KernelSnapshots`` keeps them.
    names : sequence of str, optional
        Of the filters.
    title : str

    Raises
    ------
    ValueError, TypeError
        If the snapshots are not of one shape, their keys are no epochs, or the names are not as many as the
        filters.

    Examples
    --------
    >>> figure = filter_grid({0: np.zeros((1, 1, 2, 2)), 5: np.ones((1, 1, 2, 2))})
    >>> [picture.name for picture in figure.data[:2]]
    ['filter 0, epoch 0', 'filter 0, epoch 5']
    """
    epochs, steps = _steps(snapshots)
    F, C, kH, kW = steps[0].shape
    names = _names(names, F)
    left = min(40.0, max(13.0, 2.0 + 2.0 * max(map(len, names))))
    lefts, width = tiles(len(epochs), 2.0, 17.0, left)
    height, gap = width * kH / kW, 1.2
    scale = symmetric(*steps, label=LABEL)
    grid = ImageGrid(title, _size(steps[0]))
    grid.colour_bar(scale)
    grid.text("epoch", 0, 1, colour=MUTED)
    for epoch, x in zip(epochs, lefts, strict=True):
        grid.text(str(epoch), x + width / 2, 1, anchor="center")
    y = LINE_HEIGHT + 1.4
    for f, name in enumerate(names):
        grid.text(name, 0, y + (C * (height + gap) - gap) / 2, valign="middle")
        for c in range(C):
            row = name + (f", channel {c}" if C > 1 else "")
            for epoch, x, weights in zip(epochs, lefts, steps, strict=True):
                words = f"{row}, epoch {epoch}"
                grid.picture(weights[f, c], x, y, width, scale, words, gaps=True)
            y += height + gap
        y += 1.0
    return grid.finish()


def _steps(snapshots: Mapping[int, Any]) -> tuple[list[int], list[np.ndarray]]:
    """Return the epochs in order and the weights at each."""
    found = mapping("snapshots", snapshots, "of epoch to weights (F, C, kH, kW)")
    epochs = sorted(integer("an epoch of snapshots", epoch, 0) for epoch in found)
    steps = [array(f"snapshots[{epoch}]", found[epoch], 4) for epoch in epochs]
    for epoch, weights in zip(epochs, steps, strict=True):
        if weights.shape != steps[0].shape:
            raise ValueError(
                f"snapshots must be of one shape, got {steps[0].shape} at epoch {epochs[0]} and "
                f"{weights.shape} at epoch {epoch}."
            )
    return epochs, steps


def _names(names: Sequence[str] | None, F: int) -> Sequence[str]:
    """Return a name for each filter."""
    if names is None:
        return [f"filter {f}" if F <= 6 else str(f) for f in range(F)]
    if len(names) != F:
        raise ValueError(f"names must be {F}, one a filter, got {len(names)}.")
    return names


def _size(weights: np.ndarray) -> str:
    """Return the number and the size of the kernels in words."""
    F, C, kH, kW = weights.shape
    return f"{F} of {kH} × {kW}" + (f", over {C} channels (one a row)" if C > 1 else "")


def _kernels(
    weights: np.ndarray,
    names: Sequence[str] | None,
    values: bool | None,
    columns: int | None,
    title: str,
    scale: Scale,
    colour: bool,
) -> ImageGrid:
    """Arrange the kernels in a grid, filter by filter and channel by channel."""
    F, C, kH, kW = weights.shape
    names = _names(names, F)
    if columns is None:
        columns = 4 if C == 1 and 4 < F <= 16 else 8
    columns = min(F, integer("columns", columns))
    lefts, width = tiles(columns, 3.0, WIDEST)
    if values is None:
        values = width / kW >= 5.5
    grid = ImageGrid(title, _colour_size(weights) if colour else _size(weights))
    grid.colour_bar(scale)
    height, gap = width * kH / kW, 1.4
    labels = CHANNELS if colour else [f"channel {c}" if C > 1 else "" for c in range(C)]
    for f in range(F):
        row, column = divmod(f, columns)
        y = row * (LINE_HEIGHT + (C + colour) * (height + gap) + 2.0)
        grid.text(names[f], lefts[column], y)
        if colour:
            shown = light(weights[f], scale)
            grid.picture(shown, lefts[column], y + LINE_HEIGHT, width, BYTES, f"{names[f]}, in colour")
        for c in range(C):
            name = names[f] + (f", {labels[c]}" if labels[c] else "")
            top = y + LINE_HEIGHT + (c + colour) * (height + gap)
            grid.picture(
                weights[f, c], lefts[column], top, width, scale, name, ".2f" if values else "", gaps=True
            )
    return grid


def light(kernel: np.ndarray, scale: Scale) -> np.ndarray:
    """Return a kernel over red, green and blue as a picture uint8 (3, kH, kW), in which grey is 0.

    Examples
    --------
    >>> light(np.array([[[-2.0]], [[0.0]], [[2.0]]]), Scale(-2.0, 2.0, [])).ravel().tolist()
    [0, 128, 255]
    """
    shown: np.ndarray = ((kernel - scale.low) / (scale.high - scale.low) * 255).round().astype(np.uint8)
    return shown


def _of_colour(chosen: bool | None, weights: np.ndarray) -> bool:
    """Return whether kernels are drawn in colour, too."""
    channels = weights.shape[1]
    if chosen and channels != len(CHANNELS):
        raise ValueError(f"colour needs kernels over 3 channels, got {channels}.")
    return channels == len(CHANNELS) if chosen is None else bool(chosen)


def _colour_size(weights: np.ndarray) -> str:
    """Return the number and the size of kernels over red, green and blue in words."""
    F, _, kH, kW = weights.shape
    return f"{F} of {kH} × {kW}: in colour (grey is 0), then over red, green and blue"
