"""Layers in every opset that is written: ONNX Runtime computes them, and they come back as they were."""

import copy
from pathlib import Path

import numpy as np
import onnx
import pytest
from typer.testing import CliRunner

import neocog
from neocog.cli import app
from neocog.errors import UnsupportedError
from neocog.interop.onnx import from_onnx, to_onnx
from neocog.interop.onnx.exporting import OPSETS
from neocog.layers import GELU, AvgPool2D, Conv2D, Hardswish, LayerNorm, Mish, Pad2D, Sequential
from neocog.testing.common import as_list, each

from ..cases import LAYERS  # noqa: TID252
from .onnx_graphs import runtime

FIRST = [name for name in LAYERS if name.endswith("-0")]
DAILY = (13, 17, 19, 22)


def needs(layer):
    """The first opset with a form for a layer."""
    layers = [layer, *(leaf for _, leaf in layer.leaves())] if isinstance(layer, Sequential) else [layer]
    dilated = any(isinstance(each, AvgPool2D) and each.dilation != (1, 1) for each in layers)
    circular = any(isinstance(each, Pad2D) and each.mode == "circular" for each in layers)
    return 19 if dilated or circular else 13


def check(name, opset):
    make, x = LAYERS[name]
    layer, x = make().astype("float32"), copy.deepcopy(x)
    sizes, x = each(lambda part: part.shape[1:], x), each(lambda part: part.astype("float32"), x)
    if opset < needs(layer):
        with pytest.raises(
            UnsupportedError, match=rf"has no form in opset {opset}: .* came with opset 19; pass"
        ):
            to_onnx(layer, input_shape=sizes, opset=opset)
        return
    model = to_onnx(layer, input_shape=sizes, opset=opset)  # ONNX's checker is called there
    assert [entry.version for entry in model.opset_import] == [opset]
    y = layer(x)
    np.testing.assert_allclose(runtime(model, *as_list(x)), y, rtol=1e-5, atol=1e-5)
    again = from_onnx(model)
    np.testing.assert_allclose(again(x if again.several_inputs else as_list(x)[0]), y, rtol=1e-5, atol=1e-5)
    if isinstance(layer, Sequential):
        assert {*layer.params, *layer.buffers} == {*again.params, *again.buffers}


@pytest.mark.parametrize("opset", DAILY)
@pytest.mark.parametrize("name", FIRST)
def test_layers(name, opset):
    check(name, opset)


@pytest.mark.filterwarnings("ignore:written as float32")
@pytest.mark.parametrize("name", FIRST)
def test_networks_of_float64(name):
    """ONNX Runtime computes them, if need be in float32."""
    make, x = LAYERS[name]
    layer = make().astype("float64")
    model = to_onnx(layer, input_shape=each(lambda part: part.shape[1:], x), opset=19)
    kind = (
        "float32" if model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT else "float64"
    )
    y = runtime(model, *(part.astype(kind) for part in as_list(x)))
    np.testing.assert_allclose(y, layer(x), rtol=1e-5, atol=1e-5)


@pytest.mark.nightly
@pytest.mark.parametrize("opset", range(OPSETS[0], OPSETS[1] + 1))
@pytest.mark.parametrize("name", LAYERS)
def test_every_case_of_every_layer(name, opset):
    check(name, opset)


@pytest.mark.parametrize("opset", [13, 22])
@pytest.mark.parametrize(
    "layer",
    [
        *(GELU(), GELU("tanh"), Hardswish(), Mish(), LayerNorm(4), LayerNorm((5, 4))),
        *(LayerNorm(2, axis=1), Pad2D(1, mode="reflect")),
    ],
    ids=repr,
)
def test_what_older_opsets_have_no_operator_for(layer, opset):
    """It is several nodes there, which come back as the one layer."""
    x = np.random.default_rng(0).normal(size=(3, 2, 5, 4)).astype("float32")
    for array in layer.params.values():
        array[:] = np.random.default_rng(1).uniform(0.5, 2, array.shape)
    model = to_onnx(layer, input_shape=(2, 5, 4), opset=opset)
    np.testing.assert_allclose(runtime(model, x), layer(x), rtol=1e-4, atol=1e-5)
    (again,) = (leaf for _, leaf in from_onnx(model).leaves())
    assert repr(again) == repr(layer)
    for name, array in layer.params.items():
        np.testing.assert_array_equal(again.params[name], array)


@pytest.mark.parametrize(
    ("layer", "form"),
    [
        (
            AvgPool2D(2, dilation=2),
            "AveragePool with .*dilations.* came with opset 19; pass opset=19 or more",
        ),
        (Pad2D(1, mode="circular"), "Pad with mode 'wrap' came with opset 19; pass opset=19 or more"),
    ],
)
def test_what_no_older_opset_can_do(layer, form):
    network = Sequential(conv=Conv2D(1, 2, 3, rng=0), last=layer)
    with pytest.raises(UnsupportedError, match=rf"layer 'last' is a .* no form in opset 18: {form}\.$"):
        to_onnx(network, input_shape=(1, 8, 8), opset=18)
    assert to_onnx(network, input_shape=(1, 8, 8), opset=19).opset_import[0].version == 19


@pytest.mark.parametrize(
    ("opset", "error"), [(12, ValueError), (23, ValueError), (17.5, TypeError), ("17", TypeError)]
)
def test_opsets_that_are_not_written(opset, error):
    with pytest.raises(error, match=r"opset must be"):
        to_onnx(neocog.models.digits_cnn(seed=0), opset=opset)


def test_the_first_ir_version_that_has_the_opset():
    versions = [to_onnx(Sequential(GELU()), input_shape=(3,), opset=k).ir_version for k in (13, 15, 20, 22)]
    assert versions == [7, 8, 9, 10], "those of ONNX 1.8, 1.10, 1.15 and 1.17"


def test_the_command_line(tmp_path):
    neocog.save(neocog.models.digits_cnn(seed=0), tmp_path / "a.neocog")
    out = Path(tmp_path / "a.onnx")
    result = CliRunner().invoke(app, ["export", str(tmp_path / "a.neocog"), str(out), "--opset", "15"])
    assert result.exit_code == 0, result.output
    assert onnx.load(out).opset_import[0].version == 15
