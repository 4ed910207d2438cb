import pytest

from neocog import figures


def lines(figure, label):
    """The number of lines of each group."""
    found = [trace for trace in figure.data if str(trace.name).startswith(f"{label}, group")]
    return [len(trace.x) // 3 for trace in found]


def test_a_line_is_a_weight_and_a_colour_is_a_group(words):
    figure = figures.channel_connections({"all": 1, "halves": 2, "depthwise": 4}, 4, 8)
    assert lines(figure, "all") == [32]
    assert lines(figure, "halves") == [8, 8]
    assert lines(figure, "depthwise") == [2] * 4
    texts = words(figure)
    assert "4·8/1 = 32 weights" in texts
    assert "4·8/4 = 8 weights" in texts
    depthwise = [trace for trace in figure.data if str(trace.name).startswith("depthwise, group")]
    assert len({trace.line.color for trace in depthwise}) == 4
    (outs,) = [trace for trace in figure.data if trace.name == "depthwise, out"]
    assert list(outs.marker.color) == [trace.line.color for trace in depthwise for _ in range(2)]
    assert outs.text == tuple("01234567")


def test_many_channels_have_small_discs():
    figure = figures.channel_connections({"all": 1}, 32, 32)
    assert lines(figure, "all") == [1024]
    (outs,) = [trace for trace in figure.data if trace.name == "all, out"]
    assert outs.mode == "markers"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (({"a": 3}, 4, 4), r"groups\['a'\] must divide in_channels, 4, got 3"),
        (({"a": 4}, 4, 6), r"groups\['a'\] must divide out_channels, 6, got 4"),
        (({"a": 0}, 4, 4), r"groups\['a'\] must be at least 1, got 0"),
        (({"a": 1}, 4, 33), "out_channels must be at most 32 to be drawn, got 33"),
        (({}, 4, 4), "groups must not be empty"),
    ],
)
def test_bad_groups_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        figures.channel_connections(*arguments)
