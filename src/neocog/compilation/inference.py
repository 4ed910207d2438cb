"""A forward pass as one program, and a network made ready to be used and no longer to be trained."""

from __future__ import annotations

import contextlib
import copy
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np

from neocog.kernels import PRECISIONS, active_precision, missing_numba
from neocog.layers import Container
from neocog.layers.activation import softmax
from neocog.layers.base import Array, Layer, as_dtype
from neocog.layers.containers import ends_in_softmax
from neocog.validation import check_images, finite, integer, one_of

if not missing_numba():
    from neocog.compilation.compiler import Compiler
    from neocog.compilation.tracing import State, Uncompilable
    from neocog.kernels.fused import lowering
    from neocog.kernels.fused.program import Program, Slot

__all__ = ["Forward", "Inference", "compiled_forward"]

_KEPT = 6
_MEMORY = 1 << 30
_BATCH = 256


@dataclass
class _Ready:
    """A finished program, its input, its output, the output's shape, and the softmax after it."""

    program: Program
    x: Slot
    y: Slot
    shape: tuple[int, ...]
    softmax: Layer | None


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
        self._programs: OrderedDict[Any, _Ready] = OrderedDict()
        self._lock = threading.Lock()

    def __reduce__(self) -> Any:
        return Forward, (self.network, self.frozen, self.precision)

    def current(self) -> bool:
        """Whether the network is still what was compiled."""
        return self._state.current()

    def __call__(self, x: Array) -> Array:
        if not isinstance(x, np.ndarray) or x.ndim not in (2, 4) or x.dtype.kind != "f" or not x.size:
            raise Uncompilable("an input that is not a NumPy array of images")
        dtype = self._state.dtype or x.dtype
        if x.dtype != dtype or not x.flags.c_contiguous:
            x = np.ascontiguousarray(as_dtype(x, dtype))
        with self._lock:  # a program has one memory
            ready = self._programs.get((x.shape, dtype))
            if ready is None:
                ready = self._programs[x.shape, dtype] = self._compile(x.shape, dtype)
                held = sum(other.program.bytes for other in self._programs.values())
                while len(self._programs) > 1 and (len(self._programs) > _KEPT or held > _MEMORY):
                    held -= self._programs.popitem(last=False)[1].program.bytes
            y = np.empty(ready.shape, dtype)
            ready.program.bind(ready.x, x)
            ready.program.bind(ready.y, y)
            ready.program.run()
        return y if ready.softmax is None else ready.softmax.forward(y)[0]

    def _compile(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> _Ready:
        exact = self.precision == "exact"
        compiler = Compiler(self.network, shape, frozen=self.frozen, exact=exact, dtype=dtype)
        y = Slot()
        lowering.store(compiler.program, compiler.forward(), y)
        compiler.program.finish()
        output = tuple(self.network.output_shape(shape))
        return _Ready(compiler.program, compiler.x, y, output, compiler.left)


def compiled_forward(network: Container, x: Array) -> Array:
    """Run a network that may still change; raise Uncompilable if it has no compiled form."""
    forward = network.compiled
    if forward is None or not forward.current() or forward.precision != active_precision():
        forward = network.compiled = Forward(network, precision=active_precision())
    return forward(x)


class Inference:
    """A network to use and no longer to train: ``y = inference(x)``.

    It is a copy. Batch norm is folded into the convolution before it, ``w' = w s`` and ``b' = (b - m) s +
    beta`` with ``s = gamma / sqrt(v + eps)``; ReLU is done along with the layer before it; dropout is gone;
    weights are packed once for the compiled kernels. The answers are those of the network up to rounding.
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
        self.network = copy.deepcopy(network)
        self.class_names, self.input_shape = network.class_names, network.input_shape
        self._forward = None if missing_numba() else Forward(self.network, True, precision)

    def __call__(self, x: Array) -> Array:
        """Return the network's output: (N, C, H, W) -> (N, classes), for a classifier."""
        if self._forward is not None:
            with contextlib.suppress(Uncompilable):
                return self._forward(x)
        return self.network.forward(as_dtype(x, self.network.dtype))[0]

    def predict_logits(self, images: Array, batch_size: int = _BATCH) -> Array:
        """Logits of images in batches: (N, C, H, W) -> (N, classes)."""
        images = check_images("images", images)
        integer("batch_size", batch_size)
        if len(images) == 0:
            raise ValueError("images must not be empty.")
        starts = range(0, len(images), batch_size)
        logits = np.concatenate([self(np.asarray(images[k : k + batch_size])) for k in starts])
        finite("the network's outputs", logits)
        return logits

    def predict_proba(self, images: Array, batch_size: int = _BATCH) -> Array:
        """Probability of each class, the softmax of the logits."""
        outputs = self.predict_logits(images, batch_size)
        return outputs if ends_in_softmax(self.network) else softmax(outputs)

    def predict(self, images: Array, batch_size: int = _BATCH) -> Array:
        """Index of the most probable class."""
        return self.predict_logits(images, batch_size).argmax(axis=1)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.network!r})"
