"""Weights from PyTorch, in the form in which torchvision publishes them."""

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from safetensors.torch import save_file

from neocog.initializers import zeros
from neocog.layers import Dense, Sequential
from neocog.models import (
    convnext_tiny,
    load_torchvision,
    mobilenet_v2,
    mobilenet_v3_small,
    pretrained,
    regnet_y_400mf,
    resnet18,
    vgg11,
)
from neocog.models.timm_names import renamed

from .torch_twins import BasicBlock, ResNet


@pytest.fixture(scope="module")
def twin():
    torch.manual_seed(0)
    twin = ResNet(BasicBlock, (2, 2, 2, 2), 10)
    twin.train()(torch.randn(4, 3, 32, 32))  # so that the running statistics are some
    return twin.eval()


@pytest.fixture
def empty():
    return resnet18(10, (3, 32, 32), init=zeros)


def check(network, twin):
    x = np.random.default_rng(0).normal(size=(2, 3, 32, 32)).astype(np.float32)
    with torch.no_grad():
        expected = twin(torch.tensor(x)).numpy()
    np.testing.assert_allclose(network(x), expected, rtol=1e-3, atol=1e-5)


def test_a_state_dict(twin, empty):
    state = twin.state_dict()
    assert "bn1.num_batches_tracked" in state
    load_torchvision(empty, state)
    check(empty, twin)


def test_a_safetensors_file(twin, empty, tmp_path):
    save_file(twin.state_dict(), tmp_path / "weights.safetensors")
    load_torchvision(empty, load_file(tmp_path / "weights.safetensors"))
    check(empty, twin)


def test_parameters_that_require_gradients(twin, empty):
    load_torchvision(empty, dict(twin.named_parameters()) | dict(twin.named_buffers()))
    check(empty, twin)


def test_square_dense_weights_are_transposed():
    network = Sequential(fc=Dense(2, 2, bias=False))
    load_torchvision(network, {"fc.weight": np.array([[1.0, 2.0], [3.0, 4.0]])})
    assert network(np.array([[1.0, 10.0]], np.float32)).tolist() == [[21.0, 43.0]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer1.0.conv1.weight": None}, r"missing \['layer1.0.conv1.weight'\], unknown \[\]"),
        ({"bn1.running_mean": None}, r"buffer names differ: missing \['bn1.running_mean'\], unknown \[\]"),
        ({"head.weight": np.zeros(3)}, r"missing \[\], unknown \['head.weight'\]"),
        (
            {"conv1.weight": np.zeros((64, 1, 7, 7))},
            r"'conv1.weight' must have shape \(64, 3, 7, 7\), got \(64, 1, 7, 7\)",
        ),
        ({"bn1.running_var": np.zeros(3)}, r"buffer 'bn1.running_var' must have shape \(64,\), got \(3,\)"),
        (
            {"fc.weight": np.zeros((1000, 512))},
            r"'fc.weight' must have PyTorch's shape \(10, 512\), got \(1000, 512\)",
        ),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_changed(twin, empty, change, message):
    state = {name: array for name, array in {**twin.state_dict(), **change}.items() if array is not None}
    before = {name: array.copy() for name, array in {**empty.params, **empty.buffers}.items()}
    with pytest.raises(ValueError, match=message):
        load_torchvision(empty, state)
    for name, array in {**empty.params, **empty.buffers}.items():
        np.testing.assert_array_equal(array, before[name])


def test_what_is_no_mapping_of_floating_point_arrays(empty, twin):
    with pytest.raises(TypeError, match="state_dict must be a mapping"):
        load_torchvision(empty, [1, 2])
    with pytest.raises(TypeError, match=r"'fc.bias' must be float32, got complex128"):
        load_torchvision(empty, {**twin.state_dict(), "fc.bias": np.zeros(10, complex)})


def numbered(counts, first=0):
    """List the blocks of stages, as pairs."""
    return [(stage, block) for stage, count in enumerate(counts, first) for block in range(count)]


def mobile(counts, gates, head):
    """List timm's names of the parts of a MobileNet; ``gates`` are the stages that have them."""
    parts = ["conv_stem", "bn1"]
    for stage, block in numbered(counts):
        se = ["se.conv_reduce", "se.conv_expand"] if stage in gates else []
        own = ["conv_dw", "bn1", *se, "conv_pw", "bn2"]
        wider = ["conv_pw", "bn1", "conv_dw", "bn2", *se, "conv_pwl", "bn3"]
        parts += [f"blocks.{stage}.{block}.{part}" for part in (wider if stage else own)]
    return [*parts, *head, "classifier"]


def regnet(counts):
    parts = ["stem.conv", "stem.bn"]
    for stage, block in numbered(counts, 1):
        own = [
            "conv1.conv",
            "conv1.bn",
            "conv2.conv",
            "conv2.bn",
            "se.fc1",
            "se.fc2",
            "conv3.conv",
            "conv3.bn",
        ]
        around = [] if block else ["downsample.conv", "downsample.bn"]
        parts += [f"s{stage}.b{block + 1}.{part}" for part in own + around]
    return [*parts, "head.fc"]


def convnext(counts):
    parts = ["stem.0", "stem.1"]
    for stage, block in numbered(counts):
        if stage and not block:
            parts += [f"stages.{stage}.downsample.{k}" for k in range(2)]
        own = ["conv_dw", "norm", "mlp.fc1", "mlp.fc2", "gamma"]
        parts += [f"stages.{stage}.blocks.{block}.{part}" for part in own]
    return [*parts, "head.norm", "head.fc"]


# timm's names of the parts of each network, in the order of torchvision's
TIMMS = {
    mobilenet_v2: mobile((1, 2, 3, 4, 3, 3, 1), (), ["conv_head", "bn2"]),
    mobilenet_v3_small: mobile(
        (1, 2, 3, 2, 3), (0, 2, 3, 4), ["blocks.5.0.conv", "blocks.5.0.bn1", "conv_head"]
    ),
    regnet_y_400mf: regnet((1, 3, 6, 6)),
    convnext_tiny: convnext((3, 3, 9, 3)),
    vgg11: [
        *(f"features.{k}" for k in (0, 3, 6, 8, 11, 13, 16, 18)),
        "pre_logits.fc1",
        "pre_logits.fc2",
        "head.fc",
    ],
}
COLUMNS = ("mlp.fc1.weight", "mlp.fc2.weight")
"""Dense there, and a convolution here."""


def in_timms_names(network, parts, numbers):
    """Return arrays by timm's names in another order, and by ours; ``numbers`` makes one of a shape."""
    theirs, ours = {}, {}
    leaves = [(name, layer) for name, layer in network.leaves() if layer.params or layer.buffers]
    for (name, layer), part in zip(leaves, parts, strict=True):
        for key, array in (*layer.params.items(), *layer.buffers.items()):
            shape = array.shape[::-1] if isinstance(layer, Dense) and key == "weight" else array.shape
            own = part if part.endswith("gamma") else f"{part}.{key}"
            ours[f"{name}.{key}"] = made = numbers(shape)
            if own in ("conv_head.weight", "pre_logits.fc2.weight") and len(shape) == 2:
                made = made.reshape(*shape, 1, 1)  # a convolution there
            theirs[own] = made.reshape(shape[:2]) if own.endswith(COLUMNS) else made
    return dict(sorted(theirs.items())), ours


@pytest.mark.parametrize("make", TIMMS, ids=lambda make: make.__name__)
def test_timms_names(make):
    network, count = make(init=zeros), iter(range(10**6))
    theirs, ours = in_timms_names(network, TIMMS[make], lambda s: np.broadcast_to(np.float32(next(count)), s))
    found = renamed(network, theirs)
    assert found.keys() == ours.keys()
    for name, array in ours.items():
        assert (found[name].shape, found[name].flat[0]) == (array.shape, array.flat[0]), name


def test_weights_of_timms_mobilenet_v3(tmp_path, rng):
    """Its batch norms have another eps than torchvision's."""
    network = mobilenet_v3_small(5, (3, 32, 32), init=zeros)
    state, ours = in_timms_names(
        network, TIMMS[mobilenet_v3_small], lambda s: rng.random(s, "float32") / np.float32(np.prod(s[1:]))
    )
    path = tmp_path / "mobilenetv3_small_100.lamb_in1k.safetensors"
    save_file({name: torch.tensor(array) for name, array in state.items()}, path)
    load_torchvision(network, ours)
    read = pretrained(path, image_shape=(3, 32, 32))
    x = rng.random((2, 3, 32, 32), "float32")
    assert not np.allclose(read(x), network(read["normalize"](x)), rtol=1e-5)
    for _, layer in network.leaves():
        if "running_var" in layer.buffers:
            layer.eps = 1e-5
    np.testing.assert_array_equal(read(x), network(read["normalize"](x)))


def test_other_names_of_timms_are_not_renamed(empty):
    with pytest.raises(ValueError, match="missing"):
        load_torchvision(empty, {"conv_stem.weight": np.zeros((64, 3, 7, 7)), "attention.qkv": np.zeros(3)})
