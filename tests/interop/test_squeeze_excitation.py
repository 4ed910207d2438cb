"""Squeeze-and-excitation blocks: PyTorch's modules, the networks read from them, and neocog's own Graph."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import neocog
from neocog.compilation import uncompiled
from neocog.interop.onnx import from_onnx, to_onnx
from neocog.interop.torch import from_torch, to_torch
from neocog.layers import (
    Conv2D,
    Dense,
    GlobalAvgPool2D,
    Graph,
    Mean,
    Multiply,
    ReLU,
    Residual,
    Sequential,
    Sigmoid,
)
from neocog.losses import SoftmaxCrossEntropy
from neocog.optimizers import SGD
from neocog.training import make_step

from .comparing import worst_difference
from .onnx_graphs import runtime


class SqueezeExcitation(nn.Module):
    """As torchvision has it; ``how`` is one of the ways in which others write it."""

    def __init__(self, channels, squeezed, how):
        super().__init__()
        self.how = how
        make = nn.Linear if how == "rows" else lambda i, o: nn.Conv2d(i, o, 1)
        self.fc1, self.fc2 = make(channels, squeezed), make(squeezed, channels)

    def forward(self, x):
        if self.how == "pool":
            gate = torch.sigmoid(self.fc2(F.relu(self.fc1(F.adaptive_avg_pool2d(x, 1)))))
            return gate * x
        if self.how == "mean":
            gate = self.fc2(F.relu(self.fc1(x.mean((2, 3), keepdim=True)), inplace=True)).sigmoid()
            return x.mul(gate)
        b, c, _, _ = x.size()
        gate = self.fc2(F.relu(self.fc1(x.mean((2, 3)).view(b, c))))
        return x * torch.sigmoid(gate).view(b, c, 1, 1).expand_as(x)


class Block(nn.Module):
    def __init__(self, channels, how):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.se = SqueezeExcitation(channels, 3, how)

    def forward(self, x):
        y = F.silu(self.bn1(self.conv1(x)))
        y = self.se(self.bn2(self.conv2(y)))
        y += x
        return F.relu(y)


class Network(nn.Module):
    def __init__(self, how):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.blocks = nn.Sequential(Block(8, how), Block(8, how))
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


WAYS = ["pool", "mean", "rows"]
IMAGES = np.random.default_rng(0).normal(size=(4, 3, 12, 10))
LABELS = np.array([0, 3, 4, 1])


def module_of(how):
    torch.manual_seed(0)
    module = Network(how).double()
    for array in [*module.parameters(), *module.buffers()]:
        if array.ndim == 1 and array.dtype == torch.float64:
            nn.init.uniform_(array.data, 0.5, 1.5)
    return module


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("training", [False, True])
def test_as_in_pytorch(how, training):
    module = module_of(how)
    network = from_torch(module, IMAGES.shape[1:])
    y = network.forward(IMAGES)[0]
    np.testing.assert_allclose(y, module.eval()(torch.tensor(IMAGES)).detach(), rtol=1e-12, atol=1e-12)
    assert worst_difference(network, module, IMAGES, training) < 1e-10


@pytest.mark.parametrize("how", WAYS)
def test_a_compiled_step_moves_the_weights_as_pytorch_does(how):
    module = module_of(how).train()
    network = from_torch(module, IMAGES.shape[1:])
    assert not uncompiled(network, IMAGES.shape, training=True)
    with neocog.use_kernels("fused"):
        value = make_step(network, SoftmaxCrossEntropy(), SGD(0.1))(IMAGES, LABELS)
    loss = F.cross_entropy(module(torch.tensor(IMAGES)), torch.tensor(LABELS))
    loss.backward()
    torch.optim.SGD(module.parameters(), 0.1).step()
    assert value == pytest.approx(loss.item(), rel=1e-12)
    dense = {f"{name}.weight" for name, layer in network.leaves() if isinstance(layer, Dense)}
    for name, tensor in module.named_parameters():
        array = network.params[name].T if name in dense else network.params[name]
        np.testing.assert_allclose(array, tensor.detach(), rtol=1e-10, atol=1e-10, err_msg=name)


@pytest.mark.parametrize("how", WAYS)
def test_onnx_there_and_back(how):
    network = from_torch(module_of(how), IMAGES.shape[1:])
    again = from_onnx(to_onnx(network, input_shape=IMAGES.shape[1:], dtype="float64"))
    np.testing.assert_allclose(again(IMAGES), network(IMAGES), rtol=1e-12, atol=1e-12)
    single = network.astype("float32")
    y = runtime(to_onnx(single, input_shape=IMAGES.shape[1:]), IMAGES.astype("float32"))
    np.testing.assert_allclose(y, network(IMAGES), rtol=1e-4, atol=1e-5)


def own(channels, squeezed):
    """A block as a graph of neocog's own layers."""
    return Graph(
        {
            "squeeze": (Mean((2, 3), keepdims=True), "input"),
            "fc1": (Conv2D(channels, squeezed, 1, rng=0), "squeeze"),
            "relu": (ReLU(), "fc1"),
            "fc2": (Conv2D(squeezed, channels, 1, rng=1), "relu"),
            "gate": (Sigmoid(), "fc2"),
            "excited": (Multiply(), "input", "gate"),
        }
    )


def test_a_block_of_neocogs_own():
    network = Sequential(
        stem=Conv2D(3, 6, 3, padding=1, rng=2),
        block=Residual(own(6, 2)),
        pool=GlobalAvgPool2D(),
        head=Dense(6, 5, rng=3),
    ).astype("float64")
    module = to_torch(network)
    assert worst_difference(network, module, IMAGES, training=True) < 1e-10
    assert not uncompiled(network, IMAGES.shape, training=True)
    twin = copy.deepcopy(network)
    with neocog.use_kernels("fused"):
        value = make_step(network, SoftmaxCrossEntropy(), SGD(0.1))(IMAGES, LABELS)
    with neocog.use_kernels("reference"):
        expected = make_step(twin, SoftmaxCrossEntropy(), SGD(0.1))(IMAGES, LABELS)
    assert value == pytest.approx(expected, rel=1e-12)
    for name, array in network.params.items():
        np.testing.assert_allclose(array, twin.params[name], rtol=1e-11, atol=1e-12, err_msg=name)
