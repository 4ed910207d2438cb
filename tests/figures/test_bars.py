import pytest

from neocog import figures

NETWORKS = [
    ("LeNet-5", 1998, 5, 61_706),
    ("AlexNet", 2012, 8, 60_965_224),
    ("VGG-16", 2014, 16, 138_357_544),
    ("ResNet-50", 2015, 50, 25_557_032),
]


def test_parameter_bars_say_count_and_multiple():
    (bars,) = figures.parameter_bars({"dense": 33_280, "convolution": 80}).data
    assert list(bars.x) == [33_280, 80]
    assert list(bars.y) == ["dense", "convolution"]
    assert list(bars.text) == ["33,280  (416×)", "80"]


def test_parameter_bars_take_zeros_and_logarithms():
    assert list(figures.parameter_bars({"pool": 0, "dense": 10}).data[0].text) == ["0", "10"]
    assert figures.parameter_bars({"a": 1, "b": 10_000}, log=True).layout.xaxis.type == "log"


@pytest.mark.parametrize(
    ("counts", "error", "message"),
    [
        ({}, ValueError, "counts must not be empty"),
        ({"a": -1}, ValueError, r"counts\['a'\] must be at least 0"),
        ({"a": 1.5}, TypeError, r"counts\['a'\] must be an integer"),
        ([1], TypeError, "counts must be a dict"),
    ],
)
def test_bad_counts_are_refused(counts, error, message):
    with pytest.raises(error, match=message):
        figures.parameter_bars(counts)


def test_class_count_bars():
    figure = figures.class_count_bars(
        {
            "3 classes": {"TinyCNN": (1.0, 114), "TinyMLP": (0.99, 1227)},
            "4 classes": {"TinyCNN": (0.98, 142), "TinyMLP": (1.0, 1246)},
        }
    )
    drawn = {(t.name, t.yaxis): list(t.y) for t in figure.data}
    assert drawn == {
        ("TinyCNN", None): [1.0, 0.98],
        ("TinyCNN", "y2"): [114, 142],
        ("TinyMLP", None): [0.99, 1.0],
        ("TinyMLP", "y2"): [1227, 1246],
    }
    assert all(list(t.x) == ["3 classes", "4 classes"] for t in figure.data)


def test_class_count_bars_refuse_what_does_not_fit():
    with pytest.raises(ValueError, match=r"must hold the networks \['a'\], got \['b'\]"):
        figures.class_count_bars({"3": {"a": (1.0, 1)}, "4": {"b": (1.0, 1)}})
    with pytest.raises(ValueError, match=r"the accuracy of 'a' in '3' must be in \[0, 1\], got 99"):
        figures.class_count_bars({"3": {"a": (99, 1)}})


@pytest.mark.parametrize("as_dict", [False, True])
def test_network_table(as_dict):
    rows = NETWORKS
    if as_dict:
        rows = [dict(zip(("name", "year", "layers", "parameters"), row, strict=True)) for row in rows]
    cells = figures.network_table(rows).data[0].cells.values
    assert list(cells[0]) == ["<b>LeNet-5</b>", "<b>AlexNet</b>", "<b>VGG-16</b>", "<b>ResNet-50</b>"]
    assert list(cells[1]) == ["1998", "2012", "2014", "2015"]
    assert list(cells[2]) == ["5", "8", "16", "50"]
    assert list(cells[3]) == ["61,706", "60,965,224", "138,357,544", "25,557,032"]


def test_network_table_refuses_other_rows():
    with pytest.raises(ValueError, match="rows must not be empty"):
        figures.network_table([])
    with pytest.raises(ValueError, match="a row must be"):
        figures.network_table([("LeNet-5", 1998)])
    with pytest.raises(ValueError, match="a row must have the entries"):
        figures.network_table([{"name": "LeNet-5"}])
    with pytest.raises(TypeError, match="parameters of LeNet-5 must be an integer"):
        figures.network_table([("LeNet-5", 1998, 5, "61k")])


def test_probabilities_are_bars_with_percentages_and_the_target_is_marked(words):
    figure = figures.probability_bars([0.5, 0.375, 0.125], ["cat", "dog", "owl"], target=1)
    (bars,) = figure.data
    assert list(bars.customdata) == [0.5, 0.375, 0.125]
    assert bars.x[0] == 4 * bars.x[2]
    assert words(figure) == ["cat", "50.0%", "<b>dog</b> (target)", "37.5%", "owl", "12.5%"]
    assert len(set(bars.marker.color)) == 3  # wrong, target, other
    assert figure.layout.title.subtitle.text == "most probable: cat; target: dog"


def test_a_right_answer_is_marked_once_and_no_target_marks_the_answer():
    right = figures.probability_bars([0.1, 0.9], None, target=1)
    wrong = figures.probability_bars([0.9, 0.1], None, target=1)
    open_ = figures.probability_bars([0.1, 0.9])
    assert right.data[0].marker.color[1] == wrong.data[0].marker.color[1]
    assert (
        len({right.data[0].marker.color[1], wrong.data[0].marker.color[0], open_.data[0].marker.color[1]})
        == 3
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.5, 0.4],), r"probabilities must be at least 0 and add up to 1, got \[0.5, 0.4\]"),
        (([1.5, -0.5],), "probabilities must be at least 0"),
        (([[1.0]],), r"probabilities must have 1 dimensions, got shape \(1, 1\)"),
        (([0.5, 0.5], ["a"]), r"class_names must name all 2 classes, got \['a'\]"),
        (([0.5, 0.5], None, 2), "target must be below 2, the number of classes, got 2"),
    ],
)
def test_what_is_no_probability_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        figures.probability_bars(*arguments)
