"""What an ONNX file may not do: every one of these is refused with an error that says why."""

import copy
import os
import tracemalloc

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from neocog import models
from neocog.budgets import budgets, limit
from neocog.errors import UnsupportedError
from neocog.interop.onnx import OnnxImportError, from_onnx, to_onnx
from neocog.serialization import ModelFileError

from .onnx_graphs import model, node

X = ("N", 2, 6, 6)
KERNEL = np.ones((3, 2, 3, 3), np.float32)


def with_array(**fields):
    """A convolution whose weights are given field by field."""
    proto = model([node("Conv", "x w", "y")], {"w": KERNEL}, X)
    tensor = proto.graph.initializer[0]
    for name, value in fields.items():
        tensor.ClearField(name)
        if isinstance(value, list):
            getattr(tensor, name).extend(value)
        else:
            setattr(tensor, name, value)
    return proto


def two_outputs():
    proto = model([node("Relu", "x", "y"), node("Tanh", "x", "z")], {}, X)
    proto.graph.output.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, None))
    return proto


def two_opsets():
    proto = model([node("Relu", "x", "y")], {}, X)
    proto.opset_import.add(domain="ai.onnx", version=13)
    return proto


def control_flow():
    branch = helper.make_graph([node("Relu", "x", "r")], "then", [], [onnx.ValueInfoProto(name="r")])
    return model([node("If", "c", "y", then_branch=branch, else_branch=branch)], {"c": np.array(True)}, X)


def second_output_read():
    pool = helper.make_node("MaxPool", ["x"], ["p", "places"], kernel_shape=[2, 2])
    return model([pool, node("Relu", "places", "y")], {}, X)


def redefined():
    proto = model([node("Relu", "x", "y")], {}, X)
    proto.functions.append(
        helper.make_function("", "Relu", ["x"], ["y"], [node("Tanh", "x", "y")], proto.opset_import)
    )
    return proto


def sparse():
    proto = model([node("Conv", "x w", "y")], {"w": KERNEL}, X)
    proto.graph.sparse_initializer.add()
    return proto


def metadata(text):
    proto = model([node("Relu", "x", "y")], {}, X)
    proto.metadata_props.add(key="neocog.class_names", value=text)
    return proto


def without_shape():
    proto = model([node("Relu", "x", "y")], {}, X)
    proto.graph.input[0].type.tensor_type.ClearField("shape")
    return proto


HUGE = np.array([2**20, 2**20], np.int64)
ONE, WIDE = np.ones((1, 1), np.float32), ("N", 2**20)
RESIZE = {"r": np.zeros(0, np.float32), "s": np.float32([1, 1, 2, 2])}
ASYMMETRIC = {"coordinate_transformation_mode": "asymmetric"}
WEIGHTS = {"s": np.ones(2, np.float32), "b": np.ones(2, np.float32)}

REFUSED = {
    "unknown operator": (
        lambda: model([node("Det", "x", "y", "area")], {}, X),
        r"operator Det \(node 'area'\) has no layer; neocog reads Abs, Add,",
    ),
    "unknown domain": (
        lambda: model([helper.make_node("Relu", ["x"], ["y"], domain="ai.acme")], {}, X),
        r"operator ai\.acme\.Relu \(node 'y'\) has no layer",
    ),
    "control flow": (control_flow, r"operator If \(node 'y'\) has no layer"),
    "operators redefined": (redefined, "meanings of its own"),
    "cycle": (
        lambda: model([node("Add", "x b", "a"), node("Relu", "a", "b")], {}, X),
        r"the nodes \['a', 'b'\] form a cycle",
    ),
    "dangling input": (lambda: model([node("Add", "x nothing", "y")], {}, X), "'nothing'"),
    "dangling output": (lambda: model([node("Relu", "x", "y")], {}, X, output="z"), "z"),
    "computed twice": (
        lambda: model([node("Relu", "x", "y"), node("Tanh", "x", "y")], {}, X),
        r"\['y'\] are computed or given more than once",
    ),
    "no output name": (
        lambda: model([helper.make_node("Relu", ["x"], [""]), node("Relu", "x", "y")], {}, X),
        "has no first output",
    ),
    "several outputs": (two_outputs, r"has 2 outputs, \['z', 'y'\], .* choose it, as in outputs='z'"),
    "second output read": (second_output_read, "reads 'places', a second output"),
    "nothing computed": (lambda: model([node("Identity", "w", "y")], {"w": KERNEL}, X), "computes nothing"),
    "input not read": (
        lambda: model([node("Relu", "x", "y")], {}, X, inputs=("x", "z")),
        r"does not depend on the inputs \['z'\]",
    ),
    "newer opset": (lambda: model([node("Relu", "x", "y")], {}, X, opset=999), "opset must be from 1 to"),
    "two opsets": (two_opsets, r"must have one opset, got \[13, 17\]"),
    "integer input": (
        lambda: model([node("Relu", "x", "y")], {}, X, dtype=TensorProto.INT32),
        "input 'x' must be a tensor of floating point numbers",
    ),
    "integer weights": (
        lambda: model([node("Conv", "x w", "y")], {"w": KERNEL.astype("int64")}, X),
        r"node 'y' \(Conv\): its input 1 must be float32 or float64 to be learned, got int64",
    ),
    "weights computed": (
        lambda: model([node("Conv", "x x", "y")], {}, X),
        "its input 1 must be a constant",
    ),
    "constant activation": (
        lambda: model([node("Concat", "x w", "y", axis=1)], {"w": KERNEL}, X),
        "its input 1 must be computed from the network's input",
    ),
    "division by zero": (
        lambda: model([node("Div", "x z", "y")], {"z": np.zeros((2, 1, 1), np.float32)}, X),
        "it divides by zero",
    ),
    "raw data too short": (lambda: with_array(dims=[9, 2, 3, 3]), "must have 648 bytes, got 216"),
    "raw data for a giant": (lambda: with_array(dims=[2**40, 2, 3, 3]), "bytes, got 216"),
    "typed data too short": (lambda: with_array(raw_data=b"", float_data=[1.0, 2.0]), "bytes, got 0|numbers"),
    "negative size": (lambda: with_array(dims=[-3, -2, 3, 3]), "sizes of 0 or more"),
    "unknown type": (lambda: with_array(data_type=99), "unknown type 99"),
    "text": (lambda: with_array(data_type=TensorProto.STRING), "must hold numbers"),
    "sparse weights": (sparse, "sparse initializers"),
    "three axes of pixels": (
        lambda: model(
            [node("Relu", "x", "r"), node("MaxPool", "r", "y", kernel_shape=[2, 2, 2])], {}, (1, 1, 4, 4, 4)
        ),
        r"its input must be images \(N, C, H, W\)",
    ),
    "kernel of another shape": (
        lambda: model([node("Conv", "x w", "y", kernel_shape=[5, 5])], {"w": KERNEL}, X),
        r"kernel_shape must be that of the weights, \[3, 3\], got \[5, 5\]",
    ),
    "channels that do not fit": (
        lambda: model([node("Conv", "x w", "y")], {"w": np.ones((3, 4, 3, 3), np.float32)}, X),
        r"node 'y' \(Conv\): Conv2D needs 4 input channels, got 2",
    ),
    "cubic": (
        lambda: model([node("Resize", "x r s", "y", mode="cubic")], RESIZE, X),
        r"node 'y' \(Resize\): mode 'cubic' has no layer; 'nearest' and 'linear' have",
    ),
    "places beside the layer's": (
        lambda: model([node("Resize", "x r s", "y", mode="linear", **ASYMMETRIC)], RESIZE, X),
        "its pixels are not those of Upsample: mode 'linear', coordinate_transformation_mode 'asymmetric'",
    ),
    "more channels": (
        lambda: model([node("Resize", "x r s", "y")], {**RESIZE, "s": np.float32([1, 2, 1, 1])}, X),
        r"it may not resize batch or channels, got scales \[1.0, 2.0, 1.0, 1.0\]",
    ),
    "too few sizes": (
        lambda: model([node("Resize", "x r e n", "y")], RESIZE | {"e": RESIZE["r"], "n": np.arange(3)}, X),
        r"node 'y' \(Resize\): sizes must be 4 integers, got \[0, 1, 2\]",
    ),
    "giant scale": (
        lambda: model([node("Resize", "x r s", "y")], {**RESIZE, "s": np.float32([1, 1, 9e3, 9e3])}, X),
        "its output asks for .* numbers, more than",
    ),
    "output_padding of a stride": (
        lambda: model([node("ConvTranspose", "x t", "y", output_padding=[0, 1])], {"t": KERNEL[:2]}, X),
        r"output_padding must be smaller than the stride \(1, 1\), got \(0, 1\)",
    ),
    "output_shape without one": (
        lambda: model([node("ConvTranspose", "x t", "y", output_shape=[9])], {"t": KERNEL[:2]}, X),
        r"output_shape must be 2 integers, got \[9\]",
    ),
    "unknown auto_pad": (
        lambda: model([node("Conv", "x w", "y", auto_pad="BOTH")], {"w": KERNEL}, X),
        "auto_pad must be",
    ),
    "flag of 2": (
        lambda: model([node("MaxPool", "x", "y", kernel_shape=[2, 2], ceil_mode=2)], {}, X),
        "ceil_mode must be 0 or 1, got 2",
    ),
    "training batch norm": (
        lambda: model([node("BatchNormalization", "x s b b s", "y", training_mode=1)], WEIGHTS, X, 15),
        "training mode; export the model for inference",
    ),
    "batch norm of places": (
        lambda: model([node("BatchNormalization", "x s b b s", "y", spatial=0)], WEIGHTS, X, 7),
        "spatial must be 1",
    ),
    "training dropout": (
        lambda: model([node("Dropout", "x r t", "y")], {"r": np.float32(0.5), "t": np.array(True)}, X),
        "training_mode must be false",
    ),
    "even LRN": (lambda: model([node("LRN", "x", "y", size=4)], {}, X), "size must be odd, got 4"),
    "cropping": (
        lambda: model([node("Pad", "x p", "y")], {"p": np.array([0, 0, -1, 0, 0, 0, 0, 0])}, X),
        "no layer that crops",
    ),
    "bounds in the wrong order": (
        lambda: model([node("Clip", "x a b", "y")], {"a": np.float32(2), "b": np.float32(1)}, X),
        r"node 'y' \(Clip\): low must be below high, got 2\.0 and 1\.0",
    ),
    "padded batch": (
        lambda: model([node("Pad", "x p", "y")], {"p": np.array([1, 0, 0, 0, 0, 0, 0, 0])}, X),
        "only the sides of images",
    ),
    "reshape that does not fit": (
        lambda: model([node("Reshape", "x s", "y")], {"s": np.array([5, 7])}, X),
        "cannot be reshaped",
    ),
    "giant constant": (
        lambda: model(
            [node("ConstantOfShape", "s", "w"), node("MatMul", "x w", "y")], {"s": HUGE}, ("N", 2**20)
        ),
        r"the model asks for 1,099,511,627,776 weights, more than the",
    ),
    "giant expansion": (
        lambda: model([node("Expand", "k s", "w"), node("MatMul", "x w", "y")], {"k": ONE, "s": HUGE}, WIDE),
        r"the model asks for 1,099,511,627,776 weights, more than the",
    ),
    "giant sum of a constant": (
        lambda: model(
            [node("Expand", "k s", "v"), node("ReduceSum", "v", "w"), node("Add", "x w", "y")],
            {"k": ONE, "s": HUGE // 2**6},
            WIDE,
        ),
        r"node 'w' \(ReduceSum\): its result is too large",
    ),
    "giant constant of the input's size": (
        lambda: model(
            [
                node("Shape", "x", "n"),
                node("Mul", "n s", "m"),
                node("Expand", "k m", "v"),
                node("Sub", "x v", "y"),
            ],
            {"k": ONE, "s": HUGE // 2**12},
            WIDE,
        ),
        r"node 'v' \(Expand\): the model asks for .* weights, more than",
    ),
    "giant tiles": (
        lambda: model([node("Tile", "k s", "w"), node("MatMul", "x w", "y")], {"k": ONE, "s": HUGE}, WIDE),
        r"node 'w' \(Tile\): its result is too large",
    ),
    "giant range": (
        lambda: model(
            [node("Range", "a b c", "w"), node("Add", "x w", "y")],
            {"a": np.float32(0), "b": np.float32(2**40), "c": np.float32(1)},
            WIDE,
        ),
        r"node 'w' \(Range\): its result is too large",
    ),
    "giant cast": (
        lambda: model(
            [node("Expand", "k s", "v"), node("Cast", "v", "w", to=11), node("MatMul", "x w", "y")],
            {"k": ONE, "s": HUGE // 2**6},
            WIDE,
        ),
        r"node 'w' \(Cast\): its result is too large",
    ),
    "giant sum": (
        lambda: model(
            [node("Add", "a b", "w"), node("MatMul", "x w", "y")],
            {"a": np.ones((2**18, 1), np.float32), "b": np.ones((1, 2**18), np.float32)},
            ("N", 2**18),
        ),
        "its result is too large",
    ),
    "giant padding": (
        lambda: model([node("MaxPool", "x", "y", kernel_shape=[2, 2], pads=[2**20 - 1] * 4)], {}, X),
        "more than the 67,108,864 numbers allowed|smaller than the window",
    ),
    "giant image": (
        lambda: model(
            [node("Pad", "x p", "y")], {"p": np.array([0, 0, 0, 0, 0, 0, 32754, 32754])}, ("N", 1, 6, 6)
        ),
        r"its output, of shape \(N, 1, 32760, 32760\), asks for 1,073,217,600 numbers, more",
    ),
    "giant padding of a pooling": (
        lambda: model([node("MaxPool", "x", "y", kernel_shape=[2**15] * 2, pads=[2**13] * 4)], {}, X),
        r"to an image of shape \(16390, 16390\), asks for 537,264,200 numbers, more",
    ),
    "giant stride": (
        lambda: model([node("MaxPool", "x", "y", kernel_shape=[2, 2], strides=[2**40, 1])], {}, X),
        "strides must be",
    ),
    "giant input": (
        lambda: model([node("Relu", "x", "y")], {}, (1, 1, 2**40, 2**40)),
        "larger than a network",
    ),
    "no shape": (without_shape, "has no shape: pass input_shape"),
    "class names that are none": (lambda: metadata("{}"), "must be a list of names"),
    "class names that are no JSON": (lambda: metadata("["), "is malformed"),
}


# What a well-formed model may hold and no layer computes; all else is malformed, unsafe or too large.
UNSUPPORTED = {
    *("unknown operator", "unknown domain", "control flow", "second output read", "integer weights"),
    *("weights computed", "constant activation", "product of activations", "even LRN"),
    *("three axes of pixels", "training batch norm", "batch norm of places", "training dropout", "cropping"),
    *("padded batch", "cubic", "places beside the layer's", "more channels", "output_padding of a stride"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    make, message = REFUSED[name]
    proto = make()
    tracemalloc.start()
    try:
        with pytest.raises(OnnxImportError, match=message) as caught:
            from_onnx(proto)
        assert tracemalloc.get_traced_memory()[1] < 2**26, "and without asking for much memory"
    finally:
        tracemalloc.stop()
    assert isinstance(caught.value, ModelFileError)
    assert isinstance(caught.value, UnsupportedError) == (name in UNSUPPORTED)
    assert str(caught.value).endswith(".")
    assert not str(caught.value).endswith("..")


def test_constants_that_double():
    """Forty concatenations of a value with itself would be a tensor of 2^40 numbers."""
    nodes = [node("Concat", f"a{k} a{k}", f"a{k + 1}", axis=0) for k in range(40)]
    proto = model([*nodes, node("MatMul", "x a40", "y")], {"a0": np.ones((1, 1), np.float32)}, ("N", 2**20))
    with pytest.raises(OnnxImportError, match="its result is too large"):
        from_onnx(proto)


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([node("Pow", "x many", "y")], "its exponent must be one number other than 0"),
        ([node("Pow", "k x", "y")], "its input 0 must be computed from the network's input"),
        ([node("Mul", "x many", "y")], r"its factor of shape \(2, 1, 1, 1\) would repeat an input of shape"),
    ],
)
def test_arithmetic_of_computed_values(nodes, message):
    with pytest.raises(UnsupportedError, match=message) as caught:
        from_onnx(model(nodes, {"k": np.float32(3), "many": np.ones((2, 1, 1, 1), np.float32)}, X))
    assert isinstance(caught.value, OnnxImportError)


def copies(kind, count, k):
    """Nodes that would each make a k x k array of their own, of one that takes no room in the file."""
    nodes = [node("ConstantOfShape", "s", "w")]
    for i in range(count):
        before, after = f"y{i - 1}" if i else "x", f"y{i}"
        if kind == "transposed":
            nodes += [node("Transpose", "w", f"w{i}"), node("MatMul", f"{before} w{i}", after)]
        if kind == "cast":
            nodes += [
                node("Cast", "w", f"w{i}", to=TensorProto.DOUBLE),
                node("MatMul", f"{before} w{i}", after),
            ]
        if kind == "flattened":
            nodes += [node("Transpose", "w", f"v{i}"), node("Flatten", f"v{i}", f"w{i}")]
            nodes += [node("MatMul", f"{before} w{i}", after)]
        if kind == "scaled":
            nodes += [node("MatMul", f"{before} w", f"z{i}"), node("Mul", f"z{i} two", after)]
        if kind == "of two factors":
            nodes += [node("Gemm", f"{before} w", after, alpha=1.0 + i)]
        if kind == "identical":
            nodes += [node("Identity", "w", f"w{i}"), node("MatMul", f"{before} w{i}", after)]
    return model(nodes, {"s": np.array([k, k]), "two": np.float32(2)}, ("N", k))


@pytest.mark.parametrize("kind", ["transposed", "cast", "flattened", "scaled", "of two factors"])
def test_a_small_file_makes_no_large_network(kind):
    """16 MB at each of a hundred places."""
    proto = copies(kind, 100, 2048)
    tracemalloc.start()
    try:
        with (
            budgets(weights=2**24),
            pytest.raises(OnnxImportError, match=r"more than the .* allowed"),
        ):
            from_onnx(proto)
        assert tracemalloc.get_traced_memory()[1] < 2 * limit("folded")
    finally:
        tracemalloc.stop()


def test_one_array_under_many_names_is_one():
    tracemalloc.start()
    try:
        network = from_onnx(copies("identical", 100, 2048))
        assert tracemalloc.get_traced_memory()[1] < 2 * limit("folded")
    finally:
        tracemalloc.stop()
    assert len(network) == 100
    assert [array.shape for array in network.params.values()] == [(2048, 2048)]


def test_one_factor_of_many_channels_takes_no_room():
    """A scale of each of 2^24 channels, of zeros that were appended, would be a hundred times 64 MB."""
    pads = {"p": np.array([0, 0, 0, 0, 0, 2**20 - 1, 0, 0]), "k": np.float32(2)}
    nodes = [node("Pad", f"a{i} p", f"a{i + 1}") for i in range(16)]
    scaled = [node("Mul", "a16 k", f"b{i}") for i in range(100)]
    total = node("Sum", " ".join(f"b{i}" for i in range(100)), "y")
    proto = model([node("Relu", "x", "a0"), *nodes, *scaled, total], pads, ("N", 16, 1, 1))
    assert not from_onnx(proto).parameter_count


def test_half_precision_in_the_file_is_not_too_large():
    """Cast to float32 and copied, it is four times the file."""
    half = np.zeros((4096, 3000), np.float16)
    nodes = [node("Cast", "h", "w", to=TensorProto.FLOAT), node("MatMul", "x w", "y")]
    assert from_onnx(model(nodes, {"h": half}, ("N", 4096))).parameter_count == half.size


def test_many_channels_of_images_of_any_size_are_not_too_large():
    """With two sizes of about a thousand pixels in place of those that are open, the smaller is judged."""
    kernel = np.ones((250, 2, 1, 1), np.float32)
    assert (
        from_onnx(model([node("Conv", "x w", "y")], {"w": kernel}, ("N", 2, "H", "W"))).parameter_count == 500
    )


@pytest.mark.parametrize("size", [0, 1, 10, 100, 1000, -1])
def test_truncated_files(tmp_path, size):
    content = to_onnx(models.digits_cnn(seed=0)).SerializeToString()
    (tmp_path / "half.onnx").write_bytes(content[:size])
    with pytest.raises(OnnxImportError, match=r"not an ONNX model, or is truncated|malformed"):
        from_onnx(tmp_path / "half.onnx")


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x80\x04pickle", b"\x00" * 100])
def test_files_that_are_no_models(content):
    with pytest.raises(OnnxImportError, match="not an ONNX model"):
        from_onnx(content)


def test_missing_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file"):
        from_onnx(tmp_path / "none.onnx")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        from_onnx(tmp_path)


def test_noise_in_a_file_is_refused_or_read_but_never_crashes():
    content = to_onnx(models.digits_cnn(seed=0)).SerializeToString()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        noisy = bytearray(content)
        for place in rng.integers(len(noisy) // 4, size=3):  # the weights come last
            noisy[place] = rng.integers(256)
        try:
            from_onnx(bytes(noisy))
        except OnnxImportError:
            refused += 1
    assert refused > 100


# External data


def external(folder, location, **entries):
    """A model in a folder whose kernel lies elsewhere."""
    proto = model([node("Conv", "x w", "y")], {"w": KERNEL}, X)
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in ({"location": location} | entries).items():
        tensor.external_data.add(key=key, value=str(value))
    (folder / "model.onnx").write_bytes(proto.SerializeToString())
    return folder / "model.onnx"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "secret.bin").write_bytes(KERNEL.tobytes())
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "w.bin").write_bytes(b"12345678" + KERNEL.tobytes())
    return inside


def test_external_data_inside_the_folder(folder):
    network = from_onnx(external(folder, "w.bin", offset=8, length=KERNEL.nbytes))
    np.testing.assert_array_equal(network[0].params["weight"], KERNEL)


@pytest.mark.parametrize(
    "location", ["../secret.bin", "sub/../../secret.bin", "..", "", "ABSOLUTE", "..\\secret.bin"]
)
def test_external_data_may_not_leave_the_folder(folder, location):
    location = str(folder.parent / "secret.bin") if location == "ABSOLUTE" else location
    with pytest.raises(OnnxImportError, match="outside the model's folder"):
        from_onnx(external(folder, location))


def test_nor_by_a_link(folder):
    os.symlink(folder.parent / "secret.bin", folder / "link.bin")
    os.symlink(folder.parent, folder / "up")
    for location in ("link.bin", "up/secret.bin"):
        with pytest.raises(OnnxImportError, match="outside the model's folder"):
            from_onnx(external(folder, location))


@pytest.mark.parametrize(
    ("location", "entries", "message"),
    [
        ("none.bin", {}, "missing beside the model"),
        ("w.bin", {"offset": 9}, "of 224"),
        ("w.bin", {"offset": -1}, "from -1"),
        ("w.bin", {"length": 2**40}, "must have 216 bytes"),
        ("w.bin", {"offset": "a"}, "no integer"),
        ("a\x00b", {}, "missing beside the model|malformed"),
        (".", {}, "not a file|outside"),
    ],
)
def test_external_data_must_be_there_whole(folder, location, entries, message):
    with pytest.raises(OnnxImportError, match=message):
        from_onnx(external(folder, location, **entries))


def test_a_file_is_not_read_over_and_over(folder):
    """Tensors that share their place in a file: four of them, but not a hundred."""
    external(folder, "w.bin", offset=8)
    proto = onnx.load(folder / "model.onnx", load_external_data=False)
    for count, refused in ((3, False), (100, True)):
        several = copy.deepcopy(proto)
        for k in range(count):
            tensor = several.graph.initializer.add()
            tensor.CopyFrom(proto.graph.initializer[0])
            tensor.name = f"w{k}"
        (folder / "several.onnx").write_bytes(several.SerializeToString())
        if refused:
            with pytest.raises(
                OnnxImportError, match="of which tensors have been read more than 4 times over"
            ):
                from_onnx(folder / "several.onnx")
        else:
            from_onnx(folder / "several.onnx")


def test_no_pipe_is_waited_for(folder):
    os.mkfifo(folder / "pipe")
    with pytest.raises(OnnxImportError, match="is not a file"):
        from_onnx(external(folder, "pipe"))


def test_external_data_of_a_model_without_a_folder(folder):
    proto = onnx.load(external(folder, "w.bin"), load_external_data=False)
    with pytest.raises(OnnxImportError, match="pass the model's path"):
        from_onnx(proto)


def test_a_constant_node_is_checked_like_an_initializer():
    tensor = numpy_helper.from_array(np.ones(3, np.float32), "c")
    tensor.dims[0] = 2**40
    proto = model([node("Constant", "", "c", value=tensor), node("Add", "x c", "y")], {}, ("N", 3))
    with pytest.raises(OnnxImportError, match=r"bytes, got 12|malformed"):
        from_onnx(proto)


@pytest.mark.parametrize(
    ("shape", "error"),
    [((1, 6), ValueError), ("166", ValueError), ((1, 6, 0), ValueError), ((1, 6, 6.5), TypeError)],
)
def test_bad_input_shape(shape, error):
    with pytest.raises(error, match="image_shape"):
        from_onnx(model([node("Relu", "x", "y")], {}, X), input_shape=shape)
