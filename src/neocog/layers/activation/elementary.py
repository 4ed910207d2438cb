"""Define elementary functions that networks compute with: exponential, powers, absolute value."""

from __future__ import annotations

import math
from typing import Any

from neocog.layers.activation.elementwise import Elementwise
from neocog.validation import number


class Exp(Elementwise):
    """Exponential.

    Forward: ``y = exp(x)``.

    Backward: ``dx = dy exp(x)``.

    Notes
    -----
    Shapes: any -> the same.

    Source: the operator Exp of ONNX.

    Examples
    --------
    >>> import numpy as np
    >>> Exp()(np.array([0.0, np.log(3)])).round(6)
    array([1., 3.])
    """

    @staticmethod
    def function(xp: Any, x: Any) -> Any:
        return xp.exp(x)

    @staticmethod
    def derivative(xp: Any, x: Any) -> Any:
        return xp.exp(x)


class Sqrt(Elementwise):
    """Square root, of numbers above 0: the slope at 0 is infinite.

    Forward: ``y = sqrt(x)``.

    Backward: ``dx = dy / (2 sqrt(x))``.

    Notes
    -----
    Shapes: any -> the same.

    Source: the operator Sqrt of ONNX.

    Examples
    --------
    >>> import numpy as np
    >>> Sqrt()(np.array([0.25, 9.0]))
    array([0.5, 3. ])
    """

    @staticmethod
    def function(xp: Any, x: Any) -> Any:
        return xp.sqrt(x)

    @staticmethod
    def derivative(xp: Any, x: Any) -> Any:
        return 0.5 / xp.sqrt(x)


class Power(Elementwise):
    """Power with a fixed exponent; ``Power(-1)`` is the reciprocal, by which a product is a quotient.

    Forward: ``y = x^p``.

    Backward: ``dx = dy p x^(p - 1)``.

    Parameters
    ----------
    exponent : float
        ``p``, other than 0. A negative ``x`` has a power only where it is an integer, and 0 only where it is
        positive; elsewhere ``y`` is NaN, or infinite.

    Raises
    ------
    ValueError, TypeError
        On an exponent that is 0 or not finite, or no number.

    See Also
    --------
    Multiply : Of an array with itself it is the square.
    Sqrt : The square root.

    Notes
    -----
    Shapes: any -> the same.

    Source: the operators Pow and Reciprocal of ONNX.

    Examples
    --------
    >>> import numpy as np
    >>> Power(-1)(np.array([0.5, -4.0]))
    array([ 2.  , -0.25])
    >>> Power(3)(np.array([2.0, -1.0]))
    array([ 8., -1.])
    """

    def __init__(self, exponent: float) -> None:
        super().__init__()
        self.exponent = float(number("exponent", exponent, -math.inf, math.inf, True, True))
        if self.exponent == 0:
            raise ValueError("exponent must not be 0, as every power would be 1.")

    @staticmethod
    def function(xp: Any, x: Any, exponent: float) -> Any:
        return x**exponent

    @staticmethod
    def derivative(xp: Any, x: Any, exponent: float) -> Any:
        return exponent * x ** (exponent - 1.0)


class Abs(Elementwise):
    """Absolute value.

    Forward: ``y = |x|``.

    Backward: ``dx = dy sign(x)``; the gradient at 0 is 0.

    Notes
    -----
    Shapes: any -> the same.

    Source: K. Jarrett, K. Kavukcuoglu, M. Ranzato, Y. LeCun, "What is the best multi-stage architecture for
    object recognition?", 2009, whose rectification it is.

    Examples
    --------
    >>> import numpy as np
    >>> Abs()(np.array([-2.0, 0.0, 3.0]))
    array([2., 0., 3.])
    """

    @staticmethod
    def function(xp: Any, x: Any) -> Any:
        return xp.abs(x)

    @staticmethod
    def derivative(xp: Any, x: Any) -> Any:
        return xp.sign(x)
