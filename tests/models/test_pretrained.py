"""Weights from PyTorch, in the form in which torchvision publishes them."""

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from safetensors.torch import save_file

from neocog.initializers import zeros
from neocog.layers import Dense, Sequential
from neocog.models import load_torchvision, resnet18

from .torch_twins import BasicBlock, ResNet


@pytest.fixture(scope="module")
def twin():
    torch.manual_seed(0)
    twin = ResNet(BasicBlock, (2, 2, 2, 2), 10)
    twin.train()(torch.randn(4, 3, 32, 32))  # so that the running statistics are some
    return twin.eval()


@pytest.fixture
def empty():
    return resnet18(10, (3, 32, 32), init=zeros)


def check(network, twin):
    x = np.random.default_rng(0).normal(size=(2, 3, 32, 32)).astype(np.float32)
    with torch.no_grad():
        expected = twin(torch.tensor(x)).numpy()
    np.testing.assert_allclose(network(x), expected, rtol=1e-3, atol=1e-5)


def test_a_state_dict(twin, empty):
    state = twin.state_dict()
    assert "bn1.num_batches_tracked" in state
    load_torchvision(empty, state)
    check(empty, twin)


def test_a_safetensors_file(twin, empty, tmp_path):
    save_file(twin.state_dict(), tmp_path / "weights.safetensors")
    load_torchvision(empty, load_file(tmp_path / "weights.safetensors"))
    check(empty, twin)


def test_parameters_that_require_gradients(twin, empty):
    load_torchvision(empty, dict(twin.named_parameters()) | dict(twin.named_buffers()))
    check(empty, twin)


def test_square_dense_weights_are_transposed():
    network = Sequential(fc=Dense(2, 2, bias=False))
    load_torchvision(network, {"fc.weight": np.array([[1.0, 2.0], [3.0, 4.0]])})
    assert network(np.array([[1.0, 10.0]], np.float32)).tolist() == [[21.0, 43.0]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer1.0.conv1.weight": None}, r"missing \['layer1.0.conv1.weight'\], unknown \[\]"),
        ({"bn1.running_mean": None}, r"buffer names differ: missing \['bn1.running_mean'\], unknown \[\]"),
        ({"head.weight": np.zeros(3)}, r"missing \[\], unknown \['head.weight'\]"),
        (
            {"conv1.weight": np.zeros((64, 1, 7, 7))},
            r"'conv1.weight' must have shape \(64, 3, 7, 7\), got \(64, 1, 7, 7\)",
        ),
        ({"bn1.running_var": np.zeros(3)}, r"buffer 'bn1.running_var' must have shape \(64,\), got \(3,\)"),
        (
            {"fc.weight": np.zeros((1000, 512))},
            r"'fc.weight' must have PyTorch's shape \(10, 512\), got \(1000, 512\)",
        ),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_changed(twin, empty, change, message):
    state = {name: array for name, array in {**twin.state_dict(), **change}.items() if array is not None}
    before = {name: array.copy() for name, array in {**empty.params, **empty.buffers}.items()}
    with pytest.raises(ValueError, match=message):
        load_torchvision(empty, state)
    for name, array in {**empty.params, **empty.buffers}.items():
        np.testing.assert_array_equal(array, before[name])


def test_what_is_no_mapping_of_floating_point_arrays(empty, twin):
    with pytest.raises(TypeError, match="state_dict must be a mapping"):
        load_torchvision(empty, [1, 2])
    with pytest.raises(TypeError, match=r"'fc.bias' must be float32, got complex128"):
        load_torchvision(empty, {**twin.state_dict(), "fc.bias": np.zeros(10, complex)})
