"""The checker checked: it must pass what is right and fail what is wrong, and say why."""

import re

import numpy as np
import pytest

import neocog
from neocog import BatchNorm1D, Conv2D, Dense, Dropout, MaxPool2D, ReLU, Sequential, Tanh
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
