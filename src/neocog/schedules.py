"""Learning rates that change: functions of the number of steps already taken."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

from neocog.validation import integer, number

__all__ = ["Constant", "Cosine", "Schedule", "StepDecay", "WarmUp"]


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
        progress = min(step / self.steps, 1.0)
        return self.final + (self.lr - self.final) * (1 + math.cos(math.pi * progress)) / 2


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


Schedule: TypeAlias = Constant | StepDecay | Cosine | WarmUp
