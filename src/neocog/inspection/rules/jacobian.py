"""Explain any layer by its Jacobian, on which backward and forward must agree: the default rule."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np

from neocog.inspection.rules.base import Factor, Index, Rule, Term, dy_at, product, x_at
from neocog.inspection.trace import LayerRecord
from neocog.layers import Layer

# Limits of the work for a large input: the entries that contribute most are checked one by one, all others
# together along random directions.
CHECKED_ENTRIES = 64
CHECKED_DIRECTIONS = 4

COMPLEX_STEP = 1e-30
COMPLEX_TOLERANCE = 1e-9  # relative; rounding alone leaves about 1e-15, more where the layer cancels digits
# Errors of entries that are zero but for rounding are compared with this fraction of the largest entry.
FLOOR = 0.1

Direction: TypeAlias = dict[Any, np.ndarray]
"""A change of inputs (by their number) or of parameters (by their name)."""


class JacobianRule(Rule, of=Layer):
    """Terms of a layer without a rule of its own, from its Jacobian.

    ``J`` is computed twice, with nothing in common: its row of an output by ``backward``, its columns by
    ``forward``, at inputs moved by a complex step, or by central differences if forward fails on complex
    numbers. They must agree. All runs are in double precision and repeat the recorded pass: its random
    numbers, its mode, its buffers.

    Entries of x that are 0 contribute nothing and are not checked. Of the others, the ``CHECKED_ENTRIES``
    that contribute most are checked one by one, and all together, those that contribute nothing among them,
    along ``CHECKED_DIRECTIONS`` random directions. Of a gradient, only the one column is needed.

    Raises
    ------
    ValueError
        If backward contradicts forward, is missing, or the pass cannot be repeated.
    """

    def holds_for(self, layer: Layer, kind: type[Layer]) -> bool:
        """Return True: any layer has a Jacobian."""
        return True

    def forward_formula(self, record: LayerRecord) -> str:
        return f"y = J x + rest, the row of the Jacobian J by backward, checked by {_Pass(record).method}"

    def gradient_formula(self, record: LayerRecord, key: str) -> str:
        name = "dx" if key == "x" else f"d{key}"
        return f"{name} = sum of dy J, the column of the Jacobian J by {_Pass(record).method}"

    def forward(self, record: LayerRecord, index: Index) -> list[Term]:
        """Return the entries of J x that are not zero, and the rest ``y - J x``."""
        again = _Pass(record)
        dy = np.zeros_like(again.y)
        dy[index] = 1
        row, _ = again.backward(dy)
        notes = _check_row(again, dy, row, index)
        terms = []
        for slot, J in enumerate(row):
            for place in _indices(J * again.inputs[slot]):
                slope = Factor("J", float(J[place]))
                terms.append(product(x_at(record, place, slot), slope, note=notes.get((slot, place), "")))
        rest = float(again.y[index]) - sum(term.value for term in terms)
        return [*terms, product(Factor("rest: y - J x", rest))]

    def input_gradient(self, record: LayerRecord, index: Index, slot: int) -> list[Term]:
        again = _Pass(record)
        gradients, _ = again.backward(again.dy)
        return self._column(again, gradients[slot], slot, index)

    def parameter_gradient(self, record: LayerRecord, key: str, index: Index) -> list[Term]:
        again = _Pass(record)
        _, gradients = again.backward(again.dy)
        return self._column(again, gradients[key], key, index)

    @staticmethod
    def _column(again: _Pass, gradient: np.ndarray, of: int | str, index: Index) -> list[Term]:
        """Return the terms ``dy_j J_ji`` that are not zero."""
        direction = np.zeros_like(gradient)
        direction[index] = 1
        floor = FLOOR * float(np.abs(gradient).max())
        what = f"d{of}" if isinstance(of, str) else "dx"
        where = f"{what}[{','.join(map(str, index))}]"
        claimed = float(gradient[index])
        column, note = again.derivative({of: direction}, again.dy, claimed, floor, where)
        terms = [
            product(dy_at(again.record, place), Factor("J", float(column[place])), note=note)
            for place in _indices(again.dy * column)
        ]
        if note or again.method == "central differences":  # not exact to the last digits
            rest = claimed - sum(term.value for term in terms)
            terms.append(product(Factor("rest: backward - dy J", rest)))
        return terms


def _indices(array: np.ndarray) -> Iterator[Index]:
    """Yield the indices of the entries that are not 0."""
    for place in zip(*np.nonzero(array), strict=True):
        yield tuple(int(k) for k in place)


def _check_row(
    again: _Pass, dy: np.ndarray, row: list[np.ndarray], index: Index
) -> dict[tuple[int, Index], str]:
    """Check a row of the Jacobian; return a note on each entry (input, index) that was checked."""
    slots = np.repeat(np.arange(len(row)), [x.size for x in again.inputs])
    places = np.concatenate([np.arange(x.size) for x in again.inputs])
    x_flat = np.concatenate([x.ravel() for x in again.inputs])
    contribution = np.abs(np.concatenate([J.ravel() for J in row]) * x_flat)
    contributing = np.flatnonzero(contribution)
    largest = np.argsort(-contribution[contributing], kind="stable")[:CHECKED_ENTRIES]
    floor = FLOOR * max(float(np.abs(J).max(initial=0)) for J in row)
    place_of_y = f"y[{','.join(map(str, index))}]"
    notes = {}
    for k in contributing[largest]:
        slot = int(slots[k])
        place = tuple(int(i) for i in np.unravel_index(places[k], again.inputs[slot].shape))
        direction = np.zeros_like(again.inputs[slot])
        direction[place] = 1
        where = f"d {place_of_y} / d x[{','.join(map(str, place))}]"
        claimed = float(row[slot][place])
        _, notes[slot, place] = again.derivative({slot: direction}, dy, claimed, floor, where)
    if np.count_nonzero(x_flat) > len(largest):
        rng = np.random.default_rng(0)
        for _ in range(CHECKED_DIRECTIONS):
            way: Direction = {
                slot: np.where(x == 0, 0, rng.normal(size=x.shape)) for slot, x in enumerate(again.inputs)
            }
            parts = [row[slot] * move for slot, move in way.items()]
            claimed = sum(float(part.sum()) for part in parts)
            scale = sum(float(np.abs(part).sum()) for part in parts)
            again.derivative(way, dy, claimed, scale, f"the derivative of {place_of_y} in a random direction")
    return notes


class _Pass:
    """The recorded pass of a layer, repeated in double precision at moved inputs and parameters.

    Attributes
    ----------
    inputs : tuple of array
    y : array
    dy : array or None
    method : str
        "complex step", or "central differences" if forward fails on complex numbers.
    """

    def __init__(self, record: LayerRecord) -> None:
        self.record = record
        inputs = record.x if record.layer.several_inputs else (record.x,)
        self.inputs = tuple(np.array(x, np.float64) for x in inputs)
        self.dy: Any = None if record.dy is None else np.array(record.dy, np.float64)
        self._real = _in_dtype(record.layer, np.float64)
        self.y, self._cache = self._forward(self._real, self.inputs)
        precision = max(float(np.finfo(array.dtype).eps) for array in (record.y, self.y))
        allowed = precision**0.5 * np.abs(record.y).max(initial=0)
        if not np.allclose(self.y, record.y, rtol=0, atol=allowed, equal_nan=True):
            raise ValueError(
                f"{self.name} cannot be explained: the same pass in float64 gives other numbers. Random "
                "numbers must come from a NumPy Generator that is an attribute of the layer; if they depend "
                "on the dtype, explain network.astype('float64')."
            )
        self._complex: Layer | None = _in_dtype(record.layer, np.complex128)
        if self._complex_derivative({0: np.zeros_like(self.inputs[0])}) is None:
            self._complex = None
        self.method = "central differences" if self._complex is None else "complex step"

    @property
    def name(self) -> str:
        """The layer's name and class, for messages."""
        return f"layer {self.record.name!r} ({type(self.record.layer).__name__})"

    def _forward(self, layer: Layer, inputs: tuple[np.ndarray, ...]) -> tuple[np.ndarray, Any]:
        self.record.state.restore(layer)
        return layer.forward(inputs if layer.several_inputs else inputs[0], self.record.training)

    def backward(self, dy: np.ndarray) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
        """Run backward; return the gradients of all inputs and of the parameters."""
        try:
            dx, gradients = self._real.backward(dy, self._cache, True)
        except NotImplementedError:
            raise ValueError(
                f"{self.name} cannot be explained: it has neither a rule nor a backward to check."
            ) from None
        if dx is None:  # of a layer that takes integers, for example: y does not move with x
            return [np.zeros_like(x) for x in self.inputs], gradients
        dxs = [np.asarray(each) for each in (dx if self._real.several_inputs else [dx])]
        expected, shapes = [x.shape for x in self.inputs], [each.shape for each in dxs]
        if shapes != expected:
            raise ValueError(
                f"{self.name} cannot be explained: its backward must return gradients of the inputs' shapes "
                f"{expected}, got {shapes}."
            )
        return dxs, gradients

    def _at(self, layer: Layer, direction: Direction, step: complex) -> np.ndarray:
        """Compute y after a step in a direction."""
        inputs = [x + step * direction[k] if k in direction else x for k, x in enumerate(self.inputs)]
        kept = {key: layer.params[key].copy() for key in direction if isinstance(key, str)}
        try:
            for key, array in kept.items():
                layer.params[key][...] = array + step * direction[key]
            return self._forward(layer, tuple(inputs))[0]
        finally:
            for key, array in kept.items():
                layer.params[key][...] = array

    def _complex_derivative(self, direction: Direction) -> np.ndarray | None:
        """Return the derivative of y by a complex step, None where forward fails on complex numbers."""
        if self._complex is None:
            return None
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("error", np.exceptions.ComplexWarning)
            try:
                y = self._at(self._complex, direction, 1j * COMPLEX_STEP)
            except Exception:  # a layer of the user's may raise any exception here
                return None
        return y.imag / COMPLEX_STEP if y.dtype.kind == "c" else None

    def _one_sided(self, direction: Direction, step: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the difference quotients of y before and after the point."""
        after, before = (self._at(self._real, direction, sign * step) for sign in (1, -1))
        return (self.y - before) / step, (after - self.y) / step

    def derivative(
        self, direction: Direction, dy: np.ndarray, claimed: float, floor: float, where: str
    ) -> tuple[np.ndarray, str]:
        """Measure the derivative of y in a direction and compare its product with ``dy`` with backward's.

        Parameters
        ----------
        direction : dict
        dy : array
        claimed : float
            The sum of dy times the derivative, by backward.
        floor : float
            The least magnitude that an error is compared with.
        where : str
            Names the derivative in the message.

        Returns
        -------
        derivative : array shaped like y
        note : str
            How it was measured, if not by ``method``.

        Raises
        ------
        ValueError
            If backward contradicts forward.
        """
        slope = self._complex_derivative(direction)
        measured: float | None = None
        if slope is not None:
            measured = float((dy * slope).sum())
            scale = max(float(np.abs(dy * slope).sum()), floor)
            if abs(measured - claimed) <= COMPLEX_TOLERANCE * scale:
                return slope, ""
        # Repeat with real numbers: forward may drop imaginary parts, or compare by them at a kink.
        largest = max(float(np.abs(x[direction[k] != 0]).max(initial=1)) for k, x in self._arrays(direction))
        precision = float(np.finfo(self.y.dtype).eps)
        step = precision ** (1 / 3) * largest
        before, after = self._one_sided(direction, step)
        slope = (before + after) / 2
        if measured is None or not np.isfinite(measured):
            measured = float((dy * slope).sum())
        tolerance = 1000 * precision ** (2 / 3) * max(float(np.abs(dy * slope).sum()), floor)
        tolerance += 10 * precision * float(np.abs(dy * self.y).sum()) / step
        note = "" if self.method == "central differences" else "by central differences"
        if abs(float((dy * slope).sum()) - claimed) <= tolerance:
            return slope, note
        # At a kink any slope between those of the two sides is a valid derivative, of each output its own.
        step = 10 * precision**0.5 * largest
        before, after = self._one_sided(direction, step)
        rises = dy * before <= dy * after
        low, high = np.where(rises, before, after), np.where(rises, after, before)
        least, most = float((dy * low).sum()), float((dy * high).sum())
        if most - least > tolerance and least - tolerance <= claimed <= most + tolerance:
            share = (claimed - least) / (most - least)
            return low + share * (high - low), "at a kink, by one-sided differences"
        raise ValueError(
            f"the backward of {self.name} contradicts its forward: {where} is {claimed:.10g} by backward, "
            f"{measured:.10g} by the {self.method} of forward."
        )

    def _arrays(self, direction: Direction) -> Iterator[tuple[Any, np.ndarray]]:
        """Yield the key and the array of what a direction moves."""
        for key in direction:
            yield key, self.inputs[key] if isinstance(key, int) else self._real.params[key]


def _in_dtype(layer: Layer, dtype: Any) -> Layer:
    """Return a copy of a layer that computes in a dtype."""
    return copy.deepcopy(layer) if layer.dtype == dtype else layer.astype(dtype)
