"""Old names of arguments still work, and say so."""

import pytest

from neocog.deprecation import accepts_old_names


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
