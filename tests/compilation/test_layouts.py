"""Compiled inference with the channels innermost: which values have them so; nothing else changes."""

import functools
import time

import numpy as np
import pytest

from neocog.compilation import forward
from neocog.compilation.compiler import Compiler
from neocog.kernels import missing_numba, use_kernels, use_threads
from neocog.kernels.fused.simd import VECTOR_BYTES
from neocog.kernels.fused.workers import side_by_side
from neocog.layers import AvgPool2D, Conv2D, Dense, Flatten, MaxPool2D, ReLU, Sequential
from neocog.models import digits_cnn, mobilenet_v2, mobilenet_v3_small, resnet18
from neocog.testing.everywhere import between, is_vector

from ..cases import LAYERS  # noqa: TID252

pytestmark = pytest.mark.skipif(bool(missing_numba()), reason="needs Numba")


def innermost_of(network, shape):
    return [node.channels_last for node in Compiler(network, shape, frozen=True).nodes if "conv" in node.memo]


@pytest.mark.parametrize(("dtype", "bound"), [("float64", 1e-12), ("float32", 2e-5)])
def test_whole_networks(case, innermost, dtype, bound):
    make, x, _ = case
    network = make().astype(dtype)
    for images in (x.astype(dtype), x[:1].astype(dtype)):
        expected = network.forward(images)[0]
        scale = np.abs(expected).max()
        np.testing.assert_allclose(network.for_inference()(images), expected, rtol=0, atol=bound * scale)


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize(
    ("channels", "kernel"),
    [
        (512, 3),
        pytest.param(2048, 1, marks=pytest.mark.nightly),
        pytest.param(256, 5, marks=pytest.mark.nightly),
    ],
)
def test_long_sums_are_made_of_short_ones(innermost, channels, kernel, positive):
    """The bounds of the book: 1e-6 of the largest output, and 4e-3 with factors rounded to bfloat16."""
    rng = np.random.default_rng(0)
    conv = Conv2D(channels, 48, kernel, padding=kernel // 2, rng=0).astype("float32")
    w, x = conv.params["weight"], rng.standard_normal((1, channels, 7, 7), dtype="float32")
    w[...] = rng.standard_normal(w.shape)
    if positive:
        w[...], x = np.abs(w), np.abs(x)
    network = Sequential(conv)
    with use_kernels("im2col"):
        exact, plain = network.astype("float64").forward(x.astype("float64"))[0], network.forward(x)[0]

    def error(y):
        return np.abs(y - exact).max() / np.abs(exact).max()

    assert error(network.for_inference()(x)) < min(1e-6, 2 * error(plain))
    assert 1e-5 < error(network.for_inference("bfloat16")(x)) < 4e-3


@pytest.mark.parametrize("name", sorted(name for name, (_, x) in LAYERS.items() if not is_vector(x)))
def test_every_layer_after_a_convolution(innermost, name):
    make, x = LAYERS[name]
    network, rows = between(make(), x)
    for images in (rows[:1], rows):
        with np.errstate(invalid="ignore"):  # square roots of what the convolution makes of the case
            expected = network.forward(images)[0]
            np.testing.assert_allclose(network.for_inference()(images), expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize("N", [1, 3])
@pytest.mark.parametrize("filters", [1, 16, 50, 100])
@pytest.mark.parametrize(
    "settings",
    [
        {"kernel_size": 3, "stride": 2, "padding": 1},
        {"kernel_size": (2, 3), "dilation": 2, "bias": False},
        {"kernel_size": 5, "stride": (3, 1), "padding": 2},
        {"kernel_size": 1},
        {"kernel_size": 3, "stride": 2, "padding": "same"},
    ],
)
def test_convolutions_of_many_forms(innermost, N, filters, settings):
    network = Sequential(
        Conv2D(2, 30, 3, rng=0), Conv2D(30, filters, **settings, rng=1), ReLU(), MaxPool2D(2, 1)
    ).astype("float64")
    x = np.random.default_rng(0).normal(size=(N, 2, 11, 10))
    np.testing.assert_allclose(network.for_inference()(x), network.forward(x)[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("groups", [1, 2, 36])
def test_sums_longer_than_a_block(innermost, groups):
    network = Sequential(Conv2D(3, 36, 1, rng=0), Conv2D(36, 72, 5, groups=groups, rng=1)).astype("float64")
    x = np.random.default_rng(0).normal(size=(2, 3, 7, 7))
    np.testing.assert_allclose(network.for_inference()(x), network.forward(x)[0], rtol=0, atol=1e-11)


def test_the_cost_is_the_number_of_vector_operations():
    # 49 pixels x 32 * 9 terms x 4 vectors of 16 filters, against 64 filters x 288 terms x the vectors of one
    # row of 7 * (7 + 2) numbers. Winograd's method would fill 4 lanes.
    node = Compiler(Sequential(Conv2D(32, 64, 3, padding=1)), (1, 32, 7, 7), frozen=True).nodes[0]
    conv = node.memo["conv"]
    narrow = 16 // (VECTOR_BYTES // 4)
    assert conv.cost(True) == 49 * 288 * 4 * narrow
    assert conv.cost(False) == 64 * 288 * 4 * narrow


def test_small_maps_have_the_channels_innermost_and_large_ones_outermost():
    assert innermost_of(Sequential(Conv2D(32, 64, 3, padding=1)), (1, 32, 7, 7)) == [True]
    assert innermost_of(Sequential(Conv2D(64, 64, 3, padding=1)), (1, 64, 56, 56)) == [False]  # Winograd
    assert all(innermost_of(mobilenet_v3_small(rng=0), (1, 3, 224, 224)))
    assert all(innermost_of(mobilenet_v2(rng=0), (8, 3, 96, 96)))
    found = innermost_of(resnet18(rng=0), (1, 3, 224, 224))
    assert all(found[-3:])  # of 7 x 7
    assert not all(found)  # Winograd's method where it fills a vector of tiles


def test_images_side_by_side_are_those_alone():
    network = mobilenet_v3_small(rng=0)
    fast = network.for_inference()
    x = np.random.default_rng(0).normal(size=(5, 3, 64, 64)).astype("float32")
    x[3] = np.inf
    expected = [fast(image[None])[0] for image in x]
    for threads in (1, 2, 3):
        with use_threads(threads):
            np.testing.assert_array_equal(fast(x), expected)
    assert np.isfinite(fast(x)[[0, 1, 2, 4]]).all()
    np.testing.assert_allclose(fast(x[:3]), network.forward(x[:3])[0], rtol=0, atol=1e-4)
    (first,) = (each for each in fast._forward._programs.values() if not each.by_image)
    assert len(first.twins) == 2
    for twin in first.twins:  # each weight is packed once, for all threads
        assert twin.program.constants is first.program.constants


@pytest.mark.parametrize(("side", "threads"), [(32, 1), (64, 2)])
def test_few_small_images_wake_no_thread(monkeypatch, side, threads):
    """Two images of 64 x 64 are 20 million operations, of 32 x 32 a quarter of them."""
    started = []
    monkeypatch.setattr(
        forward, "side_by_side", lambda functions: started.append(len(functions)) or side_by_side(functions)
    )
    fast, x = mobilenet_v3_small(rng=0).for_inference(), np.zeros((2, 3, side, side), "f4")
    with use_threads(2):
        fast(x)
    assert started == [threads]


def test_many_threads_compile_nothing_anew(monkeypatch):
    network = Sequential(Conv2D(3, 256, 1, rng=0), Conv2D(256, 256, 1, rng=1)).astype("float32")
    fast, x = network.for_inference(), np.zeros((20, 3, 3, 3), "f4")
    with use_threads(9):
        first = fast(x)
        assert any(each.by_image for each in fast._forward._programs.values())
        monkeypatch.setattr(fast._forward, "_compile", None)
        np.testing.assert_array_equal(fast(x), first)


def test_images_are_taken_together_where_their_lanes_fill_vectors_or_weights_are_many():
    together = Sequential(Conv2D(64, 64, 3, padding=1, rng=0))
    assert not Compiler(together, (8, 64, 28, 28), frozen=True).by_image
    many = Sequential(Conv2D(512, 512, 3, padding=1, rng=0), Conv2D(512, 512, 2, rng=0), Conv2D(512, 4096, 1))
    assert all(innermost_of(many, (2, 512, 2, 2)))
    assert not Compiler(many, (2, 512, 2, 2), frozen=True).by_image
    assert Compiler(mobilenet_v2(rng=0), (8, 3, 96, 96), frozen=True).by_image
    assert not Compiler(digits_cnn(0), (2, 1, 8, 8), frozen=True).by_image  # microseconds of work
    assert not Compiler(mobilenet_v2(rng=0), (1, 3, 96, 96), frozen=True).by_image


def test_functions_side_by_side_all_end_before_one_of_their_errors_is_raised():
    done = []

    def work(k):
        if k == 2:
            raise ValueError("the third")
        time.sleep(0.02)
        done.append(k)

    with pytest.raises(ValueError, match="the third"):
        side_by_side([functools.partial(work, k) for k in range(6)])
    assert sorted(done) == [0, 1, 3, 4, 5]
    side_by_side([functools.partial(work, 7)])
    assert done[-1] == 7


def test_networks_that_may_change_have_them_outermost():
    network = Sequential(Conv2D(3, 64, 3), MaxPool2D(2), AvgPool2D(2), Flatten(), Dense(64, 3))
    nodes = Compiler(network, (1, 3, 6, 6)).nodes
    assert not any(node.channels_last for node in nodes)
