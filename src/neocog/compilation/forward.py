"""Run a forward pass as one program."""

from __future__ import annotations

import functools
import itertools
import threading
from collections import OrderedDict
from typing import Any

import numpy as np

from neocog.compilation.compiler import Compiler
from neocog.compilation.nodes import Uncompilable
from neocog.compilation.offloading import Offload
from neocog.compilation.state import State
from neocog.forking import renew_after_fork
from neocog.kernels import active_precision, get_threads
from neocog.kernels.fused.program import PARALLEL_WORK
from neocog.kernels.fused.workers import side_by_side
from neocog.layers import Container
from neocog.layers.base import Array, Layer, as_dtype

__all__ = ["Forward", "compiled_forward"]

_KEPT = 6
"""Programs kept, one for each shape of batch: whole ones, a last short one, single images ..."""
_MEMORY = 1 << 30
"""Bytes that all of them may keep allocated."""


class Forward:
    """Inference ``y = forward(x)``, compiled once for each shape of batch.

    Parameters
    ----------
    network : Layer
    frozen : bool
        Whether its arrays will never change: then batch norm is folded into the convolutions, their weights
        are packed once, and the large ones move to a temporary file, where the network reads them from then.
    precision : {"fast", "exact", "bfloat16"}
        See :class:`neocog.use_kernels` and :class:`Inference`.

    Raises
    ------
    Uncompilable
        When called, if the network or the array has no compiled form.
    """

    def __init__(self, network: Layer, frozen: bool = False, precision: str = "fast") -> None:
        self.network, self.frozen, self.precision = network, frozen, precision
        self._state = None if frozen else State(network)
        self._offload = Offload(network) if frozen else None
        self._dtype = network.dtype
        self._programs: OrderedDict[Any, Compiler] = OrderedDict()
        self._lock = threading.Lock()
        renew_after_fork(self)

    def renew(self) -> None:
        """Make a lock of this process's own; a program that another thread was running is dropped."""
        if self._lock.locked():
            self._lock, self._programs = threading.Lock(), OrderedDict()

    def __reduce__(self) -> Any:
        return Forward, (self.network, self.frozen, self.precision)

    def current(self) -> bool:
        """Return whether the network is still what was compiled."""
        return self._state is None or self._state.current()

    def __call__(self, x: Array) -> Array:
        if not isinstance(x, np.ndarray) or x.ndim < 2 or x.dtype.kind != "f" or not x.size:
            raise Uncompilable("an input that is not a NumPy array of images")
        dtype = self._dtype or x.dtype
        if x.dtype != dtype or not x.flags.c_contiguous:
            x = np.ascontiguousarray(as_dtype(x, dtype))
        with self._lock:  # a program has one memory
            compiler = self._program(x.shape, dtype)
            return self._run_images(x) if compiler.by_image else compiler.run(x)

    def _program(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Compiler:
        """Return the program for a shape; only a plan if the images are computed one by one."""
        compiler = self._programs.get((shape, dtype))
        if compiler is None or (compiler.cuts and not compiler.shapes_hold()):
            compiler = self._programs[shape, dtype] = self._compile(shape, dtype)
            held = sum(other.program.bytes for other in self._programs.values())
            while len(self._programs) > 1 and (len(self._programs) > _KEPT or held > _MEMORY):
                held -= self._programs.popitem(last=False)[1].program.bytes
        return compiler

    def _compile(
        self, shape: tuple[int, ...], dtype: np.dtype[Any], constants: list[np.ndarray] | None = None
    ) -> Compiler:
        compiler = Compiler(
            self.network, shape, False, self.frozen, self.precision, dtype, self._offload, constants
        )
        if not compiler.by_image:
            compiler.forward()
            compiler.return_output()
            compiler.program.finish()
        return compiler

    def _run_images(self, x: Array) -> Array:
        """Compute the images one by one, side by side in all threads if that pays."""
        shape = (1, *x.shape[1:])
        first = self._program(shape, x.dtype)
        threads = min(get_threads(), len(x)) if first.program.work * len(x) > PARALLEL_WORK else 1
        while len(first.twins) < threads - 1:  # each thread has memory of its own, and the same weights
            first.twins.append(self._compile(shape, x.dtype, first.program.constants))
        programs = [first, *first.twins][:threads]
        y = np.empty((len(x), *programs[0].end.array_shape[1:]), x.dtype)
        images = itertools.count()

        def work(program: Compiler) -> None:
            while (k := next(images)) < len(x):
                program.run_alone(x[k : k + 1], y[k : k + 1])

        side_by_side([functools.partial(work, program) for program in programs])
        return y


def compiled_forward(network: Container, x: Array) -> Array:
    """Run a network that may still change; raise Uncompilable if it has no compiled form."""
    forward = network.compiled
    if forward is None or not forward.current() or forward.precision != active_precision():
        forward = network.compiled = Forward(network, precision=active_precision())
    return forward(x)
