"""Let a slider and a play button choose what a figure shows."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from neocog.figures.style import MUTED

BOTTOM = 88  # pixels that the slider needs below the pictures
MILLISECONDS = 900  # for which a frame is shown


def add_slider(figure: go.Figure, frames: Sequence[go.Frame], prefix: str, active: int = 0) -> go.Figure:
    """Add frames, a slider through their names and a play button to a figure that shows frame ``active``."""
    figure.frames = list(frames)
    now = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}, "transition": {"duration": 0}}
    play = {**now, "frame": {"duration": MILLISECONDS, "redraw": True}, "fromcurrent": False}
    steps = [
        {"label": frame.name, "method": "animate", "args": [[frame.name], now], "value": frame.name}
        for frame in frames
    ]
    slider = {
        "active": active,
        "currentvalue": {"prefix": prefix, "font": {"size": 14}, "xanchor": "left"},
        "steps": steps,
        "x": 0.14,
        "len": 0.86,
        "y": 0,
        "yanchor": "top",
        "pad": {"t": 6, "b": 0},
        "ticklen": 5,
        "tickcolor": MUTED,
        "minorticklen": 0,
        "font": {"size": 11, "color": MUTED},
    }
    button = {
        "type": "buttons",
        "x": 0,
        "xanchor": "left",
        "y": 0,
        "yanchor": "top",
        "pad": {"t": 26},
        "showactive": False,
        "bgcolor": "white",
        "bordercolor": MUTED,
        "buttons": [{"label": "▶", "method": "animate", "args": [None, play]}],
    }
    return figure.update_layout(sliders=[slider], updatemenus=[button])
