"""Compute what lies before the first layer that learns once for each image, instead of in each epoch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from neocog.budgets import limit
from neocog.data.batches import batches
from neocog.kernels import active_kernels, active_precision
from neocog.layers import Container, Graph, Layer, Sequential
from neocog.layers.base import as_dtype, generator_places
from neocog.optimizers import Optimizer

__all__ = ["Features", "divide"]

AT_ONCE = 64
"""Images whose features are computed at once."""


@dataclass(frozen=True)
class Features:
    """The outputs of a network's frozen part for all images, and the rest of it.

    Attributes
    ----------
    network : Container
        What is computed from the features; its layers are the network's own.
    train, validation : array or None
    """

    network: Container
    train: np.ndarray
    validation: np.ndarray | None

    @classmethod
    def of(
        cls, network: Layer, optimizer: Optimizer, train: Any, validation: Any | None
    ) -> tuple[Self | None, str]:
        """Compute the features of images; return them, or None, and what to say of it, if anything."""
        parts = divide(network)
        if parts is None:
            return None, ""
        trunk, rest = parts
        try:
            optimizer.factors(rest.params)
        except ValueError:
            return None, "the frozen layers are computed in each epoch, as rates name some of them"
        dtype = np.dtype(network.dtype or np.float32)
        shape = tuple(trunk.output_shape((1, *train.shape[1:])))[1:]
        images = len(train) + (0 if validation is None else len(validation))
        size = images * math.prod(shape) * dtype.itemsize
        if size > limit("features"):
            return None, (
                f"the frozen layers are computed in each epoch: their outputs for {images} images would take "
                f"{size:,} bytes, more than {limit('features'):,} (NEOCOG_BUDGET_FEATURES)"
            )
        kept = _outputs(trunk, train, shape, dtype)
        measured = None if validation is None else _outputs(trunk, validation, shape, dtype)
        numbers = " x ".join(map(str, shape))
        return cls(rest, kept, measured), (
            f"features of {images} images computed once, not in each epoch: {numbers} numbers an image, "
            f"from {sum(1 for _ in trunk.leaves())} frozen layers"
        )


def _outputs(trunk: Container, images: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    run = trunk.for_inference(active_precision()) if active_kernels() == "fused" else trunk
    made = np.empty((len(images), *shape), dtype)
    for x, places in batches(images, np.arange(len(images)), AT_ONCE):
        made[places] = run(as_dtype(np.asarray(x), dtype))
    return made


def divide(network: Layer) -> tuple[Container, Container] | None:
    """Divide a network into the part before everything that learns or draws, and the rest.

    The layers are shared, and those of the rest keep their names.

    Returns
    -------
    trunk, rest : Container
        None where there is no such part, or more than one of its values is used by the rest.

    Examples
    --------
    >>> from neocog.models import tiny_cnn
    >>> network = tiny_cnn()
    >>> divide(network) is None
    True
    >>> network.freeze("features")
    >>> trunk, rest = divide(network)
    >>> list(trunk.children), list(rest.children)
    (['conv1', 'relu1', 'pool1', 'flatten'], ['dense'])
    """
    if not isinstance(network, Container) or not network.runs_children or network.several_inputs:
        return None
    parts = _chain(network) if isinstance(network, Sequential) else _graph(network)
    if parts is None or not parts[0].params:
        return None
    own = {id(array) for array in parts[0].params.values()}
    if any(id(array) in own for array in parts[1].params.values()):  # whose name would be another
        return None
    return parts


def _chain(network: Container) -> tuple[Container, Container] | None:
    fixed, rest = {}, dict(network.children)
    for name in network.children:
        if not _is_fixed(network, name):
            break
        fixed[name] = rest.pop(name)
    name, first = next(iter(rest.items()), ("", None))
    if first is not None and (inner := divide(first)) is not None:
        fixed[name], rest[name] = inner
    return (Sequential(**fixed), _with_marks(Sequential(**rest), network)) if rest else None


def _graph(network: Container) -> tuple[Container, Container] | None:
    if not isinstance(network, Graph):
        return None
    fixed = set(network.inputs)
    for name in network.children:
        if _is_fixed(network, name) and fixed.issuperset(network.sources[name]):
            fixed.add(name)
    nodes = {name: (layer, *network.sources[name]) for name, layer in network.children.items()}
    rest = {name: node for name, node in nodes.items() if name not in fixed}
    crossing = {source for _, *sources in rest.values() for source in sources} & fixed
    if len(crossing) != 1 or crossing & set(network.inputs):
        return None
    (value,) = crossing
    trunk = Graph({name: node for name, node in nodes.items() if name in fixed}, network.inputs, value)
    return trunk, _with_marks(Graph(rest, (value,), network.output), network)


def _with_marks(part: Container, network: Container) -> Container:
    part._frozen = {child: mode for child, mode in network._frozen.items() if child in part.children}
    return part


def _is_fixed(container: Container, child: str) -> bool:
    """Return whether a child computes the same in training as in inference, and nothing of it learns."""
    layer = container.children[child]
    if isinstance(layer, Container) and layer.runs_children:
        return all(_is_fixed(layer, inner) for inner in layer.children)
    return container._frozen.get(child, False) or all(_is_plain(leaf) for leaf in _leaves(layer))


def _leaves(layer: Layer) -> Iterator[Layer]:
    yield layer
    yield from (leaf for _, leaf in layer.leaves())


def _is_plain(layer: Layer) -> bool:
    """Return whether a layer that is not frozen is one of neocog's own that neither learns nor draws."""
    own = type(layer).__module__.startswith("neocog.layers.")
    return own and not layer.params and not generator_places(layer)
