"""PyTorch: eager; optionally channels-last, or compiled."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from networks import (
    Average,
    Conv,
    Dense,
    Drop,
    Flatten,
    Gates,
    HardSwish,
    Network,
    Norm,
    Pool,
    ReLU,
    ReLU6,
    Residual,
    Thin,
)


class Sum(nn.Module):
    """Sum of two paths."""

    def __init__(self, shortcut: nn.Module, body: nn.Module) -> None:
        super().__init__()
        self.shortcut, self.body = shortcut, body

    def forward(self, x):
        return self.body(x) + self.shortcut(x)


class Shortcut(nn.Module):
    """Every second pixel, and maps of zeros behind the others."""

    def __init__(self, filters: int) -> None:
        super().__init__()
        self.filters = filters

    def forward(self, x):
        return nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, self.filters - x.shape[1]))


class Excitation(nn.Module):
    """Squeeze and excitation."""

    def __init__(self, fc1: nn.Module, fc2: nn.Module) -> None:
        super().__init__()
        self.fc1, self.fc2 = fc1, fc2

    def forward(self, x):
        squeezed = nn.functional.adaptive_avg_pool2d(x, 1)
        return x * nn.functional.hardsigmoid(self.fc2(nn.functional.relu(self.fc1(squeezed))))


def chain(layers: tuple, weights: Iterator[np.ndarray]) -> nn.Sequential:
    return nn.Sequential(*(module(layer, weights) for layer in layers))


def module(layer, weights: Iterator[np.ndarray]) -> nn.Module:
    def parameter(turned: bool = False) -> nn.Parameter:
        w = next(weights)
        return nn.Parameter(torch.from_numpy(w.T.copy() if turned else w))

    match layer:
        case Conv(filters, size, stride, padding, bias, groups):
            w = parameter()
            sizes = w.shape[1] * groups, filters, size, stride, padding
            made = nn.Conv2d(*sizes, groups=groups, bias=bias, device="meta")
            made.weight, made.bias = w, parameter() if bias else None
            return made
        case Dense(units):
            w = parameter(turned=True)
            made = nn.Linear(w.shape[1], units, device="meta")
            made.weight, made.bias = w, parameter()
            return made
        case Norm(eps):
            made = nn.BatchNorm2d(len(next(weights)), eps)
            made.bias = parameter()
            return made
        case Pool(size, stride, padding):
            return nn.MaxPool2d(size, stride, padding)
        case Residual(shortcut, body):
            return Sum(chain(shortcut, weights), chain(body, weights))
        case ReLU():
            return nn.ReLU(inplace=True)
        case ReLU6():
            return nn.ReLU6(inplace=True)
        case HardSwish():
            return nn.Hardswish(inplace=True)
        case Gates(squeezed):
            fc1 = module(Conv(squeezed, 1), weights)
            return Excitation(fc1, module(Conv(fc1.in_channels, 1), weights))
        case Thin(filters):
            return Shortcut(filters)
        case Average():
            return nn.AdaptiveAvgPool2d(1)
        case Flatten():
            return nn.Flatten()
        case Drop(p):
            return nn.Dropout(p)
    raise TypeError(layer)


def build(network: Network, channels_last: bool) -> nn.Sequential:
    made = chain(network.layers, network.weights())
    return made.to(memory_format=torch.channels_last) if channels_last else made


def tensor(x: np.ndarray, channels_last: bool) -> torch.Tensor:
    x = torch.from_numpy(x)
    return x.to(memory_format=torch.channels_last) if channels_last else x


def inference(network: Network, x, channels_last: bool = False):
    made, x = build(network, channels_last).eval(), tensor(x, channels_last)

    def call():
        with torch.inference_mode():
            return made(x)

    return call


def step(network: Network, x, t, channels_last: bool = False, compiled: bool = False, gpu: bool = False):
    device = "cuda" if gpu else "cpu"
    made, x = build(network, channels_last).to(device), tensor(x, channels_last).to(device)
    t = torch.from_numpy(t).to(device)
    optimizer, loss = torch.optim.SGD(made.parameters(), **network.sgd), nn.CrossEntropyLoss()

    def forward(x, t):
        return loss(made(x), t)

    if compiled:
        forward = torch.compile(forward)

    def call():
        optimizer.zero_grad()
        value = forward(x, t)
        value.backward()
        optimizer.step()
        return value.item()

    return call
