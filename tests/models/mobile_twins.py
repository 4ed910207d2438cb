"""The networks after ResNet written in PyTorch, by hand, with torchvision's names."""

import torch
from torch import nn
from torch.nn import functional as F


class Named(nn.Module):
    """Layers with names, in a chain; with ``shortcut``, what they make is added to the input."""

    def __init__(self, shortcut=False, **layers):
        super().__init__()
        self.shortcut = shortcut
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x):
        y = x
        for layer in self.children():
            y = layer(y)
        return x + y if self.shortcut else y


class HardSigmoid(nn.Module):
    """PyTorch's own is rounded to float32 in its derivative, also where all else is float64."""

    def forward(self, x):
        return (x + 3).clamp(0, 6) / 6


class HardSwish(nn.Module):
    def forward(self, x):
        return x * (x + 3).clamp(0, 6) / 6


class Mean(nn.Module):
    def forward(self, x):
        return x.mean((2, 3))


class Permute(nn.Module):
    def __init__(self, *axes):
        super().__init__()
        self.axes = axes

    def forward(self, x):
        return x.permute(self.axes)


class Gates(nn.Module):
    def __init__(self, channels, squeezed, activation, gate):
        super().__init__()
        self.fc1, self.fc2 = nn.Conv2d(channels, squeezed, 1), nn.Conv2d(squeezed, channels, 1)
        self.activation, self.gate = activation, gate

    def forward(self, x):
        return x * self.gate(self.fc2(self.activation(self.fc1(x.mean((2, 3), keepdim=True)))))


def conv(fan_in, fan_out, size, stride=1, groups=1, act=(), norm=()):
    layer = nn.Conv2d(fan_in, fan_out, size, stride, size // 2, groups=groups, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(fan_out, *norm), *(act() for act in act))


def mobilenet_v2(classes):
    layers, channels = [conv(3, 32, 3, 2, act=(nn.ReLU6,))], 32
    widths = 16, 24, 24, 32, 32, 32, 64, 64, 64, 64, 96, 96, 96, 160, 160, 160, 320
    for k, width in enumerate(widths):
        stride = 2 if k in (1, 3, 6, 13) else 1
        wide = channels * (6 if k else 1)
        parts = [conv(channels, wide, 1, act=(nn.ReLU6,))] if k else []
        parts += [conv(wide, wide, 3, stride, wide, (nn.ReLU6,)), *conv(wide, width, 1)]
        layers.append(Named(stride == 1 and channels == width, conv=nn.Sequential(*parts)))
        channels = width
    layers.append(conv(320, 1280, 1, act=(nn.ReLU6,)))
    head = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, classes))
    return Named(features=nn.Sequential(*layers), mean=Mean(), classifier=head)


def mobilenet_v3_small(classes):
    norm, relu, swish = (0.001, 0.01), nn.ReLU, HardSwish
    layers, channels = [conv(3, 16, 3, 2, act=(swish,), norm=norm)], 16
    blocks = [(3, 16, 16, 8, relu, 2), (3, 72, 24, 0, relu, 2), (3, 88, 24, 0, relu, 1)]
    blocks += [(5, 96, 40, 24, swish, 2), *2 * [(5, 240, 40, 64, swish, 1)], (5, 120, 48, 32, swish, 1)]
    blocks += [(5, 144, 48, 40, swish, 1), (5, 288, 96, 72, swish, 2), *2 * [(5, 576, 96, 144, swish, 1)]]
    for size, wide, width, squeezed, act, stride in blocks:
        parts = [conv(channels, wide, 1, act=(act,), norm=norm)] if wide != channels else []
        parts.append(conv(wide, wide, size, stride, wide, (act,), norm))
        parts += [Gates(wide, squeezed, nn.ReLU(), HardSigmoid())] if squeezed else []
        parts.append(conv(wide, width, 1, norm=norm))
        layers.append(Named(stride == 1 and channels == width, block=nn.Sequential(*parts)))
        channels = width
    layers.append(conv(96, 576, 1, act=(swish,), norm=norm))
    head = nn.Linear(576, 1024), swish(), nn.Dropout(0.2), nn.Linear(1024, classes)
    return Named(features=nn.Sequential(*layers), mean=Mean(), classifier=nn.Sequential(*head))


def efficientnet_b0(classes):
    layers, channels = [conv(3, 32, 3, 2, act=(nn.SiLU,))], 32
    table = [(1, 3, 16, 1, 1), (6, 3, 24, 2, 2), (6, 5, 40, 2, 2), (6, 3, 80, 3, 2), (6, 5, 112, 3, 1)]
    for factor, size, width, count, first in [*table, (6, 5, 192, 4, 2), (6, 3, 320, 1, 1)]:
        stage = []
        for k in range(count):
            wide, stride = factor * channels, 1 if k else first
            parts = [conv(channels, wide, 1, act=(nn.SiLU,))] if factor > 1 else []
            parts += [conv(wide, wide, size, stride, wide, (nn.SiLU,))]
            parts += [Gates(wide, channels // 4, nn.SiLU(), nn.Sigmoid()), conv(wide, width, 1)]
            stage.append(Named(stride == 1 and channels == width, block=nn.Sequential(*parts)))
            channels = width
        layers.append(nn.Sequential(*stage))
    layers.append(conv(320, 1280, 1, act=(nn.SiLU,)))
    head = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, classes))
    return Named(features=nn.Sequential(*layers), mean=Mean(), classifier=head)


class Shuffled(nn.Module):
    def __init__(self, channels, width):
        super().__init__()
        self.split, half, relu = channels == width, width // 2, (nn.ReLU,)
        stride, seen = (1, half) if self.split else (2, channels)
        self.branch1 = nn.Sequential()
        if not self.split:
            self.branch1 = nn.Sequential(*conv(seen, seen, 3, 2, seen), *conv(seen, half, 1, act=relu))
        last = conv(half, half, 1, act=relu)
        self.branch2 = nn.Sequential(
            *conv(seen, half, 1, act=relu), *conv(half, half, 3, stride, half), *last
        )

    def forward(self, x):
        a, b = x.chunk(2, 1) if self.split else (x, x)
        return F.channel_shuffle(torch.cat([self.branch1(a), self.branch2(b)], 1), 2)


def shufflenet_v2_x0_5(classes):
    stages, channels = {}, 24
    for name, width, count in (("stage2", 48, 4), ("stage3", 96, 8), ("stage4", 192, 4)):
        blocks = [Shuffled(channels, width), *(Shuffled(width, width) for _ in range(count - 1))]
        stages[name], channels = nn.Sequential(*blocks), width
    stem, last = conv(3, 24, 3, 2, act=(nn.ReLU,)), conv(192, 1024, 1, act=(nn.ReLU,))
    head = {"conv5": last, "mean": Mean(), "fc": nn.Linear(1024, classes)}
    return Named(conv1=stem, maxpool=nn.MaxPool2d(3, 2, 1), **stages, **head)


class RegBlock(nn.Module):
    def __init__(self, channels, width, stride):
        super().__init__()
        self.proj = conv(channels, width, 1, stride) if stride == 2 else nn.Identity()
        relu, gates = (nn.ReLU,), Gates(width, round(channels / 4), nn.ReLU(), nn.Sigmoid())
        grouped = conv(width, width, 3, stride, width // 8, relu)
        self.f = Named(a=conv(channels, width, 1, act=relu), b=grouped, se=gates, c=conv(width, width, 1))

    def forward(self, x):
        return F.relu(self.proj(x) + self.f(x))


def regnet_y_400mf(classes):
    trunk, channels = {}, 32
    for k, (width, count) in enumerate([(48, 1), (104, 3), (208, 6), (440, 6)], 1):
        blocks = {}
        for b in range(count):
            blocks[f"block{k}-{b}"], channels = RegBlock(channels, width, 1 if b else 2), width
        trunk[f"block{k}"] = Named(**blocks)
    stem = conv(3, 32, 3, 2, act=(nn.ReLU,))
    return Named(stem=stem, trunk_output=Named(**trunk), mean=Mean(), fc=nn.Linear(440, classes))


class ConvNeXtBlock(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.layer_scale = nn.Parameter(torch.empty(width, 1, 1))
        self.block = nn.Sequential(
            nn.Conv2d(width, width, 7, padding=3, groups=width),
            Permute(0, 2, 3, 1),
            nn.LayerNorm(width, 1e-6),
            *(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)),
            Permute(0, 3, 1, 2),
        )

    def forward(self, x):
        return x + self.layer_scale * self.block(x)


class ChannelNorm(nn.LayerNorm):
    def forward(self, x):
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def convnext_tiny(classes):
    layers, channels = [nn.Sequential(nn.Conv2d(3, 96, 4, 4), ChannelNorm(96, 1e-6))], 96
    for width, count in ((96, 3), (192, 3), (384, 9), (768, 3)):
        if width > channels:
            layers.append(nn.Sequential(ChannelNorm(channels, 1e-6), nn.Conv2d(channels, width, 2, 2)))
        layers.append(nn.Sequential(*(ConvNeXtBlock(width) for _ in range(count))))
        channels = width
    head = nn.LayerNorm(768, 1e-6), nn.Identity(), nn.Linear(768, classes)
    return Named(features=nn.Sequential(*layers), mean=Mean(), classifier=nn.Sequential(*head))
