"""Whose compiled form a subclass takes; which layers have one is held by tests/test_layer_everywhere.py."""

import copy
import math

import numpy as np
import pytest

from neocog.compilation import Uncompilable, lowering_of, uncompiled
from neocog.compilation.compiler import Compiler
from neocog.errors import UnsupportedError
from neocog.kernels import use_kernels
from neocog.layers import (
    Add,
    BatchNorm2D,
    Clip,
    Conv2D,
    ConvTranspose2D,
    Dense,
    GlobalAvgPool2D,
    Graph,
    GroupNorm,
    Layer,
    LayerNorm,
    LeakyReLU,
    Maximum,
    MaxPool2D,
    Minimum,
    Multiply,
    PReLU,
    ReLU,
    Rescale,
    Reshape,
    Sequential,
    Tanh,
)


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


def assert_as_by_layers(network, x, uncut=True):
    """Compare output and gradients with those of the layers one by one, and inference, frozen or not."""
    assert not uncut or not uncompiled(network, x.shape, True)
    rng = np.random.default_rng(3)
    with use_kernels("reference"):
        y, cache = copy.deepcopy(network).forward(x, training=True)
        dy = rng.normal(size=y.shape)
        twin = copy.deepcopy(network)
        dx, grads = twin.backward(dy, twin.forward(x, training=True)[1])
        answer = network(x)
    np.testing.assert_allclose(network.for_inference()(x), answer, rtol=1e-10, atol=1e-12)
    with use_kernels("fused"):
        np.testing.assert_allclose(network(x), answer, rtol=1e-10, atol=1e-12)
        found, cache = network.forward(x, training=True)
        found_dx, found_grads = network.backward(dy, cache)
    np.testing.assert_allclose(found, y, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(found_dx, dx, rtol=1e-10, atol=1e-12)
    assert found_grads.keys() == grads.keys()
    for name, gradient in grads.items():
        np.testing.assert_allclose(found_grads[name], gradient, rtol=1e-10, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("merge", [Add, Multiply, Maximum, Minimum])
@pytest.mark.parametrize(
    ("shape", "others"),
    [
        ((4, 2, 4, 5), [(4, 5)]),
        ((4, 2, 4, 1), [(4, 5), (4, 2, 4, 1)]),
        ((3, 3, 2, 5), [(3, 2, 5)]),
        ((3, 3, 2, 5), [(3, 1, 5), (3, 1, 2, 5)]),
        ((3, 2, 4, 3), [(3,)]),
        ((5, 5), [(5,), (5, 1)]),
        ((1, 3, 2, 5), [(1, 2, 5), (1, 5), (1,)]),
        ((3, 3, 4), [(3, 4), (3, 1, 4)]),
    ],
)
def test_arrays_of_different_ranks_are_merged_as_numpy_broadcasts(merge, shape, others):
    """The batch of the one with fewer axes then lies along another axis of the output."""
    rng = np.random.default_rng(0)
    N, *rest = shape
    nodes = {"rows": (Dense(6, math.prod(rest), rng=1), "input"), "whole": (Reshape((0, *rest)), "rows")}
    for k, (_, *sizes) in enumerate(others):
        nodes[f"rows{k}"] = (Dense(6, math.prod(sizes), rng=2 + k), "input")
        nodes[f"part{k}"] = (Reshape((0, *sizes)), f"rows{k}")
    nodes["merged"] = (merge(), *(f"part{k}" for k in range(len(others))), "whole")
    assert_as_by_layers(Graph(nodes, output="merged").astype("float64"), rng.normal(size=(N, 6)))


@pytest.mark.parametrize("merge", [Maximum, Minimum])
def test_what_ties_shares_the_gradient(merge):
    """Worked out by hand: three inputs, of which two or all are the best."""
    nodes = {"a": (Rescale(1.0), "input"), "b": (Rescale(1.0), "input"), "c": (Rescale(2.0), "input")}
    network = Graph({**nodes, "best": (merge(), "a", "b", "c")}, output="best").astype("float64")
    x = np.array([[1.0, -1.0, 0.0]])
    with use_kernels("fused"):
        _, cache = network.forward(x, training=True)
        dx, _ = network.backward(np.array([[3.0, 3.0, 3.0]]), cache)
    # c wins alone where 2 x is better, at its slope of 2; else a and b share; at 0 each has 1 of 3.
    expected = [[6.0, 3.0, 4.0] if merge is Maximum else [3.0, 6.0, 4.0]]
    np.testing.assert_allclose(dx, expected, rtol=1e-14)


@pytest.mark.parametrize("smaller", ["convolution", "other"])
def test_a_convolution_takes_no_sum_that_repeats_a_number(smaller):
    pool = GlobalAvgPool2D() if smaller == "other" else MaxPool2D(1)
    wide = Conv2D(2, 3, 1, rng=0)
    one = Conv2D(2, 3, (5, 4), rng=1) if smaller == "convolution" else Conv2D(2, 3, 3, padding=1, rng=1)
    nodes = {
        "wide": (wide, "input"),
        "pool": (pool, "wide"),
        "part": (Reshape((0, 3, 1, 1)) if smaller == "other" else Clip(-9.0, 9.0), "pool"),
        **{f"late{k}": (Tanh(), f"late{k - 1}" if k else "input") for k in range(3)},  # so conv comes last
        "conv": (one, "late2"),
        "sum": (Add(), "conv", "part"),
    }
    x = np.random.default_rng(0).normal(size=(3, 2, 5, 4))
    assert_as_by_layers(Graph(nodes, output="sum").astype("float64"), x)


UP = {
    "plain": (ConvTranspose2D(2, 3, 3, rng=0), (4, 2, 5, 4)),
    "stride": (ConvTranspose2D(2, 4, 2, 2, rng=0), (4, 2, 5, 4)),
    "pixels without a tap": (ConvTranspose2D(2, 3, 1, 2, output_padding=1, rng=0), (4, 2, 5, 4)),
    "groups": (ConvTranspose2D(4, 6, 3, 2, 1, groups=2, rng=0), (4, 4, 5, 4)),
    "channel by channel": (ConvTranspose2D(6, 6, 4, 2, 1, groups=6, rng=0), (4, 6, 5, 4)),
    "no bias": (ConvTranspose2D(2, 3, 3, bias=False, rng=0), (4, 2, 5, 4)),
    "many channels": (ConvTranspose2D(32, 32, 3, padding=1, rng=0), (2, 32, 16, 16)),
}


@pytest.mark.parametrize("kind", UP)
@pytest.mark.parametrize("last", [ReLU, lambda: Clip(-0.2, 0.3)], ids=["ReLU", "Clip"])
@pytest.mark.parametrize("norm", [False, True])
def test_norm_and_clip_are_done_along_with_a_transposed_convolution(kind, last, norm):
    up, shape = copy.deepcopy(UP[kind][0]), UP[kind][1]
    rng = np.random.default_rng(0)
    between = [BatchNorm2D(up.out_channels)] if norm else []
    network = Sequential(up, *between, last()).astype("float64")
    for name, array in [*network.params.items(), *network.buffers.items()]:
        if "weight" not in name or array.ndim == 1:
            array[...] = rng.uniform(0.3, 1.2, array.shape)
    x = rng.normal(size=shape)
    assert_as_by_layers(network, x)
    fast = network.astype("float32").for_inference()
    largest = np.abs(Sequential(up.astype("float64"), *between)(x)).max()
    np.testing.assert_allclose(fast(x.astype("float32")), network(x), rtol=0, atol=1e-5 * max(1, largest))
    (compiler,) = fast._forward._programs.values()
    operations = compiler.program.operations
    assert "normalise" not in operations
    assert operations.count("clip") == (kind == "pixels without a tap")  # those that only the bias reaches


def test_the_gradients_of_what_is_frozen_are_not_computed():
    network = Sequential(
        first=Conv2D(2, 4, 3, rng=0),
        norm=BatchNorm2D(4),
        relu=ReLU(),
        group=GroupNorm(2, 4),
        slope=PReLU(4),
        one=PReLU(),
        layer=LayerNorm(4, axis=1),
        last=Conv2D(4, 3, 3, rng=1),
    ).astype("float64")
    frozen = ("norm", "group", "slope", "one", "layer")
    for name in frozen:
        network.freeze(name)
    rng = np.random.default_rng(0)
    for array in (*network.params.values(), *network.buffers.values()):
        array += rng.uniform(0.1, 0.5, array.shape)
    x = rng.normal(size=(3, 2, 8, 7))
    assert_as_by_layers(network, x)
    compiler = Compiler(network, x.shape, training=True)
    compiler.forward()
    compiler.end.gradient = compiler.gradient_maps(compiler.end)
    compiler.backward()
    compiler.program.finish()
    names, rows = compiler.program.operations, compiler.program.program
    for name in ("normalise_back", "normalise_sets_back", "learned_slope_back"):
        found = [row["d_weight"] for row, each in zip(rows, names, strict=True) if each == name]
        assert len(found) == 1 + (name != "normalise_back")
        assert not any(found)
    assert [node.name for node, _, _ in compiler.gradients] == ["last", "last", "first", "first"]
