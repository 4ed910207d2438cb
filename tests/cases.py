"""The one table of cases: every layer in every way of use, for all tests that run over all layers."""

import numpy as np

from neocog.layers import (
    ELU,
    GELU,
    SELU,
    Abs,
    Add,
    AvgPool2D,
    BatchNorm1D,
    BatchNorm2D,
    Bias,
    ChannelShuffle,
    Clip,
    Concat,
    Conv2D,
    ConvTranspose2D,
    Dense,
    Dropout,
    Exp,
    Flatten,
    GlobalAvgPool2D,
    GlobalMaxPool2D,
    Graph,
    GroupNorm,
    Hardsigmoid,
    Hardswish,
    InstanceNorm,
    LayerNorm,
    LeakyReLU,
    LocalResponseNorm,
    LogSoftmax,
    MatMul,
    Maximum,
    MaxPool2D,
    Mean,
    Minimum,
    Mish,
    Multiply,
    Normalize,
    Pad2D,
    PadChannels,
    Power,
    PReLU,
    RadialBasis,
    ReLU,
    Rescale,
    Reshape,
    Residual,
    Scale,
    ScaledTanh,
    Sequential,
    Sigmoid,
    SiLU,
    Slice,
    Softmax,
    Softplus,
    SparseConv2D,
    Sqrt,
    StochasticDepth,
    Sum,
    Tanh,
    Transpose,
    Upsample,
)
from neocog.models import digits_cnn, tiny_cnn, tiny_mlp


def normal(*shape):
    return np.random.default_rng(7).normal(size=shape)


def awake(layer):
    """Give a batch norm or a bias weights and statistics that are not ones and zeros."""
    rng = np.random.default_rng(8)
    for array in [*layer.params.values(), *layer.buffers.values()]:
        array[...] = rng.uniform(0.5, 1.5, array.shape)
    return layer


def shared_in_sequence():
    conv = Conv2D(2, 2, 3, padding=1, rng=0)
    return Sequential(first=conv, relu=LeakyReLU(0.2), again=conv)


def shared_in_graph():
    dense = Dense(3, 3, rng=0)
    return Graph(
        {"a": (dense, "input"), "tanh": (Tanh(), "a"), "b": (dense, "tanh"), "sum": (Add(), "a", "b")}
    )


def two_inputs():
    return Graph(
        {
            "left": (Conv2D(2, 1, 3, padding=1, rng=0), "image"),
            "right": (Sigmoid(), "mask"),
            "join": (Concat(), "left", "right", "mask"),
            "out": (Conv2D(3, 2, 2, rng=1), "join"),
        },
        inputs=("image", "mask"),
    )


def diamond():
    return Graph(
        {
            "out": (Add(), "left", "right", "right"),
            "right": (Conv2D(1, 1, 3, padding="same", rng=1), "stem"),
            "left": (Sigmoid(), "stem"),
            "stem": (Conv2D(1, 1, 2, rng=0), "input"),
        },
        output="out",
    )


IMAGES = normal(2, 2, 5, 4)
ROWS = normal(4, 3)

CASES = {
    "Conv2D": [
        (lambda: Conv2D(2, 3, 3, rng=0), IMAGES),
        (lambda: Conv2D(2, 3, 1, rng=0), normal(2, 2, 1, 1)),
        (lambda: Conv2D(2, 2, 3, stride=2, rng=0), normal(2, 2, 6, 5)),
        (lambda: Conv2D(2, 2, 2, stride=(3, 1), padding=1, rng=0), IMAGES),
        (lambda: Conv2D(2, 2, (3, 2), padding=(0, 2), rng=0), IMAGES),
        (lambda: Conv2D(2, 2, 3, padding="same", rng=0), IMAGES),
        (lambda: Conv2D(2, 2, 4, padding="same", rng=0), IMAGES),
        (lambda: Conv2D(2, 2, 4, (2, 3), "same", rng=0), IMAGES),
        (lambda: Conv2D(2, 4, 2, 2, "same", (3, 1), 2, rng=0), IMAGES),
        (lambda: Conv2D(2, 2, (1, 4), padding="valid", rng=0), IMAGES),
        (lambda: Conv2D(2, 2, 2, dilation=2, padding="same", rng=0), IMAGES),
        (lambda: Conv2D(2, 2, 2, dilation=(3, 1), stride=2, rng=0), IMAGES),
        (lambda: Conv2D(2, 2, 3, stride=4, rng=0), normal(2, 2, 6, 6)),
        (lambda: Conv2D(4, 2, 2, groups=2, rng=0), normal(2, 4, 3, 3)),
        (lambda: Conv2D(3, 6, 2, groups=3, padding=1, rng=0), normal(2, 3, 3, 3)),
        (lambda: Conv2D(2, 3, 3, bias=False, rng=0), IMAGES),
        (lambda: Conv2D(2, 2, 3, padding=((0, 2), (1, 0)), rng=0), IMAGES),
        (lambda: Conv2D(2, 2, 2, (2, 3), ((3, 1), (0, 2)), (1, 2), rng=0), IMAGES),
        (lambda: Conv2D(2, 2, 2, 2, ((0, 1), (3, 0)), 1, 2, rng=0), IMAGES),
    ],
    "ConvTranspose2D": [
        (lambda: awake(ConvTranspose2D(2, 3, 3, rng=0)), IMAGES),
        (lambda: ConvTranspose2D(2, 3, 2, 2, rng=0), IMAGES),
        (lambda: ConvTranspose2D(2, 3, 3, 2, 1, 1, rng=0), IMAGES),
        (lambda: ConvTranspose2D(2, 1, (3, 2), (1, 3), (2, 0), (0, 2), rng=0), IMAGES),
        (lambda: awake(ConvTranspose2D(2, 2, 2, 3, bias=True, rng=0)), IMAGES),
        (lambda: ConvTranspose2D(2, 4, 3, 2, 1, 0, 2, rng=0), IMAGES),
        (lambda: ConvTranspose2D(2, 2, 2, groups=2, bias=False, dilation=(2, 1), rng=0), IMAGES),
        (lambda: ConvTranspose2D(2, 2, 3, 2, ((0, 3), (2, 1)), dilation=(2, 3), rng=0), IMAGES),
        (lambda: ConvTranspose2D(2, 3, 1, 2, rng=0), normal(2, 2, 1, 1)),
    ],
    "SparseConv2D": [
        (lambda: SparseConv2D(2, [(0,), (0, 1), (1,)], 3, rng=0), IMAGES),
        (lambda: SparseConv2D(3, [(2, 0), (1,)], (2, 3), (2, 1), (0, 1), rng=0), normal(2, 3, 4, 3)),
    ],
    "MaxPool2D": [
        (lambda: MaxPool2D(2), IMAGES),
        (lambda: MaxPool2D(1), normal(2, 1, 1, 1)),
        (lambda: MaxPool2D(3, stride=1), IMAGES),
        (lambda: MaxPool2D(3, stride=2, padding=1), IMAGES),
        (lambda: MaxPool2D((2, 3), stride=(1, 2), padding=(1, 0)), IMAGES),
        (lambda: MaxPool2D(2, stride=3), IMAGES),
        (lambda: MaxPool2D(3, padding=2), IMAGES),
        (lambda: MaxPool2D(2, 1, ((0, 1), (1, 0))), IMAGES),
        (lambda: MaxPool2D(2, dilation=2), IMAGES),
        (lambda: MaxPool2D(2, 2, 1, (1, 3)), normal(2, 2, 5, 6)),
        (lambda: MaxPool2D((2, 3), 2, ceil_mode=True), IMAGES),
        (lambda: MaxPool2D(3, 2, ((2, 0), (1, 1)), (2, 1), True), IMAGES),
        (lambda: MaxPool2D(3, 2, ((1, 0), (2, 2)), ceil_mode=True), IMAGES),
        (lambda: MaxPool2D((3, 4), 2, "same"), IMAGES),
    ],
    "AvgPool2D": [
        (lambda: AvgPool2D(2), IMAGES),
        (lambda: AvgPool2D(3, stride=1), IMAGES),
        (lambda: AvgPool2D(3, stride=2, padding=1), IMAGES),
        (lambda: AvgPool2D(3, stride=2, padding=1, count_include_pad=False), IMAGES),
        (lambda: AvgPool2D((2, 3), stride=(3, 1), padding=(1, 0), count_include_pad=False), IMAGES),
        (lambda: AvgPool2D(3, 1, ((2, 0), (1, 2))), IMAGES),
        (lambda: AvgPool2D(2, ceil_mode=True), IMAGES),
        (lambda: AvgPool2D(3, 2, 1, ceil_mode=True), normal(2, 2, 6, 4)),
        (lambda: AvgPool2D(3, 2, 1, False, True), normal(2, 2, 6, 4)),
        (lambda: AvgPool2D(2, 1, divisor_override=3), IMAGES),
        (lambda: AvgPool2D(2, 1, 1, dilation=(2, 1)), IMAGES),
        (lambda: AvgPool2D(3, 2, 2, False, True, None, 2), IMAGES),
        (lambda: AvgPool2D(3, 2, 1, ceil_mode=True), normal(2, 2, 5, 7)),
        (lambda: AvgPool2D(3, 2, "same", count_include_pad=False), IMAGES),
        (lambda: AvgPool2D(4, 2, "same", ceil_mode=True), IMAGES),
    ],
    "Upsample": [
        (lambda: Upsample(2), IMAGES),
        (lambda: Upsample((1.5, 3)), IMAGES),
        (lambda: Upsample(size=(7, 3)), IMAGES),
        (lambda: Upsample(2, mode="bilinear"), IMAGES),
        (lambda: Upsample((2.5, 0.7), mode="bilinear"), IMAGES),
        (lambda: Upsample(size=(3, 9), mode="bilinear"), IMAGES),
        (lambda: Upsample(2, mode="bilinear", align_corners=True), IMAGES),
        (lambda: Upsample(size=(1, 7), mode="bilinear", align_corners=True), IMAGES),
        (lambda: Upsample(3, mode="bilinear"), normal(2, 2, 1, 1)),
    ],
    "GlobalAvgPool2D": [(GlobalAvgPool2D, IMAGES), (GlobalAvgPool2D, normal(2, 3, 1, 1))],
    "GlobalMaxPool2D": [(GlobalMaxPool2D, IMAGES), (GlobalMaxPool2D, normal(2, 3, 1, 1))],
    "Dense": [
        (lambda: Dense(3, 2, rng=0), ROWS),
        (lambda: Dense(3, 1, bias=False, rng=0), ROWS),
    ],
    "Bias": [
        (lambda: awake(Bias(3)), ROWS),
        (lambda: awake(Bias((2, 1, 1))), IMAGES),
        (lambda: awake(Bias((1, 2, 5, 1))), IMAGES),
        (lambda: awake(Bias(())), ROWS),
    ],
    "Scale": [
        (lambda: awake(Scale(3)), ROWS),
        (lambda: awake(Scale((2, 1, 1))), IMAGES),
        (lambda: awake(Scale((1, 2, 5, 1))), IMAGES),
        (lambda: Scale((), init=-0.5), IMAGES),
        (lambda: awake(Scale(4)), IMAGES),
    ],
    "Rescale": [
        (lambda: Rescale(2, -0.5), ROWS),
        (lambda: Rescale(-0.25), IMAGES),
        (lambda: Rescale([[[0.5]], [[-2]]], [[[1]], [[3]]]), IMAGES),
        (lambda: Rescale(offset=[1, -2, 0.25]), ROWS),
        (lambda: Rescale([0.5, 2, 1, -1], 0.5), IMAGES),
    ],
    "Mean": [
        (lambda: Mean((2, 3), keepdims=True), IMAGES),
        (lambda: Mean((2, 3)), IMAGES),
        (lambda: Mean(1), ROWS),
        (lambda: Mean(1, keepdims=True), IMAGES),
        (lambda: Mean((-1, -3)), IMAGES),
        (lambda: Mean((3,), keepdims=True), IMAGES),
        (lambda: Mean((1, 2, 3)), IMAGES),
    ],
    "Sum": [
        (lambda: Sum((2, 3), keepdims=True), IMAGES),
        (lambda: Sum((2, 3)), IMAGES),
        (lambda: Sum(-1), normal(2, 2, 3)),
        (lambda: Sum(1, keepdims=True), IMAGES),
        (lambda: Sum((2,)), IMAGES),
    ],
    "RadialBasis": [(lambda: RadialBasis(3, 4, rng=0), ROWS)],
    "BatchNorm1D": [
        (lambda: BatchNorm1D(3), ROWS),
        (lambda: awake(BatchNorm1D(3, eps=0.1, momentum=0.5)), ROWS),
    ],
    "BatchNorm2D": [
        (lambda: BatchNorm2D(2), normal(2, 2, 3, 2)),
        (lambda: awake(BatchNorm2D(2, eps=0.1, momentum=0.0)), normal(2, 2, 3, 2)),
        (lambda: awake(BatchNorm2D(2)), normal(3, 2, 1, 1)),
    ],
    "Normalize": [
        (lambda: Normalize((0.5, -1, 2), (0.1, 3, 0.25)), ROWS),
        (lambda: Normalize((0.5, 0.25), (0.1, 2)), IMAGES),
        (lambda: Normalize((0.5, 0.25), (1, 2)), normal(2, 2, 3)),
        (lambda: Normalize(0.5, 0.25), normal(2, 1, 1, 1)),
    ],
    "GroupNorm": [
        (lambda: GroupNorm(1, 3), ROWS),
        (lambda: awake(GroupNorm(2, 4, eps=0.1)), normal(3, 4)),
        (lambda: awake(GroupNorm(2, 4)), normal(2, 4, 3, 2)),
        (lambda: awake(GroupNorm(2, 2, eps=0.01)), IMAGES),
        (lambda: awake(GroupNorm(1, 2)), IMAGES),
        (lambda: awake(GroupNorm(1, 2)), normal(2, 2, 3)),
        (lambda: GroupNorm(2, 4, affine=False), normal(2, 4, 3, 2)),
    ],
    "InstanceNorm": [
        (lambda: InstanceNorm(2), IMAGES),
        (lambda: awake(InstanceNorm(2, eps=0.1, affine=True)), IMAGES),
        (lambda: awake(InstanceNorm(3, affine=True)), normal(3, 3, 1, 4)),
    ],
    "LayerNorm": [
        (lambda: LayerNorm(3), ROWS),
        (lambda: awake(LayerNorm(3, eps=0.1)), ROWS),
        (lambda: awake(LayerNorm(4)), IMAGES),
        (lambda: awake(LayerNorm((5, 4))), IMAGES),
        (lambda: awake(LayerNorm((2, 5, 4), eps=0.01)), IMAGES),
        (lambda: awake(LayerNorm(3)), normal(2, 2, 3)),
        (lambda: awake(LayerNorm(2, 0.1, axis=1)), IMAGES),
        (lambda: awake(LayerNorm(4, 0.1, axis=1)), normal(3, 4, 2, 3)),
        (lambda: awake(LayerNorm((2, 3), axis=1)), normal(2, 2, 3)),
        (lambda: awake(LayerNorm((2, 5), axis=1)), IMAGES),
        (lambda: awake(LayerNorm(5, axis=2)), IMAGES),
    ],
    "LocalResponseNorm": [
        (lambda: LocalResponseNorm(3, 0.5), normal(2, 5, 2, 2)),
        (lambda: LocalResponseNorm(4, 0.5, 1.5, 2.0), normal(2, 5, 2, 2)),
        (lambda: LocalResponseNorm(5, 0.5, k=0.1), IMAGES),
    ],
    "ReLU": [(ReLU, ROWS), (ReLU, IMAGES)],
    "LeakyReLU": [(LeakyReLU, ROWS), (lambda: LeakyReLU(0.3), IMAGES)],
    "Hardswish": [(Hardswish, 3 * ROWS), (Hardswish, 3 * IMAGES)],
    "Hardsigmoid": [(Hardsigmoid, 3 * ROWS), (lambda: Hardsigmoid(0.2), 3 * IMAGES)],
    "Clip": [(Clip, 5 * ROWS), (lambda: Clip(-1, 0.5), IMAGES), (lambda: Clip(high=None), ROWS)],
    "SiLU": [(SiLU, ROWS), (SiLU, 3 * IMAGES)],
    "ELU": [(ELU, ROWS), (lambda: ELU(0.3), IMAGES)],
    "SELU": [(SELU, ROWS), (SELU, IMAGES)],
    "Softplus": [(Softplus, ROWS), (lambda: Softplus(3), 3 * IMAGES), (lambda: Softplus(-2), ROWS)],
    "Mish": [(Mish, ROWS), (Mish, 3 * IMAGES)],
    "PReLU": [
        (PReLU, ROWS),
        (lambda: PReLU(init=-0.5), IMAGES),
        (lambda: awake(PReLU(3)), ROWS),
        (lambda: awake(PReLU(2)), IMAGES),
        (lambda: awake(PReLU(2)), normal(2, 2, 3)),
    ],
    "Sigmoid": [(Sigmoid, ROWS), (Sigmoid, 3 * IMAGES)],
    "Tanh": [(Tanh, ROWS), (Tanh, IMAGES)],
    "ScaledTanh": [(ScaledTanh, ROWS), (lambda: ScaledTanh(-2, 0.5), IMAGES)],
    "GELU": [(GELU, ROWS), (lambda: GELU("tanh"), ROWS), (GELU, IMAGES)],
    "Exp": [(Exp, ROWS), (Exp, IMAGES)],
    "Sqrt": [(Sqrt, ROWS**2 + 0.5), (Sqrt, IMAGES**2 + 0.5)],
    "Abs": [(Abs, ROWS), (Abs, IMAGES)],
    "Power": [
        (lambda: Power(-1), ROWS**2 + 0.5),
        (lambda: Power(3), IMAGES),
        (lambda: Power(-2), -(ROWS**2) - 0.5),
    ],
    "Softmax": [
        (Softmax, ROWS),
        (Softmax, 3 * IMAGES),
        (lambda: Softmax(-1), IMAGES),
        (lambda: Softmax(2), normal(2, 2, 3)),
    ],
    "LogSoftmax": [
        (LogSoftmax, ROWS),
        (LogSoftmax, 3 * IMAGES),
        (lambda: LogSoftmax(-1), IMAGES),
        (lambda: LogSoftmax(2), normal(2, 2, 3)),
    ],
    "Dropout": [
        (lambda: Dropout(rng=0), ROWS),
        (lambda: Dropout(0.25, rng=1), IMAGES),
        (lambda: Dropout(0.0), ROWS),
    ],
    "StochasticDepth": [
        (lambda: StochasticDepth(0.5, rng=0), normal(4, 2, 3, 2)),
        (lambda: StochasticDepth(0.3, rng=2), ROWS),
        (lambda: StochasticDepth(0.4, "batch", rng=1), IMAGES),
        (lambda: StochasticDepth(0.5, rng=3), normal(4, 2, 3)),
        (lambda: StochasticDepth(0.0), IMAGES),
    ],
    "Flatten": [(Flatten, IMAGES), (Flatten, ROWS), (Flatten, normal(3))],
    "Reshape": [
        (lambda: Reshape((0, -1)), IMAGES),
        (lambda: Reshape((0, 4, 0, -1)), IMAGES),
        (lambda: Reshape((-1, 10, 4)), IMAGES),
        (lambda: Reshape((0, 0)), ROWS),
        (lambda: Reshape((-1, 3, 1, 1)), ROWS),
        (lambda: Reshape((0, 2, -1)), IMAGES),
    ],
    "Transpose": [
        (lambda: Transpose((0, 2, 3, 1)), IMAGES),
        (lambda: Transpose((0, 3, 1, 2)), IMAGES),
        (lambda: Transpose((0, 1)), ROWS),
    ],
    "Pad2D": [
        (lambda: Pad2D(1, mode="reflect"), IMAGES),
        (lambda: Pad2D(((4, 3), (0, 3)), mode="reflect"), IMAGES),
        (lambda: Pad2D(((0, 7), (5, 2)), mode="replicate"), IMAGES),
        (lambda: Pad2D(((5, 1), (2, 4)), mode="circular"), IMAGES),
        (lambda: Pad2D(0, mode="circular"), IMAGES),
        (lambda: Pad2D(1), IMAGES),
        (lambda: Pad2D(0), IMAGES),
        (lambda: Pad2D((0, 2), value=-1.5), IMAGES),
        (lambda: Pad2D(((0, 1), (2, 3))), IMAGES),
    ],
    "Slice": [
        (lambda: Slice(1, 3), normal(2, 4, 3, 2)),
        (lambda: Slice(0, 2), ROWS),
        (lambda: Slice(-3, -1), normal(2, 4, 3)),
        (lambda: Slice(1, None, 2), normal(2, 6, 2, 2)),
        (lambda: Slice(0, 9, 2, axis=2), IMAGES),
        (lambda: Slice(-3, axis=3), IMAGES),
        (lambda: Slice(0), IMAGES),
    ],
    "ChannelShuffle": [
        (lambda: ChannelShuffle(2), normal(2, 6, 2, 3)),
        (lambda: ChannelShuffle(3), normal(2, 6, 3, 2)),
        (lambda: ChannelShuffle(2), normal(2, 4, 3)),
        (lambda: ChannelShuffle(1), IMAGES),
    ],
    "PadChannels": [(lambda: PadChannels(2), IMAGES), (lambda: PadChannels(0), IMAGES)],
    "Add": [
        (Add, (ROWS, 2 * ROWS + 1)),
        (Add, (IMAGES, -IMAGES, IMAGES**2)),
        (Add, (ROWS,)),
        (Add, (ROWS, normal(4, 1))),
        (Add, (normal(2, 2, 1, 1), IMAGES, normal(2, 1, 5, 1))),
        (Add, (normal(2, 1, 3), normal(2, 4, 1))),
    ],
    "Multiply": [
        (Multiply, (ROWS, 2 * ROWS + 1)),
        (Multiply, (normal(2, 2, 1, 1), IMAGES)),
        (Multiply, (IMAGES, normal(2, 2, 1, 1))),
        (Multiply, (IMAGES, -IMAGES, IMAGES**2)),
        (Multiply, (IMAGES, IMAGES + 1)),
        (Multiply, (ROWS,)),
        (Multiply, (ROWS, normal(4, 1))),
        (Multiply, (IMAGES, normal(2, 1, 5, 4))),
        (Multiply, (normal(2, 2, 1, 1), IMAGES, normal(2, 1, 5, 1))),
        (Multiply, (normal(2, 1, 3), normal(2, 4, 1))),
    ],
    "MatMul": [
        (MatMul, (normal(2, 3, 4), normal(2, 4, 5))),
        (MatMul, (normal(2, 3, 2, 4), normal(2, 1, 4, 3))),
        (MatMul, (normal(2, 1, 3, 4), normal(2, 2, 4, 1))),
    ],
    "Maximum": [
        (Maximum, (ROWS, 2 * ROWS + 1)),
        (Maximum, (IMAGES, -IMAGES, IMAGES**2)),
        (Maximum, (ROWS,)),
        (Maximum, (IMAGES, normal(2, 1, 5, 1) + 0.3)),
    ],
    "Minimum": [
        (Minimum, (ROWS, 2 * ROWS + 1)),
        (Minimum, (IMAGES, -IMAGES, IMAGES**2)),
        (Minimum, (IMAGES, normal(2, 1, 5, 1) + 0.3)),
    ],
    "Concat": [
        (Concat, (ROWS, normal(4, 1))),
        (Concat, (IMAGES, normal(2, 1, 5, 4), IMAGES)),
        (lambda: Concat(axis=2), (IMAGES, normal(2, 2, 1, 4))),
        (lambda: Concat(axis=3), (normal(2, 2, 3, 1), normal(2, 2, 3, 4))),
    ],
    "Sequential": [
        (Sequential, ROWS),
        (lambda: Sequential(Dense(3, 4, rng=0), ReLU(), Dense(4, 2, rng=1)), ROWS),
        (lambda: Sequential(Conv2D(2, 3, 2, rng=0), awake(BatchNorm2D(3)), ReLU(), MaxPool2D(2)), IMAGES),
        (lambda: Sequential(Sequential(Dense(3, 3, rng=0), Tanh()), Sequential(Dense(3, 2, rng=1))), ROWS),
        (lambda: Sequential(Flatten(), Dropout(0.4, rng=0), Dense(40, 2, rng=0)), IMAGES),
        (lambda: Sequential(ReLU(), Sequential(Tanh(), AvgPool2D(2))), IMAGES),
        (shared_in_sequence, IMAGES),
    ],
    "Residual": [
        (lambda: Residual(Conv2D(2, 2, 3, padding=1, rng=0)), IMAGES),
        (lambda: Residual(Sequential(Conv2D(2, 2, 1, rng=0), awake(BatchNorm2D(2)))), normal(2, 2, 2, 2)),
        (lambda: Residual(ReLU()), ROWS),
        (lambda: Residual(Conv2D(2, 3, 2, 2, rng=0), Conv2D(2, 3, 1, 2, rng=1)), normal(2, 2, 4, 4)),
        (lambda: Residual(Sequential(Dense(3, 3, rng=0), Tanh()), Dropout(0.5, rng=1)), ROWS),
        (lambda: Residual(Conv2D(2, 2, 2, 2, rng=0), AvgPool2D(2)), normal(2, 2, 4, 4)),
    ],
    "Graph": [
        (lambda: Graph({"dense": (Dense(3, 2, rng=0), "input")}), ROWS),
        (shared_in_graph, ROWS),
        (two_inputs, (IMAGES, normal(2, 1, 5, 4))),
        (diamond, normal(2, 1, 4, 4)),
        (lambda: Graph({"twice": (Add(), "input", "input")}), ROWS),
        (lambda: Graph({"inner": (two_inputs(), "a", "b")}, ("a", "b")), (IMAGES, normal(2, 1, 5, 4))),
        (lambda: Graph({"relu": (ReLU(), "input"), "dense": (Dense(3, 2, rng=0), "relu")}), ROWS),
    ],
}

MODELS = {
    "tiny_cnn": (lambda: tiny_cnn(classes=2, filters=2, size=5), normal(2, 1, 5, 5)),
    "tiny_mlp": (lambda: tiny_mlp(hidden=4, size=3), normal(2, 1, 3, 3)),
    "digits_cnn": (lambda: digits_cnn(classes=2, image_shape=(1, 4, 4)), normal(2, 1, 4, 4)),
}

LAYERS = {f"{name}-{k}": case for name, cases in CASES.items() for k, case in enumerate(cases)}
"""Every case by its name: (function that makes the layer, its input)."""
