import numpy as np
import pytest

from neocog.initializers import zeros
from neocog.models import alexnet, alexnet_one_tower

from . import torch_twins
from .torch_twins import AlexNet, awake, twin_of, worst_difference


def test_parameter_counts(multiply_adds):
    two, one = alexnet(init=zeros), alexnet_one_tower(init=zeros)
    assert two.parameter_count == 60_965_224
    assert one.parameter_count == 61_100_840
    assert multiply_adds(two) == 724_406_816  # Caffe's, 0.7 G
    assert round(multiply_adds(one) / 1e9, 3) == 0.714  # torchvision's
    assert alexnet(10, init=zeros).parameter_count == 60_965_224 - 990 * 4097
    assert two.params["conv2.weight"].shape == (256, 48, 5, 5)


def test_layer_tables(shapes):
    table = shapes(alexnet(init=zeros))
    wanted = {"conv1": (96, 55, 55), "pool1": (96, 27, 27), "conv2": (256, 27, 27), "pool2": (256, 13, 13)}
    wanted |= {"conv3": (384, 13, 13), "conv4": (384, 13, 13), "conv5": (256, 13, 13), "pool5": (256, 6, 6)}
    wanted |= {"flatten": (9216,), "fc6": (4096,), "fc7": (4096,), "fc8": (1000,)}
    assert {name: table[name] for name in wanted} == wanted
    table = shapes(alexnet_one_tower(init=zeros))
    wanted = {"features.0": (64, 55, 55), "features.3": (192, 27, 27), "features.12": (256, 6, 6)}
    assert {name: table[name] for name in wanted} == wanted


CASES = {
    "two groups": (alexnet, AlexNet, (3, 67, 67), 256),
    "one tower": (alexnet_one_tower, torch_twins.alexnet_one_tower, (3, 63, 95), 512),
}


@pytest.mark.parametrize("case", CASES)
def test_same_as_pytorch(case):
    make, make_twin, image_shape, features = CASES[case]
    network = awake(make(10, image_shape, rng=0, dtype="float64"))
    twin = twin_of(network, lambda: make_twin(features, 10))
    x = np.random.default_rng(1).normal(size=(2, *image_shape))
    assert worst_difference(network, twin, x) < 1e-12


@pytest.mark.parametrize(
    ("make", "lr"), [(alexnet, 1e-3), pytest.param(alexnet_one_tower, 3e-4, marks=pytest.mark.nightly)]
)
def test_learning(make, lr, losses):
    values = losses(make(10, (1, 72, 72), rng=0), lr=lr, steps=8)
    assert values[-1] < 0.75 * values[0]


def test_files_keep_it_with_the_state_of_its_dropout(survives):
    survives(alexnet(2, (1, 67, 67), rng=0))


def test_dropout_draws_for_each_layer_on_its_own():
    network = alexnet(2, (1, 67, 67), init=zeros, rng=0)
    ones = np.ones((1, 4096), np.float32)
    six, seven = (network[name].forward(ones, training=True)[0] for name in ("drop6", "drop7"))
    assert (six != seven).mean() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(("make", "side"), [(alexnet, 67), (alexnet_one_tower, 63)])
def test_images_too_small(make, side):
    make(2, (1, side, side), init=zeros)
    with pytest.raises(ValueError, match="MaxPool2D's window"):
        make(2, (1, side - 1, side), init=zeros)
    with pytest.raises(ValueError, match="image_shape must be"):
        make(2, (224, 224), init=zeros)
