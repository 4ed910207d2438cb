"""Define activations whose bend is an exponential: ELU, SELU, softplus."""

from __future__ import annotations

from typing import Any

from neocog.layers.activation.elementwise import Elementwise
from neocog.validation import number


class ELU(Elementwise):
    """Exponential linear unit.

    Forward: ``y = x if x > 0 else a (exp(x) - 1)``.

    Backward: ``dx = dy if x > 0 else a exp(x) dy``.

    Parameters
    ----------
    alpha : float, default 1
        ``a``.

    Notes
    -----
    Shapes: any -> the same.

    Source: D.-A. Clevert, T. Unterthiner, S. Hochreiter, "Fast and accurate deep network learning by
    exponential linear units", 2015.

    Examples
    --------
    >>> import numpy as np
    >>> ELU()(np.array([-np.log(2), 0.0, 2.0]))
    array([-0.5,  0. ,  2. ])
    """

    operations = 3

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__()
        self.alpha = number("alpha", alpha)

    @staticmethod
    def function(xp: Any, x: Any, alpha: float) -> Any:
        return xp.where(x > 0, x, alpha * xp.expm1(xp.where(x > 0, 0.0, x)))

    @staticmethod
    def derivative(xp: Any, x: Any, alpha: float) -> Any:
        return xp.where(x > 0, 1.0, alpha * xp.exp(xp.where(x > 0, 0.0, x)))


class SELU(Elementwise):
    """Scaled exponential linear unit, whose outputs keep mean 0 and variance 1 from layer to layer.

    Forward: ``y = b x if x > 0 else b a (exp(x) - 1)``, ``a = 1.67326...``, ``b = 1.05070...``.

    Backward: ``dx = b dy if x > 0 else b a exp(x) dy``.

    Notes
    -----
    Shapes: any -> the same.

    Source: G. Klambauer et al., "Self-normalizing neural networks", 2017.

    Examples
    --------
    >>> import numpy as np
    >>> SELU()(np.array([0.0, 1.0])).round(6)
    array([0.      , 1.050701])
    """

    operations = 4

    @staticmethod
    def function(xp: Any, x: Any) -> Any:
        low = 1.6732632423543772 * xp.expm1(xp.where(x > 0, 0.0, x))
        return 1.0507009873554805 * xp.where(x > 0, x, low)

    @staticmethod
    def derivative(xp: Any, x: Any) -> Any:
        low = 1.6732632423543772 * xp.exp(xp.where(x > 0, 0.0, x))
        return 1.0507009873554805 * xp.where(x > 0, 1.0, low)


class Softplus(Elementwise):
    """A smooth ReLU, whose derivative is the sigmoid.

    Forward: ``y = log(1 + exp(b x)) / b``, computed without overflow.

    Backward: ``dx = dy / (1 + exp(-b x))``.

    Parameters
    ----------
    beta : float other than 0, default 1
        ``b``.

    Raises
    ------
    ValueError, TypeError
        If ``beta`` is no number, or 0.

    Notes
    -----
    Shapes: any -> the same.

    Source: C. Dugas et al., "Incorporating second-order functional knowledge for better option pricing",
    2000.

    Examples
    --------
    >>> import numpy as np
    >>> Softplus()(np.array([-1000.0, 0.0, 1000.0])).round(6)
    array([0.00000e+00, 6.93147e-01, 1.00000e+03])
    """

    operations = 5

    def __init__(self, beta: float = 1.0) -> None:
        super().__init__()
        self.beta = number("beta", beta)
        if self.beta == 0:
            raise ValueError("beta must not be 0.")

    @staticmethod
    def function(xp: Any, x: Any, beta: float) -> Any:
        z = beta * x
        return (xp.where(z > 0, z, 0.0) + xp.log1p(xp.exp(-xp.abs(z)))) / beta

    @staticmethod
    def derivative(xp: Any, x: Any, beta: float) -> Any:
        decay = xp.exp(-xp.abs(beta * x))
        return xp.where(beta * x < 0, decay, 1.0) / (1 + decay)
