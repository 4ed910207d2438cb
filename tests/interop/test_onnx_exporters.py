"""Habits of exporters: nodes in any order, arithmetic about shapes, several outputs, half precision."""

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from neocog.interop.onnx import OnnxImportError, from_onnx
from neocog.layers import Bias, Conv2D, Pad2D, ReLU, Rescale

from .onnx_graphs import model, node, runtime

X = ("N", 3, 8, 8)
KERNEL = np.random.default_rng(0).normal(size=(2, 3, 3, 3)).astype("float32")


def images(*shape):
    return np.random.default_rng(1).normal(size=shape).astype("float32")


def known(*values, dtype="float32"):
    return np.array(values, dtype)


# Order


def test_nodes_in_any_order():
    """As keras2onnx writes them; ONNX's own checker refuses the file, ONNX Runtime sorts it."""
    nodes = [node("Relu", "a", "y", "relu"), node("Conv", "x w", "a", "conv")]
    proto = model(nodes, {"w": KERNEL}, X, output="y")
    network = from_onnx(proto)
    assert [name for name, _ in network.leaves()] == ["conv", "relu"]
    np.testing.assert_allclose(
        network(images(2, 3, 8, 8)), runtime(proto, images(2, 3, 8, 8)), rtol=1e-5, atol=1e-5
    )


def test_nodes_that_are_in_order_stay_there():
    nodes = [node("Relu", "x", "b"), node("Tanh", "x", "a"), node("Add", "a b", "y")]
    assert [name for name, _ in from_onnx(model(nodes, {}, X)).leaves()] == ["b", "a", "y"]


def test_a_cycle_is_named_and_what_hangs_on_it_is_not():
    nodes = [
        node("Add", "x b", "a", "first"),
        node("Relu", "a", "b", "second"),
        node("Tanh", "b", "y", "third"),
    ]
    with pytest.raises(OnnxImportError, match=r"the nodes \['first', 'second'\] form a cycle\.$"):
        from_onnx(model(nodes, {}, X))


def test_constants_may_come_late():
    """A pattern looks ahead at a number that is computed after its first node."""
    nodes = [
        node("Div", "x r", "a"),
        node("Erf", "a", "b"),
        node("Identity", "k", "one"),
        *(node("Add", "b one", "c"), node("Mul", "c x", "d"), node("Mul", "d h", "y")),
    ]
    arrays = {"r": np.float32(2**0.5), "k": np.float32(1), "h": np.float32(0.5)}
    assert [type(layer).__name__ for _, layer in from_onnx(model(nodes, arrays, X)).leaves()] == ["GELU"]


# Several outputs


@pytest.fixture
def two_heads():
    nodes = [node("Conv", "x w", "a"), node("Relu", "a", "features"), node("Sigmoid", "a", "scores")]
    nodes.append(node("ArgMax", "scores", "best", axis=1))
    proto = model(nodes, {"w": KERNEL}, X, output="features")
    proto.graph.output.append(helper.make_tensor_value_info("scores", TensorProto.FLOAT, None))
    proto.graph.output.append(helper.make_tensor_value_info("best", TensorProto.INT64, None))
    return proto


def test_one_of_several_outputs(two_heads):
    x = images(2, 3, 8, 8)
    session = onnxruntime.InferenceSession(two_heads.SerializeToString())
    features, scores = session.run(["features", "scores"], {"x": x})
    np.testing.assert_allclose(from_onnx(two_heads, outputs="features")(x), features, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(from_onnx(two_heads, outputs="scores")(x), scores, rtol=1e-5, atol=1e-6)
    before = from_onnx(two_heads, outputs="a")(x)  # a value that is no output of the graph
    np.testing.assert_allclose(before.clip(0), features, rtol=1e-5, atol=1e-6)


def test_which_outputs_there_are_is_said(two_heads):
    names = r"\['features', 'scores', 'best'\]"
    with pytest.raises(OnnxImportError, match=rf"has 3 outputs, {names}, .* as in model\.onnx:features"):
        from_onnx(two_heads)
    with pytest.raises(OnnxImportError, match=rf"outputs must be one of {names}, or .*, got 'z'"):
        from_onnx(two_heads, outputs="z")
    with pytest.raises(OnnxImportError, match=r"\(ArgMax\): .* outputs='scores' imports"):
        from_onnx(two_heads, outputs="best")


def test_inputs_of_other_outputs_are_left_out():
    nodes = [node("Relu", "x", "y"), node("Relu", "z", "other")]
    proto = model(nodes, {}, X, output="y", inputs=("x", "z"))
    proto.graph.output.append(helper.make_tensor_value_info("other", TensorProto.FLOAT, None))
    assert from_onnx(proto, outputs="other").input_shape == X[1:]


def test_operators_of_other_outputs_do_not_matter():
    nodes = [node("Relu", "x", "y"), node("Det", "x", "z")]
    proto = model(nodes, {}, X, output="y")
    proto.graph.output.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, None))
    assert [type(layer) for _, layer in from_onnx(proto, outputs="y").leaves()] == [ReLU]


# Images in another layout


def channels_last(first, arrays, shape):
    nodes = [*first, node("Conv", "t w", "c"), node("Relu", "c", "y")]
    return model(nodes, {"w": KERNEL[:, : arrays.pop("C", 3)], **arrays}, shape)


TURN = node("Transpose", "n", "t", perm=[0, 3, 1, 2])
LAYOUTS = {
    "grey images": ([node("Reshape", "x s", "t")], {"s": np.array([-1, 1, 8, 7]), "C": 1}, ("N", 8, 7, 1)),
    "rows of pixels": ([node("Reshape", "x s", "t")], {"s": np.array([-1, 3, 8, 7])}, ("N", 168)),
    "images without an axis of channels": (
        [node("Reshape", "x s", "t")],
        {"s": np.array([-1, 1, 8, 7]), "C": 1},
        ("N", 8, 7),
    ),
    "Keras' Rescaling": (
        [node("Cast", "x", "i", to=1), node("Mul", "i k", "m"), node("Add", "m o", "n"), TURN],
        {"k": np.float32(2 / 255), "o": np.float32(-1)},
        ("N", 8, 7, 3),
    ),
    "a mean and a deviation for each channel": (
        [node("Sub", "x mean", "m"), node("Div", "m std", "n"), TURN],
        {"mean": known(0.1, 0.2, 0.3), "std": known(0.5, 0.6, 0.7).reshape(1, 1, 1, 3)},
        ("N", 8, 7, 3),
    ),
    "a shape in a node": (
        [
            node("Constant", "", "s", value=numpy_helper.from_array(np.array([-1, 1, 8, 7]))),
            node("Reshape", "x s", "t"),
        ],
        {"C": 1},
        ("N", 8, 7, 1),
    ),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_images_in_another_layout(name):
    first, arrays, shape = LAYOUTS[name]
    channels = arrays.get("C", 3)
    proto = channels_last(first, dict(arrays), shape)
    assert from_onnx(proto).input_shape is None, "(H, W, C) is no input shape here"
    network, x = from_onnx(proto, channels_first=True), images(2, channels, 8, 7)
    assert network.input_shape == (channels, 8, 7)
    assert [type(layer) for _, layer in network.leaves()][-2:] == [Conv2D, ReLU]
    theirs = x.reshape(2, *shape[1:]) if "rows" in name else x.transpose(0, 2, 3, 1).reshape(2, *shape[1:])
    np.testing.assert_allclose(network(x), runtime(proto, theirs), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("first", "arrays", "shape"),
    [
        ([node("Reshape", "x s", "t")], {"s": np.array([-1, 3, 8, 7])}, ("N", 8, 7, 3)),  # mixes the pixels
        ([node("Reshape", "x s", "t")], {"s": np.array([-1, 3, 8, 7])}, ("N", 3, 8, 7)),  # changes nothing
        ([node("Relu", "x", "n"), TURN], {}, ("N", 8, 7, 3)),
        ([node("Add", "x k", "n"), TURN], {"k": np.ones((8, 1, 1), "float32")}, ("N", 8, 7, 3)),  # rows
        ([node("Add", "x x", "n"), TURN], {}, ("N", 8, 7, 3)),
    ],
)
def test_what_is_no_other_layout(first, arrays, shape):
    with pytest.raises(OnnxImportError, match="channels_first needs a model of one input that a Transpose"):
        from_onnx(channels_last(first, arrays, shape), channels_first=True)


# Arithmetic about shapes


FOLDED = {
    "Abs": ([known(-1.5, 2)], {}),
    "Ceil": ([known(1.2, -1.2)], {}),
    "Floor": ([known(1.2, -1.2)], {}),
    "Round": ([known(0.5, 1.5)], {}),
    "Exp": ([known(1, 2)], {}),
    "Log": ([known(1, 2)], {}),
    "Neg": ([known(1, -2)], {}),
    "Sqrt": ([known(4, 2)], {}),
    "Sign": ([known(-3, 2)], {}),
    "Reciprocal": ([known(4, 2)], {}),
    "Relu": ([known(-4, 2)], {}),
    "Clip": ([known(-4, 2), known(-1).reshape(()), known(1).reshape(())], {}),
    "Max": ([known(1, 5), known(2, 2), known(3, 0)], {}),
    "Min": ([known(1, 5), known(2, 2), known(3, 0)], {}),
    "Sum": ([known(1, 5), known(2, 2), known(3, 0)], {}),
    "Pow": ([known(2, 3), known(3, 2)], {}),
    "Mod": ([known(-7, 7, dtype="int64"), known(3, -3, dtype="int64")], {}),
    "Mod by fmod": ([known(-7, 7), known(3, -3)], {"fmod": 1}),
    "Div": ([known(-7, 7, dtype="int64"), known(2, -2, dtype="int64")], {}),
    "Equal": ([known(1, 2), known(1, 3)], {}),
    "Less": ([known(1, 2), known(1, 3)], {}),
    "LessOrEqual": ([known(1, 2), known(1, 3)], {}),
    "Greater": ([known(1, 5), known(1, 3)], {}),
    "GreaterOrEqual": ([known(1, 2), known(1, 3)], {}),
    "Where": ([known(True, False, dtype=bool), known(1, 2), known(3, 4)], {}),
    "And": ([known(True, True, dtype=bool), known(True, False, dtype=bool)], {}),
    "Or": ([known(True, False, dtype=bool), known(False, False, dtype=bool)], {}),
    "Xor": ([known(True, True, dtype=bool), known(True, False, dtype=bool)], {}),
    "Not": ([known(True, False, dtype=bool)], {}),
    "Expand": ([known(3), known(2, dtype="int64")], {}),
    "ConstantOfShape": ([known(2, dtype="int64")], {"value": numpy_helper.from_array(known(7))}),
    "Tile": ([known(3), known(2, dtype="int64")], {}),
    "Range": ([np.float32(1), np.float32(3), np.float32(1)], {}),
    "Size": ([known(3, 4, 5)], {}),
    "ReduceProd": ([known(3, 4, 5)], {"axes": [0]}),
    "ReduceSum": ([known(3, 4, 5), known(0, dtype="int64")], {"keepdims": 0}),
    "ReduceMax": ([known(3, 4, 5)], {}),
    "ReduceMin": ([known(3, 4, 5)], {"axes": [-1]}),
    "ReduceMean": ([known(3, 4, 5)], {}),
    "Gather": ([known(3, 4, 5), known(2, 0, dtype="int64")], {}),
    "Slice": ([known(3, 4, 5), *(known(n, dtype="int64") for n in (-1, -3, 0, -1))], {}),
}


@pytest.mark.parametrize("name", FOLDED)
def test_operators_on_constants(name):
    """Added to the input, as float32, in ONNX Runtime and here."""
    arrays, attributes = FOLDED[name]
    named = {f"k{i}": array for i, array in enumerate(arrays)}
    nodes = [
        node(name.split()[0], " ".join(named), "k", **attributes),
        node("Cast", "k", "f", to=TensorProto.FLOAT),
        node("Add", "x f", "y"),
    ]
    proto = model(nodes, named, ("N", 2))
    network, x = from_onnx(proto), images(3, 2)
    (layer,) = (layer for _, layer in network.leaves())
    assert isinstance(layer, Bias | Rescale)
    np.testing.assert_allclose(network(x), runtime(proto, x), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("inputs", "attributes", "opset", "sizes"),
    [("k", {}, 13, [2, 2]), ("k s", {}, 17, [1, 3]), ("k", {"num_outputs": 2}, 18, [3, 2])],
)
def test_split_of_a_constant(inputs, attributes, opset, sizes):
    k, s = np.arange(1, 1 + sum(sizes), dtype="float32"), np.array(sizes)
    split = helper.make_node("Split", inputs.split(), ["a", "b"], **attributes)
    nodes = [split, node("ReduceSum", "b", "c"), node("Add", "x c", "y")]
    proto = model(nodes, {"k": k, "s": s}, ("N", 2), opset)
    x = images(3, 2)
    np.testing.assert_allclose(from_onnx(proto)(x), runtime(proto, x), rtol=1e-6)
    np.testing.assert_allclose(from_onnx(proto)(x) - x, k[sizes[0] :].sum(), rtol=1e-5)


def matlab_padding(kernel, stride):
    """Arithmetic that pads as many pixels as ``ceil(size / stride)`` windows need."""
    steps = (
        "Shape x s|Cast s f|Div f stride d|Ceil d c|Sub c one e|Mul e stride g|Add g k i|Sub i f j|Relu j l"
    )
    nodes = [
        node(
            step.split()[0],
            " ".join(step.split()[1:-1]),
            step.split()[-1],
            **({"to": 1} if "Cast" in step else {}),
        )
        for step in steps.split("|")
    ]
    nodes.append(helper.make_node("Split", ["l", "parts"], ["rest", "t1", "t2"], axis=0))
    for n in "12":
        nodes += [
            node("Div", f"t{n} two", f"p{n}"),
            node("Floor", f"p{n}", f"q{n}"),
            node("Ceil", f"p{n}", f"r{n}"),
        ]
    nodes += [
        node("Concat", "z z q1 q2 z z r1 r2", "pf", axis=0),
        node("Cast", "pf", "pads", to=TensorProto.INT64),
    ]
    nodes += [node("Pad", "x pads v", "xp"), node("Conv", "xp w", "y", strides=[stride, stride])]
    ones = np.ones(2, "float32")
    arrays = {
        "stride": np.append(ones, [stride, stride]).astype("float32"),
        "one": np.ones(4, "float32"),
        "k": np.append(ones, kernel.shape[2:]).astype("float32"),
        "parts": np.array([2, 1, 1]),
        "two": known(2),
        "z": known(0),
        "v": np.float32(0),
        "w": kernel,
    }
    return nodes, arrays


@pytest.mark.parametrize(("size", "stride"), [(8, 1), (7, 2), (8, 2)])
def test_matlabs_padding(size, stride):
    nodes, arrays = matlab_padding(KERNEL, stride)
    proto = model(nodes, arrays, ("N", 3, size, size))
    network, x = from_onnx(proto), images(2, 3, size, size)
    assert [type(layer) for _, layer in network.leaves()] == [Pad2D, Conv2D]
    np.testing.assert_allclose(network(x), runtime(proto, x), rtol=1e-5, atol=1e-5)


def test_padding_of_images_of_an_open_size():
    nodes, arrays = matlab_padding(KERNEL, 2)
    proto = model(nodes, arrays, ("N", 3, "H", "W"))
    with pytest.raises(OnnxImportError, match=r"pass input_shape=\(C, H, W\)"):
        from_onnx(proto)
    x = images(1, 3, 9, 6)
    np.testing.assert_allclose(
        from_onnx(proto, input_shape=(3, 9, 6))(x), runtime(proto, x), rtol=1e-5, atol=1e-5
    )


def test_a_shape_by_where_and_equal():
    """PyTorch's ``expand``: -1 stands for the size that is there."""
    nodes = [
        node("ConstantOfShape", "rank", "ones", value=numpy_helper.from_array(np.array([1]))),
        node("Mul", "ones minus", "all"),
        node("Equal", "wanted all", "keeps"),
        node("Where", "keeps ones wanted", "sizes"),
        node("Expand", "k sizes", "e"),
        node("Add", "x e", "y"),
    ]
    arrays = {"rank": np.array([3]), "minus": np.array(-1), "wanted": np.array([3, -1, 8])}
    proto = model(nodes, {**arrays, "k": images(3, 1, 1)}, X)
    x = images(2, *X[1:])
    np.testing.assert_allclose(from_onnx(proto)(x), runtime(proto, x), rtol=1e-6)


# Habits of PyTorch's exporters


def test_a_view_as_a_gather():
    """The newer one writes ``as_strided`` as a Gather of all numbers, in their order."""
    nodes = [
        node("GlobalAveragePool", "x", "a"),
        node("Shape", "a", "n", end=1),
        node("Squeeze", "n", "N"),
        node("Reshape", "a flat", "b"),
        *(
            node("Range", "zero N one", "rows"),
            node("Mul", "rows C", "begins"),
            node("Unsqueeze", "begins axes", "c"),
        ),
        *(node("Add", "c columns", "places"), node("Gather", "b places", "d"), node("Relu", "d", "y")),
    ]
    arrays = {"flat": np.array([-1]), "zero": np.array(0), "one": np.array(1), "C": np.array(3)}
    arrays |= {"axes": np.array([1, 2, 3]), "columns": np.arange(3).reshape(1, 1, 1, 3)}
    proto = model(nodes, arrays, X)
    network, x = from_onnx(proto), images(2, *X[1:])
    np.testing.assert_allclose(network(x), runtime(proto, x), rtol=1e-5, atol=1e-6)
    assert network(x).shape == (2, 1, 1, 3)


def test_standardised_weights():
    """A batch norm of constants, in training mode, as timm's NFNet has it."""
    norm = helper.make_node("BatchNormalization", ["r", "g", "z", "z", "g"], ["n", "", ""], training_mode=1)
    norm.output[:] = ["n", "mean", "var"]
    nodes = [
        *(node("Reshape", "w rows", "r"), norm, node("Reshape", "n maps", "k"), node("Conv", "x k", "y")),
    ]
    arrays = {"w": KERNEL, "rows": np.array([1, 2, -1]), "maps": np.array([2, 3, 3, 3])}
    arrays |= {"g": known(0.5, 2), "z": known(0, 0)}
    proto = model(nodes, arrays, X)
    network, x = from_onnx(proto), images(2, *X[1:])
    weight = network[0].params["weight"].reshape(2, -1)
    np.testing.assert_allclose(weight.mean(1), 0, atol=1e-6)
    np.testing.assert_allclose(weight.std(1), [0.5, 2], rtol=1e-4)
    np.testing.assert_allclose(network(x), runtime(proto, x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("operator", ["Mul", "Add", "Max"])
def test_a_weight_for_each_channel_that_is_expanded(operator):
    """``x * w.expand_as(x)``, as in ECA networks."""
    nodes = [node("GlobalAveragePool", "x", "a"), node("Sigmoid", "a", "w"), node("Shape", "x", "s")]
    nodes += [node("Expand", "w s", "e"), node(operator, "x e", "y")]
    proto, x = model(nodes, {}, X), images(2, *X[1:])
    np.testing.assert_allclose(from_onnx(proto)(x), runtime(proto, x), rtol=1e-5, atol=1e-6)


def test_an_expansion_that_something_else_reads():
    nodes = [node("GlobalAveragePool", "x", "a"), node("Shape", "x", "s"), node("Expand", "a s", "e")]
    with pytest.raises(OnnxImportError, match=r"\(Expand\): the output of a network may not be expanded"):
        from_onnx(model(nodes, {}, X))
    with pytest.raises(
        OnnxImportError, match=r"\(Expand\): only arithmetic with a computed value of its shape"
    ):
        from_onnx(model([*nodes, node("Relu", "e", "y")], {}, X))


@pytest.mark.parametrize(
    ("steps", "kind"),
    [
        ("Add x three a|Clip a zero six b|Mul x b c|Div c six y", "Hardswish"),
        ("Add three x a|Clip a zero six b|Mul b x c|Mul c sixth y", "Hardswish"),
        ("Add x three a|Clip a zero six b|Div b six c|Mul x c y", "Hardswish"),
        ("Add x three a|Clip a zero six b|Div b six y", "Hardsigmoid"),
        ("HardSigmoid x b|Mul b x y", "Hardswish"),
        ("Softplus x a|Tanh a b|Mul x b y", "Mish"),
    ],
)
def test_activations_spelt_out(steps, kind):
    nodes = [
        node(
            operator,
            " ".join(names),
            last,
            **({"alpha": 1 / 6, "beta": 0.5} if operator == "HardSigmoid" else {}),
        )
        for operator, *names, last in (step.split() for step in steps.split("|"))
    ]
    numbers = {
        "three": np.float32(3),
        "zero": np.float32(0),
        "six": np.float32(6),
        "sixth": np.float32(1 / 6),
    }
    network, x = from_onnx(model(nodes, numbers, X)), 3 * images(2, *X[1:])
    assert [type(layer).__name__ for _, layer in network.leaves()] == [kind]
    np.testing.assert_allclose(network(x), runtime(model(nodes, numbers, X), x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "steps",
    [
        "Add x three a|Clip a zero three b|Mul x b c|Div c six y",
        "Add x six a|Clip a zero six b|Mul x b c|Div c six y",
        "Add x three a|Clip a zero six b|Mul x b c|Div c three y",
        "Add x three a|Clip a zero six b|Div b six c|Mul a c y",
    ],
)
def test_almost_hardswish(steps):
    """Another bound, term, divisor or factor: read as it stands."""
    nodes = [
        node(operator, " ".join(names), last)
        for operator, *names, last in (s.split() for s in steps.split("|"))
    ]
    numbers = {"three": np.float32(3), "zero": np.float32(0), "six": np.float32(6)}
    network, x = from_onnx(model(nodes, numbers, X)), 3 * images(2, *X[1:])
    assert "Hardswish" not in [type(layer).__name__ for _, layer in network.leaves()]
    np.testing.assert_allclose(network(x), runtime(model(nodes, numbers, X), x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("square", ["Pow d two s", "Mul d d s"])
@pytest.mark.parametrize("affine", ["", "Mul n w z|Add z b y", "Mul w n z|Add b z y"])
def test_a_layer_norm_spelt_out(square, affine):
    """As exporters write it before opset 17."""
    steps = f"Sub x m d|{square}|Add v eps e|Sqrt e r|Div d r {'n' if affine else 'y'}" + f"|{affine}" * bool(
        affine
    )
    nodes = [
        node(operator, " ".join(names), last)
        for operator, *names, last in (s.split() for s in steps.split("|"))
    ]
    nodes.insert(0, node("ReduceMean", "x", "m", axes=[-1]))
    nodes.insert(3, node("ReduceMean", "s", "v", axes=[3]))
    arrays = {"two": np.float32(2), "eps": np.float32(1e-3), "w": images(8), "b": images(8) + 1}
    proto = model(nodes, arrays, X)
    network, x = from_onnx(proto), images(2, *X[1:])
    assert [repr(layer) for _, layer in network.leaves()] == ["LayerNorm((8,), eps=0.001)"]
    np.testing.assert_allclose(network(x), runtime(proto, x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("last", ["Div e s y", "Div e s p|Add e p y"])
@pytest.mark.parametrize("axes", [[1], [-1], [2, 3]])
def test_a_softmax_spelt_out(last, axes):
    """Only over one axis, and only if nothing else reads the powers."""
    nodes = [
        node(operator, " ".join(names), y) for operator, *names, y in (s.split() for s in last.split("|"))
    ]
    steps = [node("Exp", "x", "e"), node("ReduceSum", "e axes", "s"), *nodes]
    proto = model(steps, {"axes": np.array(axes)}, X)
    network, x = from_onnx(proto), images(2, *X[1:])
    whole = len(axes) == len(nodes) == 1
    assert ([type(layer).__name__ for _, layer in network.leaves()] == ["Softmax"]) == whole
    np.testing.assert_allclose(network(x), runtime(proto, x), rtol=1e-5, atol=1e-6)


def test_almost_a_layer_norm():
    """The variance is of other axes: no LayerNorm."""
    steps = "Sub x m d|Mul d d s|Add v eps e|Sqrt e r|Div d r y"
    nodes = [
        node(operator, " ".join(names), last)
        for operator, *names, last in (s.split() for s in steps.split("|"))
    ]
    nodes.insert(0, node("ReduceMean", "x", "m", axes=[-1]))
    nodes.insert(3, node("ReduceMean", "s", "v", axes=[2]))
    proto, x = model(nodes, {"eps": np.float32(1e-3)}, X), images(2, *X[1:])
    network = from_onnx(proto)
    assert "LayerNorm" not in [type(layer).__name__ for _, layer in network.leaves()]
    np.testing.assert_allclose(network(x), runtime(proto, x), rtol=1e-4, atol=1e-5)


# Half precision


def half_tensor(array, name, kind, way):
    """float16 or bfloat16, as bytes or as integers."""
    if kind == TensorProto.FLOAT16:
        words = array.astype("float16").view("uint16")
    else:
        words = (array.view("uint32") >> 16).astype("uint16")
    tensor = TensorProto(name=name, data_type=kind, dims=array.shape)
    if way == "bytes":
        tensor.raw_data = words.astype("<u2").tobytes()
    else:
        tensor.int32_data.extend(words.ravel().tolist())
    return tensor


@pytest.mark.parametrize("way", ["bytes", "integers"])
@pytest.mark.parametrize("kind", [TensorProto.FLOAT16, TensorProto.BFLOAT16])
def test_weights_of_half_precision(kind, way):
    nodes = [node("Cast", "h", "w", to=TensorProto.FLOAT), node("Conv", "x w", "y")]
    proto = model(nodes, {}, X)
    numbers = (np.arange(54) / 16 - 1).reshape(2, 3, 3, 3).astype("float32")  # exact in 8 bits
    proto.graph.initializer.append(half_tensor(numbers, "h", kind, way))
    weight = from_onnx(proto)[0].params["weight"]
    assert weight.dtype == np.float32
    np.testing.assert_array_equal(weight, numbers)


def test_a_graph_of_half_precision():
    """Cast in, layers, Cast out: all of it float32 here, half in ONNX Runtime."""
    nodes = [
        node("Cast", "x", "a", to=TensorProto.FLOAT16),
        node("Conv", "a w", "b"),
        node("Constant", "", "one", value=numpy_helper.from_array(np.ones((), "float16"))),
        node("CastLike", "k b", "l"),
        *(node("Add", "b one", "c"), node("Add", "c l", "d"), node("Cast", "d", "y", to=TensorProto.FLOAT)),
    ]
    proto = model(nodes, {"w": KERNEL.astype("float16"), "k": np.float32(2)}, X)
    network, x = from_onnx(proto), images(2, 3, 8, 8)
    assert network(x).dtype == np.float32
    np.testing.assert_allclose(network(x), runtime(proto, x), rtol=2e-2, atol=2e-2)
    for k, kind in ((0, TensorProto.FLOAT16), (0, TensorProto.BFLOAT16)):
        proto.graph.input[k].type.tensor_type.elem_type = kind
        np.testing.assert_array_equal(from_onnx(proto)(x), network(x))


def test_a_cast_to_integers_has_no_layer():
    with pytest.raises(
        OnnxImportError, match=r"\(Cast\): a network computes with floating point numbers alone"
    ):
        from_onnx(model([node("Cast", "x", "y", to=TensorProto.INT64)], {}, X))


def test_a_file_without_onnxs_own_operators():
    scaler = helper.make_node("Normalizer", ["x"], ["y"], domain="ai.onnx.ml")
    proto = model([scaler], {}, (3, 2))
    del proto.opset_import[:]
    proto.opset_import.add(domain="ai.onnx.ml", version=1)
    with pytest.raises(OnnxImportError, match=r"ONNX's own domain, got those of \['ai\.onnx\.ml'\]"):
        from_onnx(proto)
