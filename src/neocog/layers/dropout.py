"""Define dropout: of single numbers, and of whole branches."""

from __future__ import annotations

import numpy as np

from neocog.layers.base import Array, Grads, Layer, Shape
from neocog.validation import RandomSource, generator, number, one_of

MODES = ("row", "batch")


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
        kept = self.rng.random(self.mask_shape(x.shape)) >= self.p
        real = np.zeros((), x.dtype).real.dtype if isinstance(x, np.ndarray) else x.dtype
        mask = x.__array_namespace__().asarray(kept / (1 - self.p), dtype=real)
        return x * mask, mask

    def backward(self, dy: Array, cache: Array | None, input_grad: bool = True) -> tuple[Array | None, Grads]:
        if not input_grad:
            return None, {}
        return dy if cache is None else dy * cache, {}

    def mask_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of the mask, which is repeated where its sizes are 1."""
        return input_shape

    def flops(self, input_shape: Shape) -> int:
        return 0  # it computes nothing in inference


class StochasticDepth(Dropout):
    """Set all numbers of some images to zero in training: of a residual block, the branch is left out.

    Forward: ``y[n] = x[n] m[n] / (1 - p)`` in training, with ``m`` 0 (probability p) or 1, drawn for each
    image, or once for the batch; ``y = x`` in inference.

    Backward: ``dx[n] = dy[n] m[n] / (1 - p)``.

    Parameters
    ----------
    p : float in [0, 1)
        The probability that an image's numbers, or those of the batch, are dropped.
    mode : {"row", "batch"}
        Whether ``m`` is drawn for each image, or is one number for the batch.
    rng : Generator, int or None
        Where the masks come from. A forward in training draws from it: a side effect.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range.

    Notes
    -----
    Shapes: any -> the same.

    Source: G. Huang et al., "Deep networks with stochastic depth", 2016.

    Examples
    --------
    >>> import numpy as np
    >>> y, _ = StochasticDepth(0.5, rng=0).forward(np.ones((4, 2)), training=True)
    >>> y
    array([[2., 2.],
           [0., 0.],
           [0., 0.],
           [0., 0.]])
    """

    def __init__(self, p: float, mode: str = "row", *, rng: RandomSource = None) -> None:
        super().__init__(p, rng=rng)
        self.mode = one_of("mode", mode, MODES)

    def mask_shape(self, input_shape: Shape) -> Shape:
        images = input_shape[:1] if self.mode == "row" else (1,) * len(input_shape[:1])
        return *images, *(1,) * len(input_shape[1:])
