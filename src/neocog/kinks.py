"""Measure derivatives layer by layer, so that units on a kink are told apart from all others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from neocog.layers import Layer
from neocog.layers.base import random_generators

Row: TypeAlias = tuple[list[np.ndarray], dict[str, np.ndarray]]
Change: TypeAlias = "np.ndarray | None"
"""The derivative of an array; None where it is zero."""

EPS = float(np.finfo(np.float64).eps)
# The steps by which the inputs of a layer are moved, and the outputs of the network in the loss.
STEP, LOSS_STEP = 1e-6, 1e-4
# Slopes ahead and behind that differ by more than this part of the largest, and by more than rounding, are
# those of a kink. Neither limit is critical: an error is excused by no more than their difference.
DIFFERENCE, ROUNDING = 1e-8, 64 * EPS


class LayerDerivatives:
    """Derivatives of a loss, measured one layer after another.

    A change of one number is carried through the network: the change of each layer's output is measured by
    differences of its ``forward``, ahead and behind. Where both agree, that is the slope. Where they do not,
    the output stands on a kink (a ReLU at 0, equal numbers in a pooling window), and every slope between them
    is valid: that of ``backward`` is taken, but none beyond them. So several units on a kink, side by side or
    one after another, have each a slope of their own, as in the chain rule; nothing else comes from
    ``backward``.

    Parameters
    ----------
    network : Layer
        In float64. Its parameters are moved and put back.
    x : array, or tuple of arrays
    loss : function z -> (value, dz)
    training : bool
    z : array
        The outputs of the network.
    reset : function
        Puts the random generators into their state before the pass.
    """

    def __init__(
        self,
        network: Layer,
        x: Any,
        loss: Callable[[np.ndarray], tuple[Any, np.ndarray]],
        training: bool,
        z: np.ndarray,
        reset: Callable[[], None],
    ) -> None:
        self._network, self._x, self._loss, self._training = network, x, loss, training
        self._passes: list[_Pass] = []
        reset()
        try:
            is_path = np.array_equal(network.walk(self._record, x), z, equal_nan=True)
        except (NotImplementedError, TypeError, ValueError):
            is_path = False
        self._walk: Callable[..., Any] = network.walk
        if not is_path:  # a container of the user's that computes something else: taken as one layer
            reset()
            self._passes = []
            self._record("", network, x)
            self._walk = lambda visit, value: visit("", network, value)
        self._z, self._dz = z, loss(z)[1]

    def _record(self, name: str, layer: Layer, value: Any) -> np.ndarray:
        """Run a layer, and keep what is needed to repeat that."""
        states = [rng.bit_generator.state for rng in random_generators(layer)]
        y, cache = layer.forward(value, self._training)
        y = np.asarray(y)
        inputs = value if isinstance(value, tuple) else (value,)
        self._passes.append(_Pass(layer, self._training, inputs, y, cache, states))
        return y

    def derivative(self, moved: np.ndarray, direction: np.ndarray) -> tuple[float, float, bool]:
        """Measure the derivative of the loss in a direction of a parameter or of an input.

        Returns
        -------
        derivative : float
        rounding : float
            The rounding error of the differences of the loss.
        is_kinked : bool
            Whether a unit stood on a kink.
        """
        passes, is_kinked = iter(self._passes), False

        def visit(name: str, layer: Layer, value: Any) -> Change:
            nonlocal is_kinked
            changes = value if isinstance(value, tuple) else (value,)
            dy, on_kink = next(passes).change(changes, moved, direction)
            is_kinked |= on_kink
            return dy

        several = isinstance(self._x, tuple)
        start = tuple(direction if x is moved else None for x in (self._x if several else (self._x,)))
        dz = self._walk(visit, start if several else start[0])
        if dz is None:
            return 0.0, 0.0, is_kinked
        slope, rounding, on_kink = self._of_loss(dz)
        return slope, rounding, is_kinked or on_kink

    def _of_loss(self, change: np.ndarray) -> tuple[float, float, bool]:
        """Measure the derivative of the loss in a direction of the outputs."""
        step = LOSS_STEP / (np.abs(change).max() or 1.0)
        values = [float(np.real(self._loss(self._z + k * step * change)[0])) for k in (-2, -1, 0, 1, 2)]
        wide, narrow = (values[4] - values[0]) / (4 * step), (values[3] - values[1]) / (2 * step)
        rounding = 4 * EPS * max(map(abs, values)) / step
        sides = _extrapolated(np.array(values), step)
        if abs(sides[1] - sides[0]) <= DIFFERENCE * max(map(abs, sides)) + 16 * rounding:
            return (4 * narrow - wide) / 3, rounding, False
        return float(np.clip((self._dz * change).sum(), min(sides), max(sides))), rounding, True


@dataclass
class _Pass:
    """The pass through one layer, and the rows of its Jacobian that were needed so far."""

    layer: Layer
    training: bool
    inputs: tuple[np.ndarray, ...]
    y: np.ndarray
    cache: Any
    states: list[Any]
    rows: dict[int, Row] = field(default_factory=dict)

    def change(
        self, changes: Sequence[Change], moved: np.ndarray, direction: np.ndarray
    ) -> tuple[Change, bool]:
        """Measure how the output changes with its inputs, and with an array that may be its parameter.

        Returns
        -------
        dy : array, or None
        is_kinked : bool
            Whether an output stands on a kink.
        """
        keys = [key for key, array in self.layer.params.items() if array is moved]
        if not keys and all(change is None for change in changes):
            return None, False
        known = [change for change in changes if change is not None]
        known += [direction] * len(keys)
        largest = max(float(np.abs(change).max(initial=0)) for change in known)
        if not largest:
            return np.zeros_like(self.y), False
        size = max([1.0, *(float(np.abs(x).max(initial=0)) for x in self.inputs)])
        step = STEP * size / largest
        own = direction if keys else None
        moves = [self._moved(changes, moved, own, k * step) for k in (-2, -1, 1, 2)]
        outputs = np.stack([*moves[:2], self.y, *moves[2:]])
        behind, ahead = _extrapolated(outputs, step)
        dy = (outputs[3] - outputs[1]) / (2 * step)
        limit = DIFFERENCE * np.abs(dy).max(initial=0) + ROUNDING * np.abs(self.y).max(initial=0) / step
        kinked = np.flatnonzero(np.abs(ahead - behind) > limit)
        for j in kinked:
            dxs, gradients = self._row(int(j))
            both = zip(dxs, changes, strict=True)
            slopes = [float((dx * change).sum()) for dx, change in both if change is not None]
            slopes += [float((gradients[key] * direction).sum()) for key in keys]
            sides = ahead.flat[j], behind.flat[j]
            dy.flat[j] = np.clip(sum(slopes), min(sides), max(sides))
        return dy, bool(kinked.size)

    def _moved(
        self, changes: Sequence[Change], moved: np.ndarray, direction: Change, step: float
    ) -> np.ndarray:
        """Repeat the pass, with the same random numbers, its inputs and its parameter moved."""
        for rng, state in zip(random_generators(self.layer), self.states, strict=True):
            rng.bit_generator.state = state
        inputs = tuple(
            x if change is None else x + step * change for x, change in zip(self.inputs, changes, strict=True)
        )
        kept = None if direction is None else moved.copy()
        try:
            if direction is not None:
                moved += step * direction
            y, _ = self.layer.forward(inputs if self.layer.several_inputs else inputs[0], self.training)
        finally:
            if kept is not None:
                moved[...] = kept
        return np.asarray(y)

    def _row(self, j: int) -> Row:
        """Return the slopes of output ``j`` in the inputs and in the parameters, by backward."""
        if j not in self.rows:
            dy = np.zeros_like(self.y)
            dy.flat[j] = 1
            dx, gradients = self.layer.backward(dy, self.cache, True)
            dxs = dx if self.layer.several_inputs else (dx,)
            self.rows[j] = [np.zeros(1) if each is None else each for each in dxs], gradients
        return self.rows[j]


def _extrapolated(values: np.ndarray, step: float) -> tuple[Any, Any]:
    """Return the slopes behind and ahead of the middle of five equidistant values, exact for parabolas."""
    behind = (3 * values[2] - 4 * values[1] + values[0]) / (2 * step)
    ahead = (-3 * values[2] + 4 * values[3] - values[4]) / (2 * step)
    return behind, ahead
