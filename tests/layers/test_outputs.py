import numpy as np
import pytest

import neocog
from neocog.layers import (
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Graph,
    LogSoftmax,
    Sequential,
    Sigmoid,
    Softmax,
)
from neocog.layers.outputs import OUTPUT_KINDS
from neocog.serialization import load, save

SHAPE = (1, 4, 4)


def ending(*last, outputs=3):
    """A network of so many outputs, before some last layers."""
    network = Sequential(Flatten(), Dense(16, outputs, rng=0), *last).astype("float64")
    network.input_shape = SHAPE
    return network


def images(count=5):
    return np.random.default_rng(1).normal(size=(count, *SHAPE))


def test_the_end_says_what_the_outputs_are():
    assert ending().output_kind == "logits"
    assert ending(LogSoftmax()).output_kind == "logits"  # the softmax of which is right
    assert ending(Softmax()).output_kind == "probabilities"
    assert ending(Sigmoid()).output_kind == "independent-probabilities"
    assert ending(Sigmoid(), outputs=1).output_kind == "independent-probabilities"
    assert ending(outputs=1).output_kind == "values"


@pytest.mark.parametrize("last", [Softmax, LogSoftmax, Sigmoid])
def test_layers_that_compute_nothing_are_looked_through(last):
    chain = Sequential(Conv2D(1, 3, 4, rng=0), last(), Dropout(0.5, rng=0), Flatten())
    graph = Graph({"c": (Conv2D(1, 3, 4, rng=0), "input"), "s": (last(), "c"), "f": (Flatten(), "s")})
    for network in (chain, graph, Sequential(graph), Sequential(chain, Flatten())):
        assert network.output_kind == ending(last()).output_kind
        without = network.without_last(Softmax, LogSoftmax, Sigmoid)
        assert not any(isinstance(leaf, last) for _, leaf in without.leaves())
        np.testing.assert_array_equal(
            last()(without(images().astype("float32"))), network(images().astype("float32"))
        )


def test_what_is_said_counts_more_than_the_end():
    network = ending(Sigmoid(), outputs=1)
    network.output_kind = "values"
    assert network.output_kind == "values"
    np.testing.assert_array_equal(network.predict(images()), network(images()))
    network.output_kind = None
    assert network.output_kind == "independent-probabilities"
    with pytest.raises(ValueError, match=r"output_kind must be .*, got 'logit'\. Did you mean 'logits'"):
        network.output_kind = "logit"


def test_a_single_sigmoid_is_the_probability_of_the_second_class():
    z = ending(outputs=1)(images())[:, 0]
    for network, kind in ((ending(Sigmoid(), outputs=1), None), (ending(outputs=1), "independent-logits")):
        network.output_kind = kind
        p = 1 / (1 + np.exp(-z))
        np.testing.assert_allclose(network.predict_proba(images()), np.stack([1 - p, p], axis=1), rtol=1e-12)
        np.testing.assert_array_equal(network.predict(images()), z > 0)


def test_several_sigmoids_each_say_their_own():
    z = ending()(images())
    for network, kind in ((ending(Sigmoid()), None), (ending(), "independent-logits")):
        network.output_kind = kind
        np.testing.assert_allclose(network.predict_proba(images()), 1 / (1 + np.exp(-z)), rtol=1e-12)
        np.testing.assert_array_equal(network.predict(images()), z > 0)
        # Trained on each image with label k w[k] times, the odds are w[k] times those of the images.
        network.class_weight = (1.0, 2.0, 30.0)
        p = network.predict_proba(images())
        np.testing.assert_allclose(p / (1 - p), np.exp(z) / [1, 2, 30], rtol=1e-9)
        network.input_shape = images().shape[1:]
        np.testing.assert_array_equal(network.predict(images()), z > 0)
        np.testing.assert_array_equal(network.applying(p), z > 0)
        np.testing.assert_array_equal(network.ranking(p), (-z).argsort(axis=1))


def test_class_weights_are_taken_out_of_a_single_sigmoid():
    network = ending(Sigmoid(), outputs=1)
    p = network(images())[:, 0]
    network.class_weight = (1.0, 3.0)
    expected = (p / 3) / (p / 3 + 1 - p)  # by Bayes' rule
    np.testing.assert_allclose(network.predict_proba(images())[:, 1], expected, rtol=1e-12)
    np.testing.assert_array_equal(network.predict(images()), p > 0.5)


def test_values_are_no_probabilities():
    network = ending(outputs=1)
    np.testing.assert_array_equal(network.predict(images()), network(images()))
    with pytest.raises(ValueError, match="the network's outputs are values, no probabilities of classes"):
        network.predict_proba(images())


def test_outputs_of_one_pixel_count_as_rows():
    network = Sequential(Conv2D(1, 3, 4, rng=0)).astype("float64")
    z = network(images())[:, :, 0, 0]
    assert network.predict_logits(images()).shape == (5, 3)
    np.testing.assert_array_equal(network.predict(images()), z.argmax(axis=1))
    np.testing.assert_allclose(network.predict_proba(images()).sum(axis=1), 1)
    assert Sequential(Conv2D(1, 1, 4, rng=0), Sigmoid()).predict_proba(images().astype("float32")).shape == (
        5,
        2,
    )


@pytest.mark.parametrize("kernels", ["im2col", "fused"])
def test_a_fully_convolutional_network_is_trained(kernels):
    rng = np.random.default_rng(0)
    y = np.arange(40) % 2
    x = rng.normal(y[:, None, None, None], 0.1, (40, 1, 4, 4)).astype("float32")
    flat = Sequential(Conv2D(1, 2, 4, rng=0), Flatten())
    maps = Sequential(Conv2D(1, 2, 4, rng=0))
    with neocog.use_kernels(kernels):
        histories = [neocog.fit(network, (x, y), epochs=8, rng=0) for network in (flat, maps)]
    np.testing.assert_allclose(histories[1]["train_loss"], histories[0]["train_loss"], rtol=1e-5)
    assert histories[1]["train_accuracy"][-1] == 1
    assert neocog.evaluate(maps, x, y).accuracy == 1


@pytest.mark.parametrize("kind", [None, *OUTPUT_KINDS])
@pytest.mark.parametrize("last", [(), (Softmax(),), (Sigmoid(),)])
def test_a_model_file_keeps_what_the_outputs_are(kind, last, tmp_path):
    network = ending(*last)
    network.output_kind = kind
    save(network, tmp_path / "m.neocog")
    again = load(tmp_path / "m.neocog")
    assert again.output_kind == network.output_kind == (kind or ending(*last).output_kind)
    np.testing.assert_array_equal(again.predict(images()), network.predict(images()))
    assert network.for_inference().output_kind == network.output_kind


def test_files_of_before_say_logits_of_every_network(tmp_path):
    from neocog import model_file

    save(ending(Sigmoid()), tmp_path / "m.neocog")
    header, arrays = model_file.read(tmp_path / "m.neocog")
    header["network"]["output"] = "logits"
    del header["network"]["output_stated"], header["arrays"]
    model_file.write(tmp_path / "old.neocog", header, arrays)
    assert load(tmp_path / "old.neocog").output_kind == "independent-probabilities"
    header["network"]["output"] = "colours"
    model_file.write(tmp_path / "new.neocog", header, arrays)
    with pytest.raises(model_file.ModelFileError, match="its output is 'colours', which this"):
        load(tmp_path / "new.neocog")


def test_pytorch_and_onnx_keep_it(tmp_path):
    from neocog.interop.onnx import from_onnx, to_onnx
    from neocog.interop.torch import from_torch, to_torch

    network = ending().astype("float32")
    network.output_kind = "independent-logits"
    assert from_torch(to_torch(network)).output_kind == "independent-logits"
    model = to_onnx(network)
    assert {entry.key: entry.value for entry in model.metadata_props}["neocog.output"] == "independent-logits"
    assert from_onnx(model).output_kind == "independent-logits"


def test_the_loss_of_fit_says_what_the_outputs_are():
    rng = np.random.default_rng(0)
    x, network = rng.normal(size=(12, *SHAPE)), ending()
    neocog.fit(network, (x, rng.normal(size=(12, 3))), loss=neocog.MeanSquaredError(), epochs=1)
    assert network.output_kind == "values"
    neocog.fit(network, (x, rng.integers(2, size=(12, 3))), loss=neocog.BinaryCrossEntropy(), epochs=1)
    assert network.output_kind == "independent-logits"
    assert neocog.evaluate(network, x, np.ones((12, 3), int)) == neocog.evaluate(
        network, x, np.ones((12, 3), int), loss=neocog.BinaryCrossEntropy()
    )
    neocog.fit(network, (x, np.arange(12) % 3), epochs=1)
    assert network.output_kind == "logits"
    assert network.stated_kind is None
    softmax = ending(Softmax())
    neocog.fit(softmax, (x, np.eye(3)[np.arange(12) % 3]), loss=neocog.MeanSquaredError(), epochs=1)
    assert softmax.output_kind == "probabilities"
