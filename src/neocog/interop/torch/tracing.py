"""Run the ``forward`` of a module on stand-ins for its tensors, and convert each function as it is called."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._pytree import tree_map_only

from neocog.interop.nesting import apart
from neocog.interop.torch.arithmetic import ARITHMETIC, IN_PLACE, Arithmetic
from neocog.interop.torch.global_state import Generators, settings
from neocog.interop.torch.graph_builder import (
    Builder,
    TracedValue,
    UnsupportedError,
    values_in,
    with_location,
)
from neocog.interop.torch.operators.arguments import is_learned
from neocog.interop.torch.operators.dropout import IN_TRAINING
from neocog.interop.torch.registry import COMBINATIONS, FUNCTIONS, Chain, Loaded
from neocog.interop.torch.sizes import MEASURES
from neocog.interop.torch.symbols import RUNNING, Symbol, calls_intercepted

KEYWORDS = {"axis": "dim", "keepdims": "keepdim"}
"""NumPy's names of arguments, which PyTorch accepts as aliases of its own."""

MODES: dict[Any, int] = {F.batch_norm: 5, F.dropout: 2}
"""The place of the argument ``training``, by the function."""

NUMBERS = {"__bool__", "__int__", "__float__", operator.index, "item", "tolist", "numpy"}
"""Methods that read a tensor's numbers."""

CASTS = {
    "float": torch.float32,
    "double": torch.float64,
    "to": None,
    "type": None,
    "type_as": None,
    "cpu": None,
}
"""Methods that return a tensor itself if it is of the type, by the type unless it is an argument."""


class Reader(Protocol):
    """Converts the modules that a traced forward calls."""

    path_taken: str | None
    dtype: torch.dtype

    def call(
        self, builder: Builder, name: str, module: nn.Module, args: Any, kwargs: Mapping[str, Any], path: str
    ) -> Any:
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

    def note(self, text: str) -> None:
        """Tell the user something of how the module was converted."""
        ...


def place_of(module: nn.Module, path: str) -> str:
    """Describe a module and its path for a message."""
    name = type(module).__name__
    return f"{name} at {path!r}" if path else name


class _Mode:
    """The mode of a module: false in evaluation, and it knows whether it was asked."""

    def __init__(self, training: bool) -> None:
        self.training, self.asked = training, False

    def __bool__(self) -> bool:
        self.asked = True
        return self.training


class TracedForward:
    """Converts one module's ``forward``; ``outer`` are the caller's values for the module's inputs."""

    def __init__(
        self, reader: Reader, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], path: str
    ) -> None:
        self._reader, self._module, self._path = reader, module, path
        bound = inspect.signature(module.forward).bind(*args, **kwargs)
        bound.apply_defaults()
        self.outer = values_in(bound.arguments)
        inputs: list[TracedValue] = []
        for name, argument in bound.arguments.items():
            bound.arguments[name] = self._inside(name, argument, inputs)
        self._bound = bound
        self.builder = Builder(inputs, module._modules)
        self._symbols: list[Symbol] = []
        self._record: list[tuple[Any, Any]] = []
        """Each call in a form in which two can be compared, and its result."""
        self._again: Iterator[tuple[Any, Any]] | None = None
        """The calls of the first run, during the second."""
        self._mode = _Mode(reader.path_taken == "training")
        self.refusal: UnsupportedError | None = None
        """Why something was refused first."""
        self._state = settings()
        self._paths = {id(child): name for name, child in reversed([*module.named_modules()])}

    def _inside(self, name: str, argument: Any, inputs: list[TracedValue]) -> Any:
        """Replace the caller's values in an argument by the module's own inputs."""
        if isinstance(argument, Mapping):
            return {key: self._inside(f"{name}_{key}", part, inputs) for key, part in argument.items()}
        if isinstance(argument, tuple | list):
            parts = [self._inside(f"{name}_{k}", part, inputs) for k, part in enumerate(argument)]
            return tuple(parts) if type(argument) is tuple else parts
        if not isinstance(argument, TracedValue):
            return argument
        name = "input" if len(self.outer) == 1 else name
        inputs.append(replace(argument, name=apart(name, self._module._modules), base=None))
        return inputs[-1]

    def run(self) -> Any:
        """Convert the forward, and return the value of its output, or several in the form they have there.

        Where it asks for the module's mode, it runs again in the other mode, and is compared.
        """
        arguments = self._symbolic((self._bound.args, self._bound.kwargs))
        output, drawn = self._forward(arguments)
        if drawn:  # a path chosen at random looks like the only one
            raise UnsupportedError(
                "its forward draws random numbers, which need not be the same again; dropout is supported"
            )
        result = self._values(output)
        if self._mode.asked and not self._same_in_the_other_mode(arguments, output):
            if self._reader.path_taken is None:
                raise UnsupportedError(
                    "its forward takes another path in training than in evaluation; path='evaluation' or "
                    "path='training' chooses one"
                )
            self._reader.note(
                f"{place_of(self._module, self._path)} takes another path in training than in evaluation; "
                f"the network takes that of {self._reader.path_taken} in both"
            )
        return result

    def _symbolic(self, results: Any) -> Any:
        def symbol(value: TracedValue) -> Symbol:
            self._symbols.append(Symbol.of(value, self._reader.dtype))
            return self._symbols[-1]

        return tree_map_only(TracedValue, symbol, results)

    def _values(self, arguments: Any) -> Any:
        def value(symbol: Symbol) -> TracedValue:
            if symbol.traced is None:
                raise UnsupportedError(
                    "something in it writes into a tensor that is used again in another form; with "
                    "inplace=False it is supported"
                )
            if not any(symbol is own for own in self._symbols):
                raise UnsupportedError("it uses a tensor of another module's, which was not given to it")
            return symbol.traced

        return tree_map_only(Symbol, value, arguments)

    def _forward(self, arguments: Any) -> tuple[Any, bool]:
        """Run the forward; return its output, and whether it drew random numbers."""
        module, mode, generators = self._module, self._module.training, Generators()
        buffers = [(buffer, buffer.clone()) for buffer in module._buffers.values() if buffer is not None]
        module.training = cast(bool, self._mode)
        RUNNING.append(self)
        args, kwargs = arguments
        try:
            with calls_intercepted():
                return module.forward(*args, **kwargs), generators.restore()
        except Exception as error:  # any exception that the module's code raises on symbols
            if self.refusal is not None or isinstance(error, UnsupportedError):
                raise self.refusal or error from error.__cause__
            text = str(error) or type(error).__name__
            raise UnsupportedError(f"its forward cannot be traced: {text}") from error
        finally:
            RUNNING.pop()
            module.training = mode
            generators.restore()
            for buffer, before in buffers:
                if not torch.equal(buffer, before):
                    buffer.copy_(before)

    def _same_in_the_other_mode(self, arguments: Any, output: Any) -> bool:
        """Return whether the module calls the same functions of the same arguments in its other mode."""
        self._mode = _Mode(not self._mode.training)
        self._again = iter(self._record)
        try:
            other, drawn = self._forward(arguments)
        except UnsupportedError:
            return False
        return not drawn and next(self._again, None) is None and _described(other) == _described(output)

    def function(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Convert a call of a function, or of a method given by its name."""
        kwargs = {KEYWORDS.get(key, key): value for key, value in kwargs.items()}
        if target in MEASURES:
            args, kwargs = tree_map_only(Symbol, lambda symbol: symbol.measured, (args, kwargs))
            return self._placed(target, MEASURES[target], *args, **kwargs)
        args, kwargs, mode = _without_mode(target, args, kwargs)
        follows = isinstance(mode, _Mode) or (self._mode.asked and mode is self._mode.training)
        described = (target, _described((args, kwargs)), follows)
        if self._again is not None:
            return self._repeated(described)
        if settings() != self._state:
            raise UnsupportedError("a part under torch.no_grad or torch.autocast has no counterpart")
        if mode is not None:
            kwargs["training"] = IN_TRAINING if follows else mode
        args, kwargs = self._values((args, kwargs))
        return self._recorded(described, self._placed(target, self._converted, target, args, kwargs))

    def _placed(self, target: Any, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a function; an error gets the name and the place of what the forward has called."""
        try:
            return function(*args, **kwargs)
        except (TypeError, ValueError) as error:
            place = f"{_title(target)} in {place_of(self._module, self._path)}"
            raise with_location(error, place) from error.__cause__

    def module(self, child: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Convert a call of a child."""
        described = (child, _described((args, kwargs)))
        if self._again is not None:
            return self._repeated(described)
        if id(child) not in self._paths:
            raise UnsupportedError(f"it calls a {type(child).__name__} that is none of its modules")
        name = self._paths[id(child)]
        path = f"{self._path}.{name}".lstrip(".")
        args, kwargs = self._values((args, kwargs))
        return self._recorded(described, self._reader.call(self.builder, name, child, args, kwargs, path))

    def _recorded(self, described: Any, result: Any) -> Any:
        """Replace what has been overwritten, and return the symbols of a result."""
        for value, now in self.builder.overwritten:
            for symbol in self._symbols:
                if symbol.traced is not None and symbol.traced.root is value.root:
                    symbol.traced = now if symbol.traced is value else None
        self.builder.overwritten.clear()
        result = self._symbolic(result)
        self._record.append((described, result))
        return result

    def _repeated(self, described: Any) -> Any:
        before, result = next(cast(Any, self._again), (None, None))
        if before != described:
            raise UnsupportedError("its forward takes another path in training than in evaluation")
        return result

    def _converted(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return the value of a function of values, or several, or a size."""
        if target in NUMBERS:
            raise UnsupportedError("it depends on the numbers of a tensor, which has no counterpart")
        first = "tensors" if target in COMBINATIONS else "input"
        x, *rest = args if args else (kwargs.pop(first, None),)
        result: Any
        if target in CASTS:
            types = [
                CASTS[target],
                *(each for each in (*rest, *kwargs.values()) if isinstance(each, torch.dtype)),
            ]
            if other := [each for each in types if each not in (None, self._reader.dtype)]:
                raise UnsupportedError(f"a cast to {other[0]} has no counterpart in {self._reader.dtype}")
            result = replace(x, base=x)
        elif target in ARITHMETIC:
            result = getattr(Arithmetic(self._apply), ARITHMETIC[target])(x, *rest, **kwargs)
        elif target in COMBINATIONS:
            result = COMBINATIONS[target](self._apply, x, *rest, **kwargs)
        elif target in FUNCTIONS and isinstance(x, TracedValue) and not values_in((rest, kwargs)):
            made = FUNCTIONS[target](x, *rest, **kwargs)
            if isinstance(made, list):
                result = [self._apply(_name_of(target), part, x) for part in made]
            else:
                self._note_computed(target, made)
                result = self._apply(_name_of(target), made, x)
        else:
            names = {_name_of(each) for each in (*FUNCTIONS, *COMBINATIONS, *ARITHMETIC.keys() - IN_PLACE)}
            raise UnsupportedError(f"it has no counterpart; supported are {', '.join(sorted(names))}")
        if kwargs.get("inplace") or target in IN_PLACE or _title(target).endswith("_"):
            self.builder.overwrite(x, result)
        return result

    def _note_computed(self, target: Any, chain: Chain) -> None:
        """Tell that what a layer learns is there no parameter, but computed from some."""
        parts = chain if isinstance(chain, tuple) else (chain,)
        for part in (part for part in parts if isinstance(part, Loaded)):
            for key, tensor in part.tensors.items():
                computed = tensor is not None and tensor.requires_grad and not is_learned(tensor)
                if computed and key in part.layer.params:
                    place = f"{_title(target)} in {place_of(self._module, self._path)}"
                    self._reader.note(
                        f"the {key} of {place} is computed from parameters; here it is one itself"
                    )

    def _apply(self, name: str, chain: Chain, *values: TracedValue) -> TracedValue:
        return self._reader.apply(self.builder, name, chain, values, {})


def _without_mode(
    target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any], Any]:
    """Take the argument ``training`` out of the arguments; what follows it is passed by name."""
    if target not in MODES:
        return args, kwargs, None
    place, (*names,) = MODES[target], inspect.signature(target).parameters
    kwargs = kwargs | dict(zip(names[place:], args[place:], strict=False))
    default = inspect.signature(target).parameters["training"].default
    return args[:place], kwargs, kwargs.pop("training", default)


def _described(arguments: Any) -> Any:
    """Return arguments in a form in which two can be compared."""
    if isinstance(arguments, Mapping):
        return [(key, _described(part)) for key, part in arguments.items()]
    if isinstance(arguments, tuple | list):
        return [_described(part) for part in arguments]
    if isinstance(arguments, Symbol | nn.Module):
        return id(arguments)
    if isinstance(arguments, Tensor):  # of a weight that is computed, there is a new one each time
        return arguments.shape, arguments.detach().cpu().numpy().tobytes()
    return repr(arguments)


def _title(target: Any) -> str:
    """Return the qualified name of a function or method for a message."""
    if isinstance(target, str):
        return f"Tensor.{target}"
    module = getattr(target, "__module__", None) or "torch"
    module = {"torch._C._nn": "torch.nn.functional", "_operator": "operator"}.get(module, module)
    return f"{module}.{target.__name__}"


def _name_of(target: Any) -> str:
    return _title(target).split(".")[-1].strip("_")
