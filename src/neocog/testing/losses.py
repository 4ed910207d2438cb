"""Test the contract of a loss, for every loss of neocog and for your own."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np

from neocog.gradcheck.measurement import STEPS
from neocog.layers import Dense, Reshape, Sequential, Tanh
from neocog.losses import Loss
from neocog.optimizers import SGD
from neocog.testing.common import TOLERANCE, Check, refusal, run_all, same_training

__all__ = ["check_loss"]

REPETITIONS = (2, 1, 3)


def check_loss(make_loss: Callable[[], Loss], z: Any, t: Any) -> None:
    """Run the whole contract over one loss.

    The value is a finite number, the mean over the images; ``dz`` is its derivative, entry by entry by
    complex step, and keeps the dtype; a weight of 2 counts an image twice; ``correct`` judges each image by
    itself; ``z`` and ``t`` are left alone; targets of a wrong shape, class labels out of range, empty batches
    and bad weights are refused; compiled training is that of the layers; the terms of every explanation add
    up; a copy and a pickled one are the same loss.

    Parameters
    ----------
    make_loss : function () -> Loss
        Makes the loss, the same each time.
    z : float64 array (N, ...)
        Outputs of a network for three images or more, not near a kink.
    t : array
        Their targets.

    Raises
    ------
    AssertionError
        Naming every part of the contract that is broken.

    Examples
    --------
    >>> from neocog.losses import SoftmaxCrossEntropy
    >>> z = np.random.default_rng(0).normal(size=(4, 3))
    >>> check_loss(lambda: SoftmaxCrossEntropy(label_smoothing=0.1), z, np.array([0, 2, 1, 1]))
    """
    if not callable(make_loss) or (hasattr(make_loss, "correct") and not isinstance(make_loss, type)):
        raise TypeError(f"make_loss must be a function that makes the loss, got {make_loss!r}.")
    z, t = np.asarray(z, np.float64), np.asarray(t)
    if len(z) < len(REPETITIONS):
        raise ValueError(f"z must hold {len(REPETITIONS)} images or more, got {len(z)}.")

    def arguments() -> tuple[Any, ...]:
        return make_loss(), z.copy(), t.copy()

    run_all(f"{make_loss()!r} breaks the contract of a loss", CONTRACT, arguments)


def _close(got: Any, expected: Any, what: str) -> None:
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.shape == expected.shape, f"{what} has shape {got.shape}, expected {expected.shape}"
    error = np.abs(got - expected).max(initial=0)
    assert error <= TOLERANCE * max(1e-3, np.abs(expected).max(initial=0)), (
        f"{what} is off by {error:.1e}: {got.tolist()}, expected {expected.tolist()}"
    )


def _value_and_dtypes(loss: Any, z: Any, t: Any) -> None:
    for dtype in (np.float32, np.float64):
        for weight in ((), (np.ones(len(z)),)):
            value, dz = loss(z.astype(dtype), t, *weight)
            assert isinstance(value, float), f"the value is a {type(value).__name__}, not a float"
            assert np.isfinite(value), f"the value is {value}"
            assert dz.shape == z.shape, f"dz has shape {dz.shape}, z has {z.shape}"
            assert dz.dtype == dtype, f"{np.dtype(dtype)} became {dz.dtype}"


def _derivative(loss: Any, z: Any, t: Any) -> None:
    h = STEPS["complex"]
    for weight in ((), (np.linspace(0.5, 2, len(z)),)):
        _, dz = loss(z, t, *weight)
        measured = np.empty_like(z)
        for index in np.ndindex(*z.shape):
            moved = z.astype(np.complex128)
            moved[index] += 1j * h
            measured[index] = np.imag(loss(moved, t, *weight)[0]) / h
        _close(dz, measured, "dz with weights" if weight else "dz")


def _mean_over_the_images(loss: Any, z: Any, t: Any) -> None:
    values, derivatives = zip(*(loss(z[n : n + 1], t[n : n + 1]) for n in range(len(z))), strict=True)
    value, dz = loss(z, t)
    _close(value, np.mean(values), "the loss of all images")
    _close(dz, np.concatenate(derivatives) / len(z), "dz of all images")


def _weights_are_repetitions(loss: Any, z: Any, t: Any) -> None:
    times = np.resize(REPETITIONS, len(z))
    value, dz = loss(z, t, times)
    repeated, each = loss(z.repeat(times, 0), t.repeat(times, 0))
    share = times.sum() / len(z)
    first = np.cumsum(times) - times
    column = times.reshape(-1, *(1,) * (z.ndim - 1))
    _close(value, share * repeated, f"the loss with weights {times.tolist()}")
    _close(dz, share * column * each[first], f"dz with weights {times.tolist()}")


def _leaves_its_inputs_alone(loss: Any, z: Any, t: Any) -> None:
    weight = np.ones(len(z))
    before = [array.copy() for array in (z, t, weight)]
    loss(z, t)
    loss(z, t, weight)
    loss.correct(z, t)
    for array, kept in zip((z, t, weight), before, strict=True):
        assert np.array_equal(array, kept), "z, t or the weights were written into"


def _correct(loss: Any, z: Any, t: Any) -> None:
    answers = loss.correct(z, t)
    if answers is None:
        return
    assert answers.shape == (len(z),), f"correct has shape {answers.shape}, expected ({len(z)},)"
    assert answers.dtype == bool, f"correct holds {answers.dtype}, not booleans"
    for n in range(len(z)):
        alone = loss.correct(z[n : n + 1], t[n : n + 1])
        assert alone.tolist() == [answers[n]], f"image {n} is judged differently in a batch of its own"


def _bad_targets_are_refused(loss: Any, z: Any, t: Any) -> None:
    bad = {
        "targets for fewer images": (z, t[:-1]),
        "targets with an axis more": (z, t[..., None]),
        "an empty batch": (z[:0], t[:0]),
    }
    if t.dtype.kind in "iu":
        bad["a class below 0"] = z, np.where(np.arange(len(t)) == 1, -1, t)
        bad["a class too many"] = z, np.where(np.arange(len(t)) == 1, z.shape[1], t)
        bad["labels that are no integers"] = z, t.astype(float)
    for what, (outputs, targets) in bad.items():
        message = refusal(what, (ValueError, TypeError), loss, outputs, targets)
        assert "got" in message, f"the message for {what} does not say what was got: {message}"
    for weight in (np.ones(len(z) - 1), -np.ones(len(z)), np.full(len(z), np.nan)):
        refusal(f"weights of {weight.tolist()}", (ValueError,), loss, z, t, weight)


def _network(z: Any) -> tuple[Sequential, np.ndarray]:
    """Return a small network whose outputs are shaped like z, and its input."""
    size = int(np.prod(z.shape[1:]))
    layers = [Dense(4, 5, rng=0), Tanh(), Dense(5, size, rng=1)]
    if z.ndim != 2:
        layers.append(Reshape((0, *z.shape[1:])))
    x = np.random.default_rng(3).normal(size=(len(z), 4))
    return Sequential(*layers).astype("float64"), x


def _compiled(loss: Any, z: Any, t: Any) -> None:
    network, x = _network(z)
    weight = np.linspace(0, 2, len(x))
    batches = [(x, t), (x[:-1], t[:-1], weight[:-1]), (x, t, weight)]
    same_training(network, loss, SGD(0.1, momentum=0.9), batches)


def _explained(loss: Any, z: Any, t: Any) -> None:
    from neocog.inspection import Inquiry, trace

    network, x = _network(z)
    outputs = network.forward(x)[0]
    value, dz = loss(outputs, t)
    inquiry = Inquiry(trace(network, x, t, loss=loss))
    answers = [(inquiry.ask("loss", ()), value)]
    output = inquiry.output
    answers += [(inquiry.ask(output, index, of="gradient"), dz[index]) for index in np.ndindex(*dz.shape)]
    for answer, expected in answers:
        _close(answer.value, expected, f"{answer.number}, explained,")
        _close(answer.total, expected, f"the sum of the terms of {answer.number}")


def _copies(loss: Any, z: Any, t: Any) -> None:
    value, dz = loss(z, t)
    for twin in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        again, same = twin(z, t)
        assert again == value, f"a copy gives {again}, not {value}"
        assert np.array_equal(same, dz), "a copy has another dz"
        assert repr(twin) == repr(loss), f"{loss!r} is copied as {twin!r}"
    text = repr(loss)
    assert text.startswith(f"{type(loss).__name__}("), f"repr must be a call of its class, got {text}"


CONTRACT: tuple[Check, ...] = (
    _value_and_dtypes,
    _derivative,
    _mean_over_the_images,
    _weights_are_repetitions,
    _leaves_its_inputs_alone,
    _correct,
    _bad_targets_are_refused,
    _compiled,
    _explained,
    _copies,
)
