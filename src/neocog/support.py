"""Tabulate what each layer supports, from the registries of rules, compiled forms, PyTorch and ONNX."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from importlib.util import find_spec

from neocog import layers
from neocog.inspection.rules import Rule
from neocog.kernels import missing_numba
from neocog.layers import Container, Elementwise, Layer
from neocog.layers.base import computes_as

__all__ = ["LayerSupport", "layer_table", "markdown_table"]


@dataclass(frozen=True)
class LayerSupport:
    """A row of the table: what one layer class supports.

    Attributes
    ----------
    layer : str
    formula : str
        Of the output, as its rule or its docstring states it.
    explained : str
        "rule", a rule of its own; "function", by its value and its slope; "Jacobian", the default.
    compiled : str
        "yes"; or "no": a compiled program is cut there, and the layer's own methods are called.
    torch, onnx : str
        The counterpart; "" where there is none, or where the library is not installed.
    page : str
        Whether a page in the browser computes it without Python.
    """

    layer: str
    formula: str
    explained: str
    compiled: str
    torch: str
    onnx: str
    page: str


def layer_table(classes: Iterable[type[Layer]] | None = None) -> list[LayerSupport]:
    """Return the table of all layers that are not containers, or of some classes of your own.

    Parameters
    ----------
    classes : iterable of Layer classes, optional

    Examples
    --------
    >>> (row,) = layer_table([layers.LeakyReLU])
    >>> row.formula, row.explained, row.compiled
    ('y = x if x > 0 else a x', 'function', 'yes')
    """
    if classes is None:
        known = [getattr(layers, name) for name in sorted(layers.__all__, key=str.lower)]
        classes = [cls for cls in known if not issubclass(cls, Container) and cls not in (Layer, Elementwise)]
    return [
        LayerSupport(
            cls.__name__, _formula(cls), _explained(cls), _compiled(cls), _torch(cls), _onnx(cls), "no"
        )
        for cls in classes
    ]


def markdown_table(rows: Iterable[LayerSupport]) -> str:
    """Write the table in Markdown."""
    names = [field.name for field in fields(LayerSupport)]
    titles = {"torch": "PyTorch", "onnx": "ONNX"}
    lines = [[titles.get(name, name) for name in names], ["---"] * len(names)]
    for row in rows:
        layer, formula, *others = (cell.replace("|", r"\|") for cell in astuple(row))
        lines.append([f"`{layer}`", f"`{formula}`", *others])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _formula(cls: type[Layer]) -> str:
    if _explained(cls) == "rule" and hasattr(Rule.registered.get(cls), "formula"):
        return Rule.registered[cls].formula
    stated = re.search(r"Forward: ``(.*?)``", inspect.cleandoc(cls.__doc__ or ""), re.DOTALL)
    return " ".join(stated[1].split()) if stated else ""


def _explained(cls: type[Layer]) -> str:
    for kind in cls.__mro__:
        if kind is Elementwise:
            return "function"
        if kind is not Layer and kind in Rule.registered and computes_as(cls, kind, {"backward"}):
            return "rule"
    return "Jacobian"


def _compiled(cls: type[Layer]) -> str:
    if missing_numba():
        return "no"
    from neocog.compilation import lowering_of

    return "no" if lowering_of(cls) is None else "yes"


def _torch(cls: type[Layer]) -> str:
    if find_spec("torch") is None:
        return ""
    from neocog.interop.torch import counterpart

    return counterpart(cls)


def _onnx(cls: type[Layer]) -> str:
    if find_spec("onnx") is None:
        return ""
    from neocog.interop.onnx import operator_of

    return operator_of(cls) or ""
