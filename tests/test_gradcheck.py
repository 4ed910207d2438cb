"""The checker checked: it must pass what is right and fail what is wrong, and say why."""

import copy
import re

import numpy as np
import pytest

import neocog
from neocog import BatchNorm1D, Conv2D, Dense, Dropout, MaxPool2D, ReLU, Sequential, Tanh
from neocog.gradcheck.comparison import compare
from neocog.layers.base import Layer


class Zeros(BatchNorm1D):
    """Backward returns zeros: the mistake that a check from dy = 1 never sees."""

    def backward(self, dy, cache, input_grad=True):
        dx, grads = super().backward(dy, cache, input_grad)
        return (None if dx is None else 0 * dx), grads


class ATenthOfAPercentOff(Dense):
    def backward(self, dy, cache, input_grad=True):
        dx, grads = super().backward(dy, cache, input_grad)
        return dx, grads | {"weight": 1.001 * grads["weight"]}


class OneEntryOff(Dense):
    def backward(self, dy, cache, input_grad=True):
        dx, grads = super().backward(dy, cache, input_grad)
        weight = grads["weight"].copy()
        weight.flat[np.abs(weight).argmax()] *= 1.001
        return dx, grads | {"weight": weight}


class Transposed(Dense):
    def backward(self, dy, cache, input_grad=True):
        dx, grads = super().backward(dy, cache, input_grad)
        return dx, grads | {"weight": grads["weight"].T.copy()}


class FlippedKernel(Conv2D):
    def backward(self, dy, cache, input_grad=True):
        dx, grads = super().backward(dy, cache, input_grad)
        return dx, grads | {"weight": grads["weight"][:, :, ::-1, ::-1]}


class WrongSign(Tanh):
    def backward(self, dy, cache, input_grad=True):
        dx, grads = super().backward(dy, cache, input_grad)
        return (None if dx is None else -dx), grads


class WritesIntoDy(ReLU):
    def backward(self, dy, cache, input_grad=True):
        dy *= cache
        return (dy if input_grad else None), {}


class WritesIntoX(ReLU):
    def forward(self, x, training=False):
        mask = x.real > 0
        x *= mask
        return x, mask


class KeepsItsCache(Tanh):
    def forward(self, x, training=False):
        self.y, _ = super().forward(x, training)
        return self.y, None

    def backward(self, dy, cache, input_grad=True):
        return super().backward(dy, self.y, input_grad)


class ForgetsTheBias(Dense):
    def backward(self, dy, cache, input_grad=True):
        dx, grads = super().backward(dy, cache, input_grad)
        return dx, {"weight": grads["weight"]}


class GivesDxUnasked(Tanh):
    def backward(self, dy, cache, input_grad=True):
        return super().backward(dy, cache, True)


class WrongShape(Dense):
    def output_shape(self, input_shape):
        return input_shape


class Float64Only(Tanh):
    def forward(self, x, training=False):
        y, cache = super().forward(x, training)
        return (y.astype(np.float64) if y.dtype == np.float32 else y), cache


class NotLinearInDy(Tanh):
    def backward(self, dy, cache, input_grad=True):
        dx, grads = super().backward(dy, cache, input_grad)
        return (None if dx is None else dx + 1e-6), grads


class ForgetsItsArguments(Dropout):
    def config(self):
        return {}


@pytest.mark.parametrize(
    ("make", "shape", "broken"),
    [
        (lambda: Zeros(3), (6, 3), "gradients"),
        (lambda: ATenthOfAPercentOff(3, 3, rng=0), (4, 3), "gradients"),
        (lambda: ATenthOfAPercentOff(3, 3, rng=0), (4, 3), "directional_derivative"),
        (lambda: OneEntryOff(3, 3, rng=0), (4, 3), "gradients"),
        (lambda: Transposed(3, 3, rng=0), (4, 3), "wrong places"),
        (lambda: FlippedKernel(2, 2, 3, rng=0), (2, 2, 4, 4), "wrong places"),
        (WrongSign, (4, 3), "-1 times"),
        (WritesIntoDy, (4, 3), "leaves_its_inputs_alone"),
        (WritesIntoX, (4, 3), "leaves_its_inputs_alone"),
        (KeepsItsCache, (4, 3), "interleaved_use"),
        (lambda: ForgetsTheBias(3, 3, rng=0), (4, 3), "different names"),
        (GivesDxUnasked, (4, 3), "input_grad_is_optional"),
        (lambda: WrongShape(3, 2, rng=0), (4, 3), "output_shape is wrong"),
        (Float64Only, (4, 3), "float32 became float64"),
        (NotLinearInDy, (4, 3), "not linear in dy"),
        (lambda: ForgetsItsArguments(0.3, rng=0), (4, 3), "describes_itself"),
    ],
)
def test_check_layer_fails_on_planted_errors(make, shape, broken):
    x = np.random.default_rng(0).normal(size=shape)
    with pytest.raises(AssertionError, match=broken):
        neocog.check_layer(make, x)


def test_a_batch_norm_of_zeros_would_pass_from_ones():
    """Why dy is random: from dy = 1 the gradient of a batch norm in x is zero, and so is the wrong one."""
    x = np.random.default_rng(0).normal(size=(6, 3))
    layer = BatchNorm1D(3, dtype="float64")
    y, cache = layer.forward(x, training=True)
    dx, _ = layer.backward(np.ones_like(y), cache)
    assert np.abs(dx).max() < 1e-15


def small_network(dense=Dense):
    return Sequential(
        Conv2D(1, 2, 3, rng=0, dtype="float64"),
        ReLU(),
        MaxPool2D(2),
        neocog.Flatten(),
        dense(8, 3, rng=1, dtype="float64"),
    )


@pytest.fixture
def batch():
    rng = np.random.default_rng(5)
    return rng.normal(size=(3, 1, 6, 6)), np.array([0, 2, 1])


@pytest.mark.parametrize(("method", "target"), [("complex", 1e-13), ("central", 1e-7)])
@pytest.mark.parametrize("kernels", ["reference", "im2col"])
def test_right_gradients_pass(batch, method, target, kernels):
    with neocog.use_kernels(kernels):
        report = neocog.check_gradients(small_network(), *batch, method=method)
    assert report.passed
    assert report.max_relative_error < target
    assert [a.name for a in report.arrays] == ["0.weight", "0.bias", "4.weight", "4.bias", "input"]
    assert [a.checked + a.kinks for a in report.arrays] == [18, 2, 24, 3, 108]


@pytest.mark.parametrize("method", ["complex", "central"])
def test_a_wrong_formula_is_named_with_its_worst_entry(batch, method):
    report = neocog.check_gradients(small_network(ATenthOfAPercentOff), *batch, method=method)
    assert not report.passed
    (wrong,) = [a for a in report.arrays if not a.passed]
    assert wrong.name == "4.weight"
    assert wrong.relative_error == pytest.approx(1e-3, rel=0.01)
    assert wrong.analytic == pytest.approx(1.001 * wrong.numeric, rel=1e-6)
    assert "1.001 times" in wrong.reason


@pytest.mark.parametrize("method", ["complex", "central"])
def test_one_wrong_entry_is_found(batch, method):
    report = neocog.check_gradients(small_network(OneEntryOff), *batch, method=method)
    (wrong,) = [a for a in report.arrays if not a.passed]
    assert "1 of 24 entries" in wrong.reason


def test_float32_is_named_as_the_reason(batch):
    report = neocog.check_gradients(small_network().astype("float32"), *batch)
    assert not report.passed
    assert all("float32" in a.reason for a in report.arrays if not a.passed)


def test_kinks_are_skipped_and_counted():
    """x = 1e-6 lies within eps of ReLU's kink, 0.5 does not; the slope at both is 1."""
    layer = Sequential(ReLU())
    x = np.array([[1e-6, 0.5]])
    report = neocog.check_gradients(layer, x, np.array([[0.0, 0.0]]), loss=neocog.MeanSquaredError())
    assert report.passed  # a complex step has no eps to come near with
    report = neocog.check_gradients(
        Sequential(ReLU()), x, np.array([[1.0, 1.0]]), loss=neocog.MeanSquaredError(), method="central"
    )
    assert report.passed
    (array,) = report.arrays
    assert (array.checked, array.kinks) == (1, 1)


def test_a_point_on_the_kink_itself_is_a_kink():
    x, t = np.array([[0.0, 0.5]]), np.array([[1.0, 1.0]])
    report = neocog.check_gradients(
        Sequential(ReLU()), x, t, loss=neocog.MeanSquaredError(), method="central"
    )
    assert report.passed
    assert report.arrays[0].kinks == 1


def test_only_kinks_is_a_failure():
    x, t = np.full((1, 3), 1e-7), np.ones((1, 3))
    report = neocog.check_gradients(
        Sequential(ReLU()), x, t, loss=neocog.MeanSquaredError(), method="central"
    )
    assert not report.passed
    assert "every entry lies within eps of a kink" in report.arrays[0].reason


def test_an_error_is_not_excused_as_a_kink():
    """A wrong formula beside kinks must still fail."""

    class Wrong(ReLU):
        def backward(self, dy, cache, input_grad=True):
            dx, grads = super().backward(dy, cache, input_grad)
            return 1.001 * dx, grads

    x, t = np.array([[1e-6, 0.5, 0.7]]), np.ones((1, 3))
    report = neocog.check_gradients(
        Sequential(Wrong()), x, t, loss=neocog.MeanSquaredError(), method="central"
    )
    assert not report.passed


def test_the_network_is_left_as_it_was():
    network = Sequential(
        Dense(4, 4, rng=0, dtype="float64"), BatchNorm1D(4, dtype="float64"), Dropout(0.5, rng=3)
    )
    x = np.random.default_rng(0).normal(size=(5, 4))
    before = {k: v.copy() for k, v in {**network.params, **network.buffers}.items()}
    state = network[2].rng.bit_generator.state
    report = neocog.check_gradients(network, x, np.array([0, 1, 2, 3, 0]))
    assert report.passed
    for name, array in {**network.params, **network.buffers}.items():
        np.testing.assert_array_equal(array, before[name])
    assert network[2].rng.bit_generator.state == state


def test_max_entries_draws_a_part(batch):
    report = neocog.check_gradients(small_network(), *batch, max_entries=5)
    assert [a.checked for a in report.arrays] == [5, 2, 5, 3, 5]


def test_report_as_data_and_as_table(batch, capsys):
    report = neocog.check_gradients(small_network(), *batch)
    data = report.to_dict()
    assert data["passed"] is True
    assert data["max_relative_error"] == report.max_relative_error
    assert data["arrays"][0]["name"] == "0.weight"
    report.print()
    printed = capsys.readouterr().out
    assert "passed" in printed
    assert "0.weight" in printed


def test_inference_mode_can_be_checked():
    network = Sequential(BatchNorm1D(3, dtype="float64"), Dense(3, 2, rng=0, dtype="float64"))
    x = np.random.default_rng(0).normal(size=(4, 3))
    assert neocog.check_gradients(network, x, np.array([0, 1, 0, 1]), training=False).passed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "finite"}, "method must be one of 'complex', 'central'"),
        ({"eps": 0}, "eps must be in"),
        ({"tolerance": -1}, "tolerance must be in"),
        ({"rng": "seed"}, "rng must be"),
    ],
)
def test_bad_arguments(batch, arguments, message):
    with pytest.raises((ValueError, TypeError), match=message):
        neocog.check_gradients(small_network(), *batch, **arguments)


def test_check_layer_reports_every_broken_part():
    class Nothing(Layer):
        def forward(self, x, training=False):
            return x, None

        def backward(self, dy, cache, input_grad=True):
            raise RuntimeError("not written yet")

    with pytest.raises(AssertionError, match="not written yet") as error:
        neocog.check_layer(Nothing, np.ones((2, 2)))
    assert str(error.value).count("\n") > 5


def test_missing_and_misshapen_gradients_are_reported_not_raised(batch):
    class Misshapen(Dense):
        def backward(self, dy, cache, input_grad=True):
            dx, grads = super().backward(dy, cache, input_grad)
            return dx, {"weight": np.concatenate([grads["weight"]] * 2), "more": grads["bias"]}

    report = neocog.check_gradients(small_network(Misshapen), *batch)
    assert not report.passed
    reasons = {a.name: a.reason for a in report.arrays if not a.passed}
    assert "of shape (16, 3), not (8, 3)" in reasons["4.weight"]
    assert "here it is none" in reasons["4.bias"]
    assert report.to_dict()["passed"] is False


def test_a_forward_that_drops_imaginary_parts_is_named():
    class Magnitude(Tanh):
        def forward(self, x, training=False):
            return np.abs(x), np.sign(x.real)

        def backward(self, dy, cache, input_grad=True):
            return (dy * cache if input_grad else None), {}

    x, t = np.array([[1.0, -2.0]]), np.zeros((1, 2))
    loss = neocog.MeanSquaredError()
    report = neocog.check_gradients(Sequential(Magnitude()), x, t, loss=loss)
    assert "drops imaginary parts" in report.arrays[0].reason
    assert neocog.check_gradients(Sequential(Magnitude()), x, t, loss=loss, method="central").passed


def test_no_entries_are_no_proof(batch):
    with pytest.raises(ValueError, match="max_entries must be at least 1"):
        neocog.check_gradients(small_network(), *batch, max_entries=0)


def test_failures_are_printed_in_full(batch, capsys):
    neocog.check_gradients(small_network(ATenthOfAPercentOff), *batch).print()
    printed = capsys.readouterr().out
    assert "1.001 times the measured gradient everywhere" in printed.replace("\n", " ")
    measured = re.search(r"measured (-?[0-9.]+)", printed)[1]
    assert len(measured) >= 14


def test_check_layer_wants_a_function():
    with pytest.raises(TypeError, match="make_layer must be a function that makes the layer"):
        neocog.check_layer(ReLU(), np.ones((2, 2)))


# Networks that stand on many kinks at once: digits have black margins, and the biases are zero.


class ReLUOfSlope(ReLU):
    """A ReLU whose derivative at 0 is chosen."""

    slope = 0.0

    def forward(self, x, training=False):
        return np.where(x.real > 0, x, 0), x.real

    def backward(self, dy, cache, input_grad=True):
        return dy * np.where(cache > 0, 1, np.where(cache < 0, 0, self.slope)), {}


class OneAtZero(ReLUOfSlope):
    slope = 1.0


class HalfAtZero(ReLUOfSlope):
    slope = 0.5


class BelowZeroAtZero(ReLUOfSlope):
    slope = -0.5


class TwoAtZero(ReLUOfSlope):
    slope = 2.0


class Leaks(ReLUOfSlope):
    def backward(self, dy, cache, input_grad=True):
        return dy * np.where(cache > 0, 1, np.where(cache < 0, 1e-3, 0)), {}


class SlightlyMore(ReLU):
    def backward(self, dy, cache, input_grad=True):
        dx, grads = super().backward(dy, cache, input_grad)
        return (None if dx is None else 1.001 * dx), grads


class PoolOfTies(MaxPool2D):
    """2 x 2 windows whose winners all get the whole dy."""

    def forward(self, x, training=False):
        y, _ = super().forward(x, training)
        winners = _enlarged(y) == x
        return y, (winners, winners.reshape(*y.shape[:3], 2, y.shape[3], 2).sum(axis=(3, 5)))

    def backward(self, dy, cache, input_grad=True):
        return cache[0] * _enlarged(dy), {}


class PoolThatShares(PoolOfTies):
    """The winners of a window get equal parts, as amax does in PyTorch: right, too."""

    def backward(self, dy, cache, input_grad=True):
        winners, count = cache
        return winners * _enlarged(dy / count), {}


class PoolOfTheFirst(PoolOfTies):
    def backward(self, dy, cache, input_grad=True):
        dx = np.zeros_like(_enlarged(dy))
        dx[:, :, ::2, ::2] = dy
        return dx, {}


def _enlarged(maps):
    return maps.repeat(2, axis=2).repeat(2, axis=3)


def _one_off(array):
    array = array.copy()
    array.flat[np.abs(array).argmax()] *= 1.001
    return array


def conv_with(name, change):
    class Wrong(Conv2D):
        def backward(self, dy, cache, input_grad=True):
            dx, grads = super().backward(dy, cache, input_grad)
            if name == "x":
                return (None if dx is None else change(dx)), grads
            return dx, grads | {name: change(grads[name])}

    return Wrong


def on_kinks(conv=Conv2D, relu=ReLU, pool=MaxPool2D, dense=Dense):
    return Sequential(
        conv1=conv(1, 3, 3, padding=1, rng=0, dtype="float64"),
        relu1=relu(),
        pool1=pool(2),
        conv2=Conv2D(3, 4, 3, padding=1, rng=1, dtype="float64"),
        relu2=ReLU(),
        pool2=MaxPool2D(2),
        flatten=neocog.Flatten(),
        dense=dense(16, 10, rng=2, dtype="float64"),
    )


def pooled_first(pool):
    return Sequential(pool=pool(2), flatten=neocog.Flatten(), dense=Dense(16, 10, rng=1, dtype="float64"))


def digits(n=2):
    x, y = neocog.data.digits().test
    return x[:n].astype(float), y[:n]


RIGHT = {
    "as it is": on_kinks,
    "slope 1 at 0": lambda: on_kinks(relu=OneAtZero),
    "slope 1/2 at 0": lambda: on_kinks(relu=HalfAtZero),
    "shared winners": lambda: on_kinks(pool=PoolThatShares),
    "pixels pooled": lambda: pooled_first(MaxPool2D),
    "pixels pooled, shared": lambda: pooled_first(PoolThatShares),
    "the digits' own network": lambda: neocog.models.digits_cnn(seed=42).astype("float64"),
}


@pytest.mark.parametrize("method", ["central", "complex"])
@pytest.mark.parametrize("name", RIGHT)
def test_several_units_on_a_kink_at_once_are_no_error(name, method):
    report = neocog.check_gradients(RIGHT[name](), *digits(1), method=method, max_entries=40)
    assert report.passed, [array for array in report.arrays if not array.passed]
    if method == "central":
        assert sum(array.kinks for array in report.arrays) > 0
    assert sum(array.checked for array in report.arrays) > 0


WRONG = {
    "weight, 0.1 %": lambda: on_kinks(conv_with("weight", lambda dw: 1.001 * dw)),
    "weight, one entry": lambda: on_kinks(conv_with("weight", _one_off)),
    "weight, flipped": lambda: on_kinks(conv_with("weight", lambda dw: dw[:, :, ::-1, ::-1])),
    "bias, 0.1 %": lambda: on_kinks(conv_with("bias", lambda db: 1.001 * db)),
    "bias, one entry": lambda: on_kinks(conv_with("bias", _one_off)),
    "bias, zero": lambda: on_kinks(conv_with("bias", lambda db: 0 * db)),
    "bias, a little more": lambda: on_kinks(conv_with("bias", lambda db: db + 1e-6)),
    "input, one entry": lambda: on_kinks(conv_with("x", _one_off)),
    "input, flipped": lambda: on_kinks(conv_with("x", lambda dx: dx[:, :, ::-1])),
    "ReLU, 0.1 %": lambda: on_kinks(relu=SlightlyMore),
    "ReLU, slope -1/2 at 0": lambda: on_kinks(relu=BelowZeroAtZero),
    "ReLU, slope 2 at 0": lambda: on_kinks(relu=TwoAtZero),
    "ReLU, slope 0.001 below 0": lambda: on_kinks(relu=Leaks),
    "pool, not the winner": lambda: on_kinks(pool=PoolOfTheFirst),
    "pool, all winners": lambda: pooled_first(PoolOfTies),
    "dense, one entry": lambda: on_kinks(dense=OneEntryOff),
    "dense, 0.1 %": lambda: on_kinks(dense=ATenthOfAPercentOff),
}


BY_COMPLEX_STEP = ["ReLU, slope 2 at 0", "pool, not the winner", "pool, all winners", "bias, one entry"]


@pytest.mark.parametrize(
    ("name", "method"), [(n, "central") for n in WRONG] + [(n, "complex") for n in BY_COMPLEX_STEP]
)
def test_a_wrong_gradient_is_found_among_kinks(name, method):
    report = neocog.check_gradients(WRONG[name](), *digits(1), method=method)
    assert not report.passed
    assert all(array.reason for array in report.arrays if not array.passed)


def test_ties_that_all_get_the_whole_are_named():
    report = neocog.check_gradients(pooled_first(PoolOfTies), *digits(), method="central")
    (wrong,) = [array for array in report.arrays if not array.passed]
    assert wrong.name == "input"
    assert "do equal numbers in a window all get the whole dy?" in wrong.reason


@pytest.mark.parametrize("method", ["central", "complex"])
@pytest.mark.parametrize("image", [np.zeros, np.ones])
def test_black_and_white_images_are_no_error(image, method):
    """All windows are ties, and all units of a layer with zero biases stand on a kink."""
    x, y = image((2, 1, 8, 8)), np.array([0, 2])
    for network in (neocog.models.tiny_cnn(1), neocog.models.conv_net((4, 4), 3, (1, 8, 8), 0, "float64")):
        report = neocog.check_gradients(network.astype("float64"), x, y, method=method, max_entries=40)
        assert report.passed, [array for array in report.arrays if not array.passed]


@pytest.mark.parametrize("training", [True, False])
def test_kinks_inside_residuals_and_behind_dropout(training):
    network = Sequential(
        Conv2D(1, 3, 3, padding=1, rng=0, dtype="float64"),
        neocog.BatchNorm2D(3, dtype="float64"),
        ReLU(),
        Dropout(0.3, rng=1),
        neocog.Residual(Sequential(Conv2D(3, 3, 3, padding=1, rng=3, dtype="float64"), ReLU())),
        MaxPool2D(3, 2, 1),
        Dropout(0.3, rng=1),
        neocog.GlobalMaxPool2D(),
        Dense(3, 10, rng=2, dtype="float64"),
    )
    report = neocog.check_gradients(network, *digits(3), method="central", training=training)
    assert report.passed, [array for array in report.arrays if not array.passed]


def test_a_container_that_computes_something_else_than_its_path_is_taken_as_one_layer():
    class Twice(Sequential):
        def forward(self, x, training=False):
            y, cache = super().forward(x, training)
            return 2 * y, cache

        def backward(self, dy, cache, input_grad=True):
            return super().backward(2 * dy, cache, input_grad)

    x, t = np.array([[0.0, 0.5]]), np.array([[1.0, 1.0]])
    loss = neocog.MeanSquaredError()
    report = neocog.check_gradients(Twice(ReLU()), x, t, loss=loss, method="central")
    assert report.passed
    assert report.arrays[0].kinks == 1


# Gradients that are zero: nothing but rounding errors is left to compare.


@pytest.mark.parametrize("method", ["complex", "central"])
@pytest.mark.parametrize(
    "layer",
    [
        neocog.Softmax(),
        BatchNorm1D(5, dtype="float64"),
        neocog.layers.GroupNorm(1, 5, dtype="float64"),
        Sequential(Dense(5, 4, rng=0, dtype="float64"), neocog.Softmax()),
    ],
    ids=repr,
)
def test_a_gradient_that_is_zero_everywhere_is_no_error(layer, method):
    """The numbers of a softmax add up to 1, and those of a batch norm to 0: from dy = 1 nothing comes."""
    x = np.random.default_rng(0).normal(size=(3, 5))
    report = compare(layer, x, lambda y: (y.sum(), np.ones_like(y)), method)
    if isinstance(layer, BatchNorm1D | neocog.layers.GroupNorm):  # but for the bias
        assert report.arrays[1].analytic != 0
    assert report.passed, report.arrays


@pytest.mark.parametrize("method", ["complex", "central"])
def test_a_gradient_that_ought_to_be_zero_is_an_error(method):
    """A softmax whose backward forgets the sum, which is all that makes it zero."""

    class Forgets(neocog.Softmax):
        def backward(self, dy, cache, input_grad=True):
            return cache * dy, {}

    x = np.random.default_rng(0).normal(size=(3, 5))
    forward = neocog.Softmax().forward
    Forgets.forward = lambda self, x, training=False: (forward(x)[0],) * 2
    assert not compare(Forgets(), x, lambda y: (y.sum(), np.ones_like(y)), method).passed


@pytest.mark.parametrize("method", ["complex", "central"])
@pytest.mark.parametrize("scale", [1, 40, 100, 400])
def test_a_network_that_is_sure_is_no_error(scale, method):
    """The probability of the right class is 1 less rounding, and so is what is left of its derivative."""
    network = Sequential(neocog.Flatten(), Dense(64, 10, rng=0, dtype="float64"))
    network.params["1.weight"][...] *= scale
    x, _ = digits(3)
    report = neocog.check_gradients(network, x, network.predict(x), method=method, max_entries=60)
    assert report.passed, report.arrays


@pytest.mark.parametrize("method", ["complex", "central"])
@pytest.mark.parametrize("distance", [0, 1e-8, 1e-4])
def test_the_bottom_of_a_loss_is_no_error(distance, method):
    network = Sequential(neocog.Flatten(), Dense(64, 2, rng=0, dtype="float64"))
    x, _ = digits(3)
    t = network(x) + distance
    arguments = {"loss": neocog.MeanSquaredError(), "method": method, "max_entries": 60}
    assert neocog.check_gradients(network, x, t, **arguments).passed
    wrong = Sequential(neocog.Flatten(), ATenthOfAPercentOff(64, 2, rng=0, dtype="float64"))
    assert neocog.check_gradients(wrong, x, t, **arguments).passed is (distance == 0)


def drawn_network(rng):
    """A random network of three classes on images of 6 x 6, and images that put its units on kinks."""
    c, kernel = int(rng.integers(1, 4)), int(rng.choice([1, 3]))
    layers = [Conv2D(1, c, kernel, padding=kernel // 2, rng=int(rng.integers(99)), dtype="float64")]
    if rng.random() < 0.3:
        layers.append(neocog.BatchNorm2D(c, dtype="float64"))
    activations = [ReLU(), neocog.LeakyReLU(0.1), neocog.layers.Hardswish(), neocog.GELU(), Tanh()]
    pools = [MaxPool2D(2), MaxPool2D(3, 2, 1), MaxPool2D(2, 1), neocog.AvgPool2D(2)]
    pair = [activations[rng.integers(5)], pools[rng.integers(4)]]
    layers += pair if rng.random() < 0.5 else pair[::-1]
    if rng.random() < 0.3:
        layers.append(Dropout(0.3, rng=int(rng.integers(99))))
    if rng.random() < 0.4:
        body = Sequential(Conv2D(c, c, 3, padding=1, rng=int(rng.integers(99)), dtype="float64"), ReLU())
        layers.append(neocog.Residual(body))
    layers.append([neocog.GlobalMaxPool2D(), neocog.GlobalAvgPool2D(), neocog.Flatten()][rng.integers(3)])
    features = Sequential(*layers).output_shape((2, 1, 6, 6))[1]
    network = Sequential(*layers, Dense(features, 3, rng=1, dtype="float64"))
    x = np.zeros((2, 1, 6, 6))
    kind = rng.integers(4)
    if kind == 0:
        x[:, :, 1:4, 1:4] = rng.integers(0, 3, (2, 1, 3, 3)) / 2
    elif kind == 1:
        x = rng.integers(0, 2, (2, 1, 6, 6)).astype(float)
    elif kind == 2:
        x += rng.random()
    return network, x, rng.integers(0, 3, 2)


def plant_an_error(layer, rng):
    """Make the largest entry of one gradient of a layer wrong by 0.1 to 100 %."""
    which, error = rng.choice(["x", *layer.params]), float(rng.choice([1e-3, 1e-2, 1]))

    class Wrong(type(layer)):
        def backward(self, dy, cache, input_grad=True):
            dx, grads = super().backward(dy, cache, input_grad)
            if which == "x":
                dx = np.array(dx)
                dx.flat[np.abs(dx).argmax()] *= 1 + error
                return dx, grads
            wrong = grads[which].copy()
            wrong.flat[np.abs(wrong).argmax()] *= 1 + error
            return dx, grads | {which: wrong}

    layer.__class__ = Wrong


def gradients(network, x, y):
    twin = copy.deepcopy(network)
    z, cache = twin.forward(x, training=True)
    dx, grads = twin.backward(neocog.SoftmaxCrossEntropy()(z, y)[1], cache)
    return {**grads, "input": dx}


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(40))
def test_drawn_networks_on_kinks_pass_and_with_an_error_they_fail(seed):
    rng = np.random.default_rng(seed)
    network, x, y = drawn_network(rng)
    report = neocog.check_gradients(network, x, y, method="central")
    assert report.passed, [array for array in report.arrays if not array.passed]
    right = gradients(network, x, y)
    several = (Dropout, neocog.Flatten, neocog.layers.Add)
    leaves = [leaf for _, leaf in network.leaves() if not isinstance(leaf, several)]
    plant_an_error(leaves[rng.integers(len(leaves))], rng)
    wrong = gradients(network, x, y)
    largest = max(np.abs(array).max() for array in right.values())
    seen = max(
        np.abs(wrong[name] - right[name]).max() / max(np.abs(right[name]).max(), 0.1 * largest)
        for name in right
    )
    if seen > 1e-6:  # else what is wrong does not reach any gradient
        assert not neocog.check_gradients(network, x, y, method="central").passed
