"""What a trace records, and how it is printed."""

import numpy as np
import pytest

from neocog.inspection import explain, trace
from neocog.layers import (
    Add,
    BatchNorm2D,
    Container,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Graph,
    ReLU,
    Sequential,
)
from neocog.models import digits_cnn, tiny_cnn


def test_a_trace_is_printed_as_a_table_of_its_layers():
    seen = trace(tiny_cnn(), np.zeros((2, 1, 8, 8)))
    assert repr(seen) == str(seen)
    assert repr(seen).splitlines() == [
        "Trace(x (2, 1, 8, 8), inference)",
        "  conv1    Conv2D(1, 3, 3)  (2, 3, 6, 6)",
        "  relu1    ReLU()           (2, 3, 6, 6)",
        "  pool1    MaxPool2D(2)     (2, 3, 3, 3)",
        "  flatten  Flatten()        (2, 27)",
        "  dense    Dense(27, 3)     (2, 3)",
    ]
    seen = trace(tiny_cnn(), np.zeros((1, 1, 8, 8)), [0], training=True)
    assert repr(seen).startswith("Trace(x (1, 1, 8, 8), training, loss 1.09861)")  # log 3


def test_a_deep_trace_is_cut_in_the_middle():
    lines = repr(trace(Sequential(*(ReLU() for _ in range(40))), np.zeros((1, 1)))).splitlines()
    assert len(lines) == 14
    assert [line.split()[0] for line in lines[1:]] == [*"012345", "...", *map(str, range(34, 40))]
    assert "28 more layers" in lines[7]
    assert len(repr(trace(Sequential(*(ReLU() for _ in range(12))), np.zeros((1, 1)))).splitlines()) == 13


def test_a_record_is_printed_on_a_line():
    nodes = {"a": (Dense(4, 3, rng=0), "input"), "b": (ReLU(), "a"), "sum": (Add(), "a", "b")}
    seen = trace(Graph(nodes), np.zeros((2, 4)))
    assert repr(seen["b"]) == "LayerRecord(b: ReLU(), x (2, 3), y (2, 3))"
    assert str(seen["sum"]) == "LayerRecord(sum: Add(), x (2, 3), (2, 3), y (2, 3))"
    seen = trace(Graph(nodes), np.zeros((2, 4)), [0, 1])
    assert repr(seen["b"]) == "LayerRecord(b: ReLU(), x (2, 3), y (2, 3), with gradients)"


def test_an_explanation_is_printed_on_a_line():
    answer = explain(digits_cnn(), np.zeros((1, 1, 8, 8)), "dense", (0, 3))
    assert len(str(answer).splitlines()) == len(repr(answer).splitlines()) == 1
    assert len(repr(answer)) < 100


def test_a_container_of_another_kind_is_refused_with_a_way_out():
    class Own(Container):
        pass

    with pytest.raises(
        TypeError, match=r"a Own cannot be traced: .* Derive it from one of these, or from Layer"
    ):
        trace(Own({"a": ReLU()}), np.zeros((1, 1)))


def test_the_network_of_a_trace_is_as_it_was():
    network = Sequential(
        conv=Conv2D(1, 2, 2, rng=0), norm=BatchNorm2D(2), drop=Dropout(0.5, rng=1), flatten=Flatten()
    )
    x = np.random.default_rng(0).normal(size=(3, 1, 4, 4))
    seen = trace(network, x, training=True)
    for name, buffer in network.buffers.items():
        np.testing.assert_array_equal(seen.network.buffers[name], buffer)
    np.testing.assert_array_equal(trace(seen.network, x, training=True).output, seen.output)
