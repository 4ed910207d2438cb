"""Graphs that were once misread, refused for no reason, or took forever; ONNX Runtime is the judge."""

from itertools import product

import numpy as np
import pytest
from onnx import helper

from neocog.interop.onnx import (
    Backend,
    OnnxImportError,
    UnsupportedOperatorError,
    from_onnx,
    reads,
    to_onnx,
)
from neocog.interop.onnx.import_node import READERS
from neocog.layers import (
    Add,
    AvgPool2D,
    Conv2D,
    Dense,
    Elementwise,
    Graph,
    ReLU,
    Rescale,
    Scale,
    Sequential,
    Tanh,
)

from .onnx_graphs import model, node, runtime

RNG = np.random.default_rng(8)


def normal(*shape):
    return RNG.normal(size=shape).astype("float32")


def same(proto, *sizes, as_in=None):
    """Read a model; compare it with ONNX Runtime on it, or on another that says the same."""
    network = from_onnx(proto)
    x = normal(*sizes)
    expected = runtime(as_in or proto, x)
    y = network(x)
    assert y.shape == expected.shape
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)
    return network


# Scopes that are called as an input is


@pytest.mark.parametrize("name", ["block.add", "add", ""])
def test_a_scope_called_like_the_input(name):
    """PyTorch's ``self.input = nn.Sequential(...)`` and a sum of its result and the input."""
    nodes = [node("Conv", "x input.conv.weight", "a"), node("Add", "a x", "y", name)]
    network = same(model(nodes, {"input.conv.weight": normal(2, 2, 1, 1)}, ("N", 2, 4, 4)), 3, 2, 4, 4)
    assert list(network.params) == ["input_conv.weight"]


def test_a_scope_called_like_one_of_several_inputs():
    nodes = [node("MatMul", "left left.fc.weight", "a"), node("Add", "a right", "y")]
    proto = model(nodes, {"left.fc.weight": normal(3, 3)}, ("N", 3), inputs=("left", "right"))
    network = from_onnx(proto)
    x = normal(2, 3), normal(2, 3)
    np.testing.assert_allclose(network(x), runtime(proto, *x), rtol=1e-5, atol=1e-5)


def test_a_container_called_like_the_input_comes_back():
    """Beside the input, a container may have its name; what is read has one name for each."""
    inner = Sequential(c=Conv2D(2, 2, 1, rng=0), input_c=ReLU())
    network = Graph({"block": (inner, "x"), "a": (Add(), "block", "x")}, ("x",))
    inside = Sequential(input=network)
    again = from_onnx(to_onnx(inside, input_shape=(2, 3, 3)))
    x = normal(2, 2, 3, 3)
    np.testing.assert_allclose(again(x), inside(x), rtol=1e-6)
    outside = Graph({"input": (inner, "x"), "a": (Add(), "input", "x")}, ("x",))
    np.testing.assert_allclose(from_onnx(to_onnx(outside, input_shape=(2, 3, 3)))(x), outside(x), rtol=1e-6)


def test_names_that_stay_taken_after_one_underscore():
    arrays = {name: normal(3, 3) for name in ("a.one.weight", "b.weight", "a.two.weight")}
    names = ["a.one", "b", "a_one", "a_one_", "a.two"]
    nodes = [
        node("MatMul", "x a.one.weight", "p"),
        node("MatMul", "p b.weight", "q"),
        node("Relu", "q", "r", "a_one"),
        node("Sigmoid", "r", "s", "a_one_"),
        node("MatMul", "s a.two.weight", "y"),
    ]
    network = same(model(nodes, arrays, ("N", 3)), 2, 3)
    assert len(list(network.leaves())) == len(names)


# What old opsets say by attributes


@pytest.mark.parametrize(
    ("operator", "axis", "sizes"),
    [
        *product(["Add", "Sub", "Mul", "Div"], [1, -3], [(3,)]),
        *product(["Add", "Sub"], [2, 3, -1, None], [(3,)]),
        *product(["Add", "Sub"], [1, 2], [(3, 3)]),
        *product(["Add", "Sub", "Mul", "Div"], [0, None], [()]),
    ],
)
@pytest.mark.parametrize("first", ["Conv x w a", "Relu x a"])
def test_the_axis_of_an_operand_before_opset_7(operator, axis, sizes, first):
    """The second operand lies along the axes from ``axis`` on; 3 channels of 3 x 3 pixels, so all fit."""
    kind, *inputs, _ = first.split()
    operand = 1 + np.abs(normal(*sizes))
    arrays = {"w": normal(3, 3, 1, 1)} if kind == "Conv" else {}
    where = {} if axis is None else {"axis": axis}
    before = node(kind, " ".join(inputs), "a")
    old = node(operator, "a b", "y", broadcast=1, **where)
    proto = model([before, old], arrays | {"b": operand}, ("N", 3, 3, 3), 6)
    axis = 4 - len(sizes) if axis is None else axis % 4
    padded = operand.reshape((*sizes, *[1] * (4 - axis - len(sizes))))
    modern = model([before, node(operator, "a b", "y")], arrays | {"b": padded}, ("N", 3, 3, 3))
    same(proto, 2, 3, 3, 3, as_in=modern)


@pytest.mark.parametrize("opset", [6, 7, 20])
@pytest.mark.parametrize("sizes", [(1,), (2,), (2, 1, 1), (1, 2, 1, 1), ()])
def test_the_slope_of_prelu(sizes, opset):
    """Two channels of 3 x 2 pixels: slopes along the last axis are none of channels, but before opset 7."""
    slope = normal(*sizes)
    old = model([node("PRelu", "x s", "y")], {"s": slope}, ("N", 2, 3, 2), opset)
    if sizes == (2,) and opset > 6:
        with pytest.raises(UnsupportedOperatorError, match=r"one for each channel, got shape \(2,\)"):
            from_onnx(old)
        return
    lifted = slope.reshape((2, 1, 1) if slope.size == 2 else (1,))
    modern = model([node("PRelu", "x s", "y")], {"s": lifted}, ("N", 2, 3, 2))
    (weight,) = same(old, 2, 2, 3, 2, as_in=modern).params.values()
    assert weight.shape == (slope.size,)


def test_group_normalization_by_hand():
    """Groups (1, 3) and (5, 5) with eps 3 are (-1/2, 1/2) and (0, 0)."""
    arrays = {"s": np.array([2, 2, 4, 4], np.float32), "b": np.array([1, 1, -1, -1], np.float32)}
    node_ = node("GroupNormalization", "x s b", "y", num_groups=2, epsilon=3.0)
    network = from_onnx(model([node_], arrays, ("N", 4), 21))
    assert network(np.array([[1, 3, 5, 5]], np.float32)).tolist() == [[0, 2, -1, -1]]
    with pytest.raises(OnnxImportError, match="GroupNormalization is deprecated"):  # weights were of groups
        from_onnx(model([node_], arrays, ("N", 4), 18))


def test_instance_normalization_alone():
    node_ = node("InstanceNormalization", "x s b", "y", epsilon=0.1)
    network = same(model([node_], {"s": normal(3), "b": normal(3)}, ("N", 3, 4, 5)), 2, 3, 4, 5)
    assert [repr(layer) for _, layer in network.leaves()] == ["InstanceNorm(3, eps=0.1, affine=True)"]


@pytest.mark.parametrize("sizes", [(4, 5), (5,), (1,), (4, 1)])
@pytest.mark.parametrize("bias", ["", " b"])
def test_weights_of_a_layer_norm_are_repeated(sizes, bias):
    arrays = {"s": normal(*sizes)} | ({"b": normal(*sizes)} if bias else {})
    node_ = node("LayerNormalization", f"x s{bias}", "y", axis=2, epsilon=0.1)
    same(model([node_], arrays, ("N", 3, 4, 5)), 2, 3, 4, 5)


def test_a_layer_norm_over_the_batch_is_refused():
    proto = model([node("LayerNormalization", "x s", "y", axis=0)], {"s": normal(2, 4)}, (2, 4))
    with pytest.raises(UnsupportedOperatorError, match="it may not normalise over the batch, got axis 0"):
        from_onnx(proto)


def test_the_axis_of_constants_before_opset_7():
    arrays = {"w": normal(3, 3), "c": normal(3)}
    nodes = [node("Add", "w c", "v", broadcast=1, axis=0), node("MatMul", "x v", "y")]
    modern = model([node("MatMul", "x v", "y")], {"v": arrays["w"] + arrays["c"][:, None]}, ("N", 3))
    same(model(nodes, arrays, ("N", 3), 6), 2, 3, as_in=modern)


def test_the_axis_of_two_computed_operands_before_opset_7():
    def nodes(*last):
        pool = [node("GlobalAveragePool", "x", "g"), node("Squeeze", "g", "s", axes=[2, 3])]
        return [*pool, *last]

    old = nodes(node("Add", "x s", "y", broadcast=1, axis=0))
    modern = nodes(node("Unsqueeze", "s", "u", axes=[2, 3]), node("Add", "x u", "y"))
    shape = (3, 3, 3, 3)
    same(model(old, {}, shape, 6), *shape, as_in=model(modern, {}, shape, 11))


def test_an_axis_beyond_the_operand():
    nodes = [node("Add", "x b", "y", "sum", broadcast=1, axis=3)]
    with pytest.raises(
        OnnxImportError,
        match=r"node 'sum' \(Add\): axis must be from 0 to 2 for operands of 4 and 2 axes, got 3",
    ):
        from_onnx(model(nodes, {"b": normal(3, 3)}, ("N", 3, 3, 3), 6))


# Constants


@pytest.mark.parametrize(
    ("factors", "divisor"),
    [((3, 3), 36), ((0.5,), 2), ((0.5, 3), 6), ((0.99995,), None), ((4, 0.99995), 16), ((1000, 1000), 4e6)],
)
def test_a_mean_that_is_scaled_twice(factors, divisor):
    nodes = [node("AveragePool", "x", "v0", kernel_shape=[2, 2], strides=[2, 2], count_include_pad=1)]
    nodes += [node("Div", f"v{k} k{k}", f"v{k + 1}") for k in range(len(factors))]
    arrays = {f"k{k}": np.float32(factor) for k, factor in enumerate(factors)}
    proto = model(nodes, arrays, ("N", 1, 4, 4))
    network = from_onnx(proto)
    assert isinstance(network[0], AvgPool2D)
    assert network[0].divisor_override == divisor
    x = 1 + np.abs(normal(2, 1, 4, 4))
    np.testing.assert_allclose(network(x), runtime(proto, x), rtol=1e-6)


@pytest.mark.parametrize("sizes", [(3, 1), (1, 3), (3,), (1, 1), (3, 3)])
@pytest.mark.parametrize("transposed", [0, 1])
def test_a_matrix_of_as_many_rows_as_outputs_plus_a_column(sizes, transposed):
    arrays = {"w": normal(3, 4) if transposed else normal(4, 3), "c": normal(*sizes)}
    same(model([node("Gemm", "x w c", "y", transB=transposed)], arrays, (3, 4)), 3, 4)


def test_a_product_after_a_softmax_of_one_axis():
    nodes = [
        node("ReduceMean", "x", "m", axes=[1, 2], keepdims=0),
        node("Softmax", "m", "s", axis=0),
        node("Unsqueeze", "s", "u", axes=[1]),
        node("Mul", "u k", "y"),
    ]
    same(model(nodes, {"k": np.float32(3)}, (3, 2, 2), 11), 3, 2, 2)


# Time


@pytest.mark.parametrize(
    "nodes",
    [
        [node("Relu", "x", "y0"), *(node("Add", f"y{i} y{i}", f"y{i + 1}") for i in range(60))],
        [
            *(node("Relu", "x", name) for name in ("y0", "y1")),
            *(node("Add", f"y{i + 1} y{i}", f"y{i + 2}") for i in range(300)),
        ],
    ],
    ids=["doubled", "Fibonacci"],
)
def test_sums_of_sums_take_no_time(nodes):
    """There are 2^60 ways through such a graph."""
    network = from_onnx(model(nodes, {}, ("N", 2)))
    assert len(list(network.leaves())) == len(nodes)


# One factor for all


@pytest.mark.parametrize("operator", ["Mul", "Div"])
@pytest.mark.parametrize(
    "last",
    [
        [node("MatMul", "b w.weight", "c"), node("Add", "c v", "y")],
        [node("Gemm", "b w.weight v", "y", alpha=0.5)],
        [node("Relu", "b", "c"), node("MatMul", "c w.weight", "y")],
        [node("MatMul", "b w.weight", "c"), node("MatMul", "b w.weight", "d"), node("Add", "c d", "y")],
        [node("MatMul", "b w.weight", "c"), node("MatMul", "a w.weight", "d"), node("Add", "c d", "y")],
        [node("Identity", "b", "y")],
    ],
    ids=["MatMul", "Gemm", "Relu", "twice", "both", "alone"],
)
@pytest.mark.parametrize("first", ["Flatten", "Relu"])
def test_one_factor_for_rows(operator, last, first):
    """``flatten(x) / 255`` before a dense layer becomes part of its weights; elsewhere it is a layer."""
    shape = (2, 3, 2) if first == "Flatten" else (12,)
    nodes = [node(first, "x", "a"), node(operator, "a k", "b"), *last]
    arrays = {"k": np.float32(3), "w.weight": normal(12, 4), "v": normal(4)}
    network = same(model(nodes, arrays, ("N", *shape)), 3, *shape)
    if "w.weight" in last[0].input and len(last) < 3:
        assert [type(layer) for layer in network][1:] == [Dense]


@pytest.mark.parametrize("size", [1, 5])
@pytest.mark.parametrize(
    "steps", [("Mul k",), ("Mul k", "Div k"), ("Mul k", "Add k", "Mul k"), ("Add k", "Div k", "Sub k")]
)
def test_several_factors_and_terms_before_a_dense_layer(size, steps):
    nodes = [node("Relu", "x", "v0")]
    for i, step in enumerate(steps):
        operator, constant = step.split()
        nodes.append(node(operator, f"v{i} {constant}", f"v{i + 1}"))
    nodes.append(node("MatMul", f"v{len(steps)} w", "y"))
    same(model(nodes, {"k": np.float32([3]), "w": normal(size, 2)}, ("N", size)), 3, size)


@pytest.mark.parametrize("rank", [1, 3, 5])
def test_one_factor_for_any_shape(rank):
    sizes = (2, 3, 2, 2)[: rank - 1]
    nodes = [node("Relu", "x", "a"), node("Mul", "k a", "y")]
    same(model(nodes, {"k": normal(1)}, ("N", *sizes)), 3, *sizes)


# Products, differences, extrema, reductions


COMPUTED = {
    "product": [node("Sigmoid", "x", "z"), node("Mul", "x z", "y")],
    "square": [node("Mul", "x x", "y")],
    "power": [node("Pow", "x two", "z"), node("Pow", "z root", "y")],
    "difference": [node("Sigmoid", "x", "z"), node("Sub", "x z", "y")],
    "from a number": [node("Sub", "two x", "y")],
    "from an array": [node("Sub", "array x", "y")],
    "negative": [node("Neg", "x", "y")],
    "number": [
        node("Tanh", "x", "a"),
        node("Div", "a two", "b"),
        node("Add", "b root", "c"),
        node("Sub", "c two", "y"),
    ],
    "array": [node("Tanh", "x", "a"), node("Mul", "array a", "b"), node("Add", "b array", "y")],
    "pixels": [node("Tanh", "x", "a"), node("Mul", "a row", "y")],
    "largest": [node("Sigmoid", "x", "z"), node("Neg", "x", "a"), node("Max", "x z a", "y")],
    "smallest": [node("Sigmoid", "x", "z"), node("Min", "x z", "y")],
    "bounds": [node("Max", "x root", "a"), node("Min", "two a root", "y")],
    "one of Max": [node("Max", "x", "y")],
    "elementary": [node("Abs", "x", "a"), node("Sqrt", "a", "b"), node("Exp", "b", "y")],
    "gate": [node("GlobalAveragePool", "x", "a"), node("Sigmoid", "a", "b"), node("Mul", "b x", "y")],
    "gate of rows": [
        node("ReduceMean", "x", "a", axes=[2, 3], keepdims=0),
        node("Sigmoid", "a", "b"),
        node("Unsqueeze", "b pixels", "c"),
        node("Mul", "x c", "y"),
    ],
    "mean of channels": [node("ReduceMean", "x", "a", axes=[1]), node("Mul", "x a", "y")],
    "mean of rows": [node("ReduceMean", "x", "y", axes=[-1], keepdims=0)],
    "sum": [node("ReduceSum", "x pixels", "a"), node("Mul", "x a", "y")],
    "sum of all": [node("ReduceSum", "x axes", "y", keepdims=0)],
    "quotients": [
        node("Exp", "x", "e"),
        node("Div", "x e", "a"),
        node("Div", "two e", "b"),
        node("Reciprocal", "e", "c"),
        node("Sum", "a b c", "y"),
    ],
    "powers": [node("Exp", "x", "e"), node("Pow", "e three", "a"), node("Pow", "a root", "y")],
    "norms": [
        node("ReduceL2", "x", "a", axes=[2, 3]),
        node("ReduceL1", "x", "b", axes=[1]),
        node("ReduceSumSquare", "x", "c", axes=[-1]),
        node("Sum", "x a b c", "y"),
    ],
    "matrices": [node("Transpose", "x", "t", perm=[0, 1, 3, 2]), node("MatMul", "x t", "y")],
    "repeated by a constant": [
        node("ReduceMean", "x", "m", axes=[3]),
        node("Sub", "m row", "a"),
        node("ReduceMean", "x", "n", axes=[2]),
        node("Mul", "n whole", "b"),
        node("Add", "a b", "y"),
    ],
    "sum of the images": [node("ReduceSum", "x images", "y")],
    "mean of the images": [node("ReduceMean", "x", "y", axes=[0, 2])],
}


@pytest.mark.parametrize("name", COMPUTED)
def test_computed_values(name):
    arrays = {"two": np.float32(2), "root": np.float32(0.5), "array": normal(3, 1, 1), "row": normal(5)}
    arrays |= {"three": np.float32(3), "whole": normal(1, 3, 4, 1)}
    arrays |= {"pixels": np.array([2, 3]), "axes": np.array([-3, 2, -1]), "images": np.array([0])}
    batch = 2 if "images" in name else "N"
    same(model(COMPUTED[name], arrays, (batch, 3, 4, 5)), 2, 3, 4, 5)


@pytest.mark.parametrize("name", ["sum", "sum of all", "mean of channels"])
@pytest.mark.parametrize("opset", [11, 13, 18])
def test_axes_of_a_reduction_by_opset(name, opset):
    """ReduceSum takes them as an input from opset 13 on, ReduceMean from 18."""
    operator, axes = ("ReduceMean", [1]) if "mean" in name else ("ReduceSum", [2, 3])
    given = opset >= {"ReduceMean": 18, "ReduceSum": 13}[operator]
    reduction = node(operator, "x axes", "y") if given else node(operator, "x", "y", axes=axes)
    same(model([reduction], {"axes": np.array(axes)} if given else {}, ("N", 3, 4, 5), opset), 2, 3, 4, 5)


def test_factors_and_offsets_there_and_back():
    """What is learned keeps its name, what is fixed stays fixed, also after a layer that could take it in."""
    layers = {
        "conv": Conv2D(2, 3, 1, rng=0),
        "gain": Scale((3, 1, 1), 0.5),
        "one": Scale((), 2.0),
        "shift": Rescale(2, offset=-1),
        "each": Rescale([[[1]], [[2]], [[3]]], [[[0.5]], [[1]], [[2]]]),
        "add": Rescale(offset=[[[1]], [[2]], [[3]]]),
        "last": Rescale(0.5),
    }
    network = Sequential(**layers)
    again = from_onnx(to_onnx(network, input_shape=(2, 4, 4)))
    x = normal(2, 2, 4, 4)
    np.testing.assert_allclose(again(x), network(x), rtol=1e-6)
    assert list(again.params) == list(network.params)
    assert [repr(layer) for _, layer in again.leaves()] == [repr(layer) for layer in layers.values()]


# GELU, spelt out


GELU = [
    node("Mul", "r x", "a"),
    node("Erf", "a", "b"),
    node("Add", "one b", "c"),
    node("Mul", "c x", "d"),
    node("Mul", "d half", "y"),
]
NUMBERS = {name: np.float32(x) for name, x in {"r": 0.5**0.5, "one": 1, "half": 0.5, "two": 2}.items()}


def other(k, *arguments):
    """GELU with one node replaced."""
    return [*GELU[:k], node(*arguments), *GELU[k + 1 :]]


def test_gelu_by_a_factor():
    network = same(model(GELU, NUMBERS, ("N", 5)), 3, 5)
    assert len(network) == 1


@pytest.mark.parametrize(
    "nodes",
    [
        other(0, "Mul", "half x", "a"),
        other(0, "Div", "two x", "a"),
        other(2, "Add", "half b", "c"),
        other(2, "Add", "x b", "c"),
        other(3, "Mul", "c c", "d"),
        other(4, "Mul", "d r", "y"),
        [*GELU[:4], node("Add", "d b", "y")],
        [*GELU[:3], node("Mul", "x half", "d"), node("Mul", "d r", "e"), node("Mul", "e c", "y")],
        [*GELU[:3], node("Div", "half x", "d"), node("Mul", "d c", "y")],
    ],
)
def test_almost_gelu(nodes):
    with pytest.raises(OnnxImportError, match=r"^node "):
        from_onnx(model(nodes, NUMBERS, ("N", 5)))


@pytest.mark.parametrize(
    "nodes",
    [
        [node("MatMul", "x w", "a"), node("Mul", "a high", "y")],
        [node("Relu", "x", "a"), node("Div", "a high", "y")],
        [node("Mul", "x high", "a"), node("Tanh", "a", "b"), node("Mul", "b half", "y")],
        [node("Mul", "x half", "a"), node("Tanh", "a", "b"), node("Mul", "high b", "y")],
        [node("Mul", "half x", "a"), node("Tanh", "a", "b"), node("Mul", "half b", "y")],
    ],
)
def test_one_number_that_adds_axes(nodes):
    """However it is multiplied by."""
    same(model(nodes, NUMBERS | {"high": normal(1, 1, 1), "w": normal(5, 3)}, ("N", 5)), 3, 5)


# What leads to no output


@pytest.mark.parametrize("domain", ["", "ai.acme"])
def test_a_branch_that_nothing_reads(domain):
    """Whatever is in it: nobody has to compute it."""
    dangling = helper.make_node("Det", ["r"], ["z"], domain=domain)
    proto = model([node("Relu", "x", "r"), dangling, node("Tanh", "r", "y")], {}, ("N", 3, 3))
    network = from_onnx(proto)
    assert [type(layer) for layer in network] == [ReLU, Tanh]
    (y,) = Backend.run_model(proto, [x := normal(2, 3, 3)])
    np.testing.assert_allclose(y, np.tanh(np.maximum(x, 0)), rtol=1e-6)


def test_an_operator_for_a_layer_of_your_own(rng):
    class Softsign(Elementwise):
        @staticmethod
        def function(xp, x):
            return x / (1 + xp.abs(x))

    proto = model([node("Softsign", "x", "y")], {}, (2, 3))
    with pytest.raises(UnsupportedOperatorError, match=r"operator Softsign \(node 'y'\) has no layer"):
        from_onnx(proto)

    @reads("Softsign")
    def read_softsign(node):
        return node.elementwise(Softsign())

    try:
        x = rng.normal(size=(2, 3)).astype("float32")
        np.testing.assert_allclose(from_onnx(proto)(x), runtime(proto, x), rtol=1e-6)
    finally:
        del READERS["Softsign"]
