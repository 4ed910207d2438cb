"""The fields of the fused operations: declared where they are read, checked where they are set."""

import ast
import inspect
import re
import textwrap

import numpy as np
import pytest

from neocog.kernels.fused.machine import ROW
from neocog.kernels.fused.operation import HEADER, OPERATIONS, SETTINGS, Operation, operation, row_layout
from neocog.kernels.fused.program import Program


def read_fields(function, argument="p"):
    """Fields that a function reads, itself or in the functions of its module that it hands the row to."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    fields = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == argument:
            fields.add(node.attr)
        elif isinstance(node, ast.Call) and any(getattr(a, "id", "") == argument for a in node.args):
            callee = {**function.__globals__, **inspect.getclosurevars(function).nonlocals}[node.func.id]
            fields |= read_fields(getattr(callee, "py_func", callee))
    return fields


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_reads_the_fields_that_it_declares_and_no_others(name):
    each = OPERATIONS[name]
    read, declared = read_fields(each.function), set(each.fields)
    assert read <= declared, f"{name} does not declare {read - declared}"
    # Feature maps declare plane and row along; one of them may be of no use.
    unread = {field for field in declared - read if not re.search("_(plane|row)$", field)}
    assert not unread, f"{name} declares {unread} for nothing"


def test_a_row_holds_the_fields_of_all_operations_once():
    names = [*HEADER, SETTINGS, *(field for each in OPERATIONS.values() for field in each.fields)]
    assert set(ROW.names) == set(names)
    assert len(ROW.names) == len(set(names))
    assert ROW.names[:2] == HEADER  # the machine reads the first two numbers


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_field_that_an_operation_does_not_declare_is_refused_with_its_name(name):
    program = Program(np.dtype("float32"))
    with pytest.raises(TypeError, match=rf"the operation '{name}' declares no field \['blok'\]"):
        program.add_units(name, 1, blok=3)
    assert program.rows == []


def test_a_field_of_another_operation_is_refused_too():
    program = Program(np.dtype("float32"))
    maps = program.maps(1, 1, 1, 1)
    with pytest.raises(TypeError, match=r"'max_pool' declares no field \['low', 'z', 'z_plane', 'z_row'\]"):
        program.add("max_pool", 1, x=maps, z=maps, low=0.0)


def test_a_misspelt_field_does_not_compile():
    def clear(p, unit, scratch, zero):
        scratch += p.kount

    misspelt = Operation(clear, integers="count")
    with pytest.raises(Exception, match="'kount'"):
        misspelt.address(np.dtype("float32"))


def test_one_name_has_one_type(monkeypatch):
    monkeypatch.setattr("neocog.kernels.fused.operation.OPERATIONS", dict(OPERATIONS))

    @operation(integers="low")
    def odd(p, unit, scratch, zero):
        """Read an integer that is a number elsewhere."""

    with pytest.raises(TypeError, match="the field 'low' of the operation 'odd' has two types"):
        row_layout.__wrapped__()


def test_maps_set_three_fields_and_none_sets_nothing():
    program = Program(np.dtype("float32"))
    maps = program.maps(2, 3, 5, 7, (1, 1, 2, 2))  # rows of (2 + 5 + 2) 7 numbers, planes of 1 + 3 + 1 rows
    program.add("plane_sum", 2, dy=maps, d_bias=None)
    row = program.rows[-1]
    assert (row["dy_row"], row["dy_plane"]) == (63, 315)
    assert row["dy"] == (maps.memory, 63 + 14)  # behind a row and two pixels of border
    assert "d_bias" not in row
