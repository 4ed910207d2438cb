"""Define RMSprop."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from neocog.layers.base import Array
from neocog.optimizers.base import Optimizer
from neocog.validation import number


class RMSProp(Optimizer):
    """RMSprop: each gradient divided by the root of its mean square.

    With momentum ``mu``, decay ``d`` and gradient ``g``::

        g <- g + d w
        s <- a s + (1 - a) g^2
        v <- mu v + g / (sqrt(s) + eps)
        w <- w - lr v

    Parameters
    ----------
    lr : float or schedule
    alpha : float in [0, 1)
        ``a``, the decay rate of the mean square.
    eps : float
    weight_decay : float
    momentum : float in [0, 1)
    decay_all : bool
        Whether biases and batch norm scales decay, too.
    clip_norm : float above 0, optional
        The largest norm of all gradients together; see :class:`neocog.optimizers.Optimizer`.
    rates : dict of str to float above 0, optional
        Factors of the learning rate for groups of parameters, as ``{"features": 0.1}``; see there.

    Raises
    ------
    ValueError, TypeError
        On an argument out of range.

    Notes
    -----
    Source: T. Tieleman, G. Hinton, "Lecture 6.5: rmsprop", 2012; ``eps`` outside the root, as in PyTorch.

    Examples
    --------
    >>> import numpy as np
    >>> params = {"weight": np.array([[1.0]])}
    >>> RMSProp(lr=0.1, alpha=0.75).step(params, {"weight": np.array([[2.0]])})
    >>> params["weight"].round(6)
    array([[0.8]])
    """

    memories = ("square", "velocity")

    def __init__(
        self,
        lr: float | Callable[[int], float] = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        decay_all: bool = False,
        clip_norm: float | None = None,
        rates: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(lr, weight_decay, decay_all, clip_norm, rates)
        self.alpha = number("alpha", alpha, 0, 1, exclusive_maximum=True)
        self.eps = number("eps", eps, 0, exclusive_minimum=True)
        self.momentum = number("momentum", momentum, 0, 1, exclusive_maximum=True)

    def update(self, w: Array, g: Array, lr: float, decay: float, name: str) -> None:
        if decay:
            g = g + decay * w
        square = self.recall("square", name, w)
        square *= self.alpha
        square += (1 - self.alpha) * (g * g)
        step = g / (square**0.5 + self.eps)
        if self.momentum:
            v = self.recall("velocity", name, w)
            v *= self.momentum
            v += step
            step = v
        w -= lr * step
