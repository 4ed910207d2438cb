"""Define modules that hold others: graphs and residual blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn


class Graph(nn.Module):
    """Modules joined into an acyclic graph, run in the order in which they are given.

    ``sources`` names where each takes its input from: a name, or a tuple of names for a module that takes
    a tuple.
    """

    def __init__(
        self,
        modules: Mapping[str, nn.Module],
        sources: Mapping[str, str | tuple[str, ...]],
        inputs: Sequence[str],
        output: str,
    ) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)
        self._sources, self._inputs, self._output = dict(sources), tuple(inputs), output

    def forward(self, x: Tensor) -> Tensor:
        return self._run((x,))

    def _run(self, x: Sequence[Tensor]) -> Tensor:
        values = dict(zip(self._inputs, x, strict=True))
        for name, sources in self._sources.items():
            given = values[sources] if isinstance(sources, str) else tuple(values[s] for s in sources)
            values[name] = self._modules[name](given)  # type: ignore[misc]
        return values[self._output]

    def extra_repr(self) -> str:
        return "\n".join(f"{sources} -> {name}" for name, sources in self._sources.items()).replace("'", "")


class GraphOfSeveralInputs(Graph):
    """A graph that is called with its inputs, or with a tuple of them."""

    def forward(self, *x: Any) -> Tensor:
        return self._run(x if len(x) > 1 else x[0])


class Residual(nn.Module):
    """``body(x) + shortcut(x)``, or ``body(x) + x``."""

    def __init__(self, body: nn.Module, shortcut: nn.Module | None = None) -> None:
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, x: Tensor) -> Tensor:
        around = x if self.shortcut is None else self.shortcut(x)
        total: Tensor = self.body(x) + around
        return total
