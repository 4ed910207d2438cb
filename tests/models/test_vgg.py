import numpy as np
import pytest

from neocog.initializers import zeros
from neocog.models import vgg11, vgg13, vgg16, vgg19

from .torch_twins import awake, twin_of, vgg, worst_difference

PLAN_11 = [64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"]
PLAN_16 = [64, 64, "M", 128, 128, "M"]
PLAN_16 += [256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M"]


@pytest.mark.parametrize(
    ("make", "parameters", "with_batch_norm", "giga"),
    [
        (vgg11, 132_863_336, 132_868_840, 7.609),
        (vgg13, 133_047_848, 133_053_736, 11.308),
        (vgg16, 138_357_544, 138_365_992, 15.470),
        (vgg19, 143_667_240, 143_678_248, 19.632),
    ],
)
def test_parameter_counts(make, parameters, with_batch_norm, giga, multiply_adds):
    """Parameters and 10^9 multiply-adds as torchvision states them."""
    network = make(init=zeros)
    assert network.parameter_count == parameters
    assert round(multiply_adds(network) / 1e9, 3) == giga
    assert make(init=zeros, batch_norm=True).parameter_count == with_batch_norm


def test_layer_table(shapes):
    table = shapes(vgg16(init=zeros))
    pools = {"features.4": (64, 112, 112), "features.9": (128, 56, 56), "features.16": (256, 28, 28)}
    pools |= {"features.23": (512, 14, 14), "features.30": (512, 7, 7)}
    assert {name: table[name] for name in pools} == pools
    assert [table[f"classifier.{k}"] for k in (0, 3, 6)] == [(4096,), (4096,), (1000,)]


def test_same_as_pytorch():
    network = awake(vgg16(10, (3, 32, 32), rng=0, dtype="float64"))
    twin = twin_of(network, lambda: vgg(PLAN_16, 512, 10))
    assert worst_difference(network, twin, np.random.default_rng(1).normal(size=(2, 3, 32, 32))) < 1e-12


def test_batch_norm_is_that_of_pytorch_in_training():
    network = awake(vgg11(10, (1, 32, 40), batch_norm=True, rng=0, dtype="float64"))
    twin = twin_of(network, lambda: vgg(PLAN_11, 512, 10, batch_norm=True, channels=1))
    x = np.random.default_rng(1).normal(size=(3, 1, 32, 40))
    assert worst_difference(network, twin, x, training=True) < 1e-9


@pytest.mark.parametrize("batch_norm", [pytest.param(False, marks=pytest.mark.nightly), True])
def test_learning(batch_norm, losses):
    values = losses(vgg11(10, (1, 32, 32), batch_norm=batch_norm, rng=0), lr=0.001, steps=6)
    assert values[-1] < 0.75 * values[0]


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"MaxPool2D's window \(2, 2\) is larger than the 1x4 image"):
        vgg16(10, (3, 31, 64), init=zeros)
    with pytest.raises(TypeError, match="image_shape must be an integer"):
        vgg16(10, (3, 32, "32"), init=zeros)
