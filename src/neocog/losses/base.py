"""Define what a loss is, and what all losses share: weights of images, and the terms of a derivative."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np

from neocog.layers.base import Array, Shape
from neocog.layers.outputs import flat_shape
from neocog.validation import unmasked


class LossTerm(NamedTuple):
    """A product that contributes to an entry of ``dz``: its factors by symbol, and where it comes from.

    A factor "p" is the probability at that entry, by softmax or sigmoid, and "z" the output itself; an
    explanation continues from there. A symbol with a minus sign before it is the target's. Others are
    constants.
    """

    factors: Mapping[str, float]
    note: str


class Loss(Protocol):
    """Protocol of a loss, as the training loop calls it.

    A loss may also have ``gradient_terms(z, t, index)``, a list of :class:`LossTerm` that add up to
    ``dz[index]``. Explanations show them; without it the derivative is one term. And it may say by
    ``output_kind``, one of :data:`neocog.layers.outputs.OUTPUT_KINDS`, what the outputs are of a network that
    is trained with it.
    """

    def __call__(self, z: Array, t: Array, sample_weight: Array | None = None, /) -> tuple[Any, Array]:
        """Return the mean loss of the batch and its derivative in ``z``."""
        ...

    def correct(self, z: Array, t: Array) -> Array | None:
        """Return which outputs are correct, (N,) booleans; None where that has no meaning."""
        ...


def check_weights(weight: Any, N: int) -> Array:
    """Return weights of images as float64.

    Raises
    ------
    ValueError
        If there is not one an image, or one is negative or not finite.
    """
    weight = np.asarray(unmasked("sample_weight", weight), np.float64)
    if weight.shape != (N,):
        raise ValueError(f"sample_weight must have shape ({N},), one an image, got {weight.shape}.")
    wrong = weight[~((weight >= 0) & np.isfinite(weight))]
    if wrong.size:
        raise ValueError(f"sample_weight must be finite and at least 0, got {wrong[0]}.")
    return weight


Call = TypeVar("Call", bound=Callable[..., Any])


def of_rows(method: Call) -> Call:
    """Have a loss take outputs (N, K, 1, 1), as fully convolutional networks have, for (N, K)."""

    @functools.wraps(method)
    def call(self: Any, z: Array, t: Array, *rest: Any, **named: Any) -> Any:
        shape = z.shape
        if len(shape) == 2 or np.ndim(t) > 2:
            return method(self, z, t, *rest, **named)
        found = method(self, z.reshape(flat_shape(shape)), t, *rest, **named)
        return (found[0], found[1].reshape(shape)) if isinstance(found, tuple) else found

    return call  # type: ignore[return-value]


def kind_of_loss(loss: Loss) -> str | None:
    """Return what the outputs are that a loss compares with targets; None if it does not say."""
    kind: str | None = getattr(loss, "output_kind", None)
    return kind


def gradient_terms(loss: Loss, z: Array, t: Array, index: Shape) -> list[LossTerm] | None:
    """Return the terms of ``dz[index]`` that a loss states itself.

    None if it states none, or its class computes something else than the base class that states them.
    """
    for kind in type(loss).__mro__:
        if "gradient_terms" in vars(kind):
            terms: list[LossTerm] = loss.gradient_terms(z, t, index)  # type: ignore[attr-defined]
            return terms
        if "__call__" in vars(kind):
            break
    return None
