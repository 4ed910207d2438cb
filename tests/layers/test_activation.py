import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import neocog
from neocog.layers import (
    ELU,
    GELU,
    SELU,
    Abs,
    Clip,
    Elementwise,
    Exp,
    Hardsigmoid,
    Hardswish,
    LeakyReLU,
    Mish,
    Power,
    PReLU,
    ReLU,
    ScaledTanh,
    Sigmoid,
    SiLU,
    Softplus,
    Sqrt,
    Tanh,
)
from neocog.layers.softmax import softmax

# Phi(1), phi(1) from tables of the normal distribution; tanh form from u = sqrt(2/pi) 1.044715
PHI, DENSITY = 0.8413447460685429, 0.24197072451914337
T = math.tanh(math.sqrt(2 / math.pi) * 1.044715)
SLOPE = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715)

BY_HAND = [
    # layer, x, y, derivative
    (Exp(), [0.0, math.log(3), -math.log(2)], [1.0, 3.0, 0.5], [1.0, 3.0, 0.5]),
    (Sqrt(), [0.25, 4.0], [0.5, 2.0], [1.0, 0.25]),
    (Power(-1), [0.5, -4.0], [2.0, -0.25], [-4.0, -1 / 16]),
    (Power(-1.5), [4.0], [1 / 8], [-3 / 64]),
    (Abs(), [-2.0, 0.0, 3.0], [2.0, 0.0, 3.0], [-1.0, 0.0, 1.0]),
    (ReLU(), [-1.0, 0.0, 2.0], [0.0, 0.0, 2.0], [0.0, 0.0, 1.0]),
    (LeakyReLU(0.5), [-2.0, 0.0, 3.0], [-1.0, 0.0, 3.0], [0.5, 0.5, 1.0]),
    (LeakyReLU(), [-2.0, 3.0], [-0.02, 3.0], [0.01, 1.0]),
    # 1 / (1 + e^-ln 3) = 3/4, derivative 3/4 1/4
    (Sigmoid(), [0.0, math.log(3), -math.log(3)], [0.5, 0.75, 0.25], [0.25, 0.1875, 0.1875]),
    # tanh(ln(3) / 2) = (3 - 1) / (3 + 1)
    (Tanh(), [0.0, math.log(3) / 2], [0.0, 0.5], [1.0, 0.75]),
    # the same, doubled: y = 2 tanh(x / 2), derivative 2 1/2 (1 - 1/4)
    (ScaledTanh(2, 0.5), [0.0, math.log(3)], [0.0, 1.0], [1.0, 0.75]),
    (GELU(), [0.0, 1.0, -1.0], [0.0, PHI, PHI - 1], [0.5, PHI + DENSITY, 1 - PHI - DENSITY]),
    # 3/2 (1/4 + 1/2), derivative 1/2 + 1/2; -3/2 (1/2 - 1/4), derivative 1/2 - 1/2
    (Hardswish(), [-4.0, -1.5, 0.0, 1.5, 4.0], [0.0, -0.375, 0.0, 1.125, 4.0], [0.0, 0.0, 0.5, 1.0, 1.0]),
    (Clip(), [-1.0, 0.0, 2.0, 6.0, 7.0], [0.0, 0.0, 2.0, 6.0, 6.0], [0.0, 0.0, 1.0, 0.0, 0.0]),
    (Clip(-1, 0.5), [-2.0, -0.25, 3.0], [-1.0, -0.25, 0.5], [0.0, 1.0, 0.0]),
    (Clip(high=None), [-2.0, 3e5], [0.0, 3e5], [0.0, 1.0]),
    # the sigmoid of ln 3 is 3/4: y = 3/4 ln 3, derivative 3/4 + ln 3 3/4 1/4
    (SiLU(), [0.0, math.log(3)], [0.0, 0.75 * math.log(3)], [0.5, 0.75 + math.log(3) * 3 / 16]),
    (Hardsigmoid(), [-4.0, -1.5, 0.0, 4.0], [0.0, 0.25, 0.5, 1.0], [0.0, 1 / 6, 1 / 6, 0.0]),
    (Hardsigmoid(0.2), [-2.0, 2.5, 3.0], [0.1, 1.0, 1.0], [0.2, 0.0, 0.0]),
    (ELU(), [-math.log(2), 0.0, 2.0], [-0.5, 0.0, 2.0], [0.5, 1.0, 1.0]),
    (ELU(0.4), [-math.log(4), 2.0], [-0.3, 2.0], [0.1, 1.0]),
    # by the paper's numbers
    (
        SELU(),
        [-math.log(2), 1.0],
        [-1.7580993408473766 / 2, 1.0507009873554805],
        [0.8790496704236883, 1.0507009873554805],
    ),
    # log(1 + 3) and 3/4
    (Softplus(), [0.0, math.log(3), 50.0], [math.log(2), math.log(4), 50.0], [0.5, 0.75, 1.0]),
    (Softplus(2), [math.log(3) / 2], [math.log(2)], [0.75]),
    # tanh(log 2) = 3/5; at ln 3: tanh(log 4) = 15/17, derivative 15/17 + ln 3 (1 - (15/17)^2) 3/4
    (
        Mish(),
        [0.0, math.log(3)],
        [0.0, math.log(3) * 15 / 17],
        [0.6, 15 / 17 + math.log(3) * 64 / 289 * 0.75],
    ),
    (GELU("tanh"), [0.0, 1.0], [0.0, (1 + T) / 2], [0.5, (1 + T) / 2 + (1 - T * T) * SLOPE / 2]),
]


ACTIVATIONS = [
    *(ReLU(), LeakyReLU(), Sigmoid(), Tanh(), ScaledTanh(), Hardswish(), GELU(), GELU("tanh")),
    *(Clip(), SiLU(), Hardsigmoid(), ELU(), SELU(), Softplus(), Mish()),
]


@pytest.mark.parametrize(("layer", "x", "y", "slope"), BY_HAND)
def test_by_hand(layer, x, y, slope):
    dy = np.arange(1.0, len(x) + 1)
    got, cache = layer.forward(np.array(x))
    np.testing.assert_allclose(got, y, rtol=1e-14, atol=1e-16)
    dx, grads = layer.backward(dy, cache)
    np.testing.assert_allclose(dx, dy * slope, rtol=1e-14, atol=1e-16)
    assert grads == {}


@pytest.mark.parametrize(
    ("layer", "function"),
    [
        (ReLU(), F.relu),
        (LeakyReLU(), F.leaky_relu),
        (LeakyReLU(0.3), lambda x: F.leaky_relu(x, 0.3)),
        (LeakyReLU(-1), lambda x: F.leaky_relu(x, -1)),
        (LeakyReLU(0), F.relu),
        (Sigmoid(), lambda x: x.sigmoid()),
        (Tanh(), lambda x: x.tanh()),
        (ScaledTanh(), lambda x: 1.7159 * (2 * x / 3).tanh()),
        (GELU(), F.gelu),
        (Hardswish(), F.hardswish),
        (Clip(), F.relu6),
        (SiLU(), F.silu),
        (Hardsigmoid(), lambda x: F.relu6(x + 3) / 6),
        (ELU(0.7), lambda x: F.elu(x, 0.7)),
        (SELU(), F.selu),
        (Softplus(), lambda x: F.softplus(x, threshold=40)),
        (Mish(), F.mish),
        (Exp(), torch.exp),
        (Abs(), torch.abs),
        (GELU("tanh"), lambda x: F.gelu(x, approximate="tanh")),
    ],
)
@pytest.mark.parametrize("shape", [(50,), (4, 5), (2, 3, 4, 5)])
def test_same_as_pytorch(layer, function, shape, same_as_torch, normal):
    x = 3 * normal(*shape)
    x.flat[0] = 0.0
    same_as_torch(layer, lambda _, x: function(x), x)


@pytest.mark.parametrize("layer", ACTIVATIONS)
def test_large_numbers_stay_finite(layer):
    for dtype in (np.float32, np.float64):
        y, cache = layer.forward(np.array([-1e4, -100.0, 100.0, 1e4], dtype))
        dx, _ = layer.backward(np.ones(4, dtype), cache)
        assert np.isfinite(y).all()
        assert np.isfinite(dx).all()
        assert y.dtype == dx.dtype == dtype


@pytest.mark.parametrize("layer", ACTIVATIONS)
def test_nan_goes_through(layer):
    assert np.isnan(layer(np.array([1.0, np.nan]))).tolist() == [False, True]


def test_the_squashing_function_of_1998():
    """f(1) = 1, f(-1) = -1, and the slope is steepest in between, 1.7159 2/3 at 0."""
    y, cache = ScaledTanh().forward(np.array([-1.0, 0.0, 1.0]))
    np.testing.assert_allclose(y, [-1.0, 0.0, 1.0], atol=5e-5)
    assert ScaledTanh().backward(np.ones(3), cache)[0][1] == pytest.approx(1.7159 * 2 / 3, rel=1e-15)


def test_shapes_and_flops():
    assert ReLU().output_shape((2, 3, 4, 5)) == (2, 3, 4, 5)
    assert ReLU().flops((2, 3, 4, 5)) == 120
    assert LeakyReLU().flops((2, 3)) == 12


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: LeakyReLU("steep"), TypeError, "negative_slope must be a number, got 'steep'"),
        (lambda: LeakyReLU(math.nan), ValueError, "negative_slope must be in .*, got nan"),
        (lambda: ScaledTanh("high"), TypeError, "amplitude must be a number, got 'high'"),
        (lambda: ScaledTanh(0), ValueError, "amplitude must not be 0"),
        (lambda: ScaledTanh(1, None), TypeError, "slope must be a number, got None"),
        (lambda: Clip("a"), TypeError, "low must be a number, got 'a'"),
        (lambda: Clip(0, math.inf), ValueError, "high must be in .*, got inf"),
        (lambda: Clip(2, 2), ValueError, "low must be below high, got 2.0 and 2.0"),
        (lambda: Softplus(0), ValueError, "beta must not be 0"),
        (lambda: GELU("tan"), ValueError, "approximate must be one of 'none', 'tanh', got 'tan'"),
        (lambda: GELU(True), ValueError, "approximate must be one of"),
    ],
)
def test_bad_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (ReLU(), "ReLU()"),
        (LeakyReLU(), "LeakyReLU()"),
        (LeakyReLU(0.2), "LeakyReLU(negative_slope=0.2)"),
        (Sigmoid(), "Sigmoid()"),
        (Tanh(), "Tanh()"),
        (ScaledTanh(), "ScaledTanh()"),
        (ScaledTanh(2, 1), "ScaledTanh(amplitude=2.0, slope=1.0)"),
        (GELU(), "GELU()"),
        (GELU("tanh"), "GELU(approximate='tanh')"),
    ],
)
def test_repr(layer, text):
    assert repr(layer) == text


def test_softmax():
    # e^ln 1 : e^ln 2 : e^ln 5 = 1 : 2 : 5
    p = softmax(np.log([[1.0, 2.0, 5.0], [3.0, 3.0, 2.0]]))
    np.testing.assert_allclose(p, [[0.125, 0.25, 0.625], [0.375, 0.375, 0.25]], rtol=1e-14)
    assert softmax(np.array([[1e4, -1e4]])).tolist() == [[1.0, 0.0]]
    assert softmax(np.zeros((0, 3))).shape == (0, 3)


class Folded(Elementwise):
    """Forward: ``y = |x| + sign(x) x^2``, with functions that are not analytic by themselves."""

    @staticmethod
    def function(xp, x):
        return xp.abs(x) + xp.sign(x) * x * x

    @staticmethod
    def derivative(xp, x):
        return xp.sign(x) + 2 * xp.abs(x)


def test_declared_functions_go_through_a_complex_step():
    x = np.array([[-2.0, 0.5], [3.0, -0.25]])
    expected = [[-1 - 2 * -2.0, 1 + 2 * 0.5], [1 + 2 * 3.0, -1 - 2 * -0.25]]  # sign(x) + 2 sign(x) x
    step = Folded().forward(x + 1e-30j)[0].imag / 1e-30
    np.testing.assert_allclose(step, expected, rtol=1e-15)
    np.testing.assert_allclose(Folded().backward(np.ones((2, 2)), x)[0], expected, rtol=1e-15)
    neocog.check_layer(Folded, x)


def test_a_learned_slope_by_hand():
    # One slope 1/2: y = x or x / 2; dw = 1 (-2) + 3 (-4) from the two that are not positive
    x, dy = np.array([[-2.0, 6.0], [0.0, -4.0]]), np.array([[1.0, 2.0], [5.0, 3.0]])
    layer = PReLU(init=0.5, dtype="float64")
    y, cache = layer.forward(x)
    assert y.tolist() == [[-1.0, 6.0], [0.0, -2.0]]
    dx, grads = layer.backward(dy, cache)
    assert dx.tolist() == [[0.5, 2.0], [2.5, 1.5]]
    assert grads["weight"].tolist() == [-14.0]
    # Slopes 1/2 and -1 of two channels
    layer = PReLU(2, dtype="float64")
    layer.params["weight"][...] = [0.5, -1.0]
    y, cache = layer.forward(x)
    assert y.tolist() == [[-1.0, 6.0], [0.0, 4.0]]
    dx, grads = layer.backward(dy, cache)
    assert dx.tolist() == [[0.5, 2.0], [2.5, -3.0]]
    assert grads["weight"].tolist() == [-2.0, -12.0]


@pytest.mark.parametrize(
    ("slopes", "shape"), [(1, (50,)), (1, (4, 5)), (5, (4, 5)), (3, (2, 3, 4)), (3, (2, 3, 4, 5))]
)
def test_learned_slopes_are_those_of_pytorch(slopes, shape, same_as_torch, normal):
    layer = PReLU(slopes, dtype="float64")
    layer.params["weight"][...] = normal(slopes)
    x = normal(*shape)
    x.flat[0] = 0.0
    same_as_torch(layer, lambda p, x: F.prelu(x, p["weight"]), x)


def test_prelu_arguments_and_inputs():
    assert PReLU(3, 0.1).params["weight"].tolist() == [np.float32(0.1)] * 3
    assert PReLU(3, neocog.initializers.ones).params["weight"].tolist() == [1.0] * 3
    assert (repr(PReLU()), repr(PReLU(3))) == ("PReLU()", "PReLU(num_parameters=3)")
    assert PReLU().flops((2, 3, 4, 5)) == 240
    assert np.isnan(PReLU()(np.array([1.0, np.nan]))).tolist() == [False, True]
    with pytest.raises(ValueError, match="num_parameters must be at least 1"):
        PReLU(0)
    with pytest.raises(TypeError, match="init must be a number, got 'steep'"):
        PReLU(1, "steep")
    for shape in ((3,), (2, 2), (2, 2, 3, 3)):
        with pytest.raises(ValueError, match=r"PReLU\(3\) needs inputs of shape \(N, 3, ...\)"):
            PReLU(3)(np.zeros(shape))
    with pytest.raises(TypeError, match="floating point array, got uint8"):
        PReLU()(np.zeros((2, 2), np.uint8))
