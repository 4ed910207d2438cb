"""Exercises of chapter 10: the road to ResNet-50."""

from __future__ import annotations

from typing import Any

import numpy as np

from neocog.exercises.exercise import exercise
from neocog.exercises.judges import road
from neocog.initializers import zeros
from neocog.layers import Conv2D, Sequential
from neocog.models import vgg16

exercise(
    "10.1",
    1,
    "In the LeNet-5 of 1998, layer C3 makes 16 maps of 6, but not every map sees all six. How many "
    "parameters would it "
    "have if every one did (kernels of 5 x 5, with biases)?",
    answer=lambda: Conv2D(6, 16, 5).parameter_count,
    hint="a kernel has a slice for each map it sees.",
    solution="16 (6 x 25 + 1). The table of connections leaves 1,516 of them.",
)

exercise(
    "10.2",
    1,
    "AlexNet's first layer has kernels of 11 x 11 and stride 4, no padding. How wide would its maps be if "
    "the crops were "
    "224 pixels wide, as the paper writes?",
    answer=lambda: Conv2D(3, 96, 11, stride=4, init=zeros).output_shape((1, 3, 224, 224))[-1],
    hint="the last pixels do not fill a step.",
    solution="(224 - 11) / 4 = 53.25, so 53 + 1 = 54, with a column left over. The paper's 55 needs 227 "
    "pixels.",
)

exercise(
    "10.3",
    2,
    "Three 3 x 3 convolutions on top of each other (64 channels throughout, no biases) see as much as one k "
    "x k. How many "
    "weights do they save?",
    answer=lambda: (
        Conv2D(64, 64, 7, bias=False, init=zeros).parameter_count
        - 3 * Conv2D(64, 64, 3, bias=False, init=zeros).parameter_count
    ),
    hint="first find k: each further 3 x 3 sees one pixel more on each side.",
    solution="k = 7, and 64 x 64 x (49 - 27) weights. In general n layers of 3 x 3 need 9n, one layer of "
    "the same field "
    "(2n + 1)^2.",
)

exercise(
    "10.4",
    2,
    "A bottleneck block goes from 256 channels to 64 by a 1 x 1 convolution, stays at 64 in a 3 x 3, and "
    "returns to 256 by "
    "a 1 x 1. How many weights does it have, without biases and batch norms?",
    answer=lambda: (
        Sequential(
            Conv2D(256, 64, 1, bias=False, init=zeros),
            Conv2D(64, 64, 3, bias=False, init=zeros),
            Conv2D(64, 256, 1, bias=False, init=zeros),
        ).parameter_count
    ),
    hint="count the three kernels one by one.",
    solution="16,384 + 36,864 + 16,384. Two 3 x 3 convolutions of 256 channels have 1,179,648: seventeen "
    "times as many.",
)

exercise(
    "10.5",
    2,
    "Twenty residual blocks stand in a row. Along how many different paths does the input reach the output, "
    "if each block "
    "is passed either by its branch or by its shortcut?",
    answer=lambda: 2**20,
    hint="how many are there for one block, and for two?",
    solution="Each block doubles their number. By the chain rule the gradient is the sum over all of them, "
    "and one of them "
    "has no weight in it at all.",
)

exercise(
    "10.6",
    1,
    "How many parameters does the largest layer of VGG-16 have?",
    answer=lambda: max(row.parameters for row in vgg16(init=zeros).summary(show=False).rows),
    hint="it stands right behind the last pooling, whose maps are 7 x 7.",
    solution="512 x 7 x 7 inputs, 4096 outputs, and 4096 biases: three quarters of the whole network, for "
    "the first dense "
    "layer alone. ResNet's global mean needs none.",
)


def my_subsample(x: Any, w: Any, b: Any) -> Any:
    """Add up 2 x 2 windows, scale and shift each map."""
    total = x[:, :, ::2, ::2] + x[:, :, 1::2, ::2] + x[:, :, ::2, 1::2] + x[:, :, 1::2, 1::2]
    return w[:, None, None] * total + b[:, None, None]


exercise(
    "10.7",
    3,
    "Write LeNet-5's `subsample(x, w, b)`: the sum of each 2 x 2 window of `x` (N, C, H, W), H and W even, "
    "times one learned "
    "number `w[c]` a map, plus one learned `b[c]`.",
    program=my_subsample,
    judge=road.subsample,
    solution="Two learned numbers a map; 4 w average-pooled plus b would be the same function.",
)


def my_shortcut(x: Any, channels: int) -> Any:
    """Take every second pixel, and append maps of zeros."""
    small = x[:, :, ::2, ::2]
    y = np.zeros((len(x), channels, *small.shape[2:]), x.dtype)
    y[:, : x.shape[1]] = small
    return y


exercise(
    "10.8",
    3,
    "Write `shortcut(x, channels)`, the shortcut without parameters where a stage of the slim ResNet "
    "begins: every second "
    "pixel of `x`, from the first, and maps of zeros appended up to `channels`.",
    program=my_shortcut,
    judge=road.shortcut,
    solution="Nothing to learn and nothing to multiply. Its backward pass spreads dy out again and drops "
    "the appended maps.",
)


def my_top_error(p: Any, t: Any, k: int) -> float:
    """Return the fraction of images whose class is not among the k most probable."""
    best = np.argsort(-p, axis=1)[:, :k]
    return float(1 - (best == t[:, None]).any(axis=1).mean())


exercise(
    "10.9",
    3,
    "Write `top_error(p, t, k)`, ImageNet's measure: the fraction of the images whose class `t` is not "
    "among the `k` classes "
    "with the largest probabilities.",
    program=my_top_error,
    judge=road.top_error,
    solution="With 1000 classes many pictures show several things, and five guesses are allowed. For k = 1 "
    "it is 1 minus the "
    "accuracy.",
)

exercise(
    "10.10",
    4,
    "Repeat the transfer experiment with features from more varied images: train on all ten digits drawn "
    "with strong "
    "augmentation, or on letters in several fonts, and give the head five images of new classes. Over ten "
    "seeds, when do "
    "frozen features beat training from nothing?",
    solution="Vary one thing at a time: the number of classes that the features were trained on, then the "
    "number of images "
    "for the head. Report mean and range, and the frozen *random* features as well: they are the baseline "
    "that is often "
    "forgotten.",
)
