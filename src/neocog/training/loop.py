"""The training loop."""

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
from neocog.losses import Loss, SoftmaxCrossEntropy
from neocog.optimizers import SGD, Optimizer
from neocog.training.callbacks import Callback
from neocog.training.engine import Engine, check_engine, torch_engine
from neocog.training.evaluation import EVALUATION_BATCH, estimated_seconds, evaluate
from neocog.training.history import History
from neocog.training.interruption import interruptible
from neocog.training.preparation import check_arguments, check_run, prepare, prepare_weights
from neocog.training.run import Run, alike, diagnosis
from neocog.validation import RandomSource, generator, integer

Step: TypeAlias = Callable[..., float]
"""``value = step(x, t, weight=None)``: the loss of a batch, and the weights moved if it is finite."""


def make_step(network: Layer, loss: Loss, optimizer: Optimizer) -> Step:
    """Return the training step of a network: forward, loss, backward, update.

    Under the ``fused`` kernels it is one compiled program, if the network, the loss and the optimizer have
    a compiled form; the weights that move are the network's own all the same.

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

    def step(x: Any, t: Any, weight: Any = None) -> float:
        z, cache = network.forward(x, training=True)
        value, dz = loss(z, t) if weight is None else loss(z, t, weight)
        if math.isfinite(value):
            _, grads = network.backward(dz, cache, input_grad=False)
            optimizer.step(network.params, grads)
        return float(value)

    if active_kernels() != "fused":
        return step
    from neocog.compilation import CompiledStep, Uncompilable

    try:
        compiled = CompiledStep(network, loss, optimizer)
    except Uncompilable:
        return step

    def compiled_step(x: Any, t: Any, weight: Any = None) -> float:
        try:
            return compiled(x, t, weight)
        except Uncompilable:
            return step(x, t, weight)

    return compiled_step


class _Layers(Engine):
    """neocog's own engine."""

    def __init__(self, network: Layer, loss: Loss, optimizer: Optimizer) -> None:
        self.network, self.loss = network, loss
        self._step = make_step(network, loss, optimizer)

    def step(self, x: Any, t: Any, weight: Any = None) -> float:
        return self._step(x, t, weight)

    def evaluate(self, x: Any, t: Any, weight: Any = None) -> tuple[float, float]:
        return evaluate(self.network, x, t, loss=self.loss, sample_weight=weight)


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
) -> History:
    """Train a network in place by minibatch gradient descent.

    Parameters
    ----------
    network : Layer
    data : Split, or (images, labels)
    loss : default SoftmaxCrossEntropy()
    optimizer : default SGD(lr=0.05, momentum=0.9)
    epochs : int
        Epochs in all, those of a resumed run included.
    batch_size : int
    rng : Generator, int or None
        Draws one permutation of the training images an epoch, and what ``augment`` needs.
    callbacks : sequence of Callback
        See :mod:`neocog.training.callbacks`.
    augment : function (images, rng) -> images, optional
        Changes each training batch; see :mod:`neocog.data.augmentation`.
    resume : path, optional
        A checkpoint to go on from; the run ends bit for bit as if it had never stopped.
    sample_weight : (N,), or a pair of such, optional
        How much each training image counts, or each one to train on and each one to validate on. They are
        scaled to mean 1, so that weights all alike change nothing.
    engine : {"neocog", "torch"}
        What computes: neocog's layers, or the same network in PyTorch, whose weights are brought back after
        each epoch. Started by ``torchrun``, PyTorch's engine shares each batch among the processes.
    device : str, optional
        Where PyTorch computes, such as "cuda"; default the CPU.

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
    Ctrl-C, or SIGTERM, ends training after the current batch; callbacks still end as they should, so a
    checkpoint is saved, and ``history.stopped`` says "interrupted". A second Ctrl-C ends it at once, but
    not under ``torchrun``, which passes it on twice, and ends what takes longer than 30 seconds.

    An optimizer remembers: to train another network, make another one.
    """
    loss = SoftmaxCrossEntropy() if loss is None else loss
    optimizer = SGD(lr=0.05, momentum=0.9) if optimizer is None else optimizer
    check_arguments(loss, optimizer, callbacks)
    engine = check_engine(engine, device)
    run = Run(
        network,
        prepare(network, data, loss),
        loss,
        optimizer,
        integer("epochs", epochs, 0),
        integer("batch_size", batch_size),
        generator(rng),
        augment,
        sorted(callbacks, key=lambda callback: callback.runs_last),
    )
    run.sample_weight, run.validation_weight = prepare_weights(sample_weight, run.data)
    check_run(run)
    for callback in run.callbacks:
        callback.reset()
    if resume is not None:
        from neocog.training.checkpoint import load_checkpoint

        load_checkpoint(resume, run)
    # Overflow is not lost: the loss is checked at every step.
    with np.errstate(over="ignore", invalid="ignore"), interruptible(run), contextlib.ExitStack() as stack:
        if engine == "torch":
            run.engine = stack.enter_context(torch_engine(network, loss, optimizer, device))
            run.engine.begin(run.rng, functools.partial(alike, run))
        else:
            stack.enter_context(_kernels(run))
            run.engine = _Layers(network, loss, optimizer)
        stack.enter_context(_callbacks(run))
        if not run.history.rows:
            _finish_epoch(run)  # epoch 0: the untrained network
        while run.epoch < run.epochs and not run.stop:
            _train_epoch(run)
    run.history.stopped = run.stop
    return run.history


def _kernels(run: Run) -> use_kernels:
    """Choose the kernels by the estimated work of all epochs; a resumed run keeps those that it had."""
    shape = (1, *run.data.image_shape)
    images = len(run.data.train[1])
    measured = images + (0 if run.data.validation is None else len(run.data.validation[1]))
    seconds = estimated_seconds(run.network, shape, images, run.batch_size, training=True)
    seconds += estimated_seconds(run.network, shape, measured, EVALUATION_BATCH)
    if active_kernels() == "auto":
        run.kernels = run.kernels or kernels_for(run.epochs * seconds)
    else:
        run.kernels = active_kernels()
    return use_kernels(run.kernels)


def _train_epoch(run: Run) -> None:
    """Take one step for each batch."""
    start = time.perf_counter()
    for x, *targets in _remaining_batches(run):
        value = run.engine.step(x, *targets)
        if not math.isfinite(value):
            raise diagnosis(run, x, training=True)
        run.batch_losses.append(value)
        for callback in run.callbacks:
            callback.on_batch(run)
        run.stop = run.engine.agree(run.stop or run.wish)
        if run.stop:
            break
    run.seconds += time.perf_counter() - start
    run.engine.synchronize()
    if len(run.batch_losses) == run.batches_per_epoch:
        run.epoch += 1
        _finish_epoch(run)


def _remaining_batches(run: Run) -> Iterator[tuple[Any, ...]]:
    """Draw the epoch's batches, (x, t) or (x, t, weight), but those an interrupted run has already seen."""
    if run.epoch_rng_state:
        run.rng.bit_generator.state = run.epoch_rng_state
    else:
        run.epoch_rng_state = dict(run.rng.bit_generator.state)
    images, labels = run.data.train
    places = np.arange(len(labels))
    for k, (x, here) in enumerate(batches(images, places, run.batch_size, rng=run.rng, augment=run.augment)):
        if k >= len(run.batch_losses):
            t = labels[here]
            yield (x, t) if run.sample_weight is None else (x, t, run.sample_weight[here])


def _finish_epoch(run: Run) -> None:
    """Measure the network, add a row to the history, and ask the callbacks."""
    row = {}
    row["train_loss"], row["train_accuracy"] = run.engine.evaluate(*run.data.train, run.sample_weight)
    if run.data.validation is not None:
        row["val_loss"], row["val_accuracy"] = run.engine.evaluate(
            *run.data.validation, run.validation_weight
        )
    for part, column in ((run.data.train, "train_loss"), (run.data.validation, "val_loss")):
        if part is not None and not math.isfinite(row[column]):
            raise diagnosis(run, part[0], training=False)
    if run.batch_losses:
        row["running_loss"] = sum(run.batch_losses) / len(run.batch_losses)
        row["lr"] = float(run.optimizer.last_lr)
    run.history.append(epoch=run.epoch, seconds=run.seconds, **row)
    run.batch_losses, run.epoch_rng_state, run.seconds = [], {}, 0.0
    for callback in run.callbacks:
        wish = callback.on_epoch(run)  # all are asked, even if the end is already decided
        if wish and run.stop in ("", "interrupted"):  # who goes on after Ctrl-C must know that it was the end
            run.stop = wish
    run.engine.follow()
    run.stop = run.engine.agree(run.stop or run.wish)


@contextlib.contextmanager
def _callbacks(run: Run) -> Iterator[None]:
    """Start the callbacks in order and end them in reverse, as nested ``with`` blocks would."""
    if not run.engine.leads:
        run.callbacks = ()
    with contextlib.ExitStack() as ends:
        try:
            for callback in run.callbacks:
                callback.on_start(run)
                ends.callback(callback.on_end, run)
            yield
        except BaseException:
            run.failed = True
            raise
