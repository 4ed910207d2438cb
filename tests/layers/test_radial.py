import numpy as np
import pytest
import torch

from neocog.layers import RadialBasis
from neocog.layers.softmax import softmax


def by_hand():
    layer = RadialBasis(2, 2, dtype="float64")
    layer.buffers["centers"][...] = [[1, 1], [1, -1]]
    return layer


def test_by_hand():
    # (1, 3) is 0 and 2 from the first center, 0 and 4 from the second
    y, cache = by_hand().forward(np.array([[1.0, 3.0]]))
    assert y.tolist() == [[-4.0, -16.0]]
    # dy = 1, 10: dx = 2 (1 (1 - 1) + 10 (1 - 1)), 2 (1 (1 - 3) + 10 (-1 - 3))
    dx, grads = by_hand().backward(np.array([[1.0, 10.0]]), cache)
    assert dx.tolist() == [[0.0, -84.0]]
    assert grads == {}


def test_same_as_pytorch(same_as_torch, normal):
    layer = RadialBasis(5, 4, rng=0, dtype="float64")
    centers = torch.tensor(layer.buffers["centers"])
    same_as_torch(layer, lambda _, x: -((x[:, None] - centers) ** 2).sum(2), normal(6, 5))


def test_centers_are_codes_and_not_learned():
    layer = RadialBasis(50, 20, rng=0)
    centers = layer.buffers["centers"]
    assert centers.shape == (20, 50)
    assert set(centers.ravel().tolist()) == {-1.0, 1.0}
    assert abs(centers.mean()) < 0.1
    assert layer.parameter_count == 0


def test_the_nearest_center_is_the_most_probable():
    layer = RadialBasis(30, 6, rng=1, dtype="float64")
    near = layer.buffers["centers"] + 0.3
    assert softmax(layer(near)).argmax(axis=1).tolist() == list(range(6))


def test_sizes_and_repr():
    layer = RadialBasis(84, 10)
    assert layer.output_shape((3, 84)) == (3, 10)
    assert layer.flops((3, 84)) == 3 * 3 * 840
    assert repr(layer) == "RadialBasis(84, 10)"


def test_bad_arguments_and_inputs():
    with pytest.raises(ValueError, match="in_features must be at least 1"):
        RadialBasis(0, 2)
    with pytest.raises(TypeError, match="out_features must be an integer"):
        RadialBasis(2, 2.5)
    with pytest.raises(ValueError, match=r"RadialBasis needs inputs of shape \(N, 2\), got shape \(3, 4\)"):
        RadialBasis(2, 2).forward(np.zeros((3, 4)))
    with pytest.raises(TypeError, match="floating point array, got int64"):
        RadialBasis(2, 2).forward(np.zeros((3, 2), np.int64))
