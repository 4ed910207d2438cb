"""MobileNet, EfficientNet, ShuffleNet, RegNet and ConvNeXt, beside the same networks in PyTorch."""

import contextlib
import copy

import numpy as np
import onnxruntime
import pytest
import torch

import neocog
from neocog import models
from neocog.initializers import zeros
from neocog.interop.onnx import from_onnx, to_onnx
from neocog.interop.torch import from_torch, to_torch
from neocog.layers import Dropout
from neocog.models import load_torchvision
from neocog.models.by_name import build_network

from . import mobile_twins

COUNTS = {
    "mobilenet_v2": (3_504_872, 0.301),
    "mobilenet_v3_small": (2_542_856, 0.057),
    "mobilenet_v3_large": (5_483_032, 0.217),
    "efficientnet_b0": (5_288_548, 0.386),
    "shufflenet_v2_x0_5": (1_366_792, 0.040),
    "shufflenet_v2_x1_0": (2_278_604, 0.145),
    "regnet_y_400mf": (4_344_144, 0.402),
    "regnet_y_800mf": (6_432_512, 0.834),
    "convnext_tiny": (28_589_128, 4.456),
    "convnext_small": (50_223_688, 8.684),
}
TWINS = [name for name in COUNTS if hasattr(mobile_twins, name)]


@pytest.mark.parametrize("name", COUNTS)
def test_parameter_counts(name, multiply_adds):
    """Parameters and 10^9 multiply-adds as torchvision states them."""
    network = getattr(models, name)(init=zeros)
    parameters, giga = COUNTS[name]
    assert network.parameter_count == parameters
    assert round(multiply_adds(network) / 1e9, 3) == giga
    assert network.output_shape((2, 3, 224, 224)) == (2, 1000)


def awake(twin):
    """Draw all weights, biases, factors and statistics anew, away from zeros and ones."""
    torch.manual_seed(0)
    for name, array in twin.state_dict().items():
        if array.dtype.is_floating_point:
            low = 0.5 if array.ndim == 1 and name.endswith(("weight", "running_var")) else -0.5
            scale = 1 if array.ndim == 1 else (12 / array[0].numel()) ** 0.5
            array.copy_(scale * (torch.rand(array.shape, dtype=array.dtype) + low))
    for module in twin.modules():
        if isinstance(module, torch.nn.Dropout) or type(module).__name__ == "StochasticDepth":
            module.p = 0.0
    return twin


def compare(name, twin, side, training):
    """Load the twin's weights; return the largest differences of outputs and gradients, and after a step."""
    network = getattr(models, name)(10, (3, side, side), init=zeros, dtype="float64")
    load_torchvision(network, twin.state_dict())
    for _, layer in network.leaves():
        if isinstance(layer, Dropout):
            layer.p = 0.0
    rng = np.random.default_rng(1)
    x = rng.normal(size=(3, 3, side, side))
    image = torch.tensor(x, requires_grad=True)
    wanted = twin.train(training)(image)
    dy = rng.normal(size=(3, 10))
    wanted.backward(torch.tensor(dy))
    z, cache = network.forward(x, training)
    dx, grads = network.backward(dy, cache)
    expected = copy.deepcopy(network)
    arrays = {name: parameter.grad for name, parameter in twin.named_parameters()}
    load_torchvision(expected, arrays | dict(twin.named_buffers()))
    largest = max(float(np.abs(array).max()) for array in expected.params.values())
    differences = {
        "z": _difference(z, wanted.detach().numpy()),
        "dx": _difference(dx, image.grad.numpy()),
        **{key: _difference(grads[key], each, 1e-4 * largest) for key, each in expected.params.items()},
        **{key: _difference(network.buffers[key], each) for key, each in expected.buffers.items()},
    }
    neocog.SGD(0.01, momentum=0.9).step(network.params, grads)
    torch.optim.SGD(twin.parameters(), 0.01, momentum=0.9).step()
    load_torchvision(expected, twin.state_dict())
    trained = {key: _difference(network.params[key], each) for key, each in expected.params.items()}
    return max(differences.values()), max(trained.values())


def _difference(got, expected, floor=0.0):
    return float(np.abs(got - expected).max()) / max(float(np.abs(expected).max()), floor)


def outputs(name, twin, side):
    """Load the twin's weights, whose names must be the network's; return what both compute, in float32."""
    network = getattr(models, name)(10, (3, side, side), init=zeros)
    load_torchvision(network, twin.state_dict())
    x = np.random.default_rng(1).normal(size=(1, 3, side, side)).astype("float32")
    with torch.no_grad():
        return network(x), twin.eval()(torch.tensor(x)).numpy()


@pytest.mark.parametrize("name", TWINS)
def test_names_and_outputs_are_those_of_pytorch(name):
    got, expected = outputs(name, awake(getattr(mobile_twins, name)(10)), 32)
    assert _difference(got, expected) < 1e-5


def quick(*names):
    """Return all names, those that are not quick marked as nightly."""
    return [name if name in names else pytest.param(name, marks=pytest.mark.nightly) for name in TWINS]


@pytest.mark.parametrize("name", quick("shufflenet_v2_x0_5"))
def test_gradients_are_those_of_pytorch(name):
    """In training, which leaves all statistics of the batch norms to be compared, too; and a step of it."""
    differences, trained = compare(name, awake(getattr(mobile_twins, name)(10).double()), 40, training=True)
    assert differences < 1e-10
    assert trained < 1e-10


@pytest.fixture(scope="module")
def torchvision():
    """The library; the operators that it compiles itself are declared where it has been installed without."""
    library = torch.library.Library("torchvision", "FRAGMENT")
    for each in ("nms(Tensor dets, Tensor scores, float iou_threshold)", "qnms(Tensor d, Tensor s, float i)"):
        with contextlib.suppress(RuntimeError):
            library.define(f"{each} -> Tensor")
    yield pytest.importorskip("torchvision")
    del library


@pytest.mark.nightly
@pytest.mark.parametrize("name", COUNTS)
def test_same_as_torchvision(name, torchvision):
    twin = awake(getattr(torchvision.models, name)(num_classes=10))
    got, expected = outputs(name, twin, 64)
    assert _difference(got, expected) < 1e-5
    got, expected = compare(name, twin.double(), 64, training=False)
    # The derivative of PyTorch's hard swish has 1/6 rounded to float32.
    assert max(got, expected) < (1e-6 if "v3" in name else 1e-10)


@pytest.mark.parametrize("name", quick("mobilenet_v3_small"))
def test_there_and_back(name):
    """Through an ONNX file, as ONNX Runtime reads it and as it comes back, and through PyTorch."""
    network = getattr(models, name)(10, (3, 32, 32), init=zeros)
    load_torchvision(network, awake(getattr(mobile_twins, name)(10)).state_dict())
    x = np.random.default_rng(1).normal(size=(2, 3, 32, 32)).astype("float32")
    expected = network(x)
    written = to_onnx(network)
    session = onnxruntime.InferenceSession(written.SerializeToString())
    (got,) = session.run(None, {session.get_inputs()[0].name: x})
    assert _difference(got, expected) < 1e-5
    assert _difference(from_onnx(written)(x), expected) < 1e-5
    module = to_torch(network).eval()
    assert _difference(module(torch.tensor(x)).detach().numpy(), expected) < 1e-5
    assert repr(from_torch(module, (3, 32, 32))) == repr(network)


def test_small_images():
    for name in ("mobilenet-v2", "mobilenet-v3-small", "shufflenet-v2-x0.5", "regnet-y-400mf"):
        network = build_network(name, 10, (1, 8, 8), seed=0)
        assert network.input_shape == (1, 8, 8)
        assert network.output_shape((2, 1, 8, 8)) == (2, 10)
    with pytest.raises(ValueError, match=r"ConvNeXt needs images of 32 x 32 pixels at least, got 28 x 32"):
        models.convnext_tiny(10, (3, 28, 32), init=zeros)


def test_survives(survives):
    for make in (models.mobilenet_v3_small, models.shufflenet_v2_x0_5):
        survives(make(10, (3, 32, 32), init=zeros))


@pytest.mark.parametrize("arguments", [{"dropout": 1.0}, {"stochastic_depth": -0.1}])
def test_bad_arguments(arguments):
    with pytest.raises(ValueError, match=r"p must be in \[0, 1\)"):
        models.efficientnet_b0(10, init=zeros, **arguments)
