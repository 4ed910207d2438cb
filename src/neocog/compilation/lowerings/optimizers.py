"""Lower optimizers. One that is not registered here updates in Python, from the program's gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from neocog.optimizers import SGD, Adam, AdamW, NAdam, RMSProp

__all__ = ["OptimizerLowering", "lowers_optimizer", "optimizer_lowering_of"]


class OptimizerLowering:
    """The compiled update of one parameter.

    Attributes
    ----------
    operation : str
        Its fields: ``weight``, ``gradient``, ``count`` (of them), ``block`` (weights a unit), ``loss``
        (nothing moves unless it is finite), ``lr``, ``decay``, and those below.
    flops : float
        Work for one weight, about.
    settings : tuple of str
        Attributes of the optimizer that a program is compiled with.
    """

    operation: ClassVar[str]
    flops: ClassVar[float]
    settings: ClassVar[tuple[str, ...]] = ()

    def fields(self, optimizer: Any) -> dict[str, Any]:
        """Return the fields that select the variant of the operation."""
        return {}

    def memories(self, optimizer: Any) -> tuple[str, ...]:
        """Name the arrays of the optimizer's state for a parameter, as the operation's fields do."""
        raise NotImplementedError

    def numbers(self, optimizer: Any) -> dict[str, float]:
        """Return the fields that may change from step to step, for the next step; without lr and decay."""
        return {}


_OPTIMIZERS: dict[type, OptimizerLowering] = {}
_Class = TypeVar("_Class", bound=type[OptimizerLowering])


def lowers_optimizer(*optimizers: type) -> Callable[[_Class], _Class]:
    """Register a class as the compiled form of these optimizers."""

    def register(lowering_class: _Class) -> _Class:
        for optimizer in optimizers:
            _OPTIMIZERS[optimizer] = lowering_class()
        return lowering_class

    return register


def optimizer_lowering_of(optimizer_class: type) -> OptimizerLowering | None:
    """Return the compiled form of exactly this class of optimizers, or None."""
    return _OPTIMIZERS.get(optimizer_class)


@lowers_optimizer(SGD)
class SGDLowering(OptimizerLowering):
    """SGD; without momentum it has no velocity."""

    operation, flops = "sgd", 4.0
    settings = ("momentum", "nesterov")

    def fields(self, optimizer: SGD) -> dict[str, Any]:
        return {"nesterov": int(optimizer.nesterov)}

    def memories(self, optimizer: SGD) -> tuple[str, ...]:
        return ("velocity",) if optimizer.momentum else ()

    def numbers(self, optimizer: SGD) -> dict[str, float]:
        return {"momentum": optimizer.momentum}


@lowers_optimizer(Adam, AdamW)
class AdamLowering(OptimizerLowering):
    """Adam and AdamW, whose decay is decoupled from the gradient."""

    operation, flops = "adam", 12.0

    def fields(self, optimizer: Adam) -> dict[str, Any]:
        return {"decoupled": int(isinstance(optimizer, AdamW))}

    def memories(self, optimizer: Adam) -> tuple[str, ...]:
        return "mean", "square"

    def numbers(self, optimizer: Adam) -> dict[str, float]:
        (beta1, beta2), steps = optimizer.betas, optimizer.steps + 1
        return {
            "beta1": beta1,
            "beta2": beta2,
            "eps": optimizer.eps,
            "correction1": 1 - beta1**steps,
            "correction2": 1 - beta2**steps,
        }


@lowers_optimizer(NAdam)
class NAdamLowering(OptimizerLowering):
    """The shares of the gradient and of the mean change from step to step."""

    operation, flops = "nadam", 14.0

    def memories(self, optimizer: NAdam) -> tuple[str, ...]:
        return "mean", "square"

    def numbers(self, optimizer: NAdam) -> dict[str, float]:
        (beta1, beta2), steps = optimizer.betas, optimizer.steps + 1
        of_gradient, of_mean = optimizer.shares(steps)
        return {
            "beta1": beta1,
            "beta2": beta2,
            "eps": optimizer.eps,
            "correction2": 1 - beta2**steps,
            "of_gradient": of_gradient,
            "of_mean": of_mean,
        }


@lowers_optimizer(RMSProp)
class RMSPropLowering(OptimizerLowering):
    """RMSProp; without momentum it has no velocity."""

    operation, flops = "rmsprop", 10.0
    settings = ("momentum",)

    def memories(self, optimizer: RMSProp) -> tuple[str, ...]:
        return ("square", "velocity") if optimizer.momentum else ("square",)

    def numbers(self, optimizer: RMSProp) -> dict[str, float]:
        return {"alpha": optimizer.alpha, "eps": optimizer.eps, "momentum": optimizer.momentum}
