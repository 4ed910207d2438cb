"""Define schedules: learning rates as functions of the number of steps already taken.

A rate that depends on how training goes is set by a callback: :class:`neocog.training.ReduceLROnPlateau`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

from neocog.validation import integer, number

__all__ = ["Constant", "Cosine", "OneCycle", "Polynomial", "Schedule", "StepDecay", "WarmRestarts", "WarmUp"]


@dataclass(frozen=True)
class Constant:
    """``lr(t) = lr``.

    Examples
    --------
    >>> Constant(0.1)(1000)
    0.1
    """

    lr: float

    def __post_init__(self) -> None:
        number("lr", self.lr, 0)

    def __call__(self, step: int) -> float:
        return self.lr


@dataclass(frozen=True)
class StepDecay:
    """``lr(t) = lr factor^floor(t / every)``: a stair.

    Examples
    --------
    >>> [StepDecay(1.0, every=2, factor=0.5)(t) for t in range(5)]
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """

    lr: float
    every: int
    factor: float = 0.1

    def __post_init__(self) -> None:
        number("lr", self.lr, 0)
        integer("every", self.every)
        number("factor", self.factor, 0)

    def __call__(self, step: int) -> float:
        return self.lr * self.factor ** (step // self.every)


@dataclass(frozen=True)
class Cosine:
    """``lr(t) = final + (lr - final) (1 + cos(pi t / steps)) / 2``, then ``final``.

    Source: I. Loshchilov, F. Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017.

    Examples
    --------
    >>> [round(Cosine(1.0, steps=2)(t), 6) for t in range(4)]
    [1.0, 0.5, 0.0, 0.0]
    """

    lr: float
    steps: int
    final: float = 0.0

    def __post_init__(self) -> None:
        number("lr", self.lr, 0)
        integer("steps", self.steps)
        number("final", self.final, 0)

    def __call__(self, step: int) -> float:
        return _anneal(self.lr, self.final, min(step / self.steps, 1.0))


@dataclass(frozen=True)
class WarmRestarts:
    """Half a cosine from ``lr`` down to ``final``, again and again, each ``factor`` times as long.

    ``lr(t) = final + (lr - final) (1 + cos(pi s / T)) / 2`` at step s of a cycle of T steps. The first cycle
    has ``T = period``; PyTorch calls it ``T_0``, the factor ``T_mult``, and ``final`` ``eta_min``.

    Source: I. Loshchilov, F. Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017.

    Examples
    --------
    >>> [round(WarmRestarts(1.0, period=2, factor=2)(t), 6) for t in range(7)]
    [1.0, 0.5, 1.0, 0.853553, 0.5, 0.146447, 1.0]
    """

    lr: float
    period: int
    factor: int = 1
    final: float = 0.0

    def __post_init__(self) -> None:
        number("lr", self.lr, 0)
        integer("period", self.period)
        integer("factor", self.factor)
        number("final", self.final, 0)

    def __call__(self, step: int) -> float:
        length = self.period
        if self.factor == 1:
            step %= length
        while step >= length:
            step, length = step - length, length * self.factor
        return _anneal(self.lr, self.final, step / length)


@dataclass(frozen=True)
class Polynomial:
    """``lr(t) = final + (lr - final) (1 - t / steps)^power``, then ``final``; a straight line by default.

    Examples
    --------
    >>> [Polynomial(1.0, steps=4, power=2)(t) for t in range(6)]
    [1.0, 0.5625, 0.25, 0.0625, 0.0, 0.0]
    """

    lr: float
    steps: int
    power: float = 1.0
    final: float = 0.0

    def __post_init__(self) -> None:
        number("lr", self.lr, 0)
        integer("steps", self.steps)
        number("power", self.power, 0, math.inf, True, True)
        number("final", self.final, 0)

    def __call__(self, step: int) -> float:
        left = 1 - min(step / self.steps, 1.0)
        return float(self.final + (self.lr - self.final) * left**self.power)


@dataclass(frozen=True)
class OneCycle:
    """Half a cosine up to ``lr``, and half a cosine down to almost zero.

    With ``low = lr / div_factor`` and the peak at ``p = pct_start steps - 1``::

        lr(t) = lr + (low - lr) (1 + cos(pi t / p)) / 2                                     before p
        lr(t) = final + (lr - final) (1 + cos(pi (t - p) / (steps - 1 - p))) / 2            from p on

    and then ``final = low / final_div_factor``. Names and numbers are those of PyTorch's ``OneCycleLR``,
    which by default cycles the momentum, too; here it is constant.

    Source: L. Smith, N. Topin, "Super-convergence: very fast training of neural networks using large learning
    rates", 2018.

    Examples
    --------
    >>> [round(OneCycle(1.0, steps=10)(t), 2) for t in range(10)]
    [0.04, 0.52, 1.0, 0.95, 0.81, 0.61, 0.39, 0.19, 0.05, 0.0]
    """

    lr: float
    steps: int
    pct_start: float = 0.3
    div_factor: float = 25.0
    final_div_factor: float = 1e4

    def __post_init__(self) -> None:
        number("lr", self.lr, 0)
        integer("steps", self.steps)
        number("pct_start", self.pct_start, 0, 1, exclusive_maximum=True)
        number("div_factor", self.div_factor, 1)
        number("final_div_factor", self.final_div_factor, 1)

    def __call__(self, step: int) -> float:
        low, peak, last = self.lr / self.div_factor, self.pct_start * self.steps - 1, self.steps - 1
        if step < peak:
            return _anneal(low, self.lr, step / peak)
        return _anneal(self.lr, low / self.final_div_factor, min((step - peak) / (last - peak), 1.0))


@dataclass(frozen=True)
class WarmUp:
    """``lr(t) = (t + 1) / steps * schedule(0)`` for the first ``steps``, then ``schedule(t - steps)``.

    Source: P. Goyal et al., "Accurate, large minibatch SGD", 2017.

    Examples
    --------
    >>> [WarmUp(Constant(1.0), steps=2)(t) for t in range(3)]
    [0.5, 1.0, 1.0]
    """

    schedule: Schedule
    steps: int

    def __post_init__(self) -> None:
        integer("steps", self.steps)

    def __call__(self, step: int) -> float:
        if step < self.steps:
            return (step + 1) / self.steps * self.schedule(0)
        return self.schedule(step - self.steps)


def _anneal(start: float, end: float, progress: float) -> float:
    """Interpolate by half a cosine from ``start`` to ``end``, as ``progress`` goes from 0 to 1."""
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2


Schedule: TypeAlias = Constant | StepDecay | Cosine | WarmRestarts | Polynomial | OneCycle | WarmUp
