"""Stand in for tensors in a forward that runs: whatever is done with them is passed to its trace."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.overrides import is_tensor_method_or_property
from torch.utils._pytree import tree_iter

from neocog.interop.torch.graph_builder import BATCH, TracedValue, UnsupportedError

DESCRIBING = {
    *("dtype", "device", "layout", "is_cuda", "is_cpu", "is_meta", "is_sparse", "is_quantized", "is_mkldnn"),
    *("is_contiguous", "is_floating_point", "is_complex", "requires_grad", "is_leaf", "grad_fn", "is_nested"),
    *("__hash__", "__repr__", "__format__", "__dir__"),
}
"""Attributes and methods of tensors that tell nothing of their numbers and sizes."""


class Trace(Protocol):
    """A forward that runs on symbols, and is told of each call."""

    refusal: UnsupportedError | None

    def function(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return the result of a function, or of a method given by its name."""
        ...

    def module(self, child: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return the result of a module."""
        ...


RUNNING: list[Trace] = []
"""The forwards that run at the moment, each within the one before."""


class Symbol(Tensor):
    """Stands for a tensor in a running forward: it has a shape and no numbers.

    Whatever PyTorch is asked to do with it is passed to the trace that runs.
    """

    traced: TracedValue | None
    """What it stands for; None once its memory was overwritten in another form."""

    measured: TracedValue
    """What it stood for at first, which has its sizes."""

    @staticmethod
    def of(value: TracedValue, dtype: torch.dtype) -> Symbol:
        """Make the symbol of a value."""
        shape = () if value.shape is None else (BATCH, *value.shape)
        symbol = torch.empty(shape, dtype=dtype, device="meta").as_subclass(Symbol)
        symbol.traced = symbol.measured = value
        return symbol

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        target, args = _call(func, args)
        if isinstance(target, str) and target in DESCRIBING:
            return super().__torch_function__(func, types, args, kwargs or {})  # type: ignore[no-untyped-call]
        forward = RUNNING[-1]
        try:
            return forward.function(target, args, dict(kwargs or {}))
        except UnsupportedError as error:  # for which an operator of Python's would raise its own TypeError
            forward.refusal = forward.refusal or error
            raise


def _call(func: Any, args: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
    """Return the function, or the name of a tensor's method or attribute, and its arguments.

    ``x * y`` is a call of ``operator.mul``.
    """
    if not is_tensor_method_or_property(func):
        return func, args
    name = func.__self__.__name__ if func.__name__ in ("__get__", "__set__") else func.__name__
    plain = name.strip("_")
    if name == f"__{plain}__" and name not in DESCRIBING:
        if hasattr(operator, plain):
            return getattr(operator, plain), args
        if plain[0] == "r" and hasattr(operator, {"rdiv": "rtruediv"}.get(plain, plain)[1:]):
            return getattr(operator, {"rdiv": "rtruediv"}.get(plain, plain)[1:]), args[::-1]
    return name, args


@contextmanager
def calls_intercepted() -> Iterator[None]:
    """Pass the calls of modules with symbols to the forward that runs."""
    if len(RUNNING) > 1:  # they are already
        yield
        return
    original = nn.Module.__call__

    def call(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        forward = RUNNING[-1]
        if any(isinstance(leaf, Symbol) for leaf in tree_iter((args, kwargs))):
            return forward.module(module, args, kwargs)
        return original(module, *args, **kwargs)

    nn.Module.__call__ = call  # type: ignore[method-assign]
    try:
        yield
    finally:
        nn.Module.__call__ = original  # type: ignore[method-assign]
