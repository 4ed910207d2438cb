"""Train a network: the training loop."""

from __future__ import annotations

import contextlib
import functools
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np

from neocog.data.batches import Augmentation, batches
from neocog.data.split import Split
from neocog.kernels import active_kernels, kernels_for, use_kernels
from neocog.layers import Layer
from neocog.layers.recomputation import forward_keeping_few
from neocog.losses import Loss, SoftmaxCrossEntropy
from neocog.optimizers import SGD, Optimizer
from neocog.training.checkpoint import load_checkpoint
from neocog.training.checks import check_arguments, check_run, prepare_data, prepare_weights
from neocog.training.diagnosis import diagnosis
from neocog.training.engine import Engine, check_engine, torch_engine
from neocog.training.evaluation import EVALUATION_BATCH, estimated_seconds, evaluate
from neocog.training.features import Features
from neocog.training.history import History
from neocog.training.signals import interruptible
from neocog.training.state import Callback, TrainingState, alike
from neocog.validation import RandomSource, flag, generator, integer

StepFunction: TypeAlias = Callable[..., float]
"""``value = step(x, t, sample_weight=None)``: return a batch's loss; move the parameters if it is finite."""


def make_step(
    network: Layer, loss: Loss, optimizer: Optimizer, checkpoint_activations: bool = False
) -> StepFunction:
    """Return the training step of a network: forward, loss, backward, update.

    With the ``fused`` kernels it is one compiled program, in which a layer, a loss or an optimizer without a
    compiled form runs in Python. It updates the network's own arrays in place. For
    ``checkpoint_activations`` see :func:`neocog.fit`.

    Examples
    --------
    >>> from neocog.data import line_patterns
    >>> from neocog.models import tiny_cnn
    >>> step = make_step(tiny_cnn(seed=42), SoftmaxCrossEntropy(), SGD(lr=0.12))
    >>> x, t = line_patterns("a").train
    >>> first, second = step(x, t), step(x, t)
    >>> second < first
    True
    """
    recompute = flag("checkpoint_activations", checkpoint_activations)

    def step(x: Any, t: Any, sample_weight: Any = None) -> float:
        z, cache = forward_keeping_few(network, x) if recompute else network.forward(x, training=True)
        value, dz = loss(z, t) if sample_weight is None else loss(z, t, sample_weight)
        if math.isfinite(value):
            _, grads = network.backward(dz, cache, input_grad=False)
            optimizer.step(network.params, grads)
        return float(value)

    if active_kernels() != "fused":
        return step
    from neocog.compilation import CompiledStep, Uncompilable

    try:
        compiled = CompiledStep(network, loss, optimizer, recompute)
    except Uncompilable:
        return step

    def compiled_step(x: Any, t: Any, sample_weight: Any = None) -> float:
        try:
            return compiled(x, t, sample_weight)
        except Uncompilable:
            return step(x, t, sample_weight)

    return compiled_step


class _Layers(Engine):
    """Engine that computes with neocog's own layers."""

    def __init__(
        self, network: Layer, loss: Loss, optimizer: Optimizer, checkpoint_activations: bool
    ) -> None:
        self.network, self.loss = network, loss
        self._step = make_step(network, loss, optimizer, checkpoint_activations)

    def step(self, x: Any, t: Any, sample_weight: Any = None) -> float:
        return self._step(x, t, sample_weight)

    def evaluate(self, x: Any, t: Any, sample_weight: Any = None) -> tuple[float, float]:
        return evaluate(self.network, x, t, loss=self.loss, sample_weight=sample_weight)


def fit(
    network: Layer,
    data: Split | tuple[Any, Any],
    *,
    loss: Loss | None = None,
    optimizer: Optimizer | None = None,
    epochs: int = 10,
    batch_size: int = 32,
    rng: RandomSource = None,
    callbacks: Sequence[Callback] = (),
    augment: Augmentation | None = None,
    resume: str | os.PathLike[str] | None = None,
    sample_weight: Any = None,
    engine: str = "neocog",
    device: str | None = None,
    checkpoint_activations: bool = False,
) -> History:
    """Train a network in place by minibatch gradient descent.

    Parameters
    ----------
    network : Layer
    data : Split, or (images, labels)
    loss : default SoftmaxCrossEntropy()
        The network's ``output_kind`` follows from it. With BinaryCrossEntropy() images may have several
        labels, (N, labels) of 0 and 1; accuracy is then the fraction of images of which all are right.
    optimizer : default SGD(lr=0.05, momentum=0.9)
    epochs : int
        Total number of epochs, including those before a restart.
    batch_size : int
    rng : Generator, int or None
        Draws the order of the training images in each epoch, and what ``augment`` needs.
    callbacks : sequence of Callback
        See :class:`neocog.training.Callback`.
    augment : function (images, rng) -> images, optional
        Changes each training batch; see :mod:`neocog.data.augmentation`.
    resume : path, optional
        A checkpoint to resume; the run ends bit for bit as if it had never stopped.
    sample_weight : (N,), or a pair of such, optional
        Weight of each training image, or a pair: weights of training and of validation images. They are
        scaled to mean 1, so that equal weights change nothing.
    engine : {"neocog", "torch"}
        Compute with neocog's layers, or with the same network in PyTorch, whose weights are copied back
        after each epoch. Started by ``torchrun``, PyTorch's engine splits each batch among the processes.
    device : str, optional
        PyTorch device, such as "cuda"; default the CPU.
    checkpoint_activations : bool
        Keep few of the layers' outputs for the backward pass, about sqrt(n) of n alike ones in a chain, and
        compute the others again when it reaches them. Every number is the same; a step takes about a third
        more time, one more forward pass, and large networks need half the memory or less.

    Returns
    -------
    History
        Its first row is the untrained network's.

    Raises
    ------
    TypeError, ValueError
        If data, labels and network do not fit each other.
    NonFiniteLossError
        If the loss becomes NaN or infinite.
    ImportError
        If the engine is not installed.
    ConnectionError
        If another process of the job is lost; the last checkpoint stays.

    Notes
    -----
    SIGINT (Ctrl-C) or SIGTERM ends training after the current batch; the callbacks still end normally, so a
    checkpoint is saved, and ``history.stopped`` is "interrupted". A second Ctrl-C ends training at once,
    except under ``torchrun``, which sends it twice and kills processes after 30 seconds.

    An optimizer keeps state (momentum): use a new one for each network.

    What is computed again for ``checkpoint_activations`` draws the same random numbers, and running
    statistics move once. A layer of your own may draw from generators that are its attributes and change
    its ``buffers``; one that remembers anything else remembers it twice.

    Source: T. Chen et al., "Training deep nets with sublinear memory cost", 2016.
    """
    loss = SoftmaxCrossEntropy() if loss is None else loss
    optimizer = SGD(lr=0.05, momentum=0.9) if optimizer is None else optimizer
    check_arguments(loss, optimizer, callbacks, augment)
    engine = check_engine(engine, device, checkpoint_activations)
    state = TrainingState(
        network,
        prepare_data(network, data, loss),
        loss,
        optimizer,
        integer("epochs", epochs, 0),
        integer("batch_size", batch_size),
        generator(rng),
        augment,
        sorted(callbacks, key=lambda callback: callback.runs_last),
    )
    state.checkpoint_activations = bool(checkpoint_activations)
    state.sample_weight, state.validation_weight = prepare_weights(sample_weight, state.data)
    check_run(state)
    for callback in state.callbacks:
        callback.reset()
    if resume is not None:
        load_checkpoint(resume, state)
    # No warning for an overflow: the loss is checked at every step.
    with np.errstate(over="ignore", invalid="ignore"), interruptible(state), contextlib.ExitStack() as stack:
        if engine == "torch":
            state.engine = stack.enter_context(torch_engine(network, loss, optimizer, device))
            state.engine.begin(state.rng, functools.partial(alike, state))
        else:
            stack.enter_context(_kernels(state))
            state.engine = _layers(state)
        stack.enter_context(_callbacks(state))
        if not state.history.rows:
            _finish_epoch(state)  # epoch 0: the untrained network
        while state.epoch < state.epochs and not state.stop:
            _train_epoch(state)
    state.history.stopped = state.stop
    return state.history


def _layers(state: TrainingState) -> _Layers:
    """Return the engine of neocog's own layers; what is frozen is computed first, if nothing is random."""
    state.features, state.frozen = None, state.network.frozen
    if state.augment is None and state.epoch < state.epochs:
        state.features, note = Features.of(state.network, state.optimizer, *state.inputs)
        state.notes += [note] if note else []
    network = state.network if state.features is None else state.features.network
    return _Layers(network, state.loss, state.optimizer, state.checkpoint_activations)


def _kernels(state: TrainingState) -> use_kernels:
    """Choose the kernels by the estimated work of all epochs; a resumed run keeps its own."""
    shape = (1, *state.data.image_shape)
    images = len(state.data.train[1])
    measured = images + (0 if state.data.validation is None else len(state.data.validation[1]))
    seconds = estimated_seconds(state.network, shape, images, state.batch_size, training=True)
    seconds += estimated_seconds(state.network, shape, measured, EVALUATION_BATCH)
    if active_kernels() == "auto":
        state.kernels = state.kernels or kernels_for(state.epochs * seconds)
    else:
        state.kernels = active_kernels()
    return use_kernels(state.kernels)


def _train_epoch(state: TrainingState) -> None:
    """Train on every batch of an epoch."""
    start = time.perf_counter()
    if isinstance(state.engine, _Layers) and state.frozen != state.network.frozen:  # by a callback
        state.engine = _layers(state)
    for x, *targets in remaining_batches(state):
        value = state.engine.step(x, *targets)
        if not math.isfinite(value):
            raise diagnosis(state, x, True, None if state.features is None else state.features.network)
        state.batch_losses.append(value)
        for callback in state.callbacks:
            callback.on_batch(state)
        state.stop = state.engine.agree(state.stop or state.requested_stop)
        if state.stop:
            break
    state.seconds += time.perf_counter() - start
    state.engine.synchronize()
    if len(state.batch_losses) == state.batches_per_epoch:
        state.epoch += 1
        _finish_epoch(state)


def remaining_batches(state: TrainingState) -> Iterator[tuple[Any, ...]]:
    """Yield the epoch's batches, (x, t) or (x, t, weight), except those seen before an interruption."""
    if state.epoch_rng_state:
        state.rng.bit_generator.state = state.epoch_rng_state
    else:
        state.epoch_rng_state = dict(state.rng.bit_generator.state)
    images, labels = state.inputs[0], state.data.train[1]
    places = np.arange(len(labels))
    drawn = batches(images, places, state.batch_size, rng=state.rng, augment=state.augment)
    for k, (x, here) in enumerate(drawn):
        if k >= len(state.batch_losses):
            t = labels[here]
            yield (x, t) if state.sample_weight is None else (x, t, state.sample_weight[here])


def _finish_epoch(state: TrainingState) -> None:
    """Evaluate the network, add a row to the history, and call the callbacks."""
    row = {}
    train, validation = state.inputs
    row["train_loss"], row["train_accuracy"] = state.engine.evaluate(
        train, state.data.train[1], state.sample_weight
    )
    if state.data.validation is not None:
        row["val_loss"], row["val_accuracy"] = state.engine.evaluate(
            validation, state.data.validation[1], state.validation_weight
        )
    for part, column in ((state.data.train, "train_loss"), (state.data.validation, "val_loss")):
        if part is not None and not math.isfinite(row[column]):
            raise diagnosis(state, part[0], training=False)
    if state.batch_losses:
        row["running_loss"] = sum(state.batch_losses) / len(state.batch_losses)
        row["lr"] = float(state.optimizer.last_lr)
    state.history.append(epoch=state.epoch, seconds=state.seconds, **row)
    state.batch_losses, state.epoch_rng_state, state.seconds = [], {}, 0.0
    for callback in state.callbacks:
        reason = callback.on_epoch(state)  # call all, even if the end is already decided
        if reason and state.stop in ("", "interrupted"):  # a resumed run must know that it had ended
            state.stop = reason
    state.engine.follow()
    state.stop = state.engine.agree(state.stop or state.requested_stop)


@contextlib.contextmanager
def _callbacks(state: TrainingState) -> Iterator[None]:
    """Start the callbacks in order and end them in reverse, as nested ``with`` blocks would."""
    if not state.engine.leads:
        state.callbacks = ()
    with contextlib.ExitStack() as ends:
        try:
            for callback in state.callbacks:
                callback.on_start(state)
                ends.callback(callback.on_end, state)
            yield
        except BaseException:
            state.failed = True
            raise
