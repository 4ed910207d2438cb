"""From a flat list of layers with dotted names to containers in containers.

``layer1.0.conv1`` and ``layer1.0.relu`` become a container ``layer1`` with a container ``0`` in it, so that
parameters have the names that they had. A group that is no container, as something outside stands between
its layers or reads them halfway, keeps its layers beside the others, as ``layer1_0``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any, TypeAlias

from neocog.layers import Add, Container, Graph, Layer, Residual, Sequential

Nodes: TypeAlias = dict[str, tuple[Any, ...]]

DEEPEST = 16


def dotted_name(wanted: str) -> str:
    """Return a name of letters, digits, ``_``, ``-`` and dots between them."""
    parts = [re.sub(r"[^\w-]+", "_", part).strip("_") for part in wanted.split(".")]
    parts = [part for part in parts if part] or ["layer"]
    return ("." if len(parts) <= DEEPEST else "_").join(parts)


def assembled(nodes: Mapping[str, tuple[Any, ...]], output: str, inputs: tuple[str, ...]) -> Container:
    """Build the network: containers for groups of names, a Sequential for a chain, a Graph for anything else.

    Parameters
    ----------
    nodes : mapping of str to (Layer, str, ...)
        In an order in which they can be computed; all lead to the output.
    output : str
    inputs : tuple of str
    """
    nodes = dict(nodes)
    while group := next((name.partition(".")[0] for name in nodes if "." in name), ""):
        nodes, output = _grouped(nodes, group, output, inputs)
    return _container(nodes, inputs, output)


def has_arrays(layer: Layer) -> bool:
    """Whether a layer has weights or statistics, which are known by its name."""
    return bool(layer.params or layer.buffers)


def at_home(nodes: Mapping[str, tuple[Any, ...]], output: str) -> tuple[Nodes, str]:
    """Give layers without weights that stand inside a group a name of that group.

    A ReLU between ``layer1.0.conv1`` and ``layer1.0.conv2`` is called ``relu`` by some exporters; here it
    becomes ``layer1.0.relu``, and so does a sum of two values of the group.
    """
    homeless = {name for name, (layer, *_) in nodes.items() if "." not in name and not has_arrays(layer)}
    readers: dict[str, list[str]] = {name: [] for name in nodes}
    for name, (_, *sources) in nodes.items():
        for source in sources:
            readers.get(source, []).append(name)
    before: dict[str, list[str]] = {}  # groups from which each layer's value comes: the nearest, one a source
    for name, (_, *sources) in nodes.items():
        if name in homeless:
            groups = [group for source in sources for group in before.get(source, [""])]
            before[name] = list(dict.fromkeys(groups))
        else:
            before[name] = [name.rpartition(".")[0]]
    after: dict[str, str] = {}  # the group to which all readers of each layer belong
    for name in reversed(list(nodes)):
        groups = [
            after[reader] if reader in homeless else reader.rpartition(".")[0] for reader in readers[name]
        ]
        after[name] = _common(groups) if groups and name != output else ""
    names = {}
    for name in nodes:
        if name in homeless:
            between = max((_common([group, after[name]]) for group in before[name]), key=len)
            joined = _common(before[name]) if len(set(nodes[name][1:])) > 1 else ""
            home = max(between, joined, key=len)
            if home and f"{home}.{name}" not in nodes:
                names[name] = f"{home}.{name}"
    return _renamed(dict(nodes), names), names.get(output, output)


def _common(groups: Sequence[str]) -> str:
    """The innermost group that holds all of these."""
    paths = [group.split(".") if group else [] for group in groups]
    shared = takewhile(lambda parts: len(set(parts)) == 1, zip(*paths, strict=False))
    return ".".join(parts[0] for parts in shared)


def _grouped(nodes: Nodes, group: str, output: str, inputs: tuple[str, ...]) -> tuple[Nodes, str]:
    """Put the nodes named ``group. ...`` into a container, or give them names without that first dot."""
    taken = {*nodes, *inputs}
    members = {name: node for name, node in nodes.items() if name.startswith(f"{group}.")}
    outside = {name: node for name, node in nodes.items() if name not in members}
    read = {source for _, *sources in outside.values() for source in sources} | {output}
    results = [name for name in members if name in read]
    sources = list(dict.fromkeys(s for _, *ss in members.values() for s in ss if s not in members))
    if len(results) != 1 or group in taken:
        renamed = {name: name.replace(".", "_", 1) for name in members}
        while set(renamed.values()) & taken:
            renamed = {name: f"{new}_" for name, new in renamed.items()}
        return _renamed(nodes, renamed), renamed.get(output, output)
    inner = {name.partition(".")[2]: node for name, node in members.items()}
    names = ("input",) if len(sources) == 1 else tuple(source.replace(".", "_") for source in sources)
    while set(names) & {name.partition(".")[0] for name in inner}:
        names = tuple(f"{name}_" for name in names)
    places = dict(zip(sources, names, strict=True)) | {name: name.partition(".")[2] for name in members}
    inner = {name: (layer, *(places[source] for source in ss)) for name, (layer, *ss) in inner.items()}
    container = assembled(inner, places[results[0]], names)
    # The container stands where its one result stood: that is the last of its layers, as all of them lead to
    # it, so whatever they read is before it, and whatever reads it behind.
    (result,) = results
    joined: Nodes = {}
    for name, node in nodes.items():
        if name == result:
            joined[group] = (container, *sources)
        elif name not in members:
            joined[name] = _renamed({name: node}, {result: group})[name] if result in node else node
    return joined, group if output == result else output


def _renamed(nodes: Nodes, names: Mapping[str, str]) -> Nodes:
    return {
        names.get(name, name): (layer, *(names.get(source, source) for source in sources))
        for name, (layer, *sources) in nodes.items()
    }


def _container(nodes: Nodes, inputs: tuple[str, ...], output: str) -> Container:
    previous = [*inputs, *nodes]
    chain = len(inputs) == 1 and all(
        not layer.several_inputs and sources == [before]
        for before, (layer, *sources) in zip(previous, nodes.values(), strict=False)
    )
    if chain:
        return Sequential(**{name: layer for name, (layer, *_) in nodes.items()})
    layers = {name: layer for name, (layer, *_) in nodes.items()}
    around = ["body", "shortcut" if "shortcut" in layers else inputs[0]]
    if (
        len(inputs) == 1
        and set(layers) == {"body", "add", *around} - {inputs[0]}
        and isinstance(layers["add"], Add)
        and list(nodes["add"][1:]) == around
        and all(nodes[name][1:] == inputs for name in layers if name != "add")
    ):
        return Residual(layers["body"], layers.get("shortcut"))
    return Graph(nodes, inputs, output)
