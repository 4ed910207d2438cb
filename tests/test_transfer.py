"""Transfer learning on the command line: what --from takes, what is kept, said, recorded and resumed."""

import io
import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from typer.testing import CliRunner

import neocog
from neocog import runs
from neocog.budgets import budgets
from neocog.cli import app
from neocog.data import Split
from neocog.layers import Normalize, Sequential
from neocog.models import pretrained, small_cnn
from neocog.report import write_report
from neocog.runs.starting import open_start
from neocog.settings import settings_for, train_command

from .models.torch_twins import BasicBlock, ResNet


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder of digits as colour pictures, the classes 5 and 6."""
    folder = tmp_path_factory.mktemp("photos")
    images, labels = neocog.data.digits().train
    for name in (5, 6):
        (folder / f"{name}").mkdir()
        for k in np.flatnonzero(labels == name)[:12]:
            grey = Image.fromarray((255 - 255 * images[k, 0]).astype("uint8")).resize((20, 16))
            grey.convert("RGB").save(folder / f"{name}" / f"{k}.png")
    return folder


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    """A run directory of a network for grey images of 12 x 12, with batch norm and a normalization."""
    path = tmp_path_factory.mktemp("runs") / "parent"
    images, labels = neocog.data.digits().train
    images = np.pad(images, ((0, 0), (0, 0), (2, 2), (2, 2)))[labels < 3][:60]
    network = small_cnn(1, 3, (1, 12, 12))
    led = Sequential(normalize=Normalize(0.3, 0.4), **network.children)
    data = Split((images, labels[labels < 3][:60]), class_names=("zero", "one", "two"))
    neocog.fit(led, data, epochs=1, rng=0)
    path.mkdir()
    neocog.save(led, path / "model.neocog")
    return path


def train(source, out, **chosen):
    stream = io.StringIO()
    result = runs.train(settings_for(f"folder:{source}", **chosen), out, stream=stream)
    return result, stream.getvalue()


OPTIONS = {"epochs": 2, "held_out": 0.25}


def test_from_a_model_with_frozen_features(photos, parent, tmp_path):
    found, said = train(photos, tmp_path / "a", pretrained=str(parent), freeze="features", **OPTIONS)
    network, before = found.network, neocog.load(parent / "model.neocog")
    assert (network.input_shape, network.class_names) == ((1, 12, 12), ("5", "6"))
    for line in (
        f"Network and weights of {parent}.",
        "Normalised as these weights expect: mean 0.3; deviation 0.4.",
        "Images of 1 x 12 x 12, as this network takes them.",
        "Head 'dense': Dense(576, 3) replaced by a new Dense(576, 2).",
        f"Frozen: features; 1,154 of {network.parameter_count:,} parameters learn.",
        "Features of 24 images computed once, not in each epoch: 576 numbers an image, "
        "from 13 frozen layers.",
    ):
        assert line in said.splitlines(), line
    for name, array in {**before.params, **before.buffers}.items():
        if not name.startswith("dense"):
            np.testing.assert_array_equal({**network.params, **network.buffers}[name], array)
    config = json.loads((tmp_path / "a" / "config.json").read_text())
    assert (config["settings"]["pretrained"], config["settings"]["freeze"]) == (str(parent), "features")
    assert (config["settings"]["augment"], config["settings"]["normalize"]) == ("none", "pretrained")
    assert f"network and weights of {parent}" in config["chosen"]
    assert set(neocog.load(tmp_path / "a" / "model.neocog").frozen) == set(network.frozen)
    # The same weights without the cache, to rounding.
    with budgets(features=0):
        again, said = train(photos, tmp_path / "b", pretrained=str(parent), freeze="features", **OPTIONS)
    assert "The frozen layers are computed in each epoch" in said
    for name, array in again.network.params.items():
        np.testing.assert_allclose(network.params[name], array, rtol=1e-4, atol=1e-6)


def test_what_is_frozen_in_the_file_is_not_unless_it_is_asked_for(photos, parent, tmp_path):
    network = neocog.load(parent / "model.neocog")
    network.freeze()
    neocog.save(network, tmp_path / "frozen.neocog")
    start = open_start(settings_for(f"folder:{photos}", pretrained=str(tmp_path / "frozen.neocog")))
    assert start.network.frozen == {}
    assert (start.settings.lr, start.settings.network) == (0.001, "pretrained")
    assert settings_for(f"folder:{photos}", pretrained="m.neocog", freeze="features").lr == 0.01


def test_a_network_that_is_named_beside_a_whole_one_is_said_to_be_of_no_use(photos, parent):
    start = open_start(settings_for(f"folder:{photos}", pretrained=str(parent), network="resnet18"))
    assert start.settings.network == "pretrained"
    assert "a whole network, so that network resnet18 is not needed, and not used" in start.lines
    assert list(start.network.params) == list(neocog.load(parent / "model.neocog").params)


def test_resuming_needs_no_pretrained_model(photos, parent, tmp_path):
    from neocog.training import Callback

    class Stop(Callback):
        def on_epoch(self, state):
            return "stop" if state.epoch == 1 else None

    model = shutil.copytree(parent, tmp_path / "model")
    chosen = {"pretrained": str(model), "freeze": "features", "rates": "dense=0.5", "schedule": "constant"}
    whole, _ = train(photos, tmp_path / "whole", **chosen, epochs=3)
    train(photos, tmp_path / "half", **chosen, epochs=1)
    shutil.rmtree(model)
    resumed = runs.resume(tmp_path / "half", 3, stream=io.StringIO())
    for name, array in whole.network.params.items():
        np.testing.assert_array_equal(resumed.network.params[name], array)


def test_the_command_line(photos, parent, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ["train", str(photos), "--from", str(parent), "--freeze", "features", "--epochs", "1"]
    more = ["--out", "run", "--json", "--rates", "dense=0.5", "--no-report"]
    done = CliRunner().invoke(app, [*arguments, *more])
    assert done.exit_code == 0, done.output
    written = json.loads((tmp_path / "run" / "config.json").read_text())["settings"]
    assert (written["pretrained"], written["rates"]) == (str(parent), "dense=0.5")
    assert "--from" in train_command("folder:x", {"pretrained": "m.neocog"})
    for more, message in (
        (["--freeze", "dnse"], "no layer is named 'dnse'; near it is 'dense'"),
        (["--rates", "dnse=0.1"], "no parameter or layer is named 'dnse'"),
        (["--from", "nothing.neocog"], "there is no file or directory nothing.neocog"),
    ):
        failed = CliRunner().invoke(app, [*arguments, *more, "--out", "other"])
        assert failed.exit_code != 0
        assert message in " ".join(failed.output.split())


@pytest.mark.nightly
def test_the_report_says_it(photos, parent, tmp_path):
    train(photos, tmp_path / "run", pretrained=str(parent), freeze="features", **OPTIONS)
    page = write_report(tmp_path / "run").read_text()
    assert "network and weights of" in page
    assert f"--from {parent} --freeze features" in page


def test_settings_that_contradict():
    for chosen, message in (
        ({"rates": "dense"}, "rates must be names with factors above 0, as features=0.1, got 'dense'"),
        ({"filters": (8,)}, "filters must be left out where the network is a pretrained one"),
        ({"minutes": 1.0}, "minutes must be left out where the network is a pretrained one"),
        ({"normalize": "no"}, "normalize must be"),
    ):
        with pytest.raises(ValueError, match=message):
            settings_for("folder:photos", pretrained="m.neocog", **chosen)
    with pytest.raises(ValueError, match="normalize must be none or channels without pretrained weights"):
        settings_for("lines", normalize="pretrained")


def test_images_that_do_not_fit(parent):
    with pytest.raises(ValueError, match=r"images of 1 x 8 x 8 do not fit .*, which takes 1 x 12 x 12:"):
        runs.train(settings_for("lines", pretrained=str(parent)), stream=io.StringIO())


@pytest.mark.nightly
def test_other_sizes_and_normalizations(photos, parent, tmp_path):
    found, said = train(
        photos, tmp_path / "a", pretrained=str(parent), size=12, channels=1, normalize="channels", epochs=0
    )
    assert [name for name in found.network.children if name == "normalize"] == ["normalize"]
    assert found.network["normalize"].mean != (0.3,)
    found, said = train(photos, tmp_path / "b", pretrained=str(parent), normalize="none", epochs=0)
    assert "normalize" not in found.network.children
    assert "Normalised" not in said


def test_the_same_classes_keep_the_head(photos, parent, tmp_path):
    network = neocog.load(parent / "model.neocog")
    first, _ = train(photos, tmp_path / "a", pretrained=str(parent), epochs=0)
    again, said = train(photos, tmp_path / "b", pretrained=str(tmp_path / "a"), epochs=0)
    assert "The head is kept, as the classes are the same." in said
    for name, array in first.network.params.items():
        np.testing.assert_array_equal(again.network.params[name], array)
    assert (network["dense"].out_features, again.network["dense"].out_features) == (3, 2)


def test_from_onnx(photos, parent, tmp_path):
    onnx = pytest.importorskip("neocog.interop.onnx")
    network = neocog.load(parent / "model.neocog")
    onnx.to_onnx(network, tmp_path / "m.onnx")
    found, said = train(
        photos, tmp_path / "a", pretrained=str(tmp_path / "m.onnx"), freeze="features", epochs=1
    )
    assert "Images of 1 x 12 x 12" in said
    assert "computed once" in said
    assert found.network.class_names == ("5", "6")
    assert sum(array.size for array in found.network.trainable_params.values()) == 1154


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A state dict under torchvision's names, in bfloat16, and PyTorch's network."""
    torch.manual_seed(0)
    twin = ResNet(BasicBlock, (2, 2, 2, 2), 6).eval().to(torch.bfloat16)
    path = tmp_path_factory.mktemp("weights") / "resnet18-1234.safetensors"
    save_file(twin.state_dict(), path)
    return path, twin.float()


def test_from_a_state_dict(photos, weights, tmp_path):
    path, twin = weights
    chosen = {"pretrained": str(path), "freeze": "features", "size": 32, "epochs": 0}
    found, said = train(photos, tmp_path / "a", **chosen)
    assert f"Weights of {path} (SHA-256 " in said
    assert "in the network resnet18." in said
    assert "mean 0.485, 0.456, 0.406; deviation 0.229, 0.224, 0.225." in said
    assert "Head 'fc': Dense(512, 6) replaced by a new Dense(512, 2)." in said
    state = twin.state_dict()
    for name in ("conv1.weight", "layer3.0.downsample.1.running_var", "layer4.1.bn2.bias"):
        array = {**found.network.params, **found.network.buffers}[name]
        np.testing.assert_array_equal(array, state[name].numpy())
    assert json.loads((tmp_path / "a" / "config.json").read_text())["settings"]["network"] == "resnet18"


@pytest.mark.parametrize(
    "dtype",
    [
        torch.bfloat16,
        *(pytest.param(kind, marks=pytest.mark.nightly) for kind in (torch.float16, torch.float64)),
    ],
)
def test_formats_of_weights(weights, tmp_path, dtype):
    path = tmp_path / "w.safetensors"
    save_file({name: tensor.to(dtype) for name, tensor in weights[1].state_dict().items()}, path)
    network = pretrained(path, "resnet18", (3, 32, 32))
    x = np.random.default_rng(0).random((2, 3, 32, 32), dtype="float32")
    mean, std = (
        np.array(each, np.float32)[:, None, None] for each in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    with torch.no_grad():
        expected = weights[1](torch.from_numpy((x - mean) / std)).numpy()
    np.testing.assert_allclose(network(x), expected, rtol=1e-2, atol=2e-3)


def test_weights_that_do_not_fit(weights, tmp_path):
    path, _ = weights
    for name, network, message in (
        (path, "resnet34", r"not fit resnet34: parameter names differ: missing .* and 44 more, unknown \[\]"),
        (path, "resnet19", "which network it is of must be one of alexnet, resnet18, .* got 'resnet19'"),
        (tmp_path / "no.safetensors", "resnet18", "there is no file"),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            pretrained(name, network)
    (tmp_path / "w.safetensors").write_bytes(path.read_bytes()[:-7])
    with pytest.raises(ValueError, match="is not a safetensors file, or is damaged"):
        pretrained(tmp_path / "w.safetensors", "resnet18")
    (tmp_path / "resnet18.pth").write_bytes(b"pickle")
    with pytest.raises(ValueError, match="only safetensors is read, as a pickle can run code"):
        pretrained(tmp_path / "resnet18.pth")
    save_file({"fc.weight": torch.zeros(2, 2, dtype=torch.int32)}, tmp_path / "i.safetensors")
    with pytest.raises(ValueError, match=r"fc\.weight must be one of F64, F32, F16, BF16, got I32"):
        pretrained(tmp_path / "i.safetensors", "resnet18")
