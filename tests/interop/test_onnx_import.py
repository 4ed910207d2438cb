"""ONNX models as networks: the same numbers as in ONNX Runtime, and they can be trained and explained."""

import numpy as np
import onnx
import pytest

import neocog
from neocog import models
from neocog.inspection import explain
from neocog.interop.onnx import OnnxImportError, from_onnx, to_onnx
from neocog.layers import (
    AvgPool2D,
    BatchNorm2D,
    Bias,
    Conv2D,
    ConvTranspose2D,
    Dense,
    Flatten,
    GlobalAvgPool2D,
    GlobalMaxPool2D,
    Graph,
    RadialBasis,
    ReLU,
    Residual,
    Sequential,
    Transpose,
)

from .onnx_graphs import model, node, runtime

RNG = np.random.default_rng(5)


def normal(*shape):
    return RNG.normal(size=shape).astype("float32")


def integers(*values):
    return np.array(values, np.int64)


X = "N", 2, 7, 6
POOLED = {"kernel_shape": [3, 3], "strides": [2, 2]}
STATISTICS = {"s": normal(2), "b": normal(2), "m": normal(2), "v": np.array([0.5, 2], np.float32)}
FLATTENED = (
    "Shape x s",
    "Gather s first n",
    "Unsqueeze n axis u",
    "Concat u rest shape",
    "Reshape x shape y",
)


def chain(*steps, **attributes):
    """Nodes from lines of an operator, its inputs, and its output."""
    nodes = [step.split() for step in steps]
    return [
        node(operator, " ".join(inputs), output, **attributes.get(output, {}))
        for operator, *inputs, output in nodes
    ]


EMPTY, ROW = np.zeros(0, np.float32), np.float32([1, 1, 2.5])

# name: (nodes, arrays, shape of x, opset)
GRAPHS = {
    **{
        f"conv-{pad}-{stride}": (
            [node("Conv", "x w", "y", auto_pad=pad, strides=[stride, stride])],
            {"w": normal(3, 2, 3, 2)},
            X,
            17,
        )
        for pad in ("SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET")
        for stride in (1, 2, 3)
    },
    "conv-dilated": (
        [node("Conv", "x w", "y", pads=[2, 1, 0, 1], dilations=[1, 2])],
        {"w": normal(3, 2, 3, 2)},
        X,
        17,
    ),
    **{
        f"{operator}-{pad}": ([node(operator, "x", "y", auto_pad=pad, **POOLED)], {}, X, 17)
        for operator in ("MaxPool", "AveragePool")
        for pad in ("SAME_UPPER", "SAME_LOWER", "VALID")
    },
    "conv-same-stride": (
        [node("Conv", "x w", "y", auto_pad="SAME_UPPER", strides=[2, 3])],
        {"w": normal(3, 2, 4, 3)},
        X,
        17,
    ),
    "conv-asymmetric": (
        [node("Conv", "x w b", "y", pads=[0, 1, 2, 0], group=2)],
        {"w": normal(4, 1, 2, 3), "b": normal(4)},
        X,
        17,
    ),
    **{
        f"transposed-{pad}-{size}": (
            [node("ConvTranspose", "x w b", "y", auto_pad=pad, strides=[2, 3], **size)],
            {"w": normal(2, 3, 3, 4), "b": normal(3)},
            X,
            17,
        )
        for pad in ("SAME_UPPER", "SAME_LOWER", "NOTSET")
        for size in ({}, {"output_shape": [12, 15]}, {"output_padding": [1, 2]})
    },
    "transposed-asymmetric": (
        [node("ConvTranspose", "x w", "y", pads=[0, 1, 2, 0], group=2, dilations=[2, 1], strides=[1, 2])],
        {"w": normal(2, 2, 3, 2)},
        X,
        17,
    ),
    "transposed-plus-channels": (
        chain("ConvTranspose x w c", "Add c b y"),
        {"w": normal(2, 3, 3, 3), "b": normal(1, 3, 1, 1)},
        X,
        17,
    ),
    "transposed-of-a-row": (
        [node("ConvTranspose", "x w b", "y", strides=[2], output_padding=[1])],
        {"w": normal(3, 4, 3), "b": normal(4)},
        ("N", 3, 5),
        17,
    ),
    "upsample-7": ([node("Upsample", "x", "y", scales=[1.0, 1.0, 2.0, 3.0])], {}, X, 7),
    "upsample-9": ([node("Upsample", "x s", "y")], {"s": np.float32([1, 1, 3, 1])}, X, 9),
    "resize-10": ([node("Resize", "x s", "y")], {"s": np.float32([1, 1, 1.5, 2])}, X, 10),
    **{
        f"resize-nearest-{where}-{rounding}": (
            [node("Resize", "x r s", "y", coordinate_transformation_mode=where, nearest_mode=rounding)],
            {"r": EMPTY, "s": np.float32([1, 1, 2, 3])},
            X,
            13,
        )
        for where, rounding in (
            *(("half_pixel", "round_prefer_floor"), ("pytorch_half_pixel", "round_prefer_ceil")),
            *(("asymmetric", "floor"), ("tf_half_pixel_for_nn", "floor")),
        )
    },
    **{
        f"resize-linear-{where}": (
            [node("Resize", "x r e n", "y", mode="linear", coordinate_transformation_mode=where)],
            {"r": EMPTY, "e": EMPTY, "n": np.array([2, 2, 9, 4])},
            (2, *X[1:]),
            13,
        )
        for where in ("half_pixel", "pytorch_half_pixel", "align_corners")
    },
    "resize-axes": (
        [node("Resize", "x r s", "y", mode="linear", axes=[3, 2], antialias=1)],
        {"r": EMPTY, "s": np.float32([1.5, 2])},
        X,
        19,
    ),
    "resize-of-a-row": (
        [node("Resize", "x r s", "y", mode="linear")],
        {"r": EMPTY, "s": ROW},
        ("N", 3, 5),
        13,
    ),
    "resize-to-the-size-of-another": (
        [
            node("Conv", "x w", "c", strides=[2, 2]),
            node("Shape", "x", "h"),
            node("Resize", "c r e h", "y", mode="linear"),
        ],
        {"w": normal(2, 2, 2, 2), "r": EMPTY, "e": EMPTY},
        X,
        17,
    ),
    "conv-of-a-row": (
        [node("Conv", "x w b", "y", pads=[1, 2], strides=[2])],
        {"w": normal(4, 3, 3), "b": normal(4)},
        ("N", 3, 9),
        17,
    ),
    "conv-plus-channels": (
        chain("Conv x w c", "Add c b y"),
        {"w": normal(3, 2, 3, 3), "b": normal(1, 3, 1, 1)},
        X,
        17,
    ),
    "max-asymmetric-dilated": (
        [node("MaxPool", "x", "y", kernel_shape=[2, 2], pads=[0, 0, 1, 1], dilations=[2, 1])],
        {},
        X,
        17,
    ),
    "max-ceil": ([node("MaxPool", "x", "y", ceil_mode=1, **POOLED)], {}, X, 17),
    "average-default": ([node("AveragePool", "x", "y", pads=[1, 1, 1, 1], **POOLED)], {}, X, 11),
    "average-counting": (
        [node("AveragePool", "x", "y", pads=[1, 0, 1, 1], count_include_pad=1, **POOLED)],
        {},
        X,
        19,
    ),
    "average-dilated": ([node("AveragePool", "x", "y", dilations=[2, 2], **POOLED)], {}, X, 19),
    "global-average": (chain("GlobalAveragePool x p", "Flatten p y"), {}, X, 17),
    "global-max-as-is": (chain("GlobalMaxPool x y"), {}, X, 17),
    "mean-attribute": ([node("ReduceMean", "x", "y", axes=[2, 3], keepdims=0)], {}, X, 13),
    "mean-negative-attribute": ([node("ReduceMean", "x", "y", axes=[-1, -2])], {}, X, 13),
    "mean-input": ([node("ReduceMean", "x a", "y", keepdims=0)], {"a": integers(3, 2)}, X, 18),
    "max-attribute": ([node("ReduceMax", "x", "y", axes=[2, 3])], {}, X, 13),
    "max-negative-attribute": ([node("ReduceMax", "x", "y", axes=[-1, -2], keepdims=0)], {}, X, 11),
    "max-input": ([node("ReduceMax", "x a", "y")], {"a": integers(3, -2)}, X, 18),
    "max-input-without-axes": ([node("ReduceMax", "x a", "y", keepdims=0)], {"a": integers(2, 3)}, X, 20),
    "max-over-channels": ([node("ReduceMax", "x a", "y")], {"a": integers(1)}, X, 18),
    "mean-over-channels": ([node("ReduceMean", "x a", "y")], {"a": integers(1)}, X, 18),
    "mean-over-a-row": ([node("ReduceMean", "x a", "y", keepdims=0)], {"a": integers(3)}, X, 18),
    "batch-norm": ([node("BatchNormalization", "x s b m v", "y", epsilon=0.1)], STATISTICS, X, 15),
    "batch-norm-old": ([node("BatchNormalization", "x s b m v", "y", momentum=0.7)], STATISTICS, X, 7),
    "batch-norm-spatial": ([node("BatchNormalization", "x s b m v", "y", spatial=1)], STATISTICS, X, 7),
    "batch-norm-of-rows": ([node("BatchNormalization", "x s b m v", "y")], STATISTICS, ("N", 2), 15),
    "batch-norm-scaled": (
        chain("BatchNormalization x s b m v n", "Mul n f k", "Add k g y"),
        STATISTICS | {"f": normal(2, 1, 1), "g": normal(1, 2, 1, 1)},
        X,
        15,
    ),
    "pad-attribute": ([node("Pad", "x", "y", pads=[0, 0, 1, 0, 0, 0, 2, 3], value=1.5)], {}, X, 10),
    "pad-input": (
        [node("Pad", "x p v", "y")],
        {"p": integers(0, 0, 1, 0, 0, 0, 2, 3), "v": np.float32(1.5)},
        X,
        17,
    ),
    "pad-axes": (
        [node("Pad", "x p v a", "y")],
        {"p": integers(1, 2, 3, 0), "v": np.float32(0), "a": integers(-1, 2)},
        X,
        18,
    ),
    **{
        f"pad-{mode}": (
            [node("Pad", "x p", "y", mode=mode)],
            {"p": integers(0, 0, 1, 2, 0, 0, 2, 3)},
            X,
            19,
        )
        for mode in ("reflect", "edge", "wrap")
    },
    "pad-channels": ([node("Pad", "x p", "y")], {"p": integers(0, 0, 0, 0, 0, 3, 0, 0)}, X, 17),
    "pad-nothing": (chain("Pad x p q", "Relu q y"), {"p": integers(*[0] * 8)}, X, 17),
    "gemm": ([node("Gemm", "x w c", "y")], {"w": normal(4, 3), "c": normal(3)}, ("N", 4), 17),
    "gemm-transposed-scaled": (
        [node("Gemm", "x w c", "y", transB=1, alpha=0.5, beta=2.0)],
        {"w": normal(3, 4), "c": normal(1, 3)},
        ("N", 4),
        17,
    ),
    "gemm-without-c": ([node("Gemm", "x w", "y", transB=1)], {"w": normal(3, 4)}, ("N", 4), 17),
    "gemm-scalar-c": ([node("Gemm", "x w c", "y")], {"w": normal(4, 3), "c": np.float32(2)}, ("N", 4), 17),
    "gemm-rows-of-c": ([node("Gemm", "x w c", "y")], {"w": normal(4, 3), "c": normal(2, 3)}, (2, 4), 17),
    "gemm-of-a-transpose": (
        [node("Gemm", "x w c", "y", transA=1)],
        {"w": normal(2, 3), "c": normal(3)},
        (2, 4),
        17,
    ),
    "matmul-add": (chain("MatMul x w m", "Add m b y"), {"w": normal(4, 3), "b": normal(3)}, ("N", 4), 17),
    "matmul-of-last-axis": (
        chain("MatMul x w m", "Add b m y"),
        {"w": normal(6, 3), "b": normal(3)},
        X,
        17,
    ),
    "matmul-add-read-twice": (
        chain("MatMul x w m", "Add m b a", "Add a m y"),
        {"w": normal(4, 3), "b": normal(3)},
        ("N", 4),
        17,
    ),
    "transposed-weights": (
        chain("Transpose w t", "MatMul x t m", "Add m b y"),
        {"w": normal(3, 4), "b": normal(3)},
        ("N", 4),
        17,
    ),
    "softmax": ([node("Softmax", "x", "y", axis=1)], {}, X, 13),
    "softmax-last": ([node("LogSoftmax", "x", "y")], {}, X, 13),
    "softmax-before-13": ([node("Softmax", "x", "y", axis=2)], {}, X, 11),
    "softmax-before-13-default": ([node("LogSoftmax", "x", "y")], {}, X, 11),
    "softmax-of-pooled-maps": (chain("GlobalAveragePool x p", "Softmax p y"), {}, X, 11),
    "dropout-attribute": ([node("Dropout", "x", "y", ratio=0.3)], {}, X, 10),
    "dropout-input": ([node("Dropout", "x r", "y")], {"r": np.float32(0.3)}, X, 13),
    "activations": (
        chain("LeakyRelu x a", "Tanh a b", "Sigmoid b c", "Gelu c d", "Relu d y", a={"alpha": 0.3}),
        {},
        X,
        20,
    ),
    "gelu-tanh": ([node("Gelu", "x", "y", approximate="tanh")], {}, X, 20),
    "lrn": ([node("LRN", "x", "y", size=3, alpha=0.5, beta=0.6, bias=1.5)], {}, ("N", 5, 3, 2), 17),
    "transpose": ([node("Transpose", "x", "y", perm=[0, 2, 3, 1])], {}, X, 17),
    "transpose-of-ones": (
        chain("GlobalAveragePool x p", "Transpose p y", y={"perm": [0, 2, 3, 1]}),
        {},
        X,
        17,
    ),
    "reshape": (
        chain("Reshape x s r", "Relu r q", "Reshape q t y"),
        {"s": integers(0, 6, -1), "t": integers(-1, 84)},
        X,
        17,
    ),
    "flatten-axis-2": ([node("Flatten", "x", "y", axis=2)], {}, X, 17),
    "squeeze-unsqueeze": (
        chain("GlobalAveragePool x p", "Squeeze p a s", "Relu s r", "Unsqueeze r b u", "Flatten u y"),
        {"a": integers(2, 3), "b": integers(1)},
        X,
        17,
    ),
    "shape-arithmetic": (
        chain(*FLATTENED, shape={"axis": 0}),
        {"first": np.int64(0), "axis": integers(0), "rest": integers(-1)},
        X,
        17,
    ),
    "concat-and-sum": (
        chain("Relu x r", "Concat x r c", "Sum c c c y", c={"axis": 1}),
        {},
        X,
        17,
    ),
    "broadcast-add": (chain("GlobalAveragePool x p", "Add x p y"), {}, X, 17),
    "add-of-two-pools": (
        chain("GlobalAveragePool x p", "GlobalMaxPool x q", "Add p q s", "Flatten s y"),
        {},
        X,
        17,
    ),
    "preprocessing": (
        chain("Sub x m a", "Div a s b", "Mul b t y"),
        {"m": normal(1, 2, 1, 1), "s": np.float32([[[2]], [[3]]]), "t": np.float32(0.5)},
        X,
        17,
    ),
    "scaled-dense": (
        chain("MatMul x w m", "Mul m s k", "Add k b y"),
        {"w": normal(4, 3), "s": normal(3), "b": normal(3)},
        ("N", 4),
        17,
    ),
    "identity": (chain("Identity x a", "Identity a y"), {}, X, 17),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_the_same_as_onnx_runtime(name):
    nodes, arrays, shape, opset = GRAPHS[name]
    proto = model(nodes, arrays, shape, opset)
    network = from_onnx(proto)
    for batch in (1, 2, 3) if shape[0] == "N" else shape[:1]:
        x = normal(batch, *shape[1:])
        expected = runtime(proto, x)
        y = network(x)
        assert y.shape == expected.shape
        np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)
    if shape[0] == "N":
        again = to_onnx(network, input_shape=shape[1:])
        np.testing.assert_allclose(runtime(again, x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "make",
    [
        models.digits_cnn,
        lambda: models.tiny_cnn().astype("float32"),
        lambda: models.resnet_cifar(8, rng=0),
        pytest.param(lambda: models.resnet18(5, (3, 32, 32), rng=0), marks=pytest.mark.nightly),
        lambda: models.resnet50(5, (3, 32, 32), rng=0),
        lambda: models.alexnet(5, (3, 67, 67), rng=0),
    ],
)
def test_models_come_back_whole(make):
    """Containers in containers, residual blocks, every argument: the same repr."""
    network = make()
    again = from_onnx(to_onnx(network))
    assert repr(again) == repr(network)
    assert again.input_shape == network.input_shape
    assert {name: array.tolist() for name, array in again.buffers.items()} == {
        name: array.tolist() for name, array in network.buffers.items()
    }


@pytest.mark.parametrize(
    "layers",
    [
        {"d": Dense(3, 2, bias=False, rng=0), "s": Bias(2)},
        {"d": Conv2D(3, 2, 1, bias=False, rng=0), "s": Bias((2, 1, 1))},
        {"d": Conv2D(3, 2, 1, rng=0), "n": BatchNorm2D(2), "s": Bias((2, 1, 1))},
        {"block": Sequential(d=Dense(3, 2, bias=False, rng=0), s=Bias(2))},
        {"d": Dense(3, 4, rng=0), "output": RadialBasis(4, 2, rng=0)},
        {"d": Dense(3, 4, rng=0), "block": Sequential(output=RadialBasis(4, 2, rng=0)), "r": ReLU()},
    ],
)
def test_layers_keep_their_names_and_their_arrays(layers):
    """A bias that is a layer of its own is not taken into the layer before it."""
    network = Sequential(**layers)
    for k, array in enumerate(network.params.values()):
        array += k + 1
    images = isinstance(layers.get("d"), Conv2D)
    again = from_onnx(to_onnx(network, input_shape=(3, 2, 2) if images else (3,)))
    assert repr(again) == repr(network)
    arrays, read = ({**each.params, **each.buffers} for each in (network, again))
    assert list(arrays) == list(read)
    assert all(np.array_equal(arrays[name], read[name]) for name in arrays)


def test_lenet5_of_1998_comes_back_with_its_own_layers():
    network = models.lenet5_1998(rng=0)
    again = from_onnx(to_onnx(network, dtype="float32"))
    kinds = [type(layer).__name__ for _, layer in network.leaves()]
    assert [type(layer).__name__ for _, layer in again.leaves()] == kinds
    assert again["c3"].connections == network["c3"].connections
    assert list(again.buffers) == list(network.buffers)


def test_class_names_and_input_shape_travel():
    network = models.digits_cnn()
    network.class_names = tuple("abcdefghij")
    again = from_onnx(to_onnx(network).SerializeToString())
    assert (again.class_names, again.input_shape) == (network.class_names, (1, 8, 8))


def test_shared_layers_stay_shared():
    conv = Conv2D(2, 2, 3, padding=1, rng=0)
    again = from_onnx(to_onnx(Sequential(a=conv, b=neocog.ReLU(), c=conv), input_shape=(2, 5, 5)))
    assert again["a"] is again["c"]
    assert list(again.params) == ["a.weight", "a.bias"]


def test_batch_norms_of_equal_arrays_are_not_tied():
    """Exporters merge equal arrays; two fresh batch norms are still two."""
    nodes = chain("BatchNormalization x s b m v n", "BatchNormalization n s b m v y")
    network = from_onnx(model(nodes, STATISTICS, X))
    (first, second) = network
    assert first.params["weight"] is not second.params["weight"]


def test_matmul_and_add_are_one_layer():
    network = from_onnx(model(*GRAPHS["matmul-add"]))
    assert [type(layer) for layer in network] == [Dense]
    assert network[0].bias
    network = from_onnx(model(*GRAPHS["transposed-plus-channels"]))
    assert [type(layer) for layer in network] == [ConvTranspose2D]
    assert network[0].bias


@pytest.mark.parametrize("outs", [1, 3])
def test_a_bias_of_one_number_each(outs):
    """One output has one number as its bias; one number for several outputs is learned as one."""
    arrays = {"w": normal(4, outs), "b": normal(1)}
    network = from_onnx(model(chain("MatMul x w m", "Add m b y"), arrays, ("N", 4)))
    assert [type(layer) for layer in network] == ([Dense] if outs == 1 else [Dense, Bias])
    assert network.parameter_count == 4 * outs + 1


@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize(
    ("operator", "layer"), [("ReduceMean", GlobalAvgPool2D), ("ReduceMax", GlobalMaxPool2D)]
)
def test_reductions_over_the_pixels_are_global_poolings(operator, layer, keepdims):
    nodes = [node(operator, "x", "p", axes=[2, 3], keepdims=keepdims), node("Flatten", "p", "y")]
    assert [type(each) for each in from_onnx(model(nodes, {}, X, 13))] == [layer]


def test_a_sum_that_is_read_before_its_bias_keeps_it_apart():
    network = from_onnx(model(*GRAPHS["matmul-add-read-twice"]))
    assert [type(layer) for _, layer in network.leaves()].count(Bias) == 1


def test_global_pooling_and_flatten_are_one_layer():
    network = from_onnx(model(*GRAPHS["global-average"]))
    assert [type(layer) for layer in network] == [GlobalAvgPool2D]


@pytest.mark.parametrize("shape", [(1, 2, 4, 4), (4, 2, 4, 4)])
@pytest.mark.parametrize("second", [-1, 32])
def test_a_batch_written_as_a_number_is_free(shape, second):
    """As exporters without dynamic axes leave it: Reshape to (1, 32)."""
    proto = model(chain("Relu x r", "Reshape r s y"), {"s": integers(shape[0], second)}, shape)
    network = from_onnx(proto)
    assert [type(layer) for layer in network][1:] == [Flatten]
    assert network(normal(7, *shape[1:])).shape == (7, 32)
    np.testing.assert_array_equal(network(x := normal(*shape)), runtime(proto, x))


def test_layers_that_mix_the_batch_keep_it_fixed():
    proto = model([node("Reshape", "x s", "y")], {"s": integers(3, 4)}, (2, 6))
    network = from_onnx(proto)
    np.testing.assert_array_equal(network(x := normal(2, 6)), runtime(proto, x))
    with pytest.raises(ValueError, match="does not fit"):
        network(normal(4, 6))


def test_initializers_may_be_listed_as_inputs():
    proto = model([node("Gemm", "x w c", "y")], {"w": normal(4, 3), "c": normal(3)}, ("N", 4), 8, listed=True)
    proto.ir_version = 3
    np.testing.assert_allclose(from_onnx(proto)(x := normal(2, 4)), runtime(proto, x), rtol=1e-5)


def test_names_come_from_the_weights():
    arrays = {"block.0.fc.weight": normal(4, 3), "head_w": normal(3, 2), "onnx::9": normal(2, 2)}
    nodes = [
        node("MatMul", "x block.0.fc.weight", "a", "node_linear"),
        node("Relu", "a", "b", "node_relu"),
        node("MatMul", "b head_w", "c"),
        node("MatMul", "c onnx::9", "d", "/last/MatMul"),
    ]
    network = from_onnx(model(nodes, arrays, ("N", 4)))
    assert list(network.params) == ["block.0.fc.weight", "head.weight", "last.weight"]


def test_open_sizes_need_an_input_shape():
    nodes = chain("Conv x w c", "Flatten c f", "Gemm f g y")
    arrays = {"w": normal(2, 1, 3, 3), "g": normal(2 * 4 * 4, 3)}
    proto = model(nodes, arrays, ("N", 1, "H", "W"))
    with pytest.raises(OnnxImportError, match="Dense needs inputs of shape"):
        from_onnx(proto)
    network = from_onnx(proto, input_shape=(1, 6, 6))
    assert network.input_shape == (1, 6, 6)
    np.testing.assert_allclose(network(x := normal(2, 1, 6, 6)), runtime(proto, x), rtol=1e-5, atol=1e-5)


def test_what_was_assumed_of_open_sizes_is_said():
    """Not the numbers with which a graph is read in their place: N for the batch, and how to go on."""
    arrays = {"w": normal(2, 1, 3, 3), "g": normal(2 * 4 * 4, 3), "big": normal(1, 3, 1, 1)}
    flat = chain("Conv x w c", "Flatten c f", "Gemm f g y")
    with pytest.raises(
        OnnxImportError,
        match=r"got shape \(N, \d+\)\. The model leaves the size of its images open, and was read for "
        r"\(1, 1019, 1021\): pass input_shape=\(C, H, W\)\.$",
    ):
        from_onnx(model(flat, arrays, ("N", 1, "H", "W")))
    last = [node("Transpose", "x", "t", perm=[0, 3, 1, 2]), node("Conv", "t w", "c"), *flat[1:]]
    with pytest.raises(OnnxImportError, match=r"read for \(1013, 1019, 1\): pass input_shape=\(H, W, C\)\.$"):
        from_onnx(model(last, arrays, ("N", "H", "W", 1)))
    constant = chain("Conv x w c", "GlobalAveragePool c p", "Add p big y")
    with pytest.raises(OnnxImportError, match=r"does not fit an x of shape \(N, 2, 1, 1\)\.$"):
        from_onnx(model(constant, arrays, ("N", 1, 6, 6)))
    with pytest.raises(OnnxImportError, match=r"does not fit an x of shape \(3, 2, 1, 1\)\.$"):
        from_onnx(model(constant, arrays, (3, 1, 6, 6)))


CHANNELS_LAST = [
    node("Transpose", "x", "t", perm=[0, 3, 1, 2]),
    *chain("Conv t w c", "GlobalAveragePool c p", "Flatten p y"),
]


@pytest.mark.parametrize("shape", [("N", 6, 5, 3), ("N", "H", "W", 3)])
def test_channels_first(shape):
    proto = model(CHANNELS_LAST, {"w": normal(2, 3, 3, 3)}, shape)
    x = normal(2, 6, 5, 3)
    expected = runtime(proto, x)
    as_it_stands = from_onnx(proto)
    assert as_it_stands.input_shape is None, "not (H, W, C), which nothing here could take for a shape"
    np.testing.assert_allclose(as_it_stands(x), expected, rtol=1e-5, atol=1e-5)
    given = None if shape[1] == 6 else (3, 6, 5)
    turned = from_onnx(proto, channels_first=True, input_shape=given)
    assert turned.input_shape == (3, 6, 5)
    assert [type(layer) for layer in turned] == [Conv2D, GlobalAvgPool2D]
    np.testing.assert_allclose(turned(x.transpose(0, 3, 1, 2)), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "nodes",
    [
        chain("Relu x y"),
        [*CHANNELS_LAST[:1], node("Flatten", "t", "a"), node("Flatten", "x", "b"), node("Add", "a b", "y")],
        [node("Transpose", "x", "y", perm=[0, 2, 1, 3])],
    ],
)
def test_channels_first_of_another_model(nodes):
    with pytest.raises(OnnxImportError, match=r"channels_first needs a model of one input that a Transpose"):
        from_onnx(model(nodes, {}, ("N", 4, 4, 4)), channels_first=True)


def test_a_network_of_ours_that_begins_with_a_transpose_keeps_its_input_shape():
    network = Sequential(Transpose((0, 3, 1, 2)), Flatten(), Dense(24, 2, rng=0))
    assert from_onnx(to_onnx(network, input_shape=(2, 3, 4))).input_shape == (2, 3, 4)


NORMALISED = {
    "(x - m) / s": (chain("Sub x m a", "Div a s b"), (0, 0)),
    "x / s - m": (chain("Div x s a", "Sub a m b"), (0, 0)),
    "m + k x": (chain("Mul k x a", "Add m a b"), (0, 0)),
    "(x / k - m) k / s": (chain("Div x k a", "Sub a m p", "Mul p k q", "Div q s b"), (0, 0)),
    "x - m, of groups": (chain("Sub x m b"), (0, 0)),
    "x / k, padded": (chain("Div x k b"), (1, 0)),
}


@pytest.mark.parametrize("bias", ["", "bias", "added"])
@pytest.mark.parametrize("name", NORMALISED)
def test_the_normalisation_of_the_pixels_is_taken_into_the_first_convolution(name, bias):
    """Where that is exact; so mean and deviation are not learned."""
    before, padding = NORMALISED[name]
    groups = 2 if "groups" in name else 1
    inputs = "b conv.weight" + (" conv.bias" if bias == "bias" else "")
    conv = node("Conv", inputs, "c", pads=[*padding, *padding], group=groups)
    after = chain("Add c more d", "Relu d y") if bias == "added" else chain("Relu c y")
    arrays = {
        "m": normal(1, 4, 1, 1),
        "s": np.exp(normal(4, 1, 1)),
        "k": np.float32(0.3),
        "conv.weight": normal(6, 4 // groups, 3, 3),
        "conv.bias": normal(6),
        "more": normal(1, 6, 1, 1),
    }
    proto = model([*before, conv, *after], arrays, ("N", 4, 7, 6))
    network = from_onnx(proto)
    assert [type(layer) for layer in network] == [Conv2D, ReLU]
    assert set(network.params) <= {"conv.weight", "conv.bias"}
    x = 5 + 3 * normal(3, 4, 7, 6)
    np.testing.assert_allclose(network(x), runtime(proto, x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("nodes", "names"),
    [
        # zeros around the pixels are no zeros of the input
        ([*chain("Sub x m a"), node("Conv", "a w.weight", "y", pads=[1] * 4)], ["a.bias", "w.weight"]),
        # a mean for each pixel
        (chain("Sub x image a", "Conv a w.weight y"), ["a.bias", "w.weight"]),
        # something else sees the pixels, too
        (chain("Sub x m a", "Conv a k.weight c", "Add c a y"), ["a.bias", "k.weight"]),
        # the convolution sees others, too
        (chain("Sub x m a", "Conv a v.weight c", "Conv c v.weight y"), ["a.bias", "v.weight"]),
        # a layer of ours that learns what it adds
        (chain("Add x stem.bias a", "Conv a w.weight y"), ["stem.bias", "w.weight"]),
    ],
)
def test_a_normalisation_that_cannot_be_taken_into_a_convolution_stays(nodes, names):
    arrays = {
        "m": normal(1, 3, 1, 1),
        "image": normal(3, 6, 6),
        "w.weight": normal(3, 3, 3, 3),
        "v.weight": normal(3, 3, 3, 3),
        "k.weight": normal(3, 3, 1, 1),
        "stem.bias": normal(3, 1, 1),
    }
    proto = model(nodes, arrays, ("N", 3, 6, 6))
    network = from_onnx(proto)
    assert list(network.params) == names
    np.testing.assert_allclose(network(x := normal(2, 3, 6, 6)), runtime(proto, x), rtol=1e-4, atol=1e-4)


def test_a_graph_that_ends_in_softmax_is_trained_without_it():
    nodes = chain(
        "Conv x w.weight c",
        "Relu c r",
        "GlobalAveragePool r p",
        "GlobalMaxPool r q",
        "Add p q s",
        "Flatten s f",
    )
    arrays = {"w.weight": normal(4, 1, 3, 3), "g": normal(4, 10)}
    proto = model([*nodes, *chain("Gemm f g z", "Softmax z y")], arrays, ("N", 1, 8, 8))
    network, data = from_onnx(proto), neocog.data.digits()
    assert isinstance(network, Graph)
    with pytest.raises(ValueError, match=r"network\.without_softmax\(\)"):
        neocog.fit(network, data, epochs=1)
    neocog.fit(network.without_softmax(), data, optimizer=neocog.Adam(0.01), epochs=1, rng=0)
    assert not np.array_equal(network.params["w.weight"], arrays["w.weight"])
    x = data.validation[0][:5]
    np.testing.assert_allclose(network(x).sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(runtime(to_onnx(network), x), network(x), rtol=1e-4, atol=1e-6)


def test_images_of_any_size_where_the_layers_allow_it():
    nodes = chain("Conv x w c", "GlobalAveragePool c p", "Flatten p y")
    network = from_onnx(model(nodes, {"w": normal(2, 1, 3, 3)}, ("N", 1, "H", "W")))
    assert network.input_shape is None
    assert [network(normal(2, 1, size, size)).shape for size in (5, 9)] == [(2, 2), (2, 2)]


def test_external_data_beside_the_model(tmp_path):
    proto = to_onnx(network := models.digits_cnn(seed=0))
    (tmp_path / "weights").mkdir()
    onnx.save(
        proto, tmp_path / "m.onnx", save_as_external_data=True, location="weights/m.bin", size_threshold=0
    )
    again = from_onnx(tmp_path / "m.onnx")
    assert all(np.array_equal(again.params[name], array) for name, array in network.params.items())


def test_several_inputs():
    proto = model(chain("Add a.1 b/2 y"), {}, X, inputs=("a.1", "b/2"))
    network = from_onnx(proto)
    assert network.inputs == ("a_1", "b_2")
    x = normal(2, 2, 7, 6), normal(2, 2, 7, 6)
    np.testing.assert_array_equal(network(x), runtime(proto, *x))


def residual_model():
    nodes = [
        node("Conv", "x stem.weight", "a", pads=[1, 1, 1, 1]),
        node("BatchNormalization", "a s b m v", "n"),
        node("Relu", "n", "r"),
        node("Conv", "r block.weight block.bias", "c", pads=[1, 1, 1, 1]),
        node("Add", "c r", "d"),
        node("MaxPool", "d", "p", kernel_shape=[2, 2], strides=[2, 2]),
        node("GlobalAveragePool", "p", "g"),
        node("Flatten", "g", "f"),
        node("Gemm", "f head.weight head.bias", "y", transB=1),
    ]
    arrays = STATISTICS | {
        "stem.weight": normal(2, 1, 3, 3),
        "block.weight": normal(2, 2, 3, 3),
        "block.bias": normal(2),
        "head.weight": normal(10, 2),
        "head.bias": normal(10),
    }
    return model(nodes, arrays, ("N", 1, 8, 8))


def test_what_is_read_can_be_trained():
    network = from_onnx(residual_model())
    data = neocog.data.digits()
    before = {name: array.copy() for name, array in network.params.items()}
    history = neocog.fit(network, data, optimizer=neocog.Adam(0.01), epochs=3, rng=0)
    losses = [row["train_loss"] for row in history]
    assert losses[-1] < 0.8 * losses[0]
    assert all(not np.array_equal(before[name], array) for name, array in network.params.items())


def test_what_is_read_has_right_gradients():
    network = from_onnx(residual_model()).astype("float64")
    x = np.random.default_rng(0).normal(size=(4, 1, 8, 8))
    report = neocog.check_gradients(network, x, [0, 1, 2, 3], method="complex")
    assert report.passed


def test_what_is_read_can_be_saved(tmp_path):
    network = from_onnx(residual_model())
    neocog.save(network, tmp_path / "read.neocog")
    x = normal(2, 1, 8, 8)
    np.testing.assert_array_equal(neocog.load(tmp_path / "read.neocog")(x), network(x))


def test_what_is_read_is_compiled():
    proto = residual_model()
    network = from_onnx(proto)
    x = normal(3, 1, 8, 8)
    expected = runtime(proto, x)
    with neocog.use_kernels("fused"):
        np.testing.assert_allclose(network(x), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(network.for_inference()(x), expected, rtol=1e-4, atol=1e-5)


def test_what_is_read_can_be_explained():
    network = from_onnx(residual_model()).astype("float64")
    x = np.random.default_rng(0).normal(size=(1, 1, 8, 8))
    place = (0, 1, 3, 4)
    answer = explain(network, x, at="block", index=place)
    assert answer.value == pytest.approx(sum(term.value for term in answer.terms))
    trained = explain(network, x, at="stem.weight", index=(0, 0, 1, 1), of="gradient", y=[3])
    assert trained.value == pytest.approx(sum(term.value for term in trained.terms))


def test_batch_norm_keeps_its_momentum():
    network = from_onnx(model(*GRAPHS["batch-norm-old"]))
    assert isinstance(network[0], BatchNorm2D)
    assert (network[0].momentum, network[0].eps) == (0.3, 1e-5)


def test_average_pooling_counts_no_padding_by_default():
    network = from_onnx(model(*GRAPHS["average-default"]))
    assert isinstance(network[0], AvgPool2D)
    assert not network[0].count_include_pad


def test_dropout_draws_from_the_given_generator():
    network = Sequential(a=neocog.Dropout(0.5, rng=0), b=Dense(4, 2, rng=0), c=neocog.Dropout(0.25, rng=1))
    proto = to_onnx(network, input_shape=(4,))
    first, second = (from_onnx(proto, rng=3) for _ in range(2))
    x = normal(5, 4)
    np.testing.assert_array_equal(first.forward(x, training=True)[0], second.forward(x, training=True)[0])
    assert [first["a"].p, first["c"].p] == [0.5, 0.25]
    neocog.serialization.describe(first)  # layers that share a generator can be saved


def test_a_sum_of_a_container_with_itself_stays_outside():
    body = Sequential(Dense(3, 3, rng=0), neocog.ReLU())
    network = Graph({"body": (body, "input"), "twice": (neocog.layers.Add(), "body", "body")})
    assert repr(from_onnx(to_onnx(network, input_shape=(3,)))) == repr(network)


def test_a_residual_block_is_one():
    network = Sequential(block=Residual(Conv2D(2, 2, 3, padding=1, rng=0)), relu=neocog.ReLU())
    assert repr(from_onnx(to_onnx(network, input_shape=(2, 4, 4)))) == repr(network)


def test_a_group_with_something_in_between_is_no_container():
    """``a.one`` and ``a.two`` with ``b.weight`` between them: the names are kept apart."""
    arrays = {"a.one.weight": normal(3, 3), "b.weight": normal(3, 3), "a.two.weight": normal(3, 3)}
    nodes = chain("MatMul x a.one.weight r", "MatMul r b.weight s", "MatMul s a.two.weight y")
    network = from_onnx(model(nodes, arrays, ("N", 3)))
    assert list(network.params) == ["a_one.weight", "b.weight", "a_two.weight"]
    proto = model(nodes, arrays, ("N", 3))
    np.testing.assert_allclose(network(x := normal(2, 3)), runtime(proto, x), rtol=1e-5, atol=1e-5)
