"""Record what a program was compiled from, to detect that a network has changed since."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from neocog.compilation.emitter import lowering_of
from neocog.layers import Container
from neocog.layers.base import Layer

__all__ = ["State", "network_arrays"]


def network_arrays(network: Layer) -> list[tuple[dict[str, Any], str, Any]]:
    """List all arrays of a network as (the dict that holds it, its key, the array)."""
    leaves = {id(leaf): leaf for _, leaf in network.leaves()}.values()
    return [
        (owner, name, array)
        for leaf in leaves
        for owner in (leaf.params, leaf.buffers)
        for name, array in owner.items()
    ]


def _containers(network: Layer) -> Iterator[Container]:
    if isinstance(network, Container):
        yield network
        for layer in network._children.values():
            yield from _containers(layer)


class State:
    """The layers, arrays and settings of a network when it was compiled."""

    def __init__(self, network: Layer) -> None:
        self.network, self.dtype = network, network.dtype
        self._children = [(each, each._children, each._frozen) for each in _containers(network)]
        self._arrays = network_arrays(network)
        self._settings: list[tuple[Layer, Callable[[Any], Any], Any]] = []
        for _, leaf in network.leaves():
            lowering = lowering_of(type(leaf))
            settings = None if lowering is None else lowering.settings_of(type(leaf))
            if settings is not None:
                self._settings.append((leaf, settings, settings(leaf)))

    def current(self) -> bool:
        """Return whether no layer, array or setting of the network has been replaced since."""
        for container, children, frozen in self._children:  # replaced, never changed
            if container._children is not children or container._frozen is not frozen:
                return False
        for owner, name, array in self._arrays:
            if owner.get(name) is not array:
                return False
        for leaf, settings, values in self._settings:  # noqa: SIM110 - a loop is quicker
            if settings(leaf) != values:
                return False
        return True
