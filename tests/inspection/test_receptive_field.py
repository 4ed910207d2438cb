import numpy as np
import pytest

from neocog.inspection.receptive_field import unit_receptive_field
from neocog.layers import (
    Add,
    AvgPool2D,
    BatchNorm2D,
    Bias,
    ChannelShuffle,
    Concat,
    Conv2D,
    ConvTranspose2D,
    Dense,
    Flatten,
    GlobalAvgPool2D,
    Graph,
    GroupNorm,
    InstanceNorm,
    Layer,
    LayerNorm,
    LeakyReLU,
    LogSoftmax,
    MaxPool2D,
    Pad2D,
    Reshape,
    Residual,
    Sequential,
    Slice,
    Softmax,
    Transpose,
    Upsample,
)
from neocog.models import digits_cnn, tiny_cnn


def conv(cin, cout, k, **options):
    return Conv2D(cin, cout, k, rng=0, dtype="float64", **options)


def up(cin, cout, k, **options):
    return ConvTranspose2D(cin, cout, k, rng=0, dtype="float64", **options)


def branches():
    """Two paths of different kernels, laid side by side."""
    return Graph(
        {
            "wide": (conv(1, 2, 5, padding=2), "input"),
            "narrow": (conv(1, 2, 1), "input"),
            "join": (Concat(), "wide", "narrow"),
            "last": (conv(4, 1, (1, 2), stride=2), "join"),
        }
    )


C, H, W = 1, 7, 9

NETWORKS = {
    "kernel": Sequential(conv(1, 2, (3, 2))),
    "stride, padding": Sequential(conv(1, 2, 3, stride=2, padding=1), conv(2, 2, 3, padding=(2, 1))),
    "dilation": Sequential(
        conv(1, 2, 3, dilation=2, padding=2), conv(2, 2, 2, dilation=(3, 1), padding=(3, 0))
    ),
    "gaps": Sequential(conv(1, 1, 1, stride=3), conv(1, 1, 2)),
    "even same": Sequential(conv(1, 2, 4, padding="same"), conv(2, 1, (2, 4), padding="same")),
    "average": Sequential(conv(1, 2, 3), LeakyReLU(0.5), AvgPool2D(3, stride=2, padding=1)),
    "padded": Sequential(Pad2D(((0, 2), (3, 1))), conv(1, 1, 3), conv(1, 1, 3, stride=2)),
    "padding beyond": Sequential(conv(1, 1, 2, padding=4)),
    "groups": Sequential(conv(1, 4, 3, padding=1), GroupNorm(2, 4, dtype="float64")),
    "groups of features": Sequential(conv(1, 1, (1, 3)), Flatten(), GroupNorm(7, 49, dtype="float64")),
    "instances": Sequential(conv(1, 4, 3, padding=1), InstanceNorm(4)),
    "norm of channels": Sequential(conv(1, 4, 3), LayerNorm(4, axis=1, dtype="float64"), conv(4, 1, 2)),
    "norm of rows": Sequential(conv(1, 1, 3, padding=1), LayerNorm(W, dtype="float64")),
    "norm of maps": Sequential(conv(1, 2, 3, padding=1), LayerNorm((H, W), dtype="float64")),
    "norm of features": Sequential(conv(1, 1, 3), Flatten(), LayerNorm((H - 2) * (W - 2), dtype="float64")),
    "half of the channels": Sequential(conv(1, 4, 3), Slice(1, 3), ChannelShuffle(2), conv(2, 1, 2)),
    "part of the rows": Sequential(Slice(1, None, 2, axis=2), conv(1, 2, 2), Slice(-3, -1, axis=3)),
    "part of the features": Sequential(conv(1, 1, 3), Flatten(), Slice(5, 30, 3)),
    "residual": Sequential(
        conv(1, 2, 3, stride=2),
        Residual(Sequential(conv(2, 2, 3, padding=1), BatchNorm2D(2, dtype="float64"))),
    ),
    "branches": branches(),
    "concatenated rows": Graph(
        {"a": (conv(1, 1, 3), "input"), "b": (conv(1, 1, (1, 3)), "input"), "c": (Concat(2), "a", "b")}
    ),
    "average, dilated": Sequential(conv(1, 2, 3), AvgPool2D(2, 2, ((1, 0), (0, 2)), dilation=2)),
    "average, rounded up": Sequential(AvgPool2D(2, 2, ceil_mode=True), conv(1, 1, 2)),
    "mirrored": Sequential(conv(1, 1, 2), Pad2D(((2, 0), (1, 3)), mode="reflect"), conv(1, 1, 2)),
    "edges": Sequential(Pad2D((3, 1), mode="replicate"), conv(1, 1, 3, stride=2)),
    "round": Sequential(conv(1, 1, 2, stride=2), Pad2D(1, mode="circular"), conv(1, 1, (1, 2))),
    "down and up": Sequential(conv(1, 2, 3, stride=2), up(2, 1, 3, stride=2, padding=1, output_padding=1)),
    "up with gaps": Sequential(up(1, 1, (1, 2), stride=3, padding=((0, 0), (1, 0))), conv(1, 1, 2)),
    "up, dilated": Sequential(up(1, 1, 3, stride=2, dilation=(3, 2)), conv(1, 1, 3, stride=2)),
    "upsampled": Sequential(conv(1, 1, 3), Upsample(2), conv(1, 1, 3, stride=(2, 1))),
    "interpolated": Sequential(Upsample((1.5, 0.5), mode="bilinear"), conv(1, 1, 2, padding=1)),
    "resized": Sequential(Upsample(size=(5, 20), mode="bilinear", align_corners=True), conv(1, 1, 2)),
    "softmax": Sequential(conv(1, 2, 3), Softmax()),
    "softmax of rows": Sequential(conv(1, 2, 3, stride=2), LogSoftmax(-1)),
    "repeated": Graph(
        {
            "a": (conv(1, 2, 3, padding=1), "input"),
            "b": (AvgPool2D((7, 1)), "input"),
            "c": (Add(), "a", "b"),
            "d": (Bias((2, 1, 1)), "c"),
        }
    ),
    "reshaped": Sequential(conv(1, 2, 3, stride=3), Reshape((0, -1)), Softmax()),
    "flat": Sequential(conv(1, 2, 3, stride=3), Flatten()),
    "dense": Sequential(conv(1, 1, 2, stride=3), Flatten(), Dense(6, 2, rng=0, dtype="float64")),
    "global": Sequential(conv(1, 2, 3), GlobalAvgPool2D()),
    "features": Graph(
        {
            "a": (Sequential(conv(1, 1, 3, stride=3), Flatten()), "input"),
            "b": (Sequential(conv(1, 1, 5), GlobalAvgPool2D()), "input"),
            "c": (Concat(), "a", "b"),
        }
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_it_is_the_support_of_the_input_gradient(name):
    network = NETWORKS[name]
    last = [name for name, _ in network.leaves()][-1]
    y, cache = network.forward(np.random.default_rng(0).normal(size=(1, C, H, W)))
    positions = np.ndindex(y.shape[2:]) if y.ndim == 4 else np.ndindex(y.shape[1:])
    for position in positions:
        dy = np.zeros_like(y)
        place = (0, slice(None), *position) if y.ndim == 4 else (0, *position)
        dy[place] = np.random.default_rng(1).normal(size=dy[place].shape)
        dx = np.abs(network.backward(dy, cache)[0]).sum(axis=(0, 1))
        field = unit_receptive_field(network, last, position if y.ndim == 4 else position[0], (C, H, W))
        for axis, seen in ((1, field.rows), (0, field.columns)):
            support = np.flatnonzero(dx.sum(axis=axis))
            expected = slice(support[0], support[-1] + 1) if len(support) else slice(0, 0)
            assert seen == expected, f"{name} at {position}"


UNEVEN = {
    *("gaps", "concatenated rows", "mirrored", "edges", "round", "softmax of rows", "repeated"),
    "part of the rows",
    *("down and up", "up with gaps", "up, dilated", "upsampled", "interpolated", "resized"),
}
FEATURES = {
    *("flat", "dense", "global", "features", "reshaped", "groups", "groups of features", "instances"),
    *("norm of rows", "norm of maps", "norm of features", "part of the features"),
}
# They see a whole image, however large


@pytest.mark.parametrize("name", sorted(set(NETWORKS) - FEATURES - UNEVEN))
def test_unclipped_it_is_the_field_of_a_larger_image(name):
    """In an image that goes on far beyond, nothing is cut: the same size, one jump apart."""
    network = NETWORKS[name]
    last = [name for name, _ in network.leaves()][-1]
    a, b = (unit_receptive_field(network, last, (0, k), (1, H, W)) for k in (0, 1))
    middle = unit_receptive_field(network, last, (12, 12), (1, 70, 70))
    assert middle.size == a.size == b.size
    assert (middle.rows.start, middle.rows.stop) == middle.unclipped_rows
    jump = b.unclipped_columns[0] - a.unclipped_columns[0]
    assert middle.unclipped_columns[0] == a.unclipped_columns[0] + 12 * jump


def test_by_hand():
    # conv1 3x3, padding 1; pool 2; conv2 3x3, padding 1; pool 2: 1 -> 3 -> 4 -> 8 -> 10, jump 4
    network = digits_cnn()
    field = unit_receptive_field(network, "pool2", (0, 1))
    assert field.size == (10, 10)
    assert field.unclipped_rows == (-3, 7)
    assert field.unclipped_columns == (1, 11)
    assert (field.rows, field.columns) == (slice(0, 7), slice(1, 8))
    # a window of maxima: a 2x2 window of 3x3 kernels
    field = unit_receptive_field(tiny_cnn(), "pool1", (2, 0))
    assert (field.rows, field.columns) == (slice(4, 8), slice(0, 4))
    assert (field.unclipped_rows, field.unclipped_columns) == ((4, 8), (0, 4))


def test_max_pooling_sees_its_whole_window():
    network = Sequential(conv(1, 1, 2), MaxPool2D(3, stride=2, padding=1))
    assert unit_receptive_field(network, "1", (0, 1), (1, 7, 9)).columns == slice(1, 5)
    assert unit_receptive_field(network, "1", (0, 1), (1, 7, 9)).unclipped_rows == (-1, 3)


def test_what_is_not_known_is_refused():
    """A square map looks the same transposed, but is not."""
    turned = Sequential(Transpose((0, 1, 3, 2)), conv(1, 1, (1, 3)))
    with pytest.raises(TypeError, match="what a Transpose sees of its input is not known"):
        unit_receptive_field(turned, "1", (0, 0), (1, 5, 5))
    kept = Sequential(Transpose((0, 1, 2, 3)), conv(1, 1, (1, 3)))
    assert unit_receptive_field(kept, "1", (0, 0), (1, 5, 5)).columns == slice(0, 3)
    with pytest.raises(TypeError, match="what a Reshape sees of its input is not known"):
        unit_receptive_field(Sequential(Reshape((0, 1, 5, -1))), "0", (0, 0), (5, 5, 1))
    mixed = Graph({"a": (GlobalAvgPool2D(), "input"), "b": (Add(), "a", "input")})
    with pytest.raises(TypeError, match="what a Add of maps and features sees is not known"):
        unit_receptive_field(mixed, "b", (0, 0), (1, 1, 1))


def test_padding_only():
    field = unit_receptive_field(NETWORKS["padding beyond"], "0", (0, 5), (1, 7, 9))
    assert (field.rows, field.columns) == (slice(0, 0), slice(0, 0))
    assert (field.unclipped_rows, field.unclipped_columns) == ((-4, -2), (1, 3))


def test_several_inputs_of_one_sum():
    network = Graph({"a": (conv(1, 1, 3, padding=1), "input"), "b": (Add(), "a", "input", "a")})
    assert unit_receptive_field(network, "b", (3, 3), (1, 7, 7)).rows == slice(2, 5)


@pytest.mark.parametrize(
    ("layer", "position", "shape", "message"),
    [
        ("pool1", (3, 0), None, r"position must lie in 'pool1', whose size is \(3, 3\), got \(3, 0\)"),
        ("pool1", (-1, 0), None, "position must be at least 0"),
        ("pool1", 1, None, r"position must be \(row, column\) in 'pool1', got 1"),
        ("dense", (1, 0), None, "position must be an integer in 'dense'"),
        ("pool1", (0, 0), (8, 8), r"input_shape must be \(channels, height, width\), got \(8, 8\)"),
        ("pool1", (0, 0), (2, 8, 8), "layer 'conv1': Conv2D needs 1 input channels"),
    ],
)
def test_bad_arguments(layer, position, shape, message):
    with pytest.raises(ValueError, match=message):
        unit_receptive_field(tiny_cnn(), layer, position, shape)


def test_an_unknown_size_and_an_unknown_geometry():
    with pytest.raises(ValueError, match="input_shape is not known"):
        unit_receptive_field(Sequential(conv(1, 1, 3)), "0", (0, 0))

    class Transpose(Layer):
        def output_shape(self, shape):
            return *shape[:2], shape[3], shape[2]

    with pytest.raises(TypeError, match="what a Transpose sees of its input is not known"):
        unit_receptive_field(Sequential(Transpose()), "0", (0, 0), (1, 2, 3))
