"""Flat nodes with dotted names become nested containers."""

import pytest

from neocog.interop.nesting import assemble
from neocog.layers import Add, Dense, Graph, ReLU, Residual, Sequential


def dense():
    return Dense(2, 2, rng=0)


CASES = {
    "groups of a chain": (
        {"a.0.fc": (dense(), "x"), "a.0.relu": (ReLU(), "a.0.fc"), "a.1": (dense(), "a.0.relu")},
        "a.1",
        ["a.0.fc", "a.0.relu", "a.1"],
    ),
    "a layer without arrays between the members": (
        {"a.0": (dense(), "x"), "relu": (ReLU(), "a.0"), "a.1": (dense(), "relu")},
        "a.1",
        ["a.0", "a.relu", "a.1"],
    ),
    "a layer with arrays between the members": (
        {"a.0": (dense(), "x"), "fc": (dense(), "a.0"), "a.1": (dense(), "fc")},
        "a.1",
        ["a_0", "fc", "a_1"],
    ),
    "a member read from outside: the groups in it stay": (
        {"a.0.fc": (dense(), "x"), "a.1": (dense(), "a.0.fc"), "add": (Add(), "a.0.fc", "a.1")},
        "add",
        ["a_0.fc", "a_1", "add"],
    ),
    "a name that is taken": (
        {"a_0": (dense(), "x"), "a.0": (dense(), "a_0"), "fc": (dense(), "a.0"), "a.1": (dense(), "fc")},
        "a.1",
        ["a_0", "a_0_", "fc", "a_1"],
    ),
    "a group with the name of the input": (
        {"x.0": (dense(), "x"), "x.1": (dense(), "x.0")},
        "x.1",
        ["x_0", "x_1"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_layers_and_their_names(case):
    nodes, output, names = CASES[case]
    leaves = dict(assemble(nodes, ["x"], output).leaves())
    assert list(leaves) == names
    assert [id(layer) for layer in leaves.values()] == [id(layer) for layer, *_ in nodes.values()]


def test_a_chain_is_a_sequential_unless_that_is_not_wanted():
    nodes = {"fc": (dense(), "x"), "relu": (ReLU(), "fc")}
    assert type(assemble(nodes, ["x"], "relu")) is Sequential
    assert type(assemble(nodes, ["x"], "relu", chain=False)) is Graph


def test_a_group_of_several_inputs_has_inputs_named_after_them():
    nodes = {
        "b.0": (dense(), "x"),
        "c": (dense(), "x"),
        "a.b_0": (ReLU(), "b.0"),
        "a.add": (Add(), "a.b_0", "c"),
    }
    network = assemble(nodes, ["x"], "a.add")
    inner = network.children["a"]
    assert inner.inputs == ("b", "c")
    assert list(inner.children) == ["b_0", "add"]


@pytest.mark.parametrize("shortcut", [False, True])
def test_a_residual_is_known_by_its_names(shortcut):
    nodes = {"body": (dense(), "x")}
    if shortcut:
        nodes["shortcut"] = (dense(), "x")
    nodes["add"] = (Add(), "body", "shortcut" if shortcut else "x")
    assert type(assemble(nodes, ["x"], "add")) is Residual
    nodes["add"] = (Add(), *reversed(nodes["add"][1:]))
    assert type(assemble(nodes, ["x"], "add")) is Graph
