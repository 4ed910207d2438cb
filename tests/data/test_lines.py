import numpy as np
import pytest

from neocog.data import base_pattern, line_patterns


def test_cross_is_vertical_and_horizontal_together():
    cross = base_pattern("cross", 8)
    expected = np.zeros((8, 8))
    expected[:, 3:5] = 1
    expected[3:5, :] = 1
    np.testing.assert_array_equal(cross, expected)


def test_patterns_of_another_size():
    assert base_pattern("dot", 6).tolist() == [
        [0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0],
        [0, 0, 1, 1, 0, 0],
        [0, 0, 1, 1, 0, 0],
        [0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0],
    ]


def test_protocol_b_is_stratified_and_a_is_not():
    classes = ("vertical", "horizontal", "diagonal", "dot")
    for protocol, even in (("a", False), ("b", True)):
        split = line_patterns(protocol, classes)
        counts = np.bincount(split.train[1])
        assert counts.sum() == 240
        assert (set(counts) == {60}) is even
        assert len(split.validation[1]) == 120
        assert split.class_names == classes
        assert split.image_shape == (1, 8, 8)


def test_the_seed_decides():
    first, again, other = (line_patterns("a", seed=s).train[0] for s in (7, 7, 8))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.1


@pytest.mark.parametrize("protocol", ["a", "b"])
def test_the_numbers_of_images(protocol):
    data = line_patterns(protocol, train_per_class=7, val_per_class=2)
    assert len(data.train[1]) == 3 * 7
    assert len(data.validation[1]) == 3 * 2
    counts = np.bincount(np.concatenate([data.train[1], data.validation[1]]))
    assert counts.tolist() == [9, 9, 9]


def test_protocol_b_draws_the_numbers_of_each_class():
    data = line_patterns("b", train_per_class=7, val_per_class=2)
    assert np.bincount(data.train[1]).tolist() == [7, 7, 7]
    assert np.bincount(data.validation[1]).tolist() == [2, 2, 2]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"protocol": "c"}, ValueError, "protocol must be one of 'a', 'b', got 'c'"),
        ({"classes": ("vertical", "circle")}, ValueError, "class must be one of .* got 'circle'"),
        ({"classes": ("vertical", "horizntal")}, ValueError, "Did you mean 'horizontal'"),
        ({"classes": ("dot", "dot")}, ValueError, "at least two different names"),
        ({"classes": ("dot",)}, ValueError, "at least two different names"),
        ({"classes": ()}, ValueError, "at least two different names"),
        ({"classes": "dot"}, TypeError, "classes must be a sequence of names"),
        ({"seed": -1}, ValueError, "seed must be at least 0"),
        ({"seed": 1.5}, TypeError, "seed must be an integer"),
        ({"size": 3}, ValueError, "size must be at least 4"),
        ({"train_per_class": 0}, ValueError, "train_per_class must be at least 1"),
        ({"val_per_class": 2.5}, TypeError, "val_per_class must be an integer"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        line_patterns(**arguments)
