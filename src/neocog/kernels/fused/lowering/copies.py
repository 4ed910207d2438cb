"""Lower copies between arrays of any layout."""

from __future__ import annotations

import math
from typing import Any

from neocog.kernels.fused.program import PLANE_UNIT_WORK, Border, Maps, Program

__all__ = ["bordered", "copy", "load", "rearrange", "store", "strides", "transfer"]


def copy(
    program: Program,
    source: Any,
    source_strides: tuple[int, ...],
    target: Any,
    shape: tuple[int, ...],
    target_strides: tuple[int, ...],
    adding: bool = False,
) -> None:
    """Add a copy of four axes with any strides, between addresses or places (memory, element)."""
    axes = sorted(zip(shape, source_strides, target_strides, strict=True), key=lambda a: (-a[2], -a[0]))
    axes = [a for a in axes if a[0] != 1] or [(1, 1, 1)]
    merged = [axes[0]]
    for n, x, y in axes[1:]:  # neighbours that follow each other in both arrays are one axis
        m, mx, my = merged[-1]
        if mx == n * x and my == n * y:
            merged[-1] = (m * n, x, y)
        else:
            merged.append((n, x, y))
    inner, work = 1, math.prod(shape)
    if merged[-1][1] > 1 == merged[-1][2]:  # a transposition, if another axis is contiguous in the source
        along = next((k for k, (_, x, _) in enumerate(merged) if x == 1), None)
        if along is not None:
            inner = 2
            merged.insert(len(merged) - 2, merged.pop(along))
    if len(merged) == inner and work > PLANE_UNIT_WORK:  # cut the longest, so that threads can share it
        longest = max(range(inner), key=lambda k: merged[k][0])
        n, x, y = merged[longest]
        parts = next((k for k in range(16, 128) if n % k == 0), 1)
        merged[longest] = n // parts, x, y
        merged.insert(0, (parts, n // parts * x, n // parts * y))
    while len(merged) < 4:
        merged.insert(0, (1, 0, 0))
    if merged[0][0] == 1:  # cut along the longest of the outer axes
        longest = max(range(4 - inner), key=lambda k: merged[k][0])
        merged.insert(0, merged.pop(longest))
    sizes: dict[str, Any] = {f"n{k}": a[0] for k, a in enumerate(merged)}
    xs: dict[str, Any] = {f"x{k}": a[1] for k, a in enumerate(merged)}
    ys: dict[str, Any] = {f"y{k}": a[2] for k, a in enumerate(merged)}
    program.add(
        "copy", merged[0][0], work=float(work), x=source, y=target, adding=int(adding), **sizes, **xs, **ys
    )


def strides(maps: Maps) -> tuple[int, int, int, int]:
    """Return the elements from a channel, a row, a pixel and an image to the next."""
    return maps.plane, maps.row, maps.N, 1


def transfer(program: Program, x: Maps, y: Maps, adding: bool = False) -> None:
    """Add a copy of maps into maps of the same shape, or of their sum."""
    copy(program, x.origin, strides(x), y.origin, x.shape, strides(y), adding)


def bordered(program: Program, maps: Maps, border: Border) -> Maps:
    """Return maps with a border of zeros at least as wide, copied if theirs is not."""
    if all(b >= n for b, n in zip(maps.border, border, strict=True)):
        return maps
    padded = program.maps(*maps.shape, border, channels_last=maps.channels_last)
    transfer(program, maps, padded)
    return padded


def rearrange(program: Program, x: Maps, y: Maps) -> None:
    """Add a copy of maps into maps of the other layout, images and channels in each other's place."""
    plane, row, pixel, image = strides(x)
    copy(program, x.origin, (image, row, pixel, plane), y.origin, y.shape, strides(y))


def load(program: Program, source: Any, y: Maps) -> None:
    """Add a copy of a contiguous (N, C, H, W) array, given by its address, into maps."""
    copy(program, source, (y.H * y.W, y.W, 1, y.C * y.H * y.W), y.origin, y.shape, strides(y))


def store(program: Program, x: Maps, target: Any) -> None:
    """Add a copy of maps into a contiguous (N, C, H, W) array."""
    copy(program, x.origin, strides(x), target, x.shape, (x.H * x.W, x.W, 1, x.C * x.H * x.W))
