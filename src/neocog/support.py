"""Tabulate what each layer supports, from the registries of rules, compiled forms, PyTorch and ONNX."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from importlib.util import find_spec

from neocog import layers
from neocog.inspection.rules import explained_by, formula_of
from neocog.kernels import missing_numba
from neocog.layers import Container, Elementwise, Layer
from neocog.studio import has_page_form

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
        "yes" if the page in the browser computes it; or "no": Python sends its maps.
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
            layer=cls.__name__,
            formula=formula_of(cls),
            explained=explained_by(cls),
            compiled=_compiled(cls),
            torch=_torch(cls),
            onnx=_onnx(cls),
            page="yes" if has_page_form(cls) else "no",
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
