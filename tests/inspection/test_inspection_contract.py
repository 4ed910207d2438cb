"""What every function of the package owes its user: nothing changed, the dtype kept, clear errors."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import neocog
from neocog.data.folder import LazyImages
from neocog.inspection.activation_maximization import maximize_activation, most_exciting
from neocog.inspection.attribution import (
    grad_cam,
    gradient_times_input,
    integrated_gradients,
    occlusion,
    saliency,
    smooth_grad,
)
from neocog.inspection.embedding import embedding
from neocog.inspection.filters import dead_units, feature_maps, filters
from neocog.inspection.loss_landscape import loss_landscape
from neocog.inspection.predictions import confusion, least_certain, misclassified
from neocog.inspection.receptive_field import unit_receptive_field
from neocog.inspection.statistics import layer_statistics
from neocog.inspection.trace import trace
from neocog.layers import (
    BatchNorm2D,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool2D,
    LogSoftmax,
    MaxPool2D,
    ReLU,
    Residual,
    Sequential,
    Sigmoid,
    Softmax,
)
from neocog.layers.base import random_generators
from neocog.models import digits_cnn

ATTRIBUTIONS = {
    "saliency": saliency,
    "gradient_times_input": gradient_times_input,
    "smooth_grad": lambda n, x, t=None: smooth_grad(n, x, t, samples=3),
    "integrated_gradients": lambda n, x, t=None: integrated_gradients(n, x, t, steps=3),
    "grad_cam": grad_cam,
    "occlusion": occlusion,
}
FUNCTIONS = ATTRIBUTIONS | {
    "filters": lambda n, x: filters(n),
    "feature_maps": lambda n, x: feature_maps(n, x, "block.body.bn"),
    "dead_units": lambda n, x: dead_units(n, x),
    "statistics": lambda n, x: layer_statistics(trace(n, x, np.arange(6) % 3)),
    "confusion": lambda n, x: confusion(n, x, np.arange(6) % 3),
    "misclassified": lambda n, x: misclassified(n, x, np.arange(6) % 3),
    "least_certain": lambda n, x: least_certain(n, x, np.arange(6) % 3),
    "maximize class": lambda n, x: maximize_activation(n, 1, input_shape=(2, 7, 7), steps=3).image,
    "maximize unit": lambda n, x: maximize_activation(n, 1, "stem", input_shape=(2, 7, 7), steps=3).image,
    "most_exciting": lambda n, x: most_exciting(n, x, "block.body.conv", 1).patches,
    "pca": lambda n, x: embedding(n, x).points,
    "tsne": lambda n, x: embedding(n, x, method="tsne").points,
    "receptive_field": lambda n, x: unit_receptive_field(n, "pool", (0, 0), (2, 7, 7)),
    "loss_landscape": lambda n, x: loss_landscape(n, x, np.arange(6) % 3, steps=3),
}


def build(dtype="float64"):
    rng = np.random.default_rng(1)
    network = Sequential(
        stem=Conv2D(2, 4, 3, padding=1, rng=rng, dtype=dtype),
        relu=ReLU(),
        block=Residual(
            Sequential(
                conv=Conv2D(4, 4, 3, padding=1, groups=2, rng=rng, dtype=dtype),
                bn=BatchNorm2D(4, dtype=dtype),
            )
        ),
        pool=MaxPool2D(2),
        dropout=Dropout(0.5, rng=3),
        flatten=Flatten(),
        dense=Dense(36, 3, rng=rng, dtype=dtype),
    )
    network.buffers["block.body.bn.running_mean"][...] = rng.normal(size=4)
    return network


def images(dtype="float64"):
    return np.random.default_rng(2).normal(size=(6, 2, 7, 7)).astype(dtype)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_nothing_is_changed(name):
    network, x = build(), images()
    arrays = [x, *network.params.values(), *network.buffers.values()]
    before = [array.copy() for array in arrays]
    states = [rng.bit_generator.state for rng in random_generators(network)]
    for array in arrays:
        array.flags.writeable = False  # so that writing and undoing is found too
    FUNCTIONS[name](network, x)
    for array, kept in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, kept)
    assert [rng.bit_generator.state for rng in random_generators(network)] == states
    assert type(network["stem"]) is Conv2D


@pytest.mark.parametrize("name", [*ATTRIBUTIONS, "filters", "feature_maps", "maximize class", "pca"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_computes_in_the_dtype_of_the_network(name, dtype):
    assert FUNCTIONS[name](build(dtype), images()).dtype == dtype


@pytest.mark.parametrize("name", ["smooth_grad", "maximize class", "tsne"])
def test_the_same_twice(name):
    first, second = (FUNCTIONS[name](build(), images()) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("name", ATTRIBUTIONS)
def test_each_image_on_its_own_and_the_predicted_class_by_default(name):
    network, x = build(), images()
    predicted = network.predict(x)
    assert len(set(predicted.tolist())) > 1
    together = ATTRIBUTIONS[name](network, x)
    np.testing.assert_array_equal(ATTRIBUTIONS[name](network, x, predicted), together)
    if name != "smooth_grad":  # whose noise is drawn for the whole batch
        alone = np.concatenate([ATTRIBUTIONS[name](network, x[n : n + 1], predicted[n]) for n in range(6)])
        np.testing.assert_allclose(alone, together, atol=1e-12)


@pytest.mark.parametrize("name", ATTRIBUTIONS)
@pytest.mark.parametrize(
    ("x", "target", "error", "message"),
    [
        (np.zeros((1, 2, 7, 7)), 3, ValueError, r"y must be in 0\.\.2, got 3"),
        (np.zeros((1, 2, 7, 7)), -1, ValueError, r"y must be in 0\.\.2, got -1"),
        (np.zeros((1, 2, 7, 7)), 0.5, TypeError, "y must be integers, got float64"),
        (np.zeros((3, 2, 7, 7)), [0, 1], ValueError, r"y must have shape \(3,\), .* got \(2,\)"),
        (np.zeros((2, 7, 7)), 0, ValueError, r"layer 'stem': .*\(N, C, H, W\), got shape \(2, 7, 7\)"),
        (np.zeros((1, 1, 7, 7)), 0, ValueError, "layer 'stem': Conv2D needs 2 input channels, got 1"),
        (np.zeros((0, 2, 7, 7)), 0, ValueError, "x must not be empty"),
        (np.zeros((1, 2, 7, 7), np.uint8), 0, TypeError, "x must be floating point"),
        (np.full((1, 2, 7, 7), np.nan), 0, ValueError, "x must be finite"),
    ],
)
def test_bad_images_and_targets(name, x, target, error, message):
    with pytest.raises(error, match=message):
        ATTRIBUTIONS[name](build(), x, target)


@pytest.mark.parametrize(
    "ask",
    [
        lambda n, x: filters(n, "stm"),
        lambda n, x: feature_maps(n, x, "stm"),
        lambda n, x: dead_units(n, x, "stm"),
        lambda n, x: grad_cam(n, x, 0, "stm"),
        lambda n, x: maximize_activation(n, 0, "stm", input_shape=(2, 7, 7)),
        lambda n, x: most_exciting(n, x, "stm", 0),
        lambda n, x: embedding(n, x, "stm"),
        lambda n, x: unit_receptive_field(n, "stm", (0, 0), (2, 7, 7)),
    ],
)
def test_an_unknown_layer_names_the_layers_there_are(ask):
    with pytest.raises(ValueError, match=r"layer must be one of 'stem', 'relu', .*Did you mean 'stem'\?"):
        ask(build(), images())


def test_a_layer_of_the_wrong_kind():
    network, x = build(), images()
    with pytest.raises(ValueError, match=r"\['stem', 'block.body.conv'\], got 'relu', which is a ReLU"):
        filters(network, "relu")
    with pytest.raises(ValueError, match="layer must be a ReLU"):
        dead_units(network, x, "stem")
    with pytest.raises(ValueError, match=r"layer must make maps .*'flatten'"):
        grad_cam(network, x, 0, "flatten")
    with pytest.raises(ValueError, match=r"layer must make maps .*'flatten'"):
        most_exciting(network, x, "flatten", 0)
    with pytest.raises(ValueError, match="the network has none"):
        filters(Sequential(Flatten(), Dense(4, 2)))


def test_a_network_whose_outputs_are_no_logits():
    with pytest.raises(ValueError, match=r"must be logits \(N, classes\), got shape \(1, 1, 2, 2\)"):
        saliency(Conv2D(1, 1, 3), np.zeros((1, 1, 4, 4)))
    assert saliency(Sequential(Conv2D(1, 1, 3), GlobalAvgPool2D()), np.zeros((1, 1, 4, 4))).any()


def test_images_may_stay_in_their_files(tmp_path):
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{k}.png" for k in range(6)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (8, 8), dtype=np.uint8)).save(path)
    lazy, network, t = LazyImages(paths, (1, 8, 8)), digits_cnn(classes=3), np.arange(6) % 3
    x = np.asarray(lazy)
    for ask in (
        lambda images: saliency(network, images),
        lambda images: feature_maps(network, images, "conv2", batch_size=4),
        lambda images: dead_units(network, images)["relu2"].mask,
        lambda images: confusion(network, images, t).matrix,
        lambda images: least_certain(network, images, t).probability,
        lambda images: most_exciting(network, images, "conv1", 2, batch_size=4).patches,
        lambda images: embedding(network, images).points,
        lambda images: loss_landscape(network, images, t, directions=1, steps=3).losses,
    ):
        np.testing.assert_array_equal(ask(lazy), ask(x))


def test_importing_loads_numpy_and_the_standard_library_only():
    modules = (
        "activation_maximization arguments attribution embedding filters loss_landscape predictions "
        "receptive_field statistics"
    )
    code = (
        "import sys, numpy.random; before = {m.split('.')[0] for m in sys.modules}\n"
        f"for m in {modules.split()}: __import__('neocog.inspection.' + m)\n"
        "after = {m.split('.')[0] for m in sys.modules}\n"
        "print(sorted(after - before - set(sys.stdlib_module_names)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "['neocog']"


ENDS = {"Softmax": Softmax, "LogSoftmax": LogSoftmax, "Sigmoid": Sigmoid}


def sure(end=None, nested=False):
    """A network whose logits are hundreds apart, with or without a layer that makes probabilities of them."""
    network = build()
    network.params["dense.weight"][...] *= 400
    if end is None:
        return network
    if nested:
        return Sequential(body=network, head=Sequential(end=ENDS[end]()))
    return Sequential(**network.children, end=ENDS[end]())


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("name", ATTRIBUTIONS)
def test_the_logit_is_that_before_the_probabilities(name, end, nested):
    """A network is sure of its images: what its probabilities say of them is zero everywhere."""
    x, y = images(), np.array([0, 1, 2, 0, 1, 2])
    expected = ATTRIBUTIONS[name](sure(), x, y)
    assert np.abs(expected).max() > 1
    np.testing.assert_array_equal(ATTRIBUTIONS[name](sure(end, nested), x, y), expected)
    np.testing.assert_array_equal(
        ATTRIBUTIONS[name](sure(end, nested), x),
        ATTRIBUTIONS[name](sure(), x),  # of the predicted class
    )


@pytest.mark.parametrize("end", ENDS)
def test_a_class_is_maximized_by_its_logit(end):
    arguments = {"input_shape": (2, 7, 7), "steps": 3, "lr": 1e-3}
    ours, logits = (maximize_activation(sure(each), 1, **arguments) for each in (end, None))
    np.testing.assert_array_equal(ours.image, logits.image)


def test_a_softmax_that_is_not_the_last_layer_stays():
    network = Sequential(Flatten(), Softmax(), Dense(4, 2, rng=0, dtype="float64"))
    x = np.random.default_rng(0).normal(size=(3, 1, 2, 2))
    _, cache = network.forward(x)
    expected, _ = network.backward(np.eye(2)[[1, 1, 1]], cache)
    np.testing.assert_array_equal(saliency(network, x, 1), expected)


@pytest.mark.parametrize("name", ATTRIBUTIONS)
def test_a_copy_for_inference_has_the_networks_attributions(name):
    network = build()
    ours = ATTRIBUTIONS[name](network.for_inference(), images(), 1)
    np.testing.assert_allclose(ours, ATTRIBUTIONS[name](network, images(), 1), rtol=0, atol=1e-10)


class Estimator:
    def fit(self, X, y):
        return self

    def predict(self, X):
        return np.zeros(len(X))


@pytest.mark.parametrize(
    ("network", "hint"),
    [
        (Estimator(), "got Estimator; pass its network_, which it has after fit"),
        (torch.nn.Linear(98, 3), "got Linear; convert it with neocog.interop.torch.from_torch"),
        (build, "got function; call it, to pass what it returns"),
        ("network.neocog", "got str"),
    ],
)
@pytest.mark.parametrize(
    "ask",
    [
        *ATTRIBUTIONS.values(),
        lambda n, x: confusion(n, x, np.arange(6) % 3),
        lambda n, x: trace(n, x),
        lambda n, x: neocog.evaluate(n, x, np.arange(6) % 3),
        lambda n, x: neocog.fit(n, (x, np.arange(6) % 3)),
        lambda n, x: neocog.check_gradients(n, x, np.arange(6) % 3),
    ],
)
def test_what_is_no_network_is_named(ask, network, hint):
    with pytest.raises(TypeError, match=f"network must be a neocog Layer, {hint}"):
        ask(network, images())


@pytest.mark.parametrize(
    ("baseline", "error", "message"),
    [
        (np.nan, ValueError, "baseline must be finite, got nan"),
        (np.full((2, 7, 7), np.inf), ValueError, r"baseline must be finite, got inf at index \(0, 0, 0\)"),
        ("black", TypeError, "baseline must be a number or an array of numbers, got <U5"),
        (np.zeros((3, 7, 7)), ValueError, "baseline must broadcast to shape"),
    ],
)
def test_bad_baselines(baseline, error, message):
    with pytest.raises(error, match=message):
        integrated_gradients(build(), images(), 1, baseline=baseline)


@pytest.mark.parametrize("name", ATTRIBUTIONS)
def test_a_network_that_gives_nan_predicts_no_class(name):
    network = build()
    network.params["stem.weight"][0] = np.nan
    with pytest.raises(ValueError, match=r"the network's outputs must be finite, got nan"):
        ATTRIBUTIONS[name](network, images())
