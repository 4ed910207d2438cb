"""The functions of one number that become vector instructions, beside those of SciPy."""

import numpy as np
import pytest
from numba import njit
from scipy.special import expit, ndtr

from neocog.kernels.fused.operation import OPTIONS
from neocog.kernels.fused.simd import (
    exponential,
    hyperbolic_tangent,
    library,
    logistic,
    normal_distribution,
    plain,
)

SMALL = 10.0 ** np.linspace(-12, 1, 999)
WIDE = np.concatenate([np.linspace(-30, 30, 20001), -SMALL, SMALL])
FUNCTIONS = {
    "exponential": (exponential, np.exp),
    "logistic": (logistic, expit),
    "hyperbolic_tangent": (hyperbolic_tangent, np.tanh),
    "normal_distribution": (normal_distribution, ndtr),
}


def over(function):
    """Return a loop over an array, compiled as the operations are."""

    @njit(**OPTIONS)
    def loop(x, y):
        for n in range(len(x)):
            y[n] = function(x[n])

    def call(x):
        y = np.empty_like(x)
        loop(x, y)
        return y

    return call


@pytest.mark.parametrize("name", FUNCTIONS)
def test_as_in_scipy(name):
    mine, theirs = over(FUNCTIONS[name][0]), FUNCTIONS[name][1]
    np.testing.assert_allclose(mine(WIDE), theirs(WIDE), rtol=1e-12)
    single = WIDE.astype("float32")
    np.testing.assert_allclose(mine(single), theirs(single.astype("float64")), rtol=1e-7, atol=1e-45)
    np.testing.assert_allclose([getattr(plain, name)(x) for x in WIDE[::97]], theirs(WIDE[::97]), rtol=1e-12)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_at_the_ends(name):
    """Beyond the largest number that is told apart all is finite; a NaN stays one."""
    y = over(FUNCTIONS[name][0])(np.array([-np.inf, -1e5, 0.0, 1e5, np.inf, np.nan]))
    expected = {
        "exponential": [0, 0, 1, np.exp(700.0), np.exp(700.0)],
        "logistic": [0, 0, 0.5, 1, 1],
        "hyperbolic_tangent": [-1, -1, 0, 1, 1],
        "normal_distribution": [0, 0, 0.5, 1, 1],
    }[name]
    np.testing.assert_allclose(y[:-1], expected, rtol=1e-12, atol=1e-300)
    assert np.isnan(y[-1])


RANGES = {
    "exp": np.linspace(-760, 720, 4001),
    "expm1": np.concatenate([np.linspace(-60, 720, 4001), WIDE]),
    "log1p": np.concatenate(
        [np.linspace(-1, 3, 4001), -SMALL[SMALL < 1], 10.0 ** np.linspace(-320, 308, 4001)]
    ),
    "tanh": WIDE,
}


@pytest.mark.parametrize("name", RANGES)
def test_as_in_numpy(name):
    """Wherever the result is a number, one near zero or an infinity included."""
    x = np.concatenate([RANGES[name], [0.0, -np.inf, np.inf, -1.0, -2.0, np.nan]])
    with np.errstate(all="ignore"):
        expected = getattr(np, name)(x)
    np.testing.assert_allclose(over(getattr(library, name))(x), expected, rtol=1e-13, atol=5e-324)
