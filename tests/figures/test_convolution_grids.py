import pytest

from neocog import figures


def traces(figure, name):
    return [trace for trace in figure.data if trace.name == name]


def rectangles(figure, name):
    """How many rectangles of that name are drawn."""
    return sum(len(trace.x) // 6 for trace in traces(figure, name))


@pytest.mark.parametrize(
    ("options", "after", "padded"),
    [
        ({}, 3, 0),
        ({"stride": 2}, 2, 0),
        ({"padding": 1}, 5, 7 * 7 - 5 * 5),
        ({"stride": 2, "padding": 1, "dilation": 2}, 2, 24),
    ],
)
def test_sizes_are_in_the_title_and_in_the_cells(options, after, padded, words):
    figure = figures.convolution_grids({"it": options})
    assert words(figure)[0] == f"<b>it</b>: 5 → {after}"
    assert rectangles(figure, "it, input") == 25
    assert rectangles(figure, "it, output") == after**2
    assert rectangles(figure, "it, padding") == padded
    for k in (1, 2):
        assert rectangles(figure, f"it, position {k}") == 1
        assert rectangles(figure, f"it, position {k}, touches") == 9
        assert rectangles(figure, f"it, position {k}, output") == 1


def test_the_second_position_is_a_stride_further_and_dilation_widens_the_window():
    figure = figures.convolution_grids({"a": {"stride": 2, "dilation": 2}}, size=7)
    side = traces(figure, "a, input")[0].x[1] - traces(figure, "a, input")[0].x[0]
    first, second = (traces(figure, f"a, position {k}")[0].x for k in (1, 2))
    middles = [(window[0] + window[1]) / 2 for window in (first, second)]
    assert middles == pytest.approx([2.5 * side, 4.5 * side])
    assert first[1] - first[0] == pytest.approx(4.9 * side)  # five cells, inset
    dots = traces(figure, "a, position 1, touches")[0].x[::6]
    assert dots[1] - dots[0] == pytest.approx(2 * side)


def test_a_single_position_has_no_second_and_a_column_goes_down():
    figure = figures.convolution_grids({"one": {"dilation": 2}})
    assert not traces(figure, "one, position 2")
    figure = figures.convolution_grids({"tall": {}}, size=(4, 3))
    (window,) = traces(figure, "tall, position 2")
    assert window.y[0] > traces(figure, "tall, position 1")[0].y[0]


def test_rectangles_name_both_sides(words):
    assert words(figures.convolution_grids({"it": {}}, (5, 6), (3, 1)))[0] == "<b>it</b>: 5 × 6 → 3 × 6"


@pytest.mark.parametrize(
    ("cases", "message"),
    [
        ({}, "cases must not be empty"),
        ({"a": {"strid": 2}}, r"an option of cases\['a'\] must be one of .* Did you mean 'stride'"),
        ({"a": {"stride": 0}}, r"stride of cases\['a'\] must be at least 1, got 0"),
        ({"a": {"dilation": 3}}, r"cases\['a'\] must have a kernel that fits.* of 5, got one that spans 7"),
    ],
)
def test_bad_cases_are_refused(cases, message):
    with pytest.raises(ValueError, match=message):
        figures.convolution_grids(cases)


def test_a_case_is_a_dict():
    with pytest.raises(TypeError, match=r"cases\['a'\] must be a dict of options, got int"):
        figures.convolution_grids({"a": 2})
