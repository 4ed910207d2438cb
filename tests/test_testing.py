"""The checkers checked: each must fail on faults planted in what it checks, and name the part that broke."""

import numpy as np
import pytest

from neocog import BatchNorm1D, Conv2D, Dense, LeakyReLU, Sequential, Tanh
from neocog.compilation import Lowering, lowering_of
from neocog.inspection import Inquiry
from neocog.inspection.rules import rule_for
from neocog.layers import Elementwise, Layer
from neocog.losses import MeanSquaredError, SoftmaxCrossEntropy
from neocog.optimizers import SGD, Adam
from neocog.testing import check_layer, check_loss, check_optimizer, everywhere

from .test_layer_everywhere import check_strict_arrays

IMAGES = np.random.default_rng(0).normal(size=(2, 2, 4, 4))
ROWS = np.random.default_rng(0).normal(size=(4, 3))


def fails(match, concern, layer, x):
    with pytest.raises(AssertionError, match=match):
        concern(layer.astype("float64"), x, np.random.default_rng(0))


# Wrong rules


def change_rule(monkeypatch, layer, method, change):
    """Let a rule answer with other terms."""
    rule = rule_for(layer)
    right = getattr(rule, method)
    monkeypatch.setattr(type(rule), method, lambda self, *arguments: change(right, *arguments))


def scaled(factor):
    def change(right, *arguments):
        terms = right(*arguments)
        return [type(t)(t.factors, t.value * factor, t.note) for t in terms]

    return change


@pytest.mark.parametrize("method", ["forward", "input_gradient", "parameter_gradient"])
@pytest.mark.parametrize(
    ("make", "x"),
    [
        (lambda: Conv2D(2, 3, 2, rng=0), IMAGES),
        (lambda: Dense(3, 2, rng=0), ROWS),
        (lambda: BatchNorm1D(3), ROWS),
    ],
)
def test_a_rule_a_thousandth_off(monkeypatch, make, x, method):
    everywhere.explained(make().astype("float64"), x, np.random.default_rng(0))
    change_rule(monkeypatch, make(), method, scaled(1.001))
    fails("its terms add up to", everywhere.explained, make(), x)


def test_a_rule_that_sums_the_weight_gradient_over_all_places(monkeypatch):
    """As for a weight that every kernel entry shares."""
    layer = Conv2D(2, 3, 2, rng=0)

    def everywhere_at_once(right, step, key, index):
        if key == "bias":
            return right(step, key, index)
        return [term for place in np.ndindex(2, 2) for term in right(step, key, (*index[:2], *place))]

    change_rule(monkeypatch, layer, "parameter_gradient", everywhere_at_once)
    fails("d loss / d layer.weight.* is .*, its terms add up to", everywhere.explained, layer, IMAGES)


def test_a_rule_whose_terms_add_up_but_are_wrong(monkeypatch):
    """One term that is the whole, or terms of the wrong entries: sums alone would not tell."""
    layer = Dense(3, 2, rng=0)

    def lump(right, *arguments):
        first, *rest = right(*arguments)
        return [type(first)(first.factors, first.value + sum(t.value for t in rest), first.note)]

    for method, match in (
        ("forward", r"to output .*, input\[.*\] contributes"),
        ("input_gradient", r"to the gradient of input\[.*\], layer\[.*\] contributes"),
        ("parameter_gradient", r"to the gradient of layer\.\w+\[.*\], layer\[.*\] contributes"),
    ):
        with monkeypatch.context() as patch:
            change_rule(patch, layer, method, lump)
            fails(match, everywhere.explained, layer, ROWS)


def test_a_value_that_is_not_the_layers(monkeypatch):
    ask = Inquiry.ask

    def wrong(self, at, index=None, **options):
        answer = ask(self, at, index, **options)
        answer.value *= 1.001
        answer.terms = [type(t)(t.parts, t.value * 1.001, t.note) for t in answer.terms]
        return answer

    monkeypatch.setattr(Inquiry, "ask", wrong)
    fails("is explained as .*, the layer gives", everywhere.explained, Dense(3, 2, rng=0), ROWS)


# Wrong compiled forms: a change of the layer alone leaves its compiled form another function


def change_backward(monkeypatch, cls, change):
    right = cls.backward

    def backward(self, dy, cache, input_grad=True):
        return change(dy, *right(self, dy, cache, input_grad))

    monkeypatch.setattr(cls, "backward", backward)


def test_a_compiled_dx_without_its_slope(monkeypatch):
    change_backward(monkeypatch, Tanh, lambda dy, dx, grads: (dy, grads))
    fails("first.* is off by .* compiled", everywhere.compiled, Tanh(), IMAGES)


def test_a_compiled_gradient_a_thousandth_off(monkeypatch):
    change_backward(
        monkeypatch,
        BatchNorm1D,
        lambda dy, dx, grads: (dx, grads | {"weight": 1.001 * grads["weight"]}),
    )
    fails("layer.weight is off by .* compiled", everywhere.compiled, BatchNorm1D(3), ROWS)


def test_running_statistics_that_are_not_compiled(monkeypatch):
    right = BatchNorm1D.forward

    def forward(self, x, training=False):
        result = right(self, x, training)
        if training:
            self.buffers["running_mean"] += 1e-3
        return result

    monkeypatch.setattr(BatchNorm1D, "forward", forward)
    fails("running_mean is off by", everywhere.compiled, BatchNorm1D(3), ROWS)


def test_a_lowering_without_backward(monkeypatch):
    monkeypatch.setattr(type(lowering_of(Tanh)), "backward", Lowering.backward)
    with pytest.raises(NotImplementedError):
        everywhere.compiled(Tanh(), ROWS, np.random.default_rng(0))


def test_a_compiled_forward_a_thousandth_off(monkeypatch):
    call = Sequential.__call__
    monkeypatch.setattr(Sequential, "__call__", lambda self, x: 1.001 * call(self, x))
    fails("inference of 1 images", everywhere.compiled, Tanh(), ROWS)


# The array API


def test_numpy_where_the_array_api_is_promised():
    class ByNumpy(Tanh):
        def forward(self, x, training=False):
            y = np.tanh(x)
            return y, y

    with pytest.raises((AssertionError, TypeError)):
        check_strict_arrays(ByNumpy(), ROWS, training=True)
    check_strict_arrays(Tanh(), ROWS, training=True)


# What is written, and carried elsewhere


class Forgetful(LeakyReLU):
    def config(self):
        return {}


def test_a_setting_that_is_not_saved():
    fails("outputs", everywhere.saved_and_loaded, Forgetful(0.7), ROWS)


@pytest.mark.parametrize(
    ("concern", "match"),
    [(everywhere.in_pytorch, "in PyTorch, training=False"), (everywhere.in_onnx, "images")],
)
def test_a_layer_that_is_another_elsewhere(monkeypatch, concern, match):
    """Its own numbers are a thousandth off those of its module and its operator."""
    right = Tanh.forward

    def forward(self, x, training=False):
        y, cache = right(self, x, training)
        return 1.001 * y, cache

    concern(Tanh(), ROWS, np.random.default_rng(0))
    import neocog.interop.onnx as onnx_floor
    import neocog.interop.torch as torch_floor

    def before(function):
        def carried(*arguments, **options):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Tanh, "forward", right)
                return function(*arguments, **options)

        return carried

    for floor, name in ((torch_floor, "to_torch"), (torch_floor, "from_torch"), (onnx_floor, "to_onnx")):
        monkeypatch.setattr(floor, name, before(getattr(floor, name)))
    monkeypatch.setattr(Tanh, "forward", forward)
    fails(match, concern, Tanh(), ROWS)


def test_a_layer_that_is_read_back_as_another(monkeypatch):
    import neocog.interop.onnx as onnx_floor
    import neocog.interop.torch as torch_floor

    monkeypatch.setattr(torch_floor, "from_torch", lambda module: LeakyReLU(0.3))
    fails("comes back from PyTorch as", everywhere.in_pytorch, LeakyReLU(0.2), ROWS)
    monkeypatch.setattr(onnx_floor, "from_onnx", lambda model: LeakyReLU(0.3))
    fails("read back in float32", everywhere.in_onnx, LeakyReLU(0.2), ROWS)


# Layers of one's own, in one call


class Softsign(Elementwise):
    """``y = x / (1 + |x|)``, by the smooth square root of x^2 away from 0."""

    @staticmethod
    def function(xp, x):
        return x / (1 + (x * x) ** 0.5)

    @staticmethod
    def derivative(xp, x):
        return 1 / (1 + (x * x) ** 0.5) ** 2


class Square(Layer):
    def forward(self, x, training=False):
        return x * x, x

    def backward(self, dy, cache, input_grad=True):
        return (2 * cache * dy if input_grad else None), {}


@pytest.mark.parametrize("make", [Tanh, lambda: Dense(3, 2, rng=0), lambda: BatchNorm1D(3)])
def test_everywhere_in_one_call(make):
    check_layer(make, ROWS, everywhere=True)


def test_everywhere_names_what_is_broken(monkeypatch):
    change_rule(monkeypatch, Tanh(), "input_gradient", scaled(1.001))
    check_layer(Tanh, ROWS)
    with pytest.raises(AssertionError, match="explained: AssertionError"):
        check_layer(Tanh, ROWS, everywhere=True)


@pytest.mark.parametrize("make", [Softsign, Square])
def test_layers_of_ones_own_pass_everywhere(make):
    check_layer(make, ROWS, everywhere=True)


# Losses

LABELS = np.array([0, 2, 1, 1])


def wrong_loss(change, base=SoftmaxCrossEntropy):
    """Make a loss whose (value, dz) is changed by a function of (value, dz, weight)."""

    class Wrong(base):
        def __call__(self, z, t, weight=None):
            return change(*super().__call__(z, t, weight), weight)

    return Wrong


def loss_fails(match, make, t=LABELS):
    with pytest.raises(AssertionError, match=match):
        check_loss(make, ROWS, t)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda value, dz, weight: (value, 1.001 * dz), "derivative: AssertionError: dz is off"),
        (lambda value, dz, weight: (value, 0 * dz), "derivative"),
        (lambda value, dz, weight: (value * len(dz), dz * len(dz)), "mean_over_the_images"),
        (lambda value, dz, weight: (np.array([value]), dz), "value_and_dtypes"),
        (lambda value, dz, weight: (value, dz.astype(np.promote_types(dz.dtype, "f8"))), "float32 became"),
    ],
)
def test_wrong_losses(change, match):
    loss_fails(match, wrong_loss(change))
    loss_fails(match, wrong_loss(change, MeanSquaredError), ROWS[::-1] + 0.3)


class IgnoresWeights(SoftmaxCrossEntropy):
    def __call__(self, z, t, weight=None):
        return super().__call__(z, t)


class DerivativeIgnoresWeights(SoftmaxCrossEntropy):
    def __call__(self, z, t, weight=None):
        return super().__call__(z, t, weight)[0], super().__call__(z, t)[1]


class WeightsOfTheirOwnMean(SoftmaxCrossEntropy):
    """Divides by the sum of the weights, not by the number of images."""

    def __call__(self, z, t, weight=None):
        weight = None if weight is None else weight / np.mean(weight)
        return super().__call__(z, t, weight)


class WritesOverZ(MeanSquaredError):  # noqa: N818
    def __call__(self, z, t, weight=None):
        result = super().__call__(z, t, weight)
        z -= t
        return result


class TakesAnything(MeanSquaredError):  # noqa: N818
    def targets(self, shape, t):
        return np.zeros(shape) + np.mean(t)


class JudgesByTheBatch(SoftmaxCrossEntropy):
    def correct(self, z, t):
        return z.argmax(axis=1) == t[0]


class Unprintable(SoftmaxCrossEntropy):
    def __repr__(self):
        return "a loss"


class Unpicklable(SoftmaxCrossEntropy):
    def __init__(self):
        super().__init__()
        self.function = lambda z: z


@pytest.mark.parametrize(
    ("make", "t", "match"),
    [
        (IgnoresWeights, LABELS, "weights_are_repetitions: AssertionError: the loss with weights"),
        (DerivativeIgnoresWeights, LABELS, "derivative: AssertionError: dz with weights"),
        (DerivativeIgnoresWeights, LABELS, "weights_are_repetitions: AssertionError: dz with weights"),
        (WeightsOfTheirOwnMean, LABELS, "weights_are_repetitions"),
        (WritesOverZ, ROWS[::-1] + 0.3, "leaves_its_inputs_alone"),
        (
            TakesAnything,
            ROWS[::-1] + 0.3,
            "bad_targets_are_refused: AssertionError: targets for fewer images",
        ),
        (JudgesByTheBatch, LABELS, "correct: AssertionError: image"),
        (Unprintable, LABELS, "copies: AssertionError: repr must be a call"),
        (Unpicklable, LABELS, "copies"),
    ],
)
def test_losses_that_break_a_part(make, t, match):
    loss_fails(match, make, t)


def test_a_loss_that_is_compiled_as_another():
    class Drawn(MeanSquaredError):  # noqa: N818
        """It answers the compiled step and the layers in turn, and not alike."""

        calls = 0

        def __call__(self, z, t, weight=None):
            Drawn.calls += 1
            value, dz = super().__call__(z, t, weight)
            return value, dz * (1 + 1e-3 * (Drawn.calls % 2))

    loss_fails("compiled: AssertionError: step 0, 4 images", Drawn, ROWS[::-1] + 0.3)


def test_a_loss_that_is_explained_wrongly(monkeypatch):
    ask = Inquiry.ask

    def short_of_a_term(self, at, index=None, **options):
        answer = ask(self, at, index, **options)
        answer.terms = answer.terms[:-1]
        return answer

    check_loss(SoftmaxCrossEntropy, ROWS, LABELS)
    monkeypatch.setattr(Inquiry, "ask", short_of_a_term)
    loss_fails("explained: AssertionError: the sum of the terms of", SoftmaxCrossEntropy)


class Doubled(SoftmaxCrossEntropy):
    def __call__(self, z, t, weight=None):
        value, dz = super().__call__(z, t, weight)
        return 2 * value, 2 * dz


def test_a_loss_that_subclasses_another_is_right():
    check_loss(Doubled, ROWS, LABELS)


def test_check_loss_wants_a_function_and_three_images():
    with pytest.raises(TypeError, match="make_loss must be a function that makes the loss"):
        check_loss(SoftmaxCrossEntropy(), ROWS, LABELS)
    with pytest.raises(ValueError, match="z must hold 3 images or more, got 2"):
        check_loss(SoftmaxCrossEntropy, ROWS[:2], LABELS[:2])


# Optimizers


class ReplacesArrays(SGD):
    def step(self, params, grads):
        arrays = {name: array.copy() for name, array in params.items()}
        super().step(arrays, grads)
        params.update(arrays)


class MovesEverything(SGD):
    def step(self, params, grads):
        super().step(params, grads)
        for array in params.values():
            array *= 0.99


class WritesIntoGradients(SGD):
    def update(self, w, g, lr, decay, name):
        g *= lr
        w -= g


class Climbs(SGD):
    def update(self, w, g, lr, decay, name):
        super().update(w, -g, lr, -decay, name)


class Draws(SGD):
    rng = np.random.default_rng(0)

    def update(self, w, g, lr, decay, name):
        super().update(w, g * self.rng.uniform(0.9, 1.1), lr, decay, name)


class ForgetsItsState(Adam):
    def load_state_dict(self, saved):
        super().load_state_dict(saved)
        self.state = {memory: {} for memory in self.state}


class ForgetsItsSteps(Adam):
    def load_state_dict(self, saved):
        super().load_state_dict(saved)
        self.steps = 0


class HandsOutItsState(Adam):
    def state_dict(self):
        return super().state_dict() | {"state": self.state}


class ForgetsItsSettings(SGD):
    def state_dict(self):
        return super().state_dict() | {"settings": {}}


class DecaysBiases(SGD):
    def decays(self, name, w):
        return True


class KnowsNoSchedule(SGD):
    @property
    def current_lr(self):
        return self.lr(0) if callable(self.lr) else self.lr


class TakesAnyGradient(SGD):
    def step(self, params, grads):
        super().step(params, {name: g for name, g in grads.items() if name in params})


class Float64Only(SGD):
    def step(self, params, grads):
        for name in grads:
            params[name] = params[name].astype(np.float64)
        super().step(params, grads)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (ReplacesArrays, "steps_in_place: AssertionError: .* was replaced"),
        (MovesEverything, "steps_in_place: AssertionError: 'norm.weight' moved"),
        (WritesIntoGradients, "steps_in_place: AssertionError: a gradient was written into"),
        (Climbs, "goes_down"),
        (Draws, "is_deterministic"),
        (ForgetsItsState, "goes_on_from_its_state: AssertionError: after going on"),
        (ForgetsItsSteps, "goes_on_from_its_state"),
        (HandsOutItsState, "goes_on_from_its_state: AssertionError: the state taken out changed"),
        (ForgetsItsSettings, "settings_are_state: AssertionError: lr is"),
        (DecaysBiases, "decay: AssertionError: with decay_all=False"),
        (KnowsNoSchedule, "schedule"),
        (TakesAnyGradient, "refuses_what_does_not_fit"),
        (Float64Only, "steps_in_place"),
    ],
)
def test_optimizers_that_break_a_part(make, match):
    with pytest.raises(AssertionError, match=match):
        check_optimizer(lambda: make(lr=0.1))


def test_an_optimizer_that_is_compiled_a_thousandth_off(monkeypatch):
    from neocog.testing import common

    right = common.make_step

    def make_step(network, loss, optimizer):
        optimizer.lr *= 1.001
        return right(network, loss, optimizer)

    monkeypatch.setattr(common, "make_step", make_step)
    with pytest.raises(AssertionError, match=r"compiled: AssertionError: step 0, 6 images: .* is off by"):
        check_optimizer(lambda: SGD(0.1))


def test_check_optimizer_wants_a_function():
    with pytest.raises(TypeError, match="make_optimizer must be a function that makes the optimizer"):
        check_optimizer(SGD(0.1))
