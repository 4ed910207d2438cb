"""What the studies' answers say of ten seeds, in numbers worked out from the tables of all repetitions."""

import re

import numpy as np
import pytest

import neocog
from neocog import experiments

pytestmark = [pytest.mark.nightly, pytest.mark.xdist_group("ten seeds")]


def tables(name):
    """Return the answer of a study, and {row: {column: the ten numbers}}."""
    with neocog.use_kernels("fused"):
        result = experiments.run(name, seeds=10)
    rows = {}
    for i, row in enumerate(result.rows):
        label = row[result.columns[0]]
        rows[label] = {column: [table[i][column] for table in result.repetitions] for column in row}
    return result.answer, rows


def perfect(row):
    return sum(accuracy == 1.0 for accuracy in row["val_accuracy"])


def test_mlp_capacity():
    answer, rows = tables("mlp-capacity")
    assert "One is enough in 8 of 10 runs, two in 7, four or more in all" in answer
    assert [perfect(row) for row in rows.values()] == [8, 7, 10, 10, 10, 10, 10]
    assert rows["1 hidden"]["parameters"][0] == 64 + 1 + 3 + 3
    assert rows["1 hidden"]["dead_units"] == [1] + 9 * [0]  # the textbook's seed is the first
    assert rows["1 hidden"]["val_accuracy"][0] < 1


def test_learning_rates():
    answer, rows = tables("learning-rates")
    assert "0.05 to 0.5 do; 0.01 is slow (100 % in 3 of 10 runs)" in answer
    assert [perfect(row) for row in rows.values()] == [3, 10, 10, 10, 5]
    assert "at 1.0 five of ten runs lose all their filters" in answer
    assert sum(dead == 3 for dead in rows["lr 1"]["dead_units"]) == 5
    assert rows["lr 1"]["dead_units"][0] == 3


def test_momentum():
    answer, rows = tables("momentum")
    plain, fast = (np.array(row["first_at_100"]) for row in rows.values())
    assert np.all(fast < plain)
    numbers = [fast.mean(), fast.min(), fast.max(), plain.mean(), plain.min(), plain.max()]
    assert [float(n) for n in re.findall(r"\d+\.?\d*", answer.partition("100 % after ")[2])] == numbers
    losses = [np.array(row["val_loss"]) for row in rows.values()]
    assert (losses[1] > losses[0]).sum() == 2


def test_fifth_class():
    answer, rows = tables("fifth-class")
    assert "five in ten of ten runs, eight in nine and twelve in eight (99.7 % in the others)" in answer
    assert "Two filters carry five in nine runs, a single one in two" in answer
    names = ("5 classes with 3 filters", "8 classes with 3 filters", "12 classes with 3 filters")
    assert [perfect(rows[name]) for name in names] == [10, 9, 8]
    assert [perfect(rows[name]) for name in ("5 classes with 2 filters", "5 classes with 1 filter")] == [9, 2]
    assert sorted({f"{a:.3f}" for a in rows["12 classes with 3 filters"]["val_accuracy"]}) == [
        "0.997",
        "1.000",
    ]


def test_kernel_size():
    answer, rows = tables("kernel-size")
    assert [perfect(row) for row in rows.values()] == [10, 10, 10]
    means = [f"{np.mean(row['first_at_100']):.1f}" for row in rows.values()]
    assert "{}, {} and {} epochs on average".format(*means) in answer


def test_filter_count():
    answer, rows = tables("filter-count")
    assert "Two are enough in ten of ten runs; a single one in six" in answer
    assert [perfect(row) for row in rows.values()] == [6] + 7 * [10]
    assert rows["1 filter"]["val_accuracy"][0] == 1.0  # the textbook's seed


def test_digits():
    answer, rows = tables("digits")
    last = 100 * np.array(list(rows.values())[-1]["test_accuracy"])
    assert f"{last.mean():.1f} % of 450" in answer
    assert f"({last.min():.1f} to {last.max():.1f} %)" in answer
    assert last[0] == last.max()


def test_digits_in_pytorch():
    pytest.importorskip("torch")
    answer, rows = tables("digits-vs-pytorch")
    assert "Over ten runs both classify 94.6 % correctly" in answer
    for name in ("neocog", "PyTorch"):
        assert f"{100 * np.mean(rows[name]['test_accuracy']):.1f}" == "94.6"


def shares(values):
    values = 100 * np.array(values)
    return f"{values.mean():.1f} % ({values.min():.1f} to {values.max():.1f}".replace("100.0", "100")


def test_shift_invariance():
    answer, rows = tables("shift-invariance")
    for column, share in (("pooled_unchanged", "47.1 %"), ("predictions_unchanged", "88.9 %")):
        values = 100 * np.array([row[column] for row in rows.values()])
        assert share in answer
        assert f"{values.mean():.1f} %" == share
        assert f"({values.min():.1f} to {values.max():.1f}".replace("100.0", "100") in answer


def test_average_pooling():
    answer, rows = tables("average-pooling")
    first = [np.array(row["first_at_100"]) for row in rows.values()]
    assert f"{first[1].mean()} epochs on average ({first[1].min()} to {first[1].max()})" in answer
    assert f"against {first[0].mean()} ({first[0].min()} to {first[0].max()}), later in 9 of 10" in answer
    assert (first[1] > first[0]).sum() == 9
    assert [perfect(row) for row in rows.values()] == [10] * 4


def test_dot_class():
    answer, rows = tables("dot-class")
    four = rows["4 classes"]
    assert "9 of 10 runs classify every validation image correctly, the other 98.3 %" in answer
    assert perfect(four) == 9
    assert f"{min(four['val_accuracy']):.3f}" == "0.983"
    assert sum(four["dots_least"]) == 11
    assert sum(four["dots_most"]) == 4


def test_activations():
    answer, rows = tables("activations")
    first = [[epoch for epoch in row["first_at_100"] if epoch] for row in rows.values()]
    assert [len(found) for found in first] == [10, 7, 10]
    for values in first:
        assert f"{np.mean(values):.1f}" in answer
        assert f"({min(values)} to {max(values)})" in answer


def test_pooling_and_shifts():
    answer, rows = tables("pooling-and-shifts")
    accuracies = [row["shifted_accuracy"] for row in rows.values()]
    for values in accuracies:
        mean, spread = shares(values).split(" % ")
        assert f"{mean} %" in answer
        assert spread in answer
    ahead = np.sign(np.subtract(accuracies[0], accuracies[1]))
    assert ((ahead > 0).sum(), (ahead < 0).sum()) == (8, 1)


def test_overfitting():
    answer, rows = tables("overfitting")
    plain, decay, _, augmented = rows.values()
    for row in (plain, augmented):
        assert f"{100 * np.mean(row['val_accuracy']):.1f} %" in answer
    better = np.sign(np.subtract(augmented["val_accuracy"], plain["val_accuracy"]))
    assert ((better > 0).sum(), (better < 0).sum()) == (9, 0)
    assert np.all(np.array(decay["val_loss"]) < plain["val_loss"])
    assert (min(plain["its_epoch"]), max(plain["its_epoch"])) == (11, 19)


def test_shortcut_and_norm():
    answer, rows = tables("shortcut-and-norm")
    for row in rows.values():
        assert f"{100 * np.mean(row['train_accuracy']):.1f} %" in answer
    assert shares(rows["shortcut and batch norm"]["train_accuracy"]).split(" % ")[1] in answer


def test_filters():
    answer, rows = tables("filters")
    detects = [name for row in rows.values() for name in row["detects"]]
    alone = [detects.count(name) for name in ("vertical", "diagonal", "horizontal")]
    assert "25 respond to all three, 16 to two, 17 to one (8 vertical, 5 diagonal, 4 horizontal)" in answer
    assert alone == [8, 5, 4]
    assert (detects.count("all"), detects.count("nothing")) == (25, 2)
