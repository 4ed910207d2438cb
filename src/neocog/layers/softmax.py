"""Define softmax, as a function and as a layer, and its logarithm."""

from __future__ import annotations

from functools import reduce

from neocog.kernels.geometry import is_complex
from neocog.layers.base import Array, Field, Grads, Layer, Shape
from neocog.validation import integer


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


class _Softmax(Layer):
    """Base of both: the axis along which they normalise."""

    def __init__(self, axis: int = 1) -> None:
        super().__init__()
        self.axis = integer("axis", axis, minimum=-64)  # the most axes that NumPy allows

    def output_shape(self, input_shape: Shape) -> Shape:
        if not -len(input_shape) <= self.axis < len(input_shape) or not input_shape[self.axis]:
            raise ValueError(
                f"{type(self).__name__} needs an x with numbers along axis {self.axis}, got shape "
                f"{tuple(input_shape)}."
            )
        return input_shape

    def flops(self, input_shape: Shape) -> int:
        # Subtract the maximum, exponentiate, sum, and divide or subtract.
        return 4 * reduce(int.__mul__, input_shape, 1)

    def receptive_field(self, field: Field) -> Field:
        (rows, columns), whole = field.size, float("inf")
        if self.axis in (2, -2):
            return Field((whole, columns), field.jump)
        return Field((rows, whole), field.jump) if self.axis in (3, -1) else field


class Softmax(_Softmax):
    """Turn numbers into probabilities, which are positive and add up to 1.

    Forward: ``y_k = exp(x_k - m) / sum_j exp(x_j - m)`` along ``axis``; ``m = max_j x_j`` cancels out, it
    keeps ``exp`` from overflowing.

    Backward: ``dx_k = y_k (dy_k - sum_j dy_j y_j)``.

    Do not train a network that ends in it with SoftmaxCrossEntropy, which takes logits and computes the
    softmax itself: two in a row would train, but slowly and to the wrong probabilities.

    Parameters
    ----------
    axis : int, default 1
        The classes, or the channels of images; negative counts from the last.

    Raises
    ------
    ValueError, TypeError
        If ``axis`` is no integer, or ``x`` has no numbers along it.

    Notes
    -----
    Shapes: any -> the same.

    Source: J. Bridle, "Probabilistic interpretation of feedforward classification network outputs", 1990.

    Examples
    --------
    >>> import numpy as np
    >>> Softmax()(np.log([[1.0, 3.0]])).round(6)
    array([[0.25, 0.75]])
    """

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Array]:
        self.output_shape(x.shape)
        y = softmax(x, self.axis)
        return y, y

    def backward(self, dy: Array, cache: Array, input_grad: bool = True) -> tuple[Array | None, Grads]:
        if not input_grad:
            return None, {}
        mean = dy.__array_namespace__().sum(dy * cache, axis=self.axis, keepdims=True)
        return cache * (dy - mean), {}


class LogSoftmax(_Softmax):
    """The logarithm of the softmax, exact even where a probability is too small for its type.

    Forward: ``y_k = x_k - m - log sum_j exp(x_j - m)`` along ``axis``, with ``m = max_j x_j``.

    Backward: ``dx_k = dy_k - exp(y_k) sum_j dy_j``.

    SoftmaxCrossEntropy takes logits, and its result is the same for these: ``softmax(y) = softmax(x)``.

    Parameters
    ----------
    axis : int, default 1
        The classes, or the channels of images; negative counts from the last.

    Raises
    ------
    ValueError, TypeError
        If ``axis`` is no integer, or ``x`` has no numbers along it.

    Notes
    -----
    Shapes: any -> the same.

    Source: J. Bridle, "Probabilistic interpretation of feedforward classification network outputs", 1990.

    Examples
    --------
    >>> import numpy as np
    >>> np.exp(LogSoftmax()(np.log([[1.0, 3.0]]))).round(6)
    array([[0.25, 0.75]])
    >>> LogSoftmax()(np.array([[0.0, -1000.0]]))
    array([[    0., -1000.]])
    """

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Array]:
        self.output_shape(x.shape)
        xp = x.__array_namespace__()
        shifted = below_maximum(x, self.axis)
        y = shifted - xp.log(xp.sum(xp.exp(shifted), axis=self.axis, keepdims=True))
        return y, y

    def backward(self, dy: Array, cache: Array, input_grad: bool = True) -> tuple[Array | None, Grads]:
        if not input_grad:
            return None, {}
        xp = dy.__array_namespace__()
        return dy - xp.exp(cache) * xp.sum(dy, axis=self.axis, keepdims=True), {}
