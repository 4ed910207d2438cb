"""The training loop."""

from __future__ import annotations

import contextlib
import copy
import functools
import hashlib
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from neocog.data.batches import Augmentation, batches
from neocog.data.split import Split
from neocog.kernels import active_kernels, kernels_for, use_kernels
from neocog.layers import BatchNorm1D, Container, Layer
from neocog.layers.base import as_dtype, random_generators
from neocog.layers.containers import ends_in_softmax
from neocog.losses import Loss, MeanSquaredError, SoftmaxCrossEntropy, check_weights
from neocog.optimizers import SGD, Optimizer
from neocog.training.callbacks import Callback
from neocog.training.engine import Engine, check_engine, torch_engine
from neocog.training.evaluation import EVALUATION_BATCH, estimated_seconds, evaluate
from neocog.training.history import History
from neocog.validation import RandomSource, check_images, generator, integer

# Lazy images up to this size, as float32, are read once instead of at every epoch.
IN_MEMORY_BYTES = 1 << 29


class NonFiniteLossError(FloatingPointError):
    """The loss became NaN or infinite; the message says when and where."""


@dataclass
class Run:
    """All that a training run is made of; callbacks are handed this.

    Attributes
    ----------
    epoch : int
        Epochs completed.
    batch_losses : list of float
        Losses of the batches completed in the epoch under way.
    epoch_rng_state : dict
        The generator's state at the start of the epoch under way, from which a resumed run draws it again.
    engine : Engine
        What takes the steps; see :mod:`neocog.training.engine`.
    kernels : str
        The kernels that ``auto`` has chosen; a resumed run goes on with them.
    wish : str
        What a signal asked for since the last step.
    stop : str
        Why the run should end; empty while it should not.
    failed : bool
        Whether it ended by an exception.
    """

    network: Layer
    data: Split
    loss: Loss
    optimizer: Optimizer
    epochs: int
    batch_size: int
    rng: np.random.Generator
    augment: Augmentation | None
    callbacks: Sequence[Callback]
    sample_weight: np.ndarray | None = None
    validation_weight: np.ndarray | None = None
    history: History = field(default_factory=History)
    epoch: int = 0
    batch_losses: list[float] = field(default_factory=list)
    epoch_rng_state: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    engine: Engine = field(init=False, repr=False)
    kernels: str = ""
    wish: str = ""
    stop: str = ""
    failed: bool = False

    @functools.cached_property
    def fingerprint(self) -> str:
        """What tells the data from other data."""
        weights = [w.tobytes() for w in (self.sample_weight, self.validation_weight) if w is not None]
        return self.data.fingerprint() + (hashlib.sha256(b"".join(weights)).hexdigest() if weights else "")

    @property
    def batches_per_epoch(self) -> int:
        """Steps in an epoch."""
        return math.ceil(len(self.data.train[1]) / self.batch_size)


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


class _Layers:
    """neocog's own engine."""

    leads = True

    def __init__(self, network: Layer, loss: Loss, optimizer: Optimizer) -> None:
        self.network, self.loss = network, loss
        self.step = make_step(network, loss, optimizer)

    def evaluate(self, x: Any, t: Any, weight: Any = None) -> tuple[float, float]:
        return evaluate(self.network, x, t, loss=self.loss, sample_weight=weight)

    def synchronize(self) -> None:
        """Do nothing: the arrays are neocog's own."""

    def begin(self, rng: np.random.Generator, alike: Callable[[], Mapping[str, Any]]) -> None:
        """Do nothing: there is one process."""

    def follow(self) -> None:
        """Do nothing: the arrays are the ones that callbacks change."""

    def agree(self, stop: str) -> str:
        return stop


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
    _check_arguments(loss, optimizer, callbacks)
    engine = check_engine(engine, device)
    run = Run(
        network,
        _prepare(network, data, loss),
        loss,
        optimizer,
        integer("epochs", epochs, 0),
        integer("batch_size", batch_size),
        generator(rng),
        augment,
        sorted(callbacks, key=lambda callback: callback.runs_last),
    )
    run.sample_weight, run.validation_weight = _weights(sample_weight, run.data)
    _check_run(run)
    for callback in run.callbacks:
        callback.reset()
    if resume is not None:
        from neocog.training.checkpoint import load_checkpoint

        load_checkpoint(resume, run)
    # Overflow is not lost: the loss is checked at every step.
    with np.errstate(over="ignore", invalid="ignore"), _interruptible(run), contextlib.ExitStack() as stack:
        if engine == "torch":
            run.engine = stack.enter_context(torch_engine(network, loss, optimizer, device))
            run.engine.begin(run.rng, functools.partial(_alike, run))
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


def _weights(sample_weight: Any, data: Split) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return the weights of training and validation images, of mean 1 each."""
    pair = sample_weight if isinstance(sample_weight, tuple) else (sample_weight, None)
    if len(pair) != 2:
        raise ValueError(f"sample_weight must be an array, or a pair of arrays, got {len(pair)} things.")
    if pair[1] is not None and data.validation is None:
        raise ValueError("sample_weight must hold no validation weights, as there are no validation images.")
    scaled: list[np.ndarray | None] = []
    for weight, part in zip(pair, data, strict=True):
        if weight is None or part is None:
            scaled.append(None)
            continue
        weight = check_weights(weight, len(part[1]))
        if not weight.any():
            raise ValueError("sample_weight must not be all 0.")
        scaled.append(weight / weight.mean())
    return scaled[0], scaled[1]


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
            raise _diagnosis(run, x, training=True)
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
            raise _diagnosis(run, part[0], training=False)
    if run.batch_losses:
        row["running_loss"] = sum(run.batch_losses) / len(run.batch_losses)
        row["lr"] = run.optimizer.last_lr
    run.history.append(epoch=run.epoch, seconds=run.seconds, **row)
    run.batch_losses, run.epoch_rng_state, run.seconds = [], {}, 0.0
    for callback in run.callbacks:
        wish = callback.on_epoch(run)  # all are asked, even if the end is already decided
        run.stop = run.stop or wish or ""
    run.engine.follow()
    run.stop = run.engine.agree(run.stop or run.wish)


def _alike(run: Run) -> dict[str, Any]:
    """What several processes that train together must have in common."""
    return {
        "data": run.fingerprint,
        "network": repr(run.network),
        "loss": repr(run.loss),
        "optimizer": repr(run.optimizer),
        "epochs": run.epochs,
        "batch_size": run.batch_size,
        "place": (run.epoch, len(run.batch_losses)),
    }


def _check_arguments(loss: Any, optimizer: Any, callbacks: Any) -> None:
    """Raise TypeError for what would fail much later, and unclearly."""
    if isinstance(loss, type) or not callable(loss):
        raise TypeError(f"loss must be a loss such as SoftmaxCrossEntropy(), got {loss!r}.")
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"optimizer must be an optimizer such as SGD(lr=0.1), got {optimizer!r}.")
    if not isinstance(callbacks, Sequence) or not all(isinstance(c, Callback) for c in callbacks):
        raise TypeError(f"callbacks must be a sequence of callbacks, got {callbacks!r}.")


def _check_run(run: Run) -> None:
    """Raise ValueError for what would go wrong on the way."""
    leaves = [leaf for _, leaf in run.network.leaves()]
    if len(run.data.train[1]) % run.batch_size == 1 and any(isinstance(x, BatchNorm1D) for x in leaves):
        raise ValueError(
            f"batch_size must not leave a last batch of one image, which BatchNorm1D cannot normalise, got "
            f"{run.batch_size} for {len(run.data.train[1])} images."
        )
    if any(rng is run.rng for rng in random_generators(run.network)):
        raise ValueError("rng must not be the generator of a layer, or a resumed run would draw otherwise.")


def _prepare(network: Layer, data: Split | tuple[Any, Any], loss: Loss) -> Split:
    """Return the data checked against the network, images in its dtype; tell the network what they are."""
    if isinstance(data, Split):
        split = data
    else:
        pairs = isinstance(data, tuple | list) and len(data) == 2 and isinstance(data[0], tuple | list)
        split = Split(*data) if pairs and len(data[0]) == 2 else Split(data)
    outputs = network.output_shape((1, *split.image_shape))

    def cast(name: str, part: tuple[Any, Any]) -> tuple[Any, Any]:
        images, labels = part
        images = check_images(name, images)
        if isinstance(images, np.ndarray) or 4 * math.prod(images.shape) <= IN_MEMORY_BYTES:
            images = as_dtype(np.asarray(images), network.dtype)
        return images, labels

    train = cast("training images", split.train)
    validation = split.validation and cast("validation images", split.validation)
    names = split.class_names
    if isinstance(loss, SoftmaxCrossEntropy) and ends_in_softmax(network):
        raise ValueError(
            "the network must end in logits to be trained with SoftmaxCrossEntropy, which holds the softmax "
            "itself, got one that ends in Softmax; train network.without_softmax(), which shares its weights."
        )
    if split.is_classification and not isinstance(loss, MeanSquaredError):
        if len(outputs) != 2 or outputs[1] < len(names):
            raise ValueError(
                f"the network must have an output for each of the {len(names)} classes, its output shape is "
                f"{tuple(outputs)}."
            )
        names += tuple(str(k) for k in range(len(names), outputs[1]))  # outputs that nothing trains
    if isinstance(network, Container):
        if len(split.image_shape) == 3:
            network.input_shape = split.image_shape
        if split.named or network.class_names is None or len(network.class_names) != len(names):
            network.class_names = names or None
    return Split(train, validation, split.class_names or None)


def _diagnosis(run: Run, x: Any, training: bool) -> NonFiniteLossError:
    """Say in which layer the first number that is not finite arose."""
    run.engine.synchronize()
    found: list[str] = []

    def visit(name: str, layer: Layer, value: Any) -> Any:
        y = layer.forward(value, training=training)[0]
        if not found and not np.isfinite(y).all():
            sick = [key for key, array in layer.params.items() if not np.isfinite(array).all()]
            cause = f", whose {' and '.join(sick)} had already overflowed" if sick else ""
            found.append(f"layer {name!r} ({type(layer).__name__}){cause}")
        return y

    twin = copy.deepcopy(run.network)  # whose running statistics and generators may move
    for start in range(0, len(x), 256):
        if not found:
            twin.walk(visit, as_dtype(x[start : start + 256], twin.dtype))
    where = found[0] if found else "the loss itself; every layer's output is finite"
    when = (
        f"in epoch {run.epoch + 1}, batch {len(run.batch_losses) + 1}"
        if training
        else (f"after epoch {run.epoch}, batch {len(run.batch_losses)}")
    )
    return NonFiniteLossError(
        f"the loss is not finite {when}, at learning rate {run.optimizer.last_lr:g}; it arose in {where}. A "
        "lower learning rate usually helps."
    )


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


@contextlib.contextmanager
def _interruptible(run: Run) -> Iterator[None]:
    """Turn the first Ctrl-C or SIGTERM into a wish to stop; only the main thread can."""
    previous: dict[int, Any] = {}
    # torchrun passes a Ctrl-C on that has come already; it kills those that do not end within 30 seconds.
    by_torchrun = "TORCHELASTIC_RUN_ID" in os.environ

    def wish(signum: int, frame: Any) -> None:
        run.wish = "interrupted"  # all processes stop at one place: see Engine.agree
        if not by_torchrun:
            restore()

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            handler = signal.getsignal(number)
            if handler is not None and handler is not signal.SIG_IGN:  # as under nohup: then it is meant so
                previous[number] = signal.signal(number, wish)
    try:
        yield
    finally:
        restore()
