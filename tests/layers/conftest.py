import numpy as np
import pytest
import torch


@pytest.fixture
def same_as_torch():
    """Compare y and every gradient of a float64 layer with a function of (params, *inputs) in PyTorch."""

    def compare(layer, function, *inputs, training=False, tolerance=1e-10):
        params = {name: torch.tensor(array, requires_grad=True) for name, array in layer.params.items()}
        tensors = [torch.tensor(part, requires_grad=True) for part in inputs]
        expected = function(params, *tensors)
        dy = np.random.default_rng(99).normal(size=tuple(expected.shape))
        expected.backward(torch.tensor(dy))

        y, cache = layer.forward(inputs if len(inputs) > 1 else inputs[0], training=training)
        dx, grads = layer.backward(dy, cache)
        pairs = [(y, expected.detach())]
        pairs += zip(dx if len(inputs) > 1 else (dx,), (t.grad for t in tensors), strict=True)
        pairs += [(grads[name], params[name].grad) for name in params]
        for got, wanted in pairs:
            assert got.shape == tuple(wanted.shape)
            np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance)

    return compare


@pytest.fixture
def normal():
    rng = np.random.default_rng(7)
    return lambda *shape: rng.normal(size=shape)
