"""Train by PyTorch: its autograd computes the gradients, on a CPU or a GPU, in one process or several."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from neocog.interop.engine import Engine
from neocog.interop.torch.distributed import Group, share_batch_statistics
from neocog.interop.torch.exporting import load_from_torch, to_array, to_torch
from neocog.interop.torch.graph_builder import UnsupportedError
from neocog.interop.torch.layer_modules import transposed
from neocog.layers import Container, Dropout, Layer
from neocog.losses import BinaryCrossEntropy, Loss, MeanSquaredError, SoftmaxCrossEntropy, check_weights
from neocog.optimizers import Optimizer

__all__ = ["TorchEngine"]

_EVALUATION_BATCH = 256
_LOSSES = (SoftmaxCrossEntropy, BinaryCrossEntropy, MeanSquaredError)


class TorchEngine(Engine):
    """The engine of ``neocog.fit(..., engine="torch")``.

    The network, built as an ``nn.Module``, runs forward and backward in PyTorch. The update is neocog's
    own optimizer, whose formulas work on tensors as they do on arrays, so that momentum under a schedule and
    the decay mean the same, and its memory can go into a checkpoint and out of it under either engine.

    Batch norms of several processes take the statistics of the whole batch; a layer of the user's own that
    has no counterpart in PyTorch sees only the part of its process.

    Parameters
    ----------
    network : Layer
    loss : SoftmaxCrossEntropy, BinaryCrossEntropy or MeanSquaredError
    optimizer : Optimizer
    device : str, optional
        As in ``torch.device``; "cuda" is each process's own GPU.

    Raises
    ------
    UnsupportedError
        If the loss has no counterpart in PyTorch.
    ValueError
        If there is no such device.
    """

    def __init__(self, network: Layer, loss: Loss, optimizer: Optimizer, device: str | None = None) -> None:
        if type(loss) not in _LOSSES:
            names = ", ".join(each.__name__ for each in _LOSSES)
            raise UnsupportedError(
                f"loss must be one of {names} for engine='torch', got a {type(loss).__name__}."
            )
        self.network, self.neocogs_optimizer = network, optimizer
        self.loss: Any = loss
        self.dtype = network.dtype or np.dtype(np.float32)
        self.group = Group()
        self.leads = self.group.rank == 0
        self.device = _device(device, self.group)
        self._build()

    def _build(self) -> None:
        """Build the module from the layers' present settings and weights."""
        self.module = to_torch(self.network).to(self.device)
        self.parameters = dict(self.module.named_parameters())
        self.transposed = transposed(self.network)
        self._layers, self._frozen = _layer_settings(self.network), self.network.frozen

    def _spread(self) -> None:
        """Wrap the module so that the processes share each batch."""
        self.parallel: nn.Module = self.module
        if self.group.size > 1 and self.parameters:
            self.module = share_batch_statistics(self.module)
            with self.group.watched():
                self.parallel = DistributedDataParallel(self.module)

    def __enter__(self) -> Self:
        self.group.join(self.device)
        self._spread()
        self.optimizer: Any = copy.copy(self.neocogs_optimizer)
        self.optimizer.zeros_like = torch.zeros_like
        self.optimizer.state = {
            memory: {name: self._tensor(self._turned(name, array)) for name, array in arrays.items()}
            for memory, arrays in self.neocogs_optimizer.state.items()
        }
        drops = [layer.rng for _, layer in self.network.leaves() if isinstance(layer, Dropout)]
        self._drops = drops[0] if drops else None
        # Each step has a seed of its own, so that a resumed run drops what it would have dropped.
        self.seed = None if self._drops is None else int(copy.deepcopy(self._drops).integers(2**62))
        self._brought = self._arrays(copied=True)
        self._settings = _settings(self.neocogs_optimizer)
        return self

    def __exit__(self, kind: Any, *rest: Any) -> None:
        if kind is not None:
            return
        if self._drops is not None:
            self._drops.integers(2**62)  # another run draws other masks
        if self.group.size > 1:  # all processes have the weights as the leader's callbacks left them
            for array in self._arrays().values():
                array[...] = to_array(self.group.tensor_from_leader(self._tensor(array)))

    def _arrays(self, copied: bool = False) -> dict[str, np.ndarray]:
        """Return the network's parameters and buffers by name."""
        arrays = {**self.network.params, **self.network.buffers}
        return {name: array.copy() for name, array in arrays.items()} if copied else arrays

    def _turned(self, name: str, array: np.ndarray) -> np.ndarray:
        """Convert an array between neocog's and PyTorch's order of axes, in either direction."""
        return array.T if name in self.transposed else array

    def _tensor(self, array: Any, dtype: Any = None) -> Tensor:
        return torch.tensor(np.ascontiguousarray(array, dtype), device=self.device)

    def begin(self, rng: np.random.Generator, alike: Callable[[], Mapping[str, Any]]) -> None:
        """Give all processes the leader's random state; ValueError if their arguments differ from its."""
        if self.group.size == 1:
            return
        mine = dict(alike())
        leaders, state = self.group.from_leader((mine, rng.bit_generator.state), self.device)
        differing = [name for name in mine if mine[name] != leaders[name]]
        if self.group.largest(int(bool(differing)), self.device):
            names = ", ".join(differing)
            which = f"rank {self.group.rank} differs in {names}" if differing else "another one differs"
            raise ValueError(f"all processes must be given the same as the first; {which}.")
        rng.bit_generator.state = state

    def step(self, x: Any, t: Any, sample_weight: Any = None) -> float:
        """Return the loss of a batch, of which this process computes its part; update the weights."""
        N = len(x)
        share = np.full(N, 1 / N) if sample_weight is None else check_weights(sample_weight, N) / N
        mine = slice(self.group.rank, None, self.group.size)
        self._train()
        with torch.enable_grad(), self._random_numbers(), self.group.watched():
            z = self.parallel(self._tensor(x[mine], self.dtype))
            t = self.loss.targets((N, *z.shape[1:]), t)
            part = (self._losses(z, t[mine]) * self._tensor(share[mine], self.dtype)).sum()
            value = float(self.group.total(part.detach().clone()))
            if math.isfinite(value) and self.parameters:
                for parameter in self.parameters.values():
                    parameter.grad = None
                (part * self.group.size).backward()  # type: ignore[no-untyped-call]  # DDP takes the mean
                self._update()
        return value

    def _train(self) -> None:
        """Set the module to training, and what is frozen in inference to evaluation."""
        self.module.train()
        parts = dict(self.module.named_modules())
        for name, inference in self._frozen.items():
            if inference and name in parts:
                parts[name].eval()

    def _update(self) -> None:
        self.optimizer.__dict__.update(_settings(self.neocogs_optimizer))
        gradients = {name: p.grad for name, p in self.parameters.items() if p.grad is not None}
        with torch.no_grad():
            self.optimizer.step(self.parameters, gradients)
        self.neocogs_optimizer.steps = self.optimizer.steps

    @contextlib.contextmanager
    def _random_numbers(self) -> Iterator[None]:
        """Seed PyTorch's generators for this step if the network has dropout, and restore them afterwards."""
        if self.seed is None:
            yield
            return
        with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
            torch.manual_seed((self.seed + self.optimizer.steps * self.group.size + self.group.rank) % 2**63)
            yield

    def _losses(self, z: Tensor, t: Any) -> Tensor:
        """Compute the loss of each image."""
        if isinstance(self.loss, SoftmaxCrossEntropy):
            smoothing = self.loss.label_smoothing
            return functional.cross_entropy(
                z, self._tensor(t, np.int64), reduction="none", label_smoothing=smoothing
            )
        if isinstance(self.loss, BinaryCrossEntropy):
            q, weights = self.loss.smoothed(self.loss.targets(tuple(z.shape), t), self.dtype)
            return functional.binary_cross_entropy_with_logits(
                z, self._tensor(q, self.dtype), reduction="none", pos_weight=self._tensor(weights, self.dtype)
            ).mean(1)
        return ((z - self._tensor(t, self.dtype)) ** 2).flatten(1).mean(1)

    def evaluate(self, x: Any, t: Any, sample_weight: Any = None) -> tuple[float, float]:
        """Return mean loss and accuracy in inference; the processes share the batches."""
        weights = np.ones(len(t)) if sample_weight is None else sample_weight
        sums = torch.zeros(3, dtype=torch.float64)
        self.module.eval()
        with torch.inference_mode():
            starts = range(0, len(t), _EVALUATION_BATCH)
            for start in starts[self.group.rank :: self.group.size]:
                part = slice(start, start + _EVALUATION_BATCH)
                z = self.module(self._tensor(x[part], self.dtype))
                self.loss.targets(z.shape, t[part])
                counts = self._tensor(weights[part], self.dtype)
                losses = torch.where(counts > 0, self._losses(z, t[part]) * counts, 0.0)
                sums += torch.stack((losses.sum(), self._right(z, t[part]) @ counts, counts.sum())).cpu()
        if self.group.size > 1:
            sums = self.group.total(sums.to(self.device))
        loss, right, count = sums.tolist()
        return loss / count, right / count

    def _right(self, z: Tensor, t: Any) -> Tensor:
        """Return 1 for each image classified correctly, else 0; NaN in a regression."""
        if isinstance(self.loss, SoftmaxCrossEntropy):
            return (z.argmax(1) == self._tensor(t, np.int64)).to(z.dtype)
        if isinstance(self.loss, BinaryCrossEntropy):
            t = self.loss.targets(tuple(z.shape), t)
            return ((z > 0) == (self._tensor(t, self.dtype) > 0.5)).all(1).to(z.dtype)
        return z.new_full((len(z),), math.nan)

    def synchronize(self) -> None:
        """Copy weights, running statistics and the optimizer's memory back into neocog's arrays."""
        load_from_torch(self.network, self.module)
        self._brought = self._arrays(copied=True)
        self.neocogs_optimizer.state = {
            memory: {name: self._turned(name, to_array(tensor)).copy() for name, tensor in tensors.items()}
            for memory, tensors in self.optimizer.state.items()
        }

    def follow(self) -> None:
        """Apply the changes that callbacks made to weights and settings, in all processes."""
        layer_settings = _layer_settings(self.network)
        layers = {name: new for name, new in layer_settings.items() if new != self._layers.get(name)}
        frozen = None if self.network.frozen == self._frozen else self.network.frozen
        layers, frozen = self.group.from_leader((layers, frozen), self.device)
        if frozen is not None and isinstance(self.network, Container):
            self.network.freeze_only(frozen)
        if layers or frozen is not None:
            for name, layer in self.network.leaves():
                now = layer.config()
                for key, value in layers.get(name, {}).items():
                    if now[key] != value:
                        setattr(layer, key, value)
            self._build()
            self._spread()
        arrays = self._arrays()
        tensors = dict(self.module.named_parameters()) | dict(self.module.named_buffers())
        changed = [name for name, array in arrays.items() if not np.array_equal(array, self._brought[name])]
        # Only what has changed is sent, as a schedule may be a function that cannot be.
        now, before = _settings(self.neocogs_optimizer), self._settings
        settings = {name: value for name, value in now.items() if value is not before.get(name)}
        changed, settings = self.group.from_leader((changed, settings), self.device)
        self.neocogs_optimizer.__dict__.update(settings)
        self._settings = _settings(self.neocogs_optimizer)
        with torch.no_grad():
            for name in changed:
                new = self._tensor(self._turned(name, arrays[name]))
                tensors[name].copy_(self.group.tensor_from_leader(new))

    def agree(self, stop: str) -> str:
        """Return why all processes stop; empty if none asked to."""
        reasons = ["", "another process requested a stop", "interrupted"]
        mine = reasons.index(stop) if stop in reasons else 1
        agreed = self.group.largest(mine, self.device)
        return stop if mine == agreed else reasons[agreed]


def _settings(optimizer: Optimizer) -> dict[str, Any]:
    """Return the attributes of an optimizer that a user may change during training."""
    return {name: value for name, value in vars(optimizer).items() if name not in ("state", "zeros_like")}


def _layer_settings(network: Layer) -> dict[str, dict[str, Any]]:
    """Return the settings of the layers, which a user may change during training."""
    return {name: layer.config() for name, layer in network.leaves()}


def _device(device: str | None, group: Group) -> torch.device:
    """Return the device, "cuda" meaning this process's own GPU; raise ValueError if it does not exist."""
    if group.size > 1 and device is not None and ":" in device:
        raise ValueError(
            f"device must leave the choice of the GPU to each process, as 'cuda', got {device!r}."
        )
    try:
        found = torch.zeros(1, device=f"cuda:{group.local_rank}" if device == "cuda" else device or "cpu")
        found.item()  # which not all devices can
    except (RuntimeError, AssertionError) as error:
        text = str(error).splitlines()[0]
        raise ValueError(f"device must be one that PyTorch has here, got {device!r}: {text}") from None
    return found.device
