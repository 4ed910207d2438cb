"""Define activations: one function applied to every number on its own.

Complex numbers are ordered by their real part, so that every function is differentiable by a complex step
wherever its real form is differentiable.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from neocog.initializers import Initializer
from neocog.kernels.geometry import is_complex
from neocog.layers.base import Array, Grads, Layer, Shape, as_dtype, computes_as
from neocog.validation import float_dtype, generator, integer, number, one_of


def softmax(z: Array, axis: int = 1) -> Array:
    """Turn logits into probabilities: ``p[n,k] = exp(z[n,k] - m[n]) / sum_k exp(z[n,k] - m[n])``.

    ``m[n] = max_k z[n,k]`` cancels out; it keeps ``exp`` from overflowing. Shapes: (N, K) -> (N, K), or any
    with the classes along ``axis``.

    Examples
    --------
    >>> import numpy as np
    >>> softmax(np.array([[1000.0, 1000.0]]))
    array([[0.5, 0.5]])
    """
    xp = z.__array_namespace__()
    exponentials = xp.exp(below_maximum(z, axis))
    return exponentials / xp.sum(exponentials, axis=axis, keepdims=True)


def below_maximum(z: Array, axis: int) -> Array:
    """Subtract the maximum along an axis, so that no ``exp`` overflows and one of them is 1."""
    xp = z.__array_namespace__()
    return z - xp.max(xp.real(z) if is_complex(z) else z, axis=axis, keepdims=True)


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


class ReLU(Elementwise):
    """Rectified linear unit.

    Forward: ``y = max(x, 0)``.

    Backward: ``dx = dy [x > 0]``; the gradient at 0 is 0.

    Notes
    -----
    Shapes: any -> the same.

    Source: K. Fukushima, "Visual feature extraction by a multilayered network of analog threshold
    elements", 1969; V. Nair, G. Hinton, "Rectified linear units improve restricted Boltzmann machines", 2010.

    Examples
    --------
    >>> import numpy as np
    >>> ReLU()(np.array([-1.0, 0.0, 2.0]))
    array([0., 0., 2.])
    """

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Array]:
        xp = x.__array_namespace__()
        if is_complex(x):
            mask = xp.real(x) > 0
            return xp.where(mask, x, 0), mask
        y = xp.maximum(x, xp.zeros_like(x))  # NumPy vectorises this, not the maximum with a number
        return y, y > 0

    def backward(self, dy: Array, cache: Array, input_grad: bool = True) -> tuple[Array | None, Grads]:
        xp = dy.__array_namespace__()
        # ``where`` would be eight times slower; the two differ only for a dy that is not finite.
        return dy * xp.astype(cache, dy.dtype) if input_grad else None, {}


class LeakyReLU(Elementwise):
    """ReLU with a small slope for negative numbers, so that no unit dies.

    Forward: ``y = x if x > 0 else a x``.

    Backward: ``dx = dy if x > 0 else a dy``.

    Parameters
    ----------
    negative_slope : float, default 0.01
        ``a``.

    Notes
    -----
    Shapes: any -> the same.

    Source: A. Maas, A. Hannun, A. Ng, "Rectifier nonlinearities improve neural network acoustic models",
    2013.

    Examples
    --------
    >>> import numpy as np
    >>> LeakyReLU(0.1)(np.array([-1.0, 0.0, 2.0]))
    array([-0.1,  0. ,  2. ])
    """

    operations = 2

    def __init__(self, negative_slope: float = 0.01) -> None:
        super().__init__()
        self.negative_slope = number("negative_slope", negative_slope)

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Array]:
        xp = x.__array_namespace__()
        mask = (xp.real(x) if is_complex(x) else x) > 0
        return xp.where(mask, x, self.negative_slope * x), mask

    def backward(self, dy: Array, cache: Array, input_grad: bool = True) -> tuple[Array | None, Grads]:
        xp = dy.__array_namespace__()
        return xp.where(cache, dy, self.negative_slope * dy) if input_grad else None, {}


class Sigmoid(Elementwise):
    """Logistic function.

    Forward: ``y = 1 / (1 + exp(-x))``, computed without overflow.

    Backward: ``dx = dy y (1 - y)``.

    Notes
    -----
    Shapes: any -> the same.

    Source: P. Verhulst, 1838; D. Rumelhart, G. Hinton, R. Williams, "Learning representations by
    back-propagating errors", 1986.

    Examples
    --------
    >>> import numpy as np
    >>> Sigmoid()(np.array([-1000.0, 0.0, 1000.0]))
    array([0. , 0.5, 1. ])
    """

    operations = 4

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Array]:
        xp = x.__array_namespace__()
        positive = (xp.real(x) if is_complex(x) else x) >= 0
        decay = xp.exp(xp.where(positive, -x, x))  # never above 1
        y = xp.where(positive, 1 / (1 + decay), decay / (1 + decay))
        return y, y

    def backward(self, dy: Array, cache: Array, input_grad: bool = True) -> tuple[Array | None, Grads]:
        return dy * cache * (1 - cache) if input_grad else None, {}


class Tanh(Elementwise):
    """Hyperbolic tangent.

    Forward: ``y = tanh(x)``.

    Backward: ``dx = dy (1 - y^2)``.

    Notes
    -----
    Shapes: any -> the same.

    Source: Y. LeCun et al., "Efficient BackProp", 1998.

    Examples
    --------
    >>> import numpy as np
    >>> Tanh()(np.array([0.0]))
    array([0.])
    """

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Array]:
        y = x.__array_namespace__().tanh(x)
        return y, y

    def backward(self, dy: Array, cache: Array, input_grad: bool = True) -> tuple[Array | None, Grads]:
        return dy * (1 - cache * cache) if input_grad else None, {}


class ScaledTanh(Elementwise):
    """Hyperbolic tangent, stretched: LeCun's squashing function.

    Forward: ``y = a tanh(s x)``. With the defaults f(1) = 1 and f(-1) = -1, where the second derivative is
    largest: targets of +-1 do not drive a unit into saturation.

    Backward: ``dx = dy s (a - y^2 / a)``.

    Parameters
    ----------
    amplitude : float other than 0, default 1.7159
        ``a``.
    slope : float, default 2/3
        ``s``.

    Raises
    ------
    ValueError, TypeError
        If an argument is no number, or the amplitude is 0.

    Notes
    -----
    Shapes: any -> the same.

    Source: Y. LeCun et al., "Gradient-based learning applied to document recognition", 1998, appendix A.

    Examples
    --------
    >>> import numpy as np
    >>> ScaledTanh()(np.array([-1.0, 0.0, 1.0])).round(4)
    array([-1.,  0.,  1.])
    """

    operations = 3

    def __init__(self, amplitude: float = 1.7159, slope: float = 2 / 3) -> None:
        super().__init__()
        self.amplitude, self.slope = number("amplitude", amplitude), number("slope", slope)
        if self.amplitude == 0:
            raise ValueError("amplitude must not be 0.")

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Array]:
        y = self.amplitude * x.__array_namespace__().tanh(self.slope * x)
        return y, y

    def backward(self, dy: Array, cache: Array, input_grad: bool = True) -> tuple[Array | None, Grads]:
        if not input_grad:
            return None, {}
        return dy * (self.slope * (self.amplitude - cache * cache / self.amplitude)), {}


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


class Clip(Elementwise):
    """Keep numbers between two bounds; with 0 and 6 it is the ReLU6 of the MobileNets.

    Forward: ``y = min(max(x, low), high)``.

    Backward: ``dx = dy [low < x < high]``; the gradient at a bound is 0.

    Parameters
    ----------
    low, high : float or None, default 0 and 6
        The bounds; None for none.

    Raises
    ------
    ValueError, TypeError
        If a bound is no number, or ``low`` is not below ``high``.

    Notes
    -----
    Shapes: any -> the same.

    Source: A. Krizhevsky, "Convolutional deep belief networks on CIFAR-10", 2010.

    Examples
    --------
    >>> import numpy as np
    >>> Clip()(np.array([-1.0, 2.0, 7.0]))
    array([0., 2., 6.])
    """

    operations = 2

    def __init__(self, low: float | None = 0.0, high: float | None = 6.0) -> None:
        super().__init__()
        self.low, self.high = (
            None if bound is None else number(name, bound, exclusive_minimum=True, exclusive_maximum=True)
            for name, bound in (("low", low), ("high", high))
        )
        if not self.bounds[0] < self.bounds[1]:
            raise ValueError(f"low must be below high, got {self.low} and {self.high}.")

    @property
    def bounds(self) -> tuple[float, float]:
        """The bounds as numbers, infinite where there is none."""
        return -math.inf if self.low is None else self.low, math.inf if self.high is None else self.high

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Array]:
        return _clipped(x, *self.bounds)

    def backward(self, dy: Array, cache: Array, input_grad: bool = True) -> tuple[Array | None, Grads]:
        return dy * dy.__array_namespace__().astype(cache, dy.dtype) if input_grad else None, {}


def _clipped(x: Array, low: float, high: float) -> tuple[Array, Array]:
    """Return numbers between two bounds, and where they were between them."""
    xp = x.__array_namespace__()
    real = xp.real(x) if is_complex(x) else x
    y = xp.where(real > low, x, xp.full_like(x, low)) if low > -math.inf else x
    y = xp.where(real < high, y, xp.full_like(x, high)) if high < math.inf else y
    return xp.where(real == real, y, x), (real > low) & (real < high)  # a NaN is kept


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


class Hardsigmoid(Elementwise):
    """Sigmoid made of straight pieces.

    Forward: ``y = min(max(a x + b, 0), 1)``.

    Backward: ``dx = a dy`` where ``0 < a x + b < 1``, else 0.

    Parameters
    ----------
    slope : float, default 1/6
        ``a``; Keras has 0.2 in its older versions.
    offset : float, default 0.5
        ``b``.

    Notes
    -----
    Shapes: any -> the same.

    Source: M. Courbariaux, Y. Bengio, J.-P. David, "BinaryConnect", 2015; A. Howard et al., "Searching for
    MobileNetV3", 2019.

    Examples
    --------
    >>> import numpy as np
    >>> Hardsigmoid()(np.array([-4.0, 0.0, 1.5, 4.0]))
    array([0.  , 0.5 , 0.75, 1.  ])
    """

    operations = 4

    def __init__(self, slope: float = 1 / 6, offset: float = 0.5) -> None:
        super().__init__()
        self.slope, self.offset = number("slope", slope), number("offset", offset)

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Array]:
        return _clipped(self.slope * x + self.offset, 0.0, 1.0)

    def backward(self, dy: Array, cache: Array, input_grad: bool = True) -> tuple[Array | None, Grads]:
        inside = dy.__array_namespace__().astype(cache, dy.dtype)
        return self.slope * dy * inside if input_grad else None, {}


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


class PReLU(Layer):
    """Leaky ReLU that learns its slope for negative numbers: one for all, or one for each channel.

    Forward: ``y = x if x > 0 else w[c] x``.

    Backward: ``dx = dy if x > 0 else w[c] dy``, ``dw[c] = sum of dy x over the x <= 0 of channel c``.

    Parameters
    ----------
    num_parameters : int, default 1
        1 for one slope, else the number of channels.
    init : float or initializer, default 0.25
        Slope at the beginning.
    dtype : floating point type

    Attributes
    ----------
    params : ``weight`` (num_parameters,)

    Raises
    ------
    ValueError, TypeError
        On an argument out of range, or an ``x`` of another number of channels.

    Notes
    -----
    Shapes: any -> the same; (N, C, ...) with a slope for each channel.

    Weight decay would pull the slope towards that of a ReLU; optimizers here leave vectors alone.

    Source: K. He et al., "Delving deep into rectifiers", 2015.

    Examples
    --------
    >>> import numpy as np
    >>> PReLU(2, dtype="float64")(np.array([[-4.0, 2.0], [4.0, -2.0]]))
    array([[-1. ,  2. ],
           [ 4. , -0.5]])
    """

    def __init__(
        self, num_parameters: int = 1, init: float | Initializer = 0.25, *, dtype: Any = "float32"
    ) -> None:
        super().__init__()
        self.num_parameters = integer("num_parameters", num_parameters)
        shape, dtype = (self.num_parameters,), float_dtype(dtype)
        if callable(init):
            self._params["weight"] = init(shape, 1, 1, generator(0), dtype)
        else:
            self._params["weight"] = np.full(shape, number("init", init), dtype)

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Any]:
        self.output_shape(x.shape)
        x = as_dtype(x, self._params["weight"].dtype)
        xp = x.__array_namespace__()
        positive = (xp.real(x) if is_complex(x) else x) > 0
        return xp.where(positive, x, self._slope(x) * x), (x, positive)

    def backward(self, dy: Array, cache: Any, input_grad: bool = True) -> tuple[Array | None, Grads]:
        x, positive = cache
        xp = dy.__array_namespace__()
        shares = dy * x
        axes = tuple(axis for axis in range(x.ndim) if axis != 1 or self.num_parameters == 1)
        dw = xp.sum(xp.where(positive, xp.zeros_like(shares), shares), axis=axes)
        grads = {"weight": xp.reshape(dw, (self.num_parameters,))}
        return xp.where(positive, dy, self._slope(x) * dy) if input_grad else None, grads

    def _slope(self, x: Array) -> Array:
        """Return the slopes in a shape that goes with ``x``."""
        weight = self._params["weight"]
        if self.num_parameters == 1:
            return weight
        return weight.__array_namespace__().reshape(weight, (1, -1, *(1,) * (x.ndim - 2)))

    def output_shape(self, input_shape: Shape) -> Shape:
        C = self.num_parameters
        if C > 1 and (len(input_shape) < 2 or input_shape[1] != C):
            raise ValueError(
                f"PReLU({C}) needs inputs of shape (N, {C}, ...), got shape {tuple(input_shape)}."
            )
        return input_shape

    def flops(self, input_shape: Shape) -> int:
        return 2 * int(np.prod(input_shape))
