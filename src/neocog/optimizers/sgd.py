"""Define gradient descent with momentum."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from neocog.layers.base import Array
from neocog.optimizers.base import Optimizer
from neocog.validation import number


class SGD(Optimizer):
    """Stochastic gradient descent.

    With momentum ``mu``, decay ``d`` and gradient ``g``::

        g <- g + d w
        v <- mu v - lr g
        w <- w + v                  plain
        w <- w + mu v - lr g        Nesterov

    Parameters
    ----------
    lr : float or schedule
    momentum : float in [0, 1)
    nesterov : bool
    weight_decay : float
    decay_all : bool
        Whether biases and batch norm scales decay, too.
    clip_norm : float above 0, optional
        The largest norm of all gradients together; see :class:`neocog.optimizers.Optimizer`.
    rates : dict of str to float above 0, optional
        Factors of the learning rate for groups of parameters, as ``{"features": 0.1}``; see there.

    Raises
    ------
    ValueError, TypeError
        On an argument out of range, or Nesterov without momentum.

    Notes
    -----
    With a constant lr this is PyTorch's SGD; under a schedule PyTorch's velocity leaves lr out.

    Source: B. Polyak, 1964; Y. Nesterov, 1983; I. Sutskever et al., "On the importance of initialization
    and momentum in deep learning", 2013.

    Examples
    --------
    >>> import numpy as np
    >>> params = {"weight": np.array([[1.0]])}
    >>> SGD(lr=0.1).step(params, {"weight": np.array([[2.0]])})
    >>> params["weight"]
    array([[0.8]])
    """

    memories = ("velocity",)

    def __init__(
        self,
        lr: float | Callable[[int], float],
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        decay_all: bool = False,
        clip_norm: float | None = None,
        rates: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(lr, weight_decay, decay_all, clip_norm, rates)
        self.momentum = number("momentum", momentum, 0, 1, exclusive_maximum=True)
        self.nesterov = bool(nesterov)
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum above 0, got momentum=0.")

    def update(self, w: Array, g: Array, lr: float, decay: float, name: str) -> None:
        if decay:
            g = g + decay * w
        if not self.momentum:
            w -= lr * g
            return
        v = self.recall("velocity", name, w)
        v *= self.momentum
        v -= lr * g
        if self.nesterov:
            w += self.momentum * v - lr * g
        else:
            w += v
