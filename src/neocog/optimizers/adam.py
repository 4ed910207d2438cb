"""Define Adam and its variants: decay beside the gradient, and Nesterov's momentum."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

import numpy as np

from neocog.layers.base import Array
from neocog.optimizers.base import Optimizer
from neocog.validation import number


class Adam(Optimizer):
    """Adam: each weight has its own step size; the decay is part of the gradient.

    ::

        g <- g + d w
        m <- b1 m + (1 - b1) g,    v <- b2 v + (1 - b2) g^2
        w <- w - lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)

    Parameters
    ----------
    lr : float or schedule
    betas : (float, float)
    eps : float
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
        On an argument out of range.

    Notes
    -----
    Source: D. Kingma, J. Ba, "Adam: a method for stochastic optimization", 2015.

    Examples
    --------
    >>> params = {"weight": np.array([[1.0]])}
    >>> Adam(lr=0.1).step(params, {"weight": np.array([[2.0]])})
    >>> params["weight"].round(6)
    array([[0.9]])
    """

    memories = ("mean", "square")

    def __init__(
        self,
        lr: float | Callable[[int], float] = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decay_all: bool = False,
        clip_norm: float | None = None,
        rates: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(lr, weight_decay, decay_all, clip_norm, rates)
        if not isinstance(betas, tuple | list) or len(betas) != 2:
            raise ValueError(f"betas must be two numbers, got {betas!r}.")
        self.betas = (
            number("betas", betas[0], 0, 1, exclusive_maximum=True),
            number("betas", betas[1], 0, 1, exclusive_maximum=True),
        )
        self.eps = number("eps", eps, 0, exclusive_minimum=True)

    def update(self, w: Array, g: Array, lr: float, decay: float, name: str) -> None:
        if decay:
            g = g + decay * w
        self._adapt(w, g, lr, name)

    def _adapt(self, w: Array, g: Array, lr: float, name: str) -> None:
        mean, spread = self._moments(w, g, name)
        w -= lr / (1 - self.betas[0] ** self.steps) * mean / spread

    def _moments(self, w: Array, g: Array, name: str) -> tuple[Array, Array]:
        """Update both memories; return the mean, and the root of the corrected square plus ``eps``."""
        mean, square = self.recall("mean", name, w), self.recall("square", name, w)
        b1, b2 = self.betas
        mean += (1 - b1) * (g - mean)
        square *= b2
        square += (1 - b2) * (g * g)
        return mean, square**0.5 / (1 - b2**self.steps) ** 0.5 + self.eps


class AdamW(Adam):
    """Adam with the decay decoupled from the gradient: ``w <- w - lr d w`` before Adam's step.

    Parameters
    ----------
    lr : float or schedule
    betas : (float, float)
    eps : float
    weight_decay : float, default 0.01
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
    Source: I. Loshchilov, F. Hutter, "Decoupled weight decay regularization", 2019.

    Examples
    --------
    >>> params = {"weight": np.array([[1.0]])}
    >>> AdamW(lr=0.1, weight_decay=0.5).step(params, {"weight": np.array([[2.0]])})
    >>> params["weight"].round(6)
    array([[0.85]])
    """

    def __init__(
        self,
        lr: float | Callable[[int], float] = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        decay_all: bool = False,
        clip_norm: float | None = None,
        rates: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(lr, betas, eps, weight_decay, decay_all, clip_norm, rates)

    def update(self, w: Array, g: Array, lr: float, decay: float, name: str) -> None:
        if decay:
            w *= 1 - lr * decay
        self._adapt(w, g, lr, name)


class NAdam(Adam):
    """Adam with Nesterov's momentum, which takes the gradient's own part of the next step at once.

    With the momentum ``u_t = b1 (1 - 0.96^(t psi) / 2)`` of step t and ``U_t = u_1 ... u_t``::

        g <- g + d w
        m <- b1 m + (1 - b1) g,    v <- b2 v + (1 - b2) g^2
        w <- w - lr ((1 - u_t) / (1 - U_t) g + u_{t+1} / (1 - U_{t+1}) m) / (sqrt(v / (1 - b2^t)) + eps)

    Parameters
    ----------
    lr : float or schedule
    betas : (float, float)
    eps : float
    weight_decay : float
    momentum_decay : float
        ``psi``, how fast the momentum grows from about ``b1 / 2`` to ``b1``.
    decay_all : bool
        Let biases and batch norm scales decay, too.
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
    Source: T. Dozat, "Incorporating Nesterov momentum into Adam", 2016; the momentum's growth as in PyTorch.

    Examples
    --------
    >>> params = {"weight": np.array([[1.0]])}
    >>> NAdam(lr=0.1).step(params, {"weight": np.array([[2.0]])})
    >>> params["weight"].round(3)
    array([[0.894]])
    """

    def __init__(
        self,
        lr: float | Callable[[int], float] = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 4e-3,
        decay_all: bool = False,
        clip_norm: float | None = None,
        rates: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(lr, betas, eps, weight_decay, decay_all, clip_norm, rates)
        self.momentum_decay = number("momentum_decay", momentum_decay, 0)

    def shares(self, step: int) -> tuple[float, float]:
        """Return the factors of the gradient and of the mean in a step; the first step is number 1."""
        return _nesterov_shares(self.betas[0], self.momentum_decay, step)

    def _adapt(self, w: Array, g: Array, lr: float, name: str) -> None:
        mean, spread = self._moments(w, g, name)
        of_gradient, of_mean = self.shares(self.steps)
        w -= lr * (of_gradient * g + of_mean * mean) / spread


@functools.lru_cache(maxsize=16)  # all parameters ask for the same step
def _nesterov_shares(beta: float, decay: float, step: int) -> tuple[float, float]:
    momenta = beta * (1 - 0.5 * 0.96 ** (np.arange(1.0, step + 2) * decay))
    total, now, coming = float(np.prod(momenta[:-1])), float(momenta[-2]), float(momenta[-1])
    return (1 - now) / (1 - total), coming / (1 - total * coming)
