"""Multiply matrices: convolution, dense layers, and their gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from neocog.kernels.fused.operation import compiled, operation
from neocog.kernels.fused.operations.activation import gate_in_place
from neocog.kernels.fused.simd import (
    DOT_ROWS,
    DOT_TAPS,
    PAIR_ROWS,
    ROW_TAPS,
    ROWS,
    dots,
    dots_of_row,
    pair_tile,
    pixel_tile,
    row_tile,
    size_of,
    tile_lanes,
    view,
)


@compiled
def panel_rows(left: int) -> int:
    """Return the rows of the next register tile when ``left`` are left: a power of two."""
    rows = ROWS
    while rows > left:
        rows //= 2
    return rows


@operation(arrays="weight offsets y", integers="F K f_block group weight_row weight_group")
def pack(p: Any, unit: int, scratch: int, zero: Any) -> None:
    """Copy the weights into the order in which the register tile reads them: panels of rows, each K x rows.

    ``y[panel][k][r] = weight[start + weight_row r + offsets[k]]``, ``F`` rows in all, in groups of ``group``
    rows that begin ``weight_group`` elements apart; no panel has rows of two groups. A unit is ``f_block``
    rows.
    """
    like = zero[0]
    size = size_of(like)
    table = view(p.offsets, p.K, np.int64(0))
    first, last = unit * p.f_block, min(p.F, (unit + 1) * p.f_block)
    while first < last:
        g, row = first // p.group, first % p.group
        rows = panel_rows(min(last - first, p.group - row))
        start = g * p.weight_group + row * p.weight_row
        y = view(p.y + first * p.K * size, p.K * rows, like)
        for k in range(p.K):
            weights = view(p.weight + (start + table[k]) * size, (rows - 1) * p.weight_row + 1, like)
            for r in range(rows):
                y[k * rows + r] = weights[r * p.weight_row]
        first += rows


@compiled
def _ungated(p: Any, y: Any, like: Any) -> None:
    """Leave the numbers as they are."""


@compiled
def _gated(p: Any, y: Any, like: Any) -> None:
    """Multiply each number by its gate."""
    gate_in_place(p.gated, y, like)


_ROWS: dict[str, Any] = {
    "maps": "x y init",
    "arrays": "a terms windows bias zeros",
    "integers": "F K depth rows lanes a_row a_step f_block row_block lane_block groups group_block x_group "
    "segments",
    "numbers": "low high",
}


def _by_rows(gate: Any) -> Any:
    """Return the function that computes a unit of a product, whose numbers ``gate`` changes in the end."""

    @compiled
    def one(p: Any, g: int, block: int, zero: Any) -> None:
        like = zero[0]
        size = size_of(like)
        x, before = p.x + g * p.x_group * size, g * p.F
        lane_blocks = (p.lanes + p.lane_block - 1) // p.lane_block
        row_blocks = (p.rows + p.row_block - 1) // p.row_block
        fb, rest = block // (lane_blocks * row_blocks), block % (lane_blocks * row_blocks)
        f_first, f_last = before + fb * p.f_block, before + min(p.F, (fb + 1) * p.f_block)
        i_first = rest // lane_blocks * p.row_block
        i_last = min(p.rows, i_first + p.row_block)
        l_first = rest % lane_blocks * p.lane_block
        l_last = min(p.lanes, l_first + p.lane_block)
        windows = view(p.windows, p.segments * (1 + 2 * p.rows), np.int64(0))
        k = 0
        while k < p.K or k == 0:
            ends = k + p.depth >= p.K
            f = f_first
            while f < f_last:
                rows = panel_rows(f_last - f)
                if p.a_step:
                    a, a_row, a_step = p.a + f * p.a_row * size, p.a_row, p.a_step
                else:
                    a, a_row, a_step = p.a + f * p.K * size, 1, rows
                for i in range(i_first, i_last):
                    left = l_first
                    for s in range(max(p.segments, 1)):
                        first, count, right = 0, p.K, l_last
                        if p.segments:
                            at = p.segments + 2 * (i * p.segments + s)
                            first, count, right = windows[at], windows[at + 1], min(l_last, windows[s])
                        y = p.y + (f * p.y_plane + i * p.y_row + left) * size
                        if k:
                            init, init_row = y, p.y_plane
                        elif p.init:
                            init = p.init + (f * p.init_plane + i * p.init_row + left) * size
                            init_row = p.init_plane
                        else:
                            init, init_row = 0, 0
                        done = k + p.depth >= count
                        if left < right and (k == 0 or k < count):
                            row_tile(
                                rows,
                                a,
                                a_row,
                                a_step,
                                p.terms + 16 * (first + k),
                                min(p.depth, count - k),
                                x + (i * p.x_row + left) * size,
                                y,
                                p.y_plane,
                                init,
                                init_row,
                                p.zeros if k else p.bias + f * size,
                                p.low if done else -np.inf,
                                p.high if done else np.inf,
                                right - left,
                                like,
                            )
                        left = max(left, right)
                for r in range(f, f + rows if ends else f):  # while they are in the cache
                    for i in range(i_first, i_last):
                        place = r * p.y_plane + i * p.y_row + l_first
                        gate(p, view(p.y + place * size, l_last - l_first, like), like)
                f += rows
            k += p.depth
            if ends:
                break

    @compiled
    def compute(p: Any, unit: int, zero: Any) -> None:
        blocks = (p.F + p.f_block - 1) // p.f_block
        blocks *= (p.rows + p.row_block - 1) // p.row_block
        blocks *= (p.lanes + p.lane_block - 1) // p.lane_block
        first = unit // blocks * p.group_block
        for g in range(first, min(p.groups, first + p.group_block)):
            one(p, g, unit % blocks, zero)

    return compute


_product, _gated_product = _by_rows(_ungated), _by_rows(_gated)


@operation(**_ROWS)
def product(p: Any, unit: int, scratch: int, zero: Any) -> None:
    """Compute ``y[f,i,l] = init[f,i,l] + bias[f] + sum_t a[f,k[t]] x[offset[t] + x_row i + l]``.

    What is below ``low`` or above ``high`` becomes that. A convolution, a dense layer, or the gradient of
    one in its input: ``terms``, pairs of an offset and a k, says which. They are taken ``depth`` at a time,
    so that the weights in use stay in the nearest cache. A window has K terms, or, where it looks over an
    edge, those that ``windows`` says: rows are cut into ``segments``; the table has the end of each, then for
    each row and segment the first term and their number. ``a`` is packed if ``a_step`` is 0. There are
    ``groups`` of ``F``
    filters, which see inputs ``x_group`` apart. A unit is ``group_block`` groups, or a block of filters, rows
    and lanes of one.
    """
    _product(p, unit, zero)


@operation(**_ROWS | {"integers": f"{_ROWS['integers']} gated"})
def gated_product(p: Any, unit: int, scratch: int, zero: Any) -> None:
    """Compute :func:`product`, each number multiplied by its gate.

    See :func:`~neocog.kernels.fused.operations.activation.gate_in_place`. It is an operation of its own
    because its compiling takes half as long again.
    """
    _gated_product(p, unit, zero)


_lanes = compiled(tile_lanes)

_PIXELS: dict[str, Any] = {
    "arrays": "x a y init bias zeros offsets x_pixels y_pixels init_pixels",
    "integers": "F K depth x_group pixels pixel_block f_block depthwise",
    "numbers": "low high",
}


def _by_tiles(tile: Any, most_rows: int, gate: Any) -> Any:
    """Return the function that computes a block of filters and pixels by register tiles of a kind."""

    @compiled
    def compute(p: Any, unit: int, zero: Any) -> None:
        like = zero[0]
        size = size_of(like)
        f_blocks = (p.F + p.f_block - 1) // p.f_block
        q_blocks = (p.pixels + p.pixel_block - 1) // p.pixel_block
        g, block = unit // (f_blocks * q_blocks), unit % (f_blocks * q_blocks)
        f, f_last = block // q_blocks * p.f_block, min(p.F, (block // q_blocks + 1) * p.f_block)
        q_first = block % q_blocks * p.pixel_block
        q_last = min(p.pixels, q_first + p.pixel_block)
        while f < f_last:
            lanes, column = _lanes(p.F - f, size), g * p.F + f
            x, y = p.x + (g * p.x_group + (f if p.depthwise else 0)) * size, p.y + column * size
            for k in range(0, p.K, p.depth):
                depth = min(p.depth, p.K - k)
                ends = k + depth >= p.K
                low, high = (p.low, p.high) if ends else (-np.inf, np.inf)
                q = q_first
                while q < q_last:
                    rows = panel_rows(min(q_last - q, most_rows))
                    if p.depthwise and rows < ROWS:
                        rows = 1
                    if k:
                        init, init_pixels, bias = y, p.y_pixels + 8 * q, p.zeros
                    else:
                        init, init_pixels, bias = 0, 0, p.bias + column * size
                        if p.init:
                            init, init_pixels = p.init + column * size, p.init_pixels + 8 * q
                    tile(
                        rows,
                        p.depthwise,
                        x,
                        p.x_pixels + 8 * q,
                        p.offsets + 8 * k,
                        depth,
                        p.a + (column * p.K + k * lanes) * size,
                        lanes,
                        bias,
                        y,
                        p.y_pixels + 8 * q,
                        init,
                        init_pixels,
                        low,
                        high,
                        lanes,
                        like,
                    )
                    q += rows
            f += lanes
        f = block // q_blocks * p.f_block
        places = view(p.y_pixels, p.pixels, np.int64(0))
        for q in range(q_first, q_last):  # while they are in the cache
            gate(p, view(p.y + (places[q] + g * p.F + f) * size, f_last - f, like), like)

    return compute


_GATED_PIXELS: dict[str, Any] = _PIXELS | {"integers": f"{_PIXELS['integers']} gated"}
_pixels, _gated_pixels = (_by_tiles(pixel_tile, ROWS, gate) for gate in (_ungated, _gated))
_pairs, _gated_pairs = (_by_tiles(pair_tile, PAIR_ROWS, gate) for gate in (_ungated, _gated))


@operation(**_PIXELS)
def pixel_product(p: Any, unit: int, scratch: int, zero: Any) -> None:
    """Compute ``y[q,f] = init[q,f] + bias[f] + sum_k a[k,f] x[x_pixels[q] + offsets[k]]``, f innermost.

    The tables of pixels say where each lies in x, y and init. Bounds are those of :func:`product`.
    ``a`` is packed in panels of filters, K rows each (:func:`tile_lanes`). There are ``groups`` of ``F``
    filters, which see inputs ``x_group`` apart; if ``depthwise``, filter f sees channel f alone. A unit is a
    block of filters and pixels of a group.
    """
    _pixels(p, unit, zero)


@operation(**_GATED_PIXELS)
def gated_pixel_product(p: Any, unit: int, scratch: int, zero: Any) -> None:
    """Compute :func:`pixel_product`, each number multiplied by its gate."""
    _gated_pixels(p, unit, zero)


@operation(**_PIXELS)
def pair_product(p: Any, unit: int, scratch: int, zero: Any) -> None:
    """Compute :func:`pixel_product` with x and ``a`` of bfloat16, two neighbours in a number of float32.

    K, offsets and the places of pixels count such pairs.
    """
    _pairs(p, unit, zero)


@operation(**_GATED_PIXELS)
def gated_pair_product(p: Any, unit: int, scratch: int, zero: Any) -> None:
    """Compute :func:`pair_product`, each number multiplied by its gate."""
    _gated_pairs(p, unit, zero)


@operation(arrays="x y", integers="count block")
def round_to_bfloat(p: Any, unit: int, scratch: int, zero: Any) -> None:
    """Round float32 to the nearest bfloat16, which are its upper 16 bits; of two as near to the even one."""
    count = min(p.block, p.count - unit * p.block)
    x = view(p.x + 4 * unit * p.block, count, np.uint32(0))
    y = view(p.y + 2 * unit * p.block, count, np.uint16(0))
    half, one, shift, nan = np.uint32(0x7FFF), np.uint32(1), np.uint32(16), np.uint32(0x40)
    for i in range(count):
        bits = x[i]
        rounded = (bits + half + ((bits >> shift) & one)) >> shift
        is_nan = (bits & np.uint32(0x7FFFFFFF)) > np.uint32(0x7F800000)  # which rounding might end
        y[i] = np.uint16((bits >> shift) | nan if is_nan else rounded)


@operation(
    maps="a x",
    arrays="a_offsets offsets y",
    integers="F K depth rows lanes f_block row_block groups group_block a_group x_group adding",
)
def correlate(p: Any, unit: int, scratch: int, zero: Any) -> None:
    """Compute ``y[f,k] = sum_{i,l} a[a_offsets[f] + a_row i + l] x[offsets[k] + x_row i + l]``.

    With a = dy this is the gradient in the weights. Both tables are filled up to whole register tiles with
    repetitions, whose sums are dropped. ``row_block`` rows at a time stay in the cache. There are ``groups``,
    which lie ``a_group`` and ``x_group`` apart. A unit is ``group_block`` groups, or ``f_block`` filters and
    ``depth`` terms of one. Fewer filters than a tile has rows go one by one. With ``adding``, the sums are
    added to y.
    """
    blocks = (p.F + p.f_block - 1) // p.f_block * ((p.K + p.depth - 1) // p.depth)
    first = unit // blocks * p.group_block
    for g in range(first, min(p.groups, first + p.group_block)):
        _correlate(p, g, unit % blocks, scratch, zero)


@compiled
def _correlate(p: Any, g: int, block: int, scratch: int, zero: Any) -> None:
    """Compute a block of filters and terms of a group."""
    like = zero[0]
    size = size_of(like)
    results = view(scratch, max(DOT_ROWS * DOT_TAPS, ROW_TAPS), like)
    tile_rows, tile_taps = (1, ROW_TAPS) if p.F < DOT_ROWS else (DOT_ROWS, DOT_TAPS)
    start_a, start_x = p.a + g * p.a_group * size, p.x + g * p.x_group * size
    start_y = p.y + g * p.F * p.K * size
    blocks = (p.F + p.f_block - 1) // p.f_block
    f_first, k_first = block % blocks * p.f_block, block // blocks * p.depth
    f_last, k_last = min(p.F, f_first + p.f_block), min(p.K, k_first + p.depth)
    for i in range(0, max(p.rows, 1), p.row_block):
        rows = min(p.row_block, p.rows - i)
        a, x = start_a + i * p.a_row * size, start_x + i * p.x_row * size
        for k in range(k_first, k_last, tile_taps):
            for f in range(f_first, f_last, tile_rows):
                down, across = p.a_offsets + 8 * f, p.offsets + 8 * k
                if tile_rows == 1:
                    dots_of_row(a, down, p.a_row, x, across, p.x_row, rows, p.lanes, scratch, like)
                else:
                    dots(a, down, p.a_row, x, across, p.x_row, rows, p.lanes, scratch, like)
                taps, adding = min(tile_taps, k_last - k), i > 0 or p.adding != 0
                for r in range(min(tile_rows, f_last - f)):
                    y = view(start_y + ((f + r) * p.K + k) * size, taps, like)
                    if taps == DOT_TAPS:  # a number that the compiler knows
                        for q in range(DOT_TAPS):
                            y[q] = results[r * DOT_TAPS + q] + (y[q] if adding else like)
                    else:
                        for q in range(taps):
                            y[q] = results[r * tile_taps + q] + (y[q] if adding else like)
