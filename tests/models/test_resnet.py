import numpy as np
import pytest

from neocog.initializers import zeros
from neocog.inspection import trace
from neocog.inspection.receptive_field import unit_receptive_field
from neocog.models import resnet18, resnet34, resnet50, resnet101, resnet_cifar

from .torch_twins import BasicBlock, Bottleneck, ResNet, awake, twin_of, worst_difference


@pytest.mark.parametrize(
    ("make", "parameters", "giga"),
    [
        (resnet18, 11_689_512, 1.814),
        (resnet34, 21_797_672, 3.664),
        (resnet50, 25_557_032, 4.089),
        (resnet101, 44_549_160, 7.801),
    ],
)
def test_parameter_counts(make, parameters, giga, multiply_adds):
    """Parameters and 10^9 multiply-adds as torchvision states them."""
    network = make(init=zeros)
    assert network.parameter_count == parameters
    assert round(multiply_adds(network) / 1e9, 3) == giga


@pytest.mark.parametrize(
    ("depth", "millions"), [(20, "0.27"), (32, "0.46"), (44, "0.66"), (56, "0.85"), (110, "1.7")]
)
def test_parameter_counts_for_small_images(depth, millions):
    """Table 6 of the paper; 269 722 for depth 20: the stem, three stages, and the head, counted by hand."""
    network = resnet_cifar(depth, init=zeros)
    places = len(millions) - 2
    assert f"{network.parameter_count / 1e6:.{places}f}" == millions
    if depth == 20:
        convolutions = 432 + 6 * 2304 + (4608 + 5 * 9216) + (18432 + 5 * 36864)
        norms = 2 * (7 * 16 + 6 * 32 + 6 * 64)
        assert network.parameter_count == convolutions + norms + 650


def test_depth_counts_the_layers_with_weights():
    for depth in (8, 20, 56):
        names = [name for name in resnet_cifar(depth, init=zeros).params if "bn" not in name]
        assert len([name for name in names if name.endswith("weight")]) == depth
    for make, depth in ((resnet18, 18), (resnet34, 34), (resnet50, 50), (resnet101, 101)):
        names = [name for name in make(init=zeros).params if name.endswith("weight") and "bn" not in name]
        assert len([name for name in names if "downsample" not in name]) == depth


def test_layer_tables(shapes):
    table = shapes(resnet50(init=zeros))
    wanted = {"conv1": (64, 112, 112), "maxpool": (64, 56, 56), "layer1.2.relu": (256, 56, 56)}
    wanted |= {"layer2.3.relu": (512, 28, 28), "layer3.5.relu": (1024, 14, 14), "layer4.2.relu": (2048, 7, 7)}
    wanted |= {
        "layer3.0.conv1": (256, 28, 28),
        "layer3.0.conv2": (256, 14, 14),
        "avgpool": (2048,),
        "fc": (1000,),
    }
    assert {name: table[name] for name in wanted} == wanted
    table = shapes(resnet_cifar(20))
    wanted = {"layer1.2.relu": (16, 32, 32), "layer2.2.relu": (32, 16, 16), "layer3.2.relu": (64, 8, 8)}
    assert {name: table[name] for name in wanted} == wanted


CASES = {
    "resnet18": (resnet18, lambda: ResNet(BasicBlock, (2, 2, 2, 2), 10), (2, 3, 64, 64)),
    "resnet50": (resnet50, lambda: ResNet(Bottleneck, (3, 4, 6, 3), 10), (2, 3, 64, 64)),
    "resnet_cifar": (
        lambda classes, **new: resnet_cifar(20, classes, **new),
        lambda: ResNet(BasicBlock, (3, 3, 3), 10, small=True),
        (3, 3, 15, 16),
    ),
}


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_same_as_pytorch(name, training):
    make, make_twin, shape = CASES[name]
    network = awake(make(10, rng=0, dtype="float64"))
    twin = twin_of(network, make_twin)
    x = np.random.default_rng(1).normal(size=shape)
    assert worst_difference(network, twin, x, training) < 1e-9


@pytest.mark.parametrize(
    ("network", "lr", "steps"),
    [
        (lambda: resnet_cifar(8, 10, (1, 32, 32), rng=0), 0.05, 5),
        (lambda: resnet18(10, (1, 32, 32), rng=0), 0.01, 5),
        pytest.param(lambda: resnet50(10, (1, 32, 32), rng=0), 0.003, 8, marks=pytest.mark.nightly),
    ],
)
def test_learning(network, lr, steps, losses):
    values = losses(network(), lr, steps)
    assert values[-1] < 0.75 * values[0]


def test_tools(survives):
    for network in (resnet_cifar(8, rng=0), resnet18(10, (3, 32, 32), rng=0)):
        survives(network)
    network = resnet_cifar(8, rng=0)
    seen = trace(network, np.zeros((1, 3, 32, 32)), np.array([3]))
    assert set(seen.records) == {name for name, _ in network.leaves()}
    assert seen["layer2.0.downsample.1"].y.shape == (1, 32, 16, 16)
    assert unit_receptive_field(network, "layer2.0.downsample.1", (1, 1)).rows == slice(0, 6)


def test_the_way_around_costs_nothing():
    """The shortcut of a smaller stage: every second pixel, and zeros for the new maps."""
    around = resnet_cifar(8)["layer2"]["0"].children["downsample"]
    x = np.random.default_rng(0).normal(size=(2, 16, 5, 4))
    y = around(x)
    np.testing.assert_array_equal(y[:, :16], x[:, :, ::2, ::2])
    assert y.shape == (2, 32, 3, 2)
    assert not y[:, 16:].any()
    assert around.parameter_count == 0


@pytest.mark.parametrize("depth", [1, 2, 18, 21])
def test_bad_depth(depth):
    with pytest.raises(ValueError, match=r"depth must be 6 n \+ 2, as 8, 14, 20 ..., got"):
        resnet_cifar(depth)


def test_bad_arguments():
    with pytest.raises(TypeError, match="depth must be an integer"):
        resnet_cifar("20")
    with pytest.raises(ValueError, match="image_shape must be"):
        resnet18(10, (32, 32), init=zeros)
    with pytest.raises(ValueError, match="layer 'conv1': Conv2D needs 1 input channels"):
        resnet18(10, (1, 32, 32), init=zeros).output_shape((1, 3, 32, 32))
