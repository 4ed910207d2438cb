"""A forward pass as one program, and a network made ready to be used and no longer to be trained."""

from __future__ import annotations

import contextlib
import copy
import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import numpy as np

from neocog.errors import UnsupportedError
from neocog.kernels import PRECISIONS, active_precision, missing_numba
from neocog.layers import Container
from neocog.layers.base import Array, Field, Grads, Layer, Visit, as_dtype
from neocog.layers.prediction import Predictor
from neocog.validation import one_of

if not missing_numba():
    from neocog.compilation.compiler import Compiler
    from neocog.compilation.nodes import Uncompilable
    from neocog.compilation.state import State

__all__ = ["Forward", "Inference", "compiled_forward"]

_KEPT = 6
"""Programs kept for batches of other shapes: whole ones, a last short one, single images ..."""
_MEMORY = 1 << 30
"""Bytes that all of them may hold on to."""
_NOT_TRAINED = (
    "a copy made for inference cannot be trained and has no gradients; use the network it was made of, or "
    "inference.network, the copy with all its weights."
)


class Forward:
    """``y = forward(x)``: inference, compiled once for each shape of batch that comes.

    Parameters
    ----------
    network : Layer
    frozen : bool
        Whether its arrays will never change: then batch norm is folded into the convolutions, and their
        weights are packed once.
    precision : {"fast", "exact"}
        See :class:`neocog.use_kernels`.

    Raises
    ------
    Uncompilable
        When called, if the network or the array has no compiled form.
    """

    def __init__(self, network: Layer, frozen: bool = False, precision: str = "fast") -> None:
        self.network, self.frozen, self.precision = network, frozen, precision
        self._state = State(network)
        self._programs: OrderedDict[Any, Compiler] = OrderedDict()
        self._lock = threading.Lock()

    def __reduce__(self) -> Any:
        return Forward, (self.network, self.frozen, self.precision)

    def current(self) -> bool:
        """Whether the network is still what was compiled."""
        return self._state.current()

    def __call__(self, x: Array) -> Array:
        if not isinstance(x, np.ndarray) or x.ndim < 2 or x.dtype.kind != "f" or not x.size:
            raise Uncompilable("an input that is not a NumPy array of images")
        dtype = self._state.dtype or x.dtype
        if x.dtype != dtype or not x.flags.c_contiguous:
            x = np.ascontiguousarray(as_dtype(x, dtype))
        with self._lock:  # a program has one memory
            compiler = self._programs.get((x.shape, dtype))
            if compiler is None:
                compiler = self._programs[x.shape, dtype] = self._compile(x.shape, dtype)
                held = sum(other.program.bytes for other in self._programs.values())
                while len(self._programs) > 1 and (len(self._programs) > _KEPT or held > _MEMORY):
                    held -= self._programs.popitem(last=False)[1].program.bytes
            return compiler.run(x)

    def _compile(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Compiler:
        exact = self.precision == "exact"
        compiler = Compiler(self.network, shape, frozen=self.frozen, exact=exact, dtype=dtype)
        compiler.forward()
        compiler.hand_out(compiler.end)
        compiler.program.finish()
        return compiler


def compiled_forward(network: Container, x: Array) -> Array:
    """Run a network that may still change; raise Uncompilable if it has no compiled form."""
    forward = network.compiled
    if forward is None or not forward.current() or forward.precision != active_precision():
        forward = network.compiled = Forward(network, precision=active_precision())
    return forward(x)


class Inference(Predictor):
    """A network to use and no longer to train: ``y = inference(x)``.

    It is a copy. Batch norm is folded into the convolution before it, ``w' = w s`` and ``b' = (b - m) s +
    beta`` with ``s = gamma / sqrt(v + eps)``; ReLU is done along with the layer before it; dropout is gone;
    weights are packed once for the compiled kernels. The answers are those of the network up to rounding.
    It takes a network's place wherever that is not trained: ``evaluate``, ``summary``, ``confusion``; saved
    or traced, it is the network of which it is a copy.
    Where Numba cannot be imported, and for a network that has no compiled form, the layers compute them.

    Parameters
    ----------
    network : Container
    precision : {"fast", "exact"}
        ``"exact"`` keeps to the direct sums; see :class:`neocog.use_kernels`.

    Raises
    ------
    ValueError
        If there is no precision of that name.

    Notes
    -----
    Shapes: (N, C, H, W) -> what the network makes of it. The first call for batches of one shape plans their
    memory; much data is best cut into batches of one size.

    Examples
    --------
    >>> import numpy as np
    >>> from neocog.models import tiny_cnn
    >>> network = tiny_cnn(seed=42)
    >>> x = np.random.default_rng(0).random((5, 1, 8, 8))
    >>> bool(np.allclose(network.for_inference()(x), network(x)))
    True
    """

    def __init__(self, network: Any, precision: str = "fast") -> None:
        one_of("precision", precision, PRECISIONS)
        self.network: Container = copy.deepcopy(network.original)
        self.precision, self.several_inputs = precision, self.network.several_inputs
        self.class_names, self.input_shape = network.class_names, network.input_shape
        self._forward = None if missing_numba() else Forward(self.network, True, precision)

    def __call__(self, x: Array) -> Array:
        """Return the network's output: (N, C, H, W) -> (N, classes)."""
        if self._forward is not None:
            with contextlib.suppress(Uncompilable):
                return self._forward(x)
        return self.network.forward(as_dtype(x, self.network.dtype))[0]

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Any]:
        """Return the network's output, and no cache; UnsupportedError for ``training=True``."""
        if training:
            raise UnsupportedError(_NOT_TRAINED)
        return self(x), None

    def backward(self, dy: Array, cache: Any, input_grad: bool = True) -> tuple[Array, Grads]:
        """Raise UnsupportedError: the copy has no gradients."""
        raise UnsupportedError(_NOT_TRAINED)

    @property
    def original(self) -> Layer:
        return self.network

    @property
    def params(self) -> dict[str, Array]:
        return dict(self.network.params)

    @property
    def buffers(self) -> dict[str, Array]:
        return dict(self.network.buffers)

    def leaves(self, prefix: str = "") -> Iterator[tuple[str, Layer]]:
        return self.network.leaves(prefix)

    def walk(self, visit: Visit, x: Any, name: str = "") -> Any:
        return self.network.walk(visit, x, name)

    def output_shape(self, input_shape: Any) -> Any:
        return self.network.output_shape(input_shape)

    def flops(self, input_shape: Any) -> int:
        return self.network.flops(input_shape)

    def receptive_field(self, field: Any) -> Field:
        return self.network.receptive_field(field)

    def astype(self, dtype: Any) -> Inference:
        """Return a copy that computes in another floating point type."""
        return Inference(self.network.astype(dtype), self.precision)

    def without_softmax(self) -> Inference:
        """Return a copy of the network that makes the logits; see :meth:`Container.without_softmax`."""
        return Inference(self.network.without_softmax(), self.precision)

    def for_inference(self, precision: str = "fast") -> Inference:
        """Return a copy of another precision."""
        return Inference(self, precision)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.network!r})"
