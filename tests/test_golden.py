"""The textbook reproduced: every figure here was computed by its code, not by ours."""

import functools

import numpy as np
import pytest

import neocog
from neocog.training import KernelSnapshots

LINES = {"a": "make_dataset_bundle_3", "b": "make_dataset_3"}


def assert_described(array, description, tolerance=1e-12):
    """Compare an array with its shape, sums and values in the golden file."""
    array = np.asarray(array)
    assert list(array.shape) == description["shape"]
    assert array.sum() == pytest.approx(description["sum"], abs=tolerance * max(1, array.size))
    assert np.abs(array).sum() == pytest.approx(description["abs_sum"], abs=tolerance * max(1, array.size))
    assert array.ravel()[:5].tolist() == pytest.approx(description["first5"], abs=tolerance)
    if "values" in description:
        np.testing.assert_allclose(array, description["values"], rtol=0, atol=tolerance)


@pytest.fixture(params=["reference", "im2col"])
def kernels(request):
    with neocog.use_kernels(request.param):
        yield request.param


# Data


@pytest.mark.parametrize("name", ["vertical", "horizontal", "diagonal", "dot"])
def test_base_patterns(golden, name):
    expected = golden["datasets"]["base_patterns_8"][name]
    assert neocog.data.base_pattern(name).tolist() == expected


@pytest.mark.parametrize("protocol", ["a", "b"])
def test_line_patterns(golden, protocol):
    expected = golden["datasets"][LINES[protocol]]
    split = neocog.data.line_patterns(protocol)
    assert list(split.class_names) == expected["class_names"]
    for part, images, labels in (
        ("train", *split.train),
        ("val", *split.validation),
    ):
        x = expected[f"x_{part}"]
        assert list(images.shape) == x["shape"]
        assert images.sum() == pytest.approx(x["sum"], rel=1e-14)
        assert (images**2).sum() == pytest.approx(x["sum_sq"], rel=1e-14)
        assert images[0, 0, 0].tolist() == x["first_image_first_row"]
        assert images[0].sum() == pytest.approx(x["first_image_sum"], rel=1e-14)
        assert np.bincount(labels).tolist() == expected[f"y_{part}_counts"]
        assert labels[:20].tolist() == expected[f"y_{part}_first20"]
        if f"per_class_pixel_sum_{part}" in expected:
            sums = [images[labels == k].sum() for k in range(3)]
            assert sums == pytest.approx(expected[f"per_class_pixel_sum_{part}"], rel=1e-14)
    x = expected["x_train"]
    assert split.train[0][-1, 0, -1].tolist() == x["last_image_last_row"]
    assert np.count_nonzero(split.train[0] == 0) == x["n_exact_0"]
    assert np.count_nonzero(split.train[0] == 1) == x["n_exact_1"]


def test_digits_data(golden):
    expected = golden["digits"]["data"]
    (x, y), (x_test, y_test) = neocog.data.digits()
    assert list(x.shape) == expected["X_train_shape"]
    assert list(x_test.shape) == expected["X_test_shape"]
    assert x.dtype == np.float32
    assert float(x.sum(dtype=np.float64)) == expected["X_train_sum"]
    assert float(x_test.sum(dtype=np.float64)) == expected["X_test_sum"]
    assert np.bincount(y).tolist() == expected["y_train_counts"]
    assert np.bincount(y_test).tolist() == expected["y_test_counts"]
    assert x[0, 0].tolist() == expected["first_train_image"]
    assert y[:20].tolist() == expected["y_train_first20"]
    assert y_test[:20].tolist() == expected["y_test_first20"]


# Chapter 23


def test_tiny_cnn_shapes_and_parameters(golden):
    expected = golden["chapter23"]
    summary = neocog.models.tiny_cnn(42).summary((1, 1, 8, 8), show=False)
    shapes = {row.layer.partition("(")[0]: list(row.output_shape) for row in summary.rows}
    assert {"Input": list(summary.input_shape), **shapes} == expected["shapes"]
    counts = {row.name: row.parameters for row in summary.rows if row.parameters}
    assert counts == {"conv1": 30, "dense": 84}
    assert summary.parameters == expected["parameter_counts"]["total"] == 114


def test_tiny_cnn_initial_weights(golden):
    expected = golden["chapter23"]["init_seed42"]
    params = neocog.models.tiny_cnn(42).params
    assert_described(params["conv1.weight"], expected["conv_weights"], 0)
    assert_described(params["dense.weight"], expected["dense_weights"], 0)
    assert not params["conv1.bias"].any()
    assert not params["dense.bias"].any()


def test_untrained_tiny_cnn(golden, kernels):
    expected = golden["chapter23"]
    network, data = neocog.models.tiny_cnn(42), neocog.data.line_patterns("a")
    assert neocog.evaluate(network, *data.train).accuracy == expected["untrained_train_acc"]
    assert neocog.evaluate(network, *data.validation).accuracy == expected["untrained_val_acc"]
    predictions = network.predict(data.validation[0])
    assert np.bincount(predictions, minlength=3).tolist() == expected["untrained_pred_counts_val"]
    logits = network(data.validation[0][:1])
    np.testing.assert_allclose(logits, expected["untrained_logits_first_val"], rtol=0, atol=1e-13)


def test_max_pooling_of_the_book(golden, kernels):
    expected = golden["chapter23"]["pool_demo"]
    x = np.array(expected["input"])[None, None]
    layer = neocog.MaxPool2D(2)
    y, cache = layer.forward(x)
    assert y[0, 0].tolist() == expected["output"]
    winners, _ = layer.backward(np.ones_like(y), cache)
    # The book marks every maximum of a window; on a tie ours marks the first, so ours lies within its marks.
    assert np.all(winners[0, 0] <= np.array(expected["mask"]))
    assert winners.sum() == 9


# Chapter 24


def test_gradient_check_of_the_book(golden, kernels):
    expected = golden["chapter24"]["gradient_check"]
    network = neocog.models.tiny_cnn(seed=99)
    x = np.random.default_rng(123).normal(0, 1, (4, 1, 8, 8))
    y = np.array([0, 1, 2, 1])
    report = neocog.check_gradients(network, x, y, method="central")
    assert report.passed
    assert report.loss == pytest.approx(expected["loss"], abs=1e-14)
    assert [array.name for array in report.arrays][-1] == "input"  # the book's check never gets there

    z, cache = network.forward(x, training=True)
    _, dz = neocog.SoftmaxCrossEntropy()(z, y)
    _, grads = network.backward(dz, cache)
    names = {
        "conv1.weight": "conv_weights",
        "conv1.bias": "conv_bias",
        "dense.weight": "dense_weights",
        "dense.bias": "dense_bias",
    }
    for ours, theirs in names.items():
        assert_described(grads[ours], expected[theirs]["analytic"], 1e-13)


def test_training_of_chapter_24(golden, kernels):
    expected = golden["chapter24"]
    network = neocog.models.tiny_cnn(seed=42)
    data = neocog.data.line_patterns("a")
    kernels_along_the_way = KernelSnapshots((0, 1, 5, 15, 40, 79))
    history = neocog.fit(
        network,
        data,
        optimizer=neocog.SGD(lr=0.12),
        epochs=80,
        batch_size=18,
        rng=0,
        callbacks=[kernels_along_the_way],
    )
    curves = expected["history"]
    np.testing.assert_allclose(history["running_loss"][1:], curves["train_loss"], rtol=0, atol=1e-12)
    np.testing.assert_allclose(history["val_loss"][1:], curves["val_loss"], rtol=0, atol=1e-12)
    assert history["train_accuracy"][1:] == curves["train_acc"]
    assert history["val_accuracy"][1:] == curves["val_acc"]
    final = expected["train_loss_after_training_on_full_train_set"]
    assert history["train_loss"][-1] == pytest.approx(final, abs=1e-12)

    assert_described(network.params["conv1.weight"], expected["final"]["conv_weights"])
    assert_described(network.params["conv1.bias"], expected["final"]["conv_bias"])
    assert_described(network.params["dense.weight"], expected["final"]["dense_weights"])
    assert_described(network.params["dense.bias"], expected["final"]["dense_bias"])
    for epoch, kernel in expected["kernel_snapshots"].items():
        assert_described(kernels_along_the_way.snapshots[int(epoch)], kernel)
    # 79 is before the last epoch; the final kernels are kept, too.
    np.testing.assert_array_equal(kernels_along_the_way.snapshots[80], network.params["conv1.weight"])

    images, labels = data.validation
    np.testing.assert_allclose(network(images[:1]), expected["final_logits_first_val"], rtol=0, atol=1e-12)
    confusion = np.zeros((3, 3), int)
    np.add.at(confusion, (labels, network.predict(images)), 1)
    assert confusion.tolist() == expected["confusion_matrix_val"]


# Chapter 25


@functools.cache
def trained(key, kernels):
    """A network of the chapter, trained by the kernels in use, with its history."""
    make, rng = {
        "cnn_3class": (lambda: neocog.models.tiny_cnn(seed=3), 11),
        "mlp_3class": (lambda: neocog.models.tiny_mlp(seed=5), 13),
    }[key]
    network, data, optimizer = make(), neocog.data.line_patterns("b"), neocog.SGD(lr=0.12)
    return network, neocog.fit(network, data, optimizer=optimizer, epochs=80, batch_size=18, rng=rng)


@pytest.mark.parametrize("key", ["cnn_3class", "mlp_3class"])
def test_training_of_chapter_25(golden, kernels, key):
    expected = golden["chapter25"][key]
    network, history = trained(key, kernels)
    assert network.parameter_count == expected["total_parameters"]
    curves = expected["history"]
    np.testing.assert_allclose(history["train_loss"], curves["train_loss"], rtol=0, atol=1e-12)
    assert history["train_accuracy"] == curves["train_acc"]
    assert history["val_accuracy"] == curves["val_acc"]
    assert history["val_loss"][-1] == pytest.approx(expected["final_val_loss"], abs=1e-12)
    assert history["val_accuracy"].index(1.0) == expected["first_epoch_val_acc_1"]
    layers = {"cnn_3class": ("conv1", "dense"), "mlp_3class": ("dense1", "dense2")}[key]
    names = {"cnn_3class": ("conv", "dense"), "mlp_3class": ("hidden", "output")}[key]
    for layer, name in zip(layers, names, strict=True):
        assert_described(network.params[f"{layer}.weight"], expected["final"][f"{name}_weights"])
        assert_described(network.params[f"{layer}.bias"], expected["final"][f"{name}_bias"])


@pytest.mark.parametrize("make", [neocog.models.tiny_cnn, neocog.models.tiny_mlp])
def test_fourth_class(make):
    classes = ("vertical", "horizontal", "diagonal", "dot")
    cnn = make is neocog.models.tiny_cnn
    network = make(seed=3 if cnn else 5, classes=4)
    assert network.parameter_count == (142 if cnn else 1246)
    history = neocog.fit(
        network,
        neocog.data.line_patterns("b", classes=classes),
        optimizer=neocog.SGD(lr=0.12),
        epochs=80,
        batch_size=18,
        rng=11 if cnn else 13,
    )
    assert history["val_accuracy"][-1] == 1.0


def test_inference_trace(golden, kernels):
    expected = golden["chapter25"]["inference_trace"]
    (network, _), data = trained("cnn_3class", kernels), neocog.data.line_patterns("b")
    image = data.validation[0][expected["val_index"]][None]
    assert image[0, 0].tolist() == expected["input"]
    seen = {}

    def visit(name, layer, x):
        seen[name] = layer(x)
        return seen[name]

    network.walk(visit, image)
    for ours, theirs in {"conv1": "conv", "relu1": "relu", "pool1": "pool"}.items():
        assert list(seen[ours].shape) == expected["shapes"][theirs]
        np.testing.assert_allclose(seen[ours][0], expected[theirs], rtol=0, atol=1e-12)
    np.testing.assert_allclose(seen["dense"][0], expected["logits"], rtol=0, atol=1e-12)
    np.testing.assert_allclose(network.predict_proba(image)[0], expected["probs"], rtol=0, atol=1e-12)
    assert data.class_names[network.predict(image)[0]] == expected["predicted"]


# The notebook's digits


# The slow kernels are shown to train alike by the chapters above.
@pytest.mark.parametrize(
    "kernels", [pytest.param("reference", marks=pytest.mark.nightly), "im2col"], indirect=True
)
def test_ten_epochs_of_digits(golden, kernels):
    expected = golden["digits"]
    rng = np.random.default_rng(42)
    sample = rng.choice(1347, 36, replace=False)
    assert sample[:10].tolist() == expected["data"]["sample_idx_first10"]
    network, data = neocog.models.digits_cnn(seed=42), neocog.data.digits()
    counts = expected["parameter_counts"]
    assert network.parameter_count == counts["numpy_total"] == 1898
    history = neocog.fit(
        network,
        data,
        optimizer=neocog.SGD(lr=0.05, momentum=0.9, weight_decay=1e-4),
        epochs=10,
        batch_size=64,
        rng=rng,
    )
    curves = expected["numpy_10"]["history"]
    np.testing.assert_allclose(history["running_loss"][1:], curves["loss"], rtol=0, atol=1e-5)
    assert history["train_accuracy"][1:] == curves["train_acc"]
    assert history["val_accuracy"][1:] == curves["test_acc"]

    images, labels = data.test
    predicted = network.predict(images)
    wrong = [[int(i), int(labels[i]), int(predicted[i])] for i in np.flatnonzero(predicted != labels)]
    assert len(wrong) == 13
    assert wrong == expected["numpy_10"]["misclassified (test index, true, pred)"]
    confusion = np.zeros((10, 10), int)
    np.add.at(confusion, (labels, predicted), 1)
    assert confusion.tolist() == expected["numpy_10"]["confusion_matrix_test"]
    for layer, name in (("conv1", "conv1"), ("conv2", "conv2"), ("dense", "fc")):
        for ours, theirs in (("weight", "W"), ("bias", "b")):
            array = network.params[f"{layer}.{ours}"]
            first5 = expected["numpy_10"]["weights"][name][theirs]["first5"]
            np.testing.assert_allclose(array.ravel()[:5], first5, rtol=0, atol=1e-4)


def test_sobel_on_the_first_digit(golden, kernels):
    expected = golden["digits"]["sobel_demo"]
    (x, y), _ = neocog.data.digits()
    assert int(y[0]) == expected["label_of_image"]
    sobel = neocog.Conv2D(1, 2, 3, padding=1, bias=False, dtype="float64")
    kx = np.array([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]])
    sobel.params["weight"][:, 0] = kx, kx.T
    answer = sobel(x[:1].astype(float))[0]
    assert answer[0].tolist() == expected["fx_kx_padding1"]
    assert answer[1].tolist() == expected["fy_ky_padding1"]
