"""Trace the ``forward`` of a module by ``torch.fx`` and convert it node by node."""

from __future__ import annotations

import inspect
import operator
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.fx.node import map_arg
from torch.nn import functional as F

from neocog.interop.nesting import apart
from neocog.interop.torch.arithmetic import ARITHMETIC, IN_PLACE, Arithmetic
from neocog.interop.torch.graph_builder import (
    BATCH,
    Builder,
    TracedValue,
    UnsupportedError,
    check_batch_axis,
    known,
    values_in,
    with_location,
)
from neocog.interop.torch.operators.dropout import IN_TRAINING
from neocog.interop.torch.registry import FUNCTIONS, Chain
from neocog.layers import Concat

CONCAT = (torch.cat, torch.concat, torch.concatenate)

KEYWORDS = {"axis": "dim", "keepdims": "keepdim"}
"""NumPy's names of arguments, which PyTorch accepts as aliases of its own."""


class Reader(Protocol):
    """Converts the modules that a traced forward calls."""

    def call(
        self, builder: Builder, name: str, module: nn.Module, args: Any, kwargs: Mapping[str, Any], path: str
    ) -> TracedValue:
        """Apply a module to values."""
        ...

    def apply(
        self,
        builder: Builder,
        name: str,
        chain: Chain,
        values: Sequence[TracedValue],
        tensors: Mapping[str, Tensor],
    ) -> TracedValue:
        """Apply layers one after another."""
        ...


def place_of(module: nn.Module, path: str) -> str:
    """Describe a module and its path for a message."""
    name = type(module).__name__
    return f"{name} at {path!r}" if path else name


class TracedForward:
    """Converts one module's traced ``forward``; ``outer`` are the caller's values for the module's inputs."""

    def __init__(
        self, reader: Reader, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], path: str
    ) -> None:
        self._reader, self._module, self._path = reader, module, path
        bound = inspect.signature(module.forward).bind(*args, **kwargs)
        bound.apply_defaults()
        self.outer = values_in(bound.arguments)
        self._arguments: dict[str, Any] = {}
        inputs: list[TracedValue] = []
        for name, argument in bound.arguments.items():
            self._arguments[name] = self._inside(name, argument, inputs)
        self.builder = Builder(inputs, module._modules)
        self._values: dict[fx.Node, Any] = {}

    def _inside(self, name: str, argument: Any, inputs: list[TracedValue]) -> Any:
        """Replace the caller's values in an argument by the module's own inputs."""
        if isinstance(argument, tuple | list):
            return [self._inside(f"{name}_{k}", part, inputs) for k, part in enumerate(argument)]
        if not isinstance(argument, TracedValue):
            return argument
        name = "input" if len(self.outer) == 1 else name
        inputs.append(replace(argument, name=apart(name, self._module._modules), base=None))
        return inputs[-1]

    def run(self) -> TracedValue:
        """Convert every node of the forward, and return the value of its output."""
        graph = follow(self._module, {n: v for n, v in self._arguments.items() if not values_in(v)})
        arguments = iter(self._arguments.values())
        order = {node: k for k, node in enumerate(graph.nodes)}
        for node in graph.nodes:
            if node.op == "placeholder":
                self._values[node] = next(arguments)
                continue
            args, kwargs = map_arg((node.args, dict(node.kwargs)), self._values.__getitem__)
            if node.op == "output":
                break
            result = self._step(node, args, kwargs)
            later = {n for n in self._values if any(order[user] > order[node] for user in n.users)}
            for value, now in self.builder.overwritten:
                self._overwrite(later, value, now)
            self.builder.overwritten.clear()
            self._values[node] = result
        (output,) = args
        if not isinstance(output, TracedValue):
            raise UnsupportedError("it returns no single tensor, which alone is supported")
        return output

    def _overwrite(self, later: set[fx.Node], value: TracedValue, now: TracedValue | None) -> None:
        """Replace an overwritten value in all nodes that are used later."""
        for node in later:
            if any(held.root is value.root for held in values_in(self._values[node])):
                if now is None or self._values[node] is not value:
                    raise UnsupportedError(
                        "something in it writes into a tensor that is used again in another form; with "
                        "inplace=False it is supported"
                    )
                self._values[node] = now

    def _step(self, node: fx.Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if node.op == "get_attr":
            return reduce(getattr, str(node.target).split("."), self._module)
        if node.op == "call_module":
            name = str(node.target)
            child, path = self._module.get_submodule(name), f"{self._path}.{name}".lstrip(".")
            return self._reader.call(self.builder, name, child, args, kwargs, path)
        try:
            return self._function(node.target, args, kwargs)
        except (TypeError, ValueError) as error:
            place = f"{_title(node.target)} in {place_of(self._module, self._path)}"
            raise with_location(error, place) from error.__cause__

    def _function(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Convert a call of a function, or of a method given by its name."""
        values = values_in((args, kwargs))
        if not values:
            return _constant(target, args, kwargs)
        kwargs = {KEYWORDS.get(key, key): value for key, value in kwargs.items()}
        first = "tensors" if target in CONCAT else "input"
        x, *rest = args if args else (kwargs.pop(first, None),)
        name = _title(target).split(".")[-1].strip("_")
        if target is operator.getitem and isinstance(x, list | tuple):
            return x[rest[0]]
        if target in ARITHMETIC:
            result = getattr(Arithmetic(self._apply), ARITHMETIC[target])(x, *rest, **kwargs)
            if target in IN_PLACE or _title(target).endswith("_"):
                self.builder.overwrite(x, result)
            return result
        if target in CONCAT:
            return self._concat(x, *rest, **kwargs)
        if target in (getattr, "size", "dim"):
            return _measured(x, *rest) if target is getattr else _measured(x, target, *rest, **kwargs)
        if target in ("clone", torch.clone):
            return replace(x, base=None)
        if target == "contiguous":
            return replace(x, base=x)
        if target not in FUNCTIONS or not isinstance(x, TracedValue) or len(values) > 1:
            names = {_title(each).split(".")[-1].strip("_") for each in (*FUNCTIONS, *ARITHMETIC, *CONCAT)}
            raise UnsupportedError(f"it has no counterpart; supported are {', '.join(sorted(names))}")
        made = FUNCTIONS[target](x, *rest, **kwargs)
        if isinstance(made, list):
            return [self._reader.apply(self.builder, name, each, (x,), {}) for each in made]
        result = self._reader.apply(self.builder, name, made, (x,), {})
        if kwargs.get("inplace") or _title(target).endswith("_"):
            self.builder.overwrite(x, result)
        return result

    def _apply(self, name: str, chain: Chain, *values: TracedValue) -> TracedValue:
        return self._reader.apply(self.builder, name, chain, values, {})

    def _concat(self, tensors: Any, dim: int = 0) -> TracedValue:
        values = values_in(tensors)
        if len(values) < len(tensors):
            raise UnsupportedError("joining with anything but tensors of the network has no counterpart")
        if dim < 0:
            dim += len(known(values[0], f"dim={dim}")) + 1
        if dim == 0:
            raise UnsupportedError("dim=0 would join batches; dim=1 is supported")
        if len(values) == 1:
            return values[0]
        return self.builder.add(self.builder.free("cat"), Concat(dim), *values)


class _Sizes:
    """The shape of a tensor of which only the batch size is known."""

    def __init__(self, value: TracedValue) -> None:
        self._value = value

    def __getitem__(self, axis: int) -> int:
        if axis != 0:
            return known(self._value, "a size")[axis]
        check_batch_axis(self._value)
        return BATCH


def _measured(x: TracedValue, name: str, dim: int | None = None) -> Any:
    """Return the shape of a value, one of its sizes, or its number of axes."""
    if name in ("shape", "size"):
        sizes: Any = _Sizes(x) if x.shape is None else (BATCH, *x.shape)
        return sizes if dim is None else sizes[dim]
    if name in ("dim", "ndim"):
        return len(known(x, "the number of axes")) + 1
    raise UnsupportedError(f"{name!r} has no counterpart; shape, size, dim and ndim have")


def _constant(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Evaluate a call on sizes and other numbers that are known while tracing."""
    if getattr(target, "__module__", None) in ("_operator", "builtins", "math") or "_assert" in _title(
        target
    ):
        with torch.enable_grad():  # what is computed from a parameter must be known by its gradient
            return _learned_view(target(*args, **kwargs), args)
    if target in ("view", "reshape", "unsqueeze", "squeeze", "flatten") and isinstance(args[0], Tensor):
        return _learned_view(getattr(args[0], target)(*args[1:], **kwargs), args)
    raise UnsupportedError("its arguments are no tensors of the network")


def _learned_view(result: Any, args: tuple[Any, ...]) -> Any:
    """Return a parameter in another shape as a parameter; any other result as it is."""
    parameter = args[0] if args else None
    if not isinstance(parameter, nn.Parameter) or not isinstance(result, Tensor):
        return result
    if result._base is not parameter or result.numel() != parameter.numel() or not result.is_contiguous():
        return result
    view: Any = nn.Parameter(result.detach(), parameter.requires_grad)
    view.original = getattr(parameter, "original", parameter)
    return view


def _title(target: Any) -> str:
    """Return the qualified name of a function or method for a message."""
    if isinstance(target, str):
        return f"Tensor.{target}"
    module = getattr(target, "__module__", None) or "torch"
    module = {"torch._C._nn": "torch.nn.functional", "_operator": "operator"}.get(module, module)
    return f"{module}.{target.__name__}"


class _Proxy(fx.Proxy):
    """A proxy that distinguishes ``x += y``, which writes into x, from ``x = x + y``, and so on."""

    def __iadd__(self, other: Any) -> fx.Proxy:
        return self.tracer.create_proxy("call_function", operator.iadd, (self, other), {})

    def __isub__(self, other: Any) -> fx.Proxy:
        return self.tracer.create_proxy("call_function", operator.isub, (self, other), {})

    def __imul__(self, other: Any) -> fx.Proxy:
        return self.tracer.create_proxy("call_function", operator.imul, (self, other), {})

    def __itruediv__(self, other: Any) -> fx.Proxy:
        return self.tracer.create_proxy("call_function", operator.itruediv, (self, other), {})


class _Tracer(fx.Tracer):
    """Traces the forward of one module without entering its submodules."""

    def __init__(self) -> None:
        super().__init__()
        self._grad, self._autocast = torch.is_grad_enabled(), _autocasts()

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return True

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Proxy(node, self)

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        if torch.is_grad_enabled() is not self._grad:
            raise UnsupportedError("a part without gradients (torch.no_grad) has no counterpart")
        if _autocasts() != self._autocast:
            raise UnsupportedError("a part under torch.autocast has no counterpart")
        return super().create_node(*args, **kwargs)

    def create_arg(self, a: Any) -> Any:
        own = (*self.root.parameters(), *self.root.buffers())
        if isinstance(a, Tensor) and all(a is not tensor for tensor in own):
            raise UnsupportedError(
                "a tensor that is neither made of the input nor a parameter has no counterpart"
            )
        return super().create_arg(a)


def _autocasts() -> tuple[bool, bool]:
    return torch.is_autocast_enabled("cpu"), torch.is_autocast_enabled("cuda")


class _Generators:
    """The states of the global random generators of PyTorch, Python and NumPy."""

    def __init__(self) -> None:
        self._torch, self._python = torch.get_rng_state(), random.getstate()
        self._numpy = np.random.get_state()  # noqa: NPY002, it is another's code that draws from it

    def restore(self) -> bool:
        """Restore the states, and return whether one had changed."""
        now = _Generators()
        torch.set_rng_state(self._torch)
        random.setstate(self._python)
        np.random.set_state(self._numpy)  # noqa: NPY002
        return not (
            torch.equal(now._torch, self._torch)
            and now._python == self._python
            and all(map(np.array_equal, now._numpy, self._numpy))
        )


def follow(module: nn.Module, constants: Mapping[str, Any]) -> fx.Graph:
    """Trace a module's forward, some of whose arguments are constants.

    It is traced in both modes. Where the argument ``training`` of a function is the module's own mode, it
    becomes :data:`IN_TRAINING`.

    Raises
    ------
    UnsupportedError
        If the path through the module depends on numbers, random ones included, or on its mode.
    """
    concrete = {n: v for n, v in constants.items() if isinstance(v, bool | int | float | str | None)}
    mode, graphs, generators = module.training, [], _Generators()
    try:
        for training in (False, True):
            module.training = training
            graphs.append(_trace(module, concrete))
    except Exception as error:  # any exception that the module's code raises on symbolic values
        raise UnsupportedError(f"its forward cannot be traced: {error}") from error
    finally:
        module.training = mode
        drawn = generators.restore()
    if drawn:  # a path chosen at random looks like the only one
        raise UnsupportedError(
            "its forward draws random numbers, which need not be the same again; dropout is supported"
        )
    evaluation, graph = graphs
    same = len(evaluation.nodes) == len(graph.nodes)
    for before, node in zip(evaluation.nodes, graph.nodes, strict=False):
        for each in (before, node):
            _name_mode(each)
        if (before.kwargs.get("training"), node.kwargs.get("training")) == (False, True):
            for each in (before, node):  # each keeps the arguments that are nodes of its own graph
                each.kwargs = {**each.kwargs, "training": IN_TRAINING}
        same = same and _described(before) == _described(node)
    if not same:
        raise UnsupportedError("its forward takes another path in training than in evaluation")
    return graph


def _trace(module: nn.Module, concrete: Mapping[str, Any]) -> fx.Graph:
    """Trace the forward of a module, which the module itself may have replaced by another of its methods."""
    tracer, replaced = _Tracer(), vars(module).get("forward")
    if inspect.ismethod(replaced) and replaced.__self__ is module:
        tracer.traced_func_name = replaced.__name__
        replaced = None
    return tracer.trace(replaced or module, dict(concrete))


MODES: dict[Any, int] = {F.batch_norm: 5, F.dropout: 2}
"""The place of the argument ``training``, by the function."""


def _name_mode(node: fx.Node) -> None:
    """Pass the mode by its name, and what follows it, to a function to which it was passed by its place."""
    place = MODES.get(node.target, len(node.args))
    if place < len(node.args):
        names = list(inspect.signature(cast(Any, node.target)).parameters)
        node.kwargs = {**node.kwargs, **dict(zip(names[place:], node.args[place:], strict=False))}
        node.args = node.args[:place]


def _described(node: fx.Node) -> tuple[Any, ...]:
    return node.op, node.target, str(map_arg((node.args, node.kwargs), lambda source: source.name))
