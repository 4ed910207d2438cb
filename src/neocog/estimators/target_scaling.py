"""The units of a regression's targets: the network is trained on targets of mean 0 and variance 1."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np

from neocog.layers import Container, Dense, Sequential

SCALING_LAYER = "units_of_y"
"""The name of the last layer of a trained regression network."""


class TargetScaler(NamedTuple):
    """Where zero is, and how long one is, of each target: ``y = scale z + mean``; float64."""

    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, y: np.ndarray, weight: np.ndarray | None) -> TargetScaler:
        """Return the units in which ``y`` (N, outputs) has mean 0 and, unless constant, variance 1."""
        with np.errstate(over="ignore", invalid="ignore"):  # check refuses what overflows
            mean = np.average(y, axis=0, weights=weight)
            deviation = np.sqrt(np.average((y - mean) ** 2, axis=0, weights=weight))
        size = np.abs(mean)
        scale = np.where(deviation > 1e-14 * size, deviation, size)  # the mean is not exact
        return cls(mean, np.where(scale > 0, scale, 1.0))

    def transform(self, y: np.ndarray) -> np.ndarray:
        """Return ``y`` in standard units."""
        z: np.ndarray = (y - self.mean) / self.scale
        return z

    def inverse_transform(self, z: np.ndarray) -> np.ndarray:
        """Return numbers in standard units in those of y, in float64."""
        y: np.ndarray = z.astype(np.float64) * self.scale + self.mean
        return y

    def check(self, dtype: Any) -> None:
        """Raise ValueError if a network of this type cannot tell y, warn if it can but roughly."""
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
    """Return the network with a last layer that restores the units; its other layers are the same ones."""
    outputs = len(scaler.mean)
    last = Dense(outputs, outputs, dtype=network.dtype or np.float64)
    last.params["weight"][...] = np.diag(scaler.scale)
    last.params["bias"][...] = scaler.mean
    layers = network.children if isinstance(network, Sequential) else {"network": network}
    longer = Sequential(**layers, **{SCALING_LAYER: last})
    longer.input_shape = network.input_shape
    return longer


def without_scaling(network: Container) -> tuple[Container, TargetScaler | None]:
    """Return the network as :func:`with_scaling` got it, and the units; those are None if it has none."""
    if not isinstance(network, Sequential) or list(network.children)[-1:] != [SCALING_LAYER]:
        return network, None
    last = network[SCALING_LAYER].params
    mean, scale = last["bias"].astype(np.float64), np.diagonal(last["weight"]).astype(np.float64)
    return network[:-1], TargetScaler(mean, scale)


def change_scaling(network: Container, old: TargetScaler, new: TargetScaler) -> None:
    """Let a network that ends in a dense layer say in new units what it says in the old ones."""
    *_, (_, last) = network.leaves()
    w, b = last.params["weight"], last.params["bias"]
    w *= old.scale / new.scale
    b[...] = new.transform(old.inverse_transform(b))


def ending_in_dense(network: Container, outputs: int) -> Container:
    """Return the network with a dense layer at its end, which does nothing yet, unless it has one.

    A layer that stands at several places does not count, nor does one without a bias.
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
    return longer
