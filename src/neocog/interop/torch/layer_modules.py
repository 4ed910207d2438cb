"""Wrap layers without a counterpart in PyTorch as modules, the default of :func:`to_torch`."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import reduce
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from neocog.interop.torch.graph_builder import UnsupportedError, Value
from neocog.interop.torch.registry import Chain, imports_module
from neocog.layers import Dense, Elementwise, Layer
from neocog.layers.base import random_generators


def transposed(network: Layer) -> set[str]:
    """Return the names of the weights whose axes have the other order in PyTorch."""
    return {
        f"{name}.weight" if name else "weight" for name, layer in network.leaves() if isinstance(layer, Dense)
    }


class WrappedLayer(nn.Module):
    """Base of the modules that compute with a copy of a layer.

    The copy draws from the random generators of the layer itself, so that a run under PyTorch's engine
    draws what the layer would have drawn.
    """

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self._layer = copy.deepcopy(layer, {id(rng): rng for rng in random_generators(layer)})

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._layer!r})"


class ElementwiseModule(WrappedLayer):
    """Applies the ``function`` of an :class:`Elementwise` layer to tensors; its derivatives are PyTorch's."""

    _layer: Elementwise

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self._layer.function(torch, x, *self._layer.settings)
        return y


class LayerModule(WrappedLayer):
    """Calls a layer's own ``forward`` and ``backward`` on NumPy arrays, as a function of autograd.

    The layer's parameters and buffers are the module's, under the same names; a dense layer's weight is
    transposed. The layer computes on the CPU: tensors on another device are copied there and back at each
    call. It can be differentiated once, and does not support ``torch.export``.
    """

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer)
        self._transposed = transposed(layer)
        params, buffers = dict(self._layer.params), dict(self._layer.buffers)
        names = {id(array): name for name, array in (params | buffers).items()}
        # Where the arrays are: one that several layers share is at several places, under one name.
        self._places = [
            (arrays, key, names[id(array)])
            for _, leaf in self._layer.leaves()
            for arrays in (leaf.params, leaf.buffers)
            for key, array in arrays.items()
            if id(array) in names
        ]
        elsewhere = {*names.values()} - {name for _, _, name in self._places}
        if elsewhere:
            raise UnsupportedError(
                f"{type(layer).__name__} holds the arrays {sorted(elsewhere)} elsewhere than in the params "
                "and buffers of its layers: it has no counterpart in PyTorch."
            )
        self._parameter_names, self._buffer_names = list(params), list(buffers)
        for name, array in params.items():
            owner, key = self._owner(name)
            owner.register_parameter(key, nn.Parameter(self._empty(name, array)))
        for name, array in buffers.items():
            owner, key = self._owner(name)
            owner.register_buffer(key, self._empty(name, array))

    def _owner(self, name: str) -> tuple[nn.Module, str]:
        """Return the module that holds a tensor with dots in its name, made if there is none."""
        owner: nn.Module = self
        *path, key = name.split(".")
        for part in path:
            if part not in owner._modules:
                owner.add_module(part, nn.Module())
            owner = owner.get_submodule(part)
        return owner, key

    def _empty(self, name: str, array: np.ndarray) -> Tensor:
        return torch.empty((array.T if name in self._transposed else array).shape)

    def forward(self, x: Any) -> Tensor:
        several = self._layer.several_inputs and not isinstance(x, Tensor)
        inputs = tuple(x) if several else (x,)
        if _is_exporting() or torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
            raise UnsupportedError(
                f"{type(self._layer).__name__} computes on NumPy arrays, which cannot be exported; define "
                "its module in PyTorch: @neocog.interop.torch.register_layer."
            )
        if not all(isinstance(each, Tensor) for each in inputs):
            raise TypeError(f"x must be a tensor or a tuple of tensors, got {x!r}.")
        call = self._call
        if torch.compiler.is_compiling():  # torch.compile would take the arrays for tensors
            call = torch.compiler.disable(call)  # type: ignore[no-untyped-call]
        return call(inputs)

    def _call(self, inputs: tuple[Tensor, ...]) -> Tensor:
        parameters, buffers = map(self._tensors, (self._parameter_names, self._buffer_names))
        y: Tensor = _LayerFunction.apply(self, buffers, len(inputs), *inputs, *parameters)  # type: ignore[no-untyped-call]
        return y

    def _tensors(self, names: Sequence[str]) -> list[Tensor]:
        """Return tensors by name, which a parametrization or ``functional_call`` may have replaced."""
        return [cast(Tensor, reduce(getattr, name.split("."), cast(Any, self))) for name in names]

    def _bind(self, parameters: Sequence[Tensor], buffers: Sequence[Tensor]) -> None:
        """Make the layer's arrays views of these tensors on a CPU, copies from another device."""
        tensors = zip((*self._parameter_names, *self._buffer_names), (*parameters, *buffers), strict=True)
        arrays = {name: _array(tensor) for name, tensor in tensors}
        for place, key, name in self._places:
            place[key] = arrays[name].T if name in self._transposed else arrays[name]

    def _read_buffers(self, buffers: Sequence[Tensor]) -> None:
        """Copy the layer's buffers into tensors, except those written in place."""
        for name, tensor in zip(self._buffer_names, buffers, strict=True):
            array = self._layer.buffers[name]
            if not np.shares_memory(array, _array(tensor)):
                tensor.copy_(_tensor(array, tensor.device))


@imports_module(ElementwiseModule, LayerModule)
def _from_wrapped_layer(module: WrappedLayer, x: Value) -> Chain:
    return copy.deepcopy(module._layer)


class _LayerFunction(torch.autograd.Function):
    """Call a layer's forward and backward; the cache is kept in the context only."""

    @staticmethod
    def forward(ctx: Any, module: LayerModule, buffers: list[Tensor], count: int, *tensors: Tensor) -> Tensor:
        x, parameters = tensors[:count], tensors[count:]
        module._bind(parameters, buffers)
        arrays = tuple(map(_array, x))
        layer = module._layer
        y, ctx.cache = layer.forward(arrays if layer.several_inputs else arrays[0], module.training)
        if module.training:
            module._read_buffers(buffers)
        ctx.module, ctx.buffers, ctx.count = module, buffers, count
        ctx.save_for_backward(*tensors)  # raises in backward if one was written into since
        return _tensor(y, x[0].device)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Any, ...]:
        tensors, module = ctx.saved_tensors, ctx.module
        if torch.is_grad_enabled():  # with create_graph=True; a second derivative would be silently wrong
            raise UnsupportedError(
                f"{type(module._layer).__name__} computes its own gradients, which cannot be differentiated "
                "again; define its module in PyTorch: @neocog.interop.torch.register_layer."
            )
        module._bind(tensors[ctx.count :], ctx.buffers)
        layer, needed = module._layer, ctx.needs_input_grad[3:]
        dx, grads = layer.backward(_array(dy), ctx.cache, any(needed[: ctx.count]))
        gradients = list(dx) if layer.several_inputs and dx is not None else [dx] * ctx.count
        for name in module._parameter_names:
            gradient = grads.get(name)
            turned = gradient is not None and name in module._transposed
            gradients.append(gradient.T if turned else gradient)
        return (
            None,
            None,
            None,
            *(
                _tensor(gradient, tensor.device) if wanted and gradient is not None else None
                for gradient, tensor, wanted in zip(gradients, tensors, needed, strict=True)
            ),
        )


_is_exporting = getattr(torch.compiler, "is_exporting", torch.compiler.is_compiling)
"""Since PyTorch 2.7; before, what is exported cannot be told from what is compiled."""


def _array(tensor: Tensor) -> np.ndarray:
    array: np.ndarray = tensor.detach().cpu().numpy()
    return array


def _tensor(array: Any, device: torch.device) -> Tensor:
    """Return a tensor of its own memory: neither the layer's cache nor its input may be written into."""
    return torch.from_numpy(np.array(array, order="C")).to(device)
