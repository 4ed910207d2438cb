"""Export a network as an nn.Module, and load the module's weights back."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from neocog.interop.torch import modules
from neocog.interop.torch.graph_builder import UnsupportedError
from neocog.interop.torch.layer_modules import ElementwiseModule, LayerModule, transposed
from neocog.interop.torch.registry import MODULES, MakeModule
from neocog.layers import Container, Graph, Layer, Residual, Sequential
from neocog.layers.activation import states_function
from neocog.layers.base import computes_as

NOTES = ("class_names", "input_shape", "preprocessing", "class_weight", "stated_kind")
"""Attributes of a network that the module keeps."""

CONTAINERS: dict[type[Container], str] = {
    Sequential: "nn.Sequential",
    Residual: "modules.Residual",
    Graph: "modules.Graph",
}
"""The containers whose forward PyTorch runs, a class before its bases, and what they become."""


def to_torch(network: Layer) -> nn.Module:
    """Build the PyTorch module that computes what a network computes.

    It has the same weights (copied) under the same names, the same outputs and gradients, and the same
    dtype. It is in evaluation mode; ``module.train()`` is neocog's ``training=True``. Dropout then drops as
    often, but other numbers, as PyTorch draws them.

    Parameters of frozen layers get ``requires_grad=False``; ``train()`` and ``eval()`` decide there whether
    such a layer is in inference.

    PyTorch's own classes are taken where they fit. A dense layer's weight is transposed, as ``nn.Linear``
    has it. A layer that occurs at several places is one module there, a shared array one parameter. A
    layer of several inputs takes a tuple, a graph of several inputs also those themselves. A network's
    ``class_names``, ``input_shape``, ``preprocessing``, ``class_weight`` and ``stated_kind`` become
    attributes of the module, for :func:`from_torch` to read.

    A layer of your own needs no entry. An :class:`Elementwise` layer that states its ``function`` calls it
    with tensors, on any device, and PyTorch differentiates it. Any other layer, and a container with a
    ``forward`` of its own, becomes a module whose autograd Function calls the layer's ``forward`` and
    ``backward`` on NumPy arrays. This computes on the CPU, with copies there and back from another device;
    it can be differentiated once, and not be exported. It draws from the layer's own random generators.
    A function registered by :func:`register_layer` has priority over both.

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
        If ``network`` is no layer.
    ValueError
        If a layer's name is one that ``nn.Module`` needs itself, such as ``train``.
    UnsupportedError
        If a dtype is unknown to PyTorch, or an array is shared by layers that PyTorch stores differently.

    See Also
    --------
    load_from_torch : Bring the weights back.
    counterpart : Name the module of a class of layers.

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
    network = getattr(network, "original", network)  # of a copy made for inference
    module = _Conversion().module(network, "").eval()
    if isinstance(network, Container):
        for name in NOTES:
            if getattr(network, name) is not None and name not in module._modules:
                setattr(module, name, getattr(network, name))
        learns = network.trainable_params
        for name, parameter in module.named_parameters():
            parameter.requires_grad_(parameter.requires_grad and name in learns)
    return module


def counterpart(layer_class: type[Layer]) -> str:
    """Name the module that :func:`to_torch` makes of the layers of a class.

    Parameters
    ----------
    layer_class : subclass of Layer

    Returns
    -------
    str
        A class of ``torch.nn`` or ``neocog.interop.torch.modules``, several joined by "or"; for the two
        defaults "function(torch, x)" and "autograd Function".

    Examples
    --------
    >>> from neocog.layers import AvgPool2D, Layer, LeakyReLU
    >>> counterpart(LeakyReLU)
    'nn.LeakyReLU'
    >>> counterpart(AvgPool2D)
    'nn.AvgPool2d or modules.PaddedAvgPool2d'
    >>> counterpart(Layer)
    'autograd Function'
    """
    make, kind = _maker(layer_class), _container_kind(layer_class)
    if make is not None:
        made = getattr(make, "__annotations__", {}).get("return", "nn.Module")
        if isinstance(made, type):
            made = f"{'nn' if made.__module__.startswith('torch.nn.') else 'modules'}.{made.__name__}"
        return str(made).replace(" | ", " or ")
    if kind is not None:
        return CONTAINERS[kind]
    return "function(torch, x)" if states_function(layer_class) else "autograd Function"


def load_from_torch(network: Layer, module: nn.Module) -> None:
    """Copy the weights and buffers of a module back into the network that it was made of.

    Parameters
    ----------
    network : Layer
        Unchanged if anything does not fit.
    module : nn.Module
        The module made by :func:`to_torch`, on any device, compiled or wrapped for parallel training or not.

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
    """Return the module that ``torch.compile`` or a parallel training has wrapped in this one, or None."""
    if isinstance(module, nn.DataParallel | DistributedDataParallel):
        return module.get_submodule("module")
    # A compiled module is recognised by its child, as its class is slow to import.
    return next((child for name, child in module.named_children() if name == "_orig_mod"), None)


def unwrapped(module: nn.Module) -> nn.Module:
    """Return the innermost module within all wrappers."""
    inner = wrapped(module)
    return module if inner is None else unwrapped(inner)


def own_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Return parameters and buffers by name, without batch norm's counter, which neocog lacks."""
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    tensors.pop("num_batches_tracked", None)
    return tensors


def _tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield parameters and buffers by name; a shared one once, under its first name."""
    yield from module.named_parameters()
    yield from module.named_buffers()


def to_array(tensor: Tensor) -> np.ndarray:
    """Return a tensor as an array, which shares its memory if the tensor is on the CPU."""
    array: np.ndarray = tensor.detach().cpu().numpy()
    return array


class _Conversion:
    """One run of :func:`to_torch`: layers and arrays shared in the network are shared in the module."""

    def __init__(self) -> None:
        self._modules: dict[int, nn.Module] = {}  # by the layer's id
        self._tensors: dict[int, tuple[Tensor, tuple[bool, bool]]] = {}  # by the array's id, with its role

    def module(self, layer: Layer, name: str) -> nn.Module:
        """Return the module of a layer, made at its first occurrence."""
        if not isinstance(layer, Layer):
            raise TypeError(f"network must be a neocog Layer, got {layer!r}.")
        if id(layer) not in self._modules:
            self._modules[id(layer)] = self._make(layer, name)
        return self._modules[id(layer)]

    def _make(self, layer: Layer, name: str) -> nn.Module:
        make = _maker(type(layer))
        if make is None:
            try:
                if (container := self._container(layer, name)) is not None:
                    return container
                arrays = layer.params or layer.buffers
                default = ElementwiseModule if states_function(type(layer)) and not arrays else LayerModule
                module: nn.Module = default(layer)
            except KeyError as error:
                raise ValueError(
                    f"{_place(layer, name)}: {error.args[0]}; give the layer another name."
                ) from None
        else:
            module = make(layer)
        self._copy(layer, module, name)
        return module

    def _container(self, layer: Layer, name: str) -> nn.Module | None:
        """Make the module of a container that computes as one of neocog's own; None for any other layer."""
        kind = _container_kind(type(layer))
        if kind is None or not isinstance(layer, Container):
            return None
        prefix = f"{name}." if name else ""
        children = {child: self.module(each, prefix + child) for child, each in layer.children.items()}
        if kind is Sequential:
            return nn.Sequential(OrderedDict(children))
        if kind is Residual:
            return modules.Residual(children["body"], children.get("shortcut"))
        assert isinstance(layer, Graph)
        sources = {
            child: layer.sources[child] if each.several_inputs else layer.sources[child][0]
            for child, each in layer.children.items()
        }
        make_graph = modules.GraphOfSeveralInputs if layer.several_inputs else modules.Graph
        return make_graph(children, sources, layer.inputs, layer.output)

    def _copy(self, layer: Layer, module: nn.Module, name: str) -> None:
        """Copy the arrays of a layer into its module, name by name."""
        shapes = {key: tuple(tensor.shape) for key, tensor in own_tensors(module).items()}
        tensors, turned = {}, transposed(layer)
        for learned, arrays in ((True, layer.params), (False, layer.buffers)):
            for key, array in arrays.items():
                tensors[key] = self._tensor(array, learned, key in turned, _place(layer, name))
        wanted = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
        if shapes != wanted:
            raise ValueError(
                f"the module registered for {_place(layer, name)} must have tensors of the shapes {wanted}, "
                f"got {shapes}."
            )
        for key, tensor in tensors.items():
            owner, _, last = key.rpartition(".")
            setattr(module.get_submodule(owner), last, tensor)

    def _tensor(self, array: np.ndarray, learned: bool, transposed: bool, place: str) -> Tensor:
        role = (learned, transposed)
        if id(array) not in self._tensors:
            try:
                tensor = torch.tensor(np.array(array.T if transposed else array, order="C"))
            except TypeError as error:
                raise UnsupportedError(f"{place}: {error}") from None
            self._tensors[id(array)] = (nn.Parameter(tensor) if learned else tensor, role)
        tensor, earlier = self._tensors[id(array)]
        if earlier != role:
            raise UnsupportedError(
                f"{place} shares an array with a layer whose array PyTorch stores in another layout, or does "
                "not learn: it cannot be shared there."
            )
        return tensor


def _maker(layer_class: type[Layer]) -> MakeModule | None:
    """Find the function that makes a class's module: its own entry, or its base's if it computes the same."""
    for base in layer_class.__mro__:
        if base in MODULES:
            return MODULES[base] if computes_as(layer_class, base) else None
    return None


def _container_kind(layer_class: type[Layer]) -> type[Container] | None:
    """Return which of neocog's containers a class computes as; None if it has a forward of its own."""
    for kind in CONTAINERS:
        if issubclass(layer_class, kind) and layer_class.forward is kind.forward:
            return kind
    return None


def _place(layer: Layer, name: str) -> str:
    return f"layer {name!r} ({type(layer).__name__})" if name else type(layer).__name__
