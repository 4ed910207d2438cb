"""From a network to an nn.Module, and its weights back."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from neocog.interop.torch import modules
from neocog.interop.torch.registry import MODULES, MakeModule
from neocog.layers import Container, Dense, Graph, Layer, Residual, Sequential

NOTES = ("class_names", "input_shape")
"""What a network knows beside its layers."""


def to_torch(network: Layer) -> nn.Module:
    """Build the PyTorch module that computes what a network computes.

    It has the same weights (copied) under the same names, the same outputs and gradients, and the same
    dtype. It is in evaluation mode; ``module.train()`` is neocog's ``training=True``. Dropout then drops as
    often, but other numbers, as PyTorch draws them.

    PyTorch's own classes are taken where they fit. A dense layer's weight is transposed, as ``nn.Linear``
    has it. A layer that stands at several places is one module there, a shared array one parameter. A
    layer of several inputs takes a tuple, a graph of several inputs also those themselves. A network's
    ``class_names`` and ``input_shape`` become attributes of the module, for :func:`from_torch` to read.

    Parameters
    ----------
    network : Layer
        A network, or a single layer.

    Returns
    -------
    nn.Module

    Raises
    ------
    TypeError
        If a layer's class is not known: see :func:`register_layer`; or a dtype is unknown to PyTorch.
    ValueError
        If a layer's name is one that ``nn.Module`` needs itself, such as ``train``.

    See Also
    --------
    load_from_torch : Bring the weights back.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from neocog.models import tiny_cnn
    >>> network = tiny_cnn(seed=0)
    >>> module = to_torch(network)
    >>> list(module.state_dict()) == list(network.params)
    True
    >>> x = np.ones((2, 1, 8, 8))
    >>> np.allclose(module(torch.from_numpy(x)).detach(), network(x))
    True
    """
    module = _Conversion().module(network, "").eval()
    if isinstance(network, Container):
        for name in NOTES:
            if getattr(network, name) is not None and name not in module._modules:
                setattr(module, name, getattr(network, name))
    return module


def load_from_torch(network: Layer, module: nn.Module) -> None:
    """Copy the weights and buffers of a module back into the network that it was made of.

    Parameters
    ----------
    network : Layer
        Left as it is if anything does not fit.
    module : nn.Module
        What :func:`to_torch` made of it, trained since, on any device, compiled or in parallel or not.

    Raises
    ------
    TypeError, ValueError
        If ``module`` is no module, a name is missing or unknown, or a shape differs.

    Examples
    --------
    >>> import torch
    >>> from neocog import Dense
    >>> dense = Dense(2, 1)
    >>> module = to_torch(dense)
    >>> _ = torch.nn.init.constant_(module.weight, 3.0)
    >>> load_from_torch(dense, module)
    >>> dense.params["weight"]
    array([[3.],
           [3.]], dtype=float32)
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"module must be a torch.nn.Module, got {module!r}.")
    turned = transposed(network)
    arrays = {
        name: array.T if name in turned else array
        for name, array in ((name, to_array(tensor)) for name, tensor in _tensors(unwrapped(module)))
        if not name.endswith("num_batches_tracked")
    }
    buffers = {name: arrays.pop(name) for name in network.buffers if name in arrays}
    network.load(arrays, buffers)


def wrapped(module: nn.Module) -> nn.Module | None:
    """What ``torch.compile`` or a parallel training has put a module around; None if it is no such module."""
    if isinstance(module, nn.DataParallel | DistributedDataParallel):
        return module.get_submodule("module")
    # What torch.compile makes is known by its child, as its class is slow to import.
    return next((child for name, child in module.named_children() if name == "_orig_mod"), None)


def unwrapped(module: nn.Module) -> nn.Module:
    """The module itself within all that is put around it."""
    inner = wrapped(module)
    return module if inner is None else unwrapped(inner)


def transposed(network: Layer) -> set[str]:
    """Names of the weights that PyTorch lays out the other way round."""
    return {
        f"{name}.weight" if name else "weight" for name, layer in network.leaves() if isinstance(layer, Dense)
    }


def own_tensors(module: nn.Module) -> dict[str, Tensor]:
    """The parameters and buffers of a module, but for a batch norm's counter, which neocog does without."""
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    tensors.pop("num_batches_tracked", None)
    return tensors


def _tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters and buffers by name, shared ones once, under the first."""
    yield from module.named_parameters()
    yield from module.named_buffers()


def to_array(tensor: Tensor) -> np.ndarray:
    """Return a tensor's numbers; an array of its own memory, unless the tensor is on the CPU."""
    array: np.ndarray = tensor.detach().cpu().numpy()
    return array


class _Conversion:
    """One run of :func:`to_torch`: what is shared in the network is shared in the module."""

    def __init__(self) -> None:
        self._modules: dict[int, nn.Module] = {}  # by the layer's id
        self._tensors: dict[int, tuple[Tensor, tuple[bool, bool]]] = {}  # by the array's id, with its role

    def module(self, layer: Layer, name: str) -> nn.Module:
        """Make the module of a layer, or find it if it was made before."""
        if not isinstance(layer, Layer):
            raise TypeError(f"network must be a neocog Layer, got {layer!r}.")
        if id(layer) not in self._modules:
            self._modules[id(layer)] = self._make(layer, name)
        return self._modules[id(layer)]

    def _make(self, layer: Layer, name: str) -> nn.Module:
        if (make := _maker(type(layer))) is not None:
            module = make(layer)
            self._copy(layer, module, name)
            return module
        prefix = f"{name}." if name else ""
        children = {
            child: self.module(each, prefix + child)
            for child, each in (layer.children if isinstance(layer, Container) else {}).items()
        }
        try:
            if isinstance(layer, Sequential) and type(layer).forward is Sequential.forward:
                return nn.Sequential(OrderedDict(children))
            if isinstance(layer, Residual) and type(layer).forward is Graph.forward:
                return modules.Residual(children["body"], children.get("shortcut"))
            if isinstance(layer, Graph) and type(layer).forward is Graph.forward:
                sources = {
                    child: layer.sources[child] if each.several_inputs else layer.sources[child][0]
                    for child, each in layer.children.items()
                }
                make_graph = modules.GraphOfSeveralInputs if layer.several_inputs else modules.Graph
                return make_graph(children, sources, layer.inputs, layer.output)
        except KeyError as error:
            raise ValueError(
                f"{_place(layer, name)}: {error.args[0]}; give the layer another name."
            ) from None
        raise TypeError(
            f"{_place(layer, name)} is of a class without a counterpart in PyTorch; say how to make one: "
            f"@neocog.interop.torch.register_layer({type(layer).__name__})."
        )

    def _copy(self, layer: Layer, module: nn.Module, name: str) -> None:
        """Copy the arrays of a layer into its module, name by name."""
        shapes = {key: tuple(tensor.shape) for key, tensor in own_tensors(module).items()}
        tensors = {}
        for learned, arrays in ((True, layer.params), (False, layer.buffers)):
            for key, array in arrays.items():
                transposed = isinstance(layer, Dense) and key == "weight"
                tensors[key] = self._tensor(array, learned, transposed, _place(layer, name))
        wanted = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
        if shapes != wanted:
            raise ValueError(
                f"the module registered for {_place(layer, name)} must have tensors of the shapes {wanted}, "
                f"got {shapes}."
            )
        for key, tensor in tensors.items():
            setattr(module, key, tensor)

    def _tensor(self, array: np.ndarray, learned: bool, transposed: bool, place: str) -> Tensor:
        role = (learned, transposed)
        if id(array) not in self._tensors:
            tensor = torch.tensor(np.array(array.T if transposed else array, order="C"))
            self._tensors[id(array)] = (nn.Parameter(tensor) if learned else tensor, role)
        tensor, earlier = self._tensors[id(array)]
        if earlier != role:
            raise ValueError(
                f"{place} shares an array with a layer whose array PyTorch lays out in another way, or does "
                "not learn: it cannot be shared there."
            )
        return tensor


def _maker(layer_class: type[Layer]) -> MakeModule | None:
    """Find a class in the table, or its nearest base if it computes as that does."""
    for base in layer_class.__mro__:
        if base in MODULES:
            return MODULES[base] if layer_class.forward is base.forward else None
    return None


def _place(layer: Layer, name: str) -> str:
    return f"layer {name!r} ({type(layer).__name__})" if name else type(layer).__name__
