"""Define dropout."""

from __future__ import annotations

import numpy as np

from neocog.layers.base import Array, Grads, Layer, Shape
from neocog.validation import RandomSource, generator, number


class Dropout(Layer):
    """Set a random part of the numbers to zero in training, so that no unit relies on another.

    Forward: ``y = x m / (1 - p)`` in training, with a mask ``m`` of independent zeros (probability p) and
    ones; ``y = x`` in inference.

    Backward: ``dx = dy m / (1 - p)``.

    Parameters
    ----------
    p : float in [0, 1)
        The part that is dropped.
    rng : Generator, int or None
        Where the masks come from. A forward in training draws from it: a side effect.

    Raises
    ------
    ValueError, TypeError
        If ``p`` is out of range.

    Notes
    -----
    Shapes: any -> the same.

    Source: N. Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", 2014.

    Examples
    --------
    >>> import numpy as np
    >>> y, _ = Dropout(0.5, rng=0).forward(np.ones(6), training=True)
    >>> y
    array([2., 0., 0., 0., 2., 2.])
    """

    def __init__(self, p: float = 0.5, *, rng: RandomSource = None) -> None:
        super().__init__()
        self.p = number("p", p, 0, 1, exclusive_maximum=True)
        self.rng = generator(rng)

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Array | None]:
        if not training or self.p == 0:
            return x, None
        kept = self.rng.random(x.shape) >= self.p
        real = np.zeros((), x.dtype).real.dtype if isinstance(x, np.ndarray) else x.dtype
        mask = x.__array_namespace__().asarray(kept / (1 - self.p), dtype=real)
        return x * mask, mask

    def backward(self, dy: Array, cache: Array | None, input_grad: bool = True) -> tuple[Array | None, Grads]:
        if not input_grad:
            return None, {}
        return dy if cache is None else dy * cache, {}

    def flops(self, input_shape: Shape) -> int:
        return 0  # it computes nothing in inference
