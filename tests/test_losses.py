import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import neocog
from neocog import losses
from neocog.compilation.lowerings.losses import loss_lowering_of
from neocog.losses import BinaryCrossEntropy, FocalLoss, MeanSquaredError, SoftmaxCrossEntropy
from neocog.losses.base import gradient_terms
from neocog.losses.outputs import check_logits


def is_a_loss(thing):
    """Whether it is a class that can be called: not the protocol, a base class, a term or a function."""
    kinds = getattr(thing, "__mro__", ())
    return any("__call__" in vars(kind) for kind in kinds) and not getattr(thing, "_is_protocol", False)


FOUND = [name for name in losses.__all__ if is_a_loss(getattr(losses, name))]
MORE = {
    "BinaryCrossEntropy": [{"label_smoothing": 0.1, "pos_weight": 2}, {"pos_weight": (0.5, 1, 3)}],
    "FocalLoss": [{"gamma": 0.5, "alpha": (1, 2, 0.5)}, {"gamma": 0}],
    "SoftmaxCrossEntropy": [{"label_smoothing": 0.1}, {"label_smoothing": 0.9}],
}
"""Settings to try besides the default ones."""
CONTRACT = [(getattr(losses, name), options) for name in FOUND for options in ({}, *MORE.get(name, []))]


def example(loss):
    """Outputs and targets that a loss takes: labels, probabilities, or numbers."""
    rng = np.random.default_rng(0)
    z, labels = rng.normal(size=(5, 3)), np.array([0, 2, 1, 1, 0])
    if loss.output_kind == "logits":
        return z, labels
    return z, rng.uniform(size=z.shape) if loss.output_kind == "independent-logits" else rng.normal(
        size=z.shape
    )


@pytest.mark.parametrize(("cls", "options"), CONTRACT)
def test_contract(cls, options):
    neocog.check_loss(lambda: cls(**options), *example(cls(**options)))


def test_contract_of_outputs_that_are_images():
    rng = np.random.default_rng(0)
    neocog.check_loss(MeanSquaredError, rng.normal(size=(4, 2, 3, 2)), rng.normal(size=(4, 2, 3, 2)))


def test_what_is_called_in_python_between_compiled_layers():
    assert [name for name in FOUND if loss_lowering_of(getattr(losses, name)) is None] == ["FocalLoss"]


def test_cross_entropy_by_hand():
    # p = 1/4 3/4 and 1/2 1/2: L = (ln(4/3) + ln 2) / 2, dz = (p - onehot) / 2
    value, dz = SoftmaxCrossEntropy()(np.array([[0.0, math.log(3)], [5.0, 5.0]]), np.array([1, 0]))
    assert value == pytest.approx(math.log(8 / 3) / 2, rel=1e-14)
    np.testing.assert_allclose(dz, [[0.125, -0.125], [-0.25, 0.25]], rtol=1e-14)


def test_label_smoothing_by_hand():
    # q = 0.1 0.9, p = 1/4 3/4: L = 0.1 ln 4 + 0.9 ln(4/3), dz = p - q
    value, dz = SoftmaxCrossEntropy(0.2)(np.array([[0.0, math.log(3)]]), np.array([1]))
    assert value == pytest.approx(0.1 * math.log(4) + 0.9 * math.log(4 / 3), rel=1e-14)
    np.testing.assert_allclose(dz, [[0.15, -0.15]], rtol=1e-13)


def test_equal_logits_cost_the_logarithm_of_the_classes():
    assert SoftmaxCrossEntropy()(np.zeros((4, 10)), np.arange(4))[0] == pytest.approx(math.log(10))


def test_mean_squared_error_by_hand():
    # differences 1 0 / -2 0: L = 5/4, dz = 2/4 of them
    value, dz = MeanSquaredError()(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[0, 2], [5, 4]]))
    assert value == 1.25
    assert dz.tolist() == [[0.5, 0.0], [-1.0, 0.0]]


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
@pytest.mark.parametrize(("N", "K"), [(1, 2), (7, 3), (20, 10), (3, 1)])
def test_cross_entropy_is_that_of_pytorch(smoothing, N, K):
    rng = np.random.default_rng(0)
    z, t = 5 * rng.normal(size=(N, K)), rng.integers(0, K, N)
    tz = torch.tensor(z, requires_grad=True)
    expected = F.cross_entropy(tz, torch.tensor(t), label_smoothing=smoothing)
    expected.backward()
    value, dz = SoftmaxCrossEntropy(smoothing)(z, t)
    assert value == pytest.approx(expected.item(), rel=1e-12, abs=1e-15)
    np.testing.assert_allclose(dz, tz.grad, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("shape", [(3,), (4, 2), (2, 1, 3, 3)])
def test_mean_squared_error_is_that_of_pytorch(shape):
    rng = np.random.default_rng(0)
    z, t = rng.normal(size=shape), rng.normal(size=shape)
    tz = torch.tensor(z, requires_grad=True)
    expected = F.mse_loss(tz, torch.tensor(t))
    expected.backward()
    value, dz = MeanSquaredError()(z, t)
    assert value == pytest.approx(expected.item(), rel=1e-13)
    np.testing.assert_allclose(dz, tz.grad, rtol=1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_huge_logits(dtype, smoothing):
    z = np.array([[1e4, -1e4, 0.0], [1e4, -1e4, 0.0]], dtype)
    value, dz = SoftmaxCrossEntropy(smoothing)(z, np.array([0, 1]))
    # losses 0 and 2e4; smoothing moves a tenth to the mean of 0, 2e4 and 1e4
    assert value == pytest.approx(1e4 if not smoothing else (0.1 * 1e4 + 0.9 * 2e4 + 0.1 * 1e4) / 2, rel=1e-6)
    assert np.isfinite(dz).all()
    assert dz.dtype == dtype
    if not smoothing:
        assert dz.tolist() == [[0.0, 0.0, 0.0], [0.5, -0.5, 0.0]]


@pytest.mark.parametrize("loss", [SoftmaxCrossEntropy(), SoftmaxCrossEntropy(0.3), FocalLoss(1.5)])
def test_the_derivative_of_a_row_sums_to_zero_and_nothing_is_written(loss):
    z, t = np.random.default_rng(0).normal(size=(5, 4)), np.array([0, 1, 2, 3, 3])
    z.flags.writeable = t.flags.writeable = False
    _, dz = loss(z, t)
    np.testing.assert_allclose(dz.sum(axis=1), 0, atol=1e-16)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int32, np.uint64])
def test_labels_of_any_integer_type(dtype):
    value, _ = SoftmaxCrossEntropy()(np.zeros((3, 2)), np.array([0, 1, 1], dtype))
    assert value == pytest.approx(math.log(2))
    assert SoftmaxCrossEntropy()(np.zeros((3, 2)), [0, 1, 1])[0] == value


@pytest.mark.parametrize(
    ("z", "t", "error", "message"),
    [
        (np.zeros((2, 3)), np.array([0, -1]), ValueError, r"labels must be in 0..2, got -1"),
        (np.zeros((2, 3)), np.array([0, -1], np.int8), ValueError, r"labels must be in 0..2, got -1"),
        (np.zeros((2, 3)), np.array([0, 3]), ValueError, r"labels must be in 0..2, got 3"),
        (np.zeros((2, 3)), np.array([0.0, 1.0]), TypeError, "labels must be integers, got float64"),
        (np.zeros((2, 3)), np.array([True, False]), TypeError, "labels must be integers, got bool"),
        (np.zeros((2, 3)), np.array(["a", "b"]), TypeError, "labels must be integers"),
        (np.zeros((2, 3)), np.array([0]), ValueError, r"labels must have shape \(2,\), .* got \(1,\)"),
        (np.zeros((2, 3)), np.eye(3, dtype=int)[:2], ValueError, r"must have shape \(2,\), .* got \(2, 3\)"),
        (np.zeros((0, 3)), np.zeros(0, int), ValueError, "empty batch"),
        (np.zeros(3), np.array([0]), ValueError, r"logits must have shape \(N, classes\), got \(3,\)"),
    ],
)
def test_bad_labels(z, t, error, message):
    with pytest.raises(error, match=message):
        SoftmaxCrossEntropy()(z, t)


@pytest.mark.parametrize(
    ("z", "t", "message"),
    [
        (np.zeros((2, 1)), np.zeros(2), r"targets must have the outputs' shape \(2, 1\), got \(2,\)"),
        (np.zeros((0, 1)), np.zeros((0, 1)), "empty batch"),
    ],
)
def test_bad_targets(z, t, message):
    with pytest.raises(ValueError, match=message):
        MeanSquaredError()(z, t)


@pytest.mark.parametrize(("smoothing", "error"), [(1, ValueError), (-0.1, ValueError), ("a", TypeError)])
def test_bad_smoothing(smoothing, error):
    with pytest.raises(error, match="label_smoothing must be"):
        SoftmaxCrossEntropy(smoothing)


def test_right_answers():
    z = np.array([[1.0, 2.0], [2.0, 1.0], [3.0, 3.0]])
    assert SoftmaxCrossEntropy().correct(z, np.array([1, 1, 0])).sum() == 2
    assert MeanSquaredError().correct(z, z) is None


def test_repr():
    assert repr(SoftmaxCrossEntropy()) == "SoftmaxCrossEntropy()"
    assert repr(SoftmaxCrossEntropy(0.1)) == "SoftmaxCrossEntropy(label_smoothing=0.1)"
    assert repr(MeanSquaredError()) == "MeanSquaredError()"
    assert repr(FocalLoss()) == "FocalLoss()"
    assert repr(FocalLoss(1, [1, 0.25])) == "FocalLoss(gamma=1.0, alpha=(1.0, 0.25))"


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_weighted_cross_entropy_is_pytorchs(smoothing):
    rng = np.random.default_rng(0)
    z, t, weight = rng.normal(size=(5, 4)), rng.integers(0, 4, 5), np.array([0, 1, 0.5, 3, 2.0])
    z_torch = torch.tensor(z, requires_grad=True)
    losses = torch.nn.functional.cross_entropy(
        z_torch, torch.tensor(t), reduction="none", label_smoothing=smoothing
    )
    expected = (losses * torch.tensor(weight)).mean()
    expected.backward()
    value, dz = SoftmaxCrossEntropy(smoothing)(z, t, weight)
    assert value == pytest.approx(expected.item(), rel=1e-14)
    np.testing.assert_allclose(dz, z_torch.grad.numpy(), atol=1e-15)


def test_weighted_squares_by_hand():
    z, t = np.array([[1.0, 3.0], [5.0, 5.0]]), np.array([[0.0, 1.0], [5.0, 1.0]])
    value, dz = MeanSquaredError()(z, t, [1, 3])  # means 2.5 and 8: (2.5 + 3 * 8) / 2
    assert value == 13.25
    np.testing.assert_array_equal(dz, [[0.5, 1.0], [0.0, 6.0]])


@pytest.mark.parametrize("weight", [[1.0], [[1.0, 2.0]], [-1.0, 2.0], [np.nan, 1.0], [np.inf, 1]])
def test_weights_that_are_none(weight):
    with pytest.raises(ValueError, match="weight must"):
        SoftmaxCrossEntropy()(np.zeros((2, 3)), np.array([0, 1]), weight)


def test_focal_loss_by_hand():
    # p = 1/4 3/4, t = 1: L = (1/4)^2 log(4/3), m = 1/16 + 2 * 3/4 * 1/4 log(4/3), dz = m p, m (p - 1)
    value, dz = FocalLoss()(np.array([[0.0, math.log(3)]]), np.array([1]))
    log = math.log(4 / 3)
    m = 1 / 16 + 3 / 8 * log
    assert value == pytest.approx(log / 16, rel=1e-14)
    np.testing.assert_allclose(dz, [[m / 4, -m / 4]], rtol=1e-14)
    # gamma 1, the second class counted three times: L = 3/4 log(4/3), m = 3 (1/4 + 3/4 log(4/3))
    value, dz = FocalLoss(1, (1, 3))(np.array([[0.0, math.log(3)]]), np.array([1]))
    m = 3 * (1 / 4 + 3 / 4 * log)
    assert value == pytest.approx(3 / 4 * log, rel=1e-14)
    np.testing.assert_allclose(dz, [[m / 4, -m / 4]], rtol=1e-14)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("alpha", [None, (0.25, 1.0, 3.0, 0.0)])
@pytest.mark.parametrize("weighted", [False, True])
def test_focal_loss_is_that_of_autograd(gamma, alpha, weighted):
    rng = np.random.default_rng(0)
    z, t = 3 * rng.normal(size=(9, 4)), rng.integers(0, 4, 9)
    weight = rng.random(9) if weighted else None
    zt = torch.tensor(z, requires_grad=True)
    log_p = F.log_softmax(zt, dim=1)[torch.arange(9), torch.tensor(t)]
    losses = -((1 - log_p.exp()) ** gamma) * log_p
    losses = losses * torch.tensor(alpha or (1.0,) * 4, dtype=torch.float64)[torch.tensor(t)]
    expected = (losses * torch.tensor(1.0 if weight is None else weight)).mean()
    expected.backward()
    value, dz = FocalLoss(gamma, alpha)(z, t, weight)
    assert value == pytest.approx(expected.item(), rel=1e-13)
    np.testing.assert_allclose(dz, zt.grad, rtol=1e-12, atol=1e-16)


def test_focal_loss_without_focus_is_the_cross_entropy_of_pytorch():
    z, t = np.random.default_rng(0).normal(size=(5, 3)), np.array([0, 1, 2, 2, 1])
    expected = F.cross_entropy(torch.tensor(z), torch.tensor(t)).item()
    assert FocalLoss(0)(z, t)[0] == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("gamma", [0, 0.5, 1, 2])
def test_focal_loss_of_huge_logits(dtype, gamma):
    z = np.array([[1e4, -1e4, 0.0], [1e4, -1e4, 0.0]], dtype)
    value, dz = FocalLoss(gamma)(z, np.array([0, 1]))  # losses 0 and 2e4; m = 1 of the second
    assert value == pytest.approx(1e4)
    assert dz.tolist() == [[0.0, 0.0, 0.0], [0.5, -0.5, 0.0]]
    assert dz.dtype == dtype


def test_focal_loss_of_a_class_that_is_almost_certain():
    # 1 - p = 1e-20, which 1 - p in floating point would not tell from 0: dz = -m (1 - p), m = 3 (1-p)^2
    _, dz = FocalLoss()(np.array([[0.0, math.log(1e20)]]), np.array([1]))
    assert dz[0, 1] == pytest.approx(-3e-60, rel=1e-12)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((-1,), ValueError, "gamma must be in"),
        (("a",), TypeError, "gamma must be a number"),
        ((2, (1, -1)), ValueError, "alpha must be in"),
        ((2, (1, 1)), ValueError, "alpha must hold 3 weights, one a class, got 2"),
    ],
)
def test_bad_focal_losses(arguments, error, message):
    with pytest.raises(error, match=message):
        FocalLoss(*arguments)(np.zeros((1, 3)), np.array([0]))


def test_focal_loss_holds_the_softmax_itself():
    network = neocog.Sequential(neocog.Dense(2, 3, rng=0), neocog.Softmax())
    with pytest.raises(ValueError, match="must end in logits for FocalLoss"):
        check_logits(network, FocalLoss())
    x, y = np.ones((2, 2), np.float32), np.array([0, 1])
    with_softmax = neocog.evaluate(network, x, y, loss=FocalLoss())
    assert with_softmax == neocog.evaluate(network.without_softmax(), x, y, loss=FocalLoss())


def test_a_network_learns_by_focal_loss():
    data = neocog.data.line_patterns("b")
    network = neocog.models.tiny_cnn(seed=3)
    history = neocog.fit(
        network, data, optimizer=neocog.SGD(lr=0.12), epochs=3, batch_size=18, rng=11, loss=FocalLoss()
    )
    assert history["val_accuracy"][-1] > 0.9


@pytest.mark.parametrize(
    "loss", [SoftmaxCrossEntropy(0.1), FocalLoss(), FocalLoss(0.5, (1, 2, 3)), MeanSquaredError()], ids=repr
)
def test_the_terms_of_a_loss_are_its_derivative(loss):
    rng = np.random.default_rng(1)
    z = rng.normal(size=(4, 3))
    t = rng.normal(size=(4, 3)) if isinstance(loss, MeanSquaredError) else rng.integers(0, 3, 4)
    for index in np.ndindex(z.shape):
        shifted = z.astype(complex)
        shifted[index] += 1e-30j
        terms = gradient_terms(loss, z, t, index)
        total = sum(math.prod(term.factors.values()) for term in terms)
        assert total == pytest.approx(loss(shifted, t)[0].imag / 1e-30, rel=1e-12)


def test_a_loss_that_computes_something_else_has_not_its_bases_terms():
    class Other(SoftmaxCrossEntropy):
        def __call__(self, z, t, weight=None):
            value, dz = super().__call__(z, t, weight)
            return 2 * value, 2 * dz

    class Same(SoftmaxCrossEntropy):
        pass

    z, t = np.zeros((1, 2)), np.array([0])
    assert gradient_terms(Other(), z, t, (0, 0)) is None
    assert gradient_terms(lambda z, t: None, z, t, (0, 0)) is None
    assert len(gradient_terms(Same(), z, t, (0, 0))) == 2


def test_focal_losses_gamma_is_finite():
    with pytest.raises(ValueError, match=r"gamma must be in \[0, inf\), got inf"):
        FocalLoss(np.inf)


def test_binary_cross_entropy_by_hand():
    # p = 3/4 1/2 / 1/4 1/2, labels 1 0 / 1 1: L = (ln(4/3) + ln 2 + ln 4 + ln 2) / 4, dz = (p - t) / 4
    z = np.array([[math.log(3), 0.0], [-math.log(3), 0.0]])
    value, dz = BinaryCrossEntropy()(z, np.array([[1, 0], [1, 1]]))
    assert value == pytest.approx(math.log(64 / 3) / 4, rel=1e-14)
    np.testing.assert_allclose(dz, [[-0.0625, 0.125], [-0.1875, -0.125]], rtol=1e-13)


def test_binary_cross_entropy_of_large_logits():
    value, dz = BinaryCrossEntropy()(np.array([[1e4, -1e4]]), np.array([[0, 0]]))
    assert value == 5e3
    assert dz.tolist() == [[0.5, 0.0]]


@pytest.mark.parametrize("weight", [None, 3.0, (0.5, 1.0, 4.0)])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_binary_cross_entropy_is_that_of_pytorch(weight, smoothing):
    rng = np.random.default_rng(0)
    z, t = rng.normal(0, 5, (6, 3)), rng.integers(2, size=(6, 3))
    value, dz = BinaryCrossEntropy(smoothing, weight)(z, t)
    tensor = torch.tensor(z, requires_grad=True)
    soft = torch.tensor(t * (1 - smoothing) + smoothing / 2)
    positive = None if weight is None else torch.tensor(np.broadcast_to(weight, 3).copy())
    expected = F.binary_cross_entropy_with_logits(tensor, soft, pos_weight=positive)
    expected.backward()
    assert value == pytest.approx(expected.item(), rel=1e-13)
    np.testing.assert_allclose(dz, tensor.grad, rtol=1e-10, atol=1e-16)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_compiled_step_of_binary_cross_entropy_is_that_of_pytorch(dtype):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5, 4)).astype(dtype)
    for outputs, t in ((3, rng.integers(2, size=(5, 3))), (1, rng.integers(2, size=5))):
        network = neocog.layers.Sequential(neocog.layers.Dense(4, outputs, rng=0)).astype(dtype)
        weight = torch.tensor(network.params["0.weight"].copy(), requires_grad=True)
        z = torch.tensor(x) @ weight
        loss = F.binary_cross_entropy_with_logits(z, torch.tensor(t.reshape(5, -1).astype(dtype)))
        loss.backward()
        expected = (weight - 0.5 * weight.grad).detach().numpy()
        with neocog.use_kernels("fused"):
            step = neocog.training.make_step(network, BinaryCrossEntropy(), neocog.SGD(0.5, momentum=0))
            assert step(x, t) == pytest.approx(loss.item(), rel=1e-6)
            np.testing.assert_allclose(network.params["0.weight"], expected, rtol=1e-5, atol=1e-7)
            with pytest.raises(ValueError, match=r"labels must be in 0\.\.1, got [23]"):
                step(x, t + 2)
            with pytest.raises(ValueError, match="pos_weight must hold"):
                neocog.training.make_step(network, BinaryCrossEntropy(0, (1, 2)), neocog.SGD(0.5))(x, t)


def test_all_labels_of_an_image_must_be_right():
    z = np.array([[1.0, -1.0], [1.0, 1.0], [-1.0, -1.0]])
    assert BinaryCrossEntropy().correct(z, np.array([[1, 0], [1, 0], [0, 0]])).tolist() == [True, False, True]
    assert BinaryCrossEntropy().correct(z[:, :1], np.array([1, 0, 0])).tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("z", "t", "message"),
    [
        (
            np.zeros((2, 3)),
            np.zeros((2, 2)),
            r"labels must have the outputs' shape \(2, 3\), .* got \(2, 2\)",
        ),
        (np.zeros((2, 3)), np.zeros(2), r"labels must have the outputs' shape \(2, 3\), .* got \(2,\)"),
        (np.zeros((2, 3)), np.full((2, 3), 1.5), r"labels must be in 0\.\.1, got 1\.5"),
        (np.zeros((2, 3)), np.full((2, 3), np.nan), r"labels must be in 0\.\.1, got nan"),
        (np.zeros((2, 3, 2, 2)), np.zeros((2, 3)), r"logits must have shape \(N, labels\)"),
    ],
)
def test_labels_that_binary_cross_entropy_refuses(z, t, message):
    with pytest.raises(ValueError, match=message):
        BinaryCrossEntropy()(z, t)


@pytest.mark.parametrize("weight", [0, -1.0, (1, np.inf), np.nan])
def test_pos_weights_that_are_none(weight):
    with pytest.raises(ValueError, match="pos_weight must be in"):
        BinaryCrossEntropy(0, weight)


@pytest.mark.parametrize("last", [neocog.layers.Softmax, neocog.layers.Sigmoid])
def test_no_loss_takes_the_sigmoid_twice(last):
    network = neocog.layers.Sequential(neocog.layers.Flatten(), neocog.layers.Dense(4, 2, rng=0), last())
    x, y = np.zeros((4, 1, 2, 2), "float32"), np.eye(2, dtype=int)[[0, 1, 0, 1]]
    with pytest.raises(ValueError, match=f"the sigmoid itself, got one that ends in {last.__name__}; take"):
        neocog.fit(network, (x, y), loss=BinaryCrossEntropy())
    logits = network.without_last(last)
    measured = neocog.evaluate(network, x, y, loss=BinaryCrossEntropy())
    assert measured == neocog.evaluate(logits, x, y, loss=BinaryCrossEntropy())


def test_several_labels_need_a_loss_that_takes_them():
    network = neocog.layers.Sequential(neocog.layers.Flatten(), neocog.layers.Dense(4, 2, rng=0))
    x = np.zeros((3, 1, 2, 2), "float32")
    with pytest.raises(ValueError, match=r"got \(3, 2\); for several labels an image pass loss=Binary"):
        neocog.fit(network, (x, np.array([[1, 1], [0, 1], [0, 0]])))
    with pytest.raises(ValueError, match=r"pass y\.argmax\(axis=1\); for several labels an image"):
        neocog.fit(network, (x, np.array([[1, 0], [0, 1], [0, 1]])))
    with pytest.raises(ValueError, match=r"must have one output for labels \(N,\) of two classes"):
        neocog.fit(network, (x, np.array([1, 0, 1])), loss=BinaryCrossEntropy())
    with pytest.raises(ValueError, match="must have an output for each of the 3 classes"):
        neocog.fit(network, (x, np.eye(3, dtype=int)), loss=BinaryCrossEntropy())


def test_a_single_output_learns_two_classes():
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    x = rng.normal(y[:, None, None, None], 0.3, (60, 1, 2, 2))
    network = neocog.layers.Sequential(neocog.layers.Flatten(), neocog.layers.Dense(4, 1, rng=0))
    data = neocog.data.Split((x, y), class_names=("dark", "bright"))
    history = neocog.fit(network, data, loss=BinaryCrossEntropy(), epochs=20, rng=0)
    assert history["train_accuracy"][-1] == 1
    assert network.class_names == ("dark", "bright")
    assert network.predict(x).tolist() == y.tolist()
