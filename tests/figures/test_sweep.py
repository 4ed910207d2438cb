import math
import statistics

import pytest

from neocog import figures


def row(lr, filters, seed, accuracy, loss=0.5):
    return {
        "lr": lr,
        "filters": filters,
        "epochs": 3,
        "seed": seed,
        "val_accuracy": accuracy,
        "val_loss": loss,
    }


ROWS = [
    row(0.1, [8, 16], 0, 0.9),
    row(0.1, [8, 16], 1, 0.8),
    row(0.1, [4], 0, 0.6),
    row(0.1, [4], 1, 0.7),
    row(0.01, [8, 16], 0, 0.7),
    row(0.01, [8, 16], 1, None),
    row(0.01, [4], 0, None),
    row(0.01, [4], 1, math.nan),
]
KEYS = ["lr", "filters", "epochs"]


def test_a_line_goes_through_the_values_of_its_point():
    (lines,) = [t for t in figures.sweep(ROWS, KEYS).data if t.type == "parcoords"]
    lr, filters, accuracy = lines.dimensions  # epochs are the same everywhere
    assert (lr.label, lr.ticktext) == ("lr", ("0.01", "0.1"))
    assert (filters.label, filters.ticktext) == ("filters", ("4", "8-16"))
    trained = sorted(
        (r for r in ROWS if r["val_accuracy"] and r["val_accuracy"] > 0), key=lambda r: r["val_accuracy"]
    )
    assert list(accuracy["values"]) == [r["val_accuracy"] for r in trained] == [0.6, 0.7, 0.7, 0.8, 0.9]
    assert [round(v) for v in lr["values"]] == [("0.01", "0.1").index(str(r["lr"])) for r in trained]
    assert [round(v) for v in filters["values"]] == [[[4], [8, 16]].index(r["filters"]) for r in trained]
    assert list(lines.line.color) == list(accuracy["values"])


def test_lines_through_one_value_lie_beside_each_other_the_best_on_top():
    lines = figures.sweep(ROWS, KEYS).data[0]
    places = [v for v in lines.dimensions[0]["values"] if v > 0.5]  # of lr 0.1, the worst point first
    assert len(set(places)) == 4
    assert places == sorted(places)
    assert sum(places) / 4 == pytest.approx(1)


def test_a_row_shows_mean_deviation_and_seeds_of_a_setting():
    _, means, dots, crosses = figures.sweep(ROWS, KEYS).data
    labels = figures.sweep(ROWS, KEYS).layout.yaxis.ticktext
    # as they come, not by their means
    assert labels == (
        "lr 0.1, filters 8-16",
        "lr 0.1, filters 4",
        "lr 0.01, filters 8-16",
        "lr 0.01, filters 4",
    )
    assert list(means.x) == pytest.approx([0.85, 0.65, 0.7])
    assert list(means.error_x.array) == pytest.approx([statistics.pstdev([0.9, 0.8]), 0.05, 0])
    assert list(zip(dots.x, dots.y, strict=True)) == [(0.9, 0), (0.8, 0), (0.6, 1), (0.7, 1), (0.7, 2)]
    assert dots.hovertext[1] == "lr 0.1, filters 8-16, seed 1"
    assert list(crosses.y) == [2, 3, 3]


def test_values_of_which_all_points_diverged_keep_their_ticks():
    rows = [row(0.1, [4], 0, 0.8), row(0.2, [4], 0, 0.7), row(1e30, [4], 0, None)]
    lr, accuracy = figures.sweep(rows, KEYS).data[0].dimensions
    assert lr.ticktext == ("0.1", "0.2", "1e+30")
    assert [round(v) for v in lr["values"]] == [1, 0]
    assert len(accuracy["values"]) == 2


def test_names_are_in_the_order_of_the_grid_beside_numbers_by_size():
    rows = [
        {"network": n, "seed": 0, "val_accuracy": a}
        for n, a in (("small-cnn", 0.5), (None, 0.6), ("conv-net", 0.4))
    ]
    (lines, *_) = figures.sweep(rows, ["network"]).data
    assert set(lines.dimensions[0].ticktext) == {"small-cnn", "None", "conv-net"}


def test_only_the_best_settings_have_a_row():
    rows = [row(lr / 100, [4], 0, lr / 100) for lr in range(50, 0, -1)]
    figure = figures.sweep(rows, KEYS, most=3)
    assert figure.layout.yaxis.ticktext == ("lr 0.5", "lr 0.49", "lr 0.48")
    assert "below, the best 3" in figure.layout.title.subtitle.text
    assert len(figure.data[0].dimensions[0]["values"]) == 50


def test_one_setting_alone_has_no_parallel_coordinates():
    figure = figures.sweep([row(0.1, [4], s, 0.5 + s / 10) for s in range(3)], KEYS)
    assert [t.type for t in figure.data] == ["scatter", "scatter"]
    assert figure.layout.yaxis.ticktext == ("the one setting",)


@pytest.mark.parametrize(
    ("rows", "keys", "error", "message"),
    [
        ([], KEYS, ValueError, "at least one point with a validation accuracy"),
        ([row(0.1, [4], 0, None)], KEYS, ValueError, "at least one point with a validation accuracy"),
        ([{"lr": 1, "seed": 0}], ["lr"], ValueError, r"must have the entries \['val_accuracy'\]"),
        (ROWS, ["momentum"], ValueError, r"must have the entries \['momentum'\]"),
        (ROWS, "lr", TypeError, "keys must be a sequence of settings, got 'lr'"),
    ],
)
def test_what_cannot_be_drawn_is_refused(rows, keys, error, message):
    with pytest.raises(error, match=message):
        figures.sweep(rows, keys)
