import copy
import inspect
import math

import numpy as np
import pytest
import torch

import neocog
from neocog import optimizers
from neocog.compilation import CompiledStep
from neocog.compilation.lowerings.optimizers import optimizer_lowering_of
from neocog.layers import Dense, Flatten, Sequential
from neocog.losses import SoftmaxCrossEntropy
from neocog.optimizers import SGD, Adam, AdamW, NAdam, RMSProp
from neocog.schedules import Cosine, StepDecay, WarmUp


def path(optimizer, gradients, start=1.0):
    """Return the values of one weight after each step."""
    params, values = {"weight": np.array([[start]])}, []
    for g in gradients:
        optimizer.step(params, {"weight": np.array([[g]])})
        values.append(params["weight"].item())
    return values


@pytest.mark.parametrize(
    ("optimizer", "expected"),
    [
        # w = 1, lr = 1/2, g = 2 and 2
        (SGD(0.5), [0.0, -1.0]),
        # v = -1, then -1/2 - 1 = -3/2
        (SGD(0.5, momentum=0.5), [0.0, -1.5]),
        # w + v/2 - 1 = 1 - 1/2 - 1, then -1/2 - 3/4 - 1
        (SGD(0.5, momentum=0.5, nesterov=True), [-0.5, -2.25]),
        # g = 2 + 1/2, then 2 - 1/8
        (SGD(0.5, weight_decay=0.5), [-0.25, -1.1875]),
        # g = 2 + 1/2: v = -5/4, w = -1/4; g = 2 - 1/8: v = -5/8 - 15/16
        (SGD(0.5, momentum=0.5, weight_decay=0.5), [-0.25, -1.8125]),
        # (SGD under a schedule: lr = 1/2, then 1/4)
        (SGD(StepDecay(0.5, every=1, factor=0.5)), [0.0, -0.5]),
        # velocity holds lr: v = -1, then -1/2 - 1/2
        (SGD(StepDecay(0.5, every=1, factor=0.5), momentum=0.5), [0.0, -1.0]),
    ],
)
def test_sgd_by_hand(optimizer, expected):
    assert path(optimizer, [2.0, 2.0]) == expected


def test_adam_by_hand():
    # b1 = b2 = 1/2, eps = 1, lr = 1/2; g = 3: m = 3/2, v = 9/2, corrected 3 and 9: w = 1 - 1/2 3/(3 + 1)
    # g = 1: m = 5/4, v = 11/4, corrected by 3/4
    first = 1 - 0.5 * 3 / 4
    second = first - 0.5 * (5 / 3) / (math.sqrt(11 / 3) + 1)
    got = path(Adam(0.5, betas=(0.5, 0.5), eps=1.0), [3.0, 1.0])
    np.testing.assert_allclose(got, [first, second], rtol=1e-15)


def test_nadam_by_hand():
    # psi = 0: u = b1 / 2 = 1/2 in each step, so U = 1/2, 1/4; b2 = lr = 1/2, eps = 1, b1 = 1 - 1e-12
    # g = 4: m = 0, v = 8, sqrt(v / (1/2)) + 1 = 5; the step is (1/2) / (1/2) 4 / 5
    got = path(NAdam(0.5, betas=(1 - 1e-12, 0.5), eps=1.0, momentum_decay=0.0), [4.0])
    np.testing.assert_allclose(got, [1 - 0.5 * 4 / 5], rtol=1e-10)
    # b1 = 1/2: u = 1/4, m = 2: (3/4) / (3/4) 4 + (1/4) / (15/16) 2
    got = path(NAdam(0.5, betas=(0.5, 0.5), eps=1.0, momentum_decay=0.0), [4.0])
    np.testing.assert_allclose(got, [1 - 0.5 * (4 + 8 / 15) / 5], rtol=1e-15)


def test_rmsprop_by_hand():
    # a = 1/2, eps = 1, lr = 1/2; g = 4: s = 8, then g = 1: s = 9/2; v = g / (sqrt(s) + 1)
    first = 1 - 0.5 * 4 / (math.sqrt(8) + 1)
    step = 1 / (math.sqrt(4.5) + 1)
    got = path(RMSProp(0.5, alpha=0.5, eps=1.0), [4.0, 1.0])
    np.testing.assert_allclose(got, [first, first - 0.5 * step], rtol=1e-15)
    moving = path(RMSProp(0.5, alpha=0.5, eps=1.0, momentum=0.5), [4.0, 1.0])
    np.testing.assert_allclose(moving, [first, first - 0.5 * (step + (1 - first))], rtol=1e-15)


def test_adam_and_adamw_decay_differently():
    # Adam: g = 3 + 1/2, w = 1 - 1/2 3.5/4.5; AdamW: w = 1 - 1/4, then - 1/2 3/4
    options = {"lr": 0.5, "betas": (0.5, 0.5), "eps": 1.0, "weight_decay": 0.5}
    np.testing.assert_allclose(path(Adam(**options), [3.0]), [1 - 0.5 * 3.5 / 4.5], rtol=1e-15)
    np.testing.assert_allclose(path(AdamW(**options), [3.0]), [0.375], rtol=1e-15)


def random_steps(steps=20):
    rng = np.random.default_rng(0)
    params = {"weight": rng.normal(size=(3, 4)), "bias": rng.normal(size=4)}
    grads = [{name: rng.normal(size=a.shape) for name, a in params.items()} for _ in range(steps)]
    return params, grads


FOUND = [name for name in optimizers.__all__ if name != "Optimizer"]
OPTIONS = {
    "momentum": 0.9,
    "nesterov": True,
    "betas": (0.8, 0.95),
    "alpha": 0.8,
    "centered": True,
    "eps": 1e-3,
    "weight_decay": 0.1,
    "momentum_decay": 0.1,
    "clip_norm": 0.7,
    "rates": {"*weight": 0.5},
}
"""Settings to try in every optimizer that has them, all named as in PyTorch."""


def variants(name):
    """Yield the options of an optimizer: none, each by itself, all together."""
    known = inspect.signature(getattr(optimizers, name)).parameters
    assert set(known) <= OPTIONS.keys() | {"lr", "decay_all"}, "give the new setting a value to try"
    mine = {key: value for key, value in OPTIONS.items() if key in known}
    for options in ({}, *({key: value} for key, value in mine.items()), mine):
        if options.get("nesterov"):
            options = {"momentum": 0.9, **options}
        yield options


VARIANTS = [
    pytest.param(name, options, id=f"{name}-{'-'.join(options)}")
    for name in FOUND
    for options in variants(name)
]


@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_contract(name, options):
    neocog.check_optimizer(lambda: getattr(optimizers, name)(lr=0.05, **options))


@pytest.mark.parametrize("name", FOUND)
def test_contract_under_a_schedule(name):
    neocog.check_optimizer(lambda: getattr(optimizers, name)(WarmUp(Cosine(0.05, 100), 5)))


TORCH = {name.lower(): getattr(torch.optim, name) for name in torch.optim.__all__}
WITHOUT_PYTORCH = set()  # optimizers that PyTorch does not have


def test_every_optimizer_is_compared_with_pytorch():
    assert {name for name in FOUND if name.lower() not in TORCH} == WITHOUT_PYTORCH


@pytest.fixture
def numbers_in_double():
    """PyTorch's NAdam keeps a product in the default dtype, whatever that of the parameters."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("numbers_in_double")
@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_same_as_pytorch(name, options):
    if name in WITHOUT_PYTORCH:
        return
    params, steps = random_steps()
    tensors = {k: torch.tensor(a, requires_grad=True) for k, a in params.items()}
    ours = getattr(optimizers, name)(lr=0.1, **options, decay_all=True)
    options = dict(options)
    clip_norm = options.pop("clip_norm", None)
    slower = 0.5 if options.pop("rates", None) else 1
    groups = [{"params": [tensors["weight"]], "lr": 0.1 * slower}, {"params": [tensors["bias"]]}]
    theirs = TORCH[name.lower()](groups, lr=0.1, **options)
    for grads in steps:
        ours.step(params, grads)
        for k, tensor in tensors.items():
            tensor.grad = torch.tensor(grads[k])
        if clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(tensors.values(), clip_norm)
        theirs.step()
        for k, tensor in tensors.items():
            np.testing.assert_allclose(params[k], tensor.detach(), rtol=1e-12, atol=1e-12)


def test_every_optimizer_is_compiled():
    assert all(optimizer_lowering_of(getattr(optimizers, name)) is not None for name in FOUND)


def test_a_foreign_state_is_refused():
    adam = Adam(0.1)
    for other in (SGD(0.1), AdamW(0.1)):
        with pytest.raises(ValueError, match=f"saved state is that of {type(other).__name__}, not of Adam"):
            adam.load_state_dict(other.state_dict())
    assert (adam.steps, adam.state) == (0, {"mean": {}, "square": {}})


@pytest.mark.parametrize("name", ["state", "steps", "zeros_like", "step", "evil"])
def test_a_state_sets_nothing_but_settings(name):
    saved = SGD(0.1).state_dict()
    saved["settings"][name] = 3
    twin = SGD(0.1)
    with pytest.raises(ValueError, match=rf"SGD has no settings \['{name}'\]"):
        twin.load_state_dict(saved)
    assert vars(twin) == vars(SGD(0.1))


def test_names_in_the_state():
    params, steps = random_steps(1)
    optimizer = SGD(0.1, momentum=0.5)
    optimizer.step(params, steps[0])
    assert set(optimizer.state["velocity"]) == {"weight", "bias"}


def test_an_unknown_gradient():
    with pytest.raises(KeyError, match=r"gradient 'wieght' belongs to no parameter; there are .'weight'"):
        SGD(0.1).step({"weight": np.ones((1, 1))}, {"wieght": np.ones((1, 1))})


def test_a_schedule_counts_steps():
    optimizer = SGD(StepDecay(1.0, every=2, factor=0.5))
    rates = []
    for _ in range(5):
        rates.append(optimizer.current_lr)
        optimizer.step({}, {})
        assert optimizer.last_lr == rates[-1]
    assert rates == [1.0, 1.0, 0.5, 0.5, 0.25]


def test_any_function_is_a_schedule():
    assert path(SGD(lambda step: 1.0 / (step + 1)), [1.0, 1.0]) == [0.0, -0.5]
    assert SGD(0.1).current_lr == SGD(0.1).last_lr == 0.1


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: SGD(-0.1), ValueError, r"lr must be in \[0, inf\), got -0.1"),
        (lambda: SGD(math.nan), ValueError, "lr must be in .* got nan"),
        (lambda: SGD("fast"), TypeError, "lr must be a number, got 'fast'"),
        (lambda: SGD(True), TypeError, "lr must be a number, got True"),
        (lambda: SGD(0.1, momentum=1), ValueError, r"momentum must be in \[0, 1\), got 1"),
        (lambda: SGD(0.1, nesterov=True), ValueError, "nesterov needs a momentum above 0"),
        (lambda: SGD(0.1, weight_decay=-1), ValueError, "weight_decay must be in .* got -1"),
        (lambda: Adam(betas=(0.9,)), ValueError, "betas must be two numbers"),
        (lambda: Adam(betas=(0.9, 1.0)), ValueError, r"betas must be in \[0, 1\), got 1.0"),
        (lambda: RMSProp(alpha=1.0), ValueError, r"alpha must be in \[0, 1\), got 1.0"),
        (lambda: RMSProp(momentum=-0.1), ValueError, r"momentum must be in \[0, 1\), got -0.1"),
        (lambda: RMSProp(eps=0), ValueError, r"eps must be in \(0, inf\], got 0"),
        (lambda: AdamW(eps=0), ValueError, r"eps must be in \(0, inf\], got 0"),
        (lambda: SGD(0.1, clip_norm=0), ValueError, r"clip_norm must be in \(0, inf\), got 0"),
        (lambda: NAdam(clip_norm="1"), TypeError, "clip_norm must be a number, got '1'"),
    ],
)
def test_bad_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    "optimizer",
    [
        SGD(0.1, momentum=0.9, nesterov=True),
        SGD(StepDecay(0.1, 5)),
        Adam(),
        AdamW(0.1, decay_all=True),
        SGD(0.0),
        AdamW(weight_decay=0.0),
        RMSProp(),
        RMSProp(0.1, 0.9, 1e-3, 0.1, 0.5, True),
        SGD(0.1, clip_norm=2.0),
    ],
)
def test_repr_builds_the_same_optimizer(optimizer):
    twin = eval(repr(optimizer))
    assert type(twin) is type(optimizer)
    assert vars(twin) == vars(optimizer)


@pytest.mark.parametrize("make", [getattr(optimizers, name) for name in FOUND])
def test_a_bias_does_not_decay_whatever_its_shape(make):
    """Of gradients that are zero, only decay moves anything."""
    shapes = {"bias": (3,), "0.bias": (1, 3, 1, 1), "0.weight": (2, 2), "unbias": (2, 2), "norm.weight": (2,)}
    for decay_all, moving in ((False, {"0.weight", "unbias"}), (True, set(shapes))):
        params = {name: np.ones(shape) for name, shape in shapes.items()}
        optimizer = make(lr=0.1, weight_decay=0.5, decay_all=decay_all)
        optimizer.step(params, {name: np.zeros(shape) for name, shape in shapes.items()})
        assert {name for name, array in params.items() if (array != 1).any()} == moving
        assert all(optimizer.decays(name, array) == (name in moving) for name, array in params.items())


@pytest.mark.parametrize("make", [SGD, AdamW, RMSProp])
def test_a_compiled_step_asks_the_same_rule(make, monkeypatch):
    monkeypatch.setattr(optimizers.Optimizer, "decays", lambda self, name, w: name == "1.bias")
    network = Sequential(Flatten(), Dense(8, 3, rng=0)).astype("float64")
    network.params["1.bias"][:] = 1
    twin = copy.deepcopy(network)
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(5, 2, 2, 2)), np.arange(5) % 3
    compiled, plain = (make(lr=0.1, weight_decay=0.5) for _ in range(2))
    CompiledStep(network, SoftmaxCrossEntropy(), compiled)(x, t)
    z, cache = twin.forward(x, training=True)
    _, dz = SoftmaxCrossEntropy()(z, t)
    plain.step(twin.params, twin.backward(dz, cache)[1])
    for name, array in twin.params.items():
        np.testing.assert_allclose(network.params[name], array, rtol=1e-12)


def test_clipping_by_hand():
    # |g| = sqrt(9 + 16) = 5: at 2.5 each is halved, at 10 nothing changes, at 0.5 each is a tenth
    grads = {"weight": np.array([[3.0, 0.0]]), "bias": np.array([-4.0])}
    for clip_norm, factor in ((2.5, 0.5), (10, 1.0), (0.5, 0.1)):
        params = {"weight": np.zeros((1, 2)), "bias": np.zeros(1)}
        SGD(1.0, clip_norm=clip_norm).step(params, grads)
        np.testing.assert_allclose(params["weight"], [[-3 * factor, 0]], rtol=1e-6)
        np.testing.assert_allclose(params["bias"], [4 * factor], rtol=1e-6)


@pytest.mark.parametrize("clip_norm", [0.02, 1e6])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("cut", [False, True])
def test_a_compiled_step_clips_by_the_norm_of_all_gradients(cut, dtype, clip_norm):
    """A layer of 20 000 weights, several units of work; with ``cut``, one of the layers is Python's."""

    class Own(Dense):
        """A dense layer without a compiled form."""

        def forward(self, x, training=False):
            return super().forward(x, training)

    last = (Own if cut else Dense)(100, 3, rng=1)
    network = Sequential(Flatten(), Dense(200, 100, rng=0), last).astype(dtype)
    twin = copy.deepcopy(network)
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(5, 2, 10, 10)).astype(dtype), np.arange(5) % 3
    ours, plain = (SGD(lr=0.1, momentum=0.9, clip_norm=clip_norm) for _ in range(2))
    step = CompiledStep(network, SoftmaxCrossEntropy(), ours)
    assert ("clip_gradient" in step.operations(x.shape)) == (not cut)
    for _ in range(3):
        step(x, t)
        z, cache = twin.forward(x, training=True)
        _, dz = SoftmaxCrossEntropy()(z, t)
        plain.step(twin.params, twin.backward(dz, cache)[1])
    for name, array in twin.params.items():
        rtol, atol = (1e-10, 1e-13) if dtype == "float64" else (1e-4, 1e-6)
        np.testing.assert_allclose(network.params[name], array, rtol=rtol, atol=atol)


def test_the_norm_can_be_changed_between_compiled_steps():
    network = Sequential(Flatten(), Dense(4, 3, rng=0)).astype("float64")
    x, t = np.ones((2, 1, 2, 2)), np.array([0, 1])
    sgd = SGD(lr=0.01, clip_norm=0.5)
    step = CompiledStep(network, SoftmaxCrossEntropy(), sgd)
    moved = []
    for clip_norm in (0.5, 0.25, None):
        sgd.clip_norm = clip_norm
        before = {name: array.copy() for name, array in network.params.items()}
        step(x, t)
        squares = sum(((a - before[name]) ** 2).sum() for name, a in network.params.items())
        moved.append(float(squares) ** 0.5)
    assert moved[:2] == pytest.approx([0.005, 0.0025], rel=1e-5)
    assert moved[2] > 0.005
