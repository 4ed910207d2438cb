"""TensorFlow's "same" padding as PyTorch's programs compute it: a function of the sizes, before the layer."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from neocog.interop.torch import UnsupportedError, from_torch
from neocog.layers import AvgPool2D, Conv2D, MaxPool2D, Pad2D

from .comparing import worst_difference

SHAPE = (2, 7, 10)
X = np.random.default_rng(1).normal(size=(3, *SHAPE))


def padded(x, kernel_size, stride, value=0.0):
    """Pad as timm does, where there is anything to pad."""
    totals = [
        max((math.ceil(size / s) - 1) * s + k - size, 0)
        for size, k, s in zip(x.shape[-2:], kernel_size, stride, strict=True)
    ]
    if any(totals):
        (down, across) = totals
        x = F.pad(x, (across // 2, across - across // 2, down // 2, down - down // 2), value=value)
    return x


class SameConv2d(nn.Conv2d):
    def forward(self, x):
        x = padded(x, self.kernel_size, self.stride)
        return F.conv2d(x, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


class SameMaxPool2d(nn.MaxPool2d):
    def forward(self, x):
        return F.max_pool2d(padded(x, (3, 3), (2, 2), -math.inf), 3, 2)


class SameAvgPool2d(nn.AvgPool2d):
    def forward(self, x):
        return F.avg_pool2d(padded(x, (3, 3), (2, 2)), 3, 2)


def test_it_becomes_the_layers_own():
    """Under the names that the module has, so that its weights fit."""
    convolutions = (
        SameConv2d(2, 4, 3, stride=2),
        SameConv2d(4, 4, (3, 2), stride=(1, 2), groups=4, bias=False),
    )
    module = nn.Sequential(*convolutions, SameMaxPool2d(3), SameAvgPool2d(3)).double()
    network = from_torch(module, input_shape=SHAPE)
    layers = [type(layer) for _, layer in network.leaves()]
    assert layers == [Conv2D, Conv2D, MaxPool2D, AvgPool2D]
    assert list(network.params) == list(dict(module.named_parameters()))
    assert worst_difference(network, module, X, training=True) < 1e-10


def test_it_is_that_of_the_layer():
    module = SameConv2d(2, 3, (4, 3), stride=(3, 2)).double()
    own = Conv2D(2, 3, (4, 3), (3, 2), "same", rng=0, dtype="float64")
    own.load({name: tensor.detach().numpy() for name, tensor in module.named_parameters()})
    for height, width in ((7, 10), (8, 9), (9, 3), (1, 2)):
        x = np.random.default_rng(2).normal(size=(2, 2, height, width))
        np.testing.assert_allclose(own(x), module(torch.tensor(x)).detach(), rtol=1e-12, atol=1e-12)


def test_without_sizes_it_is_said_what_is_needed():
    with pytest.raises(
        UnsupportedError, match=r"SameConv2d: .*sizes of the maps: pass input_shape=\(C, H, W\)"
    ):
        from_torch(SameConv2d(2, 3, 3, stride=2))


class Other(nn.Module):
    """Padding that is no part of what follows."""

    def __init__(self, function):
        super().__init__()
        self.conv, self.function = nn.Conv2d(2, 2, 3), function

    def forward(self, x):
        return self.function(self.conv, x)


def twice(conv, x):
    x = F.pad(x, (1, 1, 1, 1))
    return conv(x) + F.avg_pool2d(x, 3, 1)


@pytest.mark.parametrize(
    "module",
    [
        nn.Sequential(nn.ZeroPad2d(1), nn.Conv2d(2, 2, 3)),  # a module of its own keeps its name
        Other(lambda conv, x: conv(F.pad(x, (1, 0), value=2.0))),
        Other(lambda conv, x: conv(F.pad(x, (1, 0, 0, 1), mode="reflect"))),
        Other(lambda conv, x: F.max_pool2d(F.pad(conv(x), (1, 1)), 3)),  # zeros may win
        Other(lambda conv, x: F.avg_pool2d(F.pad(conv(x), (1, 1)), 3, 1, 1, count_include_pad=False)),
        Other(lambda conv, x: F.avg_pool2d(F.pad(conv(x), (0, 2)), 3, 2, ceil_mode=True)),
        Other(lambda conv, x: F.avg_pool2d(F.pad(conv(x), (3, 0)), 3)),  # a window of nothing but padding
        Other(twice),
    ],
)
def test_other_padding_stays(module):
    module = module.double()
    network = from_torch(module, input_shape=SHAPE)
    assert Pad2D in {type(layer) for _, layer in network.leaves()}
    assert worst_difference(network, module, X, training=True) < 1e-10


def test_padding_adds_up():
    module = Other(lambda conv, x: F.conv2d(F.pad(x, (0, 2, 1, 0)), conv.weight, conv.bias, padding=(1, 2)))
    network = from_torch(module.double())
    ((_, layer),) = network.leaves()
    assert layer.padding == ((2, 1), (2, 4))
    np.testing.assert_allclose(network(X), module(torch.tensor(X)).detach(), rtol=1e-12, atol=1e-12)
