"""Build nested containers from a flat list of layers with dotted names.

``layer1.0.conv1`` and ``layer1.0.relu`` become a container ``layer1`` with a container ``0`` in it, so that
parameters keep their names. Layers of a group that cannot be one container, because the values of several of
them are used elsewhere or other layers with parameters stand between them, are placed beside the others,
named
``layer1_0``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeAlias

from neocog.layers import Add, Container, Graph, Layer, Residual, Sequential

Nodes: TypeAlias = dict[str, tuple[Any, ...]]
"""Each node's layer and the names of its sources, as :class:`Graph` takes them, each behind its sources."""


def assemble(nodes: Nodes, inputs: Sequence[str], output: str, chain: bool = True) -> Container:
    """Join nodes, all of which lead to the output, in a container.

    A Sequential for a chain, unless ``chain=False``; a Residual for ``add = body(x) + shortcut(x)``; a Graph
    for anything else. Nodes with dots in their names get containers of their own.
    """
    while group := next((name.partition(".")[0] for name in nodes if "." in name), ""):
        nodes, output = _nest(nodes, inputs, output, group)
    layers = {name: layer for name, (layer, *_) in nodes.items()}
    is_chain = len(inputs) == 1 and all(
        not layer.several_inputs and sources == [before]
        for before, (layer, *sources) in zip([*inputs, *nodes], nodes.values(), strict=False)
    )
    if chain and is_chain:
        return Sequential(**layers)
    if _is_residual(nodes, inputs):
        return Residual(layers["body"], layers.get("shortcut"))
    return Graph(nodes, inputs, output)


def has_arrays(layer: Layer) -> bool:
    """Return whether a layer has parameters or buffers, which are named after it."""
    return bool(layer.params or layer.buffers)


def apart(name: str, names: Collection[str]) -> str:
    """Append underscores to a name until it differs from all others."""
    while name in names:
        name += "_"
    return name


def needed(nodes: Nodes, output: str) -> Nodes:
    """Leave out the nodes that do not lead to the output."""
    found = {output}
    for name in reversed(nodes):
        if name in found:
            found.update(nodes[name][1:])
    return {name: node for name, node in nodes.items() if name in found}


def renamed(nodes: Nodes, names: Mapping[str, str]) -> Nodes:
    """Rename nodes, and sources with them."""
    return {
        names.get(name, name): (layer, *(names.get(source, source) for source in sources))
        for name, (layer, *sources) in nodes.items()
    }


def _nest(nodes: Nodes, inputs: Sequence[str], output: str, group: str) -> tuple[Nodes, str]:
    """Put the nodes of a group, and those between them, into a container; return all nodes and the output.

    Where they cannot be one container, the first dot in their names is replaced instead.
    """
    members = [name for name in nodes if name.startswith(f"{group}.")]
    region = _between(nodes, members)
    outside = {name: node for name, node in nodes.items() if name not in region}
    read = {output, *(source for _, *sources in outside.values() for source in sources)}
    results = [name for name in region if name in read]
    inner = {name: name.removeprefix(f"{group}.") for name in region}
    foreign = any(has_arrays(nodes[name][0]) for name in region if name not in members)
    if len(results) > 1 or foreign or group in {*nodes, *inputs} or len({*inner.values()}) < len(inner):
        flat = {name: apart(name.replace(".", "_", 1), {*nodes, *inputs}) for name in members}
        return renamed(nodes, flat), flat.get(output, output)
    (result,) = results
    sources = list(dict.fromkeys(s for name in region for s in nodes[name][1:] if s not in region))
    taken = {name.partition(".")[0] for name in inner.values()}
    own_inputs: dict[str, str] = {}
    for source in sources:
        wanted = "input" if len(sources) == 1 else source.replace(".", "_")
        own_inputs[source] = apart(wanted, {*taken, *own_inputs.values()})
    inside = renamed({name: nodes[name] for name in region}, inner | own_inputs)
    container = assemble(inside, list(own_inputs.values()), inner[result])
    # In the place of its result: after all nodes that it reads, before all that read it.
    joined = {
        name: (container, *sources) if name == result else node
        for name, node in nodes.items()
        if name == result or name in outside
    }
    return renamed(joined, {result: group}), group if output == result else output


def _between(nodes: Nodes, members: Collection[str]) -> list[str]:
    """Return the members, and the nodes on the paths between them."""
    after, before = {*members}, {*members}
    for name, (_, *sources) in nodes.items():
        if not after.isdisjoint(sources):
            after.add(name)
    for name in reversed(nodes):
        if name in before:
            before.update(nodes[name][1:])
    return [name for name in nodes if name in after and name in before]


def _is_residual(nodes: Nodes, inputs: Sequence[str]) -> bool:
    """Return whether nodes have the names and the sources of a Residual."""
    if len(inputs) != 1 or not {"body", "add"} <= nodes.keys() <= {"body", "add", "shortcut"}:
        return False
    branches = ["body", "shortcut" if "shortcut" in nodes else inputs[0]]
    layer, *sources = nodes["add"]
    return (
        isinstance(layer, Add)
        and sources == branches
        and all(nodes[name][1:] == (*inputs,) for name in nodes if name != "add")
    )
