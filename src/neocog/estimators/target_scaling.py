"""Standardize the targets of a regression: the network is trained on mean 0 and variance 1."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np

from neocog.layers import Container, Dense, Sequential

SCALING_LAYER = "units_of_y"
"""The name of the last layer of a trained regression network."""


class TargetScaler(NamedTuple):
    """Mean and scale of each target, in float64: ``y = scale z + mean`` for a standardized z."""

    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, y: np.ndarray, weight: np.ndarray | None) -> TargetScaler:
        """Fit a scaler to ``y`` (N, outputs); the scale of a constant target is its size."""
        with np.errstate(over="ignore", invalid="ignore"):  # check() refuses an overflow
            mean = np.average(y, axis=0, weights=weight)
            deviation = np.sqrt(np.average((y - mean) ** 2, axis=0, weights=weight))
        size = np.abs(mean)
        scale = np.where(deviation > 1e-14 * size, deviation, size)  # up to the rounding of the mean
        return cls(mean, np.where(scale > 0, scale, 1.0))

    def transform(self, y: np.ndarray) -> np.ndarray:
        """Standardize ``y``."""
        z: np.ndarray = (y - self.mean) / self.scale
        return z

    def inverse_transform(self, z: np.ndarray) -> np.ndarray:
        """Convert standardized numbers to the units of y, in float64."""
        y: np.ndarray = z.astype(np.float64) * self.scale + self.mean
        return y

    def check(self, dtype: Any) -> None:
        """Raise ValueError if y is out of the range of a floating point type, warn if it is too coarse."""
        limits = np.finfo(dtype)
        largest = (np.abs(self.mean) + self.scale).max()
        if largest > limits.max / 1e3:
            raise ValueError(
                f"y must be well within the range of {limits.dtype}, in which the network computes, got "
                f"targets of about {largest:.3g}; divide y{', or pass X in float64' * (limits.bits < 64)}."
            )
        rough = np.maximum(limits.eps * np.abs(self.mean), float(limits.smallest_normal)) / self.scale
        worst = rough.argmax()
        if rough[worst] > 0.01:
            warnings.warn(
                f"predict is exact, but network_ alone computes in {limits.dtype}, too roughly for y of "
                f"{self.mean[worst]:.8g} plus or minus {self.scale[worst]:.3g}; if it is to be saved, "
                "subtract the mean from y, or pass X in float64.",
                UserWarning,
                stacklevel=5,
            )


def with_scaling(network: Container, scaler: TargetScaler) -> Sequential:
    """Append a layer that restores the units of y; the other layers are shared with the network."""
    outputs = len(scaler.mean)
    last = Dense(outputs, outputs, dtype=network.dtype or np.float64)
    last.params["weight"][...] = np.diag(scaler.scale)
    last.params["bias"][...] = scaler.mean
    layers = network.children if isinstance(network, Sequential) else {"network": network}
    longer = Sequential(**layers, **{SCALING_LAYER: last})
    longer.input_shape = network.input_shape
    longer.output_kind = "values"
    return longer


def without_scaling(network: Container) -> tuple[Container, TargetScaler | None]:
    """Undo :func:`with_scaling`: return the network and the scaler, or None if it has none."""
    if not isinstance(network, Sequential) or list(network.children)[-1:] != [SCALING_LAYER]:
        return network, None
    last = network[SCALING_LAYER].params
    mean, scale = last["bias"].astype(np.float64), np.diagonal(last["weight"]).astype(np.float64)
    return network[:-1], TargetScaler(mean, scale)


def change_scaling(network: Container, old: TargetScaler, new: TargetScaler) -> None:
    """Change the last dense layer so that the network predicts the same y with another scaler."""
    *_, (_, last) = network.leaves()
    w, b = last.params["weight"], last.params["bias"]
    w *= old.scale / new.scale
    b[...] = new.transform(old.inverse_transform(b))


def ending_in_dense(network: Container, outputs: int) -> Container:
    """Append a dense layer, initialized as the identity, unless the network ends in one.

    A layer that is used several times does not count, nor does one without a bias.
    """
    leaves = [leaf for _, leaf in network.leaves()]
    last = leaves[-1]
    at_end = isinstance(network, Sequential) and network[-1] is last and sum(x is last for x in leaves) == 1
    if at_end and type(last) is Dense and last.bias:
        return network
    dense = Dense(outputs, outputs, dtype=network.dtype or np.float64)
    dense.params["weight"][...] = np.eye(outputs)
    longer = Sequential(network=network, dense=dense)
    longer.input_shape = network.input_shape
    longer.output_kind = "values"
    return longer
