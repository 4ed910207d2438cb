"""Networks in ONNX: what ONNX Runtime computes from the file is what neocog computes."""

import json
import warnings

import numpy as np
import onnx
import onnxruntime
import pytest

import neocog
from neocog import layers, models
from neocog.errors import UnsupportedError
from neocog.interop.onnx import from_onnx, operator_of, to_onnx, writes
from neocog.interop.onnx.export_graph import WRITERS
from neocog.layers import (
    AvgPool2D,
    Conv2D,
    Dense,
    Elementwise,
    Graph,
    MaxPool2D,
    ReLU,
    Sequential,
    Sigmoid,
    Softmax,
)

from ..cases import CASES  # noqa: TID252

MODELS = {
    "tiny_cnn": models.tiny_cnn,
    "tiny_mlp": models.tiny_mlp,
    "digits_cnn": models.digits_cnn,
    "small_cnn": models.small_cnn,
    "lenet5": models.lenet5,
    "lenet5_1998": models.lenet5_1998,
    "alexnet": lambda: models.alexnet(5, (3, 67, 67), rng=0),
    "alexnet_one_tower": lambda: models.alexnet_one_tower(5, (3, 67, 67), rng=0),
    "vgg11": lambda: models.vgg11(5, (3, 32, 32), rng=0),
    "resnet_cifar": lambda: models.resnet_cifar(8, rng=0),
    "resnet18": lambda: models.resnet18(5, (3, 32, 32), rng=0),
    "resnet50": lambda: models.resnet50(5, (3, 32, 32), rng=0),
}


def runtime(model, x):
    """What ONNX Runtime computes."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    names = [value.name for value in session.get_inputs()]
    arrays = x if isinstance(x, tuple) else (x,)
    (y,) = session.run(None, dict(zip(names, arrays, strict=True)))
    return y


def shapes(x):
    return tuple(part.shape[1:] for part in x) if isinstance(x, tuple) else x.shape[1:]


LARGE = ("alexnet_one_tower", "vgg11", "resnet18")
"""Made of the same layers, blocks and groups as the others."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.nightly) if name in LARGE else name for name in MODELS]
)
def test_every_model_in_onnx_runtime(name, rng):
    network = MODELS[name]().astype("float32")
    for _, layer in network.leaves():
        for statistic in layer.buffers.values():
            statistic[...] = rng.uniform(0.5, 1.5, statistic.shape)
    written = to_onnx(network)
    for size in (1, 3):
        x = rng.normal(size=(size, *network.input_shape)).astype("float32")
        y = runtime(written, x)
        np.testing.assert_allclose(y, network(x), rtol=1e-5, atol=1e-5 * np.abs(y).max())


def test_what_a_file_says_of_itself(tmp_path):
    network = models.digits_cnn(seed=0)
    network.class_names = tuple("abcdefghij")
    to_onnx(network, tmp_path / "digits.onnx")
    model = onnx.load(tmp_path / "digits.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 20)]
    assert (model.ir_version, model.producer_name) == (9, "neocog")
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert metadata.pop("neocog.output") == "logits"
    expected = {"neocog.class_names": list("abcdefghij"), "neocog.input_shape": [1, 8, 8]}
    assert {key: json.loads(value) for key, value in metadata.items()} == expected
    dims = [dim.dim_param or dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    assert dims == ["N", 1, 8, 8]
    dims = [dim.dim_param or dim.dim_value for dim in model.graph.output[0].type.tensor_type.shape.dim]
    assert dims == ["N", 10]
    assert {value.name for value in model.graph.value_info} >= {"conv1", "pool2"}, "shapes are inferred"


def test_a_subclass_that_computes_as_its_base_is_written_as_that(rng):
    class Narrow(Conv2D):
        def __init__(self, channels):
            super().__init__(channels, 1, 3, rng=0)

        def config(self):
            return {"channels": self.in_channels}

    class Moved(MaxPool2D):
        def window_sides(self, x_shape):  # its base's forward asks for them
            return ((0, 1), (0, 1))

    x = rng.normal(size=(2, 2, 5, 5)).astype("float32")
    model = to_onnx(Sequential(Narrow(2)), input_shape=(2, 5, 5))
    np.testing.assert_allclose(runtime(model, x), Narrow(2)(x), rtol=1e-5, atol=1e-5)
    assert operator_of(Narrow) == "Conv"
    assert operator_of(Moved) is None
    with pytest.raises(UnsupportedError, match="is a Moved, which has no ONNX form"):
        to_onnx(Sequential(Moved(2)), input_shape=(2, 5, 5))


def test_names_are_those_of_the_network():
    network = models.resnet_cifar(8, rng=0)
    model = to_onnx(network)
    arrays = {**network.params, **network.buffers}
    written = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    assert all(np.array_equal(written[name], array) for name, array in arrays.items())
    places = {name for name, _ in network.leaves()}
    assert places <= {node.name for node in model.graph.node}


def test_a_layer_may_be_called_like_the_input_or_the_output():
    network = Sequential(input=Dense(3, 2, rng=0), output=ReLU(), N=Dense(2, 2, rng=1))
    x = np.ones((2, 3), np.float32)
    np.testing.assert_allclose(runtime(to_onnx(network, input_shape=(3,)), x), network(x), atol=1e-6)


def test_shared_layers_are_written_once():
    conv = Conv2D(2, 2, 3, padding=1, rng=0)
    model = to_onnx(Sequential(a=conv, b=ReLU(), c=conv), input_shape=(2, 5, 5))
    assert [tensor.name for tensor in model.graph.initializer] == ["a.weight", "a.bias"]


def test_float64_where_onnx_runtime_computes_it(rng):
    network = Sequential(Dense(3, 4, rng=0), Sigmoid(), Dense(4, 2, rng=1), Softmax()).astype("float64")
    x = rng.normal(size=(2, 3))
    y = runtime(to_onnx(network, input_shape=(3,)), x)
    assert y.dtype == np.float64
    np.testing.assert_allclose(y, network(x), rtol=1e-12)


def test_float64_becomes_float32_where_it_does_not():
    network = models.tiny_cnn().astype("float64")
    with pytest.warns(UserWarning, match="written as float32: ONNX Runtime computes Conv in no other type"):
        model = to_onnx(network)
    x = np.ones((2, *network.input_shape))
    np.testing.assert_allclose(runtime(model, x.astype("float32")), network(x), rtol=1e-5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        forced = to_onnx(network, dtype="float64")
        to_onnx(network, dtype="float32")
    evaluator = pytest.importorskip("onnx.reference").ReferenceEvaluator(forced)
    np.testing.assert_allclose(evaluator.run(None, {"input": x})[0], network(x), rtol=1e-12)


def test_several_inputs():
    network = Graph(
        {
            "a": (Dense(3, 2, rng=0), "left"),
            "b": (Dense(4, 2, rng=1), "right"),
            "sum": (layers.Add(), "a", "b"),
        },
        inputs=("left", "right"),
    )
    x = np.ones((2, 3), np.float32), np.ones((2, 4), np.float32)
    model = to_onnx(network, input_shape=((3,), (4,)))
    assert [value.name for value in model.graph.input] == ["left", "right"]
    np.testing.assert_allclose(runtime(model, x), network(x), rtol=1e-6)
    with pytest.raises(ValueError, match="one shape for each of the inputs"):
        to_onnx(network, input_shape=(3,))


def test_dropout_stays_for_training():
    network = Sequential(Dense(3, 3, rng=0), layers.Dropout(0.25, rng=0))
    (dropout,) = [node for node in to_onnx(network, input_shape=(3,)).graph.node if node.op_type == "Dropout"]
    assert dropout.name == "1"


def test_the_operators_of_every_layer_are_those_of_its_nodes():
    written = {name: set() for name in CASES}
    for name, cases in CASES.items():
        for make, x in cases:
            network = make().astype("float32")
            if not isinstance(network, layers.Container):
                model = to_onnx(network, input_shape=shapes(x))
                written[name].add(", ".join(node.op_type for node in model.graph.node))
    for name, forms in written.items():
        if forms:
            assert forms <= set(operator_of(getattr(layers, name)).split(" or ")), name


def test_operators_of_layers_of_your_own():
    class Square(ReLU):
        def forward(self, x, training=False):
            return x * x, x

    class Softsign(Elementwise):
        @staticmethod
        def function(xp, x):
            return x / (1 + abs(x))

    assert operator_of(Square) is None
    assert operator_of(Softsign) == "by its function"


def test_an_unknown_layer_says_how_to_register_it():
    class Square(ReLU):
        def forward(self, x, training=False):
            return x * x, x

    message = r"layer '0' is a Square, which has no ONNX form .*: .*@neocog.interop.onnx.writes\(Square\)"
    with pytest.raises(UnsupportedError, match=message):
        to_onnx(Sequential(Square()), input_shape=(3,))

    @writes(Square)
    def write_square(writer, layer, x):
        return writer.node("Mul", x, x)

    try:
        x = np.array([[1.0, -2.0, 3.0]], np.float32)
        assert runtime(to_onnx(Sequential(Square()), input_shape=(3,)), x).tolist() == [[1, 4, 9]]
        assert operator_of(Square) is None
    finally:
        del WRITERS[Square]


def elementwise(function, *settings):
    """A layer of one's own that computes this function."""

    class Own(Elementwise):
        def __init__(self, a=0.0, b=0.0):
            super().__init__()
            self.a, self.b = a, b

    Own.function = staticmethod(function)
    return Own(*settings)


FUNCTIONS = {
    "softsign": lambda xp, x, a, b: x / (1 + xp.abs(x)),
    "ELU": lambda xp, x, a, b: xp.where(x > 0, x, a * xp.expm1(x)),
    "SELU": lambda xp, x, a, b: b * (xp.maximum(x, xp.zeros_like(x)) + xp.minimum(a * (xp.exp(x) - 1), 0)),
    "softplus": lambda xp, x, a, b: xp.logaddexp(x, xp.zeros_like(x)),
    "softplus by log": lambda xp, x, a, b: xp.log1p(xp.exp(x)),
    "mish": lambda xp, x, a, b: x * xp.tanh(xp.log(1 + xp.exp(x))),
    "swish": lambda xp, x, a, b: x / (1.0 + xp.exp(-a * x)),
    "hard sigmoid": lambda xp, x, a, b: xp.clip(x / 6 + 0.5, 0, 1),
    "hard shrink": lambda xp, x, a, b: (abs(x) > 0.5) * x,
    "soft shrink": lambda xp, x, a, b: xp.sign(x) * xp.maximum(abs(x) - 0.5, 0.0),
    "between": lambda xp, x, a, b: xp.where(((x >= -a) & (x < b)) | ~(x <= 1) | (x != x), x**2, 2.0**x),
    "mask": lambda xp, x, a, b: xp.astype(x > a, x.dtype),
    "truth": lambda xp, x, a, b: x > a,
    "roots": lambda xp, x, a, b: xp.sqrt(xp.square(x) + 1) - np.float64(1),
    "waves": lambda xp, x, a, b: xp.sin(x) + 0.5 * xp.cos(b - x) - xp.floor(x) * xp.ones_like(x),
    "identity": lambda xp, x, a, b: x,
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_elementwise_layer_of_your_own_is_written_from_its_function(name, dtype, rng):
    layer = elementwise(FUNCTIONS[name], 1.5, 0.25)
    network = Sequential(Dense(4, 6, rng=0), layer, Dense(6, 3, rng=1)).astype(dtype)
    x = rng.normal(size=(5, 4)).astype(dtype)
    y = runtime(to_onnx(network, input_shape=(4,)), x)
    hidden = network[0](x)
    expected = network[2](FUNCTIONS[name](np, hidden, 1.5, 0.25).astype(dtype))
    assert y.dtype == dtype
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)


def test_arctan_of_float64_is_written_as_float32():
    layer = elementwise(lambda xp, x, a, b: xp.arctan(x))
    network = Sequential(Dense(2, 2, rng=0), layer).astype("float64")
    with pytest.warns(UserWarning, match="ONNX Runtime computes Atan in no other type"):
        model = to_onnx(network, input_shape=(2,))
    x = np.array([[0.5, -2.0]], np.float32)
    np.testing.assert_allclose(runtime(model, x), np.arctan(network[0](x)), rtol=1e-5)


def test_a_layer_with_a_forward_of_its_own_is_not_written_from_its_function():
    class Own(Elementwise):
        @staticmethod
        def function(xp, x):
            return x + 1

        def forward(self, x, training=False):
            return x + 2, x

    with pytest.raises(UnsupportedError, match="nothing says how to write it"):
        to_onnx(Own(), input_shape=(3,))


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda xp, x, a, b: x if x > 0 else 0 * x, r"it branches on the numbers; use where\(condition"),
        (lambda xp, x, a, b: xp.cumulative_sum(x), "it calls cumulative_sum, which has no operator"),
        (lambda xp, x, a, b: xp.cbrt(x), "it calls cbrt, which has no operator"),
        (lambda xp, x, a, b: xp.add.reduce(x), r"it calls add\.reduce"),
        (lambda xp, x, a, b: xp.exp(x, where=x > 0), "it calls exp with where"),
        (lambda xp, x, a, b: x // 2, "it calls floor_divide"),
        (lambda xp, x, a, b: x * np.arange(3.0), "which is no number"),
        (lambda xp, x, a, b: x.sum(), "no attribute 'sum'"),
        (lambda xp, x, a, b: xp.ones_like(x), "it returns 1.0, which does not depend on x"),
        (lambda xp, x, a, b: Elementwise.function(xp, x), "must state function"),
    ],
)
def test_what_cannot_be_written_from_a_function_is_named(function, reason):
    with pytest.raises(UnsupportedError, match=rf"layer '1' is a Own, .*{reason}.*onnx.writes\(Own\)"):
        to_onnx(Sequential(Dense(3, 3, rng=0), elementwise(function)), input_shape=(3,))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, ValueError, "input_shape is not known"),
        ({"input_shape": (2, 8, 8)}, ValueError, "needs 1 input channels"),
        ({"input_shape": 3}, ValueError, "input_shape must be"),
        ({"input_shape": (1, 8, "8")}, TypeError, "input_shape must be an integer"),
        ({"input_shape": (1, 8, 8), "dtype": "int8"}, TypeError, "dtype must be"),
        ({"input_shape": (1, 8, 8), "dtype": "complex128"}, TypeError, "dtype must be float32 or float64"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        to_onnx(Sequential(Conv2D(1, 2, 3, rng=0)), **arguments)


def test_more_than_two_gigabytes_are_refused(monkeypatch):
    monkeypatch.setattr("neocog.interop.onnx.exporting.LARGEST", 1000)
    with pytest.raises(ValueError, match="holds at most 2 GB"):
        to_onnx(models.digits_cnn())


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "digits.onnx"
    to_onnx(models.digits_cnn(seed=0), path)
    before = path.read_bytes()

    def full(*_):
        raise OSError("the disk is full")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="full"):
        to_onnx(models.digits_cnn(seed=1), path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["digits.onnx"]


def test_a_divisor_of_ones_own_comes_back():
    pool = AvgPool2D(2, 2, divisor_override=3)
    again = from_onnx(to_onnx(Sequential(pool=pool), input_shape=(1, 4, 4)))
    assert repr(again["pool"]) == repr(pool)


@pytest.mark.parametrize("pool", ["max", "mean of the image", "mean of the padded image", "of a divisor"])
@pytest.mark.parametrize(
    ("arguments", "size", "kept"),
    [
        ((2, 2, 1), (5, 5), False),  # on both axes a last window would begin in the padding
        ((2, 2, 1), (5, 4), False),  # on one; on the other there is none
        ((3, 2, 1), (6, 6), True),  # on both it runs over the end
        (((2, 3), 2, 1), (5, 6), None),  # one of each
        (((3, 2), (2, 3), ((1, 1), (1, 0))), (6, 6), True),
        (((2, 2), (3, 1), ((0, 1), (0, 1)), (2, 1)), (2, 2), None),
        (((1, 2), (4, 2), ((0, 0), (1, 1))), (6, 5), None),
        ((2, (2, 3), ((0, 1), (0, 1))), (5, 6), None),
        ((3, (2, 3), ((1, 2), (0, 0)), 2), (8, 9), None),
    ],
)
def test_last_windows_that_are_dropped(pool, arguments, size, kept, rng):
    """A window that would begin in the padding at the end is none, whatever the shape inference says."""
    kernel, stride, padding, dilation = (*arguments, 1)[:4]
    if pool == "max":
        layer = layers.MaxPool2D(kernel, stride, padding, dilation, ceil_mode=True)
    else:
        options = {"count_include_pad": pool != "mean of the image"}
        options |= {"divisor_override": 3} if pool == "of a divisor" else {}
        layer = AvgPool2D(kernel, stride, padding, dilation=dilation, ceil_mode=True, **options)
    x = rng.normal(size=(2, 3, *size)).astype("float32")
    expected = layer(x)
    features = int(np.prod(expected.shape[1:]))
    network = Sequential(pool=layer, flat=layers.Flatten(), head=Dense(features, 2, rng=0))
    model = to_onnx(network, input_shape=x.shape[1:])
    shapes = {value.name: value.type.tensor_type.shape.dim for value in model.graph.value_info}
    last = next(node.input[0] for node in model.graph.node if node.op_type == "Flatten")
    assert [dim.dim_value for dim in shapes[last]][1:] == list(expected.shape[1:])
    np.testing.assert_allclose(runtime(model, x), network(x), rtol=1e-5, atol=1e-6)
    again = from_onnx(model)
    np.testing.assert_allclose(again(x), network(x), rtol=1e-5, atol=1e-6)
    if kept and pool != "of a divisor":
        assert repr(again["pool"]) == repr(layer)


def test_the_network_is_left_alone():
    network = models.digits_cnn(seed=0)
    before = {name: array.copy() for name, array in network.params.items()}
    model = to_onnx(network)
    from_onnx(model).params["conv1.weight"][...] = 0
    assert all(np.array_equal(before[name], array) for name, array in network.params.items())
    assert neocog.interop.onnx.from_onnx(model).params["conv1.weight"].any()
