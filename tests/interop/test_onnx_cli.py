"""ONNX files on the command line, and what is said where ONNX is not installed."""

import json
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image
from typer.testing import CliRunner

import neocog
from neocog.cli import app
from neocog.interop.onnx import to_onnx


def run(*arguments, code=0):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture
def digits(tmp_path):
    """A model that neocog saved, and its path."""
    network = neocog.models.digits_cnn(seed=0)
    network.class_names = tuple("abcdefghij")
    neocog.save(network, tmp_path / "digits.neocog")
    return network, tmp_path / "digits.neocog"


def test_export(digits, tmp_path):
    network, path = digits
    written = json.loads(run("export", path, tmp_path / "digits.onnx", "--json"))
    assert written["operators"] == ["Conv", "Flatten", "Gemm", "MaxPool", "Relu"]
    assert written["bytes"] == (tmp_path / "digits.onnx").stat().st_size
    model = onnx.load(tmp_path / "digits.onnx")
    weight = onnx.numpy_helper.to_array(model.graph.initializer[0])
    np.testing.assert_array_equal(weight, network.params["conv1.weight"])
    assert "float32" in run("export", path, tmp_path / "again.onnx")


def test_export_knows_its_formats(digits, tmp_path):
    assert "format must be one of '.onnx', got '.pt'" in run("export", digits[1], tmp_path / "d.pt", code=2)


def test_a_model_that_reads_its_channels_last_predicts(tmp_path):
    text = """
    <ir_version: 9, opset_import: ["" : 20]>
    keras (float[N, 8, 8, 3] image) => (float[N, 4] y)
    {
      turned = Transpose <perm = [0, 3, 1, 2]> (image)
      maps = Conv (turned, w)
      means = GlobalAveragePool (maps)
      y = Flatten (means)
    }
    """
    model = onnx.parser.parse_model(text)
    w = np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype("f4")
    model.graph.initializer.append(onnx.numpy_helper.from_array(w, "w"))
    onnx.save(model, tmp_path / "keras.onnx")
    pixels = np.random.default_rng(1).integers(256, size=(8, 8, 3)).astype("uint8")
    Image.fromarray(pixels).save(tmp_path / "image.png")
    (answer,) = json.loads(run("predict", tmp_path / "keras.onnx", tmp_path / "image.png", "--json"))
    session = onnxruntime.InferenceSession(tmp_path / "keras.onnx")
    (logits,) = session.run(None, {"image": pixels[None].astype("f4") / 255})
    assert answer["classes"][0]["class"] == str(logits[0].argmax())


def test_one_of_several_outputs(tmp_path):
    text = """
    <ir_version: 9, opset_import: ["" : 20]>
    heads (float[N, 2, 4, 4] image) => (float[N, 2, 4, 4] kept, float[N, 2] means)
    {
      kept = Relu (image)
      pooled = GlobalAveragePool (kept)
      means = Flatten (pooled)
    }
    """
    onnx.save(onnx.parser.parse_model(text), tmp_path / "heads.onnx")
    assert "choose it, as in outputs='kept', or on the command line as in" in run(
        "summary", tmp_path / "heads.onnx", code=2
    )
    table = run("summary", f"{tmp_path}/heads.onnx:means")
    assert "pooled" in table, "the layer before that output"


def test_commands_read_onnx_files(digits, tmp_path):
    """The answers are those of the network that was exported."""
    network, own = digits
    path = tmp_path / "digits.onnx"
    to_onnx(network, path)
    pixels = np.random.default_rng(0).integers(256, size=(8, 8)).astype("uint8")
    Image.fromarray(pixels).save(tmp_path / "image.png")
    for command in (["predict"], ["explain", "--at", "conv1", "--index", "2,3,4"]):
        arguments = [tmp_path / "image.png", *command[1:], "--json"]
        answers = [json.loads(run(command[0], model, *arguments)) for model in (own, path)]
        assert answers[0] == answers[1]
    assert json.loads(run("summary", path, "--json")) == json.loads(run("summary", own, "--json"))
    assert json.loads(run("check-gradients", path, "--json", "--max-entries", 5))["passed"]


def test_a_file_that_is_no_model(tmp_path):
    (tmp_path / "bad.onnx").write_bytes(b"nothing of that kind")
    assert "is not an ONNX model" in run("summary", tmp_path / "bad.onnx", code=2)


def test_without_onnx_the_error_says_what_to_install():
    code = "import sys; sys.modules['onnx'] = None; import neocog; import neocog.interop.onnx"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stderr.splitlines()[-1] == (
        'ImportError: neocog.interop.onnx needs ONNX: pip install "neocog[onnx]"'
    )
