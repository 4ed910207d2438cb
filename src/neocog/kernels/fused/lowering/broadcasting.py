"""Lower what is computed with operands that are repeated along axes, and sums along these axes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from neocog.kernels.fused.lowering.copies import copy, strides
from neocog.kernels.fused.program import Maps, Program

__all__ = ["Operand", "combine", "operand", "reduce", "repeat"]


@dataclass(frozen=True)
class Operand:
    """An array and its strides along channels, rows, pixels and images; 0 along an axis that it lacks."""

    place: Any
    plane: int
    row: int
    pixel: int
    image: int

    @property
    def channels_last(self) -> Operand:
        """The same beside maps whose channels and images have changed places."""
        return Operand(self.place, self.image, self.row, self.pixel, self.plane)

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of an operation whose y it is."""
        names = ("y", "y_plane", "y_row", "y_pixel", "y_image")
        return dict(zip(names, (self.place, self.plane, self.row, self.pixel, self.image), strict=True))


def operand(place: Any, sizes: tuple[int, int, int], N: int = 1) -> Operand:
    """Return an array of the sizes (C, H, W), the images last if there are some, as an operand."""
    C, H, W = sizes
    return Operand(
        place, H * W * N if C > 1 else 0, W * N if H > 1 else 0, N if W > 1 else 0, 1 if N > 1 else 0
    )


def of_maps(maps: Maps) -> Operand:
    """Return maps, some of whose axes may have size 1, as an operand."""
    plane, row, pixel, image = strides(maps)
    C, H, W, N = maps.shape
    return Operand(maps.origin, plane * (C > 1), row * (H > 1), pixel * (W > 1), image * (N > 1))


def combine(program: Program, kind: int, x: Maps, y: Operand | Maps, z: Maps) -> None:
    """Add ``z = x y``, or the sum or extremum by ``kind``; y is repeated where it lacks an axis of x."""
    y = of_maps(y) if isinstance(y, Maps) else y
    if z.N == 1:
        y = replace(y, image=1)
    if z.W == 1:
        y = replace(y, pixel=z.N)
    program.scratch = max(program.scratch, z.lanes * program.size)
    sizes: dict[str, Any] = {"C": z.C, "rows": z.H, "lanes": z.lanes, "N": z.N}
    work = 2.0 * z.C * z.H * z.lanes
    program.add("combine", z.C, work, x=x, z=z, kind=kind, **sizes, **y.fields)


def repeat(program: Program, x: Operand | Maps, z: Maps, adding: bool = False) -> None:
    """Add a copy of x, or ``z += x`` if ``adding``; x is repeated where it lacks an axis of z."""
    x = of_maps(x) if isinstance(x, Maps) else x
    steps = (x.plane, x.row, x.pixel, x.image)
    copy(program, x.place, steps, z.origin, z.shape, strides(z), adding)


def reduce(
    program: Program, x: Maps, y: Operand | Maps, other: Maps | None = None, gain: float = 1.0
) -> None:
    """Add ``y = gain sum x``, or ``gain sum x other``, over the axes that y lacks."""
    y = of_maps(y) if isinstance(y, Maps) else y
    C, H, W, N = x.shape
    if C > 1 and not y.plane and H > 1 and not y.row:
        # First in each channel, then over the channels.
        part = program.maps(C, 1, W if y.pixel else 1, N if y.image else 1)
        _gather(program, x, operand(part.origin, part.shape[:3], part.N), other)
        x, other = part, None
        C, H, W, N = x.shape
    swapped = C > 1 and not y.plane  # the channels are the rows of the operation
    _gather(program, x, y, other, gain, swapped)


def _gather(
    program: Program, x: Maps, y: Operand, other: Maps | None, gain: float = 1.0, swapped: bool = False
) -> None:
    """Add the operation, whose planes are the channels, or the rows if ``swapped``."""
    if x.N == 1 and y.pixel <= 1:
        y = replace(y, image=1)
    if x.W == 1:
        y = replace(y, pixel=x.N if y.image else 0)
    planes, rows = (x.H, x.C) if swapped else (x.C, x.H)
    fields: dict[str, Any] = y.fields
    for name, maps in (("x", x), ("other", other)):
        if maps is not None:
            steps = (maps.row, maps.plane) if swapped else (maps.plane, maps.row)
            fields |= {name: maps.origin, f"{name}_plane": steps[0], f"{name}_row": steps[1]}
    if swapped:
        fields |= {"y_plane": y.row, "y_row": y.plane}
    program.scratch = max(program.scratch, x.lanes * program.size)
    sizes: dict[str, Any] = {"C": planes, "rows": rows, "lanes": x.lanes, "N": x.N}
    program.add("gather", planes, 2.0 * x.C * x.H * x.lanes, gain=gain, **sizes, **fields)
