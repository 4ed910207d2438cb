"""Probabilities and predictions of networks that were trained with class weights."""

import numpy as np
import pytest
from scipy.stats import norm

import neocog
from neocog.inspection import confusion, least_certain, misclassified
from neocog.interop.onnx import from_onnx, to_onnx
from neocog.interop.torch import from_torch, to_torch
from neocog.layers import Dense, Flatten, Sequential, Softmax


def network(end=()):
    made = Sequential(flatten=Flatten(), dense=Dense(4, 3, rng=0), **dict(end))
    made.input_shape, made.class_weight = (1, 2, 2), (0.5, 1.0, 4.0)
    return made


@pytest.mark.parametrize("end", [(), [("softmax", Softmax())]])
def test_the_weights_are_taken_out_by_bayes_rule(end, rng):
    # q_k is proportional to w_k p_k; by hand: q = (1/4, 1/4, 1/2) gives (1/2, 1/4, 1/8) 8/7
    made, x = network(end), rng.normal(size=(5, 1, 2, 2)).astype("float32")
    made.params["dense.weight"][:] = 0
    made.params["dense.bias"][:] = np.log([0.25, 0.25, 0.5])
    np.testing.assert_allclose(made.predict_proba(x), np.tile([4, 2, 1], (5, 1)) / 7, rtol=1e-6)
    assert made.predict(x).tolist() == [2] * 5  # w p = (2, 2, 4) / 7: the least expected cost
    made.class_weight = None
    np.testing.assert_allclose(made.predict_proba(x), np.tile([1, 1, 2], (5, 1)) / 4, rtol=1e-6)


def test_what_counts_predictions_counts_those_of_predict(rng):
    made, x = network(), rng.normal(size=(40, 1, 2, 2)).astype("float32")
    y, predicted = rng.integers(3, size=40), made.predict(x)
    assert made.ranking(made.predict_proba(x))[:, 0].tolist() == predicted.tolist()
    assert (predicted != made.predict_proba(x).argmax(axis=1)).any()
    matrix = confusion(made, x, y).matrix
    assert matrix.sum(axis=0).tolist() == np.bincount(predicted, minlength=3).tolist()
    wrong = misclassified(made, x, y)
    assert sorted(wrong.index) == np.flatnonzero(predicted != y).tolist()
    np.testing.assert_array_equal(wrong.probability, made.predict_proba(x)[wrong.index, wrong.predicted])
    assert least_certain(made, x, y).predicted.tolist() == predicted[least_certain(made, x, y).index].tolist()


def test_the_weights_are_kept_in_files_and_copies(tmp_path, rng):
    made, x = network([("softmax", Softmax())]), rng.normal(size=(4, 1, 2, 2)).astype("float32")
    neocog.save(made, tmp_path / "a.neocog")
    to_onnx(made, tmp_path / "a.onnx")
    copies = [
        neocog.load(tmp_path / "a.neocog"),
        from_onnx(tmp_path / "a.onnx"),
        from_torch(to_torch(made)),
        made.for_inference(),
        made.without_softmax(),
    ]
    for copy in copies:
        assert copy.class_weight == (0.5, 1.0, 4.0)
        np.testing.assert_allclose(copy.predict_proba(x), made.predict_proba(x), rtol=1e-5)


@pytest.mark.parametrize("weights", [(1.0, 2.0), (1.0, 0.0, 1.0), (1.0, np.inf, 1.0), (1.0, -1.0, 1.0)])
def test_weights_that_are_none(weights, tmp_path, rng):
    made = network()
    made.class_weight = weights
    with pytest.raises(ValueError, match="class_weight must hold a number above 0 for each of 3 classes"):
        made.predict_proba(rng.normal(size=(2, 1, 2, 2)).astype("float32"))


def test_weights_in_a_file_that_are_none(tmp_path):
    made = network()
    made.class_weight = (1.0, -2.0, 1.0)
    neocog.save(made, tmp_path / "a.neocog")
    with pytest.raises(
        neocog.model_file.ModelFileError, match=r"a\.neocog.*class_weight must be in \(0, inf\)"
    ):
        neocog.load(tmp_path / "a.neocog")


def test_the_estimators_probabilities_are_those_of_the_unweighted_problem():
    """Of two normal classes of known shares, whose probabilities Bayes' rule gives."""
    rng = np.random.default_rng(0)
    y = (rng.random(6000) < 0.1).astype(int)
    x = rng.normal(2.0 * y, 1.0)[:, None]
    true = 0.1 * norm.pdf(x[:, 0], 2) / (0.1 * norm.pdf(x[:, 0], 2) + 0.9 * norm.pdf(x[:, 0]))
    model = neocog.ConvNetClassifier(
        lambda: Sequential(Flatten(), Dense(1, 2, rng=0)),
        class_weight="balanced",
        schedule="cosine",
        lr=0.02,
        weight_decay=0,
        random_state=0,
    ).fit(x, y)
    p = model.predict_proba(x)
    assert abs(p[:, 1] - true).mean() < 0.02
    np.testing.assert_allclose(np.log(p), model.predict_log_proba(x), rtol=1e-4, atol=1e-5)
    # The cost of a mistake on the rare class is nine times that of the other: the border is at p = 1/10.
    np.testing.assert_allclose(model.predict(x).mean(), (true > 0.1).mean(), atol=0.02)
    assert model.predict(x).tolist() == (model.decision_function(x) > 0).astype(int).tolist()
