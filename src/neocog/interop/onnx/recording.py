"""Record the function of an element-wise layer as ONNX nodes, by calling it with a stand-in for its input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from onnx import helper

from neocog.errors import UnsupportedError
from neocog.interop.onnx.export_graph import Writer

# ONNX operators by the names of NumPy's ufuncs, to which Python's operators map, too.
ARITHMETIC = {
    **{f: f.capitalize() for f in ("ceil", "cos", "cosh", "exp", "floor", "log", "sign", "sin", "sinh")},
    **{f: f.capitalize() for f in ("reciprocal", "sqrt", "tan", "tanh")},
    **{f"arc{f}": f"A{f}" for f in ("cos", "cosh", "sin", "sinh", "tan", "tanh")},
    **{"absolute": "Abs", "negative": "Neg", "rint": "Round", "maximum": "Max", "minimum": "Min"},
    **{"add": "Add", "subtract": "Sub", "multiply": "Mul", "divide": "Div", "power": "Pow"},
}
COMPARISONS = {
    **{"less": "Less", "less_equal": "LessOrEqual", "greater": "Greater", "greater_equal": "GreaterOrEqual"},
    "equal": "Equal",
}
LOGIC = {
    **{"logical_and": "And", "logical_or": "Or", "logical_xor": "Xor", "logical_not": "Not"},
    **{"bitwise_and": "And", "bitwise_or": "Or", "bitwise_xor": "Xor", "invert": "Not"},
}
# Functions without an operator of their own.
COMPOSED: dict[str, Callable[..., Any]] = {
    "clip": lambda x, low, high: np.minimum(np.maximum(x, low), high),
    "expm1": lambda x: np.exp(x) - 1,
    "log1p": lambda x: np.log(x + 1),
    "logaddexp": lambda a, b: np.maximum(a, b) + np.log(np.exp(-np.abs(a - b)) + 1),
    "not_equal": lambda a, b: np.logical_not(a == b),
    "ones_like": lambda x: 1.0,
    "square": lambda x: x * x,
    "zeros_like": lambda x: 0.0,
}


class Recorded(NDArrayOperatorsMixin):
    """Stand in for an array, and append a node for whatever NumPy computes from it."""

    def __init__(self, writer: Writer, name: str, is_boolean: bool = False) -> None:
        self.writer, self.name, self.is_boolean = writer, name, is_boolean

    @property
    def dtype(self) -> np.dtype[Any]:
        """Return the type of the numbers in the file."""
        return self.writer.dtype

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        return self._record(
            ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}", inputs, options
        )

    def __array_function__(self, function: Any, types: Any, inputs: Any, options: Any) -> Any:
        return self._record(function.__name__, inputs, options)

    def __bool__(self) -> NoReturn:
        raise UnsupportedError("it branches on the numbers; use where(condition, a, b) instead")

    def _record(self, function: str, inputs: tuple[Any, ...], options: Any) -> Any:
        if options:
            raise UnsupportedError(f"it calls {function} with {', '.join(options)}")
        if function in COMPOSED:
            return COMPOSED[function](*inputs)
        if function == "astype":
            return self._node("Cast", self, to=helper.np_dtype_to_tensor_dtype(self.dtype))
        if function == "where":
            return self._node("Where", inputs[0], *map(self._number, inputs[1:]))
        if function in LOGIC:
            return self._node(LOGIC[function], *inputs, is_boolean=True)
        operator = ARITHMETIC.get(function) or COMPARISONS.get(function)
        if operator is None:
            raise UnsupportedError(f"it calls {function}, which has no operator here")
        return self._node(operator, *map(self._number, inputs), is_boolean=function in COMPARISONS)

    def _node(self, operator: str, *inputs: Any, is_boolean: bool = False, **attributes: Any) -> Recorded:
        names = [self._operand(each) for each in inputs]
        return Recorded(self.writer, self.writer.node(operator, *names, **attributes), is_boolean)

    def _number(self, value: Any) -> Any:
        """Convert a recorded truth value to 0 or 1; return any other value as it is."""
        is_boolean = isinstance(value, Recorded) and value.is_boolean
        return value._record("astype", (), {}) if is_boolean else value

    def _operand(self, value: Any) -> str:
        """Return the name of a recorded value, or of a constant with the number."""
        if isinstance(value, Recorded):
            return value.name
        if np.ndim(value) or np.asarray(value).dtype.kind not in "fiub":
            raise UnsupportedError(f"it computes with {value!r}, which is no number")
        return self.writer.number(repr(float(value)), float(value))


def record(writer: Writer, function: Any, x: str, settings: tuple[Any, ...]) -> str:
    """Write the nodes of ``function(numpy, x, *settings)``; return the name of the output.

    Raises
    ------
    UnsupportedError
        If the function uses an operation without a known ONNX node.
    """
    try:
        y = function(np, Recorded(writer, x), *settings)
    except UnsupportedError:
        raise
    except (AttributeError, TypeError, ValueError, NotImplementedError) as error:
        raise UnsupportedError(str(error)) from error
    if not isinstance(y, Recorded):
        raise UnsupportedError(f"it returns {y!r}, which does not depend on x")
    return str(y._number(y).name)
