"""Define radial basis units."""

from __future__ import annotations

from typing import Any

import numpy as np

from neocog.initializers import Initializer
from neocog.layers.base import WHOLE_IMAGE, Array, Field, Grads, Layer, Shape, as_dtype
from neocog.validation import RandomSource, float_dtype, generator, integer


def random_signs(shape: Shape, fan_in: int, fan_out: int, rng: np.random.Generator, dtype: Any) -> np.ndarray:
    """Draw -1 or +1 with equal probability: codes that are far from each other."""
    return rng.choice((-1.0, 1.0), shape).astype(dtype)


class RadialBasis(Layer):
    """Measure how near the input is to each of some fixed centers.

    Forward: ``y[n,k] = -sum_i (x[n,i] - c[k,i])^2``, 0 at best; softmax makes probabilities of it.

    Backward: ``dx[n,i] = 2 sum_k dy[n,k] (c[k,i] - x[n,i])``.

    Parameters
    ----------
    in_features, out_features : int
    init : initializer of the centers, default -1 or +1 at random
    rng : Generator, int or None
    dtype : floating point type

    Attributes
    ----------
    buffers : ``centers`` (out_features, in_features), to be written into, not learned

    Raises
    ------
    ValueError, TypeError
        On an argument out of range, or an ``x`` that is not (N, in_features).

    Notes
    -----
    Shapes: (N, in_features) -> (N, out_features).

    Source: the output of Y. LeCun et al., "Gradient-based learning applied to document recognition", 1998;
    there the sign is the other, a penalty.

    Examples
    --------
    >>> import numpy as np
    >>> layer = RadialBasis(2, 2, dtype="float64")
    >>> layer.buffers["centers"][...] = [[1, 1], [1, -1]]
    >>> layer(np.array([[1.0, 0.5]]))
    array([[-0.25, -2.25]])
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        init: Initializer = random_signs,
        rng: RandomSource = None,
        dtype: Any = "float32",
    ) -> None:
        super().__init__()
        self.in_features = integer("in_features", in_features)
        self.out_features = integer("out_features", out_features)
        shape = (self.out_features, self.in_features)
        self._buffers["centers"] = init(shape, *shape[::-1], generator(rng), float_dtype(dtype))

    def _steps(self, x: Array) -> Array:
        """Return the differences from each input to each center: (N, out_features, in_features)."""
        return self._buffers["centers"][None, :, :] - x[:, None, :]

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Array]:
        self.output_shape(x.shape)
        x = as_dtype(x, self._buffers["centers"].dtype)
        steps = self._steps(x)
        return -x.__array_namespace__().sum(steps * steps, axis=2), x

    def backward(self, dy: Array, cache: Array, input_grad: bool = True) -> tuple[Array | None, Grads]:
        if not input_grad:
            return None, {}
        return 2 * dy.__array_namespace__().sum(dy[:, :, None] * self._steps(cache), axis=1), {}

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) != 2 or input_shape[1] != self.in_features:
            raise ValueError(
                f"RadialBasis needs inputs of shape (N, {self.in_features}), got shape {tuple(input_shape)}."
            )
        return input_shape[0], self.out_features

    def flops(self, input_shape: Shape) -> int:
        return 3 * input_shape[0] * self.in_features * self.out_features

    def receptive_field(self, field: Field) -> Field:
        return WHOLE_IMAGE
