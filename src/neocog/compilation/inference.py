"""Prepare a network for inference only."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from neocog.errors import UnsupportedError
from neocog.kernels import PRECISIONS, missing_numba
from neocog.layers import Container
from neocog.layers.base import Array, Field, Grads, Layer, Visit, as_dtype
from neocog.layers.prediction import Predictor
from neocog.validation import one_of

if not missing_numba():
    from neocog.compilation.forward import Forward

__all__ = ["Inference"]

_PRECISIONS = (*PRECISIONS, "bfloat16")
_NOT_TRAINED = (
    "a copy made for inference cannot be trained and has no gradients; use the network it was made of, or "
    "inference.network, the copy with all its weights."
)


class Inference(Predictor):
    """A network for inference only: ``y = inference(x)``.

    It is a copy. Batch norm is folded into the convolution before it, ``w' = w s`` and ``b' = (b - m) s +
    beta`` with ``s = gamma / sqrt(v + eps)``; ReLU and ReLU6 are fused into the layer before them; dropout is
    removed; weights are packed once for the compiled kernels. The outputs are those of the network up to
    rounding. Where Numba cannot be imported, and for a network that has no compiled form, the layers compute
    them. It can be used in place of the network wherever that is not trained: ``evaluate``, ``summary``,
    ``confusion``. Saved or traced, it is the network that it is a copy of: large weights move to a temporary
    file once they are packed, and are read from there, the same bits, whenever they are asked for.

    Parameters
    ----------
    network : Container
    precision : {"fast", "exact", "bfloat16"}
        ``"exact"`` uses the direct sums only; see :class:`neocog.use_kernels`. ``"bfloat16"``, for networks
        of float32, rounds the weights and inputs of convolutions and dense layers to 8 bits of mantissa and
        sums their products in float32: half the memory, and half the time where the processor multiplies
        bfloat16 (AVX512_BF16). Each factor errs by at most 2^-9 of itself, the outputs of whole networks by a
        thousandth to a tenth of the largest, the more the deeper they are. The compiled kernels alone have
        it.

    Raises
    ------
    ValueError
        If there is no precision of that name, or ``"bfloat16"`` is asked of a network of another type than
        float32.
    ImportError
        If it is asked for where Numba cannot be imported.

    Notes
    -----
    Shapes: (N, C, H, W) -> the shape of the network's output. The first call for a shape allocates its
    memory: cut large data into batches of one size.

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
        one_of("precision", precision, _PRECISIONS)
        if precision == "bfloat16":
            if reason := missing_numba():
                raise ImportError(reason, name="numba")
            if network.dtype != np.float32:
                raise ValueError(
                    f"precision='bfloat16' takes a network of float32, got {network.dtype}; "
                    "convert it by network.astype('float32') first."
                )
        self._network: Container = copy.deepcopy(network.original)
        for array in self._network.params.values():  # what is written there would not reach the compiled code
            array.flags.writeable = False
        self.precision, self.several_inputs = precision, self._network.several_inputs
        self.class_names, self.input_shape = network.class_names, network.input_shape
        self.preprocessing, self.class_weight = network.preprocessing, network.class_weight
        self.stated_kind = network.stated_kind
        self._forward = None if missing_numba() else Forward(self._network, True, precision)

    def __call__(self, x: Array) -> Array:
        """Return the network's output: (N, C, H, W) -> (N, classes)."""
        if self._forward is not None:
            try:
                return self._forward(x)
            except UnsupportedError:
                pass  # run layer by layer instead; contextlib.suppress costs 5 % of a small network
        return self._network.forward(as_dtype(x, self._network.dtype))[0]

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Any]:
        """Return the network's output, and no cache; UnsupportedError for ``training=True``."""
        if training:
            raise UnsupportedError(_NOT_TRAINED)
        return self(x), None

    def backward(self, dy: Array, cache: Any, input_grad: bool = True) -> tuple[Array, Grads]:
        """Raise UnsupportedError: the copy has no gradients."""
        raise UnsupportedError(_NOT_TRAINED)

    @property
    def network(self) -> Container:
        """A network with its weights, a new one each time, which may be trained."""
        return copy.deepcopy(self._network)

    @property
    def original(self) -> Layer:
        return self._network

    @property
    def params(self) -> dict[str, Array]:
        return dict(self._network.params)

    @property
    def buffers(self) -> dict[str, Array]:
        return dict(self._network.buffers)

    def load(self, params: Mapping[str, Any], buffers: Mapping[str, Any] | None = None) -> None:
        """Raise UnsupportedError: the weights are part of the compiled code."""
        raise UnsupportedError(
            "a copy made for inference keeps its weights; load them into a network, and make a copy of that."
        )

    @property
    def children(self) -> Mapping[str, Layer]:
        """The layers of the network by name, whose weights are read-only here."""
        return self._network.children

    def __getitem__(self, key: Any) -> Any:
        return self._network[key]

    def __iter__(self) -> Iterator[Layer]:
        return iter(self._network.children.values())

    def __len__(self) -> int:
        return len(self._network.children)

    def leaves(self, prefix: str = "") -> Iterator[tuple[str, Layer]]:
        return self._network.leaves(prefix)

    def walk(self, visit: Visit, x: Any, name: str = "") -> Any:
        return self._network.walk(visit, x, name)

    def output_shape(self, input_shape: Any) -> Any:
        return self._network.output_shape(input_shape)

    def flops(self, input_shape: Any) -> int:
        return self._network.flops(input_shape)

    def receptive_field(self, field: Any) -> Field:
        return self._network.receptive_field(field)

    def astype(self, dtype: Any) -> Inference:
        """Return a copy that computes in another floating point type."""
        return Inference(self._network.astype(dtype), self.precision)

    def without_softmax(self) -> Inference:
        """Return a copy of the network that outputs the logits; see :meth:`Container.without_softmax`."""
        return Inference(self._network.without_softmax(), self.precision)

    def without_last(self, *kinds: type[Layer]) -> Inference:
        """Return a copy without the last layer, if it is of one of these kinds."""
        return Inference(self._network.without_last(*kinds), self.precision)

    def for_inference(self, precision: str = "fast") -> Inference:
        """Return a copy of another precision."""
        return Inference(self, precision)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._network!r})"
