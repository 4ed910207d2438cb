"""Define layers made of layers: the base of all containers, and the chain."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Self, overload

from neocog.errors import UnsupportedError
from neocog.kernels import active_kernels, whole_network
from neocog.layers.base import Array, Field, Grads, Layer, Visit
from neocog.layers.outputs import PASSING, before_last
from neocog.layers.prediction import Predictor
from neocog.layers.selection import select
from neocog.layers.softmax import LogSoftmax, Softmax


def forward_in_one_program(forward: Any) -> Any:
    """Run a container's forward pass in training as one program under the ``fused`` kernels, if there is one.

    The cache is then that program, in whose memory all values stay.
    """

    @functools.wraps(forward)
    def run(self: Container, x: Any, training: bool = False) -> tuple[Any, Any]:
        if training and active_kernels() == "fused" and self.runs_children:
            with contextlib.suppress(UnsupportedError):  # run layer by layer instead
                passes: tuple[Any, Any] = whole_network().compiled_passes(self, x)
                return passes
        y, cache = forward(self, x, training)
        return y, cache

    return run


def backward_in_one_program(backward: Any) -> Any:
    """Run a container's backward pass by the program of its forward pass, if that was one."""

    @functools.wraps(backward)
    def run(self: Container, dy: Any, cache: Any, input_grad: bool = True) -> tuple[Any, Grads]:
        layer_by_layer = isinstance(cache, dict)
        dx, grads = (
            backward(self, dy, cache, input_grad) if layer_by_layer else cache.backward(dy, input_grad)
        )
        return dx, grads

    return run


class Container(Predictor):
    """Base of all containers; every network is one.

    A container defines :meth:`flow`, the path of a value through its children, and ``forward`` and
    ``backward``; shapes, FLOPs, receptive fields and walks all follow from ``flow``. Parameters have dotted
    names. An array that occurs at several places is listed once, under its first name, and its gradients
    are added up.
    """

    compiled: Any = None
    """The program that ``__call__`` has compiled; neither copied nor saved."""
    compiled_passes: Any = None
    """Those of ``forward`` in training and of ``backward``, in the same way."""

    _loop: ClassVar[tuple[Callable[..., Any], ...]] = ()
    """``flow``, ``forward`` and ``backward`` of a class that only runs its children, heeding ``_frozen``."""

    def __init__(self, children: Mapping[str, Layer]) -> None:
        super().__init__()
        for name, layer in children.items():
            if not isinstance(layer, Layer):
                raise TypeError(f"layer {name!r} must be a neocog Layer, got {layer!r}.")
            if not name or "." in name:
                raise ValueError(f"a layer's name may not be empty or contain a dot, got {name!r}.")
        self._children: dict[str, Layer] = dict(children)
        self._frozen: Mapping[str, bool] = {}  # whether in inference; replaced, not changed
        self.class_names = None
        self.input_shape = None
        self._names = self._first_names()

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"compiled": None, "compiled_passes": None}

    @property
    def children(self) -> Mapping[str, Layer]:
        """The layers by name; not to be changed, but see :meth:`__setitem__`."""
        return MappingProxyType(self._children)

    def __getitem__(self, name: str) -> Layer:
        """Return a layer by its dotted name, at any depth; KeyError if there is none."""
        child, _, rest = name.partition(".")
        layer = self._children.get(child)
        if layer is None or (rest and not isinstance(layer, Container)):
            raise KeyError(f"no layer {name!r}; the layers are {list(self._children)}.")
        return layer[rest] if isinstance(layer, Container) and rest else layer

    def __setitem__(self, name: str, layer: Layer) -> None:
        """Replace a layer by its dotted name, as for a new head on trained convolutions."""
        several = self[name].several_inputs
        if isinstance(layer, Layer) and several and not layer.several_inputs:
            raise ValueError(f"layer {name!r} has several inputs, and {type(layer).__name__} takes one.")
        child, _, rest = name.partition(".")
        within = self._children[child]
        if rest and isinstance(within, Container):
            within[rest] = layer
        renewed = Container(self._children | {child: within if rest else layer})
        self._children, self._names = renewed._children, renewed._names
        if not rest:
            self._frozen = {name: mode for name, mode in self._frozen.items() if name != child}

    def _first_names(self) -> dict[tuple[str, str], str]:
        """Map (child, its array's name) to the dotted name of that array's first occurrence."""
        names: dict[tuple[str, str], str] = {}
        first: dict[int, str] = {}
        for child, layer in self._children.items():
            for name, array in [*layer.params.items(), *layer.buffers.items()]:
                names[child, name] = first.setdefault(id(array), f"{child}.{name}")
        return names

    @property
    def params(self) -> Mapping[str, Array]:  # type: ignore[override]
        """Learned arrays by dotted name, each once; write into an array to change it."""
        return self._collect("params")

    @property
    def buffers(self) -> Mapping[str, Array]:  # type: ignore[override]
        """Remembered arrays by dotted name, each once."""
        return self._collect("buffers")

    def _collect(self, kind: str) -> Mapping[str, Array]:
        arrays: dict[str, Array] = {}
        for child, layer in self._children.items():
            for name, array in getattr(layer, kind).items():
                arrays.setdefault(self._names[child, name], array)
        return MappingProxyType(arrays)  # setting an item of a copy would be lost

    def _add_grads(self, grads: Grads, child: str, more: Grads) -> None:
        """Add a child's gradients to ``grads`` by dotted name, unless frozen; those of a shared array sum."""
        if child in self._frozen:
            return
        for name, gradient in more.items():
            name = self._names.get((child, name), f"{child}.{name}")
            grads[name] = grads[name] + gradient if name in grads else gradient

    @property
    def runs_children(self) -> bool:
        """Whether it only runs its children, as a Sequential or a Graph whose methods none overrides."""
        made = type(self)
        return bool(made._loop) and (made.flow, made.forward, made.backward) == made._loop

    @property
    def trainable_params(self) -> Mapping[str, Array]:
        """The arrays of ``params`` that training changes: all but those of frozen layers.

        A shared array is one of them as long as one of its layers is not frozen.
        """
        arrays: dict[str, Array] = {}
        for child, layer in self._children.items():
            if child not in self._frozen:
                for name, array in layer.trainable_params.items():
                    arrays.setdefault(self._names[child, name], array)
        return MappingProxyType(arrays)

    @property
    def frozen(self) -> dict[str, bool]:
        """The frozen layers by dotted name, and whether each is in inference during training."""
        places = self._places() if self.runs_children else ()
        return {name: each._frozen[child] for name, each, child in places if child in each._frozen}

    def freeze(self, names: str | Iterable[str] = "*", *, inference: bool = True) -> None:
        """Keep layers from learning, as those of a pretrained network under a new head.

        ``params`` stays complete, while ``backward`` returns gradients of ``trainable_params`` only, and
        computes nothing below the first layer that learns: no optimizer changes a frozen array, and no weight
        decay, momentum or norm of the gradients counts it. A model file keeps what is frozen.

        Parameters
        ----------
        names : str or iterable of str
            Each a layer's name, the beginning of dotted names (``"layer1"`` of ``"layer1.0.conv1"``) or a
            pattern such as ``"*.bn?"``. ``"features"`` also stands for all layers before the last one with
            parameters, the head, where no layer is named so.
        inference : bool
            Whether frozen layers run as in inference during training: batch norm by its running statistics,
            which stay as they are, and no dropout.

        Raises
        ------
        ValueError
            If no layer has such a name; the message lists near ones.

        Notes
        -----
        A layer that occurs at several places is frozen at all of them. Activations and pooling are frozen
        with the layers around them, which changes nothing.

        Examples
        --------
        >>> from neocog.layers import Conv2D, Dense, Flatten, ReLU
        >>> network = Sequential(
        ...     features=Sequential(Conv2D(1, 2, 3), ReLU()), flatten=Flatten(), fc=Dense(8, 3)
        ... )
        >>> network.freeze("features")
        >>> list(network.trainable_params)
        ['fc.weight', 'fc.bias']
        >>> network.unfreeze("features.0")
        >>> list(network.trainable_params) == list(network.params)
        True
        """
        self._mark(names, bool(inference))

    def unfreeze(self, names: str | Iterable[str] = "*") -> None:
        """Let frozen layers learn again: the opposite of :meth:`freeze`, with the same names."""
        self._mark(names, None)

    def freeze_only(self, frozen: Mapping[str, bool]) -> None:
        """Freeze the layers of these full names, as :attr:`frozen` lists them, and no others."""
        found = self._places() if frozen or self.runs_children else ()
        places = {name: (container, child) for name, container, child in found}
        if unknown := [name for name in frozen if name not in places]:
            raise ValueError(f"frozen must name layers, got {unknown}")
        for container, _ in places.values():
            container._frozen = {}
        for name, mode in frozen.items():
            container, child = places[name]
            container._frozen = {**container._frozen, child: mode}

    def _mark(self, names: str | Iterable[str], inference: bool | None) -> None:
        """Freeze the layers of these names, or unfreeze them if ``inference`` is None."""
        places = list(self._places())
        learn = [name for name, container, child in places if container._children[child].params]
        chosen = set(select(names, [name for name, _, _ in places], head=learn[-1] if learn else ""))
        layers = {id(container._children[child]) for name, container, child in places if name in chosen}
        for _, container, child in places:
            if id(container._children[child]) in layers:
                others = {name: mode for name, mode in container._frozen.items() if name != child}
                container._frozen = others if inference is None else {**others, child: inference}

    def _places(self, prefix: str = "") -> Iterator[tuple[str, Container, str]]:
        """Yield (dotted name, container, child) of each layer that can be frozen by itself."""
        if not self.runs_children:
            raise ValueError(
                f"a {type(self).__name__} runs its layers itself, so that none of them can be frozen alone; "
                "put it into a Sequential and freeze it there as a whole."
            )
        for child, layer in self._children.items():
            if isinstance(layer, Container) and layer.runs_children:
                yield from layer._places(f"{prefix}{child}.")
            else:
                yield f"{prefix}{child}", self, child

    def _trains(self, child: str, training: bool) -> bool:
        """Return whether a child runs as in training: not if it is frozen, and then in inference."""
        return training and not self._frozen.get(child, False)

    def _learns(self, child: str) -> bool:
        """Return whether anything in a child learns."""
        return child not in self._frozen and bool(self._children[child].trainable_params)

    def _taking_after(self, network: Container) -> Self:
        """Take what a network made of some of these layers knows of its images and classes, and is frozen."""
        self.class_names, self.input_shape = network.class_names, network.input_shape
        self.preprocessing, self.class_weight = network.preprocessing, network.class_weight
        self.stated_kind = network.stated_kind
        self._frozen = {child: mode for child, mode in network._frozen.items() if child in self._children}
        return self

    def flow(self, visit: Visit, x: Any) -> Any:
        """Carry ``x`` through the children: ``visit(name, layer, value) -> value`` at each."""
        raise NotImplementedError

    def walk(self, visit: Visit, x: Any, name: str = "") -> Any:
        prefix = f"{name}." if name else ""
        return self.flow(lambda child, layer, value: layer.walk(visit, value, prefix + child), x)

    def leaves(self, prefix: str = "") -> Iterator[tuple[str, Layer]]:
        for name, layer in self._children.items():
            yield from layer.leaves(f"{prefix}.{name}" if prefix else name)

    def output_shape(self, input_shape: Any) -> Any:
        def step(name: str, layer: Layer, shape: Any) -> Any:
            try:
                return layer.output_shape(shape)
            except ValueError as error:
                raise ValueError(f"layer {name!r}: {error}") from None

        return self.flow(step, input_shape)

    def flops(self, input_shape: Any) -> int:
        total = 0

        def step(_: str, layer: Layer, shape: Any) -> Any:
            nonlocal total
            total += layer.flops(shape)
            return layer.output_shape(shape)

        self.flow(step, input_shape)
        return total

    def receptive_field(self, field: Any) -> Field:
        result: Field = self.flow(lambda _, layer, value: layer.receptive_field(value), field)
        return result

    def __call__(self, x: Array) -> Array:
        """Run the network as in inference; under the ``fused`` kernels as one compiled program."""
        if active_kernels() == "fused":
            with contextlib.suppress(UnsupportedError):  # run layer by layer instead
                return whole_network().compiled_forward(self, x)
        return self.forward(x)[0]

    def without_softmax(self) -> Container:
        """Return the network that outputs the logits: this one without the Softmax or LogSoftmax at its end.

        The layers are shared: training the one trains the other. A Softmax at the end of a container at the
        end is removed, too; a network that ends in none is returned itself.

        Raises
        ------
        TypeError
            If the last container is of a class of your own that is neither a Sequential nor a Graph.

        Examples
        --------
        >>> from neocog.layers import Dense, Softmax
        >>> classifier = Sequential(dense=Dense(4, 3), softmax=Softmax())
        >>> classifier.without_softmax()
        Sequential(
          dense=Dense(4, 3),
        )
        """
        return self.without_last(Softmax, LogSoftmax)

    def without_last(self, *kinds: type[Layer]) -> Container:
        """Return the network without its last layer, if it is of one of these kinds; else the network itself.

        The layers are shared. The last layer of a container at the end is removed, too, and one that only
        Flatten, Reshape and Dropout follow, which stay; see :meth:`without_softmax` for the error.
        """
        if not self._children:
            return self
        ordered = list(reversed(self._children.items()))  # of a graph, too: all nodes lead to the last one
        name, last = next((each for each in ordered if not isinstance(each[1], PASSING)), ordered[0])
        rest: Layer | None = None
        if isinstance(last, Container):
            rest = last.without_last(*kinds)
        elif not isinstance(last, kinds):
            return self
        if rest is last:
            return self
        network = self._with_last(name, rest)._taking_after(self)
        network.output_kind = before_last(self.output_kind)
        return network

    def _with_last(self, name: str, layer: Layer | None) -> Container:
        """Return the container with another layer in the place of its last one, or with none."""
        raise TypeError(f"{type(self).__name__} does not say what it is without its last layer, {name!r}.")

    def for_inference(self, precision: str = "fast") -> Predictor:
        """Return a copy for inference only, in compiled code.

        Batch norm is folded, ReLU fused, dropout removed; the outputs are the same up to rounding. See
        :class:`neocog.compilation.Inference`, and :class:`neocog.use_kernels` for ``precision``.
        """
        inference: Predictor = whole_network().Inference(self, precision)
        return inference


class Sequential(Container):
    """Layers one after another.

    Forward: ``y = f_L(... f_2(f_1(x)))``. Backward: the chain rule from the last layer to the first.

    Parameters
    ----------
    *layers : Layer
        Numbered from 0.
    **named : Layer
        Named, after the numbered ones.

    Raises
    ------
    TypeError
        If something is not a layer.

    Examples
    --------
    >>> from neocog.layers import Conv2D, ReLU
    >>> network = Sequential(conv1=Conv2D(1, 3, 3), relu1=ReLU())
    >>> network.output_shape((1, 1, 8, 8))
    (1, 3, 6, 6)
    >>> network["conv1"]
    Conv2D(1, 3, 3)
    >>> network[:1]
    Sequential(
      conv1=Conv2D(1, 3, 3),
    )
    """

    def __init__(self, *layers: Layer, **named: Layer) -> None:
        super().__init__({str(i): layer for i, layer in enumerate(layers)} | named)
        if len(self._children) != len(layers) + len(named):
            raise ValueError("a named layer may not take the number of another.")

    def flow(self, visit: Visit, x: Any) -> Any:
        for name, layer in self._children.items():
            x = visit(name, layer, x)
        return x

    @forward_in_one_program
    def forward(self, x: Array, training: bool = False) -> tuple[Array, dict[str, Any]]:
        cache = {}
        for name, layer in self._children.items():
            x, cache[name] = layer.forward(x, self._trains(name, training))
        return x, cache

    @backward_in_one_program
    def backward(
        self, dy: Array, cache: dict[str, Any], input_grad: bool = True
    ) -> tuple[Array | None, Grads]:
        children = list(self._children.items())
        first = 0
        if not input_grad:  # nothing below the first layer that learns needs a gradient
            first = next((i for i, (name, _) in enumerate(children) if self._learns(name)), len(children))
        grads: Grads = {}
        for i in range(len(children) - 1, first - 1, -1):
            name, layer = children[i]
            dy, more = layer.backward(dy, cache[name], input_grad or i > first)
            self._add_grads(grads, name, more)
        return dy if input_grad else None, grads

    _loop = (flow, forward, backward)

    def _with_last(self, name: str, layer: Layer | None) -> Container:
        children = self._children | {name: layer}
        return Sequential(**{child: each for child, each in children.items() if each is not None})

    def config(self) -> dict[str, Any]:
        return {"layers": dict(self._children)}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        return cls(**config["layers"])

    def __len__(self) -> int:
        return len(self._children)

    def __iter__(self) -> Iterator[Layer]:
        return iter(self._children.values())

    @overload
    def __getitem__(self, name: int | str) -> Layer: ...
    @overload
    def __getitem__(self, name: slice) -> Sequential: ...

    def __getitem__(self, name: int | str | slice) -> Layer | Sequential:
        if isinstance(name, slice):
            part = Sequential(**dict(list(self._children.items())[name]))
            part._frozen = {child: mode for child, mode in self._frozen.items() if child in part._children}
            if next(iter(part), None) is next(iter(self), None):
                part.input_shape, part.preprocessing = self.input_shape, self.preprocessing
            return part
        return super().__getitem__(name if isinstance(name, str) else list(self._children)[name])

    def __setitem__(self, name: int | str, layer: Layer) -> None:
        super().__setitem__(name if isinstance(name, str) else list(self._children)[name], layer)

    def __repr__(self) -> str:
        lines = []
        for i, (name, layer) in enumerate(self._children.items()):
            text = repr(layer)
            if name != str(i):
                text = f"{name}={text}" if name.isidentifier() else f"**{{{name!r}: {text}}}"
            lines.append(f"{text},".replace("\n", "\n  "))
        return "\n  ".join(["Sequential(", *lines]) + "\n)" if lines else "Sequential()"
