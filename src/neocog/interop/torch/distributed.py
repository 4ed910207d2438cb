"""Coordinate several processes that train one network together, as ``torchrun`` starts them."""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import re
from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed.nn  # imported before joining, as its default arguments would keep the group alive
from torch import Tensor, distributed, nn

from neocog.interop import processes

__all__ = ["Group", "WorkerLostError", "share_batch_statistics"]


class WorkerLostError(ConnectionError):
    """Another process of the job has ended; the last checkpoint remains."""


_SIGNS = re.compile(r"gloo|Connection (closed|reset|refused)|Broken pipe|remote process|[Tt]imed out")


class Group:
    """The processes of the job: one, unless ``torchrun`` or a similar launcher has started several.

    Attributes
    ----------
    rank, size : int
        The number of this process, and the count of all.
    local_rank : int
        The number of this process on its machine, which is that of its GPU.
    """

    def __init__(self) -> None:
        self.rank, self.size = processes()
        self.local_rank = int(os.environ.get("LOCAL_RANK", 0)) if self.size > 1 else 0

    def join(self, device: torch.device) -> None:
        """Join the process group until the process ends, by ``gloo`` for CPUs and ``nccl`` for GPUs.

        A process cannot leave and join again: the addresses of the first time would still be in use.
        """
        if self.size == 1 or distributed.is_initialized():
            return
        with self.watched():
            distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
        atexit.register(_leave)

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Turn a broken connection to another process into a WorkerLostError."""
        try:
            yield
        except RuntimeError as error:
            text = str(error)
            if self.size > 1 and _SIGNS.search(text):
                raise WorkerLostError(
                    f"process {self.rank} of {self.size} has lost another one; training cannot go on, but "
                    f"can be resumed from its last checkpoint ({text.splitlines()[0]})."
                ) from error
            raise

    def total(self, values: Tensor) -> Tensor:
        """Sum a tensor over the processes, in place, entry by entry."""
        if self.size > 1:
            with self.watched():
                distributed.all_reduce(values)
        return values

    def largest(self, value: int, device: torch.device) -> int:
        """Return the largest of the processes' numbers."""
        if self.size == 1:
            return value
        number = torch.tensor(value, device=device)
        with self.watched():
            distributed.all_reduce(number, distributed.ReduceOp.MAX)
        return int(number)

    def from_leader(self, thing: Any, device: torch.device) -> Any:
        """Return the leader's object in every process."""
        if self.size == 1:
            return thing
        things = [thing]
        with self.watched():
            distributed.broadcast_object_list(things, 0, device=device)
        return things[0]

    def tensor_from_leader(self, tensor: Tensor) -> Tensor:
        """Overwrite a tensor with the leader's, and return it."""
        if self.size > 1:
            with self.watched():
                distributed.broadcast(tensor, 0)
        return tensor


def _leave() -> None:
    """End the group and its threads, which must not outlive the interpreter: they would abort the process."""
    gc.collect()  # a DistributedDataParallel in a cycle holds the group
    if distributed.is_initialized():  # a script may have ended it itself, as PyTorch's documentation asks
        distributed.destroy_process_group()


class _Total(torch.autograd.Function):
    """Compute ``y = sum over processes of x``; its derivative is the same sum of the ``dy``."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = x.clone()
        distributed.all_reduce(y)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        dx = grads[0].clone()
        distributed.all_reduce(dx)
        return dx


def _total(x: Tensor) -> Tensor:
    y: Tensor = _Total.apply(x)  # type: ignore[no-untyped-call]
    return y


class _GroupBatchNorm(nn.Module):
    """Normalize by the statistics of the whole batch, of which each process has a part.

    ``torch.nn.SyncBatchNorm`` supports GPUs only.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> None:
        super().__init__()
        self.weight, self.bias = norm.weight, norm.bias
        self.eps, self.momentum = norm.eps, norm.momentum or 0.0
        for name, buffer in norm.named_buffers():
            self.register_buffer(name, buffer)

    def forward(self, x: Tensor) -> Tensor:
        axes = [0, *range(2, x.ndim)]
        shape = (-1, *(1,) * (x.ndim - 2))
        if self.training:
            count = _total(x.new_tensor(x.numel() // x.shape[1]))
            if count <= 1:
                raise ValueError("batch norm needs more than one value per channel, got 1 in all processes.")
            mean = _total(x.sum(axes)) / count
            var = _total(((x - mean.view(shape)) ** 2).sum(axes)) / count
            with torch.no_grad():
                self.running_mean += self.momentum * (mean - self.running_mean)
                self.running_var += self.momentum * (var * count / (count - 1) - self.running_var)
        else:
            mean, var = self.running_mean, self.running_var
        scale: Tensor = self.weight * torch.rsqrt(var + self.eps)
        return x * scale.view(shape) + (self.bias - mean * scale).view(shape)


def share_batch_statistics(module: nn.Module) -> nn.Module:
    """Replace the batch norms of a module by ones that normalize over all processes."""
    return _shared(module, {})


def _shared(module: nn.Module, made: dict[nn.Module, nn.Module]) -> nn.Module:
    """Replace each module once, at every place where it occurs."""
    if module not in made:
        made[module] = module
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            made[module] = _GroupBatchNorm(module)
        for name, child in module._modules.items():  # named_children yields a module at its first place only
            if child is not None:
                module._modules[name] = _shared(child, made)
    return made[module]
