"""What PyTorch exports, by either of its exporters, is read here."""

import io
import math
import warnings
from functools import cache

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import neocog
from neocog.interop.onnx import from_onnx


class Block(nn.Module):
    """torchvision's basic block."""

    def __init__(self, ins, outs, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(ins, outs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outs)
        self.conv2 = nn.Conv2d(outs, outs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outs)
        self.downsample = None
        if stride > 1:
            self.downsample = nn.Sequential(nn.Conv2d(ins, outs, 1, stride, bias=False), nn.BatchNorm2d(outs))

    def forward(self, x):
        identity = x if self.downsample is None else self.downsample(x)
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        y += identity
        return F.relu(y)


class SmallResNet(nn.Module):
    shape = (3, 16, 16)

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.maxpool = nn.MaxPool2d(3, 2, 1, ceil_mode=True)
        self.layer1 = nn.Sequential(Block(8, 8), Block(8, 16, 2))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(0.3)
        self.fc = nn.Linear(16, 5)

    def forward(self, x):
        x = self.layer1(self.maxpool(F.relu(self.bn1(self.conv1(x)))))
        return self.fc(self.dropout(torch.flatten(self.avgpool(x), 1)))


class Viewing(nn.Module):
    """A reshape by the batch's size, and a logarithm of probabilities."""

    shape = (1, 8, 8)

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.fc = nn.Linear(4 * 9, 3)
        self.act = nn.GELU()

    def forward(self, x):
        x = F.avg_pool2d(self.act(self.conv(x)), 2)
        return F.log_softmax(self.fc(x.view(x.size(0), -1)), 1)


class Branching(nn.Module):
    """Inception's concatenation, a mean over the pixels, a reflected border, no bias."""

    shape = (2, 6, 6)

    def __init__(self):
        super().__init__()
        self.left = nn.Conv2d(2, 3, 1)
        self.right = nn.Conv2d(2, 3, 3, padding=1, padding_mode="reflect")
        self.head = nn.Linear(6, 4, bias=False)

    def forward(self, x):
        y = torch.cat([F.leaky_relu(self.left(x), 0.2), torch.sigmoid(self.right(x))], 1)
        return self.head(y.mean((2, 3)))


class Gaussian(nn.Module):
    """GELU as a module, as a function and spelt out, in both forms, of images and of rows."""

    shape = (2, 5, 5)

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(2, 3, 3, padding=1)
        self.act1 = nn.GELU()
        self.conv2 = nn.Conv2d(3, 3, 3)
        self.act2 = nn.GELU(approximate="tanh")
        self.fc1 = nn.Linear(27, 6)
        self.fc2 = nn.Linear(6, 4)

    def forward(self, x):
        x = self.act2(self.conv2(self.act1(self.conv1(x))))
        x = 0.5 * x * (1.0 + torch.erf(x / math.sqrt(2)))
        x = x / 2 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
        return F.gelu(self.fc2(F.gelu(self.fc1(x.flatten(1)))), approximate="tanh")


class Normed(nn.Module):
    """Layers that normalise each image on its own, and learned slopes."""

    shape = (2, 5, 4)

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, padding=1)
        self.groups = nn.GroupNorm(2, 4)
        self.slopes = nn.PReLU(4)
        self.fc = nn.Linear(80, 6)
        self.norm = nn.GroupNorm(3, 6)
        self.slope = nn.PReLU()
        self.pixels = nn.LayerNorm(4)
        for array in (
            *self.groups.parameters(),
            *self.norm.parameters(),
            *self.pixels.parameters(),
            self.slopes.weight,
        ):
            nn.init.uniform_(array, 0.5, 2)

    def forward(self, x):
        x = self.slopes(self.groups(self.conv(x)))
        x = self.pixels(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return self.slope(self.norm(self.fc(x.flatten(1))))


class Modern(nn.Module):
    """What MobileNetV3, EfficientNet, ShuffleNet, ConvNeXt and decoders are made of."""

    shape = (3, 8, 8)

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.depthwise = nn.Conv2d(8, 8, 3, 1, 1, groups=8, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.squeeze, self.excite = nn.Conv2d(8, 2, 1), nn.Conv2d(2, 8, 1)
        self.pixels = nn.LayerNorm(8)
        self.wide, self.narrow = nn.Linear(8, 12), nn.Linear(12, 8)
        self.scale = nn.Parameter(torch.rand(8, 1, 1) + 0.5)
        self.up = nn.ConvTranspose2d(8, 4, 3, 2, 1, 1)
        self.fc = nn.Linear(8, 5)

    def forward(self, x):
        x = F.hardswish(self.stem(x))
        y = F.silu(self.norm(self.depthwise(x)))
        weights = F.hardsigmoid(self.excite(F.relu(self.squeeze(F.adaptive_avg_pool2d(y, 1)))))
        x = x + weights * y
        z = self.narrow(F.gelu(self.wide(self.pixels(x.permute(0, 2, 3, 1))))).permute(0, 3, 1, 2)
        x = x + self.scale * z
        a, b = x.chunk(2, 1)
        x = torch.cat((F.relu6(a), F.mish(b)), 1)
        N, C, H, W = x.shape
        x = x.view(N, 2, C // 2, H, W).transpose(1, 2).reshape(N, C, H, W)
        x = F.interpolate(self.up(x), scale_factor=2, mode="bilinear", align_corners=False)
        return self.fc(torch.cat((x.mean((2, 3)), x.amax((-1, -2))), 1))


MODULES = [SmallResNet, Viewing, Branching, Gaussian, Normed]


@cache
def made(cls):
    torch.manual_seed(0)
    module = cls()
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for tensor in (layer.running_mean, layer.running_var, layer.weight.data, layer.bias.data):
                tensor.uniform_(0.5, 2)
    return module.eval()


@cache
def export(module, way, opset=None):
    x = torch.randn(2, *module.shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if way == "dynamo":
            pytest.importorskip("onnxscript")
            batch = ({0: torch.export.Dim("batch")},)
            return torch.onnx.export(
                module, (x,), dynamo=True, dynamic_shapes=batch, verbose=False, opset_version=opset
            ).model_proto
        options = {}
        if way == "dynamic":
            options = {"dynamic_axes": {"x": {0: "N"}}, "input_names": ["x"]}
        if way == "unfolded":
            options = {"training": torch.onnx.TrainingMode.PRESERVE, "do_constant_folding": False}
        file = io.BytesIO()
        torch.onnx.export(module, (x,), file, dynamo=False, opset_version=opset, **options)
        return onnx.load_from_string(file.getvalue())


@pytest.mark.parametrize("cls", MODULES)
@pytest.mark.parametrize("way", ["dynamo", "fixed", "dynamic", "unfolded"])
def test_the_same_as_in_pytorch(cls, way):
    module = made(cls)
    network = from_onnx(export(module, way))
    assert network.input_shape == cls.shape
    for size in (1, 3):
        x = torch.randn(size, *cls.shape)
        expected = module(x).detach().numpy()
        np.testing.assert_allclose(network(x.numpy()), expected, rtol=1e-4, atol=1e-5)


def test_the_lenet_5_of_1998():
    """Its outputs are distances to fixed codes, computed for all of them by broadcasting."""
    network = neocog.models.lenet5_1998(rng=0)
    module = neocog.interop.torch.to_torch(network).eval()
    module.shape = (1, 32, 32)
    x = torch.randn(3, *module.shape)
    y = from_onnx(export(module, "dynamic"))(x.numpy())
    np.testing.assert_allclose(y, module(x).detach(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("way", "opset"), [("dynamo", None), ("fixed", 13), ("dynamic", 17)])
def test_blocks_of_modern_networks(way, opset):
    module = made(Modern)
    network = from_onnx(export(module, way, opset))
    kinds = [type(layer).__name__ for _, layer in network.leaves()]
    assert {"Hardswish", "Hardsigmoid", "SiLU", "Mish", "GELU", "LayerNorm", "ChannelShuffle"} <= {*kinds}, (
        kinds
    )
    x = torch.randn(3, *Modern.shape)
    np.testing.assert_allclose(network(x.numpy()), module(x).detach().numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cls", MODULES)
@pytest.mark.parametrize("way", ["dynamo", "unfolded"])
def test_the_names_are_pytorchs(cls, way):
    """But for the biases of convolutions that have taken a batch norm in, and weights that were reshaped."""
    module = made(cls)
    network = from_onnx(export(module, way))
    names = {name for name, _ in module.named_parameters()}
    if way == "dynamo":
        lost = ("bn", "downsample.1", "groups", "norm", "slope", "pixels")
        names = {name for name in names if not any(part in name for part in lost)}
        assert names <= set(network.params)
    else:
        assert names == set(network.params)


def test_what_pytorch_exported_is_trained_and_checked_here():
    network = from_onnx(export(made(SmallResNet), "unfolded")).astype("float64")
    x = np.random.default_rng(0).normal(size=(4, 3, 16, 16))
    report = neocog.check_gradients(network, x, [0, 1, 2, 3], method="complex", max_entries=20)
    assert report.passed


@pytest.mark.parametrize(
    ("way", "opset"),
    [*(("dynamic", opset) for opset in (9, 11, 13, 14, 17, 20)), ("unfolded", 17), ("dynamo", 18)],
)
def test_gelu_spelt_out(way, opset):
    """Before opset 20 it is five nodes, or nine; here it is one layer."""
    module = made(Gaussian)
    network = from_onnx(export(module, way, opset))
    kinds = [layer.approximate for _, layer in network.leaves() if isinstance(layer, neocog.layers.GELU)]
    assert kinds == ["none", "tanh"] * 3
    assert len(list(network.leaves())) == 11, "four layers with weights, a Flatten, and nothing else"
    x = torch.randn(3, *module.shape)
    np.testing.assert_allclose(network(x.numpy()), module(x).detach().numpy(), rtol=1e-4, atol=1e-5)
