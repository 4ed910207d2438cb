"""Tabulate a network: shape, parameters, FLOPs and receptive field, layer by layer."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from neocog.layers.base import Field, Layer, Shape
from neocog.representation import markup, show

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class Row:
    """One layer of a :class:`Summary`."""

    name: str
    layer: str
    output_shape: Shape
    parameters: int
    flops: int
    receptive_field: tuple[int, int] | None
    frozen: bool = False


@dataclass(frozen=True)
class Summary:
    """A network in numbers.

    Attributes
    ----------
    input_shape : (N, C, H, W), or a tuple of shapes
    rows : list of Row
        One a layer, in the order of computation. ``receptive_field`` is (height, width) in input pixels,
        None if the input is not an image; ``frozen`` tells whether the layer's parameters do not learn.
    trainable : int
        The parameters that learn.
    """

    input_shape: Any
    rows: list[Row]
    parameters: int
    flops: int
    trainable: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, ready for JSON."""
        return asdict(self)

    def print(self) -> None:
        """Print the table."""
        show(self)

    def __rich__(self) -> Table:
        from rich.table import Table

        table = Table(title=f"input {_shape(self.input_shape)}", title_justify="left", show_footer=True)
        table.add_column("name", "total", overflow="fold")
        table.add_column("layer", overflow="fold")
        table.add_column("output shape")
        total = f"{self.parameters:,}"
        if self.trainable < self.parameters:
            total += f"\n{self.trainable:,} learn"
        table.add_column("parameters", total, justify="right")
        table.add_column("FLOPs", f"{self.flops:,}", justify="right")
        table.add_column("receptive field", justify="right")
        for row in self.rows:
            table.add_row(
                markup(row.name),
                markup(row.layer, lines=True),
                _shape(row.output_shape),
                f"{'frozen ' * row.frozen}{row.parameters:,}" if row.parameters else "",
                f"{row.flops:,}" if row.flops else "",
                "x".join(map(str, row.receptive_field)) if row.receptive_field else "",
            )
        return table


def _shape(shape: Any) -> str:
    if shape and isinstance(shape[0], tuple):  # of several inputs
        return ", ".join(map(_shape, shape))
    return " x ".join(map(str, shape))


def summarize(network: Layer, input_shape: Any) -> Summary:
    """Return the summary of a network for an input shape (N, C, H, W)."""
    network.output_shape(input_shape)  # raises an error with the layer's name if the shape does not fit
    inputs = input_shape if network.several_inputs else (input_shape,)
    is_image = len(inputs[0]) == 4
    frozen = network.frozen
    counted: set[int] = set()
    rows: list[Row] = []

    def visit(name: str, layer: Layer, value: Any) -> Any:
        shapes: Any = value[0] if isinstance(value, _At) else tuple(part[0] for part in value)
        fields: Any = value[1] if isinstance(value, _At) else tuple(part[1] for part in value)
        shape, field = layer.output_shape(shapes), layer.receptive_field(fields)
        new = [array for array in layer.params.values() if id(array) not in counted]
        counted.update(map(id, new))
        rows.append(
            Row(
                name,
                repr(layer),
                tuple(shape),
                sum(array.size for array in new),
                layer.flops(shapes),
                field.within(inputs[0][2:]) if is_image else None,
                bool(layer.params) and name in frozen,
            )
        )
        return _At((shape, field))

    starts = tuple(_At((tuple(shape), Field())) for shape in inputs)
    network.walk(visit, starts if network.several_inputs else starts[0])
    trainable = sum(array.size for array in network.trainable_params.values())
    return Summary(tuple(input_shape), rows, network.parameter_count, network.flops(input_shape), trainable)


class _At(tuple):  # type: ignore[type-arg]
    """Hold (shape, field) of one value, as distinct from a tuple of values."""
