import numpy as np
import pytest
import torch

from neocog.layers import Add, Concat, MatMul, Maximum, Minimum, Multiply
from neocog.layers.base import Field


def test_add_by_hand():
    x = (np.array([1.0, 2.0]), np.array([10.0, 20.0]), np.array([100.0, 200.0]))
    y, cache = Add().forward(x)
    assert y.tolist() == [111.0, 222.0]
    dx, grads = Add().backward(np.array([3.0, 4.0]), cache)
    assert [part.tolist() for part in dx] == [[3.0, 4.0]] * 3
    assert grads == {}


def test_add_repeats_what_is_smaller_by_hand():
    x = (
        np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]),
        np.array([[10.0], [20.0]]),
        np.array([100.0, 0.0, 0.0]),
    )
    y, cache = Add().forward(x)
    assert y.tolist() == [[111.0, 12.0, 13.0], [124.0, 25.0, 26.0]]
    dx, _ = Add().backward(np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), cache)
    assert dx[0].tolist() == [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
    assert dx[1].tolist() == [[6.0], [15.0]]
    assert dx[2].tolist() == [5.0, 7.0, 9.0]


def test_add_of_equal_shapes_copies_nothing():
    _, cache = Add().forward((np.ones((2, 3)), np.ones((2, 3))))
    dy = np.ones((2, 3))
    assert all(part is dy for part in Add().backward(dy, cache)[0])


def test_multiply_by_hand():
    x = (np.array([[2.0, 3.0], [4.0, 5.0]]), np.array([[10.0], [100.0]]))
    y, cache = Multiply().forward(x)
    assert y.tolist() == [[20.0, 30.0], [400.0, 500.0]]
    dx, grads = Multiply().backward(np.array([[1.0, 2.0], [3.0, 4.0]]), cache)
    assert dx[0].tolist() == [[10.0, 20.0], [300.0, 400.0]]
    assert dx[1].tolist() == [[2.0 + 6.0], [12.0 + 20.0]]
    assert grads == {}


def test_a_square_by_hand():
    x = np.array([3.0])
    y, cache = Multiply().forward((x, x))
    assert (y.tolist(), [part.tolist() for part in Multiply().backward(np.ones(1), cache)[0]]) == (
        [9.0],
        [[3.0], [3.0]],
    )


@pytest.mark.parametrize(("layer", "sign"), [(Maximum(), 1.0), (Minimum(), -1.0)])
def test_extrema_by_hand(layer, sign):
    """A tie of three, of two, a winner, and the winner of what is repeated."""
    a, b, c = np.array([1.0, 2.0, 5.0, 0.0]), np.array([1.0, 2.0, 3.0, 0.5]), np.array([1.0])
    y, cache = layer.forward((sign * a, sign * b, sign * c))
    assert (sign * y).tolist() == [1.0, 2.0, 5.0, 1.0]
    dx, _ = layer.backward(np.array([3.0, 4.0, 5.0, 6.0]), cache)
    assert [part.tolist() for part in dx] == [[1.0, 2.0, 5.0, 0.0], [1.0, 2.0, 0.0, 0.0], [7.0]]


@pytest.mark.parametrize("layer", [Maximum(), Minimum()])
def test_a_nan_wins(layer):
    y, _ = layer.forward((np.array([np.nan, 1.0, 1.0]), np.array([1.0, np.nan, 2.0])))
    assert np.isnan(y).tolist() == [True, True, False]


def test_concat_by_hand():
    y, cache = Concat().forward((np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[5.0], [6.0]])))
    assert y.tolist() == [[1.0, 2.0, 5.0], [3.0, 4.0, 6.0]]
    dx, grads = Concat().backward(np.array([[7.0, 8.0, 9.0], [1.0, 2.0, 3.0]]), cache)
    assert [part.tolist() for part in dx] == [[[7.0, 8.0], [1.0, 2.0]], [[9.0], [3.0]]]
    assert grads == {}


def test_a_product_of_matrices_by_hand():
    a, b = np.array([[[1.0, 2.0], [3.0, 4.0]]]), np.array([[[1.0, 0.0, 2.0], [-1.0, 1.0, 0.0]]])
    y, cache = MatMul().forward((a, b))
    assert y.tolist() == [[[-1.0, 2.0, 2.0], [-1.0, 4.0, 6.0]]]
    (da, db), grads = MatMul().backward(np.array([[[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]]]), cache)
    assert da.tolist() == [[[1.0, -1.0], [2.0, 1.0]]]  # the rows of dy times those of b
    assert db.tolist() == [[[1.0, 3.0, 3.0], [2.0, 4.0, 4.0]]]
    assert grads == {}


def test_same_as_pytorch(same_as_torch, normal):
    a, b, c = normal(2, 3, 4, 5), normal(2, 3, 4, 5), normal(2, 1, 4, 5)
    same_as_torch(Add(), lambda _, x, y: x + y, a, b)
    same_as_torch(Add(), lambda _, x, y, z: x + y + z, normal(3, 1, 1), a, normal(2, 1, 4, 1))
    same_as_torch(Add(), lambda _, x, y: x + y, normal(2, 1, 3), normal(4, 1))
    same_as_torch(Multiply(), lambda _, x, y: x * y, a, b)
    same_as_torch(Multiply(), lambda _, x, y, z: x * y * z, normal(2, 3, 1, 1), a, normal(2, 1, 4, 1))
    for layer, function in ((Maximum(), torch.maximum), (Minimum(), torch.minimum)):
        tied = np.where(a > 0, a, b)
        same_as_torch(layer, lambda _, x, y, function=function: function(x, y), a, tied)
        same_as_torch(layer, lambda _, x, y, function=function: function(x, y), a, normal(3, 1, 1))
    for right in (normal(2, 3, 5, 6), normal(2, 1, 5, 1)):
        same_as_torch(MatMul(), lambda _, x, y: x @ y, a, right)
    same_as_torch(Concat(), lambda _, *x: torch.cat(x, 1), a, c, b)
    same_as_torch(Concat(axis=3), lambda _, *x: torch.cat(x, 3), a, b)


def test_sizes():
    assert Add().output_shape(((2, 3), (2, 3))) == (2, 3)
    assert Add().flops(((2, 3), (2, 3), (2, 3))) == 12
    assert Add().output_shape(((2, 1, 5), (3, 1), (1,))) == (2, 3, 5)
    assert Add().flops(((2, 1, 5), (3, 1))) == 30
    assert Multiply().output_shape(((2, 3, 1, 1), (2, 3, 4, 4))) == (2, 3, 4, 4)
    assert Multiply().flops(((2, 3, 1, 1), (2, 3, 4, 4))) == 96
    assert MatMul().output_shape(((2, 3, 4, 5), (2, 1, 5, 6))) == (2, 3, 4, 6)
    assert MatMul().flops(((1, 3, 4), (1, 4, 5))) == 2 * 3 * 4 * 5
    assert Concat().output_shape(((2, 3, 4, 4), (2, 5, 4, 4))) == (2, 8, 4, 4)
    assert Concat(2).output_shape(((2, 3, 4, 4), (2, 3, 1, 4))) == (2, 3, 5, 4)
    assert Concat().flops(((2, 3), (2, 3))) == 0


@pytest.mark.parametrize("layer", [Add(), Multiply(), Maximum(), Concat()])
def test_the_widest_path_sets_the_receptive_field(layer):
    field = layer.receptive_field((Field((5, 1), (2, 2)), Field((3, 3), (2, 2))))
    assert (field.size, field.jump) == ((5, 3), (2, 2))


@pytest.mark.parametrize(
    ("layer", "shapes", "message"),
    [
        (Add(), [], r"Add needs inputs whose shapes broadcast, got \[\]"),
        (Add(), [(2, 3), (2, 2)], r"Add needs inputs whose shapes broadcast, got \[\(2, 3\), \(2, 2\)\]"),
        (Add(), [(2, 3), (2,)], "Add needs inputs whose shapes broadcast"),
        (Multiply(), [(2, 3), (2, 2)], r"Multiply needs inputs whose shapes broadcast, got"),
        (Maximum(), [], r"Maximum needs inputs whose shapes broadcast, got \[\]"),
        (Minimum(), [(2, 3), (2,)], "Minimum needs inputs whose shapes broadcast"),
        (MatMul(), [(2, 3, 4)], r"MatMul needs two inputs of shapes \(N, ..., I, K\) and \(N, ..., K, J\)"),
        (MatMul(), [(3, 4), (4, 5)], "MatMul needs two inputs of shapes"),
        (MatMul(), [(2, 3, 4), (2, 5, 4)], "MatMul needs two inputs of shapes"),
        (MatMul(), [(2, 3, 3, 4), (2, 2, 4, 5)], "MatMul needs inputs whose shapes broadcast"),
        (Concat(), [], r"Concat needs shapes that differ only on axis 1, got \[\]"),
        (Concat(), [(2, 3), (1, 3)], "differ only on axis 1"),
        (Concat(), [(2, 3), (2, 3, 1)], "differ only on axis 1"),
        (Concat(2), [(2, 3), (2, 3)], "differ only on axis 2"),
    ],
)
def test_bad_inputs(layer, shapes, message):
    with pytest.raises(ValueError, match=message):
        layer.forward(tuple(map(np.zeros, shapes)))
    with pytest.raises(ValueError, match=message):
        layer.output_shape(tuple(shapes))


@pytest.mark.parametrize(
    ("axis", "error"), [(0, ValueError), (-1, ValueError), (1.0, TypeError), (True, TypeError)]
)
def test_bad_axis(axis, error):
    with pytest.raises(error, match="axis must be"):
        Concat(axis)


def test_repr():
    assert (repr(Add()), repr(Concat()), repr(Concat(axis=2))) == ("Add()", "Concat()", "Concat(axis=2)")
