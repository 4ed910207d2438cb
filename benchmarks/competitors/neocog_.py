"""neocog as its users call it: ready-made networks, compiled kernels."""

from __future__ import annotations

import neocog
import neocog.kernels.fused  # so that importing counts as importing
from neocog import models
from neocog.initializers import zeros
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
}


def build(network: Network):
    made = MODELS[network.name](network.image)
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
