"""Operators that take, split, shuffle and normalise channels, beside ONNX Runtime."""

import numpy as np
import pytest

from neocog.compilation import uncompiled
from neocog.interop.onnx import OnnxImportError, UnsupportedOperatorError, from_onnx, to_onnx
from neocog.layers import ChannelShuffle, GroupNorm, InstanceNorm, LayerNorm, Sequential, StochasticDepth

from .onnx_graphs import model, node, runtime


def normal(*shape):
    return np.random.default_rng(5).normal(size=shape).astype("float32")


def integers(**arrays):
    return {name: np.array(values, np.int64) for name, values in arrays.items()}


def same(proto, *sizes):
    """Read a model, compare it with ONNX Runtime's, and return its layers in text."""
    network, x = from_onnx(proto), normal(*sizes)
    np.testing.assert_allclose(network(x), runtime(proto, x), rtol=1e-5, atol=1e-5)
    return [repr(layer) for _, layer in network.leaves()]


MAPS = ("N", 6, 4, 5)


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        ({"s": [1], "e": [3], "a": [1]}, ["Slice(1, stop=3)"]),
        ({"s": [-2], "e": [2**62], "a": [-3]}, ["Slice(-2)"]),
        ({"s": [0, 1], "e": [6, -1], "a": [1, 3]}, ["Slice(1, stop=-1, axis=3)"]),
        (
            {"s": [0, 1], "e": [5, 4], "a": [1, 2], "t": [2, 1]},
            ["Slice(0, stop=5, step=2)", "Slice(1, axis=2)"],
        ),
        ({"s": [0, 0, 0, 2], "e": [2**62, 2**62, 2**62, 4]}, ["Slice(2, stop=4, axis=3)"]),
    ],
)
def test_slice(arrays, expected):
    names = " ".join(["x", *arrays])
    assert same(model([node("Slice", names, "y")], integers(**arrays), MAPS), 2, 6, 4, 5) == expected


def test_slice_by_attributes():
    proto = model([node("Slice", "x", "y", starts=[1], ends=[3], axes=[1])], {}, MAPS, opset=9)
    assert same(proto, 2, 6, 4, 5) == ["Slice(1, stop=3)"]


@pytest.mark.parametrize(
    ("options", "arrays", "sizes"),
    [
        ({}, {}, (3, 3)),
        ({"axis": -1}, {"p": [1, 4]}, (1, 4)),
        ({"num_outputs": 2, "axis": 3}, {}, (3, 2)),
    ],
)
def test_split(options, arrays, sizes):
    """All parts are read, the last of a size that does not divide is smaller."""
    axis = options.get("axis", 1) % 4
    opset = 18 if "num_outputs" in options else 17
    split = node("Split", " ".join(["x", *arrays]), "a b", **{"axis": 1, **options})
    nodes = [split, node("Relu", "a", "c"), node("Concat", "b c", "y", axis=axis)]
    found = same(model(nodes, integers(**arrays), MAPS, opset=opset), 2, 6, 4, 5)
    suffix = f", axis={axis}" * (axis != 1)
    first = f"Slice(0, stop={sizes[0]}{suffix})"
    assert first in found
    assert f"Slice({sizes[0]}{suffix})" in found


def test_a_part_that_nothing_reads():
    nodes = [node("Split", "x", "a b c", axis=1), node("Add", "a c", "y")]
    assert same(model(nodes, {}, MAPS), 2, 6, 4, 5) == ["Slice(0, stop=2)", "Slice(4)", "Add()"]


@pytest.mark.parametrize(
    ("indices", "axis", "expected"),
    [
        (2, 1, ["Slice(2, stop=3)", "Reshape((0, 4, 5))"]),
        (-1, 3, ["Slice(4, axis=3)", "Reshape((0, 6, 4))"]),
        ([1, 3, 5], 1, ["Slice(1, step=2)"]),
        ([3], 2, ["Slice(3, axis=2)"]),
        ([0, 1, 2, 3, 4, 5], 1, []),
    ],
)
def test_gather(indices, axis, expected):
    nodes = [node("Gather", "x i", "a", axis=axis), node("Relu", "a", "y")]
    found = same(model(nodes, integers(i=indices), MAPS), 2, 6, 4, 5)
    assert [layer for layer in found if layer != "ReLU()"] == expected


@pytest.mark.parametrize(
    ("nodes", "arrays", "error", "message"),
    [
        (
            "Slice",
            {"s": [5], "e": [0], "a": [1], "t": [-1]},
            UnsupportedOperatorError,
            "a step must be at least 1",
        ),
        ("Slice", {"s": [1], "e": [1], "a": [1]}, OnnxImportError, "Slice finds no entry 1:1:1 along axis 1"),
        (
            "Gather",
            {"i": [0, 1, 3]},
            UnsupportedOperatorError,
            "its indices must rise in equal steps",
        ),
        ("Gather", {"i": [[0, 1]]}, UnsupportedOperatorError, "its indices must be one integer or a list"),
        ("Split", {"p": [4, 3]}, OnnxImportError, "split must be 2 sizes whose sum is 6"),
    ],
)
def test_refused(nodes, arrays, error, message):
    options = {} if nodes == "Slice" else {"axis": 1}
    output = "y z" if nodes == "Split" else "y"
    proto = model(
        [node(nodes, " ".join(["x", *arrays]), output, **options)], integers(**arrays), MAPS, output=None
    )
    with pytest.raises(error, match=message):
        from_onnx(proto)


@pytest.mark.parametrize("perm", [(0, 2, 1, 3, 4), (0, 2, 1, 4, 3)])
def test_a_shuffle_of_channels(perm):
    """As exporters write it, with the sizes computed; what also turns the pixels round is none."""
    back = [0, 6, *(MAPS[p - 1] for p in perm[3:])]
    nodes = [
        node("Reshape", "x parts", "a"),
        node("Transpose", "a", "b", perm=list(perm)),
        node("Reshape", "b maps", "y"),
    ]
    found = same(model(nodes, integers(parts=[0, 2, 3, 4, 5], maps=back), MAPS), 2, 6, 4, 5)
    assert (found == ["ChannelShuffle(2)"]) == (perm[3] == 3)


def test_instance_norm_that_learns_nothing_comes_back_so():
    for layer in (InstanceNorm(6, eps=0.1), GroupNorm(3, 6, eps=0.1, affine=False)):
        (again,) = (leaf for _, leaf in from_onnx(to_onnx(layer, input_shape=(6, 4, 5))).leaves())
        assert repr(again) == repr(layer)


def test_ones_that_are_named_or_multiplied_are_learned():
    """A fresh layer has ones and zeros, too: its names say that it learns them."""
    layer = InstanceNorm(6, affine=True)
    again = from_onnx(to_onnx(Sequential(norm=layer), input_shape=(6, 4, 5)))
    assert repr(again["norm"]) == repr(layer)
    arrays = {"s": np.ones(6, "float32"), "b": np.zeros(6, "float32"), "w": normal(6, 1, 1)}
    nodes = [node("InstanceNormalization", "x s b", "a"), node("Mul", "a w", "y")]
    assert same(model(nodes, arrays, MAPS), 2, 6, 4, 5) == ["InstanceNorm(6, affine=True)"]


def test_a_norm_of_channels_between_transpositions():
    """As PyTorch exports ConvNeXt's; another reader of what lies between keeps the transpositions."""
    arrays = {"norm.weight": normal(6), "norm.bias": normal(6)}
    nodes = [
        node("Transpose", "x", "a", perm=[0, 2, 3, 1]),
        node("LayerNormalization", "a norm.weight norm.bias", "b", epsilon=0.1),
        node("Transpose", "b", "y", perm=[0, 3, 1, 2]),
    ]
    assert same(model(nodes, arrays, MAPS), 2, 6, 4, 5) == ["LayerNorm((6,), eps=0.1, axis=1)"]
    nodes[2:] = [node("Add", "a b", "c"), node("Transpose", "c", "y", perm=[0, 3, 1, 2])]
    assert same(model(nodes, arrays, MAPS), 2, 6, 4, 5) == [
        "Transpose((0, 2, 3, 1))",
        "LayerNorm((6,), eps=0.1)",
        "Add()",
        "Transpose((0, 3, 1, 2))",
    ]


def test_a_block_with_the_channels_last_works_on_them_in_place():
    """As PyTorch exports ConvNeXt's: norm, dense layers and an activation between two transpositions."""
    arrays = {
        **{"norm.weight": normal(6), "norm.bias": normal(6)},
        **{
            "up.weight": normal(6, 8),
            "up.bias": normal(8),
            "down.weight": normal(8, 3),
            "down.bias": normal(3),
        },
    }
    nodes = [
        node("Transpose", "x", "a", perm=[0, 2, 3, 1]),
        node("LayerNormalization", "a norm.weight norm.bias", "b", epsilon=0.1),
        node("MatMul", "b up.weight", "c"),
        node("Add", "up.bias c", "d"),
        node("Relu", "d", "e"),
        node("MatMul", "e down.weight", "f"),
        node("Add", "f down.bias", "g"),
        node("Transpose", "g", "y", perm=[0, 3, 1, 2]),
    ]
    proto = model(nodes, arrays, MAPS)
    assert same(proto, 2, 6, 4, 5) == [
        "LayerNorm((6,), eps=0.1, axis=1)",
        "Conv2D(6, 8, 1)",
        "ReLU()",
        "Conv2D(8, 3, 1)",
    ]
    network = from_onnx(proto)
    assert [*network.params] == [
        f"{name}.{kind}" for name in ("norm", "up", "down") for kind in ("weight", "bias")
    ]
    assert not uncompiled(network, (2, 6, 4, 5))


def test_images_that_stay_with_the_channels_last():
    """A dense layer of each pixel is compiled, too; a bias that is another shape's stays one of its own."""
    arrays = {"w": normal(5, 3), "b": normal(4, 3)}
    nodes = [node("MatMul", "x w", "a"), node("Add", "a b", "y")]
    proto = model(nodes, arrays, MAPS)
    assert same(proto, 2, 6, 4, 5) == [
        "Transpose((0, 3, 1, 2))",
        "Conv2D(5, 3, 1, bias=False)",
        "Transpose((0, 2, 3, 1))",
        "Bias((4, 3))",
    ]
    assert not uncompiled(from_onnx(proto), (2, 6, 4, 5))


def test_what_is_written():
    operators = {
        ChannelShuffle(2): ["Reshape", "Transpose", "Reshape"],
        InstanceNorm(6): ["InstanceNormalization"],
        LayerNorm(6, axis=1): ["Transpose", "LayerNormalization", "Transpose"],
        StochasticDepth(0.5): ["Identity"],
    }
    for layer, expected in operators.items():
        assert [each.op_type for each in to_onnx(layer, input_shape=(6, 4, 5)).graph.node] == expected
