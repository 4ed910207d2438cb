"""Map the numbers, logarithms and categories of an axis to pixels, and choose its ticks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

PIXELS = {"heatmap", "image", "contour"}
"""The traces that fill their axes to the edge."""


@dataclass
class Axis:
    """Map the numbers of an axis to pixels.

    ``start`` and ``end`` are the pixels of ``low`` and ``high``, which are exponents where ``log`` is true.
    """

    settings: Any
    names: list[str]
    log: bool
    low: float
    high: float
    start: float = 0.0
    end: float = 1.0

    @classmethod
    def of(cls, letter: str, settings: Any, traces: Sequence[Any]) -> Axis:
        """Return the axis, x or y, of some traces, with room for all their values unless its range is set."""
        log = settings.type == "log"
        if settings.range is not None and None not in settings.range:
            low, high = (float(end) for end in settings.range)
            return cls(settings, [], log, low, high)
        values = [value for trace in traces for value in _extent(trace, letter)]
        names = list(dict.fromkeys(v for v in values if isinstance(v, str)))
        axis = cls(settings, names, log, 0.0, 1.0)
        numbers = [at for at in map(axis.number, values) if math.isfinite(at)] or [0.0, 1.0]
        low, high = min(numbers), max(numbers)
        kinds = {trace.type for trace in traces}
        if names:
            low, high = -0.5, len(names) - 0.5
        elif not kinds <= PIXELS:
            space = 0.05 * (high - low) or 0.5
            bars = "bar" in kinds and letter == _lengths(traces[0])
            zero = not log and (settings.rangemode == "tozero" or bars)
            low = 0.0 if zero and low >= 0 else low - space
            high += space
        axis.low, axis.high = (high, low) if settings.autorange == "reversed" else (low, high)
        return axis

    def __call__(self, value: Any) -> float:
        return self.place(self.number(value))

    def place(self, at: float) -> float:
        """Return the pixel of one of the axis's numbers."""
        return self.start + (at - self.low) / ((self.high - self.low) or 1.0) * (self.end - self.start)

    def number(self, value: Any) -> float:
        """Return where a value stands, in the axis's numbers: an exponent, or the number of a category."""
        if self.names and isinstance(value, str):
            return float(self.names.index(value)) if value in self.names else math.nan
        found = float(value)
        if self.log:
            return math.log10(found) if found > 0 else math.nan
        return found

    def ticks(self) -> list[tuple[float, str]]:
        """Return where the ticks are, in the axis's numbers, and their labels."""
        low, high = sorted((self.low, self.high))
        if self.settings.tickvals is not None:
            values = [self.number(value) for value in self.settings.tickvals]
            texts = self.settings.ticktext
            labels = [self._label(v) for v in values] if texts is None else [str(text) for text in texts]
            found = list(zip(values, labels, strict=False))
        elif self.names:
            found = [(float(k), name) for k, name in enumerate(self.names)]
        elif self.log:
            found = [(float(k), self._label(k)) for k in range(math.ceil(low), math.floor(high) + 1)]
        else:
            step = _step((high - low) / (self.settings.nticks or 6))
            first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
            found = [(k * step, self._label(k * step)) for k in range(first, last + 1)]
        slack = 1e-9 * (high - low)
        return [(at, label) for at, label in found if low - slack <= at <= high + slack]

    def _label(self, at: float) -> str:
        value, form = (10.0**at if self.log else at), self.settings.tickformat or ""
        if form == "~s" or (not form and abs(value) >= 1e5):
            power = min(int(math.log10(abs(value)) // 3), 4) if abs(value) >= 1 else 0
            return f"{value / 1000**power:.4g}{('', 'k', 'M', 'G', 'T')[power]}"
        form = ",.0f" if form == "," else form if form.endswith("%") else ".6g"
        return f"{value:{form}}".replace("-", "\N{MINUS SIGN}")


def same_scale(x: Axis, y: Axis) -> None:
    """Shorten one of two axes, so that a unit has the same length on both."""
    unit = min(abs(a.end - a.start) / (abs(a.high - a.low) or 1.0) for a in (x, y))
    for axis, sign in ((x, 1.0), (y, -1.0)):
        length, free = unit * abs(axis.high - axis.low), abs(axis.end - axis.start)
        toward = axis.settings.constraintoward
        before = {"left": 0.0, "bottom": 0.0, "right": 1.0, "top": 1.0}.get(toward, 0.5) * (free - length)
        axis.start += sign * before
        axis.end = axis.start + sign * length


def one(values: Any, k: int = 0) -> Any:
    """Return the k-th of several values, or the one value of all."""
    if isinstance(values, (list, tuple, np.ndarray)):
        return values[k] if k < len(values) else None
    return values


def _step(size: float) -> float:
    """Return the round number, 1, 2 or 5 times a power of ten, that is at least this size."""
    power = 10.0 ** math.floor(math.log10(size)) if size > 0 else 1.0
    return next(k * power for k in (1, 2, 5, 10) if k * power >= size * (1 - 1e-9))


def _lengths(trace: Any) -> str:
    """Return the axis along which bars grow."""
    return "x" if trace.orientation == "h" else "y"


def _extent(trace: Any, letter: str) -> list[Any]:
    """Return the values of a trace that its axis must show."""
    if trace.type in PIXELS:
        values = getattr(trace, letter, None)
        if values is not None:
            step = abs(values[-1] - values[0]) / max(len(values) - 1, 1) / 2 if trace.type == "heatmap" else 0
            return [values[0] - step, values[-1] + step]
        count = np.shape(trace.z)[letter == "x"]
        start, width = getattr(trace, f"{letter}0") or 0, getattr(trace, f"d{letter}") or 1
        return [start - width / 2, start + (count - 0.5) * width]
    values = getattr(trace, letter)
    if values is None:
        other = getattr(trace, "y" if letter == "x" else "x")
        values = range(0 if other is None else len(other))
    found = [value for value in values if value is not None]
    if trace.type != "bar":
        return found
    if letter == _lengths(trace):
        base = [float(one(trace.base, k) or 0.0) for k in range(len(found))]
        return [*base, *(b + float(v) for b, v in zip(base, found, strict=True))]
    return [min(found) - 0.5, max(found) + 0.5] if found and not isinstance(found[0], str) else found
