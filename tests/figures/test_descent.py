import numpy as np
import pytest

from neocog import figures


def bowl(a, b):
    return a**2 + 10 * b**2


def draw(loss=bowl, paths=None, x_range=(-2, 2), y_range=(-1, 1), **options):
    paths = {"slow": [[1, 1], [0.5, -0.2]]} if paths is None else paths
    return figures.descent(loss, paths, x_range=x_range, y_range=y_range, **options)


def test_the_contours_hold_the_loss_at_each_place():
    surface = draw().data[0]
    assert (surface.x[0], surface.x[-1], surface.y[0], surface.y[-1]) == (-2, 2, -1, 1)
    assert surface.customdata[0, 0] == surface.customdata[-1, -1] == 14  # 4 + 10
    middle = np.shape(surface.z)[0] // 2
    assert surface.customdata[middle, middle] == 0
    assert surface.customdata[middle, 0] == 4  # a = -2, b = 0


def test_the_levels_are_three_decades_with_equal_steps_in_the_logarithm():
    surface = draw().data[0]
    np.testing.assert_allclose(surface.contours.start, np.log10(0.014), rtol=1e-12)
    np.testing.assert_allclose(surface.contours.end, np.log10(14.014), rtol=1e-12)
    np.testing.assert_allclose(surface.z, np.log10(surface.customdata + 0.014), atol=1e-6)
    np.testing.assert_allclose(12 * surface.contours.size, np.log10(1001), rtol=1e-12)


def test_a_path_has_its_points_its_losses_and_its_ends():
    _, slow, fast, ends, other = draw(paths={"slow": [[1, 1], [0.5, -0.2]], "fast": [[1, 0]]}).data
    assert (slow.name, fast.name) == ("slow", "fast")
    assert (list(slow.x), list(slow.y)) == ([1, 0.5], [1, -0.2])
    np.testing.assert_allclose(slow.customdata, [11, 0.65], rtol=1e-12)
    assert list(ends.marker.symbol) == ["circle", "star"]
    assert (list(ends.x), list(ends.y)) == ([1, 0.5], [1, -0.2])
    assert (list(other.x), list(other.y)) == ([1, 1], [0, 0])
    assert slow.line.color != fast.line.color
    assert not ends.showlegend


def test_both_axes_have_one_scale_where_their_ranges_are_alike():
    assert draw().layout.yaxis.scaleanchor == "x"
    assert draw(y_range=(-8, 8)).layout.yaxis.scaleanchor == "x"
    far = draw(y_range=(-9, 9)).layout
    assert far.yaxis.scaleanchor is None
    assert far.meta is None
    assert draw().layout.height < draw(y_range=(-2, 2)).layout.height


def test_a_constant_loss_can_be_drawn():
    assert np.all(draw(lambda a, b: 0 * a + 3).data[0].customdata == 3)


def test_a_curve_has_the_points_of_the_descent_and_tangents_at_the_first():
    curve, first, second, path = figures.descent_on_curve(
        lambda w: (w - 1) ** 2, [3, 2, 1.5], x_range=(-1, 3), tangents=2
    ).data
    assert (curve.x[0], curve.y[0], curve.x[-1], curve.y[-1]) == (-1, 4, 3, 4)
    assert (list(path.x), list(path.y)) == ([3, 2, 1.5], [4, 1, 0.25])
    assert (first.name, second.name) == ("slope 4", "slope 2")
    for tangent, slope, point in ((first, 4, (3, 4)), (second, 2, (2, 1))):
        np.testing.assert_allclose((np.mean(tangent.x), np.mean(tangent.y)), point, rtol=1e-9)
        np.testing.assert_allclose(np.diff(tangent.y) / np.diff(tangent.x), slope, rtol=1e-6)


def test_no_more_tangents_than_points(words):
    figure = figures.descent_on_curve(np.square, [1.0], x_range=(-1, 1), tangents=5)
    assert [t.name for t in figure.data] == ["loss", "slope 2", "descent"]
    assert words(figure) == ["0"]
    assert len(figures.descent_on_curve(np.square, [1.0], x_range=(-1, 1), tangents=0).data) == 2


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"paths": {}}, ValueError, r"paths must not be empty; it is a dict of label to array \(T, 2\)"),
        ({"paths": [[1, 1]]}, TypeError, "paths must be a dict of label"),
        ({"paths": {"a": [1, 2]}}, ValueError, r"paths\['a'\] must have 2 dimensions, got shape \(2,\)"),
        (
            {"paths": {"a": [[1, 2, 3]]}},
            ValueError,
            r"paths\['a'\] must have the shape \(T, 2\), got \(1, 3\)",
        ),
        ({"paths": {"a": [[1, np.nan]]}}, ValueError, r"paths\['a'\] must be finite"),
        ({"x_range": 2}, ValueError, r"x_range must be \(low, high\), got 2"),
        ({"y_range": (1, 1)}, ValueError, r"y_range must be \(low, high\) with low below high, got \(1, 1\)"),
        ({"y_range": ("a", 1)}, TypeError, "y_range must be a number, got 'a'"),
        ({"loss": lambda a, b: 1.0}, ValueError, "loss must return one value for each place"),
        ({"loss": lambda a, b: a / 0 * b}, ValueError, "the values of loss must be finite"),
    ],
)
def test_bad_descents_are_refused(arguments, error, message):
    with np.errstate(all="ignore"), pytest.raises(error, match=message):
        draw(**arguments)


@pytest.mark.parametrize(
    ("points", "x_range", "message"),
    [
        ([[1.0]], (0, 1), "points must have 1 dimensions"),
        ([], (0, 1), "points must not be empty"),
        ([1.0], (1, 0), "x_range must be .* with low below high"),
    ],
)
def test_bad_points_on_a_curve_are_refused(points, x_range, message):
    with pytest.raises(ValueError, match=message):
        figures.descent_on_curve(np.square, points, x_range=x_range)
