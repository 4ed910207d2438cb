import copy
import functools
import inspect
import io
import os
import pickle
import re
import signal
import subprocess
import sys
from typing import ClassVar

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
import torch.nn.functional as F
from scipy.sparse import csr_array
from scipy.special import expit, log_softmax, softmax
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits
from sklearn.ensemble import AdaBoostClassifier, BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.inspection import permutation_importance
from sklearn.metrics import accuracy_score, log_loss, r2_score
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    cross_val_score,
    cross_validate,
    train_test_split,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputRegressor
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler
from sklearn.svm import SVC
from sklearn.utils import get_tags
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.estimator_checks import parametrize_with_checks

import neocog
from neocog import ConvNetClassifier, ConvNetRegressor
from neocog.data import Affine, Shift
from neocog.inspection import explain
from neocog.kernels import active_kernels, get_threads, use_kernels
from neocog.training import Callback, History, KernelSnapshots, NonFiniteLossError, Progress
from neocog.training.by_name import SCHEDULES

BOTH = pytest.mark.parametrize("estimator", [ConvNetClassifier, ConvNetRegressor])


@pytest.fixture(scope="module")
def threes():
    """The digits 0, 1 and 2, 0..1: 150 images to train on, 387 to test with."""
    X, y = load_digits(n_class=3, return_X_y=True)
    return X[:150] / 16, y[:150], X[150:] / 16, y[150:]


def quick(estimator=ConvNetClassifier, **changes):
    small = {} if changes.get("network") is not None else {"filters": (4,)}
    plain = {"image_shape": (8, 8), "epochs": 4, "lr": 0.02, "schedule": "constant", "random_state": 0}
    return estimator(**plain | small | changes)


def linear(outputs=3, features=64, **arguments):
    dense = neocog.Dense(features, outputs, rng=0, dtype="float64")
    return neocog.Sequential(neocog.Flatten(), **arguments, dense=dense)


def weights(model):
    return np.concatenate([array.ravel() for array in model.network_.params.values()])


# scikit-learn's own judgement. Of the estimators as they come nothing is expected to fail.


def of_both(*settings):
    return [kind(**each) for each in settings for kind in (ConvNetClassifier, ConvNetRegressor)]


def expected_failures(estimator):
    if not estimator.early_stopping:
        return {}
    return {
        "check_sample_weight_equivalence_on_dense_data": "what is held out is chosen among other rows, when "
        "images come twice instead of weighing 2"
    }


@parametrize_with_checks(
    [*of_both({}), ConvNetClassifier(early_stopping=True)], expected_failed_checks=expected_failures
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


OTHERS = of_both({"optimizer": "sgd", "lr": 0.005}, {"schedule": "constant"})


@pytest.mark.nightly
@parametrize_with_checks(
    [*OTHERS, ConvNetRegressor(early_stopping=True)], expected_failed_checks=expected_failures
)
def test_scikit_learn_checks_of_other_settings(estimator, check):
    check(estimator)


@pytest.mark.skipif(
    sklearn.__version__ < "1.9", reason="scikit-learn's check takes other arguments before 1.9"
)
def test_scikit_learn_check_of_array_api_input():
    # scikit-learn skips it unless SciPy was told before its import.
    code = (
        "from sklearn.utils.estimator_checks import check_array_api_input as check\n"
        "import neocog\n"
        "for model in neocog.ConvNetClassifier(), neocog.ConvNetRegressor():\n"
        "    check('x', model, array_namespace='numpy', expect_only_array_outputs=False)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"SCIPY_ARRAY_API": "1"})


def test_tags_and_import():
    assert is_classifier(ConvNetClassifier())
    assert is_regressor(ConvNetRegressor())
    assert get_tags(ConvNetClassifier()).input_tags.three_d_array
    assert get_tags(ConvNetRegressor()).target_tags.multi_output
    assert {"ConvNetClassifier", "ConvNetRegressor"} <= set(dir(neocog))
    with pytest.raises(AttributeError, match="no attribute 'ConvNetTransformer'"):
        neocog.ConvNetTransformer  # noqa: B018


# It learns


@pytest.mark.nightly  # the example of ConvNetClassifier does so with another part held out
@pytest.mark.parametrize("scale", [16, 1])
def test_digits_by_the_defaults(scale):
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    train, test = order[:1347], order[1347:]
    model = ConvNetClassifier(image_shape=(8, 8), random_state=0).fit(X[train] / scale, y[train])
    assert model.score(X[test] / scale, y[test]) > (0.97 if scale == 16 else 0.95)


def test_a_regressor_finds_a_spot_in_any_units(rng):
    y = rng.uniform(1, 6, (300, 2))
    distance = np.indices((8, 8)).transpose(1, 2, 0)[None] - y[:, None, None, :]
    X = np.exp(-(distance**2).sum(axis=-1) / 2)
    model = ConvNetRegressor(random_state=0).fit(X[:200], y[:200])
    assert model.score(X[200:], y[200:]) > 0.98
    assert model.predict(X[200:]).shape == (100, 2)
    assert model.n_outputs_ == 2

    millions = ConvNetRegressor(random_state=0).fit(X[:200], 1e6 * y[:200] - 3e7)
    np.testing.assert_allclose(millions.predict(X), 1e6 * model.predict(X) - 3e7, rtol=1e-6)
    # The trained network itself speaks in the units of y, and the loss is 1 - R^2 of training.
    assert list(millions.network_.children)[-2:] == ["dense", "units_of_y"]
    np.testing.assert_allclose(millions.network_(X[:, None]), millions.predict(X))
    r2 = r2_score(y[:200], model.predict(X[:200]), multioutput="uniform_average")
    assert model.history_["train_loss"][-1] == pytest.approx(1 - r2, rel=1e-9)


def test_large_targets_lose_nothing_in_float32(threes):
    X, y, X_test, y_test = threes
    X, X_test = X.astype("float32"), X_test.astype("float32")
    near = quick(ConvNetRegressor, epochs=30).fit(X, y)
    with pytest.warns(
        UserWarning, match=r"network_ alone computes in float32, too roughly for y of 30000001"
    ):
        far = quick(ConvNetRegressor, epochs=30).fit(X, 3e7 + y)
    np.testing.assert_allclose(far.predict(X_test) - 3e7, near.predict(X_test), atol=1e-3)
    assert far.score(X_test, 3e7 + y_test) > 0.8
    again = pickle.loads(pickle.dumps(far))
    far.set_params(warm_start=True, epochs=1, lr=1e-12, weight_decay=0).fit(X, 3e7 + y)
    np.testing.assert_allclose(far.predict(X_test), again.predict(X_test), rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match=r"y must be well within the range of float32, .* about .*e\+39"):
        quick(ConvNetRegressor).fit(X, 1e39 * y)
    with pytest.raises(ValueError, match=r"y must be well within the range of float64, .*; divide y\.$"):
        quick(ConvNetRegressor).fit(X.astype(float), 1e306 * y)
    huge = quick(ConvNetRegressor, epochs=30).fit(X.astype(float), 1e39 * y)
    assert huge.score(X_test, 1e39 * y_test) > 0.8


def test_the_network_of_a_regressor_begins_another(threes, tmp_path):
    X, y, X_test, _ = threes
    y = np.stack([1000 + 100 * y, -y], axis=1)
    first = quick(ConvNetRegressor, epochs=20).fit(X, y)
    neocog.save(first.network_, tmp_path / "first.neocog")
    loaded = neocog.load(tmp_path / "first.neocog")
    np.testing.assert_allclose(loaded(X_test.reshape(-1, 1, 8, 8)), first.predict(X_test), rtol=1e-9)
    still = {"epochs": 1, "lr": 1e-12, "weight_decay": 0}
    for template in (first.network_, loaded, lambda: loaded):
        for targets in (y, 7 * y[::-1] - 3):  # in whatever units the new targets are
            further = quick(ConvNetRegressor, network=template, **still).fit(X, targets)
            np.testing.assert_allclose(further.predict(X_test), first.predict(X_test), rtol=1e-6, atol=1e-7)
            assert list(further.network_.children) == list(first.network_.children)
    assert further.fit(X, y).set_params(lr=0.002).partial_fit(X, y).score(X, y) > 0.8


def test_the_network_of_a_classifier_may_learn_numbers(threes):
    X, y, X_test, y_test = threes
    first = quick(epochs=10).fit(X, y)
    numbers = np.eye(3)
    model = quick(ConvNetRegressor, network=first.network_, early_stopping=True, epochs=30).fit(X, numbers[y])
    assert model.score(X_test, numbers[y_test]) > 0.7
    assert model.network_.class_names is None


def test_targets_of_one_column_and_constant_targets(threes):
    X, y, *_ = threes
    flat, column = quick(ConvNetRegressor).fit(X, y), quick(ConvNetRegressor).fit(X, y[:, None])
    np.testing.assert_array_equal(flat.predict(X)[:, None], column.predict(X))
    constant = quick(ConvNetRegressor, epochs=40).fit(X, np.full(len(X), 0.1))
    np.testing.assert_allclose(constant.predict(X), 0.1, atol=0.02)
    zero = quick(ConvNetRegressor, epochs=40).fit(X, np.zeros(len(X)))
    np.testing.assert_allclose(zero.predict(X), 0, atol=0.2)


# X


def test_flat_3d_and_4d_images_are_one(threes):
    X, y, *_ = threes
    flat = quick().fit(X, y)
    grey = quick(image_shape=None).fit(X.reshape(-1, 8, 8), y)
    full = quick(image_shape=(1, 8, 8)).fit(X.reshape(-1, 1, 8, 8), y)
    lists = quick(image_shape=None).fit(X.reshape(-1, 8, 8).tolist(), y.tolist())
    fortran = quick().fit(np.asfortranarray(X), y)
    for model in (grey, full, lists, fortran):
        np.testing.assert_array_equal(weights(model), weights(flat))
        assert model.image_shape_ == (1, 8, 8)
        assert model.n_features_in_ == 64
    # ... and in use one may stand for the other.
    np.testing.assert_array_equal(flat.predict_proba(X.reshape(-1, 8, 8)), grey.predict_proba(X))


def test_a_table_without_image_shape_is_a_line(threes):
    X, y, *_ = threes
    model = quick(image_shape=None).fit(X, y)
    assert model.image_shape_ == model.network_.input_shape == (1, 1, 64)
    with pytest.raises(ValueError, match=r"X must hold images of shape \(1, 1, 64\), as they were in fit"):
        model.predict(X.reshape(-1, 8, 8))


def test_channels(rng):
    X = rng.random((30, 3, 5, 4))
    y = (X[:, 2].mean(axis=(1, 2)) > 0.5).astype(int)
    model = quick(image_shape=None).fit(X, y)
    table = quick(image_shape=(3, 5, 4)).fit(X.reshape(30, -1), y)
    assert model.image_shape_ == (3, 5, 4)
    np.testing.assert_array_equal(weights(model), weights(table))
    with pytest.raises(ValueError, match=r"channels seem to come last; pass X\.transpose\(0, 3, 1, 2\)"):
        quick(image_shape=None).fit(rng.random((30, 8, 8, 3)), y)
    assert quick(image_shape=(8, 8, 3)).fit(rng.random((30, 8, 8, 3)), y).image_shape_ == (8, 8, 3)
    message = r"got \(8, 8, 3\), in which the channels seem to come last; pass X.reshape\(-1, 8, 8, 3\).trans"
    with pytest.raises(ValueError, match=message):
        quick(image_shape=(8, 8, 3)).fit(rng.random((30, 192)), y)


def test_uint8_are_pixels(rng):
    pixels = rng.integers(0, 256, (40, 8, 8), dtype=np.uint8)
    y = np.arange(40) % 2
    model = quick().fit(pixels, y)
    same = quick().fit((pixels / 255).astype("float32"), y)
    np.testing.assert_array_equal(weights(model), weights(same))
    assert model.network_.dtype == np.float32
    np.testing.assert_array_equal(model.predict_proba(pixels), model.predict_proba(pixels.reshape(40, -1)))
    np.testing.assert_array_equal(
        model.predict_proba(pixels), model.predict_proba(pd.DataFrame(pixels.reshape(40, -1)))
    )
    # Integers of another type are numbers like all others.
    wide = quick().fit(pixels.astype(int), y)
    np.testing.assert_array_equal(weights(wide), weights(quick().fit(pixels.astype(float), y)))


def test_pixels_stay_pixels(rng):
    """What fit has divided by 255 predict does not take as it is, nor the other way round."""
    pixels = rng.integers(0, 256, (40, 8, 8), dtype=np.uint8)
    y = np.arange(40) % 2
    model = quick(warm_start=True).fit(pixels, y)
    for other in (pixels.astype(int), pixels.astype(float), pixels.tolist(), pixels / 127.5 - 1):
        for use in (model.predict, lambda X: model.fit(X, y), lambda X: model.partial_fit(X, y)):
            with pytest.raises(
                ValueError, match="X must be uint8 pixels, as X in fit, or pixels divided by 255"
            ):
                use(other)
    np.testing.assert_allclose(model.predict_proba(pixels / 255), model.predict_proba(pixels), atol=1e-5)
    numbers = quick().fit(pixels / 255, y)
    with pytest.raises(ValueError, match=r"X must not be uint8, .* pass X / 255, or X.astype\(float\)"):
        numbers.predict(pixels)
    numbers.fit(pixels, y).predict(pixels)  # a new fit decides anew


def test_a_mask_in_uint8_is_not_divided(rng):
    mask = rng.integers(0, 2, (40, 8, 8), dtype=np.uint8)
    y = np.arange(40) % 2
    model = quick(warm_start=True).fit(mask, y)
    np.testing.assert_array_equal(weights(model), weights(quick().fit(mask.astype("float32"), y)))
    np.testing.assert_allclose(model.predict_proba(mask), model.predict_proba(mask > 0), atol=1e-5)
    for other in (255 * mask, 2.0 * mask, 0.0 - mask):
        for use in (model.predict, lambda X: model.fit(X, y), lambda X: model.partial_fit(X, y)):
            with pytest.raises(ValueError, match="X must be uint8 0 and 1, as X in fit, got"):
                use(other)
    pixels = quick().fit(255 * mask, y)  # which may hold nothing above 1 in predict: they are divided, too
    np.testing.assert_allclose(pixels.predict_proba(mask), pixels.predict_proba(mask / 255), atol=1e-5)


@pytest.mark.parametrize("channels", [2, 5, 13])
def test_any_number_of_channels_that_comes_last_is_refused(rng, channels):
    X, y = rng.random((30, 16, 16, channels)), np.arange(30) % 2
    with pytest.raises(
        ValueError, match=r"got images of shape \(16, 16, \d+\), whose channels seem to come last"
    ):
        quick(image_shape=None).fit(X, y)
    assert quick(image_shape=None).fit(X.transpose(0, 3, 1, 2), y).image_shape_ == (channels, 16, 16)
    assert quick(image_shape=X.shape[1:]).fit(X, y).image_shape_ == (16, 16, channels)


def test_the_dtype_of_x_is_that_of_the_network(threes):
    X, y, *_ = threes
    single, double = quick().fit(X.astype("float32"), y), quick().fit(X, y)
    swapped = quick().fit(X.astype(np.dtype("float32").newbyteorder()), y)  # as FITS files have it
    np.testing.assert_array_equal(swapped.predict_proba(X), single.predict_proba(X))
    assert single.predict_proba(X).dtype == np.float32
    assert double.predict_proba(X).dtype == np.float64
    np.testing.assert_allclose(single.predict_proba(X), double.predict_proba(X), atol=1e-4)


def test_x_may_be_read_only_and_in_a_file(threes, tmp_path):
    X, y, *_ = threes
    joblib.dump(X.reshape(-1, 1, 8, 8).astype("float32"), tmp_path / "X")
    images = joblib.load(tmp_path / "X", mmap_mode="r")
    assert isinstance(images, np.memmap)
    for kernels in ("im2col", "fused"):
        model = quick(image_shape=None, kernels=kernels).fit(images, y).partial_fit(images, y)
        same = quick(kernels=kernels).fit(X.astype("float32"), y).partial_fit(X.astype("float32"), y)
        np.testing.assert_array_equal(model.predict_proba(images), same.predict_proba(images))


def test_x_is_not_changed(threes):
    X, y, *_ = threes
    before = X.copy()
    quick(augment=Shift(1)).fit(X, y).partial_fit(X, y).predict(X)
    np.testing.assert_array_equal(X, before)


# The network


def test_the_ways_to_name_a_network(threes):
    X, y, *_ = threes
    kinds = {
        "digits-cnn": 2,
        "small-cnn": 3,
        "tiny-cnn": 1,
        "tiny-mlp": 0,
        neocog.models.digits_cnn: 2,
        functools.partial(neocog.models.resnet_cifar, 8): 7,
    }
    for network, convolutions in kinds.items():
        model = quick(network=network, epochs=1).fit(X, y)
        found = [leaf for _, leaf in model.network_.leaves() if type(leaf) is neocog.Conv2D]
        assert len(found) == convolutions
        assert model.network_.input_shape == (1, 8, 8)
        assert model.network_.class_names == ("0", "1", "2")
        assert model.network_.dtype == np.float64


def test_a_function_gets_the_arguments_that_it_has(threes):
    X, y, *_ = threes
    seen = {}

    def build(image_shape, outputs, rng, dtype, unknown="default"):
        seen.update(image_shape=image_shape, outputs=outputs, rng=rng, dtype=dtype, unknown=unknown)
        return neocog.Sequential(neocog.Flatten(), neocog.Dense(64, outputs, rng=rng, dtype=dtype))

    models = [quick(network=build).fit(X, y) for _ in range(2)]
    np.testing.assert_array_equal(weights(models[0]), weights(models[1]))
    assert isinstance(seen.pop("rng"), np.random.Generator)
    assert seen == {"image_shape": (1, 8, 8), "outputs": 3, "dtype": np.float64, "unknown": "default"}

    def build_of_all(**offered):
        assert set(offered) == {"image_shape", "classes", "outputs", "seed", "rng", "dtype"}
        return linear(offered["classes"])

    assert quick(network=build_of_all).fit(X, y).score(X, y) > 0.9


def test_filters_are_given_as_hidden_layer_sizes_are(threes):
    X, y, *_ = threes
    expected = weights(quick(filters=(4,)).fit(X, y))
    for filters in (4, [4], np.array([4]), np.int64(4)):
        np.testing.assert_array_equal(weights(quick(filters=filters).fit(X, y)), expected)
    suited = quick(filters=None).fit(X, y)
    assert weights(suited).size == weights(quick(filters=(32, 64)).fit(X, y)).size


def test_the_default_network_holds_the_statistics_of_the_weighted_images(threes):
    X, y, *_ = threes
    weight = np.arange(len(X)) % 3
    norm = quick().fit(X, y, weight).network_["normalize"]
    seen = np.repeat(X, weight, axis=0)
    np.testing.assert_allclose(norm.buffers["mean"], [seen.mean()], rtol=1e-12)
    np.testing.assert_allclose(norm.buffers["std"], [seen.std()], rtol=1e-12)


def test_dropout_draws_by_random_state(threes):
    X, y, *_ = threes

    def build(classes, seed):
        return linear(classes, drop=neocog.Dropout(0.5))  # of a generator that nothing has seeded

    for network in (build, linear(drop=neocog.Dropout(0.5))):
        first, again, other = (quick(network=network, random_state=k).fit(X, y) for k in (0, 0, 1))
        np.testing.assert_array_equal(weights(first), weights(again))
        assert not np.array_equal(weights(first), weights(other))
    shared = np.random.default_rng()
    twice = linear(one=neocog.Dropout(0.5, rng=shared), two=neocog.Dropout(0.5, rng=shared))
    model = quick(network=twice).fit(X, y)
    assert model.network_["one"].rng is model.network_["two"].rng is not shared


def test_a_network_must_end_in_logits(threes):
    X, y, *_ = threes
    model = quick(network=neocog.Sequential(*linear(), neocog.Softmax()))
    for train in (model.fit, functools.partial(model.partial_fit, classes=[0, 1, 2])):
        with pytest.raises(ValueError, match=r"network must end in logits.*network.without_softmax\(\)"):
            train(X, y)


def test_a_network_is_where_each_fit_begins(threes):
    X, y, *_ = threes
    first = quick().fit(X, y)
    before = weights(first).copy()
    further = quick(network=first.network_, epochs=1, lr=1e-12, weight_decay=0).fit(X, y)
    np.testing.assert_allclose(weights(further), before, atol=1e-9)
    quick(network=first.network_).fit(X, y)
    np.testing.assert_array_equal(weights(first), before)
    always = first.network_
    quick(network=lambda: always).fit(X, y)  # a function that gives the same one each time
    np.testing.assert_array_equal(weights(first), before)
    assert clone(further).get_params()["network"] is not first.network_


def test_a_single_layer_is_a_network(threes):
    X, y, *_ = threes
    layer = neocog.Dense(64, 3, rng=0)
    chain = neocog.Sequential(neocog.Flatten(), layer)
    model = quick(network=lambda: chain).fit(X, y)
    assert model.score(X, y) > 0.9


def test_a_regression_network_that_ends_otherwise_gets_a_dense_layer(threes):
    X, y, X_test, y_test = threes
    ends = {
        "sigmoid": neocog.Sequential(
            neocog.Flatten(), neocog.Dense(64, 1, rng=0, dtype="float64"), neocog.Sigmoid()
        ),
        "no bias": neocog.Sequential(neocog.Flatten(), neocog.Dense(64, 1, bias=False, rng=0)),
        "nested": neocog.Sequential(neocog.Flatten(), neocog.Sequential(neocog.Dense(64, 1, rng=0))),
    }
    for network in ends.values():
        model = quick(ConvNetRegressor, network=network, epochs=20).fit(X, 100 + 50 * y)
        assert [name for name, _ in model.network_.leaves()][-2:] == ["dense", "units_of_y"]
        assert model.score(X_test, 100 + 50 * y_test) > 0.7
        np.testing.assert_allclose(
            model.network_(X_test.reshape(-1, 1, 8, 8))[:, 0], model.predict(X_test), rtol=1e-5
        )
    plain = neocog.Sequential(neocog.Flatten(), neocog.Dense(64, 1, rng=0))
    assert len(quick(ConvNetRegressor, network=plain).fit(X, y).network_) == 3


def test_the_trained_network_is_neocogs(threes, tmp_path):
    X, y, X_test, _ = threes
    model = quick().fit(X, np.array(["nought", "one", "two"])[y])
    neocog.save(model.network_, tmp_path / "model.neocog")
    network = neocog.load(tmp_path / "model.neocog")
    assert network.class_names == ("nought", "one", "two")
    images = X_test.reshape(-1, 1, 8, 8)
    np.testing.assert_array_equal(network.predict_proba(images), model.predict_proba(X_test))
    answer = explain(network, images[:1], at="dense", index=(0, 1))
    assert answer.value == pytest.approx(network.predict_logits(images[:1])[0, 1])


# Weights


def test_class_and_sample_weights_are_pytorchs(threes):
    """Three full-batch steps of gradient descent, beside PyTorch's weighted cross-entropy."""
    X, y, *_ = threes
    X, y = X[:40], y[:40]
    template = neocog.Sequential(
        conv=neocog.Conv2D(1, 2, 3, rng=0, dtype="float64"),
        relu=neocog.ReLU(),
        flatten=neocog.Flatten(),
        dense=neocog.Dense(72, 3, rng=1, dtype="float64"),
    )
    class_weight = {0: 1.0, 1: 5.0, 2: 0.25}
    sample_weight = np.random.default_rng(2).uniform(0, 2, 40)
    for given in (None, sample_weight):
        model = ConvNetClassifier(
            template,
            image_shape=(8, 8),
            epochs=3,
            batch_size=40,
            lr=0.1,
            schedule="constant",
            optimizer=neocog.SGD,
            weight_decay=0,
            class_weight=class_weight,
        ).fit(X, y, given)

        w = {name: torch.tensor(array, requires_grad=True) for name, array in template.params.items()}
        images, labels = torch.tensor(X.reshape(-1, 1, 8, 8)), torch.tensor(y)
        per_class = torch.tensor([class_weight[k] for k in range(3)], dtype=torch.float64)
        for _ in range(3):
            hidden = F.relu(F.conv2d(images, w["conv.weight"], w["conv.bias"])).flatten(1)
            z = hidden @ w["dense.weight"] + w["dense.bias"]
            if given is None:
                loss = F.cross_entropy(z, labels, weight=per_class)
            else:
                both = per_class[labels] * torch.tensor(given)
                loss = (both * F.cross_entropy(z, labels, reduction="none")).sum() / both.sum()
            for name, gradient in zip(w, torch.autograd.grad(loss, list(w.values())), strict=True):
                w[name] = (w[name] - 0.1 * gradient).detach().requires_grad_()
        for name, array in model.network_.params.items():
            np.testing.assert_allclose(array, w[name].detach().numpy(), rtol=1e-9, atol=1e-12)
        assert model.loss_curve_[-1] == pytest.approx(loss.item(), rel=1e-9)


@pytest.mark.parametrize("batch_size", [1, 8, 32])
def test_weights_count_for_what_they_say(batch_size):
    """Where X says nothing, the best answer is the weighted share: of 19 and 1, weighing 1 and 19, a half."""
    X, rare = np.zeros((400, 4)), np.arange(400) % 20 == 0
    settings = {"epochs": 12, "batch_size": batch_size, "optimizer": "sgd", "schedule": "cosine"}
    settings |= {"weight_decay": 0, "random_state": 0, "lr": 0.002 * batch_size**0.5}
    classifier = ConvNetClassifier(linear(2, 4), class_weight="balanced", **settings).fit(X, rare)
    assert expit(classifier.decision_function(X[:1])[0]) == pytest.approx(0.5, abs=0.03)
    assert classifier.predict_proba(X[:1])[0, 1] == pytest.approx(0.05, abs=0.006)  # as frequent as it is
    regressor = ConvNetRegressor(linear(1, 4), **settings).fit(X, 1.0 * rare, np.where(rare, 19, 1))
    assert regressor.predict(X[:1])[0] == pytest.approx(0.5, abs=0.03)


@BOTH
def test_weights_in_batches_of_one(threes, estimator):
    """There only the weights' ratios count, and zero is absence; twice is not two, as steps do not add."""
    X, y, *_ = threes
    X, y = X[:60], y[:60]
    w = np.random.default_rng(0).uniform(0.5, 2, 60) * (np.arange(60) % 3 > 0)
    one = {"batch_size": 1, "epochs": 2}
    if estimator is ConvNetClassifier:
        one["class_weight"] = "balanced"  # by the weights, so that zero is absence here, too
    expected = weights(quick(estimator, **one).fit(X, y, w))
    np.testing.assert_allclose(weights(quick(estimator, **one).fit(X, y, 7 * w)), expected, rtol=1e-7)
    kept = quick(estimator, **one).fit(X[w > 0], y[w > 0], w[w > 0])
    np.testing.assert_allclose(weights(kept), expected, rtol=1e-7)
    assert np.abs(weights(quick(estimator, **one).fit(X, y, w > 0)) - expected).max() > 1e-3


def test_partial_fit_takes_weights_as_they_are(threes):
    X, y, *_ = threes

    def moved(factor, **settings):
        model = quick(network=linear(), optimizer=neocog.SGD, weight_decay=0, batch_size=len(y), **settings)
        model.partial_fit(X, y, classes=[0, 1, 2], sample_weight=np.full(len(y), 1.0))
        before = weights(model).copy()
        model.partial_fit(X, y, sample_weight=np.full(len(y), factor))
        return weights(model) - before

    np.testing.assert_allclose(moved(3.0), 3 * moved(1.0), rtol=1e-9, atol=1e-15)
    thrice, nothing = (dict.fromkeys(range(3), weight) for weight in (3.0, 0.0))
    np.testing.assert_allclose(moved(1.0, class_weight=thrice), moved(1.0, lr=0.06), rtol=1e-9, atol=1e-15)
    assert not moved(1.0, class_weight=nothing).any()


def test_class_weights_where_a_class_is_lacking(threes):
    X, y, *_ = threes
    model = quick(class_weight={1: 5.0}).partial_fit(X, y, classes=[0, 1, 2])
    twin = copy.deepcopy(model).set_params(class_weight=None)
    rest = y != 1
    np.testing.assert_allclose(
        weights(model.partial_fit(X[rest], y[rest])),
        weights(twin.partial_fit(X[rest], y[rest], sample_weight=np.ones(rest.sum()))),
    )
    balanced = quick(class_weight="balanced", warm_start=True).fit(X, y)
    assert balanced.fit(X[rest], y[rest]).score(X[rest], y[rest]) > 0.9


def test_balanced_class_weights(threes):
    X, y, *_ = threes
    X, y = X[: 2 * len(y) // 3], y[: 2 * len(y) // 3]
    by_hand = dict(enumerate(compute_class_weight("balanced", classes=np.arange(3), y=y)))
    labels = np.array(["a", "b", "c"])
    named = {labels[k]: weight for k, weight in by_hand.items()}
    expected = weights(quick(class_weight=by_hand).fit(X, y))
    np.testing.assert_array_equal(weights(quick(class_weight="balanced").fit(X, y)), expected)
    np.testing.assert_array_equal(weights(quick(class_weight=named).fit(X, labels[y])), expected)


@BOTH
def test_images_of_weight_zero_are_left_out(threes, estimator):
    X, y, *_ = threes
    w = (np.arange(len(y)) % 4 > 0).astype(float)
    y = np.where(w == 0, 2 - y, y)  # wrong where it does not count
    kept = quick(estimator).fit(X[w > 0], y[w > 0])
    zeroed = quick(estimator).fit(X, y, sample_weight=w)
    np.testing.assert_allclose(weights(zeroed), weights(kept), rtol=1e-9, atol=1e-12)


# Going on


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd"])
@BOTH
def test_partial_fit_goes_on_as_fit_does(threes, estimator, optimizer):
    X, y, *_ = threes
    settings = {"batch_size": len(y), "optimizer": optimizer, "schedule": "constant"}  # as partial_fit is
    whole = quick(estimator, epochs=5, **settings).fit(X, y)
    parts = quick(estimator, **settings)
    first = {"classes": [0, 1, 2]} if estimator is ConvNetClassifier else {}
    for k in range(5):
        parts.partial_fit(X, y, **(first if k == 0 else {}))
    np.testing.assert_allclose(parts.loss_curve_, whole.loss_curve_, rtol=1e-9)
    np.testing.assert_allclose(weights(parts), weights(whole), rtol=1e-7, atol=1e-9)
    assert parts.n_iter_ == 5


def test_partial_fit_batch_by_batch(threes):
    """A batch may lack a class; weights count; the learning rate may be changed on the way."""
    X, y, X_test, y_test = threes
    model = quick(lr=0.02)
    order = np.argsort(y, kind="stable").reshape(-1, 10)  # each batch of one class or two
    for _ in range(15):
        for rows in np.random.default_rng(0).permutation(order):
            model.partial_fit(X[rows], y[rows], classes=[0, 1, 2], sample_weight=np.full(10, 3.0))
    assert model.score(X_test, y_test) > 0.9
    before = weights(model).copy()
    model.set_params(lr=1e-12, weight_decay=0).partial_fit(X, y)
    np.testing.assert_allclose(weights(model), before, atol=1e-9)


def test_partial_fit_after_fit_keeps_the_optimizer(threes):
    X, y, *_ = threes
    model = quick(schedule="cosine").fit(X, y)
    steps, before = model._optimizer.steps, weights(model).copy()
    model.partial_fit(X, y)  # the schedule has come to zero, but partial_fit goes on with lr
    assert model._optimizer.steps == steps + 5
    assert np.abs(weights(model) - before).max() > 1e-3
    assert model.n_iter_ == 5
    assert model.history_["lr"][-1] == model.lr


@BOTH
def test_warm_start(threes, estimator):
    X, y, *_ = threes
    model = quick(estimator, warm_start=True).fit(X, y)
    loss, before = model.history_["train_loss"][-1], weights(model).copy()
    model.set_params(epochs=3, lr=1e-12, weight_decay=0).fit(X, y)
    np.testing.assert_allclose(weights(model), before, atol=1e-8)
    assert model.history_["train_loss"][-1] == pytest.approx(loss, rel=1e-6)
    assert model.n_iter_ == 7
    assert model.history_["epoch"] == list(range(8))
    assert len(model.loss_curve_) == 7
    model.set_params(warm_start=False, epochs=4, lr=0.02, weight_decay=0.01).fit(X, y)
    np.testing.assert_array_equal(weights(model), before)
    assert model.n_iter_ == 4


def test_early_stopping(threes):
    X, y, X_test, y_test = threes
    model = quick(
        schedule="constant", early_stopping=True, epochs=500, patience=3, lr=0.05, validation_fraction=0.2
    ).fit(X, y)
    losses = np.array(model.history_["val_loss"])
    best = int(losses.argmin())
    assert model.n_iter_ == best + 3 < 500
    assert "val_loss has not improved for 3 epochs" in model.history_.stopped
    assert len(model.validation_scores_) == model.n_iter_
    assert model.best_validation_score_ == model.validation_scores_[best - 1]
    assert model.score(X_test, y_test) > 0.9
    # The weights put back are those of the best epoch.
    shorter = quick(
        schedule="constant", early_stopping=True, epochs=best, patience=99, lr=0.05, validation_fraction=0.2
    ).fit(X, y)
    np.testing.assert_array_equal(weights(model), weights(shorter))
    assert quick(schedule="constant").fit(X, y).validation_scores_ is None


def test_early_stopping_of_a_regression_scores_by_r2(threes):
    X, y, *_ = threes
    held_out = {}

    class Spy(Callback):
        def on_end(self, run):
            held_out["x"], held_out["t"] = run.data.validation

    model = quick(ConvNetRegressor, early_stopping=True, callbacks=[Spy()]).fit(X, 7 + 3 * y)
    t = model._target_scaler.inverse_transform(held_out["t"])
    expected = r2_score(t, model.predict(held_out["x"]))
    assert model.best_validation_score_ == pytest.approx(expected, rel=1e-9)
    assert model.best_validation_score_ == max(model.validation_scores_)


class HeldOut(Callback):
    def on_end(self, run):
        self.x, self.t = run.data.validation


def test_early_stopping_weighs_what_is_held_out(threes):
    X, y, *_ = threes
    X = X + np.random.default_rng(0).normal(0, 0.5, X.shape)  # or it is all right
    settings = {"early_stopping": True, "validation_fraction": 0.4, "epochs": 6, "patience": 9}
    model = quick(callbacks=[HeldOut()], class_weight={0: 0.1}, **settings).fit(X, y, 1.0 + y)
    spy = model.callbacks[0]
    w = np.where(spy.t == 0, 0.1, 1.0 + spy.t)
    z = spy.x.reshape(len(spy.x), -1)
    best = int(np.argmin(model.history_["val_loss"]))
    weighted = softmax(model.network_.predict_logits(spy.x), axis=1)  # of which the loss is taken
    expected = log_loss(spy.t, weighted, sample_weight=w)
    assert model.history_["val_loss"][best] == pytest.approx(expected, rel=1e-9)
    assert expected != pytest.approx(log_loss(spy.t, model.predict_proba(z)), rel=1e-3)
    score = accuracy_score(spy.t, model.predict(z), sample_weight=w)
    assert model.best_validation_score_ == pytest.approx(score, rel=1e-12)
    assert score != pytest.approx(accuracy_score(spy.t, model.predict(z)), rel=1e-3)


def test_early_stopping_scores_several_targets_as_r2_score_does(threes):
    X, y, *_ = threes
    targets = np.stack([y, np.arange(150.0) ** 3, np.random.default_rng(0).normal(size=150)], axis=1)
    model = quick(ConvNetRegressor, early_stopping=True, callbacks=[HeldOut()]).fit(X, targets, 1.0 + y)
    spy = model.callbacks[0]
    t = model._target_scaler.inverse_transform(spy.t)
    expected = r2_score(t, model.predict(spy.x), sample_weight=1 + t[:, 0].round())
    assert model.best_validation_score_ == pytest.approx(expected, rel=1e-9)
    assert expected != pytest.approx(r2_score(t, model.predict(spy.x)), rel=1e-3)
    scores = np.array(model.validation_scores_)
    assert len(scores) == model.n_iter_


def test_what_is_held_out_of_few_images():
    X, y = np.random.default_rng(0).random((12, 8, 8)), np.arange(12) % 3
    model = quick(early_stopping=True, epochs=1, callbacks=[HeldOut()]).fit(X, y)
    assert sorted(model.callbacks[0].t) == [0, 1, 2]  # more than the tenth part
    with pytest.raises(
        ValueError, match=r"early_stopping needs at least two images of each class, .* class '2'"
    ):
        quick(early_stopping=True).fit(X, np.where(np.arange(12) == 5, 2, y % 2))
    with pytest.raises(
        ValueError, match=r"validation_fraction must leave at least 3 .* 0.9 of n_samples = 12"
    ):
        quick(early_stopping=True, validation_fraction=0.9).fit(X, y)
    regressor = quick(ConvNetRegressor, early_stopping=True, epochs=1).fit(X[:4], y[:4])
    assert np.isfinite(regressor.best_validation_score_)
    with pytest.raises(ValueError, match=r"validation_fraction must leave at least 2 .* n_samples = 3"):
        quick(ConvNetRegressor, early_stopping=True).fit(X[:3], y[:3])


def test_what_is_held_out_is_a_part_of_every_class():
    X = np.random.default_rng(0).random((100, 8, 8))
    y = np.repeat([0, 1], [90, 10])
    parts = {}

    class Spy(Callback):
        def on_start(self, run):
            parts.update(train=run.data.train[1], validation=run.data.validation[1])

    quick(early_stopping=True, epochs=1, callbacks=[Spy()]).fit(X, y)
    assert np.bincount(parts["validation"]).tolist() == [9, 1]
    assert np.bincount(parts["train"]).tolist() == [81, 9]


@BOTH
def test_what_fails_changes_nothing(threes, estimator):
    X, y, *_ = threes
    model = quick(estimator, warm_start=True).fit(X, y)
    kept, answer = copy.deepcopy(model), model.predict(X)
    wild = {"lr": 1e200, "optimizer": neocog.SGD}
    others = {"X": X[:, :60].reshape(-1, 1, 6, 10), "y": 9 + 100 * y}
    attempts = [
        lambda: model.set_params(**wild).fit(X, y),
        lambda: model.set_params(**wild).partial_fit(X, y),
        lambda: model.set_params(**wild, warm_start=False, image_shape=None).fit(**others),
        lambda: model.set_params(warm_start=False, network="alexnet", filters=None).fit(**others),
    ]
    for attempt in attempts:
        with pytest.raises((NonFiniteLossError, ValueError)):
            attempt()
        model.set_params(**kept.get_params())
        np.testing.assert_array_equal(weights(model), weights(kept))
        np.testing.assert_array_equal(model.predict(X), answer)
        assert len(model.history_) == len(kept.history_)
    # ... and both go on alike.
    np.testing.assert_array_equal(weights(model.partial_fit(X, y)), weights(kept.partial_fit(X, y)))


# Chance, threads, kernels


class Kernels(neocog.ReLU):
    """A layer that tells which kernels it has seen."""

    seen: ClassVar = set()

    def forward(self, x, training=False):
        self.seen.add(active_kernels())
        return super().forward(x, training)


@BOTH
def test_kernels(threes, estimator):
    X, y, *_ = threes
    first = {"classes": [0, 1, 2]} if estimator is ConvNetClassifier else {}
    template = linear(3 if first else 1, relu=Kernels())

    def seen(use):
        Kernels.seen.clear()
        use()
        assert active_kernels() == "auto"
        return set(Kernels.seen)

    model = clone(quick(estimator, network=template, kernels="reference", epochs=1))
    assert seen(lambda: model.partial_fit(X, y, **first)) == {"reference"}
    assert seen(lambda: model.fit(X, y)) == {"reference"}
    assert seen(lambda: model.predict(X)) == {"reference"}
    model.set_params(kernels="auto")
    for use in (lambda: model.fit(X, y), lambda: model.partial_fit(X, y), lambda: model.predict(X)):
        assert seen(use) == {"im2col"}
        with use_kernels("reference"):
            Kernels.seen.clear()
            use()
            assert Kernels.seen == {"reference"}  # what the caller has chosen


def test_many_short_partial_fits_are_a_long_job(threes, monkeypatch):
    """The estimates add up, until compiling pays: 4 x 1.2 seconds are more than 3."""
    X, y, *_ = threes
    used = []
    make_step = neocog.estimators.base.make_step
    monkeypatch.setattr("neocog.estimators.base.estimated_seconds", lambda *_, **__: 1.2)
    monkeypatch.setattr(
        "neocog.estimators.base.make_step", lambda *args: used.append(active_kernels()) or make_step(*args)
    )
    model = quick()
    for _ in range(4):
        model.partial_fit(X, y, classes=[0, 1, 2])
    assert used == ["im2col", "im2col", "fused", "fused"]
    model = pickle.loads(pickle.dumps(model)).partial_fit(X, y)
    assert used[-1] == "fused"


def test_random_state(threes):
    X, y, *_ = threes
    first, again, other = (quick(random_state=seed, augment=Shift(1)).fit(X, y) for seed in (3, 3, 4))
    np.testing.assert_array_equal(weights(first), weights(again))
    assert not np.array_equal(weights(first), weights(other))
    state = np.random.RandomState(3)
    np.testing.assert_array_equal(
        weights(quick(random_state=state, augment=Shift(1)).fit(X, y)), weights(first)
    )
    assert not np.array_equal(
        weights(quick(random_state=state, augment=Shift(1)).fit(X, y)), weights(first)
    )  # it has moved on
    assert not np.array_equal(
        weights(quick(random_state=None).fit(X, y)), weights(quick(random_state=None).fit(X, y))
    )


class Threads(Callback):
    def on_epoch(self, run):
        self.seen = get_threads()


def test_n_jobs(threes):
    X, y, *_ = threes
    before = get_threads()
    neocog.set_threads(7)
    try:
        for n_jobs, threads in ((None, 1), (3, 3), (-1, joblib.cpu_count())):
            model = quick(n_jobs=n_jobs, callbacks=[Threads()]).fit(X, y)
            assert model.callbacks[0].seen == threads
            assert get_threads() == 7
        with joblib.parallel_config(n_jobs=4):
            assert quick(callbacks=[Threads()]).fit(X, y).callbacks[0].seen == 4
        with pytest.raises(ValueError, match="lr"):
            quick(n_jobs=2, lr=-1).fit(X, y)
        assert (get_threads(), active_kernels()) == (7, "auto")
    finally:
        neocog.set_threads(before)


def test_fits_in_threads_do_not_disturb_each_other(threes):
    X, y, *_ = threes
    models = [quick(n_jobs=n, callbacks=[Threads()]) for n in (1, 2, 3, 4)]
    fitted = joblib.Parallel(2, backend="threading")(joblib.delayed(model.fit)(X, y) for model in models)
    assert [model.callbacks[0].seen for model in fitted] == [1, 2, 3, 4]
    for model in fitted:
        np.testing.assert_array_equal(weights(model), weights(models[0]))


def test_results_do_not_depend_on_n_jobs(rng):
    X = rng.random((64, 3, 16, 16)).astype("float32")
    y = np.arange(64) % 4
    with use_kernels("fused"):
        models = [quick(image_shape=None, epochs=2, n_jobs=n).fit(X, y) for n in (1, 2, 3)]
        answers = [model.predict_proba(X) for model in models]
    for model, answer in zip(models, answers, strict=True):
        np.testing.assert_array_equal(weights(model), weights(models[0]))
        np.testing.assert_array_equal(answer, answers[0])


def test_processes_of_a_search_have_one_thread_each(threes):
    X, y, *_ = threes

    class Local(Callback):  # not of the module, which other processes cannot import
        def on_epoch(self, run):
            from neocog.kernels import active_kernels, get_threads

            self.seen = os.getpid(), get_threads(), active_kernels()

    model = quick(callbacks=[Local()], kernels="fused")
    found = cross_validate(model, X, y, cv=2, n_jobs=2, return_estimator=True)
    pids, threads, kernels = zip(*(model.callbacks[0].seen for model in found["estimator"]), strict=True)
    assert os.getpid() not in pids
    assert threads == (1, 1)
    assert kernels == ("fused", "fused")
    np.testing.assert_array_equal(found["test_score"], cross_val_score(quick(kernels="fused"), X, y, cv=2))


# In scikit-learn's tools


def test_pipeline_and_grid_search(threes):
    X, y, X_test, y_test = threes
    pipeline = make_pipeline(MinMaxScaler(), quick(epochs=10))
    grid = {"convnetclassifier__lr": [1e-5, 0.02], "convnetclassifier__filters": [(2,), (4, 4)]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(16 * X, y)
    assert search.best_params_["convnetclassifier__lr"] == 0.02
    assert search.score(16 * X_test, y_test) > 0.9


def test_halving_search_over_epochs(threes):
    X, y, X_test, y_test = threes
    search = HalvingGridSearchCV(
        quick(),
        {"lr": [1e-5, 1e-4, 0.01]},
        resource="epochs",
        min_resources=2,
        max_resources=6,
        factor=3,
        cv=2,
    ).fit(X, y)
    assert search.best_params_ == {"lr": 0.01, "epochs": 6}
    assert search.score(X_test, y_test) > 0.85


def test_images_through_cross_validation(threes):
    X, y, *_ = threes
    images = X.reshape(-1, 1, 8, 8)
    assert cross_val_score(quick(image_shape=None), images, y, cv=3).min() > 0.85
    scores = cross_val_score(quick(ConvNetRegressor, epochs=15, image_shape=None), images, y, cv=3)
    assert scores.min() > 0.7


@pytest.mark.parametrize("method", ["sigmoid", "isotonic", "temperature"])
def test_calibration(threes, method):
    if method == "temperature" and sklearn.__version__ < "1.8":
        pytest.skip("scikit-learn has it from 1.8 on")
    X, y, X_test, y_test = threes
    model = CalibratedClassifierCV(quick(), method=method, cv=2).fit(X, y)
    np.testing.assert_allclose(model.predict_proba(X_test).sum(axis=1), 1)
    assert model.score(X_test, y_test) > 0.85


def test_voting_and_other_meta_estimators(threes):
    X, y, X_test, y_test = threes
    members = [("cnn", quick()), ("mlp", quick(network="tiny-mlp")), ("svc", SVC())]
    assert VotingClassifier(members).fit(X, y).score(X_test, y_test) > 0.95
    assert VotingClassifier(members[:2], voting="soft").fit(X, y).score(X_test, y_test) > 0.9
    both = MultiOutputRegressor(quick(ConvNetRegressor)).fit(X, np.stack([y, -y], axis=1))
    assert both.predict(X_test).shape == (len(y_test), 2)


@pytest.mark.parametrize(
    "many",
    [
        lambda model: BaggingClassifier(model, n_estimators=2, random_state=0),
        lambda model: AdaBoostClassifier(model, n_estimators=2, random_state=0),
        lambda model: StackingClassifier([("cnn", model)], cv=2),
        lambda model: OneVsRestClassifier(model),
    ],
)
@pytest.mark.parametrize("pixels", [False, True])
def test_ensembles(threes, many, pixels):
    X, y, X_test, y_test = threes
    labels = np.array(["nought", "one", "two"])
    if pixels:
        X, X_test = ((255 * images).astype(np.uint8) for images in (X, X_test))
    model = many(quick(epochs=8)).fit(X, labels[y])
    assert model.score(X_test, labels[y_test]) > 0.9


def test_permutation_importance_finds_the_pixel_that_tells(rng):
    X = rng.random((200, 9))
    y = X[:, 4] > 0.5
    model = quick(image_shape=(3, 3), epochs=20, lr=0.02).fit(X, y)
    assert permutation_importance(model, X, y, n_repeats=3, random_state=0).importances_mean.argmax() == 4


def test_data_frames_and_set_output(threes):
    X, y, X_test, y_test = threes
    names = [f"pixel{k}" for k in range(64)]
    table = pd.DataFrame(X, columns=names)
    pipeline = make_pipeline(StandardScaler(), quick()).set_output(transform="pandas")
    pipeline.fit(table, pd.Series(y).map({0: "a", 1: "b", 2: "c"}))
    model = pipeline[-1]
    assert model.feature_names_in_.tolist() == names
    assert model.classes_.tolist() == ["a", "b", "c"]
    assert pipeline.predict(pd.DataFrame(X_test, columns=names))[0] == "abc"[y_test[0]]
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(pd.DataFrame(X_test, columns=names[::-1]))


def test_polars(threes):
    polars = pytest.importorskip("polars")
    X, y, *_ = threes
    table = polars.DataFrame(X, schema=[f"pixel{k}" for k in range(64)])
    model = quick().fit(table, polars.Series(y))
    assert model.feature_names_in_.tolist() == table.columns
    np.testing.assert_array_equal(model.predict(table), quick().fit(X, y).predict(X))
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(table[:, ::-1])


def test_metadata_routing(threes):
    import sklearn

    X, y, *_ = threes
    w = np.linspace(0.1, 2, len(y))
    with sklearn.config_context(enable_metadata_routing=True):
        pipeline = make_pipeline(FunctionTransformer(), quick().set_fit_request(sample_weight=True))
        routed = pipeline.fit(X, y, sample_weight=w)[-1]
    np.testing.assert_array_equal(weights(routed), weights(quick().fit(X, y, w)))
    assert np.abs(weights(routed) - weights(quick().fit(X, y))).max() > 1e-3


@BOTH
def test_copies(threes, estimator, tmp_path):
    X, y, X_test, _ = threes
    model = quick(estimator, augment=Shift(1), callbacks=[KernelSnapshots()]).fit(X, y)
    joblib.dump(model, tmp_path / "model.joblib")
    for twin in (
        joblib.load(tmp_path / "model.joblib"),
        pickle.loads(pickle.dumps(model)),
        copy.deepcopy(model),
    ):
        np.testing.assert_array_equal(twin.predict(X_test), model.predict(X_test))
        twin.partial_fit(X, y)
        assert not np.array_equal(weights(twin), weights(model))
    np.testing.assert_array_equal(weights(twin), weights(model.partial_fit(X, y)))
    bare = clone(model)
    assert not hasattr(bare, "network_")
    assert bare.get_params().keys() == model.get_params().keys()
    assert "ConvNet" in model._repr_html_()
    assert repr(model).startswith(estimator.__name__)
    assert repr(estimator()) == f"{estimator.__name__}()"


def test_a_progress_can_be_cloned(threes):
    X, y, *_ = threes
    stream = io.StringIO()
    for copied in (clone, copy.deepcopy):
        copied(quick(callbacks=[Progress(stream)])).fit(X, y)
    lines = stream.getvalue().splitlines()  # of both: a stream is not copied
    assert [line.split("  ")[0] for line in lines] == [f"epoch {k}/4" for k in range(5)] * 2
    for stream in (sys.stdout, sys.stderr, None):
        assert clone(quick(callbacks=[Progress(stream)])).callbacks[0].stream is stream
        assert pickle.loads(pickle.dumps(Progress(stream))).stream is stream


# Answers


def test_probabilities_and_decisions(threes):
    X, y, X_test, _ = threes
    labels = np.array(["nought", "one", "two"])[y]
    model = quick().fit(X, labels)
    z = model.decision_function(X_test)
    assert z.shape == (len(X_test), 3)
    np.testing.assert_allclose(model.predict_proba(X_test), softmax(z, axis=1), rtol=1e-12)
    np.testing.assert_allclose(model.predict_log_proba(X_test), log_softmax(z, axis=1), rtol=1e-12)
    assert model.predict(X_test).tolist() == [model.classes_[k] for k in z.argmax(axis=1)]

    two = quick().fit(X[y < 2], labels[y < 2])
    p = two.predict_proba(X_test)
    np.testing.assert_allclose(two.decision_function(X_test), np.log(p[:, 1] / p[:, 0]), rtol=1e-6)
    assert (two.predict(X_test) == two.classes_[1]).tolist() == (two.decision_function(X_test) > 0).tolist()


def test_log_probabilities_stay_finite():
    dense = neocog.Dense(1, 2, dtype="float64")
    dense.params["weight"][...] = [[0.0, 2000.0]]
    network = neocog.Sequential(neocog.Flatten(), dense)
    model = ConvNetClassifier(network, epochs=1, lr=1e-300, weight_decay=0).fit([[1.0], [-1.0]], [1, 0])
    np.testing.assert_allclose(model.predict_log_proba([[1.0]]), [[-2000, 0]])


@pytest.mark.parametrize("y", [[0.0, 1.0], [True, False], ["a", "b"], [-1, 7]])
def test_labels_of_any_kind(threes, y):
    X = threes[0]
    labels = np.array(y)[threes[1] % 2]
    model = quick().fit(X, labels)
    assert model.classes_.tolist() == sorted(y)
    assert model.predict(X).dtype == labels.dtype
    assert model.score(X, labels) > 0.8


# On the way


def test_history_callbacks_and_verbose(threes, capsys):
    X, y, *_ = threes
    snapshots = KernelSnapshots(epochs=[0, 2])
    model = quick(callbacks=[snapshots]).fit(X, y)
    assert capsys.readouterr().out == ""
    assert set(snapshots.snapshots) == {0, 2, 4}
    assert isinstance(model.history_, History)
    assert len(model.history_) == model.n_iter_ + 1 == 5
    assert model.loss_curve_ == model.history_["running_loss"][1:]
    assert model.history_["train_accuracy"][-1] == model.score(X, y)
    quick(verbose=True).fit(X, y).set_params(verbose=1).partial_fit(X, y)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == [f"epoch {k}/4" for k in range(5)] + ["epoch 5"]


def test_every_schedule_and_optimizer_learns(threes):
    X, y, *_ = threes
    for options in ({"schedule": name} for name in SCHEDULES):
        assert quick(epochs=8, **options).fit(X, y).score(X, y) > 0.9, options
    for name in ("adamw", "adam", "nadam", "rmsprop", "sgd"):
        assert quick(optimizer=name, epochs=8, lr=0.01, schedule="one-cycle").fit(X, y).score(X, y) > 0.9, (
            name
        )


class Flat(Callback):
    """Make one loss the same after every epoch."""

    def __init__(self, column):
        self.column = column

    def on_epoch(self, state):
        state.history.last[self.column] = 1.0


@pytest.mark.parametrize(("early_stopping", "column"), [(False, "train_loss"), (True, "val_loss")])
def test_plateau_lowers_the_rate_by_what_may_decide(threes, early_stopping, column):
    X, y, *_ = threes
    options = {"schedule": "plateau", "lr": 0.5, "early_stopping": early_stopping, "patience": None}
    model = quick(epochs=12, callbacks=[Flat(column)], **options).fit(X, y)
    # the first loss is the best; a fifth after the fifth epoch without improvement, each time
    expected = [0.5] * 6 + [0.1] * 5 + [0.02]
    np.testing.assert_allclose(model.history_["lr"][1:], expected, rtol=1e-12)


def test_the_best_epoch_is_kept_without_stopping(threes):
    X, y, *_ = threes
    model = quick(early_stopping=True, patience=None, epochs=9, lr=0.3).fit(X, y)
    assert model.n_iter_ == 9
    best = int(np.argmin(model.history_["val_loss"]))
    assert model.best_validation_score_ == model.history_["val_accuracy"][best]


def test_clipping_label_smoothing_and_names_of_augmentations(threes):
    X, y, *_ = threes
    plain = weights(quick(epochs=1).fit(X, y))
    for options in ({"clip_norm": 1e-3}, {"label_smoothing": 0.2}, {"augment": "shift"}):
        assert np.abs(weights(quick(epochs=1, **options).fit(X, y)) - plain).max() > 1e-5, options
    # steps of SGD without momentum from clipped gradients are at most lr clip_norm each
    make = functools.partial(neocog.SGD, momentum=0.0)
    clipped = quick(epochs=1, optimizer=make, lr=1.0, weight_decay=0, clip_norm=1e-3).fit(X, y)
    steps = -(-len(X) // clipped.batch_size)
    start = quick(epochs=1, optimizer=make, lr=1e-12, weight_decay=0).fit(X, y)
    assert 0 < np.linalg.norm(weights(clipped) - weights(start)) <= steps * 1e-3 * (1 + 1e-4)
    huge = quick(epochs=1, clip_norm=1e9).fit(X, y)
    np.testing.assert_array_equal(weights(huge), plain)
    model = ConvNetClassifier(augment="shift", epochs=1, image_shape=(8, 8))
    assert model.partial_fit(X.reshape(len(X), -1), y, classes=np.unique(y)).n_iter_ == 1


def test_schedules_and_optimizers(threes):
    X, y, X_test, y_test = threes
    cosine = quick(schedule="cosine", epochs=8).fit(X, y)
    np.testing.assert_allclose(
        cosine.history_["lr"][1:], [0.02 * (1 + np.cos(np.pi * (5 * k - 1) / 40)) / 2 for k in range(1, 9)]
    )
    lr = quick(schedule="one-cycle", epochs=10).fit(X, y).history_["lr"][1:]
    assert int(np.argmax(lr)) == 2  # three of ten epochs up, as OneCycle has it
    assert lr[-1] < 1e-6
    for optimizer in ("adam", "sgd", neocog.AdamW, functools.partial(neocog.SGD, momentum=0.5)):
        model = quick(optimizer=optimizer, lr=0.02, weight_decay=1e-4, schedule="one-cycle", epochs=8)
        assert model.fit(X, y).score(X_test, y_test) > 0.9
    assert model._optimizer.momentum == 0.5


def test_augmentation(threes):
    X, y, *_ = threes
    seen = []

    def record(images, rng):
        seen.append(images.shape)
        return images

    quick(augment=record, epochs=1, batch_size=100).fit(X, y).partial_fit(X, y)
    assert seen == [(100, 1, 8, 8), (50, 1, 8, 8)] * 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_a_search_and_keeps_what_was_learned(threes, number):
    X, y, *_ = threes
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    class CtrlC(Callback):
        def on_batch(self, run):
            if run.epoch == 2:
                signal.raise_signal(number)

    model = quick(callbacks=[CtrlC()])
    with pytest.raises(KeyboardInterrupt, match="the network trained so far is in network_"):
        model.fit(X, y)
    assert model.n_iter_ == 2
    assert model.predict(X).shape == y.shape
    with pytest.raises(KeyboardInterrupt):
        GridSearchCV(quick(callbacks=[CtrlC()]), {"lr": [0.1, 0.2]}, cv=2).fit(X, y)
    assert {number: signal.getsignal(number) for number in before} == before


def test_masked_arrays_are_refused(threes):
    X, y, *_ = threes
    classifier = quick(epochs=1).fit(X, y)
    regressor = neocog.ConvNetRegressor(epochs=1, image_shape=(8, 8)).fit(X, y)
    masked, targets = np.ma.array(X, mask=X > 0.5), np.ma.array(y, mask=y > 1)
    for model in (classifier, regressor):
        calls = [
            (model.fit, (masked, y), "X"),
            (model.fit, (X, targets), "y"),
            (model.fit, (X, y, np.ma.ones(len(y))), "sample_weight"),
            (model.partial_fit, (masked, y), "X"),
            (model.partial_fit, (X, targets), "y"),
            (model.predict, (masked,), "X"),
            (model.predict, (masked.reshape(-1, 8, 8),), "X"),
            (model.score, (X, targets), "y"),
            (model.score, (X, y, np.ma.ones(len(y))), "sample_weight"),
        ]
        for call, arguments, name in calls:
            with pytest.raises(TypeError, match=f"{name} must not be a masked array"):
                call(*arguments)


# Errors


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"epochs": 2.5}, "epochs must be an integer, got 2.5"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"lr": 0}, r"lr must be in \(0, inf\), got 0"),
        ({"lr": "fast"}, "lr must be a number, got 'fast'"),
        ({"weight_decay": -1}, r"weight_decay must be in \[0, inf\], got -1"),
        ({"clip_norm": 0}, r"clip_norm must be in \(0, inf\), got 0"),
        ({"augment": "shft"}, "augment must be one of .*got 'shft'. Did you mean 'shift'?"),
        ({"schedule": "cosin"}, "schedule must be one of .*got 'cosin'. Did you mean 'cosine'?"),
        ({"optimizer": "adma"}, "optimizer must be one of .*got 'adma'. Did you mean 'adam'?"),
        ({"optimizer": neocog.SGD(0.1)}, r"optimizer must be 'adamw', .* or a function .*got SGD\(0.1\)"),
        (
            {"optimizer": lambda lr, weight_decay: lr},
            "optimizer must return a neocog Optimizer, got 0.02",
        ),
        ({"network": "digits"}, "network must be one of .*got 'digits'. Did you mean 'digits-cnn'?"),
        ({"network": 3}, "network must be None, a name, a Layer or a function, got 3"),
        ({"network": lambda: None}, "network must return a neocog Layer, got None"),
        (
            {"network": lambda channels, n, seed: None},
            "arguments among image_shape, classes, outputs, seed, rng, dtype, .* needs channels, n",
        ),
        ({"network": neocog.Dense}, "needs in_features, out_features"),
        ({"network": "alexnet"}, r"network 'alexnet' must fit images of shape \(1, 8, 8\), but .*kernel"),
        ({"network": "small-cnn", "filters": (4, 8)}, r"filters must be left out .*got \(4, 8\) and .*small"),
        ({"network": linear(), "filters": 4}, "filters must be left out where network is given"),
        ({"filters": 4.5}, "filters must be an integer, got 4.5"),
        ({"network": neocog.Dense(5, 3)}, r"network must fit images of shape \(1, 8, 8\), but .*Dense needs"),
        (
            {"network": neocog.Sequential(neocog.Flatten(), neocog.Dense(64, 10))},
            r"network must give 3 outputs for images of shape \(1, 8, 8\), got .*\(N, 10\)",
        ),
        ({"filters": ()}, r"filters must be a sequence of at least one int, got \(\)"),
        ({"filters": (4, 0)}, "filters must be at least 1, got 0"),
        ({"image_shape": (8, 9)}, r"image_shape must hold as many .*got \(8, 9\), which holds 72, for 64"),
        ({"image_shape": 8}, r"image_shape must be \(C, H, W\), \(H, W\) or None, got 8"),
        ({"image_shape": (8, -8)}, "image_shape must be at least 1, got -8"),
        ({"validation_fraction": 1.0}, r"validation_fraction must be in \(0, 1\), got 1.0"),
        ({"patience": 0}, "patience must be at least 1, got 0"),
        ({"augment": 3}, r"augment must be a function \(images, rng\) -> images, a name .* or None, got 3"),
        ({"augment": lambda images, rng: None}, "augment must return the 32 .* got NoneType of shape None"),
        (
            {"augment": lambda images, rng: images[:5]},
            r"augment must return the 32 .* ndarray of shape \(5, 1, 8, 8\)",
        ),
        ({"callbacks": [print]}, "callbacks must be a sequence of callbacks, got"),
        ({"callbacks": None}, "callbacks must be a list or tuple of callbacks, .* got None"),
        ({"callbacks": KernelSnapshots()}, "callbacks must be a list or tuple .* got <neocog"),
        ({"kernels": "fuse"}, "kernels must be one of .*got 'fuse'. Did you mean 'fused'?"),
        ({"early_stopping": "no"}, "early_stopping must be True or False, got 'no'"),
        ({"class_weight": {0: -1}}, r"class_weight must hold finite numbers of at least 0, got \{0: -1\}"),
        (
            {"class_weight": {1: np.nan}},
            r"class_weight must hold finite numbers of at least 0, got \{1: nan\}",
        ),
        ({"class_weight": "balance"}, "'class_weight' .*'balanced'.* Got 'balance'"),
        ({"n_jobs": 0}, "n_jobs must be None or an integer other than 0, got 0"),
        ({"n_jobs": 1.5}, "n_jobs must be an integer, got 1.5"),
        ({"random_state": "now"}, "'now' cannot be used to seed"),
    ],
)
def test_parameters_out_of_range(threes, changes, message):
    X, y, *_ = threes
    with pytest.raises((ValueError, TypeError), match=message):
        quick(**changes).fit(X, y)


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (np.zeros((4, 8, 8)), [0, 0, 0, 0], "y must hold samples of at least two classes, got one class: "),
        (np.zeros((4, 1, 1, 8, 8)), [0, 1, 0, 1], r"X must be \(N, C, H, W\), .*got shape \(4, 1, 1, 8, 8\)"),
        (
            np.zeros((4, 9, 8)),
            [0, 1, 0, 1],
            r"image_shape must be that of the images, got \(8, 8\) for .*9, 8",
        ),
        (np.full((4, 8, 8), np.nan), [0, 1, 0, 1], "Input X contains NaN"),
        (np.zeros((4, 64)), [0.5, 1, 0, 1], "Unknown label type"),
        (np.zeros((4, 64)), [0, 1, 0], "inconsistent numbers of samples"),
        (np.zeros(64), [0], "Expected 2D array, got 1D array"),
    ],
)
def test_data_that_do_not_fit(X, y, message):
    with pytest.raises(ValueError, match=message):
        quick().fit(X, y)


def test_errors_of_labels_weights_and_shapes(threes):
    X, y, *_ = threes
    model = quick(warm_start=True).fit(X, y)
    with pytest.raises(ValueError, match=r"y must hold the classes \[0 1 2\] alone, got 5"):
        model.fit(X, np.where(y == 2, 5, y))
    with pytest.raises(ValueError, match="classes must be those of the first call"):
        model.partial_fit(X, y, classes=[0, 1])
    with pytest.raises(ValueError, match="X has 63 features, but ConvNetClassifier is expecting 64"):
        model.predict(X[:, 1:])
    with pytest.raises(ValueError, match=r"X must hold images of shape \(1, 8, 8\), as they were in fit"):
        model.predict(X.reshape(-1, 4, 16))
    with pytest.raises(ValueError, match="classes must be passed on the first call to partial_fit"):
        quick().partial_fit(X, y)
    assert not hasattr(quick(early_stopping=True), "partial_fit")
    with pytest.raises(AttributeError, match="no attribute 'partial_fit'") as info:
        quick(ConvNetRegressor, early_stopping=True).partial_fit(X, y)
    assert "early_stopping must be False for partial_fit" in str(info.value.__cause__)
    with pytest.raises(ValueError, match="class_weight must not be 'balanced' for partial_fit"):
        quick(class_weight="balanced").partial_fit(X, y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="sample_weight must not be negative, got -1"):
        quick().fit(X, y, np.where(y == 0, -1, 1))
    with pytest.raises(ValueError, match="the weights of the images must not all be zero"):
        quick(class_weight=dict.fromkeys(range(3), 0)).fit(X, y)
    with pytest.raises(TypeError, match="Sparse data was passed"):
        quick().fit(csr_array(X), y)
    regressor = quick(ConvNetRegressor).fit(X, y)
    with pytest.raises(ValueError, match="y must have 1 targets, as before, got 2"):
        regressor.partial_fit(X, np.stack([y, y], axis=1))


@BOTH
def test_a_loss_that_is_not_finite(threes, estimator):
    X, y, *_ = threes
    with pytest.raises(NonFiniteLossError, match="the loss is not finite"):
        quick(estimator, optimizer=neocog.SGD, lr=1e200).fit(X, y)
    model = quick(estimator).fit(X, y)
    model.set_params(lr=1e200)
    with pytest.raises(NonFiniteLossError, match=r"not finite in batch \d; a lower lr than 1e\+200 may help"):
        model.partial_fit(X, y)


# Beside scikit-learn's own


@pytest.mark.nightly
def test_a_grid_search_beats_mlp_and_svc_on_digits():
    """On one split of the ten that docs/tools/scikit-learn.md tells of."""
    X, y = load_digits(return_X_y=True)
    X = X.astype("float32")
    X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
    cnn = ConvNetClassifier(
        "small-cnn",
        image_shape=(8, 8),
        epochs=30,
        schedule="one-cycle",
        augment=Affine(degrees=10, shift=0.5, scale=0.1, shear=0.2),
        random_state=0,
        kernels="fused",
    )
    rivals = {
        "cnn": (cnn, {"lr": [0.005, 0.01]}),
        "mlp": (MLPClassifier(max_iter=1000, random_state=0), {"alpha": [0.0001, 0.01]}),
        "svc": (SVC(), {"C": [1, 3, 10, 30], "gamma": ["scale", 0.03, 0.1, 0.3]}),
    }
    scores = {}
    for name, (rival, grid) in rivals.items():
        pipeline = Pipeline([("scale", MinMaxScaler()), ("model", rival)])
        search = GridSearchCV(pipeline, {f"model__{key}": grid[key] for key in grid}, cv=3)
        scores[name] = search.fit(X_train, y_train).score(X_test, y_test)
    assert scores["cnn"] > max(scores["mlp"], scores["svc"])


def test_the_names_are_those_of_the_command_line():
    from neocog.models.by_name import NETWORKS

    X = np.random.default_rng(0).random((20, 1, 8, 8))
    y = np.arange(20) % 2
    by_name, default = (
        ConvNetClassifier(network, epochs=1, random_state=0).fit(X, y) for network in ("image-cnn", None)
    )
    assert isinstance(default.network_["normalize"], neocog.layers.Normalize)
    assert repr(default.network_[1:]) == repr(by_name.network_)
    with pytest.raises(ValueError, match=f"network must be one of '{NETWORKS[0]}'"):
        ConvNetClassifier("conv").fit(X, y)


@pytest.mark.parametrize("estimator", [ConvNetClassifier, ConvNetRegressor])
def test_the_docstring_describes_every_parameter_in_the_order_of_the_signature(estimator):
    text = inspect.getdoc(estimator)
    assert "%(" not in text
    parameters = text.partition("\nParameters\n----------\n")[2].partition("\nAttributes\n----------\n")[0]
    documented = re.findall(r"^(\w+) : ", parameters, re.MULTILINE)
    assert documented == list(inspect.signature(estimator).parameters)


def test_partial_fit_finds_a_batch_of_one_before_the_weights_move():
    rng = np.random.default_rng(0)
    X, y = rng.random((40, 1, 8, 8)), np.arange(40) % 2
    network = neocog.Sequential(
        neocog.Conv2D(1, 4, 8, rng=0), neocog.BatchNorm2D(4), neocog.Flatten(), neocog.Dense(4, 2, rng=0)
    )
    model = ConvNetClassifier(network, batch_size=20, epochs=1).fit(X, y)
    before = model.network_.params["0.weight"].copy()
    more = np.concatenate([X, X[:1]]), np.append(y, 0)
    for method in (model.fit, model.partial_fit):
        with pytest.raises(ValueError, match="a last batch of one image, got 20 for 41 images"):
            method(*more)
        np.testing.assert_array_equal(model.network_.params["0.weight"], before)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "score"])
@pytest.mark.parametrize(
    ("shape", "x", "hint"),
    [
        ((1, 8, 8), (8, 8), r"this is one image: pass X\[None, None\]"),
        (
            (1, 8, 8),
            (8, 8, 1),
            r"this is one image whose channels come last: pass X.transpose\(2, 0, 1\)\[None\]",
        ),
        ((1, 8, 8), (5, 8, 8, 1), r"the channels come last: pass X.transpose\(0, 3, 1, 2\)"),
        ((3, 8, 9), (3, 8, 9), r"this is one image: pass X\[None\]"),
        ((3, 8, 9), (8, 9, 3), r"this is one image whose channels come last"),
        ((3, 8, 9), (5, 8, 9), r"got an X of shape \(5, 8, 9\)\."),
    ],
)
def test_one_image_is_no_batch(method, shape, x, hint):
    rng = np.random.default_rng(0)
    model = ConvNetClassifier(epochs=1).fit(rng.random((20, *shape)), np.arange(20) % 2)
    with pytest.raises(ValueError, match=rf"X must hold images of shape .*as they were in fit.*{hint}"):
        getattr(model, method)(rng.random(x), *([[0]] if method == "score" else []))
    if shape == (1, 8, 8):
        x = rng.random((1, 8, 8))  # one grey image, which is a batch of one, too
        assert model.predict(x) == model.predict(x[None])


def test_verbose_says_what_goes_wrong(capsys):
    rng = np.random.default_rng(0)
    X, y = 0.6 + 0.4 * rng.random((160, 3, 12, 12)), np.arange(160) % 3
    model = ConvNetClassifier("digits-cnn", optimizer="sgd", lr=1.0, epochs=5, batch_size=8, random_state=0)
    model.set_params(verbose=True).fit(X, y)
    assert "hint: After 5 epochs the network is no better than chance: accuracy" in capsys.readouterr().out
