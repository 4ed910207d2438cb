"""Define activations that are the number times a gate between 0 and 1: SiLU, Mish, GELU, hard swish."""

from __future__ import annotations

from typing import Any

import numpy as np

from neocog.layers.activation.elementwise import Elementwise
from neocog.layers.activation.sigmoidal import Sigmoid
from neocog.layers.base import Array, Grads
from neocog.validation import one_of


class SiLU(Elementwise):
    """Sigmoid linear unit, also called swish.

    Forward: ``y = x s`` with ``s = 1 / (1 + exp(-x))``.

    Backward: ``dx = dy (s + x s (1 - s))``.

    Notes
    -----
    Shapes: any -> the same.

    Source: S. Elfwing, E. Uchibe, K. Doya, "Sigmoid-weighted linear units for neural network function
    approximation in reinforcement learning", 2018; P. Ramachandran et al., "Searching for activation
    functions", 2017.

    Examples
    --------
    >>> import numpy as np
    >>> SiLU()(np.array([0.0, np.log(3)])).round(6)
    array([0.      , 0.823959])
    """

    operations = 5

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Any]:
        s, _ = Sigmoid().forward(x)
        return x * s, (x, s)

    def backward(self, dy: Array, cache: Any, input_grad: bool = True) -> tuple[Array | None, Grads]:
        if not input_grad:
            return None, {}
        x, s = cache
        return dy * (s + x * s * (1 - s)), {}


class Mish(Elementwise):
    """A smooth ReLU that lets small negative numbers through.

    Forward: ``y = x t`` with ``t = tanh(log(1 + exp(x)))``.

    Backward: ``dx = dy (t + x (1 - t^2) / (1 + exp(-x)))``.

    Notes
    -----
    Shapes: any -> the same.

    Source: D. Misra, "Mish: a self regularized non-monotonic activation function", 2019.

    Examples
    --------
    >>> import numpy as np
    >>> Mish()(np.array([0.0, 1.0])).round(6)
    array([0.      , 0.865098])
    """

    operations = 7

    @staticmethod
    def function(xp: Any, x: Any) -> Any:
        return x * xp.tanh(xp.where(x > 0, x, 0.0) + xp.log1p(xp.exp(-xp.abs(x))))

    @staticmethod
    def derivative(xp: Any, x: Any) -> Any:
        decay = xp.exp(-xp.abs(x))
        t = xp.tanh(xp.where(x > 0, x, 0.0) + xp.log1p(decay))
        return t + x * (1 - t * t) * xp.where(x < 0, decay, 1.0) / (1 + decay)


class GELU(Elementwise):
    """Gaussian error linear unit.

    Forward: ``y = x Phi(x)`` with the normal distribution function ``Phi(x) = erfc(-x / sqrt 2) / 2``; or
    its approximation ``Phi(x) = (1 + tanh u) / 2``, ``u = sqrt(2 / pi) (x + 0.044715 x^3)``.

    Backward: ``dx = dy (Phi(x) + x phi(x))``, the density ``phi(x) = exp(-x^2 / 2) / sqrt(2 pi)``; for the
    approximation ``phi(x) = (1 - tanh^2 u) u' / 2``.

    Parameters
    ----------
    approximate : {"none", "tanh"}

    Raises
    ------
    ValueError
        If ``approximate`` is anything else.

    Notes
    -----
    Shapes: any -> the same.

    Source: D. Hendrycks, K. Gimpel, "Gaussian error linear units", 2016.

    Examples
    --------
    >>> import numpy as np
    >>> GELU()(np.array([0.0, 1.0])).round(6)
    array([0.      , 0.841345])
    """

    operations = 8

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = one_of("approximate", approximate, ("none", "tanh"))

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Any]:
        if self.approximate == "tanh":
            xp = x.__array_namespace__()
            cdf = 0.5 * (1 + xp.tanh(np.sqrt(2 / np.pi).item() * (x + 0.044715 * x * x * x)))
        else:
            from scipy.special import erfc

            cdf = 0.5 * erfc(-x * (0.5**0.5))
        return x * cdf, (x, cdf)

    def backward(self, dy: Array, cache: Any, input_grad: bool = True) -> tuple[Array | None, Grads]:
        if not input_grad:
            return None, {}
        x, cdf = cache
        if self.approximate == "tanh":
            inner = (2 / np.pi) ** 0.5 * (1 + 3 * 0.044715 * x * x)
            density = 2 * cdf * (1 - cdf) * inner  # 1 - tanh^2 = 4 cdf (1 - cdf)
        else:
            density = dy.__array_namespace__().exp(-0.5 * x * x) * (2 * np.pi) ** -0.5
        return dy * (cdf + x * density), {}


class Hardswish(Elementwise):
    """Swish made of straight pieces: no exponential, so it is cheap.

    Forward: ``y = x min(max(x / 6 + 1/2, 0), 1)``.

    Backward: ``dx = 0`` below -3, ``dy`` above 3, ``dy (x / 3 + 1/2)`` in between.

    Notes
    -----
    Shapes: any -> the same.

    Source: A. Howard et al., "Searching for MobileNetV3", 2019.

    Examples
    --------
    >>> import numpy as np
    >>> Hardswish()(np.array([-6.0, 0.0, 1.5, 6.0]))
    array([-0.   ,  0.   ,  1.125,  6.   ])
    """

    operations = 5

    @staticmethod
    def function(xp: Any, x: Any) -> Any:
        return x * xp.where(x < -3, 0.0, xp.where(x > 3, 1.0, x / 6 + 0.5))

    @staticmethod
    def derivative(xp: Any, x: Any) -> Any:
        return xp.where(x < -3, 0.0, xp.where(x > 3, 1.0, x / 3 + 0.5))
