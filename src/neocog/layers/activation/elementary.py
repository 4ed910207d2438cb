"""Define elementary functions that networks compute with: exponential, square root, absolute value."""

from __future__ import annotations

from typing import Any

from neocog.layers.activation.elementwise import Elementwise


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
