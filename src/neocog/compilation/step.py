"""The training step, compiled: forward, loss, backward and update in one program."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from typing import Any

import numpy as np

from neocog.compilation.compiler import Compiler
from neocog.compilation.tracing import State, Uncompilable
from neocog.kernels import active_precision
from neocog.kernels.fused.program import Program, Slot
from neocog.layers import BatchNorm1D, BatchNorm2D
from neocog.layers.base import Array, Layer, as_dtype
from neocog.losses import MeanSquaredError, SoftmaxCrossEntropy, check_weights
from neocog.optimizers import SGD, Adam, AdamW, Optimizer

__all__ = ["CompiledStep"]

_BLOCK = 16384
_LOSSES = {SoftmaxCrossEntropy: "softmax_cross_entropy", MeanSquaredError: "mean_squared_error"}


class _Batch:
    """The program for batches of one shape."""

    def __init__(
        self,
        network: Layer,
        loss: SoftmaxCrossEntropy | MeanSquaredError,
        optimizer: Optimizer,
        shape: tuple[int, ...],
    ) -> None:
        self.compiler = compiler = Compiler(
            network, shape, training=True, exact=active_precision() == "exact"
        )
        self.program = program = compiler.program
        self.targets, self.weights = Slot(), Slot()
        self.equal = np.full(shape[0], 1 / shape[0])  # each image's share where no weights are given
        self.loss = np.full(1, np.nan)
        for node in compiler.nodes:
            _, H, W = node.output.shape
            if isinstance(node.layer, BatchNorm1D | BatchNorm2D) and shape[0] * H * W == 1:
                raise Uncompilable("batch norm of one value")
        z = compiler.forward()
        if len(network.output_shape(shape)) != 2:
            raise Uncompilable("outputs that are not (N, K)")
        dz = compiler.gradient_maps(compiler.end)
        program.add_units(
            _LOSSES[type(loss)],
            1,
            40.0 * z.C * z.N,
            z=z.origin,
            dz=dz.origin,
            loss=self.loss,
            targets=self.targets,
            sample_weight=self.weights,
            C=z.C,
            N=z.N,
            smoothing=getattr(loss, "label_smoothing", None),
        )
        compiler.backward()
        names = {id(array): name for name, array in network.params.items()}
        first = last = len(program.rows)
        for node, key, gradient in compiler.gradients:
            weight = node.layer._params[key]
            last = self._update(program, optimizer, names[id(weight)], weight, gradient)
        program.finish()
        self.rows = program.program[program.number[first] : program.number[last] + 1]
        self.chosen: Any = None
        self.decays = self.rows["decay"].copy()  # 1 where a parameter decays

    def _update(
        self, program: Program, optimizer: Optimizer, name: str, weight: np.ndarray, gradient: Any
    ) -> int:
        decays = optimizer.decays(name, weight)
        fields: dict[str, Any] = {
            "weight": weight,
            "gradient": gradient,
            "count": weight.size,
            "block": _BLOCK,
            "loss": self.loss,
            "decay": float(decays),
        }
        units = -(-weight.size // _BLOCK)
        if isinstance(optimizer, SGD):
            if optimizer.momentum:
                fields["velocity"] = _remembered(optimizer, "velocity", name, weight)
            return program.add_units(
                "sgd", units, 4.0 * weight.size, nesterov=int(optimizer.nesterov), **fields
            )
        fields["mean"] = _remembered(optimizer, "mean", name, weight)
        fields["square"] = _remembered(optimizer, "square", name, weight)
        return program.add_units(
            "adam", units, 12.0 * weight.size, decoupled=int(isinstance(optimizer, AdamW)), **fields
        )


def _remembered(optimizer: Optimizer, memory: str, name: str, weight: np.ndarray) -> np.ndarray:
    """Return what the optimizer remembers of a parameter, an array that can be written into as it lies."""
    array: np.ndarray = optimizer._recall(memory, name, weight)
    if array.dtype != weight.dtype or not (array.flags.c_contiguous and array.flags.writeable):
        raise Uncompilable("an optimizer that has trained a network of another type")
    return array


class CompiledStep:
    """``value = step(x, t, weight)``: one training step.

    What moves are the network's own parameters and the optimizer's own state.

    Parameters
    ----------
    network : Layer
    loss : SoftmaxCrossEntropy or MeanSquaredError
    optimizer : SGD, Adam or AdamW

    Raises
    ------
    Uncompilable
        If one of them, or a layer, has no compiled form.
    """

    _KEPT = 4

    def __init__(self, network: Layer, loss: Any, optimizer: Optimizer) -> None:
        if type(loss) not in _LOSSES or type(optimizer) not in (SGD, Adam, AdamW):
            raise Uncompilable(f"{type(loss).__name__} with {type(optimizer).__name__}")
        if network.dtype not in (np.dtype(np.float32), np.dtype(np.float64)):
            raise Uncompilable(f"parameters of type {network.dtype}")
        self.network, self.loss, self.optimizer = network, loss, optimizer
        self._lock = threading.Lock()
        self._forget()

    def __reduce__(self) -> Any:
        return CompiledStep, (self.network, self.loss, self.optimizer)

    def _forget(self) -> None:
        self._batches: OrderedDict[tuple[int, ...], _Batch] = OrderedDict()
        self._state, self._settings = State(self.network), self._chosen()
        self._memories: list[tuple[dict[str, Any], str, Any]] = []

    def _chosen(self) -> tuple[Any, ...]:
        """What a program has taken over from the loss and the optimizer."""
        optimizer = self.optimizer
        return (
            active_precision(),
            getattr(self.loss, "label_smoothing", 0.0),
            optimizer.decay_all,
            getattr(optimizer, "momentum", 0),
            getattr(optimizer, "nesterov", False),
        )

    def _current(self) -> bool:
        """Whether network, loss and optimizer are still what was compiled."""
        for owner, name, array in self._memories:
            if owner.get(name) is not array:
                return False
        return self._chosen() == self._settings and self._state.current()

    def _batch(self, shape: tuple[int, ...]) -> _Batch:
        batch = self._batches.get(shape)
        if batch is None:
            batch = self._batches[shape] = _Batch(self.network, self.loss, self.optimizer, shape)
            if len(self._batches) > self._KEPT:
                self._batches.popitem(last=False)
            memories = self.optimizer.state
            self._memories = [(memories, memory, arrays) for memory, arrays in memories.items()] + [
                (arrays, name, array) for arrays in memories.values() for name, array in arrays.items()
            ]
        return batch

    def _write_settings(self, batch: _Batch) -> None:
        """Write the numbers that change from step to step."""
        optimizer = self.optimizer
        rows = batch.rows
        chosen = optimizer.current_lr, optimizer.weight_decay
        if chosen != batch.chosen:
            batch.chosen = chosen
            rows["lr"] = chosen[0]
            rows["decay"] = batch.decays * chosen[1]
            if isinstance(optimizer, SGD):
                rows["momentum"] = optimizer.momentum
        if isinstance(optimizer, Adam):
            steps = optimizer.steps + 1
            rows["beta1"], rows["beta2"] = optimizer.betas
            rows["eps"] = optimizer.eps
            rows["correction1"] = 1 - optimizer.betas[0] ** steps
            rows["correction2"] = 1 - optimizer.betas[1] ** steps

    def __call__(self, x: Array, t: Array, weight: Array | None = None) -> float:
        """Move the weights by one step, unless the loss is not finite; return the loss before it."""
        with self._lock:  # a program has one memory
            return self._step(x, t, weight)

    def _step(self, x: Array, t: Array, weight: Array | None) -> float:
        if not self._current():
            self._forget()
        dtype = self._state.dtype
        if x.dtype != dtype or not x.flags.c_contiguous:
            x = np.ascontiguousarray(as_dtype(x, dtype))
        if x.dtype != dtype or not x.size:
            raise Uncompilable("a batch without images, or of complex numbers")
        batch = self._batch(x.shape)
        compiler, program = batch.compiler, batch.program
        program.bind(compiler.x, x)
        program.bind(batch.targets, t := self._targets(batch, np.asarray(t)))
        share = batch.equal if weight is None else check_weights(weight, len(x)) / len(x)
        program.bind(batch.weights, share)
        masks = []  # to be kept alive
        for layer, shape, slot in compiler.masks:
            masks.append(((layer.rng.random(shape) >= layer.p) / (1 - layer.p)).astype(dtype))
            program.bind(slot, masks[-1])
        self._write_settings(batch)
        program.run()
        value: float = batch.loss.item()
        if math.isfinite(value):
            self.optimizer.steps += 1
        else:
            self._explain(batch, t)
        return value

    def _targets(self, batch: _Batch, t: Array) -> Array:
        """Return the targets as the program reads them: int64 labels (N,), or numbers (N, K)."""
        dtype: np.dtype[Any] | None
        if isinstance(self.loss, SoftmaxCrossEntropy):
            # The program itself finds a label that is no class: see _explain.
            fits, dtype = t.dtype.kind in "iu" and t.shape == (batch.compiler.N,), np.dtype("int64")
        else:
            fits, dtype = t.shape == (batch.compiler.N, batch.compiler.end.shape[0]), self.network.dtype
        if not fits:
            self._explain(batch, t)
        return t if t.dtype == dtype and t.flags.c_contiguous else np.ascontiguousarray(t, dtype)

    def _explain(self, batch: _Batch, t: Array) -> None:
        """Raise what the loss raises, if these are no targets."""
        self.loss.targets((batch.compiler.N, batch.compiler.end.shape[0]), t)
