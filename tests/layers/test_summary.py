import json

import numpy as np
import pytest

from neocog.layers import Conv2D, Dense, Flatten, GlobalAvgPool2D, MaxPool2D, ReLU, Residual, Sequential
from neocog.models import digits_cnn, tiny_cnn, tiny_mlp


def table(network, *arguments):
    rows = network.summary(*arguments, show=False).rows
    return [(r.name, r.output_shape, r.parameters, r.flops, r.receptive_field) for r in rows]


def test_tiny_cnn():
    # FLOPs: 2 * 36 positions * 27 weights, 108 maxima, 27 windows of 4, 0, 2 * 27 * 3
    assert table(tiny_cnn()) == [
        ("conv1", (1, 3, 6, 6), 30, 1944, (3, 3)),
        ("relu1", (1, 3, 6, 6), 0, 108, (3, 3)),
        ("pool1", (1, 3, 3, 3), 0, 108, (4, 4)),
        ("flatten", (1, 27), 0, 0, (4, 4)),
        ("dense", (1, 3), 84, 162, (8, 8)),
    ]
    summary = tiny_cnn().summary(show=False)
    assert (summary.parameters, summary.flops, summary.input_shape) == (114, 2322, (1, 1, 8, 8))
    assert [row.layer for row in summary.rows] == [repr(layer) for layer in tiny_cnn()]


@pytest.mark.parametrize(
    ("network", "parameters"),
    [
        (tiny_cnn(classes=4), 142),
        (tiny_cnn(kernel_size=5, filters=1), 26 + 15),
        (tiny_mlp(), 1227),
        (tiny_mlp(classes=4), 1246),
        (tiny_mlp(hidden=4), 275),
        (digits_cnn(), 1898),
        (digits_cnn(classes=2, image_shape=(3, 12, 12)), 224 + 1168 + 290),
    ],
)
def test_parameters_of_the_models(network, parameters):
    assert network.parameter_count == parameters
    assert network.summary(show=False).parameters == parameters


def test_digits_cnn():
    # receptive field 3, 3, 4, 4 + 2 * 2 = 8, 8, 10 cut at the 8 pixels of the image
    assert [
        (name, shape, parameters, field) for name, shape, parameters, _, field in table(digits_cnn())
    ] == [
        ("conv1", (1, 8, 8, 8), 80, (3, 3)),
        ("relu1", (1, 8, 8, 8), 0, (3, 3)),
        ("pool1", (1, 8, 4, 4), 0, (4, 4)),
        ("conv2", (1, 16, 4, 4), 1168, (8, 8)),
        ("relu2", (1, 16, 4, 4), 0, (8, 8)),
        ("pool2", (1, 16, 2, 2), 0, (8, 8)),
        ("flatten", (1, 64), 0, (8, 8)),
        ("dense", (1, 10), 650, (8, 8)),
    ]


def test_nested_and_shared_layers():
    conv = Conv2D(2, 2, 3, padding=1)
    net = Sequential(block=Residual(Sequential(conv, ReLU())), again=conv, mean=GlobalAvgPool2D())
    assert table(net, (2, 2, 9, 7)) == [
        ("block.body.0", (2, 2, 9, 7), 38, 2 * 126 * 36, (3, 3)),
        ("block.body.1", (2, 2, 9, 7), 0, 252, (3, 3)),
        ("block.add", (2, 2, 9, 7), 0, 252, (3, 3)),
        ("again", (2, 2, 9, 7), 0, 2 * 126 * 36, (5, 5)),
        ("mean", (2, 2), 0, 252, (9, 7)),
    ]
    summary = net.summary((2, 2, 9, 7), show=False)
    assert summary.parameters == 38
    assert summary.flops == sum(row.flops for row in summary.rows)


def test_rows_of_features_have_no_receptive_field():
    assert table(Sequential(Dense(3, 2)), (4, 3)) == [("0", (4, 2), 8, 48, None)]


def test_plain_data():
    data = json.loads(json.dumps(tiny_cnn().summary(show=False).to_dict()))
    assert data["parameters"] == 114
    assert data["rows"][4]["name"] == "dense"


def test_prints(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    summary = tiny_cnn().summary()
    out = capsys.readouterr().out
    for text in (
        "input 1 x 1 x 8 x 8",
        "conv1",
        "Conv2D(1, 3, 3)",
        "1 x 3 x 6 x 6",
        "30",
        "114",
        "2,322",
        "4x4",
    ):
        assert text in out
    summary.print()
    assert capsys.readouterr().out == out


def test_silent(capsys):
    tiny_cnn().summary((7, 1, 8, 8), show=False)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("network", "arguments", "message"),
    [
        (Sequential(ReLU()), (), "input_shape is not known to this network"),
        (tiny_cnn(), ((1, 1, 10, 10),), "layer 'dense': Dense needs inputs of shape"),
        (tiny_cnn(), ((1, 8, 8),), r"layer 'conv1': Conv2D needs images of shape \(N, C, H, W\)"),
    ],
)
def test_bad_shapes(network, arguments, message):
    with pytest.raises(ValueError, match=message):
        network.summary(*arguments)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: tiny_cnn(seed=-1), ValueError, "seed must be at least 0"),
        (lambda: tiny_cnn(seed=None), TypeError, "seed must be an integer"),
        (lambda: tiny_cnn(filters=0), ValueError, "must be at least 1, got 0"),
        (lambda: tiny_cnn(size=2), ValueError, "kernel .* is larger than the 2x2 image"),
        (lambda: tiny_mlp(size=0), ValueError, "size must be at least 1"),
        (lambda: tiny_mlp(hidden=1.5), TypeError, "must be an integer, got 1.5"),
        (lambda: digits_cnn(image_shape=(1, 3, 8)), ValueError, "at least 4 x 4 pixels, got 3 x 8"),
        (lambda: digits_cnn(image_shape=(8, 8)), ValueError, r"\(channels, height, width\), got \(8, 8\)"),
    ],
)
def test_bad_arguments_of_the_models(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_weights_of_tiny_cnn():
    net = tiny_cnn(seed=42)
    conv = np.random.default_rng(42).normal(0, np.sqrt(2 / 9), (3, 1, 3, 3))
    dense = np.random.default_rng(43).normal(0, np.sqrt(2 / 27), (27, 3))
    assert np.array_equal(net.params["conv1.weight"], conv)
    assert np.array_equal(net.params["dense.weight"], dense)
    assert Sequential(Flatten(), MaxPool2D(2)).dtype is None


def test_weights_of_digits_cnn_come_from_one_stream():
    rng = np.random.default_rng(42)
    net = digits_cnn(dtype="float64")
    for name, fan_in in [("conv1", 9), ("conv2", 72), ("dense", 64)]:
        weight = net[name].params["weight"]
        assert np.array_equal(weight, rng.normal(0, np.sqrt(2 / fan_in), weight.shape))
