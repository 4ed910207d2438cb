"""Rules of one's own, and the explanation of layers that have none."""

import numpy as np
import pytest

from neocog.inspection import Factor, Rule, Term, explain, trace
from neocog.inspection.explain import Inquiry
from neocog.inspection.explanation import Number
from neocog.inspection.rules import dy_at, product, rule_for, x_at
from neocog.inspection.rules.activation import ActivationRule
from neocog.inspection.rules.convolution import Conv2DRule
from neocog.inspection.rules.jacobian import CHECKED_ENTRIES, JacobianRule
from neocog.layers import (
    GELU,
    Conv2D,
    Dense,
    Elementwise,
    Flatten,
    Graph,
    Hardswish,
    Layer,
    LeakyReLU,
    ReLU,
    ScaledTanh,
    Sequential,
    Sigmoid,
    Tanh,
)

F64 = {"dtype": "float64"}


class Scale(Layer):
    """A linear map of all numbers of an image: y = 2 x + 1."""

    def forward(self, x, training=False):
        return 2 * x + 1, None

    def backward(self, dy, cache, input_grad=True):
        return 2 * dy, {}


class Cube(Layer):
    def forward(self, x, training=False):
        return x**3, x

    def backward(self, dy, cache, input_grad=True):
        return 3 * cache**2 * dy, {}


class PReLU(Layer):
    """A learned slope a channel for negative numbers."""

    def __init__(self, channels, *, dtype="float64"):
        super().__init__()
        self.channels = channels
        self._params["slope"] = np.linspace(0.1, 0.5, channels, dtype=dtype)

    def forward(self, x, training=False):
        a = self.params["slope"].reshape(-1, *(1,) * (x.ndim - 2))
        return np.where(x.real > 0, x, a * x), x

    def backward(self, dy, cache, input_grad=True):
        x, axes = cache, tuple(k for k in range(cache.ndim) if k != 1)
        a = self.params["slope"].reshape(-1, *(1,) * (x.ndim - 2))
        return np.where(x > 0, dy, a * dy), {"slope": (dy * np.minimum(x, 0)).sum(axis=axes)}


class Normalize(Layer):
    """Softmax-like: each number over the sum of the exponentials of its row."""

    def forward(self, x, training=False):
        e = np.exp(x - x.real.max(axis=1, keepdims=True))
        y = e / e.sum(axis=1, keepdims=True)
        return y, y

    def backward(self, dy, cache, input_grad=True):
        y = cache
        return y * (dy - (dy * y).sum(axis=1, keepdims=True)), {}


class Magnitude(Layer):
    """Forward fails on complex numbers, by dropping their imaginary part, or with an error."""

    def __init__(self, refuse=False):
        super().__init__()
        self.refuse = refuse

    def forward(self, x, training=False):
        if self.refuse and x.dtype.kind == "c":
            raise TypeError("real numbers only")
        return np.abs(x) * np.sqrt(np.abs(x)), x

    def backward(self, dy, cache, input_grad=True):
        return 1.5 * np.sqrt(np.abs(cache)) * np.sign(cache) * dy, {}


class Multiply(Layer):
    several_inputs = True

    def forward(self, x, training=False):
        a, b = x
        return a * b, (a, b)

    def backward(self, dy, cache, input_grad=True):
        a, b = cache
        return (dy * b, dy * a), {}

    def output_shape(self, input_shape):
        return input_shape[0]


class Noise(Layer):
    """Multiplies by random numbers, in both modes, and counts its passes in a buffer that is part of y."""

    def __init__(self, rng=0):
        super().__init__()
        self.rng = np.random.default_rng(rng)
        self._buffers["passes"] = np.zeros(1)

    def forward(self, x, training=False):
        factor = self.rng.random(x.shape) + self.buffers["passes"] + training
        self.buffers["passes"] += 1
        return x * factor, factor

    def backward(self, dy, cache, input_grad=True):
        return dy * cache, {}


LAYERS = {
    "linear": lambda: Scale(),
    "cube": lambda: Cube(),
    "prelu": lambda: PReLU(2),
    "softmax-like": lambda: Normalize(),
    "real only": lambda: Magnitude(),
    "refuses": lambda: Magnitude(refuse=True),
    "noise": lambda: Noise(),
}


def around(layer):
    """The layer between layers that have rules."""
    return Sequential(
        conv=Conv2D(1, 2, 2, rng=1, **F64), own=layer, flatten=Flatten(), dense=Dense(18, 3, rng=2, **F64)
    )


def two_inputs(layer):
    nodes = {
        "a": (Conv2D(1, 2, 2, rng=1, **F64), "input"),
        "b": (Conv2D(1, 2, 2, rng=3, **F64), "input"),
        "own": (layer, "a", "b"),
        "flat": (Flatten(), "own"),
        "out": (Dense(18, 3, rng=2, **F64), "flat"),
    }
    return Graph(nodes)


X = np.random.default_rng(0).normal(size=(2, 1, 4, 4))
T = np.array([0, 2])


def close(answer):
    assert answer.adds_up, answer
    scale = sum(abs(term.value) for term in answer.terms) or 1.0
    assert abs(answer.total - answer.value) <= 1e-7 * scale, answer


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", [*LAYERS, "product"])
def test_a_layer_without_a_rule_is_explained(name, training):
    network = two_inputs(Multiply()) if name == "product" else around(LAYERS[name]())
    inquiry = Inquiry(trace(network, X, T, training=training))
    record = inquiry.trace["own"]
    for index in np.ndindex(*record.y.shape):
        answer = inquiry.explain(Number("activation", "own", index))
        close(answer)
        assert "Jacobian" in answer.formula
        assert any(part.symbol == "rest: y - J x" for term in answer.terms for part in term.parts)
    for source in inquiry.sources["own"]:
        for index in np.ndindex(*record.y.shape):
            answer = inquiry.explain(Number("gradient", source, index))
            close(answer)
            assert "Jacobian" in answer.formula
    for key in record.layer.params:
        for index in np.ndindex(*record.layer.params[key].shape):
            close(inquiry.explain(Number("gradient", f"own.{key}", index)))


def test_the_jacobian_by_hand():
    # y = x^3 at 2: J = 12, J x = 24, y = 8
    answer = explain(Sequential(own=Cube()), np.array([[2.0, 5.0]]), "own", (0, 0))
    assert [[part.value for part in term.parts] for term in answer.terms] == [[2.0, 12.0], [-16.0]]
    assert answer.terms[0].parts[0].number == Number("activation", "input", (0, 0))
    assert "complex step" in answer.formula
    # y = 2 x + 1 at 3: J x = 6, the rest 1
    answer = explain(Sequential(own=Scale()), np.array([[3.0, 5.0]]), "own", (0, 0))
    assert [term.value for term in answer.terms] == [6.0, 1.0]


@pytest.mark.parametrize("refuse", [False, True])
def test_central_differences_are_named(refuse):
    x = np.array([[2.0, 5.0]])
    answer = explain(Sequential(own=Magnitude(refuse)), x, "own", (0, 0))
    assert "central differences" in answer.formula
    assert answer.terms[0].value == pytest.approx(1.5 * 2**1.5, rel=1e-9)


def test_dropping_imaginary_parts_inside_is_found_by_central_differences():
    class Mixed(Layer):
        def forward(self, x, training=False):
            return x * np.abs(x), x  # complex, but with half the derivative

        def backward(self, dy, cache, input_grad=True):
            return 2 * np.abs(cache) * dy, {}

    answer = explain(Sequential(own=Mixed()), np.array([[-3.0]]), "own", (0, 0))
    assert answer.terms[0].value == -18
    assert answer.terms[0].note == "by central differences"


@pytest.mark.parametrize("x", [0.0, -0.0])
def test_at_a_kink_backward_may_choose_either_side(x):
    network = Sequential(own=PReLU(2), dense=Dense(2, 2, rng=0, **F64))
    inquiry = Inquiry(trace(network, np.array([[x, 1.0]]), np.array([0])))
    answer = inquiry.ask("input", (0, 0), of="gradient")
    assert answer.total == pytest.approx(0.1 * inquiry.trace["own"].dy[0, 0], rel=1e-7)
    assert answer.value == pytest.approx(answer.total, rel=1e-7)


class Planted(PReLU):
    """One that is wrong by 0.1 %, in x or in the slope."""

    def __init__(self, channels, which="x"):
        super().__init__(channels)
        self.which = which

    def backward(self, dy, cache, input_grad=True):
        dx, grads = super().backward(dy, cache, input_grad)
        return (1.001 * dx, grads) if self.which == "x" else (dx, {"slope": 1.001 * grads["slope"]})


def test_a_wrong_backward_is_reported():
    network = around(Planted(2))
    message = r"backward of layer 'own' \(Planted\) contradicts its forward: .* by backward, .* by"
    with pytest.raises(ValueError, match=message):
        explain(network, X, "own", (0, 0, 0, 0))
    with pytest.raises(ValueError, match=r"contradicts its forward: dx\[0,1,1,1\] is"):
        explain(network, X, "conv", (0, 1, 1, 1), of="gradient", y=T)
    network = around(Planted(2, "slope"))
    with pytest.raises(ValueError, match=r"contradicts its forward: dslope\[1\] is"):
        explain(network, X, "own.slope", (1,), of="gradient", y=T)
    numbers = explain(around(PReLU(2)), X, "own.slope", (1,), of="gradient", y=T)
    assert numbers.value == pytest.approx(numbers.total, rel=1e-12)


class Sum(Layer):
    """One output, the sum of squares; ``wrong`` is the entry whose gradient is off."""

    def __init__(self, wrong=None):
        super().__init__()
        self.wrong = wrong

    def forward(self, x, training=False):
        return (x * x).sum(axis=1, keepdims=True), x

    def backward(self, dy, cache, input_grad=True):
        dx = 2 * cache * dy
        if self.wrong is not None:
            dx[:, self.wrong] = 0
        return dx, {}


def test_of_a_large_input_what_contributes_most_and_random_directions_are_checked():
    x = np.linspace(1, 2, 20 * CHECKED_ENTRIES)[None]
    answer = explain(Sequential(own=Sum()), x, "own", (0, 0))
    assert answer.total == pytest.approx((x * x).sum(), rel=1e-12)
    assert len(answer.terms) == x.size + 1
    for wrong in (0, x.size - 1):  # dropped, though it contributes least and most
        with pytest.raises(ValueError, match=r"contradicts its forward: the derivative of .* direction"):
            explain(Sequential(own=Sum(wrong)), x, "own", (0, 0))


def test_an_entry_that_backward_forgets_is_found():
    class Neighbours(Layer):
        """Each number and the one before it, which backward forgets."""

        def forward(self, x, training=False):
            return x + np.roll(x, 1, axis=1), None

        def backward(self, dy, cache, input_grad=True):
            return dy, {}

    with pytest.raises(ValueError, match=r"contradicts its forward: the derivative of y\[0,2\] in a random"):
        explain(Sequential(own=Neighbours()), np.array([[1.0, 2.0, 3.0]]), "own", (0, 2))


def test_the_largest_of_equal_numbers_may_be_any():
    class Largest(Layer):
        def forward(self, x, training=False):
            return x.max(axis=1, keepdims=True), x

        def backward(self, dy, cache, input_grad=True):
            return dy * (np.arange(cache.shape[1]) == cache.argmax(axis=1)[:, None]), {}

    answer = explain(Sequential(own=Largest()), np.ones((1, 5)), "own", (0, 0))
    assert [term.value for term in answer.terms] == [1, 0]


def test_the_work_on_a_large_input_is_bounded():
    class Counted(Sum):
        passes = 0

        def forward(self, x, training=False):
            type(self).passes += 1
            return super().forward(x, training)

    explain(Sequential(own=Counted()), np.ones((1, 5000)), "own", (0, 0))
    assert Counted.passes < 2 * CHECKED_ENTRIES


def test_random_numbers_that_cannot_be_drawn_again():
    source = np.random.default_rng(0)

    class Global(Layer):
        def forward(self, x, training=False):
            return x * source.random(x.shape), None

    with pytest.raises(ValueError, match=r"layer 'own' .* must come from a NumPy Generator"):
        explain(Sequential(own=Global()), np.ones((1, 2)), "own", (0, 0))


def test_a_layer_with_forward_alone():
    class Own(Layer):
        def forward(self, x, training=False):
            return 2 * x, None

    with pytest.raises(ValueError, match=r"layer 'own' \(Own\) .* neither a rule nor a backward"):
        explain(Sequential(own=Own()), np.ones((1, 2)), "own", (0, 0))


def test_single_precision():
    network = around(PReLU(2)).astype("float32")
    inquiry = Inquiry(trace(network, X, T))
    for index in np.ndindex(2, 2, 3, 3):
        answer = inquiry.explain(Number("activation", "own", index))
        assert answer.total == pytest.approx(answer.value, rel=1e-6)
        answer = inquiry.explain(Number("gradient", "conv", index))
        assert answer.total == pytest.approx(answer.value, rel=1e-5)


class Softsign(Elementwise):
    """Softsign.

    Forward: ``y = x / (1 + |x|)``.
    """

    @staticmethod
    def function(xp, x):
        return x / (1 + xp.abs(x))

    @staticmethod
    def derivative(xp, x):
        return 1 / (1 + xp.abs(x)) ** 2


class Undocumented(ReLU):
    def forward(self, x, training=False):
        return 3 * x, None

    def backward(self, dy, cache, input_grad=True):
        return 3 * dy, {}


def test_an_elementwise_layer_is_explained_by_its_formula():
    network = Sequential(own=Softsign(), dense=Dense(2, 2, rng=0, **F64))
    inquiry = Inquiry(trace(network, np.array([[3.0, -1.0]]), np.array([0])))
    answer = inquiry.ask("own", (0, 0))
    assert (answer.formula, answer.value, answer.total) == ("y = x / (1 + |x|)", 0.75, 0.75)
    answer = inquiry.ask("input", (0, 0), of="gradient")
    assert [part.value for part in answer.terms[0].parts][1] == 1 / 16
    assert answer.total == answer.value


def test_the_formulas_of_activations_stand_in_their_docstrings():
    expected = {
        ReLU(): "y = max(x, 0)",
        LeakyReLU(): "y = x if x > 0 else a x",
        Sigmoid(): "y = 1 / (1 + exp(-x))",
        Tanh(): "y = tanh(x)",
        ScaledTanh(): "y = a tanh(s x)",
        GELU(): "y = x Phi(x)",
        Undocumented(): "y = f(x)",  # not that of ReLU, whose function it is not
    }
    for layer, formula in expected.items():
        answer = explain(Sequential(own=layer), np.array([[0.5]]), "own", (0, 0))
        assert answer.formula == formula
        assert answer.total == pytest.approx(answer.value, rel=1e-15)


def test_an_elementwise_layer_with_parameters_is_explained_by_its_jacobian():
    class Own(PReLU, Elementwise):
        pass

    assert isinstance(rule_for(Own(2)), JacobianRule)
    close(explain(around(Own(2)), X, "own", (0, 1, 0, 0)))


def test_a_rule_holds_for_a_subclass_with_the_same_forward_only():
    class Same(Conv2D):
        pass

    class Doubled(Conv2D):
        def forward(self, x, training=False):
            y, cache = super().forward(x, training)
            return 2 * y, cache

        def backward(self, dy, cache, input_grad=True):
            return super().backward(2 * dy, cache, input_grad)

    assert isinstance(rule_for(Same(1, 1, 2)), Conv2DRule)
    assert isinstance(rule_for(Doubled(1, 1, 2)), JacobianRule)
    assert isinstance(rule_for(Softsign()), ActivationRule)
    network = Sequential(own=Doubled(1, 2, 2, rng=1, **F64))
    answer = explain(network, X, "own", (0, 1, 1, 1))
    close(answer)
    assert len(answer.terms) == 5  # four pixels and the rest, the bias


def test_a_rule_of_ones_own():
    class Shift(Layer):
        def forward(self, x, training=False):
            return x + 1, None

        def backward(self, dy, cache, input_grad=True):
            return dy, {}

    class Shifted(Shift):
        pass

    class ShiftRule(Rule, of=(Shift, Shifted)):
        formula = "y = x + 1"
        gradients = {"x": "dx = dy"}  # noqa: RUF012

        def forward(self, record, index):
            return [product(x_at(record, index)), Term((Factor("1", 1.0),), 1.0, "shift")]

        def input_gradient(self, record, index, slot):
            return [product(dy_at(record, index))]

    for kind in (Shift, Shifted):
        answer = explain(around(kind()), X, "own", (0, 0, 0, 0))
        close(answer)
        assert (answer.formula, len(answer.terms)) == ("y = x + 1", 2)
        close(explain(around(kind()), X, "conv", (0, 0, 0, 0), of="gradient", y=T))


class Wrong(Layer):
    """Returns no dx, or one of another shape."""

    def __init__(self, shape=None, slope=1):
        super().__init__()
        self.shape, self.slope = shape, slope

    def forward(self, x, training=False):
        return self.slope * x, None

    def backward(self, dy, cache, input_grad=True):
        return None if self.shape is None else np.zeros(self.shape), {}


def test_a_dx_of_another_shape_is_named():
    with pytest.raises(
        ValueError, match=r"Wrong.*must return gradients of the inputs' shapes .* got \[\(3,\)\]"
    ):
        explain(Sequential(own=Wrong((3,))), X, "own", (0, 0, 0, 0))


def test_no_dx_says_that_y_does_not_move():
    close(explain(Sequential(own=Wrong(slope=0)), X, "own", (0, 0, 0, 0)))
    with pytest.raises(ValueError, match=r"is 0 by backward, 0\.125.* by the complex step"):
        explain(Sequential(own=Wrong()), X, "own", (0, 0, 0, 0))


class Cubic(Elementwise):
    """Forward: ``y = x^3``."""

    factor = 1.0

    @staticmethod
    def function(xp, x):
        return x**3

    @classmethod
    def derivative(cls, xp, x):
        return cls.factor * 3 * x * x


class Wave(Elementwise):
    """Forward: ``y = sin(300 x)``."""

    @staticmethod
    def function(xp, x):
        return xp.sin(300 * x)

    @staticmethod
    def derivative(xp, x):
        return 300 * xp.cos(300 * x)


class WrongCube(Cubic):
    factor = 1.001


class WrongReLU(ReLU):
    def backward(self, dy, cache, input_grad=True):
        dx, grads = super().backward(dy, cache, input_grad)
        return 1.001 * dx, grads


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("right", "wrong"), [(Cubic, WrongCube), (ReLU, WrongReLU)])
def test_the_slope_of_an_activation_must_be_that_of_its_forward(right, wrong, dtype):
    """Its term is the product of dy and that slope, and would add up whatever the slope is."""
    x = np.array([[0.3, 2.0]])

    def ask(layer):
        network = Sequential(own=layer(), dense=Dense(2, 2, rng=0, dtype=dtype))
        return explain(network, x, "input", (0, 1), of="gradient", y=[0])

    answer = ask(right)
    assert answer.total == pytest.approx(answer.value, rel=1e-6)
    with pytest.raises(
        ValueError, match=r"backward of layer 'own' \(Wrong.*\) contradicts its forward: the slope"
    ):
        ask(wrong)


@pytest.mark.parametrize("layer", [ReLU, LeakyReLU, GELU, Sigmoid, Tanh, ScaledTanh, Hardswish, Wave])
def test_the_slopes_of_neocogs_activations_are_those_of_their_forward(layer):
    """At kinks, where the slope is one of the two, far out, where there is none left, and between."""
    for dtype in ("float32", "float64"):
        x = np.array([[0.0, -0.0, 1e-9, -1e-9, 1e-4, 0.7, -0.7, 3.0, -3.0, 10.0, -10.0, 40.0]])
        network = Sequential(own=layer(), dense=Dense(12, 2, rng=0, dtype=dtype))
        inquiry = Inquiry(trace(network, x, np.array([0])))
        for k in range(12):
            answer = inquiry.ask("input", (0, k), of="gradient")
            assert answer.total == pytest.approx(answer.value, rel=1e-5, abs=1e-30)


class ConvolutionAndReLU(Layer):
    """Two layers in one, of real numbers, without a rule: a pixel moves several units, some up, some down."""

    slope, factor = 0.0, 1.0

    def __init__(self):
        super().__init__()
        self.conv = Conv2D(1, 4, 3, padding=1, rng=0, **F64)
        self._params = dict(self.conv.params)

    def astype(self, dtype):
        other = type(self)()
        other.conv = self.conv.astype(dtype)
        other._params = dict(other.conv.params)
        return other

    def forward(self, x, training=False):
        if x.dtype.kind == "c":
            raise TypeError("real numbers only")
        z, cache = self.conv.forward(x, training)
        return np.where(z.real > 0, z, 0), (z, cache)

    def backward(self, dy, cache, input_grad=True):
        z, inner = cache
        dz = dy * np.where(z > 0, self.factor, np.where(z < 0, 0, self.slope))
        return self.conv.backward(dz, inner, input_grad)

    def output_shape(self, input_shape):
        return self.conv.output_shape(input_shape)


class TwiceAtZero(ConvolutionAndReLU):
    slope = 20.0


class SlightlyMore(ConvolutionAndReLU):
    factor = 1.001


def test_several_units_of_a_layer_on_a_kink_at_once():
    """A black image, no biases: each unit may have a slope of its own, and backward gives all of them 0."""
    x = np.zeros((1, 1, 4, 4))
    x[0, 0, 0, 0] = 0.5

    def ask(layer, index):
        network = Sequential(first=Scale(), own=layer(), flatten=Flatten(), dense=Dense(64, 2, rng=1, **F64))
        return explain(network, (x - 1) / 2, "first", index, of="gradient", y=[0])

    for index in np.ndindex(1, 1, 4, 4):
        answer = ask(ConvolutionAndReLU, index)
        assert answer.total == pytest.approx(answer.value, rel=1e-6, abs=1e-12)
    with pytest.raises(ValueError, match="contradicts its forward"):
        ask(TwiceAtZero, (0, 0, 2, 2))
    with pytest.raises(ValueError, match="contradicts its forward"):
        ask(SlightlyMore, (0, 0, 0, 0))
