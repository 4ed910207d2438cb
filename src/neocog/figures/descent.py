"""Draw gradient descent: over two weights as paths on contours, over one as points on a curve."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go

from neocog.figures.checks import array, mapping
from neocog.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    MUTED,
    ORANGE,
    PALE,
    PURPLE,
    VERMILLION,
    legend_rows,
    new_figure,
    number,
    share_scale,
)
from neocog.validation import finite, integer
from neocog.validation import number as check_number

COLOURS = (VERMILLION, GREEN, PURPLE, ORANGE, BLACK)  # not the blues of the contours
STEPS = 101  # of the grid, each way
LEVELS = 12
DECADES = 3.0  # from the highest level down to the lowest, above the least loss
NEAR = 0.06  # points nearer to each other, in parts of the figure, get no number
TANGENT = 0.2  # half of its length, in parts of the figure


def descent(
    loss: Callable[[np.ndarray, np.ndarray], Any],
    paths: Mapping[str, Any],
    *,
    x_range: tuple[float, float],
    y_range: tuple[float, float],
    x_title: str = "a",
    y_title: str = "b",
    title: str = "Descent",
) -> go.Figure:
    """Draw the paths of descents over the contours of a loss of two weights.

    The contours have equal distances in the logarithm of the loss above its least value on the grid, so that
    they show a valley's floor as well as its walls. Both axes have one scale, unless one range is more than
    four times the other: then a gradient is at right angles to the contour that it leaves.

    Parameters
    ----------
    loss : callable
        Of two arrays of one shape; returns the losses in this shape.
    paths : dict of label to array (T, 2)
        The weights (a, b) after each step, the start first.
    x_range, y_range : (float, float)
        Of a and b.
    x_title, y_title : str
    title : str

    Raises
    ------
    ValueError, TypeError
        If a path is no array (T, 2), a range is empty, or the loss is not finite or not vectorised.

    Examples
    --------
    >>> figure = descent(lambda a, b: a**2 + b**2, {"lr 0.4": [[1, 1], [0.2, 0.2]]}, x_range=(-2, 2),
    ...                  y_range=(-1, 2))
    >>> figure.data[1].name, figure.data[1].customdata
    ('lr 0.4', (2.0, 0.08000000000000002))
    """
    found = {
        str(k): _path(k, path) for k, path in mapping("paths", paths, "of label to array (T, 2)").items()
    }
    x, y = (np.linspace(*_range(name, r), STEPS) for name, r in (("x_range", x_range), ("y_range", y_range)))
    values = _values(loss, *np.meshgrid(x, y))
    low, high = float(values.min()), float(values.max())
    floor = (high - low or 1.0) * 10**-DECADES
    bottom, top = np.log10([floor, high - low + floor])
    ratio = float(np.ptp(y) / np.ptp(x))
    above = 84 + 20 * legend_rows(found)  # the legend's, on a narrow page
    figure = new_figure(title, "darker: greater loss; circle: start; star: end")
    figure.add_trace(
        go.Contour(
            x=x,
            y=y,
            z=np.log10(values - low + floor).astype(np.float32),
            customdata=values.astype(np.float32),
            colorscale=PALE,
            contours={"start": bottom, "end": top, "size": (top - bottom) / LEVELS},
            line={"width": 0.7, "color": "rgba(31, 41, 51, 0.5)"},
            showscale=False,
            hovertemplate="loss %{customdata:.4g}<extra></extra>",
        )
    )
    parts = [
        _steps(name, path, _values(loss, *path.T), COLOURS[k % len(COLOURS)])
        for k, (name, path) in enumerate(found.items())
    ]
    for layer in zip(*parts, strict=True):  # the ends lie above all lines
        figure.add_traces(layer)
    figure.update_layout(height=600, margin={"t": above, "b": 48, "l": 56})
    figure.update_xaxes(title=x_title, range=[x[0], x[-1]])
    figure.update_yaxes(title=y_title, range=[y[0], y[-1]])
    share_scale(figure, ratio, above)
    return figure


def descent_on_curve(
    loss: Callable[[np.ndarray], Any],
    points: Any,
    *,
    x_range: tuple[float, float],
    tangents: int = 3,
    x_title: str = "w",
    title: str = "Descent",
) -> go.Figure:
    """Draw the descent of one weight on the curve of its loss, with the tangents at the first points.

    Parameters
    ----------
    loss : callable
        Of an array; returns the losses in its shape.
    points : array (T,)
        The weight after each step, the start first.
    x_range : (float, float)
        Of the weight.
    tangents : int
        At so many points, from the start.
    x_title, title : str

    Raises
    ------
    ValueError, TypeError
        If the range is empty, a point is not finite, or the loss is not finite or not vectorised.

    Examples
    --------
    >>> figure = descent_on_curve(lambda w: w**2, [2.0, 1.0, 0.5], x_range=(-3, 3), tangents=1)
    >>> [trace.name for trace in figure.data]
    ['loss', 'slope 4', 'descent']
    """
    points = array("points", points, 1)
    integer("tangents", tangents, 0)
    x = np.linspace(*_range("x_range", x_range), 4 * STEPS)
    values, heights = _values(loss, x), _values(loss, points)
    spans = float(np.ptp(x)), float(np.ptp(values)) or 1.0
    figure = new_figure(title, "orange: the tangents at the first points" if tangents else "", height=420)
    line = {"width": 2.5, "color": BLUE}
    figure.add_trace(
        go.Scatter(x=x, y=values, mode="lines", name="loss", line=line, hovertemplate="loss %{y:.4g}")
    )
    step = 1e-5 * spans[0]
    slopes = (_values(loss, points + step) - _values(loss, points - step)) / (2 * step)
    for w, height, slope in list(zip(points, heights, slopes, strict=True))[:tangents]:
        reach = TANGENT / float(np.hypot(1 / spans[0], slope / spans[1]))
        figure.add_trace(
            go.Scatter(
                x=[w - reach, w + reach],
                y=[height - slope * reach, height + slope * reach],
                mode="lines",
                line={"width": 2, "color": ORANGE},
                name=f"slope {number(float(slope))}",
                hovertemplate="%{fullData.name}<extra></extra>",
                showlegend=False,
            )
        )
    path, _ = _steps("descent", np.stack([points, heights], axis=1), heights, VERMILLION)
    path.line = {"width": 1, "color": VERMILLION, "dash": "dot"}
    path.marker.size = 8
    figure.add_trace(path)
    places = np.stack([points / spans[0], heights / spans[1]], axis=1)
    apart = np.hypot(*np.diff(places, axis=0).T) > NEAR
    numbered = 1 + int(np.argmin([*apart[:3], False]))  # the first points, as long as they lie apart
    for k in range(numbered):
        place = {"x": points[k], "y": heights[k], "yshift": 14}
        figure.add_annotation(text=str(k), showarrow=False, font={"size": 12, "color": MUTED}, **place)
    figure.update_layout(margin={"t": 106 if tangents else 84, "b": 48, "l": 60}, hovermode="closest")
    figure.update_xaxes(title=x_title, range=[x[0], x[-1]])
    pad = 0.06 * spans[1]
    figure.update_yaxes(title="loss", range=[values.min() - pad, values.max() + pad])
    return figure


def _range(name: str, value: Any) -> tuple[float, float]:
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise ValueError(f"{name} must be (low, high), got {value!r}.")
    low, high = (check_number(name, v) for v in value)
    if not low < high:
        raise ValueError(f"{name} must be (low, high) with low below high, got {value!r}.")
    return low, high


def _path(name: Any, path: Any) -> np.ndarray:
    label = f"paths[{name!r}]"
    found = array(label, path, 2)
    if found.shape[1] != 2:
        raise ValueError(f"{label} must have the shape (T, 2), got {found.shape}.")
    return found


def _values(loss: Callable[..., Any], *weights: np.ndarray) -> np.ndarray:
    """Return the loss at each place, checked."""
    values = np.asarray(loss(*weights))
    if values.shape != weights[0].shape:
        raise ValueError(
            f"loss must return one value for each place of its arrays of shape {weights[0].shape}, got the "
            f"shape {values.shape}."
        )
    finite("the values of loss", values)
    return values.astype(float)


def _steps(name: str, path: np.ndarray, losses: np.ndarray, colour: str) -> tuple[go.Scatter, go.Scatter]:
    """Return the points of a descent, joined, and its two ends."""
    words = html.escape(name, quote=False)
    steps = go.Scatter(
        x=path[:, 0],
        y=path[:, 1],
        mode="lines+markers",
        line={"width": 2, "color": colour},
        marker={"size": 6 if len(path) <= 60 else 4, "color": colour},
        name=words,
        legendgroup=words,
        customdata=losses.tolist(),
        hovertext=[f"step {k}" for k in range(len(path))],
        hovertemplate=f"{words}, %{{hovertext}}<br>(%{{x:.4g}}, %{{y:.4g}})<br>"
        "loss %{customdata:.4g}<extra></extra>",
    )
    ends = go.Scatter(
        x=path[[0, -1], 0],
        y=path[[0, -1], 1],
        mode="markers",
        marker={
            "size": [11, 14],
            "symbol": ["circle", "star"],
            "color": ["white", colour],
            "line": {"width": [2.5, 1], "color": [colour, "white"]},
        },
        legendgroup=words,
        showlegend=False,
        hoverinfo="skip",
    )
    return steps, ends
