"""Blocks that split, shuffle or normalise channels come in from PyTorch as they compute, learn and step."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import neocog
from neocog.interop.torch import from_torch, to_torch
from neocog.interop.torch.graph_builder import UnsupportedError
from neocog.layers import LayerNorm, Sequential, StochasticDepth, Transpose
from neocog.losses import SoftmaxCrossEntropy
from neocog.optimizers import SGD

from .comparing import worst_difference


def normal(*shape):
    return np.random.default_rng(3).normal(size=shape)


def awake(module):
    """Give every array of a module numbers of its own."""
    torch.manual_seed(4)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.uniform_(-1, 1)
        for name, buffer in module.named_buffers():
            if "running" in name:
                buffer.uniform_(0.5, 1.5)
    return module.double()


class Function(nn.Module):
    """A function of one input."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def channel_shuffle(x, groups):
    """As torchvision writes it."""
    batchsize, num_channels, height, width = x.size()
    channels_per_group = num_channels // groups
    x = x.view(batchsize, groups, channels_per_group, height, width)
    x = torch.transpose(x, 1, 2).contiguous()
    return x.view(batchsize, num_channels, height, width)


class ShuffleNetUnit(nn.Module):
    """A unit of ShuffleNetV2: half of the channels go through a branch, then all are interleaved."""

    def __init__(self, channels):
        super().__init__()
        half = channels // 2
        self.branch2 = nn.Sequential(
            nn.Conv2d(half, half, 1, bias=False),
            nn.BatchNorm2d(half),
            nn.ReLU(inplace=True),
            nn.Conv2d(half, half, 3, padding=1, groups=half, bias=False),
            nn.BatchNorm2d(half),
            nn.Conv2d(half, half, 1, bias=False),
            nn.BatchNorm2d(half),
            nn.ReLU(inplace=True),
        )

    def forward(self, x):
        x1, x2 = x.chunk(2, dim=1)
        return channel_shuffle(torch.cat((x1, self.branch2(x2)), dim=1), 2)


class LayerNorm2d(nn.LayerNorm):
    """The norm of ConvNeXt's stem, as torchvision and timm write it."""

    def forward(self, x):
        x = x.permute(0, 2, 3, 1)
        x = F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)


class Permute(nn.Module):
    def __init__(self, *dims):
        super().__init__()
        self.dims = dims

    def forward(self, x):
        return torch.permute(x, self.dims)


class ConvNeXtBlock(nn.Module):
    """A block of ConvNeXt as torchvision writes it: its dense layers act on channels that come last."""

    def __init__(self, dim):
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(dim, dim, 7, padding=3, groups=dim),
            Permute(0, 2, 3, 1),
            nn.LayerNorm(dim, eps=1e-6),
            nn.Linear(dim, 4 * dim),
            nn.GELU(),
            nn.Linear(4 * dim, dim),
            Permute(0, 3, 1, 2),
        )
        self.layer_scale = nn.Parameter(torch.ones(dim, 1, 1) * 0.5)

    def forward(self, x):
        return x + self.layer_scale * self.block(x)


class Mlp(nn.Module):
    """As timm writes it."""

    def __init__(self, dim):
        super().__init__()
        self.fc1, self.act, self.drop1 = nn.Linear(dim, 2 * dim), nn.GELU(), nn.Dropout(0.0)
        self.fc2, self.drop2 = nn.Linear(2 * dim, dim), nn.Dropout(0.0)

    def forward(self, x):
        return self.drop2(self.fc2(self.drop1(self.act(self.fc1(x)))))


class TimmBlock(nn.Module):
    """The same block as timm writes it, its dense layers in a module of their own."""

    def __init__(self, dim):
        super().__init__()
        self.conv_dw = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.norm, self.mlp = nn.LayerNorm(dim, eps=1e-6), Mlp(dim)
        self.gamma = nn.Parameter(torch.full((dim,), 0.5))

    def forward(self, x):
        shortcut = x
        x = self.norm(self.conv_dw(x).permute(0, 2, 3, 1))
        x = self.mlp(x).permute(0, 3, 1, 2)
        return shortcut + x.mul(self.gamma.reshape(1, -1, 1, 1))


BLOCKS = {
    "ShuffleNetV2": (
        lambda: ShuffleNetUnit(8),
        "chunk chunk_1 branch2 cat channel_shuffle",
        {"Slice": 2, "ChannelShuffle": 1, "Conv2D": 3, "BatchNorm2D": 3, "ReLU": 2, "Concat": 1},
        {},
    ),
    "ConvNeXt": (
        lambda: ConvNeXtBlock(8),
        "block scale add",
        {"Conv2D": 3, "LayerNorm": 1, "GELU": 1, "Scale": 1, "Add": 1},
        {"scale.weight": "layer_scale"},
    ),
    "ConvNeXt of timm": (
        lambda: TimmBlock(8),
        "conv_dw norm mlp scale add",
        {"Conv2D": 3, "LayerNorm": 1, "GELU": 1, "Dropout": 2, "Scale": 1, "Add": 1},
        {"scale.weight": "gamma"},
    ),
    "a norm": (
        lambda: nn.Sequential(nn.Conv2d(8, 8, 1), LayerNorm2d(8)),
        "0 1",
        {"LayerNorm": 1, "Conv2D": 1},
        {},
    ),
}


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", BLOCKS)
def test_blocks(name, training):
    """Outputs and gradients are PyTorch's, and each block is made of the layers that it is thought of in."""
    make, children, kinds, names = BLOCKS[name]
    module = awake(make())
    network = from_torch(module, input_shape=(8, 6, 5))
    assert list(network.children) == children.split()
    leaves = [type(layer).__name__ for _, layer in network.leaves()]
    assert {kind: leaves.count(kind) for kind in leaves} == kinds
    x = normal(3, 8, 6, 5)
    np.testing.assert_allclose(network(x), module.eval()(torch.tensor(x)).detach(), rtol=1e-12, atol=1e-12)
    assert worst_difference(network, module, x, training, names) < 1e-10


@pytest.mark.parametrize("name", ["ConvNeXt", "ConvNeXt of timm", "a norm"])
def test_blocks_whose_sizes_nobody_asks_for(name):
    """A transposition shows that a dense layer is given images, whatever their size."""
    module = awake(BLOCKS[name][0]())
    assert repr(from_torch(module)) == repr(from_torch(module, input_shape=(8, 6, 5)))


class Classifier(nn.Module):
    def __init__(self, block):
        super().__init__()
        self.block, self.head = block, nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.block(x).mean((2, 3)))


@pytest.mark.parametrize("kernels", ["reference", "fused"])
@pytest.mark.parametrize("name", BLOCKS)
def test_a_training_step(name, kernels):
    """One step of SGD on the block and a head: loss, and every parameter and statistic afterwards."""
    module = awake(Classifier(BLOCKS[name][0]()))
    network = from_torch(module, input_shape=(8, 6, 5))
    x, y = normal(4, 8, 6, 5), np.array([0, 2, 1, 1])
    module.train()
    loss = F.cross_entropy(module(torch.tensor(x)), torch.tensor(y))
    loss.backward()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter -= 0.1 * parameter.grad
    with neocog.use_kernels(kernels):
        step = neocog.training.make_step(network, SoftmaxCrossEntropy(), SGD(0.1))
        value = step(x, y)
    assert value == pytest.approx(loss.item(), rel=1e-12)
    # Both have the order of the module's own parameters but for those that are functions'.
    after = from_torch(module, input_shape=(8, 6, 5))
    for kind in ("params", "buffers"):
        mine, theirs = getattr(network, kind), getattr(after, kind)
        assert list(mine) == list(theirs)
        for key, array in mine.items():
            np.testing.assert_allclose(array, theirs[key], rtol=1e-10, atol=1e-12, err_msg=key)


PARTS = {
    "x[:, 1:3]": (lambda x: x[:, 1:3], (2, 4, 5)),
    "x[:, -2:]": (lambda x: x[:, -2:], (2, 4, 5)),
    "x[:, ::2]": (lambda x: x[:, ::2], (3, 4, 5)),
    "x[:, 1:5:3, 1:, ::2]": (lambda x: x[:, 1:5:3, 1:, ::2], (2, 3, 3)),
    "x[..., 1:-1]": (lambda x: x[..., 1:-1], (6, 4, 3)),
    "x[:, 2]": (lambda x: x[:, 2], (4, 5)),
    "x[:, -1, 1:]": (lambda x: x[:, -1, 1:], (3, 5)),
    "x[:, :, 0, 0]": (lambda x: x[:, :, 0, 0], (6,)),
    "chunk": (lambda x: torch.cat(x.chunk(4, 1)[::2], 1), (4, 4, 5)),
    "chunk of pixels": (lambda x: torch.chunk(x, 3, -1)[2], (6, 4, 1)),
    "split": (lambda x: torch.cat(torch.split(x, 4, dim=1)[::-1], 1), (6, 4, 5)),
    "split into sizes": (lambda x: x.split([1, 2, 3], 1)[1], (2, 4, 5)),
    "split_with_sizes": (lambda x: x.split_with_sizes((2, 4), dim=1)[1], (4, 4, 5)),
    "unbind": (lambda x: x.unbind(1)[4] + torch.unbind(x, 1)[0], (4, 5)),
    "narrow": (lambda x: x.narrow(1, -4, 4), (4, 4, 5)),
    "select": (lambda x: x.select(1, 3), (4, 5)),
    "channel_shuffle": (lambda x: F.channel_shuffle(x, 3), (6, 4, 5)),
    "instance_norm": (lambda x: F.instance_norm(x, eps=0.1), (6, 4, 5)),
    "group_norm": (lambda x: F.group_norm(x, 3, eps=0.1), (6, 4, 5)),
    "shuffled pixels": (lambda x: x.view(-1, 6, 2, 2, 5).transpose(2, 3).reshape(-1, 6, 4, 5), (6, 4, 5)),
}


@pytest.mark.parametrize("name", PARTS)
def test_parts(name):
    """Slices and splits by any of their names."""
    function, shape = PARTS[name]
    module = Function(function)
    network = from_torch(module, input_shape=(6, 4, 5))
    x = normal(2, 6, 4, 5)
    assert network.output_shape(x.shape) == (2, *shape)
    assert worst_difference(network, module, x, training=False) < 1e-12


def test_a_split_shuffles_only_whole_maps():
    """What swaps the halves of the rows, too, in one transposition is no shuffle of channels."""
    module = Function(lambda x: x.view(-1, 2, 12, 5).transpose(1, 2).reshape(-1, 6, 4, 5))
    network = from_torch(module, input_shape=(6, 4, 5))
    assert [type(layer).__name__ for _, layer in network.leaves()] == ["Reshape", "Transpose", "Reshape"]
    assert worst_difference(network, module, normal(2, 6, 4, 5), training=False) < 1e-12


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("make", [nn.InstanceNorm2d, nn.InstanceNorm1d])
def test_instance_norm(make, affine):
    module = awake(make(3, eps=0.1, affine=affine))
    network = from_torch(module)
    x = normal(2, 3, 4, 5)[:, :, :, 0] if make is nn.InstanceNorm1d else normal(2, 3, 4, 5)
    assert worst_difference(network, module, x, training=True) < 1e-12
    assert network.params.keys() == dict(module.named_parameters()).keys()


class Learned(nn.Module):
    """A function of the input, a weight and a bias."""

    def __init__(self, function, C):
        super().__init__()
        self.function = function
        self.weight, self.bias = nn.Parameter(torch.ones(C)), nn.Parameter(torch.zeros(C))

    def forward(self, x):
        return self.function(x, self.weight, self.bias)


def test_instance_norm_as_a_function():
    module = awake(Learned(lambda x, w, b: F.instance_norm(x, weight=w, bias=b, eps=0.1), 3))
    network = from_torch(module, input_shape=(3, 4, 5))
    names = {f"instance_norm.{name}": name for name in ("weight", "bias")}
    assert worst_difference(network, module, normal(2, 3, 4, 5), training=True, names=names) < 1e-12


def test_a_network_of_transpositions_comes_back_as_it_was():
    """What to_torch makes is read back layer by layer, though it could be one layer."""
    network = Sequential(Transpose((0, 2, 3, 1)), LayerNorm(4), Transpose((0, 3, 1, 2)))
    assert repr(from_torch(to_torch(network), input_shape=(4, 3, 3))) == repr(network)


def of_library(qualified, **attributes):
    """Return a module of a library's class, whose forward nobody may trace."""
    module, _, kind = qualified.rpartition(".")

    def forward(self, x):
        raise AssertionError("its forward was called")

    return type(kind, (nn.Module,), {"__module__": module, "forward": forward, **attributes})()


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (
            of_library("torchvision.ops.stochastic_depth.StochasticDepth", p=0.2, mode="batch"),
            StochasticDepth(0.2, "batch"),
        ),
        (of_library("timm.layers.drop.DropPath", drop_prob=0.3, scale_by_keep=True), StochasticDepth(0.3)),
        (of_library("timm.layers.drop.DropPath", drop_prob=None, scale_by_keep=True), StochasticDepth(0.0)),
    ],
)
def test_stochastic_depth_of_other_libraries(module, expected):
    """They are known by name, as their forward takes another path in training."""
    assert repr(from_torch(module)) == repr(expected)


def test_a_drop_path_that_does_not_scale_is_refused():
    module = of_library("timm.layers.drop.DropPath", drop_prob=0.3, scale_by_keep=False)
    with pytest.raises(UnsupportedError, match="scale_by_keep=False has no counterpart; True is supported"):
        from_torch(module)


@pytest.mark.parametrize("mode", ["row", "batch"])
def test_the_module_of_stochastic_depth_drops_images(mode):
    """In training, PyTorch's numbers of an image are all dropped or all doubled; half of them are dropped."""
    module = to_torch(StochasticDepth(0.5, mode)).train()
    torch.manual_seed(0)
    y = torch.stack([module(torch.ones(10, 2, 3, 1)) for _ in range(100)]).reshape(100, 10, 6)
    assert set(map(tuple, y.reshape(-1, 6).tolist())) == {(0.0,) * 6, (2.0,) * 6}
    alike = [len(set(batch)) == 1 for batch in y[:, :, 0].tolist()]
    assert all(alike) if mode == "batch" else not any(alike)
    assert 0.35 < (y == 0).double().mean() < 0.65
    assert torch.equal(module.eval()(y), y)
