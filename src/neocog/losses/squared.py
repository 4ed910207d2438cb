"""Define the loss of a regression: the mean squared error."""

from __future__ import annotations

from typing import Any

import numpy as np

from neocog.deprecation import accepts_old_names
from neocog.layers.base import Array, Shape
from neocog.losses.base import LossTerm, check_weights, of_rows
from neocog.representation import constructor_call


class MeanSquaredError:
    """Mean squared distance between outputs and targets.

    ``L = 1/M sum (z - t)^2`` over all M numbers. With weights, image n is counted ``w[n]`` times.

    Derivative: ``dz = 2 (z - t) / M``.

    Raises
    ------
    ValueError
        If the shapes differ or the batch is empty.

    Notes
    -----
    Shapes: z and t of any equal shape, sample_weight (N,) -> a number, dz of that shape.

    Source: A.-M. Legendre, 1805; C. F. Gauss, 1809.

    Examples
    --------
    >>> MeanSquaredError()(np.array([[1.0, 4.0]]), np.array([[1.0, 2.0]]))
    (2.0, array([[0., 2.]]))
    """

    output_kind = "values"

    @accepts_old_names
    @of_rows
    def __call__(self, z: Array, t: Array, sample_weight: Array | None = None) -> tuple[Any, Array]:
        t = self.targets(z.shape, t)
        difference = z - t.astype(z.dtype, copy=False)
        if sample_weight is None:
            return (difference * difference).sum().item() / z.size, difference * (2 / z.size)
        share = check_weights(sample_weight, len(z)) / z.size
        weighted = difference * share.astype(z.dtype).reshape(-1, *(1,) * (z.ndim - 1))
        return (weighted * difference).sum().item(), 2 * weighted

    def targets(self, shape: Shape, t: Any) -> Array:
        """Return ``t`` as numbers that fit outputs of a shape; raise if it is anything else."""
        t = np.asarray(t)
        if tuple(shape) != t.shape:
            raise ValueError(f"targets must have the outputs' shape {tuple(shape)}, got {t.shape}.")
        if t.size == 0:
            raise ValueError("the loss of an empty batch is not defined: got 0 outputs.")
        return t

    def gradient_terms(self, z: Array, t: Array, index: Shape) -> list[LossTerm]:
        """Return the two terms of ``dz = 2/M z - 2/M t``."""
        return [
            LossTerm({"z": float(z[index]), "2/M": 2 / z.size}, "the network's output"),
            LossTerm({"-t": -float(t[index]), "2/M": 2 / z.size}, "the target"),
        ]

    def correct(self, z: Array, t: Array) -> None:
        """Return None: outputs of a regression are not correct or wrong."""
        return

    def __repr__(self) -> str:
        return constructor_call(self, {})
