"""One contract over every layer: a new layer without a case in ``cases.py`` fails."""

import inspect

import numpy as np
import pytest

from neocog import layers
from neocog.layers import BatchNorm2D, Conv2D, Sequential
from neocog.testing import check_layer

from .cases import CASES, LAYERS, MODELS


def test_every_layer_has_cases():
    found = {
        name
        for name in layers.__all__
        if inspect.isclass(getattr(layers, name)) and name not in ("Layer", "Container", "Elementwise")
    }
    assert found == set(CASES)


@pytest.mark.parametrize("name", LAYERS)
def test_contract(name):
    check_layer(*LAYERS[name])


@pytest.mark.parametrize("name", MODELS)
def test_contract_of_models(name):
    check_layer(*MODELS[name])


@pytest.mark.parametrize("name", CASES)
def test_cases_are_of_their_class(name):
    assert all(type(make()).__name__ == name for make, _ in CASES[name])


@pytest.mark.parametrize("seed", range(30))
def test_a_gradient_that_is_zero_by_nature_is_no_false_alarm(seed):
    """The bias before a batch norm has none, but for rounding errors."""
    x = np.random.default_rng(seed).normal(size=(4, 2, 4, 4))
    check_layer(lambda: Sequential(Conv2D(2, 2, 1, rng=0), BatchNorm2D(2)), x, seed=seed)
