"""A network and a module beside each other."""

import numpy as np
import torch

from neocog.layers import Dense, Dropout


def tensors(x):
    if isinstance(x, tuple):
        return tuple(map(tensors, x))
    return torch.tensor(x, requires_grad=True)


def without_dropout(network):
    """The random numbers differ."""
    for _, layer in network.leaves():
        if isinstance(layer, Dropout):
            layer.p = 0.0
    return network


def weights_of(network):
    """Parameters and buffers by name, with the dense weights as PyTorch has them."""
    dense = {f"{name}.weight".lstrip(".") for name, layer in network.leaves() if isinstance(layer, Dense)}
    arrays = {**network.params, **network.buffers}
    return {name: array.T if name in dense else array for name, array in arrays.items()}


def worst_difference(network, module, x, training, names=None, reshaped=False):
    """Run both; return the largest difference of the outputs, gradients and statistics.

    Each is relative to the largest number of its array, or to 1e-4 of the largest of all. ``names``
    translates those of the network; ``reshaped`` allows its arrays other shapes of as many numbers.
    """
    module.train(training)
    module.zero_grad()
    x_torch = tensors(x)
    y_torch = module(x_torch)
    dy = np.random.default_rng(99).normal(size=tuple(y_torch.shape))
    y_torch.backward(torch.tensor(dy))
    y, cache = network.forward(x, training=training)
    dx, grads = network.backward(dy, cache)

    pairs = {"y": (y, y_torch)}
    if isinstance(x, tuple):
        pairs |= {
            f"dx{k}": (mine, theirs.grad) for k, (mine, theirs) in enumerate(zip(dx, x_torch, strict=True))
        }
    else:
        pairs["dx"] = (dx, x_torch.grad)
    names = names or {}
    dense = {f"{name}.weight".lstrip(".") for name, layer in network.leaves() if isinstance(layer, Dense)}
    mine = {names.get(n, n): g.T if n in dense else g for n, g in grads.items()}
    theirs = dict(module.named_parameters())
    assert mine.keys() == theirs.keys()
    for name, array in mine.items():  # a matrix that is applied to each pixel is a 1 x 1 convolution
        if [size for size in array.shape if size != 1] == [size for size in theirs[name].shape if size != 1]:
            mine[name] = array.reshape(theirs[name].shape)
    pairs |= {name: (mine[name], theirs[name].grad) for name in mine}
    mine = {names.get(n, n): b for n, b in network.buffers.items()}
    theirs = {n: b for n, b in module.named_buffers() if not n.endswith("num_batches_tracked")}
    assert mine.keys() == theirs.keys()
    pairs |= {name: (mine[name], theirs[name]) for name in mine}

    pairs = {name: (got, wanted.detach().numpy()) for name, (got, wanted) in pairs.items()}
    largest = {name: np.abs(wanted).max(initial=0) for name, (_, wanted) in pairs.items()}
    floor = 1e-4 * max(largest.values())
    worst = 0.0
    for name, (got, wanted) in pairs.items():
        got = got.reshape(wanted.shape) if reshaped and got.size == wanted.size else got
        assert got.shape == wanted.shape, name
        worst = max(worst, np.abs(got - wanted).max(initial=0) / max(largest[name], floor))
    return worst
