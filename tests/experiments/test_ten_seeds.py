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
    assert "in ten of ten runs; two filters carry them in nine, a single one in two" in answer
    five = ("5 classes, 3 filters", "5 classes, 2 filters", "5 classes, 1 filter")
    assert [perfect(rows[name]) for name in five] == [10, 9, 2]


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
