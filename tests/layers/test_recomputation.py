"""Recomputation in the backward pass: which values are kept, the same numbers, less memory."""

import copy
import itertools
import tracemalloc

import numpy as np
import pytest

import neocog
from neocog.compilation import CompiledStep, Uncompilable
from neocog.kernels.fused import program
from neocog.layers import (
    Add,
    BatchNorm2D,
    Concat,
    Conv2D,
    Dense,
    Dropout,
    GlobalAvgPool2D,
    Graph,
    Layer,
    MaxPool2D,
    PReLU,
    ReLU,
    Residual,
    Sequential,
    StochasticDepth,
    Tanh,
)
from neocog.layers.base import random_generators
from neocog.layers.recomputation import Step, divide, forward_keeping_few
from neocog.losses import MeanSquaredError
from neocog.training import make_step

from ..cases import LAYERS  # noqa: TID252


def cost(steps, segments, end):
    """The bytes that one segment writes for a later one, and those of the largest segment."""
    place = {k: i for i, segment in enumerate(segments) for k in segment}
    writer = {step.writes: k for k, step in enumerate(steps)}
    kept = {
        value
        for k, step in enumerate(steps)
        for value in step.reads
        if value in writer and place[writer[value]] < place[k]
    }
    sizes = {step.writes: step.size for step in steps}
    return sum(sizes[v] for v in kept) + max(sum(steps[k].size for k in s) for s in segments), kept


@pytest.mark.parametrize("seed", range(20))
def test_the_division_is_about_the_best_of_all(seed):
    rng = np.random.default_rng(seed)
    count = 9
    steps = [
        Step([k, *rng.integers(max(0, k - 3), k + 1, rng.integers(0, 2))], k + 1, int(rng.integers(1, 50)))
        for k in range(count)
    ]
    divisions = []
    for cuts in itertools.product((False, True), repeat=count - 1):
        starts = [0, *(k + 1 for k, cut in enumerate(cuts) if cut), count]
        divisions.append([range(a, b) for a, b in itertools.pairwise(starts)])
    least = min(cost(steps, division, count)[0] for division in divisions)
    segments, kept = divide(steps, count)
    mine, expected = cost(steps, segments, count)
    assert kept == expected
    assert [k for segment in segments for k in segment] == list(range(count))
    assert least <= mine <= 1.25 * least


@pytest.mark.parametrize("root", [2, 5, 12])
def test_of_a_chain_of_alike_layers_the_root_is_kept(root):
    steps = [Step([k], k + 1, 100) for k in range(root * root)]
    segments, kept = divide(steps, root * root)
    assert len(kept) + max(map(len, segments)) == 2 * root - 1  # the least of m - 1 + n / m


def test_nothing_is_divided_where_there_is_nothing():
    assert divide([], 0) == ([], set())
    assert divide([Step([0], 1, 0)], 1) == ([range(1)], set())


class Counting(Layer):
    """Has no compiled form, and remembers, and draws."""

    def __init__(self):
        super().__init__()
        self._buffers["calls"] = np.zeros(1, "float32")
        self.draws = np.random.Generator(np.random.MT19937(3))

    def forward(self, x, training=False):
        if training:
            self._buffers["calls"] += 1
        factor = np.float32(self.draws.random()) if training else np.float32(1)
        return x * factor, factor

    def backward(self, dy, cache, input_grad=True):
        return dy * cache if input_grad else None, {}


def block(rng, draws, width=8):
    body = Sequential(
        conv1=Conv2D(width, width, 3, padding=1, bias=False, rng=rng),
        bn1=BatchNorm2D(width),
        relu=ReLU(),
        drop=Dropout(0.3, rng=draws),
        conv2=Conv2D(width, width, 3, padding=1, rng=rng),
        bn2=BatchNorm2D(width),
        depth=StochasticDepth(0.3, rng=draws),
    )
    return Sequential(residual=Residual(body), relu=ReLU())


def network(own=False):
    """A network with every kind of thing that could differ: drawn, remembered, frozen, branched, shared."""
    rng, draws = np.random.default_rng(1), np.random.default_rng(2)
    stem = Conv2D(3, 8, 3, padding=1, rng=rng)
    nested = Graph(
        {
            "a": (Conv2D(8, 8, 1, rng=rng), "input"),
            "b": (Conv2D(8, 4, 3, padding=1, rng=rng), "input"),
            "c": (MaxPool2D(3, 1, padding=1), "input"),
            "both": (Concat(), "a", "b"),
            "mix": (Conv2D(12, 8, 1, rng=rng), "both"),
            "sum": (Add(), "mix", "c", "input"),
        }
    )
    layers = {
        "stem": stem,
        "bn": BatchNorm2D(8),
        "stage1": Sequential(block(rng, draws), block(rng, draws)),
        "nested": Residual(nested),
        **({"own": Counting()} if own else {}),
        "stage2": Sequential(pool=MaxPool2D(2), first=block(rng, draws), second=block(rng, draws)),
        "average": GlobalAvgPool2D(),
        "fc": Dense(8, 3, rng=rng),
    }
    made = Sequential(**layers)
    made.freeze(["stage1.0.residual.body.bn1"])
    return made


IMAGES = np.random.default_rng(5).normal(size=(6, 3, 8, 8)).astype("float32")
LABELS = np.arange(6) % 3


def trained(made, checkpoint_activations, steps=3):
    """The network after some steps, the losses, and the numbers that its generators draw next."""
    made = copy.deepcopy(made)
    optimizer = neocog.SGD(0.1, momentum=0.9, clip_norm=1.0)
    step = make_step(made, neocog.SoftmaxCrossEntropy(), optimizer, checkpoint_activations)
    losses = [step(IMAGES, LABELS) for _ in range(steps)]
    return made, losses, [rng.random() for rng in random_generators(made)]


@pytest.mark.parametrize("own", [False, True], ids=["", "own layer"])
@pytest.mark.parametrize("kernels", ["im2col", "fused"])
def test_every_number_is_the_same_bit_for_bit(kernels, own, monkeypatch):
    monkeypatch.setattr(program, "SMALL", 0)  # so that values share memory, as those of large networks do
    with neocog.use_kernels(kernels):
        (one, losses, drawn), (two, again, redrawn) = (trained(network(own), on) for on in (False, True))
    assert losses == again
    assert drawn == redrawn
    for name, array in {**one.params, **one.buffers}.items():
        np.testing.assert_array_equal({**two.params, **two.buffers}[name], array, name)
    if own:
        assert two.buffers["own.calls"] == 3


def test_gradients_are_those_of_the_network_also_twice_from_one_cache():
    net, twin = network(own=True), network(own=True)
    with neocog.use_kernels("im2col"):
        y, cache = net.forward(IMAGES, training=True)
        z, few = forward_keeping_few(twin, IMAGES)
        expected_dx, expected = net.backward(y, cache)
        for _ in range(2):
            dx, grads = twin.backward(z, few)
            np.testing.assert_array_equal(dx, expected_dx)
            assert list(grads) == list(expected)
            for name, gradient in expected.items():
                np.testing.assert_array_equal(grads[name], gradient, name)


def test_gradients_of_a_shared_layer_are_added_in_the_same_order():
    conv, norm = Conv2D(4, 4, 3, padding=1, rng=1), BatchNorm2D(4)
    made = Sequential(Sequential(conv, ReLU(), conv, norm), conv, norm, Sequential(norm, conv), ReLU())
    twin, x = copy.deepcopy(made), IMAGES[:, [0, 1, 2, 0]]
    with neocog.use_kernels("im2col"):
        y, cache = made.forward(x, training=True)
        z, few = forward_keeping_few(twin, x)
        _, expected = made.backward(y, cache)
        _, grads = twin.backward(z, few)
    assert {**expected}.keys() == grads.keys()
    assert all(np.array_equal(grads[name], expected[name]) for name in expected)
    assert all(np.array_equal(twin.buffers[name], made.buffers[name]) for name in made.buffers)


@pytest.mark.parametrize("made", [Dense(4, 3, rng=0), Sequential(), Sequential(Dense(4, 3, rng=0))])
def test_what_has_no_inner_layers_runs_as_ever(made):
    x = np.ones((2, 4), "float32")
    y, cache = forward_keeping_few(made, x)
    np.testing.assert_array_equal(y, made(x))
    made.backward(y, cache)


def bottleneck(rng, wide=16, narrow=4):
    sizes = [(wide, narrow, 1), (narrow, narrow, 3), (narrow, wide, 1)]
    layers = [
        layer
        for inputs, outputs, kernel in sizes
        for layer in (
            Conv2D(inputs, outputs, kernel, padding=kernel // 2, bias=False, rng=rng),
            BatchNorm2D(outputs),
            ReLU(),
        )
    ]
    return Sequential(Residual(Sequential(*layers[:-1])), ReLU())


@pytest.fixture(scope="module")
def narrow_resnet50():
    """As deep as ResNet-50, with one size of maps and few of them."""
    rng = np.random.default_rng(0)
    stages = [Sequential(*(bottleneck(rng) for _ in range(count))) for count in (3, 4, 6, 3)]
    return Sequential(Conv2D(3, 16, 1, rng=rng), *stages, GlobalAvgPool2D(), Dense(16, 3, rng=rng))


def test_layer_by_layer_the_arrays_take_less_than_half(narrow_resnet50):
    x, peaks = np.ones((8, 3, 16, 16), "float32"), []
    with neocog.use_kernels("im2col"):
        for run in (forward_keeping_few, lambda net, x: net.forward(x, training=True)):
            tracemalloc.start()
            y, cache = run(narrow_resnet50, x)
            narrow_resnet50.backward(y, cache, input_grad=False)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
            del y, cache
    assert peaks[0] < 0.5 * peaks[1]


def test_a_compiled_step_plans_less_than_half_for_at_most_one_forward_pass_more(narrow_resnet50):
    shape = (16, 3, 32, 32)
    plain, more = (
        CompiledStep(narrow_resnet50, neocog.SoftmaxCrossEntropy(), neocog.SGD(0.1), on)
        for on in (False, True)
    )
    assert more.bytes(shape) < 0.5 * plain.bytes(shape)
    plain, more = plain.operations(shape), more.operations(shape)
    assert 0 < more.count("normalise") - plain.count("normalise") < plain.count("normalise") == 48
    assert more.count("normalise_back") == plain.count("normalise_back")


def test_what_is_frozen_is_not_computed_again(narrow_resnet50):
    made = copy.deepcopy(narrow_resnet50)
    made.freeze([name for name, _ in made.leaves() if name.split(".")[0] != "6"])
    step = CompiledStep(made, neocog.SoftmaxCrossEntropy(), neocog.SGD(0.1), True)
    assert step.operations((16, 3, 32, 32)).count("normalise") == 48


@pytest.mark.parametrize("value", [1, "yes", None])
def test_a_wrong_value_is_refused(value):
    split = (IMAGES, LABELS)
    with pytest.raises(TypeError, match=f"checkpoint_activations must be True or False, got {value!r}"):
        neocog.fit(network(), split, checkpoint_activations=value)
    with pytest.raises(TypeError, match="checkpoint_activations must be True or False"):
        make_step(network(), neocog.SoftmaxCrossEntropy(), neocog.SGD(0.1), value)


def test_pytorch_engine_has_none():
    with pytest.raises(ValueError, match=r"checkpoint_activations must be left out, but for engine='neocog'"):
        neocog.fit(network(), (IMAGES, LABELS), engine="torch", checkpoint_activations=True)


@pytest.mark.parametrize("kernels", ["im2col", "fused"])
def test_fit_is_the_same(kernels):
    histories, nets = [], []
    for on in (False, True):
        net = network()
        with neocog.use_kernels(kernels):
            history = neocog.fit(
                net, (IMAGES, LABELS), epochs=2, batch_size=4, rng=0, checkpoint_activations=on
            )
        histories.append([row | {"seconds": 0} for row in history.rows])
        nets.append(net)
    assert histories[0] == histories[1]
    assert all(np.array_equal(nets[0].params[name], array) for name, array in nets[1].params.items())


@pytest.mark.nightly
@pytest.mark.parametrize("name", LAYERS)
def test_the_compiled_form_of_every_layer_may_be_written_again(name, monkeypatch):
    make, x = LAYERS[name]
    layer = make()
    if layer.several_inputs or not isinstance(x, np.ndarray):
        pytest.skip("not a layer of one input")
    monkeypatch.setattr(program, "SMALL", 0)

    def all_but_the_last_two(steps, end):  # the output of the last but one is kept
        return [range(len(steps) - 1), range(len(steps) - 1, len(steps))], {steps[-2].writes}

    monkeypatch.setattr("neocog.compilation.compiler.divide", all_but_the_last_two)
    network = Sequential(before=PReLU(), layer=layer, after=Tanh(), kept=Tanh(), last=Tanh()).astype(
        "float32"
    )
    x = x.astype("float32")
    t, nets, steps = np.zeros(network(x).shape, "float32"), [], []
    for on in (False, True):
        nets.append(copy.deepcopy(network))
        steps.append(CompiledStep(nets[-1], MeanSquaredError(), neocog.SGD(0.1), on))
    try:
        for _ in range(2):
            assert steps[0](x, t) == steps[1](x, t)
    except Uncompilable:
        pytest.skip("shared parameters")
    assert len(steps[1].operations(x.shape)) > len(steps[0].operations(x.shape))
    for name, array in {**nets[0].params, **nets[0].buffers}.items():
        np.testing.assert_array_equal({**nets[1].params, **nets[1].buffers}[name], array, name)
