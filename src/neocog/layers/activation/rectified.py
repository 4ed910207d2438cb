"""Define activations made of straight pieces: ReLU, its relatives with a slope, and two bounds."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from neocog.initializers import Initializer
from neocog.kernels.geometry import is_complex
from neocog.layers.activation.elementwise import Elementwise
from neocog.layers.base import Array, Grads, Layer, Shape, as_dtype
from neocog.validation import float_dtype, generator, integer, number


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
        return clipped(x, *self.bounds)

    def backward(self, dy: Array, cache: Array, input_grad: bool = True) -> tuple[Array | None, Grads]:
        return dy * dy.__array_namespace__().astype(cache, dy.dtype) if input_grad else None, {}


def clipped(x: Array, low: float, high: float) -> tuple[Array, Array]:
    """Return numbers between two bounds, and where they were between them."""
    xp = x.__array_namespace__()
    real = xp.real(x) if is_complex(x) else x
    y = xp.where(real > low, x, xp.full_like(x, low)) if low > -math.inf else x
    y = xp.where(real < high, y, xp.full_like(x, high)) if high < math.inf else y
    return xp.where(real == real, y, x), (real > low) & (real < high)  # a NaN is kept


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
