"""Compile the training step: forward, loss, backward and update in one program."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable
from operator import attrgetter
from typing import Any

import numpy as np

from neocog.compilation.compiler import DTYPES, Compiler
from neocog.compilation.lowerings.losses import LossLowering, loss_lowering_of
from neocog.compilation.lowerings.optimizers import OptimizerLowering, optimizer_lowering_of
from neocog.compilation.nodes import Uncompilable
from neocog.compilation.state import State
from neocog.forking import renew_after_fork
from neocog.kernels import active_precision
from neocog.kernels.fused.program import SMALL, Memory, Program, Slot
from neocog.layers.base import Array, Layer
from neocog.losses import Loss, check_weights
from neocog.optimizers import Optimizer
from neocog.optimizers.base import CLIPPING_EPS

__all__ = ["CompiledStep"]

_BLOCK = 16384
"""Weights that one unit updates: few enough to share those of a small layer among the threads."""


class _Batch:
    """The program for batches of one shape."""

    def __init__(
        self, network: Layer, loss: Any, optimizer: Any, shape: tuple[int, ...], recompute: bool
    ) -> None:
        self.compiler = compiler = Compiler(
            network, shape, training=True, precision=active_precision(), recompute=recompute
        )
        self.program, self.network, self.optimizer = compiler.program, network, optimizer
        self.names = {id(array): name for name, array in network.params.items()}
        factors = optimizer.factors(network.params) if isinstance(optimizer, Optimizer) else {}
        self.loss = np.full(1, np.nan)
        # What the loss reads during a run, in Python or as an operation.
        self.targets, self.weights = Slot(), Slot()
        self.t: Any = None
        self.sample_weight: Any = None
        self.equal = np.full(shape[0], 1 / shape[0])  # each image's weight where none are given

        self.lowered_loss = loss_lowering_of(type(loss)) if len(compiler.end.array_shape) == 2 else None
        if self.lowered_loss is not None:
            compiler.lay_out(compiler.end)
            compiler.forward()
            self._add_loss(self.lowered_loss, loss)
        else:
            compiler.forward()
            self._call_loss(loss)
        self.update = optimizer_lowering_of(type(optimizer))
        clip_norm = optimizer.clip_norm if isinstance(optimizer, Optimizer) else None
        if clip_norm is not None and any(node.learns and node.layer.params for node in compiler.cuts):
            self.update = None  # the norm is that of all gradients, and some of them are Python's
        updates: list[int] = []

        def update(first: int) -> None:
            for node, key, gradient in compiler.gradients[first:]:
                weight = node.layer.params[key]
                if self.update is None:
                    gradient.kept = True  # for the step in Python
                else:
                    name = self.names[id(weight)]
                    factor = factors.get(name, 1.0)
                    updates.append(self._add_update(self.update, name, weight, gradient, factor))

        large = sum(array.nbytes for array in network.params.values()) > SMALL
        at_once = large and clip_norm is None and not compiler.cuts
        if at_once:
            compiler.backward(learned=update)  # the memory of each gradient is then used again
        else:  # when the norm is known, and nothing can fail any more
            compiler.backward()
            if clip_norm is not None and self.update is not None:
                self._add_clipping(clip_norm)
            update(0)
        self.program.finish()
        rows = [self.program.number[k] for k in updates]
        self.rows: Any = rows if at_once or not rows else slice(rows[0], rows[-1] + 1)  # which is quicker
        self.written: dict[str, float] = {}
        # 1 for a parameter with weight decay, else 0; and its factor of the learning rate.
        self.shares = {name: self.program.program[name][self.rows].copy() for name in ("decay", "lr")}

    def _add_loss(self, lowered: LossLowering, loss: Any) -> None:
        """Compute loss and derivative by an operation; stop before Python code if the loss is not finite."""
        z = self.compiler.end.place
        dz = self.compiler.gradient_maps(self.compiler.end)
        self.program.add_units(
            lowered.operation,
            1,
            40.0 * z.C * z.N,
            z=z.origin,
            dz=dz.origin,
            loss=self.loss,
            targets=self.targets,
            sample_weight=self.weights,
            C=z.C,
            N=z.N,
            **lowered.fields(loss, z.C),
        )
        if self.compiler.cuts:
            self.program.cut()
            self.program.call(lambda: not math.isfinite(self.loss[0]))

    def _call_loss(self, loss: Loss) -> None:
        """Cut the program, and compute loss and derivative in Python; stop if the loss is not finite."""
        compiler, end = self.compiler, self.compiler.end
        compiler.hand_out(end)
        self.program.cut()

        def call() -> bool:
            extra = () if self.sample_weight is None else (self.sample_weight,)
            value, dz = loss(end.array, self.t, *extra)
            self.loss[0] = value
            if not math.isfinite(value):
                return True
            if take is None:
                end.gradient_array = dz
            else:
                take(dz)
            return False

        self.program.call(call)
        take = None
        if end.laid_out:
            take = compiler.take_in(end, compiler.gradient_maps(end), "the derivative of the loss")

    def _add_clipping(self, clip_norm: float) -> None:
        """Scale all gradients down to a global norm; they stay in memory until the norm is known."""
        program = self.program
        sizes = [node.layer.params[key].size for node, key, _ in self.compiler.gradients]
        blocks = [-(-size // _BLOCK) for size in sizes]
        squares, factor = program.memory(sum(blocks), 8), program.memory(1, 8)
        gradients = [gradient for _, _, gradient in self.compiler.gradients]
        part = 0
        for gradient, size, units in zip(gradients, sizes, blocks, strict=True):
            fields = {"gradient": gradient, "count": size, "block": _BLOCK}
            program.add_units("gradient_squares", units, 2.0 * size, squares=squares, part=part, **fields)
            part += units
        program.add_units(
            "gradient_norm",
            1,
            1.0 * part,
            squares=squares,
            factor=factor,
            count=part,
            clip_norm=clip_norm,
            eps=CLIPPING_EPS,
        )
        for gradient, size, units in zip(gradients, sizes, blocks, strict=True):
            fields = {"gradient": gradient, "count": size, "block": _BLOCK}
            program.add_units("clip_gradient", units, 1.0 * size, factor=factor, **fields)

    def _add_update(
        self, update: OptimizerLowering, name: str, weight: np.ndarray, gradient: Memory, factor: float
    ) -> int:
        optimizer = self.optimizer
        memories: dict[str, Any] = {
            memory: _remembered(optimizer, memory, name, weight) for memory in update.memories(optimizer)
        }
        return self.program.add_units(
            update.operation,
            -(-weight.size // _BLOCK),
            update.flops * weight.size,
            weight=weight,
            gradient=gradient,
            count=weight.size,
            block=_BLOCK,
            loss=self.loss,
            decay=float(optimizer.decays(name, weight)),
            lr=factor,
            **update.fields(optimizer),
            **memories,
        )

    def write_numbers(self) -> None:
        """Write the numbers that change from step to step into the rows."""
        if self.update is None:
            return
        optimizer, table, written = self.optimizer, self.program.program, self.written
        numbers = self.update.numbers(optimizer)
        numbers["lr"], numbers["decay"] = optimizer.current_lr, optimizer.weight_decay
        for name, value in numbers.items():
            if written.get(name) != value:
                written[name] = value
                table[name][self.rows] = self.shares[name] * value if name in self.shares else value

    def finish_step(self) -> None:
        """Count the step, and let the optimizer update what the program has not updated."""
        compiler = self.compiler
        if self.update is not None and not compiler.parameter_gradients:
            self.optimizer.steps += 1
            return
        gradients = {
            self.names.get(id(node.layer.params.get(key)), f"{node.name}.{key}"): gradient
            for (node, key), gradient in compiler.parameter_gradients.items()
        }
        if self.update is None:
            for node, key, memory in compiler.gradients:
                weight = node.layer.params[key]
                gradient = self.program.array(memory)[: weight.size].reshape(weight.shape)
                gradients[self.names[id(weight)]] = gradient.copy()
        self.optimizer.step(self.network.params, gradients)


def _reader(names: tuple[str, ...]) -> Callable[[Any], Any]:
    """Return a fast function that reads attributes of an object; it is called in every step."""
    return attrgetter(*names) if names else lambda _: None


def _remembered(optimizer: Optimizer, memory: str, name: str, weight: np.ndarray) -> np.ndarray:
    """Return an array of the optimizer's state for a parameter, which the program can write into."""
    array: np.ndarray = optimizer.recall(memory, name, weight)
    if array.dtype != weight.dtype or not (array.flags.c_contiguous and array.flags.writeable):
        raise Uncompilable("an optimizer that has trained a network of another type")
    return array


class CompiledStep:
    """One training step, ``value = step(x, t, sample_weight)``.

    It updates the network's own parameters and the optimizer's own state. A layer, a loss or an
    optimizer without a compiled form runs in Python.

    Parameters
    ----------
    network : Layer
    loss : Loss
    optimizer : Optimizer
    checkpoint_activations : bool
        See :func:`neocog.fit`; what runs in Python is not computed again.

    Raises
    ------
    Uncompilable
        If no layer of the network has a compiled form, or a layer with parameters occurs twice.
    """

    _KEPT = 4  # shapes of batches whose programs are kept, as whole ones and a last short one

    def __init__(
        self, network: Layer, loss: Any, optimizer: Any, checkpoint_activations: bool = False
    ) -> None:
        if network.dtype not in DTYPES:
            raise Uncompilable(f"parameters of type {network.dtype}")
        self.network, self.loss, self.optimizer = network, loss, optimizer
        self.checkpoint_activations = checkpoint_activations
        lowered_loss, update = loss_lowering_of(type(loss)), optimizer_lowering_of(type(optimizer))
        self._loss_settings = _reader(lowered_loss.settings if lowered_loss else ())
        own = ("decay_all", "clip_norm", "rates") if isinstance(optimizer, Optimizer) else ()
        self._optimizer_settings = _reader((*own, *(update.settings if update else ())))
        self._lock = threading.Lock()
        self._forget()
        renew_after_fork(self)

    def renew(self) -> None:
        """Make a lock of this process's own; a program that another thread was running is dropped."""
        if self._lock.locked():
            self._lock = threading.Lock()
            self._batches.clear()
            self._memories.clear()

    def __reduce__(self) -> Any:
        return CompiledStep, (self.network, self.loss, self.optimizer, self.checkpoint_activations)

    def _forget(self) -> None:
        self._batches: OrderedDict[tuple[int, ...], _Batch] = OrderedDict()
        self._state, self._settings = State(self.network), self._chosen()
        self._memories: list[tuple[dict[str, Any], str, Any]] = []

    def _chosen(self) -> tuple[Any, ...]:
        """Return the settings of the loss and the optimizer that a program is compiled with."""
        return active_precision(), self._loss_settings(self.loss), self._optimizer_settings(self.optimizer)

    def _current(self) -> bool:
        """Return whether network, loss and optimizer are still what was compiled."""
        for owner, name, array in self._memories:
            if owner.get(name) is not array:
                return False
        return self._chosen() == self._settings and self._state.current()

    def _batch(self, shape: tuple[int, ...]) -> _Batch:
        batch = self._batches.get(shape)
        if batch is None:
            batch = self._batches[shape] = _Batch(
                self.network, self.loss, self.optimizer, shape, self.checkpoint_activations
            )
            if len(self._batches) > self._KEPT:
                self._batches.popitem(last=False)
            if batch.update is not None:
                memories = self.optimizer.state
                self._memories = [
                    (vars(self.optimizer), "state", memories),
                    *((memories, memory, arrays) for memory, arrays in memories.items()),
                    *(
                        (arrays, name, array)
                        for arrays in memories.values()
                        for name, array in arrays.items()
                    ),
                ]
        return batch

    def __call__(self, x: Array, t: Array, sample_weight: Array | None = None) -> float:
        """Update the weights, unless the loss is not finite; return the loss before the update."""
        with self._lock:  # a program has one memory
            return self._step(x, t, sample_weight)

    def _step(self, x: Array, t: Array, sample_weight: Array | None) -> float:
        if not self._current():
            self._forget()
        dtype = self._state.dtype
        if not isinstance(x, np.ndarray) or x.dtype.kind != "f" or not x.size:
            raise Uncompilable("a batch that is not one NumPy array of floating point images")
        if x.dtype != dtype or not x.flags.c_contiguous:
            x = np.ascontiguousarray(x, dtype)
        batch = self._batch(x.shape)
        if batch.compiler.cuts and not batch.compiler.shapes_hold():
            self._forget()
            batch = self._batch(x.shape)
        if batch.lowered_loss is None:
            batch.t, batch.sample_weight = t, sample_weight
        else:
            t = self._targets(batch, batch.lowered_loss, np.asarray(t))
            batch.program.bind(batch.targets, t)
            share = batch.equal if sample_weight is None else check_weights(sample_weight, len(x)) / len(x)
            batch.program.bind(batch.weights, share)
        batch.write_numbers()
        try:
            batch.compiler.run(x)
        finally:
            batch.t = batch.sample_weight = None
        value: float = batch.loss.item()
        if math.isfinite(value):
            batch.finish_step()
        elif batch.lowered_loss is not None:
            self._check_targets(batch, t)
        return value

    def operations(self, shape: tuple[int, ...]) -> list[str]:
        """Return the names of the operations of a step on a batch of this shape, in order."""
        return list(self._program(shape).operations)

    def bytes(self, shape: tuple[int, ...]) -> int:
        """Return the bytes of all values and gradients of a step on a batch of this shape."""
        return self._program(shape).bytes

    def _program(self, shape: tuple[int, ...]) -> Program:
        with self._lock:
            if not self._current():
                self._forget()
            return self._batch(tuple(shape)).program

    def _targets(self, batch: _Batch, lowered: LossLowering, t: Array) -> Array:
        """Return the targets as the program reads them."""
        N, K = batch.compiler.end.array_shape
        targets = lowered.targets(t, (N, K), batch.program.dtype)
        if targets is None:
            self._check_targets(batch, t)
            raise ValueError(f"targets of shape {t.shape} do not fit outputs of shape {(N, K)}.")
        return targets

    def _check_targets(self, batch: _Batch, t: Array) -> None:
        """Raise the loss's own error for invalid targets."""
        self.loss.targets(tuple(batch.compiler.end.array_shape), t)
