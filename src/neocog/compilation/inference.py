"""A network made ready to be used and no longer to be trained."""

from __future__ import annotations

import copy
import threading
from collections import OrderedDict
from typing import Any

import numpy as np

from neocog.compilation.compiler import Compiler
from neocog.compilation.tracing import Uncompilable
from neocog.layers.activation import softmax
from neocog.layers.base import Array, Layer, as_dtype

__all__ = ["Forward", "Inference"]

_KEPT = 6
_MEMORY = 1 << 28


class Forward:
    """``y = forward(x)``: the forward pass in inference, compiled for each batch shape that comes.

    Parameters
    ----------
    network : Layer
    frozen : bool
        Whether its arrays will never change.

    Raises
    ------
    Uncompilable
        When called, if a layer has no compiled form.
    """

    def __init__(self, network: Layer, frozen: bool = False) -> None:
        self.network, self.frozen = network, frozen
        self._programs: OrderedDict[tuple[int, ...], Any] = OrderedDict()
        self._lock = threading.Lock()

    def _compile(self, shape: tuple[int, ...]) -> Any:
        compiler = Compiler(self.network, shape, frozen=self.frozen)
        from neocog.kernels.fused import lowering
        from neocog.kernels.fused.program import Slot

        y = compiler.forward()
        slot = Slot()
        lowering.store(compiler.program, y, slot)
        compiler.program.finish()
        rank = self.network.output_shape(shape)
        return compiler, slot, tuple(rank)

    def __call__(self, x: Array) -> Array:
        dtype = self.network.dtype or np.dtype(np.float32)
        x = np.ascontiguousarray(as_dtype(x, dtype))
        with self._lock:  # a program has one memory
            ready = self._programs.get(x.shape)
            if ready is None:
                ready = self._programs[x.shape] = self._compile(x.shape)
                if len(self._programs) > _KEPT:
                    self._programs.popitem(last=False)
            compiler, slot, shape = ready
            y = np.empty(shape, dtype)
            compiler.program.bind(compiler.x, x)
            compiler.program.bind(slot, y)
            compiler.program.run()
        return y
