import numpy as np
import pytest

from neocog.data import batches

X = np.arange(7.0)[:, None]
Y = np.arange(7)


def test_in_order_without_rng():
    assert [t.tolist() for _, t in batches(X, Y, 3)] == [[0, 1, 2], [3, 4, 5], [6]]


def test_one_permutation_an_epoch():
    order = np.random.default_rng(5).permutation(7)
    rng = np.random.default_rng(5)
    drawn = np.concatenate([t for _, t in batches(X, Y, 3, rng=rng)])
    np.testing.assert_array_equal(drawn, order)
    assert rng.bit_generator.state != np.random.default_rng(5).bit_generator.state


def test_images_stay_with_their_labels():
    for x, t in batches(X, Y, 2, rng=0):
        np.testing.assert_array_equal(x[:, 0], t)


def test_augmentation_draws_after_the_permutation():
    rng = np.random.default_rng(5)
    order = rng.permutation(7)
    noise = rng.normal(size=(7, 1))
    (x, _), *rest = batches(X, Y, 7, rng=5, augment=lambda x, rng: x + rng.normal(size=x.shape))
    assert not rest
    np.testing.assert_array_equal(x, X[order] + noise)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((X, Y[:3], 2), ValueError, "same length, got 7 and 3"),
        ((X, Y, 0), ValueError, "size must be at least 1"),
        ((X, Y, 2.0), TypeError, "size must be an integer"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        batches(*arguments)


def test_augmentation_needs_rng():
    with pytest.raises(ValueError, match="augment needs rng"):
        batches(X, Y, 2, augment=lambda x, rng: x)
