"""Compute what several answers need."""

from __future__ import annotations

import numpy as np

from neocog.layers import Flatten, Layer, Sequential
from neocog.models import tiny_cnn


def affine(network: Sequential) -> bool:
    """Return whether ``f(x + y) - f(0) = (f(x) - f(0)) + (f(y) - f(0))`` for random images."""
    x, y = np.random.default_rng(0).normal(size=(2, 1, 1, 8, 8))
    zero = network(np.zeros_like(x))
    difference = network(x + y) - network(x) - network(y) + zero
    return bool(np.abs(difference).max() < 1e-12)


def tiny(pool: Layer) -> Sequential:
    """Build TinyCNN without its ReLU, with another pooling."""
    network = tiny_cnn()
    return Sequential(network["conv1"], pool, Flatten(), network["dense"])
