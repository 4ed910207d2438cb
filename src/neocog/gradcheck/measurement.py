"""Measure derivatives of a loss on ``forward``: by a complex step, or by central differences."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from neocog.gradcheck.report import Index
from neocog.kinks import LayerDerivatives
from neocog.layers import Layer
from neocog.layers.base import Array, random_generators

STEPS = {"complex": 1e-30, "central": 1e-5}
TOLERANCES = {"complex": 1e-13, "central": 1e-7}


class LossFunction:
    """The loss as a function of a network's arrays and its input, to be differentiated numerically.

    ``arrays`` are those arrays, in the dtype that the method needs; :meth:`derivative` moves one entry.
    """

    def __init__(
        self,
        network: Layer,
        x: Any,
        loss: Callable[[Array], tuple[Any, Array]],
        method: str,
        training: bool,
    ) -> None:
        wide = np.complex128 if method == "complex" else np.float64
        self._network, self._loss, self._training = network.astype(wide), loss, training
        self._inputs = tuple(part.astype(wide) for part in x) if isinstance(x, tuple) else x.astype(wide)
        self._is_complex = method == "complex"
        inputs = self._inputs if isinstance(x, tuple) else (self._inputs,)
        self.arrays = {**self._network.trainable_params, **dict(zip(input_names(x), inputs, strict=True))}
        self._rngs = random_generators(self._network)
        self._states = [rng.bit_generator.state for rng in self._rngs]

    def _reset(self) -> None:
        """Put the random generators back: dropout must draw the same mask again."""
        for rng, state in zip(self._rngs, self._states, strict=True):
            rng.bit_generator.state = state

    def _outputs(self) -> Array:
        self._reset()
        return self._network.forward(self._inputs, training=self._training)[0]

    def __call__(self) -> Any:
        return self._loss(self._outputs())[0]

    @functools.cached_property
    def by_layers(self) -> LayerDerivatives:
        """The same derivatives, measured layer by layer."""
        arguments = self._network, self._inputs, self._loss, self._training
        return LayerDerivatives(*arguments, z=self._outputs(), reset=self._reset)

    def shifted(self, array: Array, index: Index, by: complex) -> Any:
        """Return the loss with one entry moved."""
        kept = array[index]
        array[index] = kept + by
        value = self()
        array[index] = kept
        return value

    def derivative(self, array: Array, index: Index, step: float) -> float:
        """Measure the derivative in one entry."""
        if self._is_complex:
            return float(self.shifted(array, index, 1j * step).imag / step)
        return float((self.shifted(array, index, step) - self.shifted(array, index, -step)) / (2 * step))

    def at_kink(
        self, name: str, index: Index, analytic: float, numeric: float, step: float, method: str
    ) -> tuple[float, bool]:
        """Measure again, layer by layer, a derivative on which a method and backward disagree.

        Returns
        -------
        derivative : float
            ``analytic`` itself if the rounding error of the loss explains the difference.
        is_kink : bool
            Whether a kink explains that the method was wrong.
        """
        array = self.arrays[name]
        direction = np.zeros_like(array)
        direction[index] = 1
        value, rounding, is_kink = self.by_layers.derivative(array, direction)
        if method == "central" and not is_kink:  # within the wider step?
            here = self()
            ahead = (self.shifted(array, index, step) - here) / step
            behind = (here - self.shifted(array, index, -step)) / step
            is_kink = bool(abs(ahead - behind) >= abs(analytic - numeric))
        return (analytic if abs(value - analytic) <= rounding else value), is_kink


def input_names(x: Any) -> list[str]:
    """Name the input, or the inputs, in a report."""
    return [f"input {k}" for k in range(len(x))] if isinstance(x, tuple) else ["input"]
