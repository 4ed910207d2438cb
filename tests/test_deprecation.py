"""Old names of arguments still work, and say so."""

import numpy as np
import pytest

import neocog
from neocog import figures
from neocog.deprecation import accepts_old_names
from neocog.inspection import confusion, explain, saliency, trace


@accepts_old_names
def count(x, y=(), sample_weight=None):
    return len(x), len(y), sample_weight


def test_an_old_name_is_taken_with_a_warning():
    with pytest.warns(DeprecationWarning, match="count: the argument 'labels' is now called 'y'"):
        assert count([1], labels=[2, 3]) == (1, 2, None)
    with pytest.warns(DeprecationWarning, match="'images' is now called 'x'"):
        assert count(images=[1, 2, 3]) == (3, 0, None)
    with pytest.warns(DeprecationWarning, match="'weight' is now called 'sample_weight'"):
        assert count([1], weight=5) == (1, 0, 5)


def test_both_names_at_once_are_refused():
    with pytest.raises(TypeError, match="count got 'y' twice, also by its old name 't'"):
        count([1], y=[2], t=[2])


def test_a_name_that_is_still_in_use_is_left_alone():
    @accepts_old_names
    def draw(x, target, y=None):
        return x, target, y

    assert draw(1, target=2) == (1, 2, None)


X, Y = neocog.data.line_patterns("a").validation


@pytest.mark.parametrize(
    ("call", "old", "new"),
    [
        (lambda **y: trace(neocog.models.tiny_cnn(1), X[:2], **y).loss, "t", "y"),
        (lambda **y: explain(neocog.models.tiny_cnn(1), X[:2], "loss", **y).value, "t", "y"),
        (lambda **y: saliency(neocog.models.tiny_cnn(1), X[:2], **y), "target", "y"),
        (lambda **y: confusion(neocog.models.tiny_cnn(1), X[:2], **y).matrix, "labels", "y"),
        (lambda **y: len(figures.image_gallery(X[:2], **y).to_json()), "labels", "y"),
    ],
)
def test_scripts_with_the_old_names_still_run(call, old, new):
    expected = call(**{new: Y[:2]})
    with pytest.warns(DeprecationWarning, match=f"the argument '{old}' is now called '{new}'"):
        np.testing.assert_array_equal(call(**{old: Y[:2]}), expected)


def test_weights_by_their_old_name():
    z, t = np.array([[0.0, 1.0], [2.0, 0.0]]), np.array([0, 1])
    for loss in (neocog.SoftmaxCrossEntropy(), neocog.FocalLoss()):
        with pytest.warns(DeprecationWarning, match="'weight' is now called 'sample_weight'"):
            value, _ = loss(z, t, weight=[1, 3])
        assert value == loss(z, t, [1, 3])[0]


def test_images_by_their_old_name():
    network = neocog.models.tiny_cnn(1)
    with pytest.warns(DeprecationWarning, match="'images' is now called 'x'"):
        predicted = network.predict(images=X)
    np.testing.assert_array_equal(predicted, network.predict(X))
