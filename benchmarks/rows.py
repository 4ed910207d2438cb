"""Read the rows that a run of the benchmarks consists of: fastest settings, ratios, durations."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

MEBIBYTE = 1 << 20
Run = dict[str, Any]
Row = dict[str, Any]


def fastest(row: Row | None, peer: str) -> dict[str, Any] | None:
    """Return the figures of a peer at its fastest setting; None if it was not measured."""
    figures = [f for f in (row or {}).get("figures", ()) if f["peer"] == peer and f["seconds"]]
    return min(figures, key=lambda figure: statistics.median(figure["seconds"]), default=None)


def ratios(row: Row | None, peer: str) -> list[float]:
    """Return, round by round, the peer's time by neocog's, in order; empty if there is none."""
    one, other = fastest(row, peer), fastest(row, "neocog")
    if not one or not other:
        return []
    return sorted(a / b for a, b in zip(one["seconds"], other["seconds"], strict=False))


def peers(rows: Sequence[Row]) -> list[str]:
    """Return all that neocog is compared with, in order of appearance."""
    names = dict.fromkeys(f["peer"] for row in rows for f in row["figures"])
    return [name for name in names if name != "neocog"]


def duration(seconds: float) -> str:
    """Return a time to three digits."""
    unit, name = next((u for u in ((1, "s"), (1e-3, "ms")) if seconds >= u[0]), (1e-6, "µs"))
    value = seconds / unit
    return f"{value:.0f} {name}" if value >= 99.95 else f"{value:#.3g} {name}"
