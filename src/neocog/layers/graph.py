"""Define graphs of layers, and the residual block, the most common one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any

from neocog.layers.base import Array, Grads, Layer, Visit
from neocog.layers.containers import Container, Sequential, backward_in_one_program, forward_in_one_program
from neocog.layers.merge import Add


class Graph(Container):
    """Layers joined into any acyclic graph.

    Forward: each node applies its layer to the values of its sources. Backward: the chain rule against the
    order of the arrows; where a value or a layer is used several times, its gradients add.

    Parameters
    ----------
    nodes : mapping of str to (Layer, str, ...)
        Each node's layer and the names of its sources, in any order. A layer may occur at several nodes.
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
        inputs: Sequence[str] = ("input",),
        output: str | None = None,
    ) -> None:
        if not nodes:
            raise ValueError("nodes must not be empty.")
        if not isinstance(inputs, tuple | list):
            raise TypeError(f"inputs must be a tuple of names, got {inputs!r}.")
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
        read = {source for name in self._children for source in self.sources[name]}
        unused = [name for name in nodes if name not in self._children]
        unused += [name for name in self.inputs if name not in read]
        if unused:
            raise ValueError(f"nodes or inputs {unused} do not lead to the output {self.output!r}.")
        for name, layer in self._children.items():
            if len(self.sources[name]) > 1 and not layer.several_inputs:
                raise ValueError(
                    f"node {name!r} must have one source, as {type(layer).__name__} takes one input, got "
                    f"{self.sources[name]}; join them by Add or Concat."
                )

    def _needed(self) -> set[str]:
        """Return the nodes from which the output can be reached."""
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
        return sources if self._children[name].several_inputs else sources[0]

    def _named_inputs(self, x: Any) -> dict[str, Any]:
        if not self.several_inputs:
            return {self.inputs[0]: x}
        if not isinstance(x, tuple | list) or len(x) != len(self.inputs):
            raise ValueError(f"the graph needs a tuple of the inputs {self.inputs}.")
        return dict(zip(self.inputs, x, strict=True))

    def flow(self, visit: Visit, x: Any) -> Any:
        values = self._named_inputs(x)
        for name, layer in self._children.items():
            values[name] = visit(name, layer, self._gather(values, name))
        return values[self.output]

    @forward_in_one_program
    def forward(self, x: Any, training: bool = False) -> tuple[Array, dict[str, Any]]:
        cache: dict[str, Any] = {}

        def step(name: str, layer: Layer, value: Any) -> Any:
            y, cache[name] = layer.forward(value, self._trains(name, training))
            return y

        return self.flow(step, x), cache

    @backward_in_one_program
    def backward(self, dy: Array, cache: dict[str, Any], input_grad: bool = True) -> tuple[Any, Grads]:
        wanted = self._wanted(input_grad)
        derivatives: dict[str, Array] = {self.output: dy}
        grads: Grads = {}
        for name, layer in reversed(self._children.items()):
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
        """Return the values whose derivative the caller needs, or what learns at or before them."""
        wanted = set(self.inputs) if input_grad else set()
        for name in self._children:
            if self._learns(name) or any(source in wanted for source in self.sources[name]):
                wanted.add(name)
        return wanted

    _loop = (flow, forward, backward)

    def _with_last(self, name: str, layer: Layer | None) -> Container:
        nodes = {child: (each, *self.sources[child]) for child, each in self._children.items()}
        if layer is not None:
            return Graph(nodes | {name: (layer, *self.sources[name])}, self.inputs, self.output)
        del nodes[name]
        (source,) = self.sources[name]
        for child, (each, *sources) in nodes.items():
            nodes[child] = (each, *(source if before == name else before for before in sources))
        output = source if self.output == name else self.output
        return Graph(nodes, self.inputs, output) if nodes else Sequential()

    def config(self) -> dict[str, Any]:
        nodes = {name: (layer, *self.sources[name]) for name, layer in self._children.items()}
        return {"nodes": nodes, "inputs": self.inputs, "output": self.output}

    def __repr__(self) -> str:
        lines = []
        for name, layer in self._children.items():
            sources = ", ".join(map(repr, self.sources[name]))
            lines.append(f"{name!r}: ({layer!r}, {sources}),".replace("\n", "\n  "))
        tail = "})" if self.inputs == ("input",) else f"}}, inputs={self.inputs})"
        return "\n  ".join(["Graph({", *lines]) + "\n" + tail


class Residual(Graph):
    """A block and a shortcut around it.

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
        nodes: dict[str, tuple[Any, ...]] = {"body": (body, "input")}
        if shortcut is not None:
            nodes["shortcut"] = (shortcut, "input")
        nodes["add"] = (Add(), "body", "input" if shortcut is None else "shortcut")
        super().__init__(nodes)

    def config(self) -> dict[str, Any]:
        return {name: self.children.get(name) for name in ("body", "shortcut")}

    __repr__ = Layer.__repr__
