"""Small modules in the style of torchvision's and timm's: the same outputs, gradients and statistics."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from neocog.interop.torch import UnsupportedError, from_torch
from neocog.layers import BatchNorm2D

from .comparing import worst_difference


class SqueezeExcite(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.reduce, self.expand = nn.Conv2d(channels, 2, 1), nn.Conv2d(2, channels, 1)

    def forward(self, x):
        share = x.mean((2, 3), keepdim=True)
        return x * self.expand(F.silu(self.reduce(share))).sigmoid()


class BatchNormAct(nn.BatchNorm2d):
    """timm's BatchNormAct2d: its mode is asked for, and decides what a function is given."""

    def __init__(self, channels):
        super().__init__(channels)
        self.drop, self.act = nn.Identity(), nn.SiLU(inplace=True)

    def forward(self, x):
        torch._assert(x.ndim == 4, f"expected 4D input (got {x.ndim}D input)")
        if self.training and self.track_running_stats and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        if self.training:
            in_training = True
        else:
            in_training = (self.running_mean is None) and (self.running_var is None)
        statistics = self.running_mean, self.running_var
        x = F.batch_norm(x, *statistics, self.weight, self.bias, in_training, self.momentum, self.eps)
        return self.act(self.drop(x))


class MBConv(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv_pw, self.bn1 = nn.Conv2d(4, 6, 1, bias=False), BatchNormAct(6)
        self.conv_dw, self.bn2 = nn.Conv2d(6, 6, 3, padding=1, groups=6, bias=False), BatchNormAct(6)
        self.se, self.conv_pwl = SqueezeExcite(6), nn.Conv2d(6, 4, 1)

    def forward(self, x):
        shortcut = x
        x = self.se(self.bn2(self.conv_dw(self.bn1(self.conv_pw(x)))))
        return self.conv_pwl(x) + shortcut


class Ghost(nn.Module):
    def __init__(self):
        super().__init__()
        self.primary, self.cheap = nn.Conv2d(4, 3, 1), nn.Conv2d(3, 3, 3, padding=1, groups=3)

    def forward(self, x):
        x1 = self.primary(x)
        return torch.cat([x1, self.cheap(x1)], dim=1)[:, :5, :, :]


class SplitAttention(nn.Module):
    """ResNeSt's, with two splits."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(4, 8, 3, padding=1, groups=2), nn.Conv2d(4, 8, 1)

    def forward(self, x):
        B = x.shape[0]
        x = self.conv(x)
        B, RC, H, W = x.shape
        x = x.reshape((B, 2, RC // 2, H, W))
        gap = x.sum(dim=1).mean((2, 3), keepdim=True)
        attention = self.fc(gap).view(B, 1, 2, -1).transpose(1, 2)
        attention = F.softmax(attention, dim=1).reshape(B, -1).view(B, -1, 1, 1)
        return (x * attention.reshape((B, 2, RC // 2, 1, 1))).sum(dim=1).contiguous()


class Shuffle(nn.Module):
    def __init__(self):
        super().__init__()
        self.branch = nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), nn.ReLU(inplace=True))

    def forward(self, x):
        x1, x2 = x.chunk(2, dim=1)
        out = torch.cat((x1, self.branch(x2)), dim=1)
        batch, channels, height, width = out.size()
        out = out.view(batch, 2, channels // 2, height, width)
        return torch.transpose(out, 1, 2).contiguous().view(batch, channels, height, width)


class ConvSame(nn.Conv2d):
    """timm's Conv2dSame: its padding, on the one side more than on the other, depends on the size."""

    def forward(self, x):
        ih, iw = x.size()[-2:]
        sizes = zip((ih, iw), self.stride, self.kernel_size, strict=True)
        pads = [max((-(-i // s) - 1) * s + k - i, 0) for i, s, k in sizes]
        if any(p > 0 for p in pads):
            pad_h, pad_w = pads
            x = F.pad(x, [pad_w // 2, pad_w - pad_w // 2, pad_h // 2, pad_h - pad_h // 2])
        return F.conv2d(x, self.weight, self.bias, self.stride, (0, 0), self.dilation, self.groups)


class Res2Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList([nn.Conv2d(2, 2, 3, padding=1) for _ in range(1)])
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        spx = torch.split(x, 2, 1)
        spo, sp = [], spx[0]
        for i, conv in enumerate(self.convs):
            sp = sp if i == 0 else sp + spx[i]
            sp = self.relu(conv(sp))
            spo.append(sp)
        spo.append(spx[-1])
        return torch.cat(spo, 1)


class DenseLayer(nn.Module):
    """DenseNet's: it is given a tensor or a list of them."""

    def __init__(self, channels):
        super().__init__()
        self.norm, self.conv = nn.BatchNorm2d(channels), nn.Conv2d(channels, 2, 3, padding=1)

    def forward(self, x):
        features = [x] if isinstance(x, torch.Tensor) else x
        return F.dropout(self.conv(self.norm(torch.cat(features, 1)).relu()), p=0.0, training=self.training)


class DenseBlock(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleDict({"a": DenseLayer(4), "b": DenseLayer(6)})

    def forward(self, x):
        features = [x]
        for layer in self.layers.values():
            features.append(layer(features))
        return torch.cat(features, 1)


class Branches(nn.Module):
    """HRNet's: a list of tensors in, a list out."""

    def __init__(self):
        super().__init__()
        self.branches = nn.ModuleList([nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)])

    def forward(self, x):
        for i, branch in enumerate(self.branches):
            x[i] = branch(x[i])
        return [x[0] + x[1], x[1].relu()]


class HighResolution(nn.Module):
    def __init__(self):
        super().__init__()
        self.stages = nn.Sequential(Branches(), Branches())

    def forward(self, x):
        fine, coarse = self.stages([x, x.tanh()])
        return {"out": fine * coarse}["out"]


class LayerNorm2d(nn.LayerNorm):
    def forward(self, x):
        x = x.permute(0, 2, 3, 1)
        x = F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)


class ConvNeXtBlock(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv_dw, self.norm = nn.Conv2d(4, 4, 3, padding=1, groups=4), nn.LayerNorm(4)
        self.fc1, self.fc2 = nn.Linear(4, 6), nn.Linear(6, 4)
        self.gamma = nn.Parameter(torch.rand(4))
        self.norm2 = LayerNorm2d(4)

    def forward(self, x):
        y = self.conv_dw(x).permute(0, 2, 3, 1)
        y = self.fc2(F.gelu(self.fc1(self.norm(y)))).permute(0, 3, 1, 2)
        return self.norm2(x + y.mul(self.gamma.reshape(1, -1, 1, 1)))


class EfficientChannelAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(1, 1, 3, padding=1, bias=False)

    def forward(self, x):
        y = x.mean((2, 3)).view(x.shape[0], 1, -1)
        y = self.conv(y).view(x.shape[0], -1, 1, 1).sigmoid()
        return x * y.expand_as(x)


class LinearOfLines(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(5, 3, bias=False)

    def forward(self, x):
        return self.fc(x.flatten(2).unsqueeze(1)[..., :5])


class Sizes(nn.Module):
    """A size decides the way."""

    def forward(self, x):
        x = F.avg_pool2d(x.to(memory_format=torch.channels_last), 2) if x.shape[2] > 4 else x.relu()
        x = x.tanh().type_as(x).to(x.dtype)
        return torch.stack([x, x / x.dim()], dim=2).flatten(1, 2) if x.numel() else x


MODULES = [
    SqueezeExcite(4),
    MBConv(),
    Ghost(),
    SplitAttention(),
    Shuffle(),
    ConvSame(4, 3, 3, stride=2),
    ConvSame(4, 3, (2, 3), stride=3, bias=False),
    Res2Net(),
    DenseBlock(),
    HighResolution(),
    ConvNeXtBlock(),
    EfficientChannelAttention(),
    LinearOfLines(),
    Sizes(),
]


def names_by_content(network, module):
    """Map the network's names of arrays to the module's, which a function's may differ from."""
    theirs = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    content = {np.sort(t.detach().numpy().ravel()).tobytes(): name for name, t in theirs.items()}
    mine = {**network.params, **network.buffers}
    return {name: content[np.sort(a.ravel()).tobytes()] for name, a in mine.items() if a.size}


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("module", MODULES, ids=lambda module: type(module).__name__)
def test_same_as_pytorch(module, training):
    torch.manual_seed(0)
    for tensor in [*module.parameters(), *module.buffers()]:
        if tensor.is_floating_point():
            tensor.data.uniform_(0.5, 1.5)
    module = module.double()
    network = from_torch(module, (4, 7, 6))
    x = np.random.default_rng(1).normal(size=(3, 4, 7, 6))
    names = names_by_content(network, module)
    assert worst_difference(network, module, x, training, names, reshaped=True) < 1e-10


@pytest.mark.parametrize("make", [MBConv, lambda: ConvSame(3, 4, 3, stride=2), lambda: LayerNorm2d(3)])
def test_arrays_keep_their_names(make):
    """Also where a function is given a module's own: it becomes the layer, what is around stays beside."""
    module = nn.Sequential(nn.Conv2d(4, 4 if make is MBConv else 3, 1), make(), nn.ReLU())
    network = from_torch(module, (4, 7, 6))
    names = [name for name in module.state_dict() if not name.endswith("num_batches_tracked")]
    assert {*network.params, *network.buffers} == {*names}
    kinds = [type(layer) for _, layer in network.leaves()]
    assert kinds.count(BatchNorm2D) == (2 if make is MBConv else 0)


class Called(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function, self.relu = function, nn.ReLU()

    def forward(self, x):
        return self.function(self, x)


class Sized(nn.Module):
    def forward(self, x):
        torch._assert(x.shape[2] == 224, f"Wrong image height! Expected 224 but got {x.shape[2]}!")
        return x.relu()


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Sized(), r"Sized: its forward cannot be traced: Wrong image height! Expected 224 but got 7!\.$"),
        (
            Called(lambda m, x: x.expand(2, -1, 4, 7, 6)),
            r"Tensor.expand in Called: an x of shape .* cannot be repeated to \(2, -1, 4, 7, 6\)\.$",
        ),
        (
            Called(lambda m, x: x if x.mean((1, 2, 3)).item() > 0 else -x),
            "Tensor.item in Called: it depends on",
        ),
        (Called(lambda m, x: nn.ReLU()(x)), "Called: it calls a ReLU that is none of its modules"),
        (Called(lambda m, x: [m.relu(x), x]), "Called: it returns no single tensor"),
        (
            Called(lambda m, x: F.linear(x, torch.ones(3, 4))),
            "linear in Called: Conv2D needs",
        ),
        (Called(lambda m, x: x.double()), "Tensor.double in Called: a cast to torch.float64 has no"),
        (Called(lambda m, x: x.to(torch.int64)), "Tensor.to in Called: a cast to torch.int64 has no"),
        (nn.Conv1d(4, 4, 3, padding=1, padding_mode="circular"), "Conv1d: padding_mode='circular' has no"),
    ],
)
def test_refused(module, message):
    with pytest.raises(UnsupportedError, match=message):
        from_torch(module, (4, 7, 6))
