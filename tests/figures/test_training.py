import math

import numpy as np
import pytest

from neocog import figures
from neocog.training import History


def test_learning_curves_draw_the_history(run):
    _, _, history, _ = run
    figure = figures.learning_curves(history, classes=3)
    drawn = {(t.yaxis, t.legendgroup): t.y for t in figure.data}
    for key, column in {
        ("y", "running"): "running_loss",
        ("y", "train"): "train_loss",
        ("y", "val"): "val_loss",
        ("y2", "train"): "train_accuracy",
        ("y2", "val"): "val_accuracy",
    }.items():
        np.testing.assert_array_equal(drawn[key], history[column])
    assert all(list(t.x) == [0, 1, 2, 3] for t in figure.data)
    shown = [t.name for t in figure.data if t.showlegend]
    assert sorted(shown) == ["running", "training", "validation"]


def test_legends_of_several_rows_have_room():
    epochs = {"epoch": [0, 1], "train_loss": [1.0, 0.5]}
    one = figures.learning_curves(epochs).layout
    three = figures.learning_curves({**epochs, "running_loss": [1, 1], "val_loss": [1, 1]}).layout
    assert three.margin.t - one.margin.t == three.height - one.height == 26  # "validation" has its own row
    few, many = (
        figures.compare_curves(dict.fromkeys(names, epochs), "train_loss").layout
        for names in (("constant", "stair"), ("constant", "stair", "cosine", "warm-up", "one cycle"))
    )
    assert many.margin.t - few.margin.t == many.height - few.height == 26


def test_the_chance_line_is_at_one_over_classes(run):
    _, _, history, _ = run
    (line,) = figures.learning_curves(history, classes=4).layout.shapes
    assert (line.y0, line.y1, line.yref) == (0.25, 0.25, "y2")
    assert not figures.learning_curves(history).layout.shapes
    (line,) = figures.compare_curves({"a": history}, classes=3).layout.shapes
    assert line.y0 == 1 / 3
    assert not figures.compare_curves({"a": history}, "val_loss", classes=3).layout.shapes


def test_what_was_not_measured_is_left_out():
    figure = figures.learning_curves(
        {"epoch": [0, 1], "train_loss": [1.0, math.nan], "val_loss": [None, None]}
    )
    assert [t.name for t in figure.data] == ["training"]
    assert figure.layout.yaxis.title.text == "loss"
    accuracy = figures.learning_curves({"val_accuracy": [0.1, 0.9]}, classes=2)
    assert accuracy.layout.yaxis.title.text == "accuracy"
    assert list(accuracy.data[0].x) == [0, 1]
    assert accuracy.layout.shapes[0].yref == "y"


@pytest.mark.parametrize(
    ("history", "error", "message"),
    [
        (History(), ValueError, "at least one row"),
        ({}, ValueError, "history must not be empty"),
        ([1, 2], TypeError, "history must be a dict of column name to sequence, or a History"),
        ({"los": [1.0]}, ValueError, "a column of history must be one of"),
        ({"epoch": [0, 1], "train_loss": [1.0]}, ValueError, "columns of one length"),
        ({"epoch": [0, 1], "lr": [1.0, 1.0]}, ValueError, "must hold a loss or an accuracy"),
    ],
)
def test_bad_histories_are_refused(history, error, message):
    with pytest.raises(error, match=message):
        figures.learning_curves(history)


def test_chance_needs_two_classes(run):
    with pytest.raises(ValueError, match="classes must be at least 2"):
        figures.learning_curves(run[2], classes=1)


def test_compare_curves_draw_one_column_of_each(run):
    _, _, history, _ = run
    other = {"epoch": [0, 1], "train_loss": [2.0, 1.0]}
    figure = figures.compare_curves({"ours": history, "theirs": other}, "train_loss")
    assert [t.name for t in figure.data] == ["ours", "theirs"]
    np.testing.assert_array_equal(figure.data[0].y, history["train_loss"])
    assert list(figure.data[1].y) == [2.0, 1.0]
    assert figure.data[0].line.color != figure.data[1].line.color
    assert figure.data[0].line.dash != figure.data[1].line.dash  # told apart in grey too


def test_compare_curves_say_what_is_missing(run):
    with pytest.raises(
        ValueError, match=r"histories\['a'\] must hold val_accuracy, got only epoch, train_loss"
    ):
        figures.compare_curves({"a": {"epoch": [0], "train_loss": [1.0]}})
    with pytest.raises(ValueError, match="column must be one of"):
        figures.compare_curves({"a": run[2]}, "accuracy")


def test_the_kept_epoch_has_a_line():
    figure = figures.learning_curves({"epoch": [0, 1, 2], "train_loss": [3, 2, 1]}, kept=1)
    assert [shape.x0 for shape in figure.layout.shapes] == [1]
    assert figure.layout.annotations[-1].text == "epoch 1 kept"


def test_the_images_that_are_held_out_are_named_so():
    history = {"epoch": [0, 1], "train_loss": [2, 1], "val_loss": [2, 2], "val_accuracy": [0.1, 0.2]}
    named = [
        [t.name for t in figures.learning_curves(history, **kw).data] for kw in ({}, {"val": "held out"})
    ]
    assert named == [["training", "validation", "validation"], ["training", "held out", "held out"]]
