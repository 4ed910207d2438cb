"""Layers made of layers: a chain, any acyclic graph, a residual block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any, Self, overload

import numpy as np

from neocog.layers.activation import softmax
from neocog.layers.base import Array, Field, Grads, Layer, Visit, as_dtype
from neocog.layers.merge import Add
from neocog.validation import check_images, integer

if TYPE_CHECKING:
    from neocog.layers.summary import Summary


class Container(Layer):
    """Base of all containers, and what a network is to its user.

    A container defines :meth:`flow`, the path of a value through its children, and ``forward`` and
    ``backward``; shapes, FLOPs, receptive fields and walks all follow from ``flow``. Parameters carry dotted
    names. An array that stands at several places is listed once, under its first name, and its gradients
    add.

    Attributes
    ----------
    children : dict of str to Layer
    class_names : tuple of str or None
        What the outputs mean; travels with the model file.
    input_shape : (int, int, int) or None
        (channels, height, width) of the images; travels with the model file.
    """

    def __init__(self, children: Mapping[str, Layer]) -> None:
        super().__init__()
        for name, layer in children.items():
            if not isinstance(layer, Layer):
                raise TypeError(f"layer {name!r} must be a neocog Layer, got {layer!r}.")
            if not name or "." in name:
                raise ValueError(f"a layer's name may not be empty or contain a dot, got {name!r}.")
        self.children: dict[str, Layer] = dict(children)
        self.class_names: tuple[str, ...] | None = None
        self.input_shape: tuple[int, int, int] | None = None
        self._names = self._first_names()

    def _first_names(self) -> dict[tuple[str, str], str]:
        """Map (child, its array's name) to the dotted name under which that array was first met."""
        names: dict[tuple[str, str], str] = {}
        first: dict[int, str] = {}
        for child, layer in self.children.items():
            for name, array in [*layer.params.items(), *layer.buffers.items()]:
                names[child, name] = first.setdefault(id(array), f"{child}.{name}")
        return names

    @property
    def params(self) -> dict[str, Array]:
        """Learned arrays by dotted name, each once."""
        return self._collect("params")

    @property
    def buffers(self) -> dict[str, Array]:
        """Remembered arrays by dotted name, each once."""
        return self._collect("buffers")

    def _collect(self, kind: str) -> dict[str, Array]:
        arrays: dict[str, Array] = {}
        for child, layer in self.children.items():
            for name, array in getattr(layer, kind).items():
                arrays.setdefault(self._names[child, name], array)
        return arrays

    def _add_grads(self, grads: Grads, child: str, more: Grads) -> None:
        """Enter a child's gradients under their dotted names; those of a shared array add."""
        for name, gradient in more.items():
            name = self._names[child, name]
            grads[name] = grads[name] + gradient if name in grads else gradient

    def flow(self, visit: Visit, x: Any) -> Any:
        """Carry ``x`` through the children: ``visit(name, layer, value) -> value`` at each."""
        raise NotImplementedError

    def walk(self, visit: Visit, x: Any, name: str = "") -> Any:
        prefix = f"{name}." if name else ""
        return self.flow(lambda child, layer, value: layer.walk(visit, value, prefix + child), x)

    def leaves(self, prefix: str = "") -> Iterator[tuple[str, Layer]]:
        for name, layer in self.children.items():
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

    def summary(self, input_shape: tuple[int, ...] | None = None, *, show: bool = True) -> Summary:
        """Print output shape, parameters, FLOPs and receptive field of every layer; return them as data.

        Parameters
        ----------
        input_shape : (N, C, H, W), default one image of ``self.input_shape``
        show : bool
            False only returns.

        Raises
        ------
        ValueError
            If the shape is unknown or does not fit the network.
        """
        from neocog.layers.summary import summarize

        if input_shape is None:
            if self.input_shape is None:
                raise ValueError("input_shape is not known to this network: pass (N, C, H, W).")
            input_shape = (1, *self.input_shape)
        table = summarize(self, input_shape)
        if show:
            table.print()
        return table

    def predict_logits(self, images: Array, batch_size: int = 256) -> Array:
        """Run the network in inference, batch by batch.

        Parameters
        ----------
        images : floating point array (N, C, H, W), or lazy images

        Returns
        -------
        array (N, classes)

        Raises
        ------
        TypeError, ValueError
            If the images are not floating point, not finite, empty or of a wrong shape.
        """
        images = check_images("images", images)
        integer("batch_size", batch_size)
        if len(images) == 0:
            raise ValueError("images must not be empty.")
        batches = (images[start : start + batch_size] for start in range(0, len(images), batch_size))
        return np.concatenate([self(as_dtype(batch, self.dtype)) for batch in batches])

    def predict_proba(self, images: Array, batch_size: int = 256) -> Array:
        """Probability of each class, the softmax of the logits: (N, C, H, W) -> (N, classes)."""
        return softmax(self.predict_logits(images, batch_size))

    def predict(self, images: Array, batch_size: int = 256) -> Array:
        """Index of the most probable class: (N, C, H, W) -> (N,)."""
        return self.predict_logits(images, batch_size).argmax(axis=1)


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
        if len(self.children) != len(layers) + len(named):
            raise ValueError("a named layer may not take the number of another.")

    def flow(self, visit: Visit, x: Any) -> Any:
        for name, layer in self.children.items():
            x = visit(name, layer, x)
        return x

    def forward(self, x: Array, training: bool = False) -> tuple[Array, dict[str, Any]]:
        cache = {}
        for name, layer in self.children.items():
            x, cache[name] = layer.forward(x, training)
        return x, cache

    def backward(
        self, dy: Array, cache: dict[str, Any], input_grad: bool = True
    ) -> tuple[Array | None, Grads]:
        children = list(self.children.items())
        first = 0
        if not input_grad:  # nothing below the first layer with parameters needs a gradient
            first = next((i for i, (_, layer) in enumerate(children) if layer.params), len(children))
        grads: Grads = {}
        for i in range(len(children) - 1, first - 1, -1):
            name, layer = children[i]
            dy, more = layer.backward(dy, cache[name], input_grad or i > first)
            self._add_grads(grads, name, more)
        return dy if input_grad else None, grads

    def config(self) -> dict[str, Any]:
        return {"layers": dict(self.children)}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        return cls(**config["layers"])

    def __len__(self) -> int:
        return len(self.children)

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.children.values())

    @overload
    def __getitem__(self, key: int | str) -> Layer: ...
    @overload
    def __getitem__(self, key: slice) -> Sequential: ...

    def __getitem__(self, key: int | str | slice) -> Layer | Sequential:
        if isinstance(key, slice):
            return Sequential(**dict(list(self.children.items())[key]))
        if isinstance(key, str):
            if key not in self.children:
                raise KeyError(f"no layer {key!r}; the layers are {list(self.children)}.")
            return self.children[key]
        return list(self.children.values())[key]

    def __repr__(self) -> str:
        lines = []
        for i, (name, layer) in enumerate(self.children.items()):
            label = "" if name == str(i) else f"{name}="
            lines.append(f"{label}{layer!r},".replace("\n", "\n  "))
        return "\n  ".join(["Sequential(", *lines]) + "\n)" if lines else "Sequential()"


class Graph(Container):
    """Layers joined into any acyclic graph.

    Forward: each node applies its layer to the values of its sources. Backward: the chain rule against the
    order of the arrows; where a value or a layer is used several times, its gradients add.

    Parameters
    ----------
    nodes : mapping of str to (Layer, str, ...)
        Each node's layer and the names of its sources, in any order. A layer may stand at several nodes.
    inputs : sequence of str
        Names of the inputs; with more than one, ``x`` is a tuple.
    output : str, default the last node
        The node whose value is the result.

    Raises
    ------
    ValueError
        On an unknown source, a cycle, or a name used twice.

    Examples
    --------
    >>> from neocog.layers import Add, Conv2D
    >>> graph = Graph({"conv": (Conv2D(2, 2, 3, padding=1), "input"), "sum": (Add(), "conv", "input")})
    >>> graph.output_shape((1, 2, 8, 8))
    (1, 2, 8, 8)
    """

    def __init__(
        self,
        nodes: Mapping[str, tuple[Any, ...]],
        inputs: tuple[str, ...] = ("input",),
        output: str | None = None,
    ) -> None:
        if not nodes:
            raise ValueError("nodes must not be empty.")
        self.inputs = tuple(inputs)
        self.sources = {name: tuple(node[1:]) for name, node in nodes.items()}
        self.output = list(nodes)[-1] if output is None else output
        known = {*nodes, *self.inputs}
        if len(known) != len(nodes) + len(self.inputs) or not self.inputs:
            raise ValueError(f"inputs {self.inputs} must be unique names that no node has.")
        for name, sources in self.sources.items():
            if not sources or not known.issuperset(sources):
                raise ValueError(f"node {name!r} must have sources among {sorted(known)}, got {sources}.")
        if self.output not in nodes:
            raise ValueError(f"output must be one of the nodes {list(nodes)}, got {self.output!r}.")
        try:
            order = [name for name in TopologicalSorter(self.sources).static_order() if name in nodes]
        except CycleError as error:
            raise ValueError(f"nodes must not form a cycle, got {' -> '.join(error.args[1])}.") from None
        needed = self._needed()
        super().__init__({name: nodes[name][0] for name in order if name in needed})
        self.several_inputs = len(self.inputs) > 1
        read = {source for name in self.children for source in self.sources[name]}
        unused = [name for name in nodes if name not in self.children]
        unused += [name for name in self.inputs if name not in read]
        if unused:
            raise ValueError(f"nodes or inputs {unused} do not lead to the output {self.output!r}.")
        for name, layer in self.children.items():
            if len(self.sources[name]) > 1 and not layer.several_inputs:
                raise ValueError(
                    f"node {name!r} must have one source, as {type(layer).__name__} takes one input, got "
                    f"{self.sources[name]}; join them by Add or Concat."
                )

    def _needed(self) -> set[str]:
        """Nodes from which the output can be reached."""
        needed: set[str] = set()
        frontier = [self.output]
        while frontier:
            name = frontier.pop()
            if name not in needed:
                needed.add(name)
                frontier.extend(source for source in self.sources[name] if source in self.sources)
        return needed

    def _gather(self, values: Mapping[str, Any], name: str) -> Any:
        sources = tuple(values[source] for source in self.sources[name])
        return sources if self.children[name].several_inputs else sources[0]

    def _named_inputs(self, x: Any) -> dict[str, Any]:
        return dict(zip(self.inputs, x if self.several_inputs else (x,), strict=True))

    def flow(self, visit: Visit, x: Any) -> Any:
        values = self._named_inputs(x)
        for name, layer in self.children.items():
            values[name] = visit(name, layer, self._gather(values, name))
        return values[self.output]

    def forward(self, x: Any, training: bool = False) -> tuple[Array, dict[str, Any]]:
        cache: dict[str, Any] = {}

        def step(name: str, layer: Layer, value: Any) -> Any:
            y, cache[name] = layer.forward(value, training)
            return y

        return self.flow(step, x), cache

    def backward(self, dy: Array, cache: dict[str, Any], input_grad: bool = True) -> tuple[Any, Grads]:
        wanted = self._wanted(input_grad)
        derivatives: dict[str, Array] = {self.output: dy}
        grads: Grads = {}
        for name, layer in reversed(self.children.items()):
            if name not in wanted:
                continue
            sources = self.sources[name]
            needs_dx = any(source in wanted for source in sources)
            dx, more = layer.backward(derivatives.pop(name), cache[name], needs_dx)
            self._add_grads(grads, name, more)
            if not needs_dx:
                continue
            for source, part in zip(sources, dx if layer.several_inputs else (dx,), strict=True):
                if source in wanted:
                    known = derivatives.get(source)
                    derivatives[source] = part if known is None else known + part
        if not input_grad:
            return None, grads
        dxs = tuple(derivatives[name] for name in self.inputs)
        return dxs if self.several_inputs else dxs[0], grads

    def _wanted(self, input_grad: bool) -> set[str]:
        """Values whose derivative something needs: a parameter at or before it, or the caller."""
        wanted = set(self.inputs) if input_grad else set()
        for name, layer in self.children.items():
            if layer.params or any(source in wanted for source in self.sources[name]):
                wanted.add(name)
        return wanted

    def config(self) -> dict[str, Any]:
        nodes = {name: (layer, *self.sources[name]) for name, layer in self.children.items()}
        return {"nodes": nodes, "inputs": self.inputs, "output": self.output}

    def __repr__(self) -> str:
        lines = []
        for name, layer in self.children.items():
            sources = ", ".join(map(repr, self.sources[name]))
            lines.append(f"{name!r}: ({layer!r}, {sources}),".replace("\n", "\n  "))
        tail = "})" if self.inputs == ("input",) else f"}}, inputs={self.inputs})"
        return "\n  ".join(["Graph({", *lines]) + "\n" + tail


class Residual(Graph):
    """A block and a way around it.

    Forward: ``y = body(x) + shortcut(x)``. Backward: ``dx = dbody(dy) + dshortcut(dy)``.

    Parameters
    ----------
    body : Layer
    shortcut : Layer, optional
        Default: ``x`` itself.

    Notes
    -----
    Shapes: whatever ``body`` makes of ``x``; ``shortcut`` must make the same.

    Source: K. He et al., "Deep residual learning for image recognition", 2016.

    Examples
    --------
    >>> from neocog.layers import Conv2D
    >>> Residual(Conv2D(2, 2, 3, padding=1)).output_shape((1, 2, 8, 8))
    (1, 2, 8, 8)
    """

    def __init__(self, body: Layer, shortcut: Layer | None = None) -> None:
        self.body, self.shortcut = body, shortcut
        nodes: dict[str, tuple[Any, ...]] = {"body": (body, "input")}
        if shortcut is not None:
            nodes["shortcut"] = (shortcut, "input")
        nodes["add"] = (Add(), "body", "input" if shortcut is None else "shortcut")
        super().__init__(nodes)

    def config(self) -> dict[str, Any]:
        return {"body": self.body, "shortcut": self.shortcut}

    __repr__ = Layer.__repr__
