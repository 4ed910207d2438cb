"""Layers on arrays that allow nothing beyond the array API: a rehearsal for other array libraries."""

import array_api_strict as strict
import numpy as np
import pytest

from neocog.layers import (
    GELU,
    Add,
    AvgPool2D,
    BatchNorm1D,
    BatchNorm2D,
    Bias,
    Concat,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool2D,
    GlobalMaxPool2D,
    Graph,
    LeakyReLU,
    LocalResponseNorm,
    LogSoftmax,
    MaxPool2D,
    Pad2D,
    PadChannels,
    RadialBasis,
    ReLU,
    Reshape,
    Residual,
    ScaledTanh,
    Sequential,
    Sigmoid,
    Softmax,
    SparseConv2D,
    Tanh,
    Transpose,
)
from neocog.layers.activation import softmax

IMAGES, ROWS = (2, 4, 5, 6), (3, 4)

CASES = [
    (lambda: Conv2D(4, 2, 3, stride=2, padding=1, rng=0), IMAGES),
    (lambda: Conv2D(4, 4, 2, padding="same", dilation=2, groups=2, bias=False, rng=0), IMAGES),
    (lambda: SparseConv2D(4, [(0, 2), (3, 1)], 3, 2, 1, rng=0), IMAGES),
    (lambda: MaxPool2D(3, 2, 1), IMAGES),
    (lambda: AvgPool2D(2), IMAGES),
    (lambda: AvgPool2D(3, 2, 1, count_include_pad=False), IMAGES),
    (lambda: MaxPool2D(2, 2, ((1, 0), (0, 1)), (2, 1), True), IMAGES),
    (lambda: AvgPool2D(3, 2, 1, ceil_mode=True), IMAGES),
    (lambda: AvgPool2D(2, 2, 1, False, True, None, 2), IMAGES),
    (lambda: AvgPool2D(2, divisor_override=3), IMAGES),
    (GlobalAvgPool2D, IMAGES),
    (GlobalMaxPool2D, IMAGES),
    (lambda: Bias((4, 1, 1)), IMAGES),
    (Softmax, IMAGES),
    (lambda: LogSoftmax(-1), IMAGES),
    (lambda: Reshape((0, -1, 3)), IMAGES),
    (lambda: Transpose((0, 3, 1, 2)), IMAGES),
    (lambda: Pad2D(((1, 2), (3, 0)), mode="reflect"), IMAGES),
    (lambda: Pad2D(((1, 0), (0, 7)), mode="replicate"), IMAGES),
    (lambda: Pad2D((2, 3), mode="circular"), IMAGES),
    (Add, (IMAGES, (4, 1, 6), IMAGES)),
    (lambda: Dense(4, 2, rng=0), ROWS),
    (lambda: RadialBasis(4, 2, rng=0), ROWS),
    (lambda: BatchNorm1D(4), ROWS),
    (lambda: BatchNorm2D(4), IMAGES),
    (lambda: LocalResponseNorm(3, 0.5), IMAGES),
    (lambda: LocalResponseNorm(8, 0.5), IMAGES),
    (ReLU, IMAGES),
    (LeakyReLU, IMAGES),
    (Sigmoid, IMAGES),
    (Tanh, IMAGES),
    (ScaledTanh, IMAGES),
    (lambda: GELU("tanh"), IMAGES),
    (lambda: Dropout(0.5, rng=0), IMAGES),
    (Flatten, IMAGES),
    (lambda: Pad2D((1, 2)), IMAGES),
    (lambda: PadChannels(3), IMAGES),
    (lambda: Pad2D(((1, 0), (0, 2)), value=3.0), IMAGES),
    (Add, (ROWS, ROWS)),
    (Concat, (IMAGES, IMAGES)),
    (lambda: Residual(Conv2D(4, 4, 3, padding=1, rng=0)), IMAGES),
    (lambda: Graph({"a": (Tanh(), "input"), "b": (Add(), "a", "input")}), IMAGES),
    (
        lambda: Sequential(
            Conv2D(4, 2, 2, rng=0), BatchNorm2D(2), ReLU(), MaxPool2D(2), Flatten(), Dense(8, 3, rng=1)
        ),
        IMAGES,
    ),
]
FORMS = [pytest.param(*case, id=type(case[0]()).__name__) for case in CASES]


def each(function, x):
    return tuple(map(function, x)) if isinstance(x, tuple) else function(x)


def on_strict_arrays(layer):
    for _, leaf in layer.leaves():
        for arrays in (leaf._params, leaf._buffers):
            arrays.update({name: strict.asarray(array) for name, array in arrays.items()})
    return layer


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("make", "shapes"), FORMS)
def test_equals_numpy(make, shapes, training):
    rng = np.random.default_rng(0)
    one = isinstance(shapes[0], int)
    x = rng.normal(size=shapes) if one else tuple(rng.normal(size=shape) for shape in shapes)

    layer, twin = (make().astype("float64") for _ in range(2))
    y, cache = layer.forward(x, training=training)
    dy = rng.normal(size=y.shape)
    dx, grads = layer.backward(dy, cache)

    twin = on_strict_arrays(twin)
    strict_y, strict_cache = twin.forward(each(strict.asarray, x), training=training)
    strict_dx, strict_grads = twin.backward(strict.asarray(dy), strict_cache)

    expected = [y, *([dx] if one else dx), *grads.values(), *layer.buffers.values()]
    got = [strict_y, *([strict_dx] if one else strict_dx), *(strict_grads[name] for name in grads)]
    got += twin.buffers.values()
    for mine, wanted in zip(got, expected, strict=True):
        assert type(mine) is type(strict.asarray(0.0))
        np.testing.assert_allclose(np.from_dlpack(mine), wanted, rtol=1e-14, atol=1e-14)


def test_softmax_equals_numpy():
    z = np.random.default_rng(0).normal(size=(3, 4))
    np.testing.assert_allclose(np.from_dlpack(softmax(strict.asarray(z))), softmax(z), rtol=1e-15)
