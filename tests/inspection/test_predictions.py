import numpy as np
import pytest

from neocog.inspection.predictions import Confusion, confusion, least_certain, misclassified
from neocog.layers import Flatten, Sequential


@pytest.fixture
def network():
    """The image is the logits."""
    return Sequential(Flatten())


def images(*probabilities):
    return np.log(np.array(probabilities, dtype=float)).reshape(-1, 1, 1, 3)


X = images((0.6, 0.3, 0.1), (0.2, 0.7, 0.1), (0.1, 0.8, 0.1), (0.4, 0.35, 0.25), (0.05, 0.05, 0.9))
T = np.array([0, 0, 1, 1, 1])


def test_confusion_by_hand(network):
    seen = confusion(network, X, T)  # predicted 0 1 1 0 2
    assert seen.matrix.tolist() == [[1, 1, 0], [1, 1, 1], [0, 0, 0]]
    assert seen.accuracy == 0.4
    np.testing.assert_allclose(seen.per_class, [1 / 2, 1 / 3, np.nan])
    assert seen.class_names == ("0", "1", "2")
    network.class_names = ("a", "b", "c")
    assert confusion(network, X, T).class_names == ("a", "b", "c")


def test_misclassified_the_surest_first(network):
    wrong = misclassified(network, X, T)
    assert wrong.index.tolist() == [4, 1, 3]
    assert wrong.true.tolist() == [1, 0, 1]
    assert wrong.predicted.tolist() == [2, 1, 0]
    np.testing.assert_allclose(wrong.probability, [0.9, 0.7, 0.4])
    assert len(misclassified(network, X, T, count=2)) == 2
    assert len(misclassified(network, X[:1], T[:1])) == 0


def test_least_certain_the_least_first(network):
    unsure = least_certain(network, X, T, count=3)
    assert unsure.index.tolist() == [3, 0, 1]
    assert unsure.true.tolist() == [1, 0, 0]
    np.testing.assert_allclose(unsure.probability, [0.4, 0.6, 0.7])
    assert len(least_certain(network, X, T, count=None)) == 5


@pytest.mark.parametrize("function", [confusion, misclassified, least_certain])
@pytest.mark.parametrize(
    ("x", "labels", "error", "message"),
    [
        (X, [0, 0, 1, 1, 3], ValueError, r"y must be in 0\.\.2, got 3"),
        (X, [0, 0], ValueError, r"y must have shape \(5,\), .* got \(2,\)"),
        (X, 0, ValueError, r"y must have shape \(5,\), .* got \(\)"),
        (X, np.zeros(5), TypeError, "y must be integers"),
        (X[:0], T[:0], ValueError, "x must not be empty"),
    ],
)
def test_bad_labels(network, function, x, labels, error, message):
    with pytest.raises(error, match=message):
        function(network, x, labels)


def test_measures_of_uneven_classes_by_hand():
    found = Confusion(np.array([[8, 2, 0], [0, 90, 0], [0, 0, 0]]), ("a", "b", "c"))
    np.testing.assert_allclose(found.per_class, [0.8, 1, np.nan])
    np.testing.assert_allclose(found.precision, [1, 90 / 92, np.nan])
    assert found.balanced_accuracy == 0.9  # of the two classes that have images
    # Wilson's limits of 8 of 10 are .4902 and .9433 (Brown, Cai and DasGupta 2001), of 90 of 90 .9591 and 1.
    low, high = found.balanced_accuracy_interval
    assert low == pytest.approx(0.9 - np.hypot(0.8 - 0.4902, 1 - 0.9591) / 2, abs=1e-4)
    assert high == pytest.approx(0.9 + (0.9433 - 0.8) / 2, abs=1e-4)
    assert found.accuracy_interval == pytest.approx((0.93, 0.9945), abs=1e-4)


def test_the_interval_holds_the_truth_in_95_of_100_samples(rng):
    recall, images, held = np.array([0.8, 0.95, 0.6]), np.array([30, 200, 15]), 0
    for _ in range(400):
        right = rng.binomial(images, recall)
        matrix = np.diag(right) + np.roll(np.diag(images - right), 1, axis=1)
        low, high = Confusion(matrix, ("a", "b", "c")).balanced_accuracy_interval
        held += low <= recall.mean() <= high
    assert 0.92 <= held / 400 <= 0.98
