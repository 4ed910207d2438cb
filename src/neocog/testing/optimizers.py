"""Test the contract of an optimizer, for every optimizer of neocog and for your own."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from neocog.layers import Dense, Sequential, Tanh
from neocog.losses import SoftmaxCrossEntropy
from neocog.optimizers import Optimizer
from neocog.testing.common import Check, refusal, run_all, same_training

__all__ = ["check_optimizer"]

Arrays = dict[str, np.ndarray]
SHAPES = {
    "weight": (3, 2),
    "bias": (2,),
    "conv.weight": (2, 1, 2, 2),
    "norm.weight": (3,),
    "map.bias": (2, 1, 1),
}
DECAYING = {"weight", "conv.weight"}
STEPS = 6


def check_optimizer(make_optimizer: Callable[[], Optimizer]) -> None:
    """Run the whole contract over one optimizer.

    A step updates parameters in place, and only those that have a gradient; it leaves the gradients alone and
    keeps the dtype; steps down a bowl lead down; the same steps give the same bits, also when the run is
    interrupted and goes on from ``state_dict``; weight decay spares biases and vectors unless ``decay_all``;
    a schedule is a learning rate a step; compiled training is that of the layers, step by step; a gradient
    that belongs to no parameter, or is of another shape, is refused before anything moves.

    Parameters
    ----------
    make_optimizer : function () -> Optimizer
        Makes the optimizer, the same each time, with a learning rate at which it goes down a simple bowl.

    Raises
    ------
    AssertionError
        Naming every part of the contract that is broken.

    Examples
    --------
    >>> from neocog.optimizers import SGD
    >>> check_optimizer(lambda: SGD(lr=0.1, momentum=0.9))
    """
    if not callable(make_optimizer) or isinstance(make_optimizer, Optimizer):
        raise TypeError(
            f"make_optimizer must be a function that makes the optimizer, got {make_optimizer!r}."
        )
    run_all(f"{make_optimizer()!r} breaks the contract of an optimizer", CONTRACT, lambda: (make_optimizer,))


def _start(dtype: Any = np.float64) -> Arrays:
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=shape).astype(dtype) for name, shape in SHAPES.items()}


def _gradients(dtype: Any = np.float64, steps: int = STEPS) -> Iterator[Arrays]:
    rng = np.random.default_rng(1)
    for _ in range(steps):
        yield {name: rng.normal(size=shape).astype(dtype) for name, shape in SHAPES.items()}


def _run(optimizer: Optimizer, params: Arrays | None = None) -> Arrays:
    """Take steps of given gradients; return the parameters."""
    params = _start() if params is None else params
    for grads in _gradients():
        optimizer.step(params, grads)
    return params


def _assert_equal(got: Arrays, expected: Arrays, what: str) -> None:
    for name, array in expected.items():
        assert np.array_equal(got[name], array), f"{what}: {name!r} differs"


def _steps_in_place(make: Callable[[], Optimizer]) -> None:
    for dtype in (np.float32, np.float64):
        optimizer, params = make(), _start(dtype)
        arrays, before = dict(params), copy.deepcopy(params)
        for k, grads in enumerate(_gradients(dtype)):
            del grads["norm.weight"]
            kept = copy.deepcopy(grads)
            optimizer.step(params, grads)
            _assert_equal(grads, kept, "a gradient was written into")
            assert optimizer.steps == k + 1, f"steps is {optimizer.steps} after {k + 1}"
        for name, array in params.items():
            assert array is arrays[name], f"{name!r} was replaced, not moved in place"
            assert array.dtype == dtype, f"{np.dtype(dtype)} became {array.dtype}"
            moved = not np.array_equal(array, before[name])
            assert moved == (name != "norm.weight"), f"{name!r} {'moved' if moved else 'did not move'}"
        for memory, remembered in optimizer.state.items():
            for name, array in remembered.items():
                assert array.dtype == dtype, f"{memory!r} of {name!r} is {array.dtype}, not {np.dtype(dtype)}"


def _goes_down(make: Callable[[], Optimizer]) -> None:
    """Lower ``f(w) = 1/2 sum of c (w - a)^2`` with curvatures from 0.3 to 1."""
    optimizer, params = make(), {"weight": np.full((3, 2), 5.0)}
    curvature, lowest = np.linspace(0.3, 1, 6).reshape(3, 2), np.linspace(-1, 1, 6).reshape(3, 2)

    def value() -> float:
        return float((curvature * (params["weight"] - lowest) ** 2).sum() / 2)

    first = value()
    for _ in range(50):
        optimizer.step(params, {"weight": curvature * (params["weight"] - lowest)})
    assert value() < first, f"50 steps down a bowl led from {first:.4g} to {value():.4g}"


def _is_deterministic(make: Callable[[], Optimizer]) -> None:
    _assert_equal(_run(make()), _run(make()), "the same steps again")


def _goes_on_from_its_state(make: Callable[[], Optimizer]) -> None:
    optimizer, params = make(), _start()
    gradients = list(_gradients())
    for grads in gradients[: STEPS // 2]:
        optimizer.step(params, grads)
    saved = optimizer.state_dict()
    kept, twin_params = copy.deepcopy(saved), copy.deepcopy(params)
    settings = json.loads(json.dumps(saved["settings"]))  # as a checkpoint keeps them
    twin = make()
    twin.load_state_dict({**saved, "settings": settings})
    for grads in gradients[STEPS // 2 :]:
        optimizer.step(params, grads)
        twin.step(twin_params, grads)
    _assert_equal(twin_params, params, "after going on from state_dict()")
    assert twin.steps == optimizer.steps == STEPS, f"steps is {twin.steps}, expected {STEPS}"
    for memory, arrays in kept["state"].items():
        _assert_equal(saved["state"][memory], arrays, f"the state taken out changed, in {memory!r}")


def _settings_are_state(make: Callable[[], Optimizer]) -> None:
    """Check that the state keeps settings, which a callback may have changed."""
    optimizer = make()
    optimizer.lr, optimizer.weight_decay = 0.0123, 0.25
    twin = make()
    twin.load_state_dict(optimizer.state_dict())
    for name in ("lr", "weight_decay"):
        got, expected = getattr(twin, name), getattr(optimizer, name)
        assert got == expected, f"{name} is {got} after load_state_dict, expected {expected}"


def _decay(make: Callable[[], Optimizer]) -> None:
    def moved_by_decay(decay_all: bool) -> set[str]:
        results = []
        for decay in (0.0, 0.5):
            optimizer = make()
            optimizer.weight_decay, optimizer.decay_all = decay, decay_all
            results.append(_run(optimizer))
        return {name for name in SHAPES if not np.array_equal(results[0][name], results[1][name])}

    for decay_all, expected in ((False, DECAYING), (True, set(SHAPES))):
        moved = moved_by_decay(decay_all)
        assert moved == expected, (
            f"with decay_all={decay_all}, weight decay acts on {sorted(moved)}, not on {sorted(expected)}"
        )


def _schedule(make: Callable[[], Optimizer]) -> None:
    def rate(step: int) -> float:
        return 0.1 / (1 + step)

    scheduled, by_hand = make(), make()
    params, twin = _start(), _start()
    scheduled.lr = rate
    for k, grads in enumerate(_gradients()):
        by_hand.lr = rate(k)
        assert scheduled.current_lr == rate(k), f"current_lr is {scheduled.current_lr} at step {k}"
        scheduled.step(params, grads)
        assert scheduled.last_lr == rate(k), f"last_lr is {scheduled.last_lr} after step {k}"
        by_hand.step(twin, grads)
    _assert_equal(params, twin, "a schedule is not its rates one by one")


def _compiled(make: Callable[[], Optimizer]) -> None:
    network = Sequential(Dense(4, 5, rng=0), Tanh(), Dense(5, 3, rng=1)).astype("float64")
    rng = np.random.default_rng(2)
    batches = [(rng.normal(size=(6, 4)), rng.integers(3, size=6)) for _ in range(STEPS)]
    same_training(network, SoftmaxCrossEntropy(), make(), batches)


def _refuses_what_does_not_fit(make: Callable[[], Optimizer]) -> None:
    optimizer, params = make(), _start()
    before = copy.deepcopy(params)
    grads = next(_gradients())
    for wrong in ({"wieght": np.ones((3, 2))}, {"weight": np.ones((2, 3))}):
        (name,) = wrong
        what = f"a gradient {name!r} that fits no parameter"
        message = refusal(what, (KeyError, ValueError), optimizer.step, params, grads | wrong)
        assert name in message, f"the message does not name the gradient: {message}"
        _assert_equal(params, before, "a refused step moved a parameter")
        assert optimizer.steps == 0, "a refused step was counted"


def _copies(make: Callable[[], Optimizer]) -> None:
    optimizer, params = make(), _start()
    optimizer.step(params, next(_gradients()))
    twin, twin_params = copy.deepcopy((optimizer, params))
    _assert_equal(_run(twin, twin_params), _run(optimizer, params), "a copy")
    assert repr(make()).startswith(f"{type(optimizer).__name__}("), (
        f"repr must be a call of its class, got {make()!r}"
    )


CONTRACT: tuple[Check, ...] = (
    _steps_in_place,
    _goes_down,
    _is_deterministic,
    _goes_on_from_its_state,
    _settings_are_state,
    _decay,
    _schedule,
    _compiled,
    _refuses_what_does_not_fit,
    _copies,
)
