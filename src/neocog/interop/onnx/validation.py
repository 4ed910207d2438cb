"""Validate a model before anything of it is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from heapq import heapify, heappop, heappush

import onnx
from onnx import helper

from neocog.budgets import BudgetError
from neocog.interop.onnx.errors import OnnxImportError, UnsupportedOperatorError
from neocog.interop.onnx.import_node import FOLDS, PATTERNS, READERS


@contextmanager
def refusing() -> Iterator[None]:
    """Turn any error that a malformed model causes into an OnnxImportError."""
    try:
        yield
    except OnnxImportError:
        raise
    except BudgetError as error:
        raise OnnxImportError(str(error)) from error
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        MemoryError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        text = str(error) if isinstance(error, TypeError | ValueError) else repr(error)
        raise OnnxImportError(f"the model is malformed: {text.rstrip('.')}.") from error


def check(model: onnx.ModelProto, outputs: Sequence[str]) -> None:
    """Raise OnnxImportError if a model is malformed, or no layer computes an operator before the outputs."""
    graph = model.graph
    versions, newest = _opsets(model), onnx.defs.onnx_opset_version()
    if len(versions) > 1:
        raise OnnxImportError(f"the model must have one opset, got {versions}.")
    if not versions:
        domains = sorted(opset.domain for opset in model.opset_import)
        raise OnnxImportError(f"the model must have operators of ONNX's own domain, got those of {domains}.")
    version = opset_of(model)
    if not 1 <= version <= newest:
        raise OnnxImportError(f"the model's opset must be from 1 to {newest}, got {version}.")
    if graph.sparse_initializer:
        raise OnnxImportError("the model has sparse initializers, which neocog does not read.")
    if any(function.domain in ("", "ai.onnx") for function in model.functions):
        raise OnnxImportError("the model gives operators of ONNX meanings of its own.")
    known = READERS.keys() | FOLDS.keys() | PATTERNS.keys()
    for node in graph.node:
        if not node.output or not node.output[0]:
            raise OnnxImportError(f"node {node.name!r} ({node.op_type}) has no first output.")
    read = leading_to(graph, outputs)
    for node in read:
        if node.domain not in ("", "ai.onnx") or node.op_type not in known:
            operator = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
            raise UnsupportedOperatorError(
                f"operator {operator} (node {node.name or ', '.join(node.output)!r}) has no layer; neocog "
                f"reads {', '.join(sorted(known))}."
            )
    produced = Counter(name for node in graph.node for name in node.output if name)
    produced.update(tensor.name for tensor in graph.initializer)
    twice = sorted(name for name, count in produced.items() if count > 1)
    if twice:
        raise OnnxImportError(f"the graph is malformed: {twice} are computed or given more than once.")
    try:
        onnx.checker.check_model(_without_weights(model, read, outputs))
    except (onnx.checker.ValidationError, ValueError, RuntimeError) as error:
        text = " ".join(str(error).split()).rstrip(".")
        raise OnnxImportError(f"the graph is malformed: {text}.") from error


def opset_of(model: onnx.ModelProto) -> int:
    """Return the version of ONNX's own operators in a checked model."""
    return _opsets(model)[0]


def _opsets(model: onnx.ModelProto) -> list[int]:
    return sorted({opset.version for opset in model.opset_import if opset.domain in ("", "ai.onnx")})


def leading_to(graph: onnx.GraphProto, outputs: Sequence[str]) -> list[onnx.NodeProto]:
    """Return the nodes that these outputs need, each after those that it reads.

    Otherwise they keep the order of the graph.

    Raises
    ------
    OnnxImportError
        If nodes form a cycle.
    """
    makers = {name: node for node in graph.node for name in node.output if name}
    wanted, frontier = set(), list(outputs)
    while frontier:
        name = frontier.pop()
        node = makers.get(name)
        if node is not None and node.output[0] not in wanted:
            wanted.add(node.output[0])
            frontier.extend(name for name in node.input if name)
    return _in_order([node for node in graph.node if node.output[0] in wanted])


def _in_order(nodes: Sequence[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """Sort nodes by what they read: of those whose inputs are there, the first comes first."""
    makers = {name: k for k, node in enumerate(nodes) for name in node.output if name}
    before = [{makers[name] for name in node.input if name in makers} for node in nodes]
    readers: list[list[int]] = [[] for _ in nodes]
    for k, sources in enumerate(before):
        for source in sources:
            readers[source].append(k)
    missing = [len(sources) for sources in before]
    ready = [k for k, count in enumerate(missing) if not count]
    heapify(ready)
    order = []
    while ready:
        k = heappop(ready)
        order.append(nodes[k])
        for reader in readers[k]:
            missing[reader] -= 1
            if not missing[reader]:
                heappush(ready, reader)
    if len(order) < len(nodes):
        path: dict[int, None] = {}
        k = next(k for k, count in enumerate(missing) if count)
        while k not in path:
            path[k] = None
            k = next(source for source in before[k] if missing[source])
        places = list(path)
        names = [nodes[j].name or nodes[j].output[0] for j in sorted(places[places.index(k) :])]
        raise OnnxImportError(f"the graph is malformed: the nodes {names} form a cycle.")
    return order


def _without_weights(
    model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto], outputs: Sequence[str]
) -> onnx.ModelProto:
    """Return a model of these nodes for ONNX's checker, with the arrays as inputs and without shapes."""
    bare = onnx.ModelProto(ir_version=model.ir_version)
    bare.opset_import.extend(model.opset_import)
    bare.graph.name = "graph"
    bare.graph.node.extend(nodes)
    inputs = {value.name for value in model.graph.input}
    bare.graph.input.extend(_scalar(value.name) for value in model.graph.input)
    bare.graph.input.extend(_scalar(t.name) for t in model.graph.initializer if t.name not in inputs)
    bare.graph.output.extend(map(_scalar, outputs))
    return bare


def _scalar(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [])
