"""Keep few values of a forward pass in training; compute the others again in the backward pass."""

from __future__ import annotations

import contextlib
import copy
import functools
import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from neocog.layers.base import Array, Layer, random_generators
from neocog.layers.containers import Container

__all__ = ["Step", "divide", "forward_keeping_few"]

_MOST_PARTS = 32
"""The least limit of a segment's bytes that is tried is that part of all bytes."""


class Step(NamedTuple):
    """One step of a computation: the values that it reads, the one that it writes, and the bytes of that."""

    reads: Sequence[Hashable]
    writes: Hashable
    size: int


def divide(steps: Sequence[Step], end: Hashable) -> tuple[list[range], set[Hashable]]:
    """Divide steps, in order, into segments, so that the least memory is needed.

    Only values that one segment writes and a later one reads are kept; what else a segment has written is
    computed again before its backward pass. So the bytes in use at one time are about those that are kept and
    those of the largest segment. Their sum is about the least: for n alike steps in a chain sqrt(n) segments.

    Parameters
    ----------
    steps : sequence of Step
        Each reads what an earlier one writes, or an input, which is always kept.
    end : value
        What the steps are to compute.

    Returns
    -------
    segments : list of ranges
    kept : set of values

    Examples
    --------
    >>> chain = [Step([k], k + 1, size=1) for k in range(9)]
    >>> divide(chain, end=9)
    ([range(0, 3), range(3, 6), range(6, 9)], {3, 6})
    """
    if not steps:
        return [], set()
    count = len(steps)
    written = {step.writes: k for k, step in enumerate(steps)}
    last = _last_reads(steps, end)
    crossing = np.zeros(count + 2)  # bytes that are kept if a segment begins here
    for k, step in enumerate(steps):
        crossing[k + 1] += step.size
        crossing[last.get(step.writes, k) + 1] -= step.size
    crossing = np.cumsum(crossing)
    before = np.cumsum([0, *(step.size for step in steps)])  # bytes written before each step
    segments: list[range] = []
    least = math.inf
    for parts in range(1, _MOST_PARTS):
        limit = max(before[-1] / parts, *np.diff(before))  # bytes of a segment
        costs, starts = np.zeros(count + 1), [0] * (count + 1)
        for stop in range(1, count + 1):  # the best segment that ends here
            first = min(int(np.searchsorted(before, before[stop] - limit)), stop - 1)
            starts[stop] = start = first + int(np.argmin(costs[first:stop]))
            costs[stop] = costs[start] + crossing[stop] * (stop < count)
        if costs[count] + limit < least:
            least, segments, stop = costs[count] + limit, [], count
            while stop:
                segments.insert(0, range(starts[stop], stop))
                stop = starts[stop]
    begin = {k: segment.start for segment in segments for k in segment}
    kept = {value for value, k in written.items() if k < begin.get(last.get(value, k), 0)}
    return segments, kept


def _last_reads(steps: Sequence[Step], end: Hashable) -> dict[Hashable, int]:
    """Return the last step that reads each value, which is behind all steps for the ``end``."""
    return {value: k for k, step in enumerate(steps) for value in step.reads} | {end: len(steps)}


_divide = functools.lru_cache(maxsize=8)(divide)  # for each batch the same


@dataclass(eq=False)
class _Node:
    """A layer at one place: the numbers of the values that it reads and writes; 0 is the network's input."""

    layer: Layer
    training: bool
    inputs: tuple[int, ...]
    output: int

    def forward(self, values: dict[int, Array]) -> tuple[Array, Any]:
        x = tuple(values[value] for value in self.inputs)
        return self.layer.forward(x if self.layer.several_inputs else x[0], self.training)


class _Caches(dict[str, Any]):
    """The cache of a container: those of inner ones, and numbers of nodes in place of their caches."""

    def __init__(self, run: _Pass) -> None:
        super().__init__()
        self._run = run

    def __getitem__(self, name: str) -> Any:
        found = super().__getitem__(name)
        return found if isinstance(found, _Caches) else self._run.cache(found)


class _Pass:
    """One forward pass of a network; its backward pass asks for the caches from the last to the first."""

    def __init__(self, network: Container, x: Array) -> None:
        self.nodes: list[_Node] = []
        self.caches = _Caches(self)
        steps: list[Step] = []
        shapes = [tuple(x.shape)]

        def trace(container: Container, value: Any, training: bool, caches: _Caches) -> Any:
            def visit(name: str, layer: Layer, value: Any) -> Any:
                trains = container._trains(name, training)
                if isinstance(layer, Container) and layer.runs_children:
                    caches[name] = inner = _Caches(self)
                    return trace(layer, value, trains, inner)
                caches[name] = len(self.nodes)
                inputs = value if isinstance(value, tuple) else (value,)
                given: Any = tuple(shapes[each] for each in inputs)
                shapes.append(tuple(layer.output_shape(given if layer.several_inputs else given[0])))
                self.nodes.append(_Node(layer, trains, inputs, len(shapes) - 1))
                steps.append(Step(tuple(inputs), len(shapes) - 1, math.prod(shapes[-1])))
                return len(shapes) - 1

            return container.flow(visit, value)

        self.end = trace(network, 0, True, self.caches)
        self.segments, self.kept = _divide(tuple(steps), self.end)
        self.last = _last_reads(steps, self.end)
        self.values: dict[int, Array] = {0: x}  # those that are kept
        self.known: dict[int, Any] = {}  # caches
        self.states: dict[range, list[tuple[Any, Any]]] = {}

    def forward(self) -> Array:
        """Return the output. The caches of the last segment, the first to be read, are kept at once."""
        for segment in self.segments:
            rngs = [rng for k in segment for rng in random_generators(self.nodes[k].layer)]
            self.states[segment] = [(rng.bit_generator, rng.bit_generator.state) for rng in rngs]
            self._run(segment, self.values, segment is self.segments[-1])
        return self.values.pop(self.end)

    def _run(self, segment: range, values: dict[int, Array], keep_caches: bool) -> None:
        """Run the layers of a segment; forget each value that no later layer reads."""
        for k in segment:
            node = self.nodes[k]
            values[node.output], cache = node.forward(values)
            if keep_caches:
                self.known[k] = cache
            for value in {*node.inputs, node.output}:
                if self.last.get(value, k) == k and value not in self.kept and value:
                    del values[value]

    def cache(self, k: int) -> Any:
        """Return the cache of a node, which is then forgotten."""
        if k not in self.known:
            (segment,) = (each for each in self.segments if k in each)
            with _as_before([self.nodes[each].layer for each in segment], self.states[segment]):
                self._run(segment, dict(self.values), keep_caches=True)
        return self.known.pop(k)


@contextlib.contextmanager
def _as_before(layers: Sequence[Layer], states: Sequence[tuple[Any, Any]]) -> Iterator[None]:
    """Let layers draw the numbers of the first time again, and remember nothing of the second."""
    leaves = [leaf for layer in layers for _, leaf in layer.leaves()]
    now = [(bits, bits.state) for bits, _ in states]
    buffers = [leaf._buffers for leaf in leaves]
    for leaf in leaves:
        leaf._buffers = copy.deepcopy(leaf._buffers)
    for bits, state in states:
        bits.state = state
    try:
        yield
    finally:
        for leaf, own in zip(reversed(leaves), reversed(buffers), strict=True):  # a layer may come twice
            leaf._buffers = own
        for bits, state in now:
            bits.state = state


def forward_keeping_few(network: Layer, x: Array) -> tuple[Array, Any]:
    """Run a network forward in training, with a cache that computes again what it does not hold.

    The backward pass gives the very numbers of the ordinary one, for at most one more forward pass: layers
    draw the same random numbers again, and running statistics move once. Only layers inside of a Sequential
    or a Graph are computed again, not those that a container of another class runs itself.

    Parameters
    ----------
    network : Layer
    x : array

    Returns
    -------
    y : array
    cache
        For ``network.backward``.
    """
    if not isinstance(network, Container) or not network.runs_children:
        return network.forward(x, training=True)
    run = _Pass(network, x)
    return run.forward(), run.caches
