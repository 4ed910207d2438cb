"""neocog as its users call it: ready-made networks, compiled kernels."""

from __future__ import annotations

import neocog
import neocog.kernels.fused  # so that importing counts as importing
import networks
from neocog import models
from neocog.initializers import zeros
from neocog.layers import (
    BatchNorm2D,
    Conv2D,
    Dense,
    Flatten,
    GlobalAvgPool2D,
    MaxPool2D,
    ReLU,
    Sequential,
)
from neocog.training import make_step
from neocog.training.engine import torch_engine
from networks import Network

neocog.use_kernels("fused")

MODELS = {
    "TinyCNN": lambda image: models.tiny_cnn(size=image[1], dtype="float32"),
    "digits": lambda image: models.digits_cnn(image_shape=image),
    "LeNet-5": lambda image: models.lenet5(image_shape=image, init=zeros),
    "AlexNet": lambda image: models.alexnet_one_tower(image_shape=image, init=zeros),
    "VGG-16": lambda image: models.vgg16(image_shape=image, init=zeros),
    "ResNet-50": lambda image: models.resnet50(image_shape=image, init=zeros),
    "MobileNetV2": lambda image: models.mobilenet_v2(image_shape=image, init=zeros),
    "MobileNetV3-small": lambda image: models.mobilenet_v3_small(image_shape=image, init=zeros),
    "ResNet-20": lambda image: models.resnet_cifar(20, image_shape=image, init=zeros),
}  # all others are chains


def chain(layers: tuple, image: tuple[int, ...]) -> Sequential:
    """Build a chain of the layers that are here."""
    made, shape = [], (1, *image)
    for layer in layers:
        channels = shape[1]
        match layer:
            case networks.Conv(filters, size, stride, padding, bias, groups):
                sizes = channels, filters, size, stride, padding
                new = Conv2D(*sizes, groups=groups, bias=bias, init=zeros)
            case networks.Norm(eps):
                new = BatchNorm2D(channels, eps)
            case networks.ReLU():
                new = ReLU()
            case networks.Pool(size, stride, padding):
                new = MaxPool2D(size, stride, padding)
            case networks.Average():
                new = GlobalAvgPool2D()
            case networks.Flatten():
                new = Flatten()
            case networks.Dense(units):
                new = Dense(channels, units, init=zeros)
        shape = new.output_shape(shape)
        made.append(new)
    return Sequential(*made)


def build(network: Network):
    model = MODELS.get(network.name)
    made = model(network.image) if model else chain(network.layers, network.image)
    for array, w in zip(made.params.values(), network.weights(), strict=True):
        array[...] = w
    return made


def inference(network: Network, x):
    fast = build(network).for_inference()
    return lambda: fast(x)


def step(network: Network, x, t, torch: bool = False, gpu: bool = False):
    parts = build(network), neocog.SoftmaxCrossEntropy(), neocog.SGD(**network.sgd)
    if torch:  # the engine of neocog.fit(..., engine="torch")
        advance = torch_engine(*parts, "cuda" if gpu else None).__enter__().step
    else:
        advance = make_step(*parts)
    return lambda: advance(x, t)


def step_by_hand(network: Network, x, t):
    made, loss, optimizer = build(network), neocog.SoftmaxCrossEntropy(), neocog.SGD(**network.sgd)

    def call():
        z, cache = made.forward(x, training=True)
        value, dz = loss(z, t)
        _, grads = made.backward(dz, cache, input_grad=False)
        optimizer.step(made.params, grads)
        return value

    return call
