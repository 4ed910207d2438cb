"""Explain max and average pooling."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from neocog.inspection.rules.base import Factor, Index, Rule, Term, dy_at, product, x_at
from neocog.inspection.trace import LayerRecord
from neocog.layers import AvgPool2D, MaxPool2D


class PoolRule(Rule):
    """Base of the rules of max and average pooling: their windows."""

    @staticmethod
    def _window(record: LayerRecord, i: int, j: int) -> Iterator[tuple[int, int, int]]:
        """Yield (tap, row, column) of the window's pixels inside the image."""
        layer: Any = record.layer
        H, W = record.x.shape[2:]
        kH, kW = layer.kernel_size
        for p, q in np.ndindex(kH, kW):
            u, v = PoolRule._under(record, i, j, p, q)
            if 0 <= u < H and 0 <= v < W:
                yield p * kW + q, u, v

    @staticmethod
    def _under(record: LayerRecord, i: int, j: int, p: int, q: int) -> tuple[int, int]:
        """Return the pixel under tap (p, q) of the window at (i, j); it may lie outside the image."""
        layer: Any = record.layer
        (top, _), (left, _) = layer.stated_sides(record.x.shape)
        (s, t), (d, e) = layer.stride, layer.dilation
        return i * s + p * d - top, j * t + q * e - left

    def _windows_over(self, record: LayerRecord, u: int, v: int) -> Iterator[tuple[int, int, int]]:
        """Yield (i, j, tap) of the windows that contain a pixel."""
        for i, j in np.ndindex(*record.y.shape[2:]):
            for tap, row, column in self._window(record, i, j):
                if (row, column) == (u, v):
                    yield i, j, tap


class MaxPool2DRule(PoolRule, of=MaxPool2D):
    """Terms of the maximum over a window."""

    formula = "y[n,c,i,j] = the largest x[n,c,.,.] of its window, the first on a tie"
    gradients = {"x": "dx[n,c,u,v] = sum of dy over the windows that the pixel won"}

    def forward(self, record: LayerRecord, index: Index) -> list[Term]:
        n, c, i, j = index
        winner = int(record.cache[0][index])
        terms = []
        for tap, u, v in self._window(record, i, j):
            x = x_at(record, (n, c, u, v))
            won = tap == winner
            terms.append(Term((x,), x.value if won else 0.0, "winner" if won else "loses"))
        return terms

    def input_gradient(self, record: LayerRecord, index: Index, slot: int) -> list[Term]:
        n, c, u, v = index
        return [
            product(dy_at(record, (n, c, i, j)), note="won")
            for i, j, tap in self._windows_over(record, u, v)
            if int(record.cache[0][n, c, i, j]) == tap
        ]


class AvgPool2DRule(PoolRule, of=AvgPool2D):
    """Terms of the mean over a window."""

    formula = "y[n,c,i,j] = the mean of x[n,c,.,.] in its window"
    gradients = {"x": "dx[n,c,u,v] = sum of dy / count over the windows that hold the pixel"}

    def _share(self, record: LayerRecord, i: int, j: int) -> Factor:
        layer: Any = record.layer
        if layer.divisor_override is not None:
            return Factor("1/count", 1 / layer.divisor_override)
        (top, bottom), (left, right) = (0, 0), (0, 0)
        if layer.count_include_pad:
            (top, bottom), (left, right) = layer.stated_sides(record.x.shape)
        H, W = record.x.shape[2:]
        seen = (self._under(record, i, j, p, q) for p, q in np.ndindex(*layer.kernel_size))
        return Factor("1/count", 1 / sum(-top <= u < H + bottom and -left <= v < W + right for u, v in seen))

    def forward(self, record: LayerRecord, index: Index) -> list[Term]:
        n, c, i, j = index
        share = self._share(record, i, j)
        return [product(x_at(record, (n, c, u, v)), share) for _, u, v in self._window(record, i, j)]

    def input_gradient(self, record: LayerRecord, index: Index, slot: int) -> list[Term]:
        n, c, u, v = index
        return [
            product(dy_at(record, (n, c, i, j)), self._share(record, i, j))
            for i, j, _ in self._windows_over(record, u, v)
        ]
