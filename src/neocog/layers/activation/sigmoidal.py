"""Define activations that squash numbers between two bounds: sigmoid, tanh and theirs in straight pieces."""

from __future__ import annotations

from neocog.kernels.geometry import is_complex
from neocog.layers.activation.elementwise import Elementwise
from neocog.layers.activation.rectified import clipped
from neocog.layers.base import Array, Grads
from neocog.validation import number


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
        return clipped(self.slope * x + self.offset, 0.0, 1.0)

    def backward(self, dy: Array, cache: Array, input_grad: bool = True) -> tuple[Array | None, Grads]:
        inside = dy.__array_namespace__().astype(cache, dy.dtype)
        return self.slope * dy * inside if input_grad else None, {}
