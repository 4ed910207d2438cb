"""Questions about a network that trains: each answer beside what it stands for, or a step that is taken."""

import numpy as np
import pytest

from neocog import runs
from neocog.initializers import zeros
from neocog.inspection import explain, integrated_gradients, misclassified, occlusion, trace
from neocog.layers import AvgPool2D, BatchNorm2D, Conv2D, Dense, Dropout, Flatten, ReLU, Residual, Sequential
from neocog.models import digits_cnn, resnet18
from neocog.settings import settings_for
from neocog.studio import messages
from neocog.studio.answers import Subject, answer, plain
from neocog.studio.blocks import BLOCKS, blocks_of, build, examine
from neocog.studio.live import Live
from neocog.studio.protocol import check
from neocog.training.evaluation import evaluate

SECONDS = 60


class Asked(Live):
    """A training that has been trained a little, and is asked."""

    def __init__(self, network=None, **chosen):
        settings = settings_for("lines", **{"kernels": "im2col", "momentum": 0.9, **chosen})
        split = runs.training_split(settings, runs.open_images(settings))
        _, rng = runs.draw_sample(settings, len(split.train[1]))
        network = network or runs.network_for(settings, split)
        super().__init__(network, split, settings, rng, lambda frame: None, messages.encode)
        self.start()

    def batches(self, count):
        self.step("batch", count)
        while self.playing:
            self.do(lambda state: None).result(SECONDS)
        return self.do(lambda state: None).result(SECONDS)

    def ask(self, **message):
        images, labels = self.data.validation
        subject = self.do(
            lambda state: Subject.of(state, self.data, self.kernels, images[0], int(labels[0]))
        ).result(SECONDS)
        return answer(subject, check(message))


@pytest.fixture(scope="module")
def live():
    trained = Asked()
    trained.batches(4)
    yield trained
    trained.close()


@pytest.fixture(scope="module")
def held(live):
    return live.data.validation


def test_a_value_is_explained_as_explain_does(live, held):
    found, _ = live.ask(kind="ask", about="value", at="dense", index=[1])
    expected = explain(live.network, held[0][:1], "dense", (0, 1), y=held[1][:1])
    assert found["value"] == expected.value
    assert found["index"] == [1]
    assert found["count"] == len(expected.terms)
    assert [term["value"] for term in found["terms"]] == [term.value for term in expected.terms[:64]]
    assert sum(term["value"] for term in found["terms"]) + found["rest"] == pytest.approx(found["value"])
    parts = next(term["parts"] for term in found["terms"] if len(term["parts"]) == 2)
    assert {part["at"] for part in parts} == {"flatten", "dense.weight"}
    (source,) = [part for part in parts if part["at"] == "flatten"]
    assert len(source["index"]) == 1  # without the image's axis


def test_the_gradient_of_a_weight_is_shared_out_among_images(live):
    found, arrays = live.ask(kind="ask", about="gradient", array="conv1.weight", index=[1, 0, 2, 0])
    totals = [image["total"] for image in found["images"]]
    assert sum(totals) + found["rest"] == pytest.approx(found["gradient"], rel=1e-9)
    assert [abs(total) for total in totals] == sorted((abs(total) for total in totals), reverse=True)
    assert arrays["images"].shape == (len(totals), 1, 8, 8)
    largest = found["images"][0]
    product = largest["products"][0]
    values = {part["symbol"]: part for part in product["parts"]}
    assert product["value"] == pytest.approx(values["dy"]["value"] * values["x"]["value"])
    c, i, j = values["x"]["index"]
    assert arrays["images"][0][c, i, j] == pytest.approx(values["x"]["value"])


@pytest.mark.parametrize(
    "chosen",
    [
        {"momentum": 0.0, "weight_decay": 0.0},
        {"momentum": 0.9, "weight_decay": 0.01},
        {"optimizer": "nesterov", "momentum": 0.5},
        {"optimizer": "adamw", "lr": 0.01},
        {"kernels": "fused"},
        {"class_weight": "balanced", "augment": "shift"},
    ],
    ids=str,
)
def test_the_step_that_is_told_is_the_step_that_is_taken(chosen):
    """Expected: what training then does, to the last bit."""
    live = Asked(**chosen)
    try:
        live.batches(3)
        index = (2, 0, 1, 1)
        found, _ = live.ask(kind="ask", about="gradient", array="conv1.weight", index=list(index))
        before = live.network.params["conv1.weight"][index].item()
        assert found["value"] == before
        live.batches(1)
        after = live.network.params["conv1.weight"][index].item()
        assert found["after"] == after
        assert found["change"] == after - before
        if not live.settings.momentum and live.settings.optimizer == "sgd":
            assert found["change"] == pytest.approx(-found["rate"] * found["gradient"], rel=1e-9)
            assert found["formula"] == "w <- w - lr (g + decay w)"
    finally:
        live.close()


def test_the_next_batch_is_the_one_that_dropout_and_batch_norm_will_see():
    rng = np.random.default_rng(0)
    network = Sequential(
        conv=Conv2D(1, 4, 3, rng=rng),
        norm=BatchNorm2D(4),
        relu=ReLU(),
        flatten=Flatten(),
        drop=Dropout(0.5, rng=7),
        dense=Dense(144, 3, rng=rng),
    )
    live = Asked(network, momentum=0.0)
    try:
        live.batches(2)
        found, _ = live.ask(kind="ask", about="gradient", array="dense.weight", index=[5, 1])
        again, _ = live.ask(kind="ask", about="gradient", array="dense.weight", index=[5, 1])
        assert found["after"] == again["after"]  # asking changes nothing
        live.batches(1)
        assert network.params["dense.weight"][5, 1] == np.float32(found["after"])
    finally:
        live.close()


def test_the_difference_quotient_meets_the_gradient(live):
    found, _ = live.ask(kind="ask", about="prove", array="dense.weight", index=[3, 1], nudge=0.1)
    nudges = [row["nudge"] for row in found["quotients"]]
    assert nudges == pytest.approx([0.1 / 10**k for k in range(6)])
    for row in found["quotients"]:
        assert row["quotient"] == (row["plus"] - row["minus"]) / (2 * row["nudge"])
        assert row["error"] == row["quotient"] - found["gradient"]
    errors = [abs(row["error"]) for row in found["quotients"]]
    assert min(errors) < 1e-7 * abs(found["gradient"])
    assert errors[0] > errors[1] > errors[2]  # by the square of the nudge
    other, _ = live.ask(kind="ask", about="gradient", array="dense.weight", index=[3, 1])
    assert other["gradient"] == pytest.approx(found["gradient"], rel=1e-9)


@pytest.mark.parametrize("method", ["saliency", "grad-cam", "occlusion", "integrated-gradients"])
def test_attributions_are_maps_of_the_image(live, held, method):
    found, arrays = live.ask(kind="attribute", method=method, label=2)
    assert found["label"] == 2
    assert arrays["map"].shape == (8, 8)
    if method == "integrated-gradients":
        expected = integrated_gradients(live.network, held[0][:1], 2)[0, 0]
        np.testing.assert_allclose(arrays["map"], expected)
    if method == "occlusion":
        value = float(held[0][0].mean())
        np.testing.assert_allclose(
            arrays["map"], occlusion(live.network, held[0][:1], 2, patch=1, value=value)[0]
        )


def test_an_attribution_is_of_the_predicted_class_by_default(live, held):
    found, _ = live.ask(kind="attribute", method="saliency")
    assert found["label"] == live.network.predict(held[0][:1])[0]


def test_accuracies_are_those_of_evaluate(live, held):
    found, _ = live.ask(kind="measure", what="accuracy")
    for name, part in (("held_out", held), ("train", live.data.train)):
        loss, accuracy = evaluate(live.network, *part)
        assert found[name] == {"images": len(part[1]), "loss": loss, "accuracy": accuracy}


def test_confusion_and_mistakes_agree(live, held):
    matrix = np.array(live.ask(kind="measure", what="confusion")[0]["matrix"])
    found, arrays = live.ask(kind="measure", what="mistakes", count=5)
    assert found["total"] == matrix.sum() - np.trace(matrix)
    assert found["count"] == len(held[1])
    expected = misclassified(live.network, *held, 5)
    assert [row["index"] for row in found["mistakes"]] == expected.index.tolist()
    assert found["mistakes"][0]["true"] == held[1][expected.index[0]]
    np.testing.assert_array_equal(arrays["images"], held[0][expected.index])
    everything, _ = live.ask(kind="measure", what="mistakes", count=200)
    assert len(everything["mistakes"]) == found["total"]
    train, _ = live.ask(kind="measure", what="mistakes", part="train")
    assert train["count"] == len(live.data.train[1])


def test_dead_units_are_counted():
    live = Asked()
    try:
        live.batches(1)

        def kill(state):
            live.network.params["conv1.weight"][1] = 0
            live.network.params["conv1.bias"][1] = -1

        live.do(kill).result(SECONDS)
        found, _ = live.ask(kind="measure", what="dead")
        assert plain(found["layers"]["relu1"]["channels"])[1] is True
        assert found["layers"]["relu1"]["units"] == 3 * 36
        assert found["layers"]["relu1"]["count"] >= 36
    finally:
        live.close()


def test_gradient_maps_are_those_of_the_trace(live, held):
    found, arrays = live.ask(kind="measure", what="gradients", label=1)
    seen = trace(live.network, held[0][:1], np.array([1]))
    assert found["loss"] == seen.loss
    np.testing.assert_array_equal(arrays["d:conv1"], seen["conv1"].dy[0])
    np.testing.assert_array_equal(arrays["d:conv1.weight"], seen["conv1"].grads["weight"])
    np.testing.assert_array_equal(arrays["d:input"], seen["conv1"].dx[0])
    assert live.ask(kind="measure", what="gradients")[0]["label"] == held[1][0]


def test_maps_are_the_outputs_of_the_layers(live, held):
    _, arrays = live.ask(kind="measure", what="maps")
    assert list(arrays) == [name for name, _ in live.network.leaves()]
    np.testing.assert_array_equal(arrays["dense"], live.network(held[0][:1])[0])


def test_the_middle_of_the_landscape_is_the_network_itself(live):
    found, arrays = live.ask(kind="measure", what="landscape", steps=3, span=0.5)
    assert arrays["losses"].shape == (3, 3)
    assert arrays["losses"][1, 1] == found["centre"]
    x, y = live.data.train
    some = np.linspace(0, len(y) - 1, min(len(y), found["images"])).astype(int)
    assert found["centre"] == pytest.approx(evaluate(live.network, x[some], y[some]).loss)


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"about": "value", "at": "conv9", "index": [0]}, "at must be one of 'input', 'conv1'"),
        ({"about": "value", "at": "dense", "index": [3]}, "index of 'dense' must fit the shape"),
        ({"about": "value"}, "this question needs at"),
        ({"about": "gradient", "array": "conv1", "index": [0]}, "array must be one of 'conv1.weight'"),
        (
            {"about": "gradient", "array": "dense.bias", "index": [3]},
            "index must name one number of dense.bias",
        ),
        ({"about": "prove", "array": "dense.bias", "index": []}, "index must name one number of dense.bias"),
        ({"about": "network"}, "this question needs blocks"),
    ],
)
def test_what_does_not_fit_the_network_is_said(live, message, text):
    with pytest.raises((ValueError, IndexError), match=text):
        live.ask(kind="ask", **message)


def test_a_method_or_class_that_is_not_there_is_said(live):
    with pytest.raises(ValueError, match="method must be one of 'saliency'"):
        live.ask(kind="attribute", method="magic")
    with pytest.raises(ValueError, match=r"y must be in 0\.\.2, got 3"):
        live.ask(kind="attribute", method="saliency", label=3)


def test_plain_data_hold_no_numpy_and_no_nan():
    found = plain({"a": np.float32(1.5), "b": (np.int64(2), float("nan")), "c": np.array([True]), 3: np.inf})
    assert found == {"a": 1.5, "b": [2, None], "c": [True], "3": None}
    assert type(found["c"][0]) is bool


# Blocks.

LINES = (1, 8, 8)


def test_blocks_build_the_ready_made_network_with_its_weights():
    expected = digits_cnn(seed=7)
    network = build(blocks_of(expected), 10, LINES, seed=7)
    assert repr(network) == repr(expected)
    for name, array in expected.params.items():
        np.testing.assert_array_equal(network.params[name], array)


def test_every_kind_of_block_is_built_and_read_back():
    maps = [{"kind": kind} for kind in BLOCKS if kind not in ("GlobalAvgPool2D", "Flatten", "Dense")]
    for end in ({"kind": "Flatten"}, {"kind": "GlobalAvgPool2D"}):
        blocks = [{"kind": "Conv2D", "padding": 2}, *maps, end, {"kind": "BatchNorm"}, {"kind": "Dense"}]
        found = examine(blocks, 3, (3, 20, 20))
        assert found["ok"], found["problem"]
        network = build(blocks, 3, (3, 20, 20), seed=0)
        assert network.parameter_count == found["parameters"]
        assert network.flops((1, 3, 20, 20)) == found["flops"]
        x = np.zeros((1, 3, 20, 20))
        shapes = [network[: k + 1](x).shape[1:] for k in range(len(blocks))]
        assert [tuple(row["shape"]) for row in found["blocks"]] == shapes
        again = build(blocks_of(network), 3, (3, 20, 20), seed=0)
        assert repr(again) == repr(network)


def test_a_residual_block_is_that_of_resnet18_and_convolutions_may_have_no_bias():
    blocks = [
        {"kind": "Conv2D", "channels": 4, "bias": False},
        {"kind": "Residual", "channels": 8, "stride": 2},
        {"kind": "Residual"},
        {"kind": "GlobalAvgPool2D"},
        {"kind": "Dense"},
    ]
    found = examine(blocks, 3, LINES)
    assert [row["shape"] for row in found["blocks"]] == [[4, 8, 8], [8, 4, 4], [8, 4, 4], [8], [3]]
    norm = 2 * 8  # of batch norm over 8 maps
    by_hand = [36, (9 * 4 * 8 + norm) + (9 * 8 * 8 + norm) + (4 * 8 + norm), 2 * (9 * 8 * 8 + norm), 0, 27]
    assert [row["parameters"] for row in found["blocks"]] == by_hand
    network = build(blocks, 3, LINES, seed=0)
    assert list(network["block1"].params) == list(resnet18(init=zeros)["layer2.0"].params)
    assert blocks_of(network)[1:3] == [
        {"kind": "Residual", "channels": 8, "stride": 2},
        {"kind": "Residual", "channels": 8, "stride": 1},
    ]
    assert blocks_of(network)[0]["bias"] is False


def test_receptive_fields_end_at_the_image():
    blocks = [{"kind": "Conv2D", "kernel": 5, "padding": 2}, {"kind": "MaxPool2D"}, {"kind": "Conv2D"}]
    rows = examine([*blocks, {"kind": "Flatten"}, {"kind": "Dense"}], 3, LINES)["blocks"]
    assert [row["receptive"] for row in rows] == [[5, 5], [6, 6], [8, 8], [8, 8], [8, 8]]


@pytest.mark.parametrize(
    ("blocks", "wrong", "text"),
    [
        ([{"kind": "Conv3D"}], 0, "kind of block must be one of 'Conv2D'.* Did you mean 'Conv2D'"),
        ([{"kind": "Conv2D", "channels": 0}], 0, "channels must be at least 1, got 0"),
        ([{"kind": "Conv2D", "channels": 1000}], 0, "channels must be at most 512, got 1000"),
        ([{"kind": "Conv2D", "kernel": "3"}], 0, "kernel must be an integer, got '3'"),
        ([{"kind": "Conv2D", "kernel": 11, "padding": 0}], 0, "is larger than the 8x8 image"),
        ([{"kind": "Dropout", "rate": 1.0}], 0, "rate must be in"),
        ([{"kind": "Conv2D", "bias": "no"}], 0, "bias must be True or False, got 'no'"),
        ([{"kind": "Flatten"}, {"kind": "Residual"}], 1, "Residual needs maps"),
        ([{"kind": "Dense"}], 0, "put Flatten or GlobalAvgPool2D before it"),
        ([{"kind": "Flatten"}, {"kind": "Conv2D"}], 1, "Conv2D needs maps, but what comes before it"),
        ([{"kind": "Flatten"}, {"kind": "MaxPool2D"}], 1, "MaxPool2D needs maps"),
        ([{"kind": "MaxPool2D", "kernel": 16}], 0, "is larger than the 8x8 image"),
        ([{"kind": "GroupNorm", "groups": 3}], 0, "groups"),
        (
            [{"kind": "Flatten"}, {"kind": "Dense", "features": 5}],
            None,
            "one output for each of the 3 classes",
        ),
        ([{"kind": "Conv2D", "channels": 3}], None, "must have one output for each of the 3 classes"),
        ([{"kind": "Flatten"}], None, "nothing to learn"),
        (
            [{"kind": "Flatten"}, {"kind": "Dense", "features": 8192}, {"kind": "Dense", "features": 8192}],
            2,
            "at most 4,000,000 weights",
        ),
    ],
)
def test_what_is_wrong_is_said_beside_the_block(blocks, wrong, text):
    found = examine(blocks, 3, LINES)
    assert not found["ok"]
    said = [row["problem"] for row in found["blocks"]]
    assert [k for k, problem in enumerate(said) if problem] == ([] if wrong is None else [wrong])
    with pytest.raises(ValueError, match=text):
        build(blocks, 3, LINES, seed=0)


@pytest.mark.parametrize("blocks", [None, [], {}, [1], "Conv2D", [{}] * 61])
def test_what_is_no_list_of_blocks_is_refused(blocks):
    with pytest.raises(ValueError, match="block"):
        examine(blocks, 3, LINES)


def test_networks_that_are_no_blocks_are_told_so():
    assert blocks_of(Sequential(Conv2D(2, 2, 3, groups=2))) is None
    assert blocks_of(Sequential(Residual(Conv2D(2, 2, 3, padding=1)))) is None
    assert blocks_of(Sequential(AvgPool2D(2, padding=1))) is None
    assert blocks_of(Sequential(Conv2D(1, 2, (3, 1)))) is None


def test_a_network_is_examined_by_name_too(live):
    found, _ = live.ask(kind="ask", about="network", network="small-cnn")  # which has no block form
    assert found["ok"]
    assert found["page"]
    assert found["parameters"] == sum(row["parameters"] for row in found["blocks"])
    wrong, _ = live.ask(kind="ask", about="network", network="lenet5")
    assert not wrong["ok"]
    assert "is larger than the" in wrong["problem"]
    unknown, _ = live.ask(kind="ask", about="network", network="gpt")
    assert "network must be one of" in unknown["problem"]
