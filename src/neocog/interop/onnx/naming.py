"""Name layers after ONNX nodes, and move layers named outside any group into the group around them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import takewhile

from neocog.interop.nesting import Nodes, has_arrays, renamed

DEEPEST = 16


def dotted_name(wanted: str) -> str:
    """Return a name of letters, digits, ``_``, ``-`` and dots between them."""
    parts = [re.sub(r"[^\w-]+", "_", part).strip("_") for part in wanted.split(".")]
    parts = [part for part in parts if part] or ["layer"]
    return ("." if len(parts) <= DEEPEST else "_").join(parts)


def move_into_groups(nodes: Nodes, output: str) -> tuple[Nodes, str]:
    """Rename layers without parameters that stand inside a group as members of that group.

    A ReLU between ``layer1.0.conv1`` and ``layer1.0.conv2`` is called ``relu`` by some exporters; here it
    becomes ``layer1.0.relu``, and so does a sum of two values of the group.
    """
    ungrouped = {name for name, (layer, *_) in nodes.items() if "." not in name and not has_arrays(layer)}
    readers: dict[str, list[str]] = {name: [] for name in nodes}
    for name, (_, *sources) in nodes.items():
        for source in sources:
            readers.get(source, []).append(name)
    before: dict[str, list[str]] = {}  # groups from which each layer's value comes: the nearest, one a source
    for name, (_, *sources) in nodes.items():
        if name in ungrouped:
            groups = [group for source in sources for group in before.get(source, [""])]
            before[name] = list(dict.fromkeys(groups))
        else:
            before[name] = [name.rpartition(".")[0]]
    after: dict[str, str] = {}  # the group to which all readers of each layer belong
    for name in reversed(list(nodes)):
        groups = [
            after[reader] if reader in ungrouped else reader.rpartition(".")[0] for reader in readers[name]
        ]
        after[name] = _common(groups) if groups and name != output else ""
    names = {}
    for name in nodes:
        if name in ungrouped:
            between = max((_common([group, after[name]]) for group in before[name]), key=len)
            joined = _common(before[name]) if len(set(nodes[name][1:])) > 1 else ""
            home = max(between, joined, key=len)
            if home and f"{home}.{name}" not in nodes:
                names[name] = f"{home}.{name}"
    return renamed(nodes, names), names.get(output, output)


def _common(groups: Sequence[str]) -> str:
    """Return the innermost group that holds all of these."""
    paths = [group.split(".") if group else [] for group in groups]
    shared = takewhile(lambda parts: len(set(parts)) == 1, zip(*paths, strict=False))
    return ".".join(parts[0] for parts in shared)
