"""The figures of a convolution, against the 4 x 4 picture worked out by hand."""

import numpy as np
import pytest

from neocog import figures

X = [[1, 0, 2, 1], [0, 1, 3, 0], [2, 1, 0, 1], [1, 2, 1, 0]]
K = [[1, 0], [-1, 2]]
DY = [[1, 0, 0], [0, 0, -1], [0, 2, 0]]
DX = [[1, 0, 0, 0], [-1, 2, -1, 0], [0, 2, 1, -2], [0, -2, 4, 0]]
Y = [[3, 5, -1], [0, 0, 5], [5, 1, -1]]


def shown_at(figure, frame):
    """The figure's traces as they are when a frame is shown."""
    traces = {k: trace.to_plotly_json() for k, trace in enumerate(figure.data)}
    for index, part in zip(frame.traces, frame.data, strict=True):
        traces[index] |= part.to_plotly_json()
    return list(traces.values())


def numbers(traces, name):
    (found,) = [trace for trace in traces if trace.get("name") == name]
    return np.array(found["z"], float)


def written(traces):
    """The text that is not in a cell."""
    return [trace["text"][0] for trace in traces if trace["type"] == "scatter" and "text" in trace][-1]


def test_the_kernel_slides_over_every_position():
    figure = figures.sliding_kernel(X, K)
    assert [frame.name for frame in figure.frames] == [f"{i}, {j}" for i in range(3) for j in range(3)]
    (slider,) = figure.layout.sliders
    assert [step.args[0][0] for step in slider.steps] == [frame.name for frame in figure.frames]
    assert slider.active == 0
    seen = shown_at(figure, figure.frames[5])  # 1, 2
    np.testing.assert_array_equal(numbers(seen, "picture"), X)
    np.testing.assert_array_equal(numbers(seen, "kernel"), K)
    np.testing.assert_array_equal(numbers(seen, "window"), [[3, 0], [0, 1]])
    np.testing.assert_array_equal(numbers(seen, "products"), [[3, 0], [0, 2]])
    np.testing.assert_array_equal(numbers(seen, "output"), [*Y[:2], [np.nan] * 3])
    assert written(seen).replace("\N{NO-BREAK SPACE}", " ") == "3·1 + 0·0 + 0·(−1) + 1·2 + bias 0 = <b>5</b>"


def test_the_last_frame_is_the_whole_output_and_the_figure_opens_at_the_first():
    figure = figures.sliding_kernel(X, K, 10)
    np.testing.assert_array_equal(
        numbers(shown_at(figure, figure.frames[-1]), "output"), np.array(Y, float) + 10
    )
    opened = [trace.to_plotly_json() for trace in figure.data]
    first = shown_at(figure, figure.frames[0])
    assert numbers(opened, "output")[0, 0] == numbers(first, "output")[0, 0] == 13
    assert np.isnan(numbers(opened, "output")).sum() == 8
    assert written(opened) == written(first)


def test_numbers_are_written_in_the_cells():
    figure = figures.sliding_kernel(X, K)
    (kernel,) = [trace for trace in figure.data if trace.name == "kernel"]
    assert [list(row) for row in kernel.text] == [["1", "0"], ["−1", "2"]]
    (output,) = [trace for trace in figure.data if trace.name == "output"]
    assert [text.strip() for text in output.text[0]] == ["3", "", ""]


def test_the_window_moves_by_the_stride_and_padding_is_zeros_around_the_picture():
    figure = figures.sliding_kernel(X, K, stride=2, padding=1)
    assert len(figure.frames) == 9
    seen = shown_at(figure, figure.frames[4])  # 1, 1: rows and columns 1 and 2 of the picture
    np.testing.assert_array_equal(numbers(seen, "window"), [[1, 3], [1, 0]])
    np.testing.assert_array_equal(numbers(seen, "output"), [[2, 4, -1], [4, 0, np.nan], [np.nan] * 3])
    zeros = [trace for trace in figure.data if trace.type == "scatter" and trace.text == ("0",) * 20]
    assert len(zeros) == 1
    corners = [trace.x[:5] for trace in figure.data if trace.type == "scatter" and trace.line.width == 3]
    assert corners[0] == (0, 14, 14, 0, 0)  # two cells wide


def test_a_dilated_kernel_touches_separate_cells():
    figure = figures.sliding_kernel(X, K, dilation=2)
    assert len(figure.frames) == 4
    np.testing.assert_array_equal(numbers(shown_at(figure, figure.frames[3]), "window"), [[1, 0], [2, 0]])
    (window, *_) = [trace for trace in figure.data if trace.type == "scatter" and trace.line.width == 3]
    assert len(window.x) == 4 * 6


def test_a_wide_picture_has_its_output_below():
    figure = figures.sliding_kernel(np.ones((4, 12)), np.ones((2, 2)))
    (output,) = [trace for trace in figure.data if trace.name == "output"]
    (picture,) = [trace for trace in figure.data if trace.name == "picture"]
    assert output.y0 > picture.y0 + 4 * picture.dy
    assert output.dx == picture.dx == 7


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (([1, 2], K), {}, r"x must have 2 dimensions, got shape \(2,\)"),
        ((X, [1]), {}, r"w must have 2 dimensions, got shape \(1,\)"),
        ((X, K), {"stride": 0}, "stride must be at least 1, got 0"),
        ((X, K), {"padding": -1}, "padding must be at least 0, got -1"),
        ((X, K), {"dilation": 4}, r"w must fit into the padded picture of 4 × 4, got .* spans 5 × 5"),
        ((np.zeros((14, 14)), K), {"padding": 1}, r"x must be at most 14 × 14 with its padding.*\(16, 16\)"),
        ((X, [[np.nan]]), {}, "w must be finite, got nan"),
    ],
)
def test_what_cannot_be_convolved_is_refused(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        figures.sliding_kernel(*arguments, **options)


def test_a_bias_is_a_number():
    with pytest.raises(TypeError, match="bias must be a number, got 'b'"):
        figures.sliding_kernel(X, K, "b")


def test_every_dy_stamps_its_kernel():
    figure = figures.stamping(DY, K)
    assert [frame.name for frame in figure.frames] == [f"{i}, {j}" for i in range(3) for j in range(3)]
    first, middle, last = (shown_at(figure, figure.frames[k]) for k in (0, 5, 8))
    np.testing.assert_array_equal(numbers(first, "dx"), [[1, 0, 0, 0], [-1, 2, 0, 0], [0] * 4, [0] * 4])
    np.testing.assert_array_equal(numbers(middle, "dy[i, j]"), [[-1]])
    np.testing.assert_array_equal(numbers(middle, "stamp"), [[-1, 0], [1, -2]])
    np.testing.assert_array_equal(
        numbers(middle, "dx"), [[1, 0, 0, 0], [-1, 2, -1, 0], [0, 0, 1, -2], [0] * 4]
    )
    np.testing.assert_array_equal(numbers(last, "dx"), DX)
    np.testing.assert_array_equal(numbers(last, "dy"), DY)
    opened = [trace.to_plotly_json() for trace in figure.data]
    np.testing.assert_array_equal(numbers(opened, "dx"), numbers(first, "dx"))
    overlap = shown_at(figure, figure.frames[7])  # 2, 1: two stamps meet at dx[2, 2]
    np.testing.assert_array_equal(numbers(overlap, "dx before"), [[0, 1], [0, 0]])
    np.testing.assert_array_equal(numbers(overlap, "stamp "), [[2, 0], [-2, 4]])
    np.testing.assert_array_equal(numbers(overlap, "dx after"), [[2, 1], [-2, 4]])
    assert written(middle) == "dx[1:3, 2:4] += −1 * w"


def test_stamps_are_a_stride_apart_and_overlap_adds():
    figure = figures.stamping([[1, 1]], [[1, 2, 3]], stride=2)
    np.testing.assert_array_equal(numbers(shown_at(figure, figure.frames[1]), "dx"), [[1, 2, 4, 2, 3]])
    np.testing.assert_array_equal(numbers(shown_at(figure, figure.frames[1]), "dx before"), [[3, 0, 0]])


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (([1, 2], K), {}, r"dy must have 2 dimensions, got shape \(2,\)"),
        ((DY, [1]), {}, r"w must have 2 dimensions, got shape \(1,\)"),
        ((DY, K), {"stride": 0}, "stride must be at least 1, got 0"),
        ((DY, K), {"stride": 7}, r"dy must be at most 14 × 14 after stamping.*got \(16, 16\)"),
    ],
)
def test_what_cannot_be_stamped_is_refused(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        figures.stamping(*arguments, **options)
