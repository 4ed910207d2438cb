"""Judge what makes kernels fast."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from neocog.exercises.judges.comparing import Case, judge


@judge("winograd(d, g) -> y0[], y1[]")
def winograd(seed: int) -> Iterator[Case]:
    """Judge ``winograd(d, g) -> (y0, y1)``: two outputs of a kernel of three, by four multiplications.

    The inputs are numbers that count how often they are multiplied with each other.
    """
    rng = np.random.default_rng(seed)
    for label, size in (("whole numbers", 0), ("any numbers", 1)):
        d, g = (
            (rng.normal(size=4), rng.normal(size=3))
            if size
            else (rng.integers(-3, 4, 4) * 1.0, np.array([1.0, 2, -1]))
        )
        expected = (np.asarray(d[:3] @ g), np.asarray(d[1:] @ g))
        yield Case(label, (d, g), expected, seed=seed)
    Counted.products = 0
    arguments = tuple(np.array([Counted(i) for i in range(n)]) for n in (4, 3))
    yield Case("a count of the products", arguments, verify=_few_products)


def _few_products(*results: Any) -> str:
    many = Counted.products > 4
    return f"the result is right, but takes {Counted.products} multiplications" if many else ""


@dataclass
class Counted:
    """A number that counts the products of two such numbers; dividing by a constant is free."""

    value: float
    products: ClassVar[int] = 0

    def __add__(self, other: Any) -> Counted:
        return Counted(self.value + getattr(other, "value", other))

    def __sub__(self, other: Any) -> Counted:
        return Counted(self.value - getattr(other, "value", other))

    def __rsub__(self, other: float) -> Counted:
        return Counted(other - self.value)

    def __neg__(self) -> Counted:
        return Counted(-self.value)

    def __truediv__(self, other: float) -> Counted:
        return Counted(self.value / other)

    def __mul__(self, other: Any) -> Counted:
        Counted.products += isinstance(other, Counted)
        return Counted(self.value * getattr(other, "value", other))

    __radd__, __rmul__ = __add__, __mul__


@judge("offsets(C, H, W, k) -> offsets[k]")
def offsets(seed: int) -> Iterator[Case]:
    """Judge ``offsets(C, H, W, k) -> integers``: the table of a k x k window in a flat (C, H, W) image."""
    for label, C, H, W, k in (
        ("one channel", 1, 4, 4, 2),
        ("a wide image", 1, 4, 6, 3),
        ("three channels", 3, 5, 4, 3),
    ):
        places = np.arange(C * H * W).reshape(C, H, W)
        yield Case(label, (C, H, W, k), (places[:, :k, :k].ravel(),), indices=True)


@judge("fold(w, b, gamma, beta, mean, var, eps) -> w[fcpq], b[f]")
def fold(seed: int) -> Iterator[Case]:
    """Judge ``fold(w, b, gamma, beta, mean, var, eps) -> (w, b)``: batch norm inside the convolution."""
    rng = np.random.default_rng(seed)
    for label, filters, eps in (
        ("one filter", 1, 0.0),
        ("several filters", 4, 1e-5),
        ("a large eps", 3, 0.5),
    ):
        w, (b, gamma, beta, mean) = rng.normal(size=(filters, 2, 3, 3)), rng.normal(size=(4, filters))
        var = rng.uniform(0.5, 2, filters)
        scaled, shifted = np.empty_like(w), np.empty_like(b)
        for f in range(filters):
            scaled[f] = w[f] * gamma[f] / (var[f] + eps) ** 0.5
            shifted[f] = (b[f] - mean[f]) * gamma[f] / (var[f] + eps) ** 0.5 + beta[f]
        yield Case(label, (w, b, gamma, beta, mean, var, eps), (scaled, shifted), seed=seed)
