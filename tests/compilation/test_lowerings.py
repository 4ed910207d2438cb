"""Whose compiled form a subclass takes; which layers have one is held by tests/test_layer_everywhere.py."""

import numpy as np
import pytest

from neocog.compilation import Uncompilable, lowering_of
from neocog.errors import UnsupportedError
from neocog.layers import Conv2D, Dense, Layer, LeakyReLU, MaxPool2D, ReLU


class Named(Conv2D):
    """Built in another way."""

    def __init__(self, channels):
        super().__init__(channels, channels, 3, padding=1)

    def config(self):
        return {"channels": self.in_channels}


class Sharper(LeakyReLU):
    def forward(self, x, training=False):
        return np.where(x > 0, 2 * x, self.negative_slope * x), x > 0


class Backward(ReLU):
    def backward(self, dy, cache, input_grad=True):
        return None if not input_grad else dy, {}


class Moved(MaxPool2D):
    """Changes what its base's forward asks for."""

    def window_sides(self, x_shape):
        return ((0, 1), (0, 1))


class Twice(Backward):
    pass


class Mixed(Dense, Layer):
    pass


@pytest.mark.parametrize("layer", [Named, Mixed], ids=lambda layer: layer.__name__)
def test_a_subclass_that_computes_the_same_has_its_base_s_compiled_form(layer):
    assert lowering_of(layer) is lowering_of(layer.__bases__[0]) is not None


@pytest.mark.parametrize("layer", [Sharper, Backward, Moved, Twice], ids=lambda layer: layer.__name__)
def test_a_subclass_that_overrides_what_is_computed_has_none(layer):
    assert lowering_of(layer) is None


def test_what_has_no_compiled_form_is_one_of_the_errors_of_unsupported_things():
    assert issubclass(Uncompilable, UnsupportedError)
