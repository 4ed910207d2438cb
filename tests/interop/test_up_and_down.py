"""Networks that go down to few pixels and up again: PyTorch, one compiled step, ONNX Runtime."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import neocog
from neocog.compilation import uncompiled
from neocog.interop.onnx import from_onnx, to_onnx
from neocog.interop.torch import UnsupportedError, from_torch, to_torch
from neocog.layers import Add, Concat, Conv2D, ConvTranspose2D, Graph, ReLU, Upsample
from neocog.losses import MeanSquaredError
from neocog.optimizers import SGD

from .comparing import weights_of, worst_difference

SHAPE = (2, 12, 10)
X = np.random.default_rng(3).normal(size=(4, *SHAPE))


class UNet(nn.Module):
    """Two levels; up by a transposed convolution, and from the deepest by interpolation to a given size."""

    def __init__(self):
        super().__init__()
        self.top = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.down = nn.Conv2d(4, 6, 3, stride=2, padding=1)
        self.deep = nn.Conv2d(6, 6, 2, stride=2)
        self.up = nn.ConvTranspose2d(12, 4, 4, stride=2, padding=1)
        self.head = nn.Conv2d(8, 2, 1)

    def forward(self, x):
        a = self.top(x)
        b = F.relu(self.down(a))
        c = F.relu(self.deep(b))
        c = F.interpolate(c, size=b.shape[-2:], mode="bilinear", align_corners=False)
        b = F.relu(self.up(torch.cat((c, b), 1)))
        return self.head(torch.cat((b, a), 1))


class Autoencoder(nn.Sequential):
    """Down by strides, up by depthwise and grouped transposed convolutions and by copies of pixels."""

    def __init__(self):
        super().__init__(
            *(nn.Conv2d(2, 8, 3, stride=2, padding=1), nn.ReLU()),
            *(nn.Conv2d(8, 16, 3, groups=8, padding=1), nn.ReLU()),
            *(nn.ConvTranspose2d(16, 16, 3, 2, 1, 1, groups=16, bias=False), nn.BatchNorm2d(16), nn.ReLU()),
            *(
                nn.ConvTranspose2d(16, 4, 3, groups=2, dilation=2, padding=2),
                nn.UpsamplingNearest2d(scale_factor=2),
            ),
            *(nn.Conv2d(4, 2, 3, stride=2, padding=1),),
        )


MODELS = {"U-Net": UNet, "autoencoder": Autoencoder}
all_models = pytest.mark.parametrize("name", MODELS)


def made(name):
    torch.manual_seed(5)
    return MODELS[name]().double()


@all_models
@pytest.mark.parametrize("training", [False, True])
def test_from_torch_and_back(name, training):
    module = made(name)
    network = from_torch(module, input_shape=SHAPE)
    assert worst_difference(network, module, X, training) < 1e-10
    again = to_torch(network).double()
    expected = module.eval()(torch.tensor(X)).detach()
    np.testing.assert_allclose(network(X), expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(again.eval()(torch.tensor(X)).detach(), expected, rtol=1e-12, atol=1e-12)


@all_models
def test_one_compiled_step_is_that_of_pytorch(name):
    module = made(name).train()
    network = from_torch(module, input_shape=SHAPE)
    assert uncompiled(network, X.shape, training=True) == []
    target = np.random.default_rng(4).normal(size=X.shape)
    with neocog.use_kernels("fused"):
        step = neocog.training.make_step(network, MeanSquaredError(), SGD(0.1))
        value = step(X, target)
    loss = F.mse_loss(module(torch.tensor(X)), torch.tensor(target))
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    loss.backward()
    optimizer.step()
    assert value == pytest.approx(loss.item(), rel=1e-12)
    theirs = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    for key, array in weights_of(network).items():
        np.testing.assert_allclose(array, theirs[key].detach(), rtol=1e-10, atol=1e-12, err_msg=key)


@all_models
def test_onnx_there_and_back(name):
    network = from_torch(made(name).eval(), input_shape=SHAPE).astype("float32")
    x = X.astype("float32")
    expected = network(x)
    model = to_onnx(network, input_shape=SHAPE)
    onnx.checker.check_model(model, full_check=True)
    (y,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {model.graph.input[0].name: x})
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)
    again = from_onnx(model)
    np.testing.assert_allclose(again(x), expected, rtol=1e-6, atol=1e-6)
    assert {type(layer) for _, layer in again.leaves()} >= {ConvTranspose2D, Upsample}


def test_a_graph_that_reads_the_same_maps_twice():
    """The gradients of all readers add up, also in what a transposed convolution or an upsampling made."""
    network = Graph(
        {
            "up": (ConvTranspose2D(2, 3, 2, stride=2, rng=0), "input"),
            "again": (ConvTranspose2D(3, 3, 3, padding=1, rng=1), "up"),
            "small": (Upsample(0.5, mode="bilinear"), "up"),
            "large": (Upsample(2), "small"),
            "sum": (Add(), "again", "large", "up"),
            "relu": (ReLU(), "sum"),
            "join": (Concat(), "relu", "up"),
            "out": (Conv2D(6, 2, 3, stride=2, padding="same", rng=2), "join"),
        }
    ).astype("float64")
    assert uncompiled(network, X.shape, training=True) == []
    assert worst_difference(network, to_torch(network), X, training=True) < 1e-10
    results = []
    for kernels in ("fused", "reference"):
        twin = network.astype("float64")
        with neocog.use_kernels(kernels):
            value = neocog.training.make_step(twin, MeanSquaredError(), SGD(0.1))(X, X)
        results.append([value, *twin.params.values()])
    for mine, wanted in zip(*results, strict=True):
        np.testing.assert_allclose(mine, wanted, rtol=1e-11, atol=1e-13)


class ToTheSizeOf(nn.Module):
    """Up to a size that it is given: which of the possible ones it is."""

    def __init__(self):
        super().__init__()
        self.down, self.up = (
            nn.Conv2d(2, 3, 3, stride=3, padding=1),
            nn.ConvTranspose2d(3, 2, 3, 3, padding=1),
        )

    def forward(self, x):
        return self.up(self.down(x), x.shape[-2:]) + x


def test_a_transposed_convolution_that_is_given_its_size():
    module = ToTheSizeOf().double()
    network = from_torch(module, input_shape=SHAPE)
    assert network["up"].output_padding == (2, 0)  # of 4 x 4 pixels come 10 to 12 rows, and 10 columns
    assert worst_difference(network, module, X, training=True) < 1e-10
    with pytest.raises(UnsupportedError, match=r"a size needs the sizes of the maps: pass input_shape"):
        from_torch(module)
