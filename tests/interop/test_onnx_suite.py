"""ONNX's own backend test suite, run against neocog.

Every case made of the operators that neocog reads is run, but for those of the table ``LEFT_OUT``, each with
its reason; and each of these must fail, so that none stays there out of habit.
"""

import re
import unittest
import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx.backend.test import BackendTest
from onnx.backend.test.loader import load_model_tests

from neocog.budgets import budgets
from neocog.interop.onnx import Backend, OnnxImportError, from_onnx
from neocog.interop.onnx.import_node import FOLDS, PATTERNS, READERS

# Conversions of types have hundreds of cases of types that no layer has; choices are no layers.
OPERATORS = (READERS.keys() | PATTERNS.keys() | FOLDS.keys()) - {"ArgMax", "Cast", "CastLike", "TopK"}
KINDS = ("node", "simple", "pytorch-converted", "pytorch-operator")

# Pattern of the case's whole name: why no layer computes it.
LEFT_OUT = {
    r"(averagepool|maxpool|convtranspose)_3d.*": "three axes of pixels; neocog has images and rows",
    r"(AvgPool|Conv|MaxPool)3d(_.*)?": "three axes of pixels; neocog has images and rows",
    r"matmul_(3d|4d|bcast|1d_3d)": "one matrix for each entry of a batch; Dense has one matrix",
    r"matmul_1d_1d": "a scalar as the result; Reshape has one axis at least",
    r"training_dropout(_default)?(_mask)?": "the random numbers of another generator",
    r"identity_(opt|sequence)": "optional values and sequences, not tensors",
    r"prelu_(broadcast|example)": "a slope for each pixel; a layer has one for each channel",
    r"layer_normalization_(2d_axis(0|_negative_2)|4d_axis(0|_negative_4))": "images normalised together",
    r"layer_normalization_3d_axis(0|_negative_3)_epsilon": "images normalised together",
    r"reshape_allowzero_reordered": "a tensor without numbers",
    r"reduce_(max|min)_empty_set(_bool)?": "a tensor without numbers",
    r"clip_min_greater_than_max": "a constant, whatever the input",
    r"(operator_)?pow.*|erf|reduce_log_sum_.*_expanded": "computed exponents, logarithms and erf",
    r"gather_.*|slice_neg_steps|slice_start_out_of_bounds": "entries in another order, or none",
    r"operator_repeat_dim_overflow": "copies side by side",
    r"scatternd_.*": "entries that are added, or chosen, not replaced",
    r"selu(_example)?|swiglu_alpha_expanded": "constants other than those of the paper",
    r"resize_.*(cubic|antialias|crop|not_larger|not_smaller|symmetric).*": "ways to resize that no layer has",
    r"resize_downsample_(scales_nearest|sizes_nearest|sizes_linear_pytorch_half_pixel)": "other pixels",
    r"resize_upsample_sizes_nearest_(floor_align|round_prefer_ceil|ceil_half)_.*": "places between pixels",
    r"resize_downsample_scales_linear_align_corners": "a size that ONNX Runtime rounds, too",
    r"center_crop_pad_.*": "the larger of a size of the input and a number that is an input",
    r"operator_non_float_params": "integers that are learned",
}

# Models of nine famous networks: too large to be run in each test session, but their graphs are read.
LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"


def cases():
    """Name and model of every case of the suite."""
    for kind in KINDS:
        for case in load_model_tests(kind=kind):
            yield case.name, case.model or onnx.load(f"{case.model_dir}/model.onnx")


def is_ours(name, model):
    nodes = model.graph.node
    return all(each.op_type in OPERATORS and each.domain == "" for each in nodes) and "attention" not in name


with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the suite computes its expected values, some of them infinite
    MODELS = dict(cases())
    SUITE = BackendTest(Backend, __name__).test_cases.values()
OURS = sorted(name for name, model in MODELS.items() if is_ours(name, model))
TESTS = {name.removesuffix("_cpu"): (case, name) for case in SUITE for name in dir(case) if "_cpu" in name}


def reason(name):
    """Why a case is left out, or None."""
    reasons = [why for pattern, why in LEFT_OUT.items() if re.fullmatch(pattern, name.removeprefix("test_"))]
    return reasons[0] if reasons else None


def run(name):
    case, method = TESTS[name]
    try:
        getattr(case(method), method)()
    except unittest.SkipTest as skipped:
        pytest.fail(f"skipped: {skipped}")


@pytest.mark.filterwarnings("ignore:invalid value encountered in sqrt")  # of numbers below 0, as expected
@pytest.mark.parametrize("name", [name for name in OURS if reason(name) is None])
def test_case(name):
    run(name)


@pytest.mark.parametrize("name", [name for name in OURS if reason(name) is not None])
def test_what_is_left_out_does_not_pass(name):
    with pytest.raises((OnnxImportError, AssertionError)):
        run(name)


def test_the_table_has_no_stale_entries():
    for pattern in LEFT_OUT:
        assert any(re.fullmatch(pattern, name.removeprefix("test_")) for name in OURS), pattern


def test_the_numbers():
    """As documented: how many cases there are, and how many pass."""
    left_out = [name for name in OURS if reason(name) is not None]
    assert (len(OURS), len(left_out)) >= (600, 100), "the suite has shrunk"
    assert len(left_out) < 180
    # Matrices are named 2d, too, and indices.
    images = [n for n in left_out if "2d" in n.lower() and not re.search("gather|layer_norm", n)]
    assert images == [], "everything two-dimensional passes"


def test_famous_networks_are_limited_by_a_budget():
    """These files have no weights in them, but make them, AlexNet 61 million."""
    with (
        budgets(weights=50_000_000),
        pytest.raises(OnnxImportError, match=r"asks for 60,9.* weights, more than"),
    ):
        from_onnx(LIGHT / "light_bvlc_alexnet.onnx")


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("bvlc_alexnet", 24),
        ("densenet121", 427),
        ("inception_v1", 143),
        ("inception_v2", 233),
        ("resnet50", 176),
        ("shufflenet", 171),
        ("squeezenet", 67),
    ],
)
def test_famous_networks(name, layers):
    network = from_onnx(LIGHT / f"light_{name}.onnx")
    assert len(list(network.leaves())) == layers
    assert network.input_shape == (3, 224, 224)
    assert network.output_shape((4, 3, 224, 224))[:2] == (4, 1000), "their batch of 1 is free here"


@pytest.mark.parametrize("name", ["shufflenet", "densenet121"])
def test_famous_networks_compute(name):
    tensor = onnx.TensorProto.FromString((LIGHT / f"light_{name}_output_0.pb").read_bytes())
    x = (np.arange(3 * 224 * 224) / (3 * 224 * 224)).reshape(1, 3, 224, 224).astype("float32")
    y = from_onnx(LIGHT / f"light_{name}.onnx")(x)
    np.testing.assert_allclose(y, numpy_helper.to_array(tensor), rtol=1e-3, atol=1e-6)


def test_one_node():
    node = onnx.helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])
    x, w = np.ones((1, 1, 3, 3), np.float32), np.ones((1, 1, 3, 3), np.float32)
    (y,) = Backend.run_node(node, [x, w])
    assert y[0, 0].tolist() == [[4, 6, 4], [6, 9, 6], [4, 6, 4]]
    (y,) = Backend.run_node(node, {"x": x, "w": 2 * w}, opset_version=11)
    assert y[0, 0, 1, 1] == 18


def test_one_node_that_reads_an_input_twice():
    node, x = onnx.helper.make_node("Add", ["x", "x"], ["y"]), np.array([[1, 2]], np.float32)
    for inputs in ([x, x], [x], {"x": x}):
        assert Backend.run_node(node, inputs)[0].tolist() == [[2, 4]]
    with pytest.raises(ValueError, match=r"input 'x' must be one array, got two"):
        Backend.run_node(node, [x, x + 1])
    with pytest.raises(ValueError, match=r"inputs must be \['x'\], got 3"):
        Backend.run_node(node, [x, x, x])
    with pytest.raises(ValueError, match=r"inputs must be \['x'\], got \['z'\]"):
        Backend.run_node(node, {"z": x})


def test_the_inputs_of_one_node_by_name():
    node = onnx.helper.make_node("Conv", ["x", "w"], ["y"])
    x, w = np.ones((1, 1, 3, 3), np.float32), np.ones((1, 1, 2, 2), np.float32)
    assert Backend.run_node(node, {"w": w, "x": x})[0].shape == (1, 1, 2, 2)


def test_the_places_of_maxima():
    node = onnx.helper.make_node("MaxPool", ["x"], ["y", "places"], kernel_shape=[2, 2])
    y, places = Backend.run_node(node, [np.array([[[[1, 5, 2], [3, 4, 9]]]], np.float32)])
    assert (y.tolist(), places.tolist()) == ([[[[5, 9]]]], [[[[1, 5]]]])


def test_a_model_with_its_weights():
    graph = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]> g (float[2, 3] x) => (float[2, 1] y) '
        "<float[3, 1] w = {1, 2, 3}> { y = MatMul(x, w) }"
    )
    prepared = Backend.prepare(graph)
    x = np.array([[1, 1, 1], [1, 0, 2]], np.float32)
    for inputs in ([x], {"x": x}, x, (x,)):
        assert prepared.run(inputs)["y"].tolist() == [[6], [7]]
    assert prepared.run([x[:1]])[0].tolist() == [[6]]
    with pytest.raises(ValueError, match="inputs must be"):
        prepared.run({"z": x})


def test_devices():
    assert Backend.supports_device("CPU")
    assert Backend.supports_device("CPU:0")
    assert not Backend.supports_device("CUDA")
    with pytest.raises(ValueError, match="device must be 'CPU'"):
        Backend.prepare(MODELS["test_relu"], "CUDA")


def test_compatible_or_not():
    assert Backend.is_compatible(MODELS["test_relu"])
    assert not Backend.is_compatible(MODELS["test_det_2d"])
    with pytest.raises(OnnxImportError, match="operator Det"):
        Backend.prepare(MODELS["test_det_2d"])
