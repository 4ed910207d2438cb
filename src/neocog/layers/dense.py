"""Define the dense layer."""

from __future__ import annotations

from typing import Any

from neocog.initializers import Initializer, he_normal, zeros
from neocog.layers.base import WHOLE_IMAGE, Array, Field, Grads, Layer, Shape, as_dtype
from neocog.validation import RandomSource, float_dtype, generator, integer


class Dense(Layer):
    """Connect every input to every output.

    Forward: ``y = x w + b``.

    Backward: ``dw = x^T dy``, ``db = sum_n dy[n]``, ``dx = dy w^T``.

    Parameters
    ----------
    in_features, out_features : int
    bias : bool
    init : initializer, default He normal with ``fan_in = in_features``
    rng : Generator, int or None
    dtype : floating point type

    Attributes
    ----------
    params : ``weight`` (in_features, out_features) and ``bias`` (out_features,)

    Raises
    ------
    ValueError, TypeError
        On an argument out of range, or an ``x`` that is not (N, in_features).

    Notes
    -----
    Shapes: (N, in_features) -> (N, out_features).

    Source: F. Rosenblatt, "The perceptron", 1958; D. Rumelhart, G. Hinton, R. Williams, "Learning
    representations by back-propagating errors", 1986.

    Examples
    --------
    >>> import numpy as np
    >>> dense = Dense(2, 1, dtype="float64")
    >>> dense.params["weight"][...] = [[2.0], [3.0]]
    >>> dense(np.array([[1.0, 10.0]]))
    array([[32.]])
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        init: Initializer = he_normal,
        rng: RandomSource = None,
        dtype: Any = "float32",
    ) -> None:
        super().__init__()
        self.in_features = integer("in_features", in_features)
        self.out_features = integer("out_features", out_features)
        self.bias = bool(bias)
        dtype, rng = float_dtype(dtype), generator(rng)
        fans = (self.in_features, self.out_features)
        self._params["weight"] = init(fans, *fans, rng, dtype)
        if self.bias:
            self._params["bias"] = zeros((self.out_features,), *fans, rng, dtype)

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Array]:
        self.output_shape(x.shape)
        weight = self._params["weight"]
        x = as_dtype(x, weight.dtype)
        y = x @ weight
        if self.bias:
            y += self._params["bias"]
        return y, x

    def backward(self, dy: Array, cache: Array, input_grad: bool = True) -> tuple[Array | None, Grads]:
        x, weight = cache, self._params["weight"]
        grads = {"weight": x.T @ dy}
        if self.bias:
            grads["bias"] = dy.__array_namespace__().sum(dy, axis=0)
        return dy @ weight.T if input_grad else None, grads

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) != 2 or input_shape[1] != self.in_features:
            raise ValueError(
                f"Dense needs inputs of shape (N, {self.in_features}), got shape {tuple(input_shape)}."
            )
        return input_shape[0], self.out_features

    def flops(self, input_shape: Shape) -> int:
        return 2 * input_shape[0] * self.in_features * self.out_features

    def receptive_field(self, field: Field) -> Field:
        return WHOLE_IMAGE
