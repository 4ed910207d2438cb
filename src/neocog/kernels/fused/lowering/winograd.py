"""Lower 3 x 3 convolutions, and their gradients in the weights, by Winograd's method.

A tile of 4 x 4 outputs takes 36 products of a transformed kernel and a transformed tile of 6 x 6 inputs, not
144. Strips of tiles are transformed, multiplied and transformed back at a time, so that they stay in the
cache.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from neocog.kernels.fused.lowering.copies import bordered
from neocog.kernels.fused.lowering.products import (
    PANEL,
    add_correlation,
    bias_or_zeros,
    panel_block,
    terms,
)
from neocog.kernels.fused.lowering.windows import ConvolutionWindows
from neocog.kernels.fused.program import UNBOUNDED, Bounds, Maps, Program, spread_out
from neocog.kernels.fused.simd import MIDDLE, VECTOR_BYTES, tile_lanes
from neocog.kernels.geometry import Pair

__all__ = ["KERNEL", "TILE", "add_winograd", "add_winograd_weights", "cost", "growth", "suits"]

TILE = 4
"""Outputs of a tile of Winograd's method, in each direction."""
KERNEL = 3
"""Height and width of the kernels that it takes."""
_PRODUCTS = (TILE + KERNEL - 1) ** 2
"""Multiplications of a filter with a channel for a tile."""
_CHANNELS, _CHANNELS_OF_VECTORS = 32, 16
"""Fewest channels, and filters: the savings grow with their product, the transforms with their sum. Where the
images fill whole vectors, tiles are transformed where they lie, which takes half the time."""
_LANES = 16
"""Fewest tiles, a vector of them: with fewer, it is partly empty."""
_STRIP_LANES = 48
"""Tiles of a strip, about, some register tiles: its transformed channels should stay in the L2 cache."""
_WASTE = 2.4
"""Most outputs computed for each one wanted, where tiles reach over the edge. A tile saves 3 of 4
multiplications; beyond this the rest would not pay for the transforms."""
_STRIPS = 4
"""With fewer strips than this, the filters are cut, too, so that several threads have work."""
_UNIT_FILTERS = 32
"""Fewest filters of such a unit: each unit transforms its inputs again."""
_DEPTH = 64
"""Filters whose products are held at a time, so that they stay in the cache."""

_CHUNK = 1 << 24
"""Bytes of transformed tiles that a gradient in the weights has at a time, unless a strip has more."""
_BACK_KERNELS = 1024
"""Kernels of a unit of the last transform of such a gradient."""

_MULTIPLYING, _TRANSFORMING = 45.0, 1000.0
"""Measured time, in vector operations, of Winograd's method for a vector of tiles: of the 36 products of a
filter with a channel, and of the transforms of a filter or channel."""


def suits(program: Program, shape: Pair, N: int, out: tuple[int, ...]) -> bool:
    """Return whether the method pays: float32, many filters and channels (``shape``), and enough tiles."""
    vector = VECTOR_BYTES // program.size
    needed = _CHANNELS if N % vector else _CHANNELS_OF_VECTORS
    if program.exact or program.dtype != np.float32 or min(shape) < needed:
        return False
    lanes = -(-out[0] // TILE) * -(-out[1] // TILE) * N
    computed, wanted = TILE**2 * lanes, out[0] * out[1] * N
    return lanes >= _LANES and computed <= _WASTE * wanted


def cost(program: Program, shape: Pair, N: int, out: Pair) -> float:
    """Estimate the vector operations of a convolution; ``shape``: filters and channels."""
    vectors = -(-(-(-out[0] // TILE) * -(-out[1] // TILE) * N) // (VECTOR_BYTES // program.size))
    F, C = shape
    return (_MULTIPLYING * F * C + _TRANSFORMING * (F + C)) * vectors


def growth(program: Program, shape: Pair) -> int:
    """Return the bytes by which transformed kernels are larger than kernels."""
    return (_PRODUCTS - KERNEL**2) * shape[0] * shape[1] * program.size


def add_winograd(
    program: Program,
    x: ConvolutionWindows,
    weight: Any,
    shape: Pair,
    weight_strides: tuple[int, int, int],
    bias: Any,
    y: Maps,
    bounds: Bounds = UNBOUNDED,
) -> None:
    """Add a convolution by Winograd's method.

    ``weight_strides``: of a filter, of a channel, and 1 if the kernel is to be flipped.
    """
    F, C = shape
    N, size = y.N, program.size
    vector = VECTOR_BYTES // size
    down, across, rows, _ = _tiles(program, y)
    columns = _columns(across, N, vector)
    lanes = -(-rows * columns * N // vector) * vector
    strips = -(-down // rows) * -(-across // columns)
    f_units = 1 if strips >= _STRIPS else min(-(-F // _UNIT_FILTERS), -(-_STRIPS // strips))
    f_block = -(-F // f_units // PANEL) * PANEL
    depth = min(_DEPTH, f_block)
    transformed = program.memory(36 * F * C)
    block = panel_block(F)
    program.add_units(
        "winograd_weights",
        -(-F // block),
        100.0 * F * C,  # operations: 36 sums of about 3 terms
        once=program.frozen,
        weight=weight,
        y=transformed,
        weight_row=weight_strides[0],
        weight_channel=weight_strides[1],
        flipped=weight_strides[2],
        F=F,
        C=C,
        f_block=block,
    )
    step, v_step, m_step = lanes + 2 * vector, spread_out(C * lanes, size), spread_out(depth * lanes, size)
    program.scratch = max(program.scratch, (52 * step + 36 * (v_step + m_step)) * size)
    program.add_units(
        "winograd",
        strips * -(-F // f_block),
        72.0 * F * C * down * across * N,
        a=transformed,
        x=x.start,
        x_plane=x.plane,
        x_row=x.row,
        terms=program.table(terms(np.arange(C) * lanes)),
        y=y,
        bias=bias_or_zeros(program, bias, 0, F),
        zeros=program.zeros,
        low=bounds[0],
        high=bounds[1],
        F=F,
        C=C,
        N=N,
        W=y.W,
        rows=y.H,
        strip_lanes=lanes,
        tiles=across,
        tile_rows=down,
        row_block=rows,
        column_block=columns,
        f_block=f_block,
        depth=depth,
        v_step=v_step,
        m_step=m_step,
    )


def _rows(down: int, lanes: int, size: int) -> int:
    """Return how many of ``down`` rows of tiles, each of so many lanes, a strip takes.

    Of the numbers that make it about as long as it should be, the one that leaves the fewest registers empty.
    """

    def vectors(count: int) -> int:
        total = 0
        while count > 0:
            tile = tile_lanes(count, size)
            total += max(-(-tile * size // VECTOR_BYTES), MIDDLE)  # the narrow tile takes no less
            count -= tile
        return total

    def cost(rows: int) -> tuple[int, int]:
        whole, rest = divmod(down, rows)
        return whole * vectors(rows * lanes) + vectors(rest * lanes), abs(rows * lanes - _STRIP_LANES)

    return min(range(1, max(1, min(down, 2 * _STRIP_LANES // lanes)) + 1), key=cost)


def _columns(across: int, N: int, vector: int) -> int:
    """Return how many tiles of a row a strip takes; their lanes fill vectors, unless they are many anyway."""
    whole = vector // math.gcd(N, vector)
    columns = max(1, round(_STRIP_LANES / N))
    return min(across, columns if whole * N > 2 * _STRIP_LANES else -(-columns // whole) * whole)


def _tiles(program: Program, y: Maps) -> tuple[int, int, int, int]:
    """Return the tiles down and across, and the rows of tiles and the lanes of a strip, filled up."""
    vector = VECTOR_BYTES // program.size
    down, across = -(-y.H // TILE), -(-y.W // TILE)
    rows = _rows(down, across * y.N, program.size)
    return down, across, rows, -(-rows * across * y.N // vector) * vector


def add_winograd_weights(
    program: Program, x: ConvolutionWindows, dy: Maps, d_weight: Any, shape: Pair
) -> None:
    """Add the gradient in the weights by Winograd's method: products of transformed tiles, summed."""
    N = dy.N
    F, C = shape
    dy = bordered(program, dy, (0, -dy.H % TILE, 0, -dy.W % TILE))
    down, across, rows, lanes = _tiles(program, dy)
    strips = -(-down // rows)
    together = max(1, _CHUNK // (36 * (F + C) * lanes * program.size))
    together = -(-strips // -(-strips // together))  # chunks of one size
    steps = [spread_out(channels * together * lanes, program.size) for channels in (C, F)]
    inputs, outputs = (program.memory(36 * step) for step in steps)
    sums = program.memory(36 * F * C)
    vector = VECTOR_BYTES // program.size
    program.scratch = max(program.scratch, 36 * (lanes + 2 * vector) * program.size)
    windows: dict[str, Any] = {"x": x.start, "x_plane": x.plane, "x_row": x.row}
    for first in range(0, strips, together):
        count = min(together, strips - first)
        for channels, place, y, step in ((C, windows, inputs, steps[0]), (F, {"x": dy}, outputs, steps[1])):
            program.add(
                "winograd_tiles",
                channels,
                100.0 * channels * count * lanes,
                **place,
                y=y,
                C=channels,
                N=N,
                tiles=across,
                tile_rows=down,
                row_block=rows,
                strip_lanes=lanes,
                first=first,
                strips=count,
                outputs=int(y is outputs),
                y_step=step,
            )
        T = count * lanes
        add_correlation(
            program,
            np.arange(F) * T,
            np.arange(C) * T,
            1,
            T,
            groups=36,
            a_group=steps[1],
            x_group=steps[0],
            a=outputs,
            x=inputs,
            y=sums,
            adding=int(first > 0),
        )
    units = -(-F * C // _BACK_KERNELS)
    fields = {"x": sums, "y": d_weight, "count": F * C, "block": _BACK_KERNELS}
    program.add_units("winograd_weights_back", units, 100.0 * F * C, **fields)
