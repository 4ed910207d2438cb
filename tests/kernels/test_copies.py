"""Copies between arrays of any layout."""

import itertools

import numpy as np
import pytest

from neocog.kernels.fused.lowering import copies
from neocog.kernels.fused.program import Program, address


def run_copy(x, y, adding=False):
    """Copy between two arrays of one shape, of four axes with any strides, by a program."""
    program = Program(x.dtype)
    steps = [tuple(s // a.itemsize for s in a.strides) for a in (x, y)]
    copies.copy(program, x, steps[0], y, x.shape, steps[1], adding)
    program.finish()
    program.run()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(2, 3, 17, 9), (1, 1, 8, 8), (1, 1, 784, 64), (40, 1, 2, 1)])
def test_copies_between_all_orders_of_the_axes(shape, dtype):
    rng = np.random.default_rng(0)
    for order in itertools.permutations(range(4)):
        x = rng.normal(size=shape).astype(dtype).transpose(order)
        expected = np.ascontiguousarray(x)
        y = np.full(x.shape, np.nan, dtype)
        run_copy(x, y)
        np.testing.assert_array_equal(y, expected)
        run_copy(x, y, adding=True)
        np.testing.assert_array_equal(y, 2 * expected)


@pytest.mark.parametrize("side", [1, 7, 8, 9, 16, 23])
def test_a_transposition_writes_nothing_beside_its_target(side):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, 2, side, 19)).astype("float32").transpose(0, 1, 3, 2)
    around = np.full((1, 2, 19 + 3, side + 5), -1.0, "float32")
    y = around[:, :, 1:-2, 2:-3]
    run_copy(x, y)
    np.testing.assert_array_equal(y, x)
    y[...] = -1
    assert (around == -1).all()


def test_the_address_of_an_array_is_that_of_its_first_number():
    array = np.zeros((4, 5))
    for each in (array, array[2:, 3:], array[::-1], np.zeros(0), np.asfortranarray(array)):
        assert address(each) == each.ctypes.data
