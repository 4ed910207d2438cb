"""Train a network while somebody looks: ``neocog.fit`` in a thread, and a callback that takes commands.

The callback runs between two batches. There it carries out what was asked for, hands out a frame if the page
wants one, stores the state after each epoch, and waits while training is paused. A change that ``fit`` cannot
take in, as going back to an epoch, ends ``fit``; the thread begins it again from the state that was chosen,
bit for bit as a resumed run.
"""

from __future__ import annotations

import io
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import numpy as np

from neocog.data import Split
from neocog.kernels import kernels_for, use_kernels
from neocog.layers import Container
from neocog.layers.base import random_generators
from neocog.model_file import ModelFileError
from neocog.optimizers import Optimizer
from neocog.serialization import arrays_of
from neocog.settings import Settings
from neocog.studio.moments import Moment, thinned
from neocog.studio.protocol import LIMITS
from neocog.training import Callback, Diagnose, History, NonFiniteLossError, Snapshots, fit
from neocog.training.by_name import make_augmentation, make_optimizer
from neocog.training.evaluation import EVALUATION_BATCH, estimated_seconds
from neocog.training.state import TrainingState

__all__ = ["Live", "make_kernels"]

MOST_EPOCHS = 20_000
"""Where a session stands still at last: each epoch leaves a row, and memory is to stay flat."""
MOST_SENT = 4_000_000
"""Numbers in a frame; of a larger network, which no page computes, a frame says the place only."""
MOST_DIAGNOSED = 1000
"""Epochs after each of which all rows are looked at, for what goes wrong."""
LONG = 200
"""Epochs that a session is taken to last where kernels are chosen."""
AGAIN = "begins again"


def make_kernels(settings: Settings, network: Container, data: Split) -> str:
    """Choose the kernels of a session, for good: nobody knows how long it will be, so it is taken as long."""
    if settings.kernels != "auto":
        return settings.kernels
    shape, images = (1, *data.image_shape), len(data.train[1])
    measured = images + (len(data.validation[1]) if data.validation else 0)
    seconds = estimated_seconds(network, shape, images, settings.batch_size, training=True)
    seconds += estimated_seconds(network, shape, measured, EVALUATION_BATCH)
    return kernels_for(max(settings.epochs, LONG) * seconds)


class Live(Callback):
    """Train in a thread, under command.

    Parameters
    ----------
    network : Container
    data : Split
        What is trained on, and measured after each epoch.
    settings : Settings
        Optimizer, rate, batch, augmentation.
    rng : Generator
        Draws the batches.
    tell : function (frame: bytes or None)
        Called from the thread: with a frame that was wanted, or with None where there is something new.
    encode : function (header, arrays) -> bytes
    resume : path, optional
        A checkpoint to begin from.

    Attributes
    ----------
    moments : dict of int to Moment
        By epochs trained; replaced, never changed, so that any thread may read it.
    rows : list of dict
        Of the history; only ever longer, or replaced.
    tick : int
        Changes with every step and every edit.
    problem : str
        Why training stands still: a sentence; empty if nothing is wrong.
    """

    def __init__(
        self,
        network: Container,
        data: Split,
        settings: Settings,
        rng: np.random.Generator,
        tell: Callable[[bytes | None], None],
        encode: Callable[[dict[str, Any], Mapping[str, np.ndarray]], bytes],
        resume: Any = None,
    ) -> None:
        self.network, self.data, self.settings, self.rng = network, data, settings, rng
        self.loss = settings.make_loss()
        self.kernels = make_kernels(settings, network, data)
        self.optimizer = self._new_optimizer()
        self.moments: dict[int, Moment] = {}
        self.rows: list[dict[str, float]] = []
        self.until: int | None = None
        self.speed: float | None = None
        self.tick, self.sent, self.problem = 0, -1, ""
        self.hints: list[str] = []
        self.playing = self.wanted = self.closed = False
        self.state: TrainingState | None = None
        self._tell, self._encode, self._resume = tell, encode, resume
        self._steps: tuple[str, int] | None = None
        self._commands: deque[tuple[Callable[[TrainingState], Any], Future[Any]]] = deque()
        self._changed = threading.Condition()
        self._start: Moment | None = None
        self._diagnose = Diagnose(io.StringIO())
        self._again = False
        self._due = 0.0
        self.ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="neocog-studio-training", daemon=True)

    # What any thread may call.

    def start(self) -> None:
        """Begin: measure the untrained network, and wait."""
        self._thread.start()

    def play(self, until: int | None = None) -> None:
        """Train on, without end or until an epoch is reached."""
        with self._changed:
            self.playing, self.until, self._steps, self.problem = True, until, None, ""
            self._due = 0.0
            self._changed.notify()

    def step(self, unit: str, count: int) -> None:
        """Train on for some batches or epochs, then pause."""
        with self._changed:
            self.playing, self.until, self._steps, self.problem = True, None, (unit, count), ""
            self._due = 0.0
            self._changed.notify()

    def pause(self) -> None:
        """Stop after the current batch."""
        with self._changed:
            self.playing, self._steps = False, None
        self._tell(None)

    def set_speed(self, batches: float | None) -> None:
        """Train on at most so many batches a second."""
        with self._changed:
            self.speed = batches
            self._changed.notify()

    def want(self) -> None:
        """Ask for a frame, once there is a newer one than that sent last."""
        with self._changed:
            self.wanted = True
            self._changed.notify()
        if not self.ready.is_set():  # being measured, and compiled for, the network stays as it is
            self._hand_out(max(len(self.rows) - 1, 0), [])

    def do(self, command: Callable[[TrainingState], Any]) -> Future[Any]:
        """Have a function called between two batches; what it returns is the future's result."""
        future: Future[Any] = Future()
        with self._changed:
            if self.closed:
                future.cancel()
                return future
            self._commands.append((command, future))
            self._changed.notify()
        return future

    def close(self, last: Callable[[TrainingState], Any] | None = None) -> None:
        """End the thread after the current batch; ``last`` is called there before."""
        if last is not None:
            self.do(last)
        with self._changed:
            self.closed = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()

    # What is called between two batches: commands, on the thread of training.

    def begin_at(self, moment: Moment) -> None:
        """Go on from a moment; what lies behind it is forgotten."""
        if moment.epoch >= max(len(self.rows), 1):
            raise ValueError(f"epoch {moment.epoch} was left when training went back to an earlier one.")
        self._start, self._again = moment, True

    def refit(self, state: TrainingState) -> None:
        """Go on from here, with what has changed in network, optimizer or augmentation."""
        self.begin_at(Moment.of(state))

    def apply(self, settings: Settings, state: TrainingState) -> None:
        """Train on with other settings; a batch size holds from the next epoch on."""
        before, self.settings = self.settings, settings
        self.optimizer.lr, self.optimizer.weight_decay = settings.lr, settings.weight_decay
        structure = ("optimizer", "momentum", "augment")
        if any(getattr(before, name) != getattr(settings, name) for name in structure):
            self.refit(state)
        elif not state.batch_losses and not state.epoch_rng_state:
            state.batch_size = settings.batch_size

    def edited(self) -> None:
        """Count a change of the weights by hand."""
        self.tick += 1
        self.problem = ""

    # The thread.

    def _run(self) -> None:
        try:
            while not self.closed or (self._again and self._commands):
                self._again = False
                self._begin()
        finally:
            with self._changed:
                self.closed = True
            for _, future in self._commands:  # whoever waits for one is told
                future.cancel()

    def _begin(self) -> None:
        """Train until it ends, or is to begin again."""
        try:
            if self._start is not None:
                self._restore(self._start)
            with use_kernels(self.kernels):
                self._fit()
        except NonFiniteLossError as error:
            self._halt(str(error))
        except ModelFileError as error:  # the checkpoint is of no use; the weights are there without it
            self.hints = [f"It goes on from the weights alone, without the optimizer's memory: {error}"]
            arrays = {name: array.copy() for name, array in arrays_of(self.network).items()}
            self.begin_at(Moment(max(len(self.rows) - 1, 0), arrays, exact=False))
        except Exception as error:  # such as MemoryError: the session goes on, at the last good place
            self._halt(f"training stopped: {type(error).__name__}: {error}")

    def _fit(self) -> None:
        settings, weights = self.settings, None
        if self.network.class_weight is not None:
            weights = np.array(self.network.class_weight)[self.data.train[1]]
        resume, self._resume = self._resume, None
        fit(
            self.network,
            self.data,
            loss=self.loss,
            optimizer=self.optimizer,
            epochs=MOST_EPOCHS + 1,
            batch_size=settings.batch_size,
            rng=self.rng,
            augment=make_augmentation(settings.augment, self.data.image_shape),
            sample_weight=weights,
            callbacks=[self] if resume is None else [self, Snapshots()],  # which the checkpoint has
            resume=resume,
        )

    def _new_optimizer(self) -> Optimizer:
        s = self.settings
        name = "sgd" if s.optimizer == "nesterov" and not s.momentum else s.optimizer
        return make_optimizer(name, s.lr, s.momentum, s.weight_decay, s.clip_norm or None)

    def _restore(self, moment: Moment) -> None:
        """Write a moment into network, optimizer and generators; the settings are today's."""
        for name, array in arrays_of(self.network).items():
            if name in moment.arrays:
                array[...] = moment.arrays[name]
        self.optimizer = self._new_optimizer()
        kept = moment.optimizer
        if kept and kept["type"] == type(self.optimizer).__name__:
            self.optimizer.load_state_dict({**kept, "settings": {}})
        if moment.rng:
            self.rng.bit_generator.state = moment.rng
        generators = random_generators(self.network)
        if len(generators) == len(moment.layer_rngs):
            for rng, saved in zip(generators, moment.layer_rngs, strict=True):
                rng.bit_generator.state = saved

    def on_start(self, state: TrainingState) -> None:
        self.state = state
        if self._start is not None:
            moment, self._start = self._start, None
            if moment.epoch + 1 < len(self.rows):  # what was said of later epochs holds no more
                self._diagnose.reset()
                self.hints = []
            self.rows = self.rows[: moment.epoch + 1]
            self.moments = {epoch: kept for epoch, kept in self.moments.items() if epoch <= moment.epoch}
            state.history = History(self.rows)
            state.epoch, state.batch_losses = moment.epoch, list(moment.batch_losses)
            state.epoch_rng_state = dict(moment.epoch_rng_state)
            if moment.batch_losses:  # an epoch ends as it began
                state.batch_size = moment.batch_size
            if not moment.batch_losses and moment.epoch not in self.moments:
                self._store(state)
        elif state.history.rows:  # of a checkpoint
            self.rows = state.history.rows
            self.optimizer.lr = self.settings.lr
            if not state.batch_losses:
                self._store(state)
        else:
            return
        self.tick += 1
        self._gate(state)

    def on_batch(self, state: TrainingState) -> None:
        self.tick += 1
        self._count("batch")
        if len(state.batch_losses) < state.batches_per_epoch:  # else the epoch's end is the gate
            self._gate(state)

    def on_epoch(self, state: TrainingState) -> str | None:
        self.tick += 1
        self.rows = state.history.rows
        if state.epoch <= MOST_DIAGNOSED:
            self._diagnose.on_epoch(state)
            self.hints = list(self._diagnose.messages.values())
        state.batch_size = self.settings.batch_size
        self._store(state)
        if state.epoch:
            self._count("epoch")
        with self._changed:  # as play() may come in between
            if self.until is not None and state.epoch >= self.until:
                self.playing = False
        if state.epoch >= MOST_EPOCHS:
            self.playing = False
            self.problem = (
                f"{MOST_EPOCHS} epochs are trained, the most that a session takes: save it, or rewind."
            )
        self._tell(None)
        self._gate(state)
        return None

    def _store(self, state: TrainingState) -> None:
        moment = Moment.of(state)
        if 2 * moment.nbytes <= LIMITS["snapshot_bytes"]:
            kept = {epoch: m for epoch, m in self.moments.items() if epoch < state.epoch}
            self.moments = thinned(kept | {state.epoch: moment})

    def _count(self, unit: str) -> None:
        """Count a batch or an epoch of those asked for; the last one pauses."""
        with self._changed:
            if self._steps is not None and self._steps[0] == unit:
                left = self._steps[1] - 1
                self._steps = (unit, left) if left else None
                self.playing = self.playing and left > 0

    def _gate(self, state: TrainingState) -> None:
        """Carry out commands, hand out a frame, and wait until training may go on.

        Commands behind one that goes elsewhere, as a branch's settings, are carried out there.
        """
        self.ready.set()
        told = False
        while True:
            while self._commands and not self._again:
                self._carry_out(state)
                told = False
            if self.wanted and self.tick != self.sent:
                self._hand_out(state.epoch, state.batch_losses)
            with self._changed:
                if not self._again and (self._commands or (self.wanted and self.tick != self.sent)):
                    continue
                if self._again or self.closed:
                    state.stop = AGAIN
                    return
                wait = self._wait()
                if wait == 0:
                    return
                if not told:
                    self._tell(None)
                    told = True
                self._changed.wait(wait)

    def _wait(self) -> float | None:
        """Return the seconds to wait before the next batch; None for ever."""
        if not self.playing or len(self.rows) > MOST_EPOCHS:
            return None
        if self.speed is None:
            return 0
        now = time.monotonic()
        if now < self._due:
            return self._due - now
        self._due = now + 1 / self.speed
        return 0

    def _carry_out(self, state: TrainingState) -> None:
        command, future = self._commands.popleft()
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(command(state))
        except Exception as error:
            future.set_exception(error)

    def _hand_out(self, epoch: int, losses: Sequence[float]) -> None:
        self.wanted, self.sent = False, self.tick
        loss = losses[-1] if losses and math.isfinite(losses[-1]) else None
        header = {"kind": "frame", "epoch": epoch, "batch": len(losses), "tick": self.tick, "loss": loss}
        arrays = arrays_of(self.network)
        if sum(array.size for array in arrays.values()) > MOST_SENT:
            arrays = {}
        self._tell(self._encode(header, arrays))

    def _halt(self, problem: str) -> None:
        """Say what is wrong, and wait for commands outside of ``fit``."""
        state = self.state
        if state is None:  # it did not even begin
            self.problem, self.closed = problem, True
            self.ready.set()
            self._tell(None)
            return
        self.problem, self.playing, self._steps = problem, False, None
        self.tick += 1
        self._tell(None)
        self._gate(state)
        if not self._again and not self.closed:  # on from the same place
            self.begin_at(Moment.of(state))
