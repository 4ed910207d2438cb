import numpy as np
import pytest
import torch
from torch.nn import functional as F

from neocog.initializers import ones
from neocog.layers import Conv2D, SparseConv2D
from neocog.layers.base import Field

TABLE = ((0, 1), (2,), (2, 0), (0, 1, 2))


def test_by_hand():
    # three 1x1 maps 1, 10, 100; y = 2*1 + 3*10 + 1, 4*100 + 5
    conv = SparseConv2D(3, TABLE[:2], 1, dtype="float64")
    conv.params["weight"][:, 0, 0] = [2, 3, 4]
    conv.params["bias"][...] = [1, 5]
    y, cache = conv.forward(np.array([1.0, 10.0, 100.0]).reshape(1, 3, 1, 1))
    assert y.ravel().tolist() == [33.0, 405.0]
    # dy = 1, 10: dw = 1*1, 1*10, 10*100; dx = 1*2, 1*3, 10*4
    dx, grads = conv.backward(np.array([1.0, 10.0]).reshape(1, 2, 1, 1), cache)
    assert grads["weight"].ravel().tolist() == [1.0, 10.0, 1000.0]
    assert grads["bias"].tolist() == [1.0, 10.0]
    assert dx.ravel().tolist() == [2.0, 3.0, 40.0]


@pytest.mark.parametrize(
    ("kernel_size", "stride", "padding"), [(3, 1, 0), (3, 2, 1), ((2, 4), (1, 3), (0, 2)), (1, 1, 0)]
)
def test_same_as_pytorch(kernel_size, stride, padding, same_as_torch, normal):
    conv = SparseConv2D(3, TABLE, kernel_size, stride, padding, rng=0, dtype="float64")
    conv.params["bias"][...] = normal(4)

    def function(params, x):
        kernels = iter(params["weight"])
        nothing = torch.zeros(conv.kernel_size, dtype=torch.float64)
        # the table is not in order of the maps: its kernels are, of each output map, as it lists them
        bank = [dict(zip(seen, kernels, strict=False)) for seen in TABLE]
        weight = torch.stack([torch.stack([seen.get(c, nothing) for c in range(3)]) for seen in bank])
        return F.conv2d(x, weight, params["bias"], stride, padding)

    same_as_torch(conv, function, normal(2, 3, 7, 6))


def test_with_all_connections_it_is_a_convolution(normal):
    sparse = SparseConv2D(3, [range(3)] * 4, 3, padding=1, rng=5, dtype="float64")
    dense = Conv2D(3, 4, 3, padding=1, dtype="float64")
    dense.params["weight"][...] = sparse.params["weight"].reshape(4, 3, 3, 3)
    x = normal(2, 3, 5, 5)
    np.testing.assert_array_equal(sparse(x), dense(x))
    assert sparse.flops(x.shape) == dense.flops(x.shape)


def test_sizes():
    conv = SparseConv2D(3, TABLE, 5, rng=0)
    assert conv.parameter_count == 8 * 25 + 4
    assert conv.output_shape((2, 3, 14, 12)) == (2, 4, 10, 8)
    assert conv.flops((2, 3, 14, 12)) == 2 * 2 * 80 * 8 * 25
    assert conv.receptive_field(Field((2, 2), (2, 2))) == Field((10, 10), (2, 2))
    assert repr(conv) == "SparseConv2D(3, ((0, 1), (2,), (2, 0), (0, 1, 2)), 5)"


def test_each_map_has_a_fan_in_of_its_own():
    fans = []

    def init(shape, fan_in, fan_out, rng, dtype):
        fans.append((shape, fan_in, fan_out))
        return ones(shape, fan_in, fan_out, rng, dtype)

    SparseConv2D(3, TABLE[:2], 2, init=init)
    assert fans == [((2, 2, 2), 8, 4), ((1, 2, 2), 4, 4)]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"in_channels": 0}, ValueError, "in_channels must be at least 1"),
        ({"connections": []}, ValueError, r"connections must give .* 0..2, got \[\]"),
        ({"connections": [(0,), ()]}, ValueError, "connections must give each output map"),
        ({"connections": [(0, 0)]}, ValueError, "different input maps"),
        ({"connections": [(3,)]}, ValueError, r"in 0..2, got \[\(3,\)\]"),
        ({"connections": [(-1,)]}, ValueError, "connections must be at least 0, got -1"),
        ({"connections": [(0.5,)]}, TypeError, "connections must be an integer"),
        ({"kernel_size": 0}, ValueError, "kernel_size must be at least 1"),
        ({"stride": 0}, ValueError, "stride must be at least 1"),
        ({"padding": "same"}, TypeError, "padding must be an integer"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        SparseConv2D(**{"in_channels": 3, "connections": TABLE, "kernel_size": 3} | arguments)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((3, 8, 8), r"SparseConv2D needs images of shape \(N, C, H, W\)"),
        ((1, 2, 8, 8), "SparseConv2D needs 3 input channels, got 2"),
        ((1, 3, 2, 8), r"SparseConv2D's kernel \(3, 3\) is larger than the 2x8 image with padding \(0, 0\)"),
    ],
)
def test_bad_inputs(shape, message):
    with pytest.raises(ValueError, match=message):
        SparseConv2D(3, TABLE, 3).forward(np.zeros(shape))
