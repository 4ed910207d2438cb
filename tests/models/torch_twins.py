"""The networks of the road written in PyTorch, by hand, with torchvision's names; and the comparison."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from neocog.layers import Dense, Dropout


class BasicBlock(nn.Module):
    expansion = 1

    def __init__(self, inplanes, planes, stride, downsample):
        super().__init__()
        self.conv1 = nn.Conv2d(inplanes, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = downsample

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    expansion = 4

    def __init__(self, inplanes, planes, stride, downsample):
        super().__init__()
        self.conv1 = nn.Conv2d(inplanes, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, 4 * planes, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * planes)
        self.downsample = downsample

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """torchvision's; with ``small`` the stem and the parameter-free shortcuts of the paper's section 4.2."""

    def __init__(self, block, counts, classes, channels=3, small=False):
        super().__init__()
        widths = (16, 32, 64) if small else (64, 128, 256, 512)
        self.small, self.planes = small, widths[0]
        if small:
            self.conv1 = nn.Conv2d(channels, 16, 3, 1, 1, bias=False)
        else:
            self.conv1 = nn.Conv2d(channels, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(self.planes)
        for k, (planes, count) in enumerate(zip(widths, counts, strict=True)):
            blocks = [self._block(block, planes, 1 + (k > 0 and b == 0)) for b in range(count)]
            setattr(self, f"layer{k + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(self.planes, classes)

    def _block(self, block, planes, stride):
        inplanes, self.planes = self.planes, planes * block.expansion
        if stride == 1 and inplanes == self.planes:
            return block(inplanes, planes, stride, None)
        if self.small:
            return block(
                inplanes,
                planes,
                stride,
                Lambda(lambda x: F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, inplanes))),
            )
        projection = nn.Conv2d(inplanes, self.planes, 1, stride, bias=False)
        return block(inplanes, planes, stride, nn.Sequential(projection, nn.BatchNorm2d(self.planes)))

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        if not self.small:
            x = F.max_pool2d(x, 3, 2, 1)
        for name, layer in self.named_children():
            x = layer(x) if name.startswith("layer") else x
        return self.fc(x.mean((2, 3)))


class Lambda(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.forward = function


class FeaturesClassifier(nn.Module):
    """The form of torchvision's AlexNet and VGG, for images at which its adaptive pooling does nothing."""

    def __init__(self, features, classifier):
        super().__init__()
        self.features, self.classifier = nn.Sequential(*features), nn.Sequential(*classifier)

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


def vgg(plan, features, classes, batch_norm=False, channels=3):
    """``plan`` is torchvision's: widths, and "M" for pooling; ``features`` are what the images come to."""
    layers = []
    for width in plan:
        if width == "M":
            layers.append(nn.MaxPool2d(2, 2))
            continue
        layers.append(nn.Conv2d(channels, width, 3, padding=1))
        layers += [nn.BatchNorm2d(width)] * batch_norm + [nn.ReLU()]
        channels = width
    dense = [nn.Linear(features, 4096), nn.ReLU(), nn.Dropout()]
    dense += [nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, classes)]
    return FeaturesClassifier(layers, dense)


def alexnet_one_tower(features, classes):
    layers = [nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2)]
    layers += [nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)]
    layers += [nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(), nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()]
    layers += [nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2)]
    dense = [nn.Dropout(), nn.Linear(features, 4096), nn.ReLU()]
    dense += [nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, classes)]
    return FeaturesClassifier(layers, dense)


class AlexNet(nn.Module):
    """That of 2012, with Caffe's names."""

    def __init__(self, features, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 96, 11, 4)
        self.conv2 = nn.Conv2d(96, 256, 5, padding=2, groups=2)
        self.conv3 = nn.Conv2d(256, 384, 3, padding=1)
        self.conv4 = nn.Conv2d(384, 384, 3, padding=1, groups=2)
        self.conv5 = nn.Conv2d(384, 256, 3, padding=1, groups=2)
        self.fc6 = nn.Linear(features, 4096)
        self.fc7 = nn.Linear(4096, 4096)
        self.fc8 = nn.Linear(4096, classes)

    def forward(self, x):
        for conv in (self.conv1, self.conv2):
            x = F.local_response_norm(F.relu(conv(x)), 5, alpha=5 * 1e-4, beta=0.75, k=2)
            x = F.max_pool2d(x, 3, 2)
        for conv in (self.conv3, self.conv4, self.conv5):
            x = F.relu(conv(x))
        x = F.max_pool2d(x, 3, 2).flatten(1)
        return self.fc8(F.relu(self.fc7(F.relu(self.fc6(x)))))


class LeNet5(nn.Module):
    def __init__(self, padding, features, classes, channels=1):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 6, 5, padding=padding)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(features, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, classes)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2).flatten(1)
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))


class LeNet1998(nn.Module):
    """From the paper's words: sums of four pixels times a coefficient, a masked C3, squared distances."""

    def __init__(self, table, codes):
        super().__init__()
        self.table, self.codes = table, codes  # (16, 6) of 0 and 1; (10, 84) of -1 and 1
        self.c1, self.c3, self.c5 = nn.Conv2d(1, 6, 5), nn.Conv2d(6, 16, 5), nn.Conv2d(16, 120, 5)
        self.coefficient2, self.bias2 = nn.Parameter(torch.empty(6)), nn.Parameter(torch.empty(6))
        self.coefficient4, self.bias4 = nn.Parameter(torch.empty(16)), nn.Parameter(torch.empty(16))
        self.f6 = nn.Linear(120, 84)

    @staticmethod
    def squash(x):
        return 1.7159 * torch.tanh(2 / 3 * x)

    @staticmethod
    def subsample(x, coefficient, bias):
        total = x[:, :, ::2, ::2] + x[:, :, 1::2, ::2] + x[:, :, ::2, 1::2] + x[:, :, 1::2, 1::2]
        return total * coefficient[:, None, None] + bias[:, None, None]

    def forward(self, x):
        x = self.squash(self.c1(x))
        x = self.squash(self.subsample(x, self.coefficient2, self.bias2))
        x = self.squash(F.conv2d(x, self.c3.weight * self.table[:, :, None, None], self.c3.bias))
        x = self.squash(self.subsample(x, self.coefficient4, self.bias4))
        x = self.squash(self.f6(self.squash(self.c5(x)).flatten(1)))
        return -((x[:, None] - self.codes) ** 2).sum(2)


def twin_of(network, make_twin):
    """Make a twin with the weights of a network, whose names its state_dict must have, and no others."""
    with torch.device("meta"):  # allocates and draws nothing
        twin = make_twin()
    dense = {f"{name}.weight" for name, layer in network.leaves() if isinstance(layer, Dense)}
    state = {n: torch.from_numpy(a.T if n in dense else a) for n, a in network.params.items()}
    state |= {name: torch.tensor(array) for name, array in network.buffers.items()}
    counters = {name: torch.tensor(0) for name in twin.state_dict() if name.endswith("num_batches_tracked")}
    twin.load_state_dict(state | counters, assign=True)
    return twin


def worst_difference(network, twin, x, training=False):
    """Compare y, dx, every gradient and running statistic; return the largest difference.

    Each is relative to its array's largest number, or to 1e-4 of the largest of all: the gradient of
    a bias before a batch norm is zero but for rounding.
    """
    for _, layer in network.leaves():
        if isinstance(layer, Dropout):
            layer.p = 0.0
    twin.train(training)
    for module in twin.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    tensor = torch.tensor(x, requires_grad=True)
    wanted = twin(tensor)
    dy = np.random.default_rng(99).normal(size=tuple(wanted.shape))
    wanted.backward(torch.tensor(dy))
    y, cache = network.forward(x, training=training)
    dx, grads = network.backward(dy, cache)

    pairs = {"y": (y, wanted.detach()), "dx": (dx, tensor.grad)}
    dense = {f"{name}.weight" for name, layer in network.leaves() if isinstance(layer, Dense)}
    for name, parameter in twin.named_parameters():
        pairs[name] = (grads[name], parameter.grad.T if name in dense else parameter.grad)
    for name, buffer in twin.named_buffers():
        if not name.endswith("num_batches_tracked"):
            pairs[name] = (network.buffers[name], buffer)
    assert {*grads, *network.buffers} == {*pairs} - {"y", "dx"}
    largest = {name: float(expected.abs().max()) for name, (_, expected) in pairs.items()}
    assert all(largest.values()), f"all zeros: {[name for name, size in largest.items() if not size]}"
    floor = 1e-4 * max(largest.values())
    worst = 0.0
    for name, (got, expected) in pairs.items():
        assert got.shape == tuple(expected.shape), name
        worst = max(worst, float(np.abs(got - expected.numpy()).max()) / max(largest[name], floor))
    return worst


def awake(network, seed=8):
    """Give biases and batch norms numbers that are not zeros and ones."""
    rng = np.random.default_rng(seed)
    for name, array in {**network.params, **network.buffers}.items():
        if array.ndim == 1:
            low = 0.5 if name.endswith(("weight", "running_var")) else -0.5
            array[...] = rng.uniform(low, low + 1, array.shape)
    return network
