"""Inference whose products round their factors to bfloat16."""

import os
import subprocess
import sys

import numpy as np
import pytest

import neocog
from neocog.compilation.compiler import Compiler
from neocog.kernels import missing_numba, use_kernels, use_threads
from neocog.layers import Conv2D, Dense, Flatten, GlobalAvgPool2D, MaxPool2D, ReLU, Sequential
from neocog.models import mobilenet_v2, resnet18

pytestmark = pytest.mark.skipif(bool(missing_numba()), reason="needs Numba")


def rounded(array):
    """Round float32 to 8 bits of mantissa, ties to even, by the definition, in float64."""
    exponent = np.floor(np.log2(np.abs(np.where(array == 0, 1, array)).astype(np.float64)))
    unit = 2.0 ** (exponent - 7)
    return np.round(array.astype(np.float64) / unit) * unit


def test_rounding_is_that_of_the_definition():
    values = np.array([1, 1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-20, -3.1415927, 0, 65504.3, 1e-30], "f4")
    assert rounded(values)[:4].tolist() == [1, 1, 1 + 2**-6, 1 + 2**-7]


@pytest.mark.parametrize("N", [1, 3])
@pytest.mark.parametrize(
    "settings",
    [
        {"kernel_size": 3, "padding": 1},
        {"kernel_size": 3, "stride": 2, "padding": 1, "groups": 2},
        {"kernel_size": 1, "bias": False},
        {"kernel_size": 5, "dilation": 2, "padding": 4},
    ],
)
def test_a_convolution_is_the_sum_of_rounded_products(innermost, N, settings):
    """A product of two numbers of 8 bits is exact in float32: only the sums round."""
    conv = Conv2D(24, 70, **settings, rng=1)
    network = Sequential(Conv2D(3, 24, 1, rng=0), ReLU(), conv).astype("float32")
    x = np.random.default_rng(0).normal(size=(N, 3, 9, 8)).astype("f4")
    got = network.for_inference("bfloat16")(x)
    twin = conv.astype("float64")
    twin.params["weight"][...] = rounded(network.params["2.weight"])
    between = network[:2].for_inference()(x)  # of 3 channels, an odd number: not rounded
    expected = twin.forward(rounded(between))[0]
    # A number between the two may lie so near the middle of two of bfloat16 that its last bit decides.
    np.testing.assert_allclose(got, expected, rtol=0, atol=2e-5 * np.abs(expected).max())
    plain = network.forward(x)[0]
    assert 1e-4 < np.abs(got - plain).max() / np.abs(plain).max() < 1e-2


@pytest.mark.parametrize("N", [1, 2])
def test_dense_layers_are_rounded_too(innermost, N):
    dense = Dense(1024, 300, rng=1)
    network = Sequential(Conv2D(3, 64, 3, rng=0), MaxPool2D(2), Flatten(), dense).astype("float32")
    x = np.random.default_rng(0).normal(size=(N, 3, 10, 10)).astype("f4")
    twin = dense.astype("float64")
    twin.params["weight"][...] = rounded(network.params["3.weight"])
    expected = twin.forward(rounded(network[:3].for_inference()(x)))[0]
    got = network.for_inference("bfloat16")(x)
    np.testing.assert_allclose(got, expected, rtol=0, atol=2e-5 * np.abs(expected).max())


@pytest.mark.parametrize(("make", "bound"), [(mobilenet_v2, 0.15), (resnet18, 0.015)])
def test_errors_of_whole_networks(make, bound):
    """The deeper a network and the narrower its layers, the more; PyTorch's own bfloat16 errs as much."""
    network = make(rng=0)
    x = np.random.default_rng(0).normal(size=(1, 3, 64, 64)).astype("f4")
    expected = network.for_inference()(x)
    got = network.for_inference("bfloat16")(x)
    assert 1e-5 < np.abs(got - expected).max() / np.abs(expected).max() < bound


def test_errors_of_a_whole_network_in_float32():
    network = resnet18(rng=0)
    x = np.random.default_rng(0).normal(size=(1, 3, 64, 64)).astype("f4")
    got = network.for_inference()(x)
    with use_kernels("im2col"):
        exact = network.astype("float64").forward(x.astype("f8"))[0]
    assert np.abs(got - exact).max() < 2e-6 * np.abs(exact).max()


def test_results_do_not_depend_on_threads_and_images_are_alone():
    network = Sequential(
        Conv2D(4, 64, 3, rng=0), ReLU(), Conv2D(64, 128, 3, stride=2, rng=1), GlobalAvgPool2D()
    ).astype("float32")
    x = np.random.default_rng(0).normal(size=(4, 4, 40, 40)).astype("f4")
    x[1] = np.nan
    results = []
    for threads in (1, 2):
        with use_threads(threads):
            results.append(network.for_inference("bfloat16")(x))
    np.testing.assert_array_equal(*results)
    assert np.isnan(results[0][1]).all()
    assert np.isfinite(results[0][[0, 2, 3]]).all()


def test_other_types_are_refused():
    with pytest.raises(ValueError, match="takes a network of float32, got float64"):
        neocog.models.tiny_cnn(1).for_inference("bfloat16")


def test_without_such_instructions_the_numbers_are_the_same(tmp_path):
    code = """
import sys
import numpy as np
from neocog.layers import Conv2D, ReLU, Sequential
network = Sequential(Conv2D(3, 24, 1, rng=0), ReLU(), Conv2D(24, 70, 3, rng=1)).astype("float32")
x = np.random.default_rng(0).normal(size=(1, 3, 9, 8)).astype("f4")
np.save(sys.argv[1], network.for_inference("bfloat16")(x))
"""
    results = []
    for k, features in enumerate((None, "+avx,+avx2,+fma")):
        path = tmp_path / f"{k}.npy"
        environment = dict(os.environ)
        if features:
            environment |= {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": features}
        subprocess.run([sys.executable, "-c", code, str(path)], env=environment, check=True, timeout=300)
        results.append(np.load(path))
    np.testing.assert_allclose(*results, rtol=0, atol=2e-5)


def test_only_products_of_an_even_number_of_channels_are_rounded():
    network = Sequential(Conv2D(3, 64, 3, rng=0), Conv2D(64, 64, 3, rng=1)).astype("float32")
    compiler = Compiler(network, (1, 3, 8, 8), frozen=True, precision="bfloat16")
    compiler.forward()
    assert [row["code"] for row in compiler.program.rows if row["code"].endswith("product")] == [
        "pixel_product",
        "pair_product",
    ]
