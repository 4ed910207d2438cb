"""Modules of PyTorch as networks: the same numbers, gradients and names, or a clear refusal."""

import copy
import random
import subprocess
import sys
import warnings
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import neocog
from neocog.interop.torch import ConversionWarning, UnsupportedError, from_torch, register_module, to_torch
from neocog.layers import Add, Dense, Graph, Layer, ReLU, Residual, Sequential, Transpose

from ..models import torch_twins as twins  # noqa: TID252
from . import nets
from .comparing import without_dropout, worst_difference


def awake(module):
    """Give biases and batch norms numbers that are not zeros and ones."""
    generator = torch.Generator().manual_seed(0)
    for tensor in [*module.parameters(), *module.buffers()]:
        if tensor.ndim == 1:
            tensor.data.uniform_(0.5, 1.5, generator=generator)
    return module.double()


def sequential():
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True)),
        nn.Identity(),
        nn.Dropout(0.0),
        nn.AdaptiveMaxPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 3),
        nn.BatchNorm1d(3),
        nn.Softmax(dim=-1),
    )


# Modules that ``to_torch`` does not write, or with options that it writes otherwise.
CHAIN = [
    nn.ReLU6(),
    nn.Hardtanh(-1.5, 0.5),
    nn.SiLU(),
    nn.ELU(0.4),
    nn.SELU(),
    nn.Softplus(2),
    nn.Mish(),
    nn.Conv2d(3, 4, (3, 2), (2, 1), (1, 0), (1, 2), bias=False),
    nn.Conv2d(3, 6, 4, padding="same", groups=3),
    nn.Conv2d(3, 6, 4, padding="valid"),
    nn.Conv2d(3, 4, 3, padding=(1, 2), padding_mode="circular"),
    nn.Conv2d(3, 4, 4, padding="same", padding_mode="reflect"),
    nn.Conv2d(3, 4, 3, padding=1, padding_mode="replicate"),
    nn.MaxPool2d(3, 2, 1, 2, ceil_mode=True),
    nn.MaxPool2d((2, 3)),
    nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False),
    nn.AvgPool2d(2, divisor_override=3),
    nn.ConvTranspose2d(3, 4, 3, stride=2, padding=1, output_padding=1),
    nn.ConvTranspose2d(3, 6, (2, 3), (1, 2), groups=3, bias=False, dilation=(2, 1)),
    nn.Upsample(scale_factor=2),
    nn.Upsample(scale_factor=(1.5, 3.0)),
    nn.Upsample((5, 3), mode="bilinear", align_corners=True),
    nn.Upsample(scale_factor=2, mode="nearest-exact"),
    nn.Upsample(scale_factor=(1.3, 2), mode="bilinear", recompute_scale_factor=True),
    nn.UpsamplingNearest2d(scale_factor=3),
    nn.UpsamplingBilinear2d(size=7),
    nn.AdaptiveAvgPool2d(1),
    nn.AdaptiveAvgPool2d((None, 1)),
    nn.AdaptiveAvgPool2d((4, 2)),
    nn.AdaptiveMaxPool2d((2, 1)),
    nn.ConstantPad2d((1, 2, 0, 3), -1.5),
    nn.ZeroPad2d(1),
    nn.ReflectionPad2d((1, 0, 2, 1)),
    nn.ReplicationPad2d(2),
    nn.CircularPad2d(1),
    nn.Flatten(),
    nn.Flatten(2),
    nn.Flatten(1, 2),
]


def plus_itself(x, function):
    """Add what a function makes of a value to the value, into which the function has written."""
    y = function(x)
    return x + y


def in_place(function, x):
    return plus_itself(F.avg_pool2d(x, 2), lambda y: function(y, inplace=True))


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


FUNCTIONS = {
    "relu": lambda x: torch.relu(x).relu(),
    "relu_": lambda x: torch.relu_(x.clone()),
    "sigmoid": lambda x: F.sigmoid(x) + torch.sigmoid(x) + x.sigmoid(),
    "tanh": lambda x: F.tanh(x) + x.tanh(),
    "gelu": lambda x: F.gelu(x) + F.gelu(x, approximate="tanh"),
    "softmax": lambda x: F.softmax(x, dim=1) + x.softmax(-1) + torch.softmax(x, 2),
    "log_softmax": lambda x: F.log_softmax(x, dim=1) + x.log_softmax(-1),
    "max_pool2d": lambda x: F.max_pool2d(x, 3, stride=1, padding=1) + F.max_pool2d(x, (3, 3), 1, 1),
    "avg_pool2d": lambda x: F.avg_pool2d(x, 2, ceil_mode=True) + F.avg_pool2d(x, [2, 2]),
    "pool of the whole map": lambda x: F.avg_pool2d(x, x.size()[2:]).view(x.size(0), -1),
    "interpolate": lambda x: F.interpolate(x, scale_factor=2.0) + F.interpolate(x, (2 * x.shape[2], 12)),
    "interpolate to the size of another": lambda x: (
        x + F.interpolate(F.avg_pool2d(x, 2), size=x.shape[-2:], mode="bilinear", align_corners=False)
    ),
    "adaptive": lambda x: F.adaptive_avg_pool2d(x, 1) + F.adaptive_max_pool2d(x, (1, 1)),
    "squeeze": lambda x: F.adaptive_avg_pool2d(x, 1).squeeze(-1).squeeze(-1),
    "flatten": lambda x: x.contiguous().flatten(1),
    "flatten 2": lambda x: torch.flatten(x, start_dim=2),
    "flatten 1 2": lambda x: torch.flatten(x, 1, -2),
    "view": lambda x: x.view(x.shape[0], -1),
    "view of the rest": lambda x: x.view(-1, x.size(1) * x.size(2) * x.size(3)),
    "reshape": lambda x: x.reshape((x.size(0), x.size(1), -1)),
    "torch.reshape": lambda x: torch.reshape(x, (-1, 3, 48)),
    "mean": lambda x: x.mean((-1, -2)),
    "mean keepdim": lambda x: torch.mean(x, dim=(2, 3), keepdim=True) + x,
    "add": lambda x: torch.add(x, x) + x.add(x),
    "sum": lambda x: sum([x, torch.tanh(x)]),
    "add_": lambda x: (x + x).add_(x),
    "cat": lambda x: torch.cat([x, x.relu()], 1),
    "cat of rows": lambda x: torch.cat((x, x, x), dim=-2),
    "concat": lambda x: torch.concat([x, x], axis=3),
    "permute": lambda x: x.permute(0, 2, 3, 1).permute((0, 3, 1, 2)),
    "transpose": lambda x: x.transpose(2, 3).contiguous(),
    "pad": lambda x: F.pad(x, (1, 2)) + F.pad(x, (0, 3, 0, 0), value=2.0),
    "pad reflect": lambda x: F.pad(x, (1, 2, 3, 0), mode="reflect"),
    "pad channels": lambda x: F.pad(x, (0, 0, 0, 0, 0, 2)),
    "pad channels before": lambda x: F.pad(x, (0, 0, 0, 0, 1, 2)),
    "slice": lambda x: x[:, :, ::2, ::3] + x[..., ::2, ::3],
    "local_response_norm": lambda x: F.local_response_norm(x, 2, alpha=0.5),
    "dropout": lambda x: F.dropout(x, 0.5, training=False) + x,
    "unused": lambda x: (x.tanh(), x.sigmoid())[1],
    "input=": lambda x: F.relu(input=x) + torch.relu(input=x),
    "flatten input=": lambda x: torch.flatten(input=x, start_dim=1),
    "add input=, other=": lambda x: torch.add(input=x, other=x) + x.add(other=x),
    "cat tensors=": lambda x: torch.cat(tensors=[x, x], dim=1),
    "permute dims=": lambda x: torch.permute(input=x.permute(dims=(0, 2, 3, 1)), dims=(0, 2, 1, 3)),
    "reshape shape=": lambda x: torch.reshape(x, shape=(-1, 3, 48)) + x.reshape(shape=(x.size(0), 3, -1)),
    "view size=": lambda x: x.view(size=(x.size(dim=0), -1)),
    "relu6, hardtanh, clamp": lambda x: F.relu6(x) + F.hardtanh(x, -0.5, 2.0),
    "clamps": lambda x: x.clamp(-0.5, 1) + torch.clamp(x, max=0.3) + x.clamp_min(0.2) + torch.clamp_max(x, 1),
    "silu, elu, selu, mish": lambda x: F.silu(x) + F.elu(x, 0.3) + F.selu(x) + F.mish(x, inplace=False),
    "softplus": lambda x: F.softplus(x, beta=2),
    "in place": lambda x: in_place(F.relu6, x) + in_place(F.hardtanh, x),
    "clamp_": lambda x: plus_itself(F.avg_pool2d(x, 2), lambda y: y.clamp_(-0.2, 0.5)),
    "axis=, keepdims=": lambda x: torch.mean(x, axis=(2, 3), keepdims=True) + x.softmax(axis=1),
}

MODULES = {
    "Sequential": (sequential(), (5, 3, 8, 6)),
    "ResNet of BasicBlocks": (nets.ResNet(nets.BasicBlock), (2, 3, 32, 24)),
    "ResNet of Bottlenecks": (nets.ResNet(nets.Bottleneck), (2, 3, 32, 32)),
    "Inception": (nets.Inception(), (2, 3, 11, 9)),
    "DenseNet": (nets.DenseNet(), (2, 3, 8, 8)),
    "DenseNet with dropout": (nets.DenseNet(0.5), (2, 3, 8, 8)),
    "AlexNet": (nets.AlexNet(), (2, 3, 14, 15)),
    "AlexNet at another size": (nets.AlexNet(), (2, 3, 26, 26)),
    "LeNet": (nets.LeNet(), (2, 3, 32, 32)),
    "Mnist": (nets.Mnist(), (2, 1, 16, 16)),
    "PreActBlock": (nets.PreActBlock(3, 5, 2), (2, 3, 6, 6)),
    "PreActBlock without shortcut": (nets.PreActBlock(3, 3), (2, 3, 6, 6)),
    "CifarBlock": (nets.CifarBlock(4, 8, 2), (2, 4, 7, 6)),
    "CifarBlock without shortcut": (nets.CifarBlock(3, 3), (2, 3, 7, 6)),
    "ShuffleUnit": (nets.ShuffleUnit(), (2, 4, 5, 6)),
    "Listed": (nets.Listed(), (2, 3, 5, 6)),
    "twin ResNet-18": (twins.ResNet(twins.BasicBlock, (2, 2, 2, 2), 10), (2, 3, 64, 64)),
    "twin ResNet-50": (twins.ResNet(twins.Bottleneck, (3, 4, 6, 3), 10), (2, 3, 64, 64)),
    "twin ResNet-20": (twins.ResNet(twins.BasicBlock, (3, 3, 3), 10, small=True), (2, 3, 15, 16)),
    "twin LeNet-5": (twins.LeNet5(0, 400, 10), (2, 1, 32, 32)),
    "twin VGG": (twins.vgg((8, "M", 8, 16, "M"), 16 * 4 * 4, 10, batch_norm=True), (2, 3, 16, 16)),
}
MODULES |= {f"{k} {module}": (nn.Sequential(module), (2, 3, 8, 6)) for k, module in enumerate(CHAIN)}
MODULES |= {name: (Function(function), (2, 3, 8, 6)) for name, function in FUNCTIONS.items()}


@pytest.mark.filterwarnings("ignore:Using padding='same'")  # PyTorch's, about its speed
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", MODULES)
def test_same_as_pytorch(name, training, monkeypatch):
    """Outputs, all gradients and running statistics; the arrays have the module's names."""
    module, shape = MODULES[name]
    torch.manual_seed(0)
    module = awake(module)
    network = without_dropout(from_torch(module, shape[1:]))
    assert not isinstance(network, neocog.Sequential | Graph) or network.input_shape == shape[1:]
    monkeypatch.setattr(F, "dropout", lambda x, *args, **kwargs: x)  # the random numbers differ
    x = np.random.default_rng(1).normal(size=shape)
    assert worst_difference(network, module, x, training) < 1e-10


def test_names_that_cannot_be_kept():
    """Values within a list that are used outside, shared weights, a module's own parameters."""
    x = np.random.default_rng(1).normal(size=(2, 3, 6, 6))
    tapped = {f"layers_{k}.{key}": f"layers.{k}.{key}" for k in range(3) for key in ("weight", "bias")}
    own = {"conv2d.weight": "kernel", "bias.bias": "offset", "linear.weight": "weight", "linear.bias": "bias"}
    arrays = ("weight", "bias", "running_mean", "running_var")
    interleaved = {f"norms_{k}.{key}": f"norms.{k}.{key}" for k in range(2) for key in arrays}
    interleaved |= {"convs_0.weight": "convs.0.weight", "convs_1_.weight": "convs.1.weight"}
    for module, names in (
        (nets.Tapped(), tapped),
        (nets.OwnParameters(), own),
        (nets.Shared(), {}),
        (nets.Interleaved(), interleaved),
    ):
        module = awake(module)
        assert worst_difference(from_torch(module), module, x, False, names) < 1e-10


class FunctionalNorm(nn.Module):
    """Batch norm as a function: its mode is an argument beside others that are parameters."""

    def __init__(self, mode=None, statistics=True, affine=True, by_name=False, channels=3):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, eps=0.1, momentum=0.3)
        self.mode, self.statistics, self.affine, self.by_name = mode, statistics, affine, by_name

    def forward(self, x):
        n = self.norm
        statistics = (n.running_mean, n.running_var) if self.statistics else (None, None)
        weights = (n.weight, n.bias) if self.affine else (None, None)
        mode = self.training if self.mode is None else self.mode
        if self.by_name:
            y = F.batch_norm(x, *statistics, *weights, training=mode, eps=n.eps, momentum=n.momentum)
        else:
            y = F.batch_norm(x, *statistics, *weights, mode, n.momentum, n.eps)
        return y + x


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("by_name", [False, True])
def test_batch_norm_as_a_function(by_name, training):
    """As timm's BatchNormAct2d has it."""
    module = awake(FunctionalNorm(by_name=by_name))
    network = from_torch(module, (3, 5, 4))
    x = np.random.default_rng(1).normal(size=(4, 3, 5, 4))
    arrays = ("weight", "bias", "running_mean", "running_var")
    (own,) = {name.rpartition(".")[0] for name in network.params}
    names = {f"{own}.{key}": f"norm.{key}" for key in arrays}
    assert worst_difference(network, module, x, training, names) < 1e-10


class Replaced(nn.Module):
    """Its forward is another of its methods, as timm's fasternet and fused convolutions have it."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.forward = self.forward_fast

    def forward_fast(self, x):
        return torch.relu(self.conv(x))

    def forward(self, x):
        return self.conv(x)


class WithMore(nn.Module):
    """A child that is given what it does not read, as timm's dla34 has it."""

    class Child(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, x, shortcut=None):
            return self.conv(x)

    def __init__(self):
        super().__init__()
        self.a, self.b = self.Child(), self.Child()

    def forward(self, x):
        return self.b(self.a(x), x)


@pytest.mark.parametrize("module", [Replaced(), nn.Sequential(Replaced(), nn.ReLU()), WithMore()])
def test_forwards_that_are_replaced_or_given_more(module):
    module = module.double()
    x = np.random.default_rng(1).normal(size=(2, 3, 6, 5))
    assert worst_difference(from_torch(module), module, x, True) < 1e-10


class Learned(nn.Module):
    """A function of a parameter of the module's own."""

    def __init__(self, function, *shapes):
        super().__init__()
        self.function = function
        self.arrays = nn.ParameterList([torch.randn(shape) for shape in shapes])

    def forward(self, x):
        return self.function(x, *self.arrays)


@pytest.mark.parametrize("function", [F.prelu, torch.prelu, lambda x, weight: x.prelu(weight)])
@pytest.mark.parametrize(("slopes", "shape"), [(1, (4, 3)), (3, (4, 3)), (3, (2, 3, 4, 4))])
def test_prelu_as_a_function(function, slopes, shape):
    module = Learned(function, slopes).double()
    x = np.random.default_rng(1).normal(size=shape)
    network = from_torch(module)
    names = dict(zip(network.params, dict(module.named_parameters()), strict=True))
    assert worst_difference(network, module, x, False, names) < 1e-10


def test_transposed_convolution_as_a_function():
    options = {"stride": (2, 1), "padding": 1, "output_padding": (1, 0), "groups": 2}
    module = Learned(lambda x, w, b: F.conv_transpose2d(x, w, b, **options), (4, 3, 2, 3), 6).double()
    network = from_torch(module)
    names = dict(zip(network.params, dict(module.named_parameters()), strict=True))
    x = np.random.default_rng(1).normal(size=(2, 4, 3, 5))
    assert worst_difference(network, module, x, False, names) < 1e-10


@pytest.mark.parametrize("shape", [(2, 6), (2, 6, 4, 3)])
def test_group_norm_as_a_function(shape):
    module = Learned(lambda x, w, b: F.group_norm(x, 2, w, b, 0.1), 6, 6).double()
    network = from_torch(module)
    assert [layer.eps for _, layer in network.leaves()] == [0.1]
    names = dict(zip(network.params, dict(module.named_parameters()), strict=True))
    x = np.random.default_rng(1).normal(size=shape)
    assert worst_difference(network, module, x, False, names) < 1e-10


@pytest.mark.parametrize("sizes", [(3,), (4, 3)])
def test_layer_norm_as_a_function(sizes):
    module = Learned(lambda x, w, b: F.layer_norm(x, sizes, w, b, 0.1), sizes, sizes).double()
    network = from_torch(module)
    assert [layer.eps for _, layer in network.leaves()] == [0.1]
    names = dict(zip(network.params, dict(module.named_parameters()), strict=True))
    x = np.random.default_rng(1).normal(size=(2, 6, 4, 3))
    assert worst_difference(network, module, x, False, names) < 1e-10


def test_shared_weights_stay_shared():
    module = awake(nets.Shared())
    network = from_torch(module)
    assert [*network.params] == [name for name, _ in module.named_parameters()]
    network.params["conv.weight"][...] = 0.5
    for each in (network, network.astype("float32")):
        arrays = {id(leaf.params["weight"]) for _, leaf in each.leaves() if "weight" in leaf.params}
        assert len(arrays) == 1


def test_a_module_called_twice_is_one_layer(tmp_path):
    """So it can be saved, which two layers with one array cannot."""

    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.block = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3))

        def forward(self, x):
            return self.block(torch.tanh(self.block(x)))

    module = awake(Twice())
    network = from_torch(module)
    assert [*network.params] == [name for name, _ in module.named_parameters()]
    neocog.save(network, tmp_path / "twice.neocog")
    x = np.random.default_rng(1).normal(size=(2, 3, 4, 4))
    np.testing.assert_array_equal(neocog.load(tmp_path / "twice.neocog")(x), network(x))
    assert worst_difference(network, module, x, training=True) < 1e-10


def test_two_inputs():
    module = awake(nets.TwoInputs())
    network = from_torch(module)
    assert network.inputs == ("image", "mask")
    rng = np.random.default_rng(1)
    x = (rng.normal(size=(2, 3, 4, 4)), rng.normal(size=(2, 1, 4, 4)))
    expected = module(*map(torch.tensor, x)).detach().numpy()
    np.testing.assert_allclose(network(x), expected, rtol=1e-12)
    with pytest.raises(ValueError, match=r"input_shape must be left out for .* \['image', 'mask'\]"):
        from_torch(module, (3, 4, 4))


def test_structure():
    """Containers mirror the modules; functions are named after themselves, apart from the children."""
    network = from_torch(nets.ResNet(nets.BasicBlock), (3, 32, 32))
    assert isinstance(network, Sequential)
    names = ["conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "avgpool", "flatten", "fc"]
    assert list(network.children) == names
    block = network["layer2"]["0"]
    assert isinstance(block, Graph)
    assert {*block.children} == {"conv1", "bn1", "relu", "conv2", "bn2", "downsample", "add", "relu_1"}
    assert block.sources["add"] == ("bn2", "downsample")
    listed = from_torch(nets.Listed())
    assert list(listed.children) == ["layers", "relu_1", "mean", "heads"]
    assert list(listed["layers"].children) == ["0", "relu", "1"]
    assert list(listed["heads"].children) == ["a"]


def test_dtype_and_memory():
    """Arrays of the module's dtype, C-contiguous, and copies."""
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(2, 3))
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    for dtype in ("float32", "float64", "float16"):
        network = from_torch(module.to(getattr(torch, dtype)))
        for array in network.params.values():
            assert array.dtype == dtype
            assert array.flags.c_contiguous
            assert array.flags.writeable
            array[...] = 0
    for name, tensor in module.float().state_dict().items():
        torch.testing.assert_close(tensor, before[name], rtol=1e-3, atol=1e-3)


def test_a_single_layer():
    layer = from_torch(nn.Linear(3, 2))
    assert repr(layer) == "Dense(3, 2)"
    assert repr(from_torch(nn.Identity())) == repr(from_torch(nn.Sequential())) == "Sequential()"
    assert repr(from_torch(Function(torch.tanh))) == "Tanh()"


@pytest.mark.parametrize("module", [nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d])
def test_adaptive_pooling_to_nearly_the_maps_own_size(module):
    """To that size itself it is nothing; windows of two pixels at a distance of one are a pooling."""
    assert repr(from_torch(module((4, 6)), (3, 4, 6))) == "Sequential()"
    x = np.random.default_rng(1).normal(size=(2, 3, 4, 6))
    for size in ((3, 6), (4, 5), (2, 6), (4, 3)):
        network = from_torch(module(size), (3, 4, 6))
        np.testing.assert_allclose(network(x), module(size)(torch.tensor(x)), rtol=1e-12)


def test_a_view_that_mixes_images():
    """Without input_shape it is not known whether ``view(-1, 8)`` does; it is carried as it is."""
    network = from_torch(Function(lambda x: x.view(-1, 8).flatten(1)))
    x = np.arange(32.0).reshape(2, 16)
    np.testing.assert_array_equal(network(x), x.reshape(4, 8))


class TimeDistributed(nn.Module):
    """Each row of each image goes through one dense layer, and the rows come together again."""

    def __init__(self, together):
        super().__init__()
        self.fc, self.relu, self.together = nn.Linear(4, 5), nn.Sequential(nn.ReLU()), together

    def forward(self, x):
        return self.together(self.relu(self.fc(x.view(-1, 4))), x)


@pytest.mark.parametrize(
    ("together", "place"),
    [
        (lambda y, x: y.view(x.size(0), -1), "Tensor.view in TimeDistributed"),
        (lambda y, x: y.clone().reshape(x.shape[0], 2, 20), "Tensor.reshape in TimeDistributed"),
        (lambda y, x: y.contiguous().view(y.size(0), -1), "Tensor.size in TimeDistributed"),
        (lambda y, x: y.view(y.shape[0], -1), "TimeDistributed"),
    ],
)
def test_the_batch_is_not_known_after_a_view_that_may_mix_images(together, place):
    """The second shape would be taken for one of the images, of which there are now 24 instead of 3."""
    module = TimeDistributed(together)
    module(torch.zeros(3, 2, 4, 4))  # PyTorch knows
    with pytest.raises(UnsupportedError, match=rf"^{place}: the batch, .*: pass input_shape=\(C, H, W\)\.$"):
        from_torch(module)
    with pytest.raises(UnsupportedError, match="does not keep the images of a batch apart"):
        from_torch(module, (2, 4, 4))


def test_the_batch_is_not_known_within_a_child():
    """Nor in a module that is given such a value, in any of the containers that there are."""

    class Around(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            return self.inner(x.view(-1, 4))

    rows = Function(lambda x: x.view(x.size(0), -1))
    graph = to_torch(
        Graph({"a": (Dense(4, 2), "input"), "b": (Dense(4, 2), "input"), "c": (Add(), "a", "b")})
    )
    graph.a, inside = rows, to_torch(Residual(ReLU()))
    inside.body = rows
    for inner in (rows, nn.Sequential(rows), nn.Sequential(nn.Sequential(nn.ReLU()), rows), graph, inside):
        with pytest.raises(UnsupportedError, match=r"the batch, .*: pass input_shape"):
            from_torch(Around(inner))
    permuted = to_torch(Sequential(Transpose((1, 0, 2, 3)), Dense(4, 2)))
    permuted.append(rows)
    with pytest.raises(UnsupportedError, match=r"the batch, .*: pass input_shape"):
        from_torch(permuted)


def test_a_permutation_that_moves_the_batch():
    """With a known shape or without: (3, 2, 4, 4) becomes (3, 32) in PyTorch, and would be (2, 48)."""
    module = Function(lambda x: x.permute(1, 0, 2, 3).reshape(x.size(0), -1))
    for shape in (None, (2, 4, 4)):
        with pytest.raises(
            UnsupportedError, match=r"^Tensor\.permute in Function: it moves the batch away from"
        ):
            from_torch(module, shape)


def test_children_may_be_called_input():
    x = np.random.default_rng(1).normal(size=(2, 3, 4, 4))
    chain = nn.Sequential(OrderedDict(input=nn.Conv2d(3, 3, 1))).double()

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.input, self.input_ = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)

        def forward(self, x):
            return self.input_(self.input(x)) + x

    for module in (chain, Net().double()):
        assert worst_difference(from_torch(module), module, x, False) < 1e-10


def test_a_traced_module():
    """What torch.fx makes is a module as others."""
    module = awake(nets.ResNet(nets.BasicBlock))
    network = from_torch(torch.fx.symbolic_trace(module.eval()), (3, 32, 32))
    x = np.random.default_rng(1).normal(size=(2, 3, 32, 32))
    assert worst_difference(network, module, x, training=False) < 1e-10


def test_the_mode_is_left_alone():
    module = nets.Mnist()
    for mode in (True, False):
        from_torch(module.train(mode))
        assert all(each.training is mode for each in module.modules())


@pytest.mark.parametrize("p", [0.3])
def test_dropout_of_a_function(p):
    """It drops in training alone, with the module's probability."""

    class Drop(nn.Module):
        def forward(self, x):
            return F.dropout(x, p, training=self.training)

    assert repr(from_torch(Drop())) == f"Dropout(p={p})"
    assert repr(from_torch(Drop().eval())) == f"Dropout(p={p})"


@pytest.mark.parametrize("wrap", [lambda module: torch.compile(module, backend="eager"), nn.DataParallel])
def test_what_is_wrapped_around_a_module(wrap):
    """What compiles a module, or spreads it, is taken off, wherever it is; the names are without it."""
    module = awake(nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(8, 2)))
    wanted = from_torch(module)
    x = np.random.default_rng(1).normal(size=(2, 3, 4, 4))
    for wrapped in (
        wrap(module),
        wrap(nn.DataParallel(module)),
        nn.Sequential(wrap(module[0]), module[1], wrap(module[2])),
    ):
        network = from_torch(wrapped)
        assert repr(network) == repr(wanted)
        np.testing.assert_array_equal(network(x), wanted(x))
    wanted.input_shape = (3, 4, 4)
    assert from_torch(wrap(to_torch(wanted))).input_shape == (3, 4, 4)
    hooked = wrap(module)
    hooked.register_forward_hook(lambda *args: None)
    for around in (hooked, nn.DataParallel(hooked)):
        with pytest.raises(UnsupportedError, match="its hooks cannot be traced"):
            from_torch(around)


def test_a_subclass_keeps_the_names():
    class Conv(nn.Conv2d):
        pass

    module = awake(nn.Sequential(Conv(3, 4, 3, padding=1), nn.ReLU()))
    x = np.random.default_rng(1).normal(size=(2, 3, 4, 4))
    assert worst_difference(from_torch(module), module, x, False) < 1e-10


# In-place functions write into their input: what is used later is what they wrote.


class InPlace(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function
        self.relu = nn.ReLU(inplace=True)
        self.branch = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(3, 3, 1))

    def forward(self, x):
        return self.function(self, x)


def plus_equals(module, x):
    y = torch.tanh(x)
    z = y
    y += x
    return y + z  # twice the sum, as both are the same tensor


def statement(module, x):
    y = x + x
    module.relu(y)
    return y + x


def twice(module, x):
    y = F.relu(x + x, inplace=True)
    y.sigmoid_()
    return y + y.clone().tanh_()


def of_a_copy(module, x):
    y = x + x
    z = y.clone()
    z.relu_()
    return y + z


@pytest.mark.parametrize("function", [plus_equals, statement, twice, of_a_copy])
def test_writing_into_a_value(function):
    module = InPlace(function)
    x = np.random.default_rng(1).normal(size=(2, 3, 4, 4))
    expected = module(torch.tensor(x)).detach().numpy()
    np.testing.assert_allclose(from_torch(module)(x), expected, rtol=1e-12)


def into_a_view(module, x):
    y = x + x
    z = y.flatten(1)
    y.relu_()
    return z


def within_a_child(module, x):
    y = x + x
    return module.branch(y) + y


@pytest.mark.parametrize("function", [into_a_view, within_a_child])
def test_writing_into_a_value_that_is_used_otherwise(function):
    with pytest.raises(UnsupportedError, match="InPlace: something in it writes into a tensor"):
        from_torch(InPlace(function))


def test_a_child_may_write_into_a_value_that_is_not_used_again():
    module = InPlace(lambda module, x: module.branch(x + x)).double()
    x = np.random.default_rng(1).normal(size=(2, 3, 4, 4))
    np.testing.assert_allclose(from_torch(module)(x), module(torch.tensor(x)).detach(), rtol=1e-12)


class Program(nn.Module):
    """Steps, each of which takes earlier values and makes, or overwrites, one."""

    STEPS = (
        lambda self, x, y: x + y,
        lambda self, x, y: x.add_(y),
        lambda self, x, y: x.relu_(),
        lambda self, x, y: self.relu(x),
        lambda self, x, y: F.relu(x, inplace=True),
        lambda self, x, y: F.relu(x),
        lambda self, x, y: self.conv(x),
        lambda self, x, y: self.norm(x),
        lambda self, x, y: self.branch(x),
        lambda self, x, y: self.list[0](x),
        lambda self, x, y: self.list[1](x),
        lambda self, x, y: x.clone(),
        lambda self, x, y: x.contiguous(),
        lambda self, x, y: x.view(x.size(0), 2, 4, 3),
        lambda self, x, y: x.transpose(2, 3).transpose(2, 3),
        lambda self, x, y: F.dropout(x, 0.0, training=self.training),
    )

    def __init__(self, rng):
        super().__init__()
        self.program = rng.integers([len(self.STEPS), 9, 9], size=(rng.integers(1, 9), 3)).tolist()
        self.relu = nn.ReLU(inplace=True)
        self.conv, self.norm = nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2)
        self.branch = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(2, 2, 1))
        self.list = nn.ModuleList([nn.Conv2d(2, 2, 3, padding=1), nn.Sigmoid()])

    def forward(self, x):
        values = [x]
        for step, i, j in self.program:
            values.append(self.STEPS[step](self, values[i % len(values)], values[j % len(values)]))
        return values[-1]


def test_any_program_is_carried_as_it_is_or_refused():
    rng, carried = np.random.default_rng(0), 0
    x = rng.normal(size=(2, 2, 4, 3))
    for _ in range(300):
        module = Program(rng).double().eval()
        try:
            network = from_torch(module, (2, 4, 3))
        except UnsupportedError as error:
            assert "writes into a tensor that is used again" in str(error)  # noqa: PT017
            continue
        carried += 1
        expected = module(torch.tensor(x)).detach().numpy()
        np.testing.assert_allclose(network(x), expected, atol=1e-12, err_msg=str(module.program))
    assert carried > 200


# What cannot be carried


def hooked():
    module = nn.Sequential(nn.Linear(3, 2))
    module[0].register_forward_hook(lambda *args: None)
    return module


def weight_normed():
    return nn.Sequential(torch.nn.utils.parametrizations.weight_norm(nn.Linear(3, 2)))


def replaced():
    module = nn.Sequential(nn.Linear(3, 2))
    module[0].forward = torch.relu
    return module


def without_gradients(x):
    with torch.no_grad():
        return x.relu()


def hooked_parameter(register):
    module = nn.Sequential(nn.Linear(3, 2))
    getattr(module[0].weight, register)(lambda gradient: None)
    return module


def in_lower_precision(x):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return x.relu()


class Called(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function, self.module = function, nn.ReLU()

    def forward(self, x):
        return self.function(self.module, x)


class Dependent(nn.Module):
    def forward(self, x):
        return x if x.sum(1) > 0 else x.relu()


class ModeDependent(nn.Module):
    def forward(self, x):
        return x.relu() if self.training else x.tanh()


class Nested(nn.Module):
    def __init__(self, child):
        super().__init__()
        self.block = nn.Sequential(nn.ReLU(), child)

    def forward(self, x):
        return self.block(x)


REFUSED = [
    (
        nn.Sequential(nn.Fold(4, 2)),
        "Fold at '0': it has no counterpart; supported are Adapt.*BatchNorm1d",
    ),
    (Nested(nn.Conv3d(3, 3, 2)), "Conv3d at 'block.1': it has no counterpart"),
    (Nested(nn.Dropout2d()), "Dropout2d at 'block.1': it has no counterpart"),
    (nn.MaxPool2d(2, return_indices=True), "MaxPool2d: return_indices=True has no counterpart; False"),
    (nn.AdaptiveMaxPool2d(1, return_indices=True), "AdaptiveMaxPool2d: return_indices=True"),
    (nn.BatchNorm2d(3, affine=False), "BatchNorm2d: affine=False"),
    (nn.BatchNorm2d(3, track_running_stats=False), "BatchNorm2d: track_running_stats=False"),
    (nn.BatchNorm1d(3, momentum=None), "BatchNorm1d: momentum=None, a cumulative mean"),
    (nn.BatchNorm1d(3, momentum=1.5), r"BatchNorm1d: momentum must be in \[0, 1\], got 1.5"),
    (
        nn.Upsample(scale_factor=2, mode="bicubic"),
        "Upsample: mode='bicubic' has no counterpart; 'nearest' and",
    ),
    (
        nn.Upsample(scale_factor=1.5, mode="nearest-exact"),
        "Upsample: mode='nearest-exact' has no counterpart",
    ),
    (
        nn.Upsample(scale_factor=1.5, recompute_scale_factor=True),
        r"Upsample: recompute_scale_factor=True needs .* pass input_shape=\(C, H, W\)",
    ),
    (
        nn.ConvTranspose2d(3, 3, 2, dilation=2, output_padding=1),
        r"ConvTranspose2d: output_padding=\(1, 1\) has no counterpart; less than stride=\(1, 1\) is",
    ),
    (nn.Dropout(1.0), r"Dropout: p must be in \[0, 1\), got 1.0"),
    (nn.Softmax(), "Softmax: it needs a dim"),
    (nn.ZeroPad2d((-1, 0, 0, 0)), "ZeroPad2d: padding must be at least 0, got -1"),
    (nn.AdaptiveAvgPool2d(3), r"AdaptiveAvgPool2d: .* pass input_shape=\(C, H, W\)"),
    (nn.Flatten(0), r"Flatten: start_dim=0, end_dim=-1 needs .* pass input_shape"),
    (hooked(), "Linear at '0': its hooks cannot be traced; remove them"),
    (replaced(), "Linear at '0': its forward was replaced"),
    (
        Function(without_gradients),
        "Function: a part under torch.no_grad or torch.autocast has no counterpart",
    ),
    (
        Function(in_lower_precision),
        "Function: a part under torch.no_grad or torch.autocast has no counterpart",
    ),
    (
        hooked_parameter("register_hook"),
        "Linear at '0': its tensor 'weight' has hooks, which .*; remove them",
    ),
    (
        hooked_parameter("register_post_accumulate_grad_hook"),
        "Linear at '0': its tensor 'weight' has hooks, which .*; remove them",
    ),
    (Called(lambda module, x: module(torch.ones(1))), "Called: it returns no single tensor"),
    (Called(lambda module, x: module(x.size(0)) + x), "Called: its forward cannot be traced: relu"),
    (Called(lambda module, x: module(x, 2)), "ReLU at 'module': it is called with more than tensors"),
    (Called(lambda module, x: module(x, scale=2)), "ReLU at 'module': it is called with more than tensors"),
    (Dependent(), "Tensor.gt in Dependent: it has no counterpart"),
    (nn.ModuleList([nn.ReLU()]), "ModuleList: .*"),
    (
        Nested(Function(lambda x: F.unfold(x, 2))),
        "functional.unfold in Function at 'block.1': it has no counterpart; supported are abs, ",
    ),
    (
        Function(lambda x: F.dropout(x)),
        "functional.dropout in Function: it drops in evaluation too; with training=self",
    ),
    (Function(lambda x: x**x), "Tensor.pow in Function: its exponent must be a number other than 0"),
    (Function(lambda x: x / x.size(0)), "Tensor.div in Function: computing with the batch size"),
    (Function(lambda x: x * (2 * x.shape[0])), "Tensor.mul in Function: computing with the batch size"),
    (Function(lambda x: torch.maximum(x, x.new_zeros(1))), "in Function: .*no counterpart"),
    (Function(lambda x: torch.add(x, x, alpha=2)), "torch.add in Function: alpha=2 has no counterpart"),
    (Function(lambda x: torch.cat([x, x])), "torch.cat in Function: dim=0 would join batches"),
    (
        Function(lambda x: torch.cat([x, torch.ones(1)], 1)),
        "torch.cat in Function: joining with anything but tensors of the network",
    ),
    (Function(lambda x: x.mean()), "Tensor.mean in Function: dim=None reduces the batch; dims other than 0"),
    (Function(lambda x: x.sum((0, 1))), r"Tensor.sum in Function: dim=\(0, 1\) reduces the batch"),
    (Function(lambda x: x.mean(1, dtype=torch.float64)), "Tensor.mean in Function: dtype=torch.float64"),
    (Function(lambda x: x.squeeze()), "Tensor.squeeze in Function: without a dim"),
    (
        Function(lambda x: x.view(2, -1)),
        r"Tensor.view in Function: the shape \(2, -1\) does not keep the images",
    ),
    (Function(lambda x: x.view(x.size(0) * 2, -1)), "Tensor.view in Function: the shape"),
    (Function(lambda x: x.view(-1, x.size(0))), r"Tensor.view in Function: the shape \(-1, 'N'\)"),
    (Function(lambda x: x[:, 0]), "operator.getitem in Function: taking a single entry needs the sizes"),
    (Function(lambda x: x[:, [1, 0]]), "operator.getitem in Function: the index has no counterpart; slices"),
    (Function(lambda x: x[0]), "operator.getitem in Function: the index takes some images of the batch"),
    (Function(lambda x: x[:, None]), "operator.getitem in Function: the index adds an axis"),
    (Function(lambda x: x.chunk(2)), "Tensor.chunk in Function: dim=0 is the batch; another dim"),
    (Function(lambda x: x.chunk(2, 1)), r"Tensor.chunk in Function: chunk needs .* pass input_shape"),
    (nn.InstanceNorm2d(2, track_running_stats=True), "InstanceNorm2d: track_running_stats=True has no"),
    (Function(lambda x: x.T), "Tensor.T in Function: it has no counterpart"),
    (Function(lambda x: x.detach()), "Tensor.detach in Function: it has no counterpart"),
    (Function(lambda x: F.max_pool2d(x, 2, return_indices=True)), "in Function: .*no counterpart"),
    (Function(lambda x: F.relu(x, out=x)), "Function: its forward cannot be traced"),
    (Function(lambda x: (x, x)), "Function: it returns no single tensor"),
    (Function(lambda x: {"out": x}), "Function: it returns no single tensor"),
    (Function(lambda x: torch.ones(3)), "Function: it returns no single tensor"),
    (FunctionalNorm(), r"functional.batch_norm in FunctionalNorm: the number of axes .* pass input_shape"),
    (FunctionalNorm(mode=False), "it takes the running statistics in training too"),
    (FunctionalNorm(mode=True), "it takes the batch's statistics in evaluation too"),
    (FunctionalNorm(affine=False), "without weight or bias it has no counterpart"),
    (FunctionalNorm(statistics=False), "without running statistics it has no counterpart"),
    (Function(lambda x: x.clamp(max=torch.ones(1))), "clamp in Function: its max must be a number, got"),
    (Function(lambda x: F.softplus(x, 1, 5)), "functional.softplus in Function: its threshold must be at"),
    (Learned(lambda x, w: F.group_norm(x, 1, w), 2), "its bias is None; a parameter of the module"),
    (Learned(F.prelu, ()), r"its weight must have shape \(1,\) or \(C,\), got \(\)"),
    (nn.Sequential(nn.Linear(2, 2).to(torch.bfloat16)), "Linear at '0': .*BFloat16"),
    (nn.Linear(2, 2, device="meta"), "Linear: its tensor 'weight' holds no floating point numbers"),
]


@pytest.mark.parametrize(
    ("module", "message"), [pytest.param(*case, id=f"{k}") for k, case in enumerate(REFUSED)]
)
def test_refused(module, message):
    """One error with the module or function, its place, and what there is instead."""
    with pytest.raises(UnsupportedError, match=message) as caught:
        from_torch(module)
    assert str(caught.value).endswith(".")
    assert str(caught.value).count(" has no counterpart") <= 1


class StochasticDepth(nn.Module):
    """As it is often written: what is skipped is drawn anew at each step."""

    def __init__(self, draw):
        super().__init__()
        self.draw, self.conv = draw, nn.Conv2d(3, 3, 1)

    def forward(self, x):
        if self.training and self.draw() < 0.5:
            return x
        return x + self.conv(x)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "draw",
    [lambda: torch.rand(1).item(), random.random, np.random.rand, lambda: torch.randn(3).sum()],
)
def test_a_forward_that_draws_random_numbers(draw, seed):
    """Whichever way the draw decides: only the path of evaluation is taken, and nothing has been drawn."""
    module = nn.Sequential(StochasticDepth(draw)).double()

    def reset():
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002

    reset()
    first = draw()
    reset()
    with pytest.warns(
        ConversionWarning, match=r"^StochasticDepth at '0' takes another path in training than"
    ):
        network = from_torch(module)
    assert draw() == first
    x = np.random.default_rng(1).normal(size=(2, 3, 4, 4))
    assert worst_difference(network, module, x, training=False) < 1e-10
    for path, message in (("training", "its forward draws random"), (None, "its forward takes another path")):
        reset()
        with pytest.raises(UnsupportedError, match=rf"^StochasticDepth at '0': {message}"):
            from_torch(module, path=path)
        assert draw() == first


class WithHead(nn.Module):
    """Two convolutions, of which the second is used in training alone: an auxiliary head."""

    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 2, 1)

    def forward(self, x):
        y = self.conv(x)
        if self.training:
            return self.head(y)
        return y


def test_the_path_is_chosen():
    """By default that of evaluation; the other's parameters are left out."""
    module = WithHead().double()
    x = torch.randn(2, 3, 4, 4, dtype=torch.float64)
    message = (
        "WithHead takes another path in training than in evaluation; the network takes that of {} in both"
    )
    for path, names in (("evaluation", ["conv"]), ("training", ["conv", "head"])):
        with pytest.warns(ConversionWarning, match=message.format(path)):
            network = from_torch(module, path=path)
        assert [*network.children] == names
        module.train(path == "training")
        np.testing.assert_allclose(network(x.numpy()), module(x).detach(), rtol=1e-12)
    with pytest.raises(UnsupportedError, match="WithHead: its forward takes another path"):
        from_torch(module, path=None)
    with pytest.raises(ValueError, match="path must be one of 'evaluation', 'training', got 'eval'"):
        from_torch(module, path="eval")
    with pytest.warns(ConversionWarning):
        assert repr(from_torch(ModeDependent())) == "Tanh()"


class Counting(nn.Module):
    """Its own state changes in training."""

    def __init__(self):
        super().__init__()
        self.register_buffer("steps", torch.tensor(0))

    def forward(self, x):
        if self.training:
            self.steps.add_(1)
        return x.relu()


def test_buffers_are_left_alone():
    module = Counting()
    assert repr(from_torch(module)) == "ReLU()"
    assert module.steps == 0


@pytest.mark.parametrize(
    ("module", "how"),
    [
        (Learned(lambda x, w: F.prelu(x, w + 1), 1), "weight of torch.prelu in Learned is computed"),
        (
            Learned(lambda x, w: F.conv2d(x, w.exp()), (2, 3, 1, 1)),
            "weight of .*conv2d in Learned is comp",
        ),
        (
            nn.Sequential(torch.nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 2, 1))),
            "weight of torch.conv2d in ParametrizedConv2d at '0' is computed",
        ),
    ],
)
def test_weights_that_are_computed(module, how):
    """Their numbers are taken over, and a warning says that they learn."""
    with pytest.warns(ConversionWarning, match=how):
        network = from_torch(module.double())
    x = torch.randn(2, 3, 4, 4, dtype=torch.float64)
    np.testing.assert_allclose(network(x.numpy()), module(x).detach(), rtol=1e-5)


def test_a_weight_that_is_fixed():
    """It is frozen."""
    module = Function(lambda x: F.conv2d(x, torch.full((2, 3, 1, 1), 2.0)).relu())
    network = from_torch(module)
    assert [*network.frozen] == ["conv2d"]
    x = torch.randn(2, 3, 4, 4)
    np.testing.assert_allclose(network(x.numpy()), module(x), rtol=1e-5)


def test_scripts_are_refused():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        scripted = torch.jit.script(nn.Sequential(nn.Conv2d(1, 1, 1)))
    message = "a module of TorchScript cannot be traced; pass the module before scripting."
    for module, place in ((scripted, ""), (nn.Sequential(scripted), "RecursiveScriptModule at '0': ")):
        with pytest.raises(UnsupportedError) as caught:
            from_torch(module)
        assert str(caught.value) == place + message


def test_refused_for_its_shape():
    with pytest.raises(
        UnsupportedError, match=r"AdaptiveAvgPool2d at 'avgpool': .*5x5 map takes windows of different"
    ):
        from_torch(nets.AlexNet(), (3, 22, 22))
    for size in (1, 2):  # a pixel of a 1x1 map is a window 49 times
        with pytest.raises(
            UnsupportedError, match=rf"output_size=\(7, 7\) of a {size}x{size} map takes .*divide"
        ):
            from_torch(nn.AdaptiveAvgPool2d((7, 7)), (3, size, size))
    with pytest.raises(
        UnsupportedError,
        match=r"Conv2d at 'conv1': Conv2D needs 3 input channels, got 1 in shape \(N, 1, 32, 32\)",
    ):
        from_torch(nets.LeNet(), (1, 32, 32))
    with pytest.raises(UnsupportedError, match=r"Tensor.view in LeNet: the shape \(-1, 200\) does not keep"):
        from_torch(nets.LeNet(), (3, 40, 40))
    with pytest.raises(ValueError, match="image_shape must be"):
        from_torch(nets.LeNet(), (32, 32))
    with pytest.raises(TypeError, match=r"module must be a torch.nn.Module, got 3"):
        from_torch(3)


def test_without_pytorch():
    code = "import sys; sys.modules['torch'] = None; import neocog.interop.torch"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.stderr.endswith('neocog.interop.torch needs PyTorch: pip install "neocog[torch]".\n')


def test_modules_of_ones_own():
    class Scale(nn.Module):
        def __init__(self, features):
            super().__init__()
            self.scale = nn.Parameter(torch.full((features,), 2.0))

        def forward(self, x):
            return torch.einsum("nf,f->nf", x, self.scale)

    class ScaleLayer(Layer):
        def __init__(self, features):
            super().__init__()
            self.features = features
            self._params["scale"] = np.ones(features)

        def forward(self, x, training=False):
            return x * self._params["scale"], x

    module = nn.Sequential(nn.Linear(2, 3), Scale(3))
    with pytest.raises(UnsupportedError, match=r"functional.einsum in Scale at '1': it has no counterpart"):
        from_torch(module)
    register_module(Scale)(lambda module: ScaleLayer(len(module.scale)))
    network = from_torch(module)
    np.testing.assert_array_equal(network.params["1.scale"], [2, 2, 2])
    x = np.ones((4, 2), np.float32)
    np.testing.assert_allclose(network(x), module(torch.tensor(x)).detach(), rtol=1e-6)
    register_module(Scale)(lambda module: ScaleLayer(5))
    with pytest.raises(UnsupportedError, match=r"Scale at '1': its tensor 'scale' is of shape \(3,\) here"):
        from_torch(module)
    register_module(Scale)(lambda module: ReLU())
    with pytest.raises(
        UnsupportedError, match=r"Scale at '1': its tensors \['scale'\] have no place in ReLU\(\)"
    ):
        from_torch(module)
    register_module(Scale)(lambda module: Dense(3, 3))
    with pytest.raises(UnsupportedError, match=r"Scale at '1': it has no tensor 'weight' for Dense\(3, 3\)"):
        from_torch(module)


# There and back


@pytest.mark.parametrize("name", [name for name in MODULES if not name.startswith("twin")])
@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_there_and_back(name):
    """PyTorch, neocog, PyTorch: the same numbers under the same names."""
    module, shape = MODULES[name]
    module = awake(module).eval()
    back = to_torch(from_torch(module, shape[1:]))
    x = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(back(x), module(x), rtol=1e-10, atol=1e-12)
    state = back.state_dict()
    assert state.keys() == module.state_dict().keys()
    for key, tensor in module.state_dict().items():
        if not key.endswith("num_batches_tracked"):
            torch.testing.assert_close(state[key], tensor, rtol=0, atol=0)


class OnlyWeight(nn.Module):
    """A layer norm as a function, of which one array is missing, or both."""

    def __init__(self, missing):
        super().__init__()
        self.norm, self.missing = nn.LayerNorm((4, 5)), missing
        nn.init.uniform_(self.norm.weight)
        nn.init.uniform_(self.norm.bias)

    def forward(self, x):
        given = {key: getattr(self.norm, key) for key in ("weight", "bias") if key != self.missing}
        return F.layer_norm(x, (4, 5), **given)


@pytest.mark.parametrize(
    ("module", "learned"),
    [
        (nn.LayerNorm((4, 5), bias=False), 1),
        (OnlyWeight("bias"), 1),
        (OnlyWeight("weight"), 1),
    ],
)
def test_a_layer_norm_without_weight_or_bias(module, learned, rng):
    """What is missing stays 1 or 0 when the rest learns."""
    module, x = nn.Sequential(copy.deepcopy(module)).double(), rng.normal(size=(6, 3, 4, 5))
    network, given = from_torch(module, (3, 4, 5)), torch.tensor(x, requires_grad=True)
    expected = module(given)
    dy = rng.normal(size=x.shape)
    expected.backward(torch.tensor(dy))
    y, cache = network.forward(x, training=True)
    np.testing.assert_allclose(y, expected.detach(), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(network.backward(dy, cache)[0], given.grad, rtol=1e-10, atol=1e-10)
    frozen = [name for name in network.frozen if network.frozen[name]]
    assert len([*network.leaves()]) - len(frozen) == learned


def test_a_layer_norm_of_nothing_learned():
    network = from_torch(nn.Sequential(nn.LayerNorm(5, elementwise_affine=False)), (3, 4, 5))
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype("float32")
    np.testing.assert_allclose(network(x), F.layer_norm(torch.tensor(x), (5,)), rtol=1e-5, atol=1e-6)
    assert network.frozen["0"]
