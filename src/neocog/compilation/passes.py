"""Run the forward and the backward pass of a step that is written by hand as stretches of one program."""

from __future__ import annotations

from typing import Any

import numpy as np

from neocog.compilation.compiler import Compiler
from neocog.compilation.nodes import Uncompilable
from neocog.compilation.state import State
from neocog.kernels import active_precision
from neocog.kernels.fused import lowering
from neocog.kernels.fused.program import Slot
from neocog.layers import Container
from neocog.layers.base import Array, Grads, Shape, as_dtype

__all__ = ["Cache", "Passes", "compiled_passes"]

_KEPT = 6
"""Shapes of batches whose programs wait for the next step."""
_MEMORY = 1 << 30
"""Bytes of all these programs, at most."""


class _Backward:
    """The stretch of a program that computes the gradients, with or without that of the input."""

    def __init__(self, compiler: Compiler, names: dict[int, str], input_grad: bool) -> None:
        program, start = compiler.program, compiler.start
        for value in (start, *(node.output for node in compiler.nodes)):  # as another stretch left them
            value.gradient, value.wanted = None, False
        compiler.gradients = []
        self.dy, self.dx = Slot(), Slot()
        self.stretch = program.cut()
        lowering.load(program, self.dy, compiler.gradient_maps(compiler.end))
        compiler.backward(input_grad)
        if start.gradient is not None:
            lowering.store(program, start.gradient, self.dx)
        self._learned = []
        for node, key, memory in compiler.gradients:
            memory.kept = True  # until it is copied
            self._learned.append((names[id(node.layer.params[key])], memory, node.layer.params[key]))

    def finish(self, program: Any) -> None:
        """Find the gradients in the memory of the finished program."""
        self.gradients = {
            name: program.array(memory)[: weight.size].reshape(weight.shape)
            for name, memory, weight in self._learned
        }


class _Program:
    """A program for batches of one shape: a forward stretch, and backward ones with and without ``dx``."""

    def __init__(self, network: Container, shape: Shape, dtype: Any, precision: str) -> None:
        self.compiler = compiler = Compiler(network, shape, True, precision=precision, dtype=dtype)
        if compiler.cuts:
            raise Uncompilable("; ".join(f"{node.name}: {node.reason}" for node in compiler.cuts))
        self.program = compiler.program
        compiler.forward()
        self.y = Slot()
        lowering.store(self.program, compiler.end.place, self.y)
        for memory in self.program.memories:
            memory.kept = True  # any number of backward passes may follow
        names = {id(array): name for name, array in network.params.items()}
        self.backward = [_Backward(compiler, names, input_grad) for input_grad in (False, True)]
        self.end = self.program.cut()
        self.program.finish()
        for each in self.backward:
            each.finish(self.program)

    def run_forward(self, x: Array) -> Array:
        """Return ``y``; what the backward pass needs stays in the program's memory."""
        compiler, program = self.compiler, self.program
        y = np.empty(compiler.end.array_shape, program.dtype)
        program.bind(compiler.x, x)
        program.bind(self.y, y)
        program.run_stretches(0, self.backward[0].stretch)
        compiler.held.clear()
        return y

    def run_backward(self, dy: Array, input_grad: bool) -> tuple[Array | None, Grads]:
        """Return ``dx``, or None, and the gradients."""
        compiler, program, backward = self.compiler, self.program, self.backward[input_grad]
        if dy.shape != compiler.end.array_shape:
            raise ValueError(f"dy must have the output's shape {compiler.end.array_shape}, got {dy.shape}.")
        if dy.dtype.kind == "c":
            raise TypeError(f"dy must be real where the forward pass was, got {dy.dtype}.")
        dy, dx = np.ascontiguousarray(dy, program.dtype), None
        program.bind(backward.dy, dy)
        if input_grad:
            dx = np.empty(compiler.start.array_shape, program.dtype)
            program.bind(backward.dx, dx)
        program.run_stretches(backward.stretch, self.end if input_grad else self.backward[True].stretch)
        return dx, {name: gradient.copy() for name, gradient in backward.gradients.items()}


class Cache:
    """The cache of one forward pass: a program of its own, which the next pass takes when it is gone."""

    def __init__(self, program: _Program, idle: list[_Program]) -> None:
        self._program, self._idle = program, idle

    def backward(self, dy: Array, input_grad: bool) -> tuple[Array | None, Grads]:
        """Return what the network's backward pass returns."""
        return self._program.run_backward(dy, input_grad)

    def __del__(self) -> None:
        if not self._idle:
            self._idle.append(self._program)


class Passes:
    """Forward passes in training, each with a cache for its backward pass; compiled once for each shape.

    Parameters
    ----------
    network : Container
    precision : {"fast", "exact"}
        See :class:`neocog.use_kernels`.
    """

    def __init__(self, network: Container, precision: str) -> None:
        self.network, self.precision = network, precision
        self._state = State(network)
        self._idle: dict[Any, list[_Program] | Uncompilable] = {}

    def current(self) -> bool:
        """Return whether the network is still what was compiled."""
        return self._state.current()

    def forward(self, x: Array) -> tuple[Array, Cache]:
        """Return ``y`` and the cache; raise Uncompilable unless every layer has a compiled form."""
        if not isinstance(x, np.ndarray) or x.dtype.kind != "f" or not x.size:
            raise Uncompilable("an input that is not a NumPy array of images")
        dtype = self._state.dtype or x.dtype
        if x.dtype != dtype or not x.flags.c_contiguous:
            x = np.ascontiguousarray(as_dtype(x, dtype))
        idle = self._idle.get((x.shape, dtype))
        if idle is None:
            idle = self._compile(x.shape, dtype)
        if isinstance(idle, Uncompilable):
            raise idle
        try:
            program = idle.pop()
        except IndexError:  # another pass has it
            program = _Program(self.network, x.shape, dtype, self.precision)
        return program.run_forward(x), Cache(program, idle)

    def _compile(self, shape: Shape, dtype: Any) -> list[_Program] | Uncompilable:
        waiting = [
            each.program.bytes for idle in self._idle.values() if isinstance(idle, list) for each in idle
        ]
        if len(self._idle) >= _KEPT or sum(waiting) > _MEMORY:
            self._idle = {}
        try:
            self._idle[shape, dtype] = [_Program(self.network, shape, dtype, self.precision)]
        except Uncompilable as reason:
            self._idle[shape, dtype] = reason.with_traceback(None)
        return self._idle[shape, dtype]


def compiled_passes(network: Container, x: Array) -> tuple[Array, Cache]:
    """Run a network forward in training; raise Uncompilable if not all of it has a compiled form."""
    passes = network.compiled_passes
    if passes is None or not passes.current() or passes.precision != active_precision():
        passes = network.compiled_passes = Passes(network, active_precision())
    y, cache = passes.forward(x)
    return y, cache
