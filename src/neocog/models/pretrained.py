"""Load pretrained weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from neocog.layers import Container, Dense


def load_torchvision(network: Container, state_dict: Mapping[str, Any]) -> None:
    """Copy weights from PyTorch into a network whose arrays have the same names, such as torchvision's.

    That is so for :func:`alexnet_one_tower`, :func:`vgg11` to :func:`vgg19` with or without batch norm and
    :func:`resnet18` to :func:`resnet101`. PyTorch's dense weights are transposed, and its
    counters ``num_batches_tracked`` omitted. Build the network with ``init=neocog.initializers.zeros`` to
    save the time of drawing weights. torchvision's networks take pixels in 0..1, in RGB, less the mean
    (0.485, 0.456, 0.406), divided by (0.229, 0.224, 0.225).

    Parameters
    ----------
    network : Container
        Unchanged if anything does not fit.
    state_dict : mapping of str to array or tensor
        ``torch.load(path)``, or ``safetensors.numpy.load_file(path)``, for which no PyTorch is needed.

    Raises
    ------
    TypeError
        If ``state_dict`` is no mapping, or an array is not floating point.
    ValueError
        If a name is missing or unknown, or a shape differs.

    Examples
    --------
    >>> from neocog.models import resnet_cifar
    >>> network, twin = (resnet_cifar(8, rng=seed) for seed in (0, 1))
    >>> weights = {**twin.params, **twin.buffers, "fc.weight": twin.params["fc.weight"].T}
    >>> load_torchvision(network, weights)
    >>> all((network.params[name] == twin.params[name]).all() for name in twin.params)
    True
    """
    if not isinstance(state_dict, Mapping):
        raise TypeError(f"state_dict must be a mapping of names to arrays, got {state_dict!r}.")
    arrays = {
        name: np.asarray(tensor.detach().cpu() if hasattr(tensor, "detach") else tensor)
        for name, tensor in state_dict.items()
        if not name.endswith("num_batches_tracked")
    }
    for prefix, layer in network.leaves():
        name = f"{prefix}.weight"
        if isinstance(layer, Dense) and name in arrays:
            shape = (layer.out_features, layer.in_features)
            if arrays[name].shape != shape:
                raise ValueError(
                    f"parameter {name!r} must have PyTorch's shape {shape}, got {arrays[name].shape}."
                )
            arrays[name] = arrays[name].T
    remembered = network.buffers
    buffers = {name: arrays.pop(name) for name in remembered if name in arrays}
    network.load(arrays, buffers)
