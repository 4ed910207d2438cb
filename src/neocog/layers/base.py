"""Define the contract of every layer.

    y, cache  = layer.forward(x, training=False)
    dx, grads = layer.backward(dy, cache, input_grad=True)
    y         = layer(x)

The cache and the gradients are returned, never stored, so one layer may occur twice in a network or run in
several threads. ``params`` and ``grads`` are dicts with the same keys.
"""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np

from neocog.initializers import zeros
from neocog.representation import constructor_call
from neocog.validation import float_dtype

Array: TypeAlias = Any
Shape: TypeAlias = tuple[int, ...]
Grads: TypeAlias = dict[str, Array]


@dataclass(frozen=True)
class Field:
    """The receptive field of one unit: its size, and the step between neighbours, in input pixels.

    Neighbours in maps that were enlarged are a fraction of a pixel apart.
    """

    size: tuple[float | Fraction, float | Fraction] = (1, 1)
    jump: tuple[int | Fraction, int | Fraction] = (1, 1)

    def through(
        self, kernel_size: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int] = (1, 1)
    ) -> Field:
        """Return the field after a window: ``size + dilation (kernel - 1) jump``, ``jump * stride``."""
        size = tuple(
            s + d * (k - 1) * j
            for s, k, d, j in zip(self.size, kernel_size, dilation, self.jump, strict=True)
        )
        return Field((size[0], size[1]), (self.jump[0] * stride[0], self.jump[1] * stride[1]))

    def finer(self, scale: tuple[float, float]) -> Field:
        """Return the field after maps are enlarged: neighbours are closer by ``scale``."""
        return Field(self.size, (self.jump[0] / Fraction(scale[0]), self.jump[1] / Fraction(scale[1])))

    def within(self, image: tuple[int, ...]) -> tuple[int, int]:
        """Return the size in whole pixels, at most that of an image (H, W)."""
        return math.ceil(min(self.size[0], image[0])), math.ceil(min(self.size[1], image[1]))


Visit: TypeAlias = Callable[[str, "Layer", Any], Any]
"""``visit(name, layer, value) -> value``, called along a network."""

WHOLE_IMAGE = Field((float("inf"), float("inf")))


class Layer:
    """Base of all layers.

    A subclass stores its constructor's arguments under their own names (``repr`` and the file format read
    them back), fills ``params`` and ``buffers``, and defines ``forward`` and ``backward``;
    ``output_shape``, ``flops`` and ``receptive_field`` where the defaults do not fit.

    Attributes
    ----------
    params : dict of str to array
        The learned arrays.
    buffers : dict of str to array
        Arrays that are kept but not learned, such as running statistics.
    """

    # Arguments that build a layer but do not describe it.
    _undescribed: ClassVar[frozenset[str]] = frozenset({"init", "rng", "dtype"})

    several_inputs: bool = False
    """Whether ``x`` is a tuple of arrays."""

    def __init__(self) -> None:
        self._params: dict[str, Array] = {}
        self._buffers: dict[str, Array] = {}

    @property
    def params(self) -> dict[str, Array]:
        """Learned arrays by name; write into an array to change it."""
        return self._params

    @property
    def buffers(self) -> dict[str, Array]:
        """Remembered arrays by name."""
        return self._buffers

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Any]:
        """Compute ``y`` and what :meth:`backward` will need.

        Parameters
        ----------
        x : array, or a tuple of arrays for a layer of several inputs
        training : bool
            Whether dropout drops and batch norm uses the statistics of the batch.

        Returns
        -------
        y : array
        cache : opaque
        """
        raise NotImplementedError

    def backward(self, dy: Array, cache: Any, input_grad: bool = True) -> tuple[Array, Grads]:
        """Compute the gradients from ``dy``, the derivative of the loss in ``y``.

        Parameters
        ----------
        dy : array, shaped like y
        cache : what forward returned
        input_grad : bool
            Whether to compute ``dx``; if False, it is None.

        Returns
        -------
        dx : array shaped like x, or a tuple of arrays, or None
        grads : dict with the keys of ``params``; of a container, of its ``trainable_params``
        """
        raise NotImplementedError

    def __call__(self, x: Array) -> Array:
        """Run the layer as in inference."""
        return self.forward(x)[0]

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of ``y`` for that of ``x``, both with the batch; ValueError if it does not fit."""
        return input_shape

    def check_training_shape(self, input_shape: Shape) -> None:
        """Raise ValueError if the layer can run on a batch of this shape but not be trained on it."""

    def flops(self, input_shape: Shape) -> int:
        """Count the floating point operations of a forward pass; a multiply-add counts as two."""
        return 0

    def receptive_field(self, field: Field) -> Field:
        """Return the receptive field of the outputs, given that of the inputs."""
        return field

    @property
    def original(self) -> Layer:
        """The layer to train, trace and save: this one, unless it is a copy made for inference."""
        return self

    @property
    def dtype(self) -> np.dtype[Any] | None:
        """The dtype of the parameters, in which the layer computes; None if it has none."""
        for array in self.params.values():
            dtype: np.dtype[Any] = array.dtype
            return dtype
        return None

    @property
    def trainable_params(self) -> Mapping[str, Array]:
        """The arrays of ``params`` that training changes: all but those of frozen layers."""
        return self.params

    @property
    def frozen(self) -> dict[str, bool]:
        """The frozen layers in it by dotted name, and whether each is in inference during training."""
        return {}

    @property
    def parameter_count(self) -> int:
        """Number of learned numbers."""
        return sum(array.size for array in self.params.values())

    def leaves(self, prefix: str = "") -> Iterator[tuple[str, Layer]]:
        """Yield ``(dotted name, layer)`` for every layer that is not a container, repeats included."""
        yield prefix, self

    def walk(self, visit: Visit, x: Any, name: str = "") -> Any:
        """Carry a value (an array, a shape ...) through every layer that is not a container.

        ``visit(dotted name, layer, value)`` returns the value after that layer.
        """
        return visit(name, self, x)

    def config(self) -> dict[str, Any]:
        """Return the arguments that build this layer again, without its weights."""
        names = list(inspect.signature(type(self)).parameters)
        return {name: getattr(self, name) for name in names if name not in self._undescribed}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Build a layer from its :meth:`config`; its weights are zeros if the class takes ``init``.

        Raises
        ------
        TypeError
            If an argument is unknown.
        """
        parameters = inspect.signature(cls).parameters
        unknown = sorted(set(config) - (set(parameters) - cls._undescribed))
        if unknown:
            raise TypeError(f"{cls.__name__} has no arguments {unknown}.")
        if "init" in parameters:
            return cls(**config, init=zeros)  # type: ignore[call-arg]
        return cls(**config)

    def astype(self, dtype: Any) -> Self:
        """Return a copy of this layer that computes in another floating point type."""
        dtype = float_dtype(dtype)
        twin = copy.deepcopy(self)
        converted: dict[int, tuple[Array, Array]] = {}  # so that shared arrays stay shared
        for _, leaf in twin.leaves():
            for arrays in (leaf._params, leaf._buffers):
                for name, array in arrays.items():
                    if id(array) not in converted:
                        new = array.astype(dtype)
                        # Both are kept alive, so that no id is used again; a leaf may come twice.
                        converted[id(array)] = converted[id(new)] = (new, array)
                    arrays[name] = converted[id(array)][0]
        return twin

    def load(self, params: Mapping[str, Any], buffers: Mapping[str, Any] | None = None) -> None:
        """Copy arrays into ``params`` and ``buffers``; all are checked before the first is written.

        Raises
        ------
        ValueError, TypeError
            If a name is missing or unknown, or a shape differs, or a dtype is of another kind.
        """
        pairs = [("parameter", self.params, {name: np.asarray(array) for name, array in params.items()})]
        if buffers is not None:
            pairs.append(("buffer", self.buffers, {n: np.asarray(array) for n, array in buffers.items()}))
        for kind, mine, theirs in pairs:
            missing, unknown = sorted(set(mine) - set(theirs)), sorted(set(theirs) - set(mine))
            if missing or unknown:
                raise ValueError(f"{kind} names differ: missing {_some(missing)}, unknown {_some(unknown)}.")
            for name, array in mine.items():
                if array.shape != theirs[name].shape:
                    raise ValueError(
                        f"{kind} {name!r} must have shape {array.shape}, got {theirs[name].shape}."
                    )
                if not np.can_cast(theirs[name].dtype, array.dtype, "same_kind"):
                    raise TypeError(f"{kind} {name!r} must be {array.dtype}, got {theirs[name].dtype}.")
        for _, mine, theirs in pairs:
            for name, array in mine.items():
                array[...] = theirs[name]

    def __repr__(self) -> str:
        return constructor_call(self, self.config())


def _some(names: Sequence[str]) -> str:
    """List the first names of possibly hundreds."""
    return f"{list(names[:4])}" + f" and {len(names) - 4} more" * (len(names) > 4)


DESCRIPTION = frozenset(
    [
        "_undescribed",
        "check_training_shape",
        "config",
        "flops",
        "from_config",
        "operations",
        "receptive_field",
    ]
)
"""Attributes of a layer's class that describe the layer, and take no part in what it computes."""


def computes_as(layer_class: type[Layer], base: type[Layer], overridable: Collection[str] = ()) -> bool:
    """Tell whether a class computes what one of its bases does, so that what holds for the base holds for it.

    It does if it overrides no attribute of the base but those in :data:`DESCRIPTION`, such as ``config``,
    special methods, such as ``__init__``, and those named ``overridable``. Else it might compute anything.
    """
    above = layer_class.__mro__[: layer_class.__mro__.index(base)]
    overridden = {name for each in above for name in vars(each) if hasattr(base, name)}
    return all(name.startswith("__") or name in DESCRIPTION or name in overridable for name in overridden)


def generator_places(network: Layer) -> list[tuple[Layer, str, np.random.Generator]]:
    """List (layer, attribute, generator) of all layers that draw in training."""
    leaves = {id(leaf): leaf for _, leaf in network.leaves()}.values()
    return [
        (leaf, name, value)
        for leaf in leaves
        for name, value in vars(leaf).items()
        if isinstance(value, np.random.Generator)
    ]


def random_generators(network: Layer) -> list[np.random.Generator]:
    """List the generators of the layers that draw in training, each once."""
    return list({id(rng): rng for _, _, rng in generator_places(network)}.values())


def check_network(network: Any) -> Layer:
    """Return a network; raise TypeError, with what to pass, if it is none."""
    if isinstance(network, Layer):
        return network
    kind = type(network).__name__
    hint = ""
    if hasattr(network, "fit") and hasattr(network, "predict"):
        hint = "; pass its network_, which it has after fit"
    elif type(network).__module__.partition(".")[0] == "torch" or hasattr(network, "state_dict"):
        hint = "; convert it with neocog.interop.torch.from_torch"
    elif callable(network):
        hint = "; call it, to pass what it returns"
    raise TypeError(f"network must be a neocog Layer, got {kind}{hint}.")


def as_dtype(x: Array, dtype: np.dtype[Any] | None) -> Array:
    """Return ``x`` in the dtype of the parameters, if there are any; complex arrays stay complex.

    Raises
    ------
    TypeError
        If ``x`` is no floating point array.
    """
    if dtype is None or x.dtype == dtype:
        return x
    kind = getattr(x.dtype, "kind", "f")
    if kind not in "fc":
        raise TypeError(f"x must be a floating point array, got {x.dtype}; for pixels 0..255 pass x / 255.")
    if kind == "c" or dtype.kind == "c":
        return x
    return x.__array_namespace__().astype(x, dtype)


def images(layer: str, input_shape: Shape, channels: int | None = None) -> tuple[int, int, int, int]:
    """Return ``input_shape`` as (N, C, H, W); ValueError if it is anything else."""
    if len(input_shape) != 4:
        hint = {
            2: "; for one grey image pass x[None, None]",
            3: "; for one image pass x[None], for grey images without a channel axis x[:, None]",
        }.get(len(input_shape), "")
        raise ValueError(f"{layer} needs images of shape (N, C, H, W), got shape {tuple(input_shape)}{hint}.")
    if channels is not None and input_shape[1] != channels:
        last = "; if the channels come last, pass x.transpose(0, 3, 1, 2)" * (input_shape[3] == channels)
        raise ValueError(
            f"{layer} needs {channels} input channels, got {input_shape[1]} in shape {tuple(input_shape)}"
            f"{last}."
        )
    N, C, H, W = input_shape
    return N, C, H, W
