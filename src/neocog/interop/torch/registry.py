"""Register conversions: of layers to modules, and of modules, functions and methods to layers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypeVar, cast

from torch import Tensor, nn

from neocog.interop.torch.graph_builder import TracedValue
from neocog.layers import Layer


@dataclass
class Loaded:
    """A layer, and the tensors from which its arrays are copied; None for those that stay as they begin."""

    layer: Layer
    tensors: Mapping[str, Tensor | None]


Chain: TypeAlias = Layer | Loaded | tuple[Layer | Loaded, ...]
"""A layer, several applied one after another, or none for an identity."""


class Apply(Protocol):
    """Apply layers to values, at nodes of a name."""

    def __call__(self, name: str, chain: Chain, *values: TracedValue) -> TracedValue:
        """Return the result."""
        ...


MakeModule: TypeAlias = Callable[[Any], nn.Module]
MakeLayer: TypeAlias = Callable[[Any, TracedValue], Chain]

MODULES: dict[type[Layer], MakeModule] = {}
"""By the class of a layer, the function that makes its module, without its weights."""

LAYERS: dict[type[nn.Module] | str, MakeLayer] = {}
"""By the class of a module, the function that makes its layers from it and its input, without weights.

A class of a library that need not be installed is given by its qualified name.
"""


def layers_of(module: nn.Module) -> MakeLayer | None:
    """Return the function that makes the layers of a module; None if its forward is to be traced."""
    kind = type(module)
    return LAYERS.get(kind) or LAYERS.get(f"{kind.__module__}.{kind.__qualname__}")


FUNCTIONS: dict[Any, Callable[..., Chain | list[Chain]]] = {}
"""By the function, or the name of a tensor's method, the function that makes its layers.

For a function that returns several tensors, a list: the layers of each, all applied to the one input.
"""

COMBINATIONS: dict[Any, Callable[..., Any]] = {}
"""By the function, or the name of a method, what converts it where it takes several tensors."""


def register_layer(layer_class: type[Layer]) -> Callable[[MakeModule], MakeModule]:
    """Register how :func:`to_torch` makes the module of a class of layers.

    The function takes a layer and returns a module whose parameters and buffers have the names and shapes
    of the layer's; the numbers are copied afterwards. It has priority over the defaults of :func:`to_torch`.

    Parameters
    ----------
    layer_class : subclass of Layer

    Returns
    -------
    decorator of the function

    Examples
    --------
    >>> from torch import nn
    >>> from neocog import Layer
    >>> from neocog.interop.torch import to_torch
    >>> class Softsign(Layer):
    ...     def forward(self, x, training=False):
    ...         return x / (1 + abs(x)), x
    ...     def backward(self, dy, cache, input_grad=True):
    ...         return (dy / (1 + abs(cache)) ** 2 if input_grad else None), {}
    >>> @register_layer(Softsign)
    ... def softsign(layer):
    ...     return nn.Softsign()
    >>> to_torch(Softsign())
    Softsign()
    """

    def enter(make: MakeModule) -> MakeModule:
        MODULES[layer_class] = make
        return make

    return enter


def register_module(module_class: type[nn.Module]) -> Callable[[Callable[[Any], Layer]], Any]:
    """Register how :func:`from_torch` makes the layer of a class of modules.

    The function takes a module and returns a layer whose ``params`` and ``buffers`` have the names and
    shapes of the module's; the numbers are copied afterwards.

    Parameters
    ----------
    module_class : subclass of nn.Module

    Returns
    -------
    decorator of the function

    Examples
    --------
    >>> from torch import nn
    >>> from neocog import ScaledTanh
    >>> from neocog.interop.torch import from_torch
    >>> class LeCunTanh(nn.Module):
    ...     pass
    >>> @register_module(LeCunTanh)
    ... def lecun_tanh(module):
    ...     return ScaledTanh()
    >>> from_torch(LeCunTanh())
    ScaledTanh()
    """

    def enter(make: Callable[[Any], Layer]) -> Callable[[Any], Layer]:
        LAYERS[module_class] = lambda module, x: make(module)
        return make

    return enter


def imports_module(*module_classes: type[nn.Module] | str) -> Callable[[MakeLayer], MakeLayer]:
    """Register a function of a module and its input for several classes of modules."""

    def enter(make: MakeLayer) -> MakeLayer:
        LAYERS.update(dict.fromkeys(module_classes, make))
        return make

    return enter


Convert = TypeVar("Convert", bound=Callable[..., Chain | list[Chain]])


def imports(*targets: Any) -> Callable[[Convert], Convert]:
    """Register a function of an input and arguments for PyTorch's functions, methods and modules.

    Methods are given by their names. For a module, its attributes are the arguments of the same names.
    """

    def enter(make: Convert) -> Convert:
        _, *names = inspect.signature(make).parameters

        def of_module(module: nn.Module, x: TracedValue) -> Chain:
            given = {name: getattr(module, name) for name in names if hasattr(module, name)}
            return cast(Chain, make(x, **given))

        for target in targets:
            if isinstance(target, type):
                LAYERS[target] = of_module
            else:
                FUNCTIONS[target] = make
        return make

    return enter


Combine = TypeVar("Combine", bound=Callable[..., Any])


def combines(*targets: Any) -> Callable[[Combine], Combine]:
    """Register a function for PyTorch's functions, and methods by their names, of several tensors.

    It takes an :class:`Apply` and the arguments, and returns a value, or several.
    """

    def enter(make: Combine) -> Combine:
        COMBINATIONS.update(dict.fromkeys(targets, make))
        return make

    return enter
