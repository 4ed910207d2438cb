"""Define the base of the activations: one function applied to every number on its own.

Complex numbers are ordered by their real part, so that every function is differentiable by a complex step
wherever its real form is differentiable.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from neocog.kernels.geometry import is_complex
from neocog.layers.base import Array, Grads, Layer, Shape, computes_as


class Elementwise(Layer):
    """Base of the layers that apply one function to every number on its own.

    Forward: ``y = f(x)``. Backward: ``dx = dy f'(x)``.

    An activation of your own states ``function`` and ``derivative``; everything else follows from these two:
    training, gradient checks, explanations, the compiled form and the PyTorch module. Both are called with
    the array library (``numpy``, ``torch`` ...), the input and the constructor's arguments in their order,
    and use the library's functions only: ``xp.exp``, ``xp.where``, ``xp.maximum``. Compiled, they are called
    with one number at a time. A subclass may state ``forward`` and ``backward`` itself instead, as the
    activations here do.

    Attributes
    ----------
    operations : int
        Floating point operations for one number, for the FLOP count; a transcendental function is one.

    Raises
    ------
    NotImplementedError
        When called, if a subclass states neither.

    Notes
    -----
    Shapes: any -> the same.

    Examples
    --------
    >>> import numpy as np
    >>> class Softsign(Elementwise):
    ...     @staticmethod
    ...     def function(xp, x):
    ...         return x / (1 + xp.abs(x))
    ...     @staticmethod
    ...     def derivative(xp, x):
    ...         return 1 / (1 + xp.abs(x)) ** 2
    >>> Softsign()(np.array([-1.0, 0.0, 3.0]))
    array([-0.5 ,  0.  ,  0.75])
    """

    operations: ClassVar[int] = 1

    @staticmethod
    def function(xp: Any, x: Any, *settings: Any) -> Any:
        """Compute ``f(x)`` with the functions of the array library ``xp``."""
        raise NotImplementedError("an Elementwise layer must state function(xp, x, *settings).")

    @staticmethod
    def derivative(xp: Any, x: Any, *settings: Any) -> Any:
        """Compute ``f'(x)`` with the functions of the array library ``xp``."""
        raise NotImplementedError("an Elementwise layer must state derivative(xp, x, *settings).")

    @property
    def settings(self) -> tuple[Any, ...]:
        """The constructor's arguments in their order, as ``function`` and ``derivative`` take them."""
        return tuple(self.config().values())

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Any]:
        return self.function(_library(x), x, *self.settings), x

    def backward(self, dy: Array, cache: Any, input_grad: bool = True) -> tuple[Array | None, Grads]:
        if not input_grad:
            return None, {}
        return dy * self.derivative(_library(cache), cache, *self.settings), {}

    def flops(self, input_shape: Shape) -> int:
        return self.operations * int(np.prod(input_shape))


DECLARED = frozenset({"derivative", "function", "settings"})
"""What a subclass of :class:`Elementwise` states instead of ``forward`` and ``backward``."""


def states_function(layer_class: type[Layer]) -> bool:
    """Tell whether an :class:`Elementwise` class states its ``function``, and computes by nothing else."""
    return (
        issubclass(layer_class, Elementwise)
        and layer_class.function is not Elementwise.function
        and computes_as(layer_class, Elementwise, DECLARED)
    )


def _library(x: Array) -> Any:
    """Return the functions for an array: its library's, made analytic for complex numbers."""
    xp = x.__array_namespace__()
    return _Analytic(xp) if is_complex(x) else xp


class _Analytic:
    """An array library whose ``abs`` and ``sign`` depend on the real part, as a complex step requires.

    The others are analytic themselves, or order complex numbers by their real part, as ``maximum`` does.
    """

    def __init__(self, xp: Any) -> None:
        self._xp = xp

    def __getattr__(self, name: str) -> Any:
        return getattr(self._xp, name)

    def abs(self, x: Array) -> Array:
        return self._xp.where(self._xp.real(x) < 0, -x, x)

    def sign(self, x: Array) -> Array:
        return self._xp.sign(self._xp.real(x))
