"""Define the base of all optimizers: rates, decay, clipping, and the memory of each parameter."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any, ClassVar

import numpy as np

from neocog.layers.base import Array
from neocog.layers.selection import select
from neocog.representation import constructor_call
from neocog.validation import number

CLIPPING_EPS = 1e-6
"""What clipping adds to the norm that it divides by, as PyTorch does."""


class Optimizer:
    """Base of all optimizers.

    Parameters
    ----------
    lr : float or schedule
        The learning rate, or a function of the number of steps taken (:mod:`neocog.schedules`).
    weight_decay : float
    decay_all : bool
        Whether biases and batch norm scales decay, too.
    clip_norm : float above 0, optional
        The largest norm ``|g|`` of all gradients together, the root of the sum of their squares: each is
        multiplied by ``min(1, clip_norm / (|g| + 1e-6))``, as PyTorch's ``clip_grad_norm_`` does.
    rates : dict of str to float above 0, optional
        Factors of the learning rate, by the names of layers or parameters, as ``network.freeze`` takes them;
        of several that select a parameter the last one holds. The decay, part of a step, goes with it.

    Attributes
    ----------
    memories : tuple of str
        Names of the arrays kept for each parameter; a subclass defines them, and :meth:`update`.
    steps : int
        Steps taken.
    state : dict of str to dict of str to array
        ``state["velocity"]["conv1.weight"]``, for instance.
    """

    memories: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        lr: float | Callable[[int], float],
        weight_decay: float = 0.0,
        decay_all: bool = False,
        clip_norm: float | None = None,
        rates: Mapping[str, float] | None = None,
    ) -> None:
        self.lr = lr if callable(lr) else number("lr", lr, 0, exclusive_maximum=True)
        self.weight_decay = number("weight_decay", weight_decay, 0)
        self.decay_all = bool(decay_all)
        self.clip_norm = None
        if clip_norm is not None:
            self.clip_norm = number("clip_norm", clip_norm, 0, np.inf, True, True)
        self.rates = _checked_rates(rates)
        self.steps = 0
        # The formulas use operators only, so that they hold for any library's arrays.
        self.zeros_like: Callable[[Array], Array] = np.zeros_like
        self.state: dict[str, dict[str, Array]] = {memory: {} for memory in self.memories}

    @property
    def current_lr(self) -> float:
        """Learning rate of the next step."""
        return self.lr(self.steps) if callable(self.lr) else self.lr

    @property
    def last_lr(self) -> float:
        """Learning rate of the last step; before the first one, that of the next."""
        return self.lr(max(self.steps - 1, 0)) if callable(self.lr) else self.lr

    def step(self, params: Mapping[str, Array], grads: Mapping[str, Array]) -> None:
        """Update every parameter that has a gradient, in place.

        Raises
        ------
        KeyError
            If a gradient belongs to no parameter.
        ValueError
            If shapes differ. In either case nothing has been updated.
        """
        for name, gradient in grads.items():
            if name not in params:
                raise KeyError(f"gradient {name!r} belongs to no parameter; there are {sorted(params)}.")
            if gradient.shape != params[name].shape:
                raise ValueError(
                    f"gradient {name!r} must have its parameter's shape {params[name].shape}, got "
                    f"{gradient.shape}."
                )
        if self.clip_norm is not None:
            grads = clipped(grads, self.clip_norm)
        lr, factors = self.current_lr, self.factors(params)
        self.steps += 1
        for name, gradient in grads.items():
            w = params[name]
            decay = self.weight_decay if self.weight_decay and self.decays(name, w) else 0.0
            self.update(w, gradient, lr * factors.get(name, 1.0), decay, name)

    def factors(self, params: Mapping[str, Array]) -> Mapping[str, float]:
        """Return the factor of the learning rate by parameter; those not in it have 1.

        Raises
        ------
        ValueError
            If a name of ``rates`` selects no parameter; the message lists near ones.
        """
        return _factors(tuple(self.rates.items()), tuple(params)) if self.rates else {}

    def decays(self, name: str, w: Array) -> bool:
        """Return whether a parameter decays: all but biases and vectors do, with ``decay_all`` these, too.

        Parameters
        ----------
        name : str
            Dotted: ``bias`` and ``conv1.bias`` are biases, however many axes they have.
        w : array
        """
        is_bias = name.rpartition(".")[2] == "bias"
        return self.decay_all or (w.ndim > 1 and not is_bias)

    def update(self, w: Array, g: Array, lr: float, decay: float, name: str) -> None:
        """Update one parameter in place: the formula of the optimizer.

        Parameters
        ----------
        w, g : array
            The parameter and its gradient, which must not be written into.
        lr : float
        decay : float
            The weight decay, 0 for a parameter that does not decay.
        name : str
            Of the parameter, for :meth:`recall`.
        """
        raise NotImplementedError

    def recall(self, memory: str, name: str, w: Array) -> Array:
        """Return an array kept for a parameter; zeros at first."""
        arrays = self.state[memory]
        if name not in arrays:
            arrays[name] = self.zeros_like(w)
        if arrays[name].shape != w.shape:
            raise ValueError(
                f"{name!r} must have the shape {arrays[name].shape} of the network that this optimizer has "
                f"trained, got {w.shape}; make a new optimizer for another network."
            )
        return arrays[name]

    def state_dict(self) -> dict[str, Any]:
        """Return all that a resumed run needs."""
        state = {
            memory: {name: array.copy() for name, array in arrays.items()}
            for memory, arrays in self.state.items()
        }
        settings = {  # which a callback may have changed; a schedule is a function of the steps
            name: value.item() if isinstance(value, np.generic) else value
            for name, value in vars(self).items()
            if name not in ("steps", "state") and isinstance(value, Real | tuple | dict)
        }
        return {"type": type(self).__name__, "steps": self.steps, "state": state, "settings": settings}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned; ValueError if it is another optimizer's."""
        if saved["type"] != type(self).__name__ or set(saved["state"]) != set(self.memories):
            raise ValueError(f"the saved state is that of {saved['type']}, not of {type(self).__name__}.")
        unknown = set(saved["settings"]) - (set(vars(self)) - {"state", "steps", "zeros_like"})
        if unknown:
            raise ValueError(f"{saved['type']} has no settings {sorted(unknown)}.")
        for name, value in saved["settings"].items():
            if name == "rates":
                value = _checked_rates(value)
            now = getattr(self, name)
            if isinstance(now, int | float) and (not isinstance(value, int | float) or value != value):
                raise ValueError(f"{name} must be a number, as {now!r}, got {value!r}.")
            setattr(self, name, tuple(value) if isinstance(value, list) else value)
        self.steps = int(saved["steps"])
        self.state = {
            memory: {name: np.array(array) for name, array in arrays.items()}
            for memory, arrays in saved["state"].items()
        }

    def __repr__(self) -> str:
        return constructor_call(self, vars(self))


def _checked_rates(rates: Any) -> dict[str, float] | None:
    """Return factors of the learning rate by name, checked; None if there are none."""
    if rates is None:
        return None
    if not isinstance(rates, Mapping) or not all(isinstance(name, str) for name in rates):
        raise TypeError(f"rates must be a dict of names to factors, as {{'features': 0.1}}, got {rates!r}.")
    checked = {name: number("rates", factor, 0, np.inf, True, True) for name, factor in rates.items()}
    return checked or None


@functools.lru_cache(maxsize=64)
def _factors(rates: tuple[tuple[str, float], ...], names: tuple[str, ...]) -> Mapping[str, float]:
    head = names[-1].rpartition(".")[0] if names else ""
    return {
        name: factor for group, factor in rates for name in select(group, names, head, "parameter or layer")
    }


def clipped(grads: Mapping[str, Array], clip_norm: float) -> Mapping[str, Array]:
    """Scale gradients so that their global norm is at most ``clip_norm``.

    ``g <- g min(1, clip_norm / (|g| + 1e-6))``, where ``|g|`` is the root of the sum of the squares of all
    gradients; the small number is PyTorch's. The given arrays are not changed.

    Source: R. Pascanu, T. Mikolov, Y. Bengio, "On the difficulty of training recurrent neural networks",
    2013.

    Examples
    --------
    >>> clipped({"weight": np.array([[3.0]]), "bias": np.array([4.0])}, 1.0)["bias"].round(5)
    array([0.8])
    """
    squares: Any = sum((g * g).sum() for g in grads.values())
    factor = clip_norm / (float(squares) ** 0.5 + CLIPPING_EPS)
    return {name: g * factor for name, g in grads.items()} if factor < 1 else grads
