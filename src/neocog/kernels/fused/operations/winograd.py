"""Convolve with 3 x 3 kernels by Winograd's minimal filtering, F(4 x 4, 3 x 3).

Sixteen outputs from a tile of 6 x 6 inputs take 36 multiplications instead of 144::

    U = G g G^T,    V = B^T d B,    m[f] = sum_c U[f,c] V[c]  (elementwise),    y = A^T m A

It pays with many channels, where the sums are most of the work. A strip of tiles at a time goes through all
three stages in the cache. The gradient in the weights is the same backwards, where the sums are over tiles::

    V = B^T d B,    Y = A dy A^T,    M[f,c] = sum_t Y[f,t] V[c,t]  (elementwise),    dg = G^T M G

The transforms cost some precision: for unit-variance data the error is some 1e-5
of the largest output, where the direct sum has 1e-6; so it is used neither for float64 nor under
``precision="exact"``.

Source: S. Winograd, "Arithmetic complexity of computations", 1980; A. Lavin, S. Gray, "Fast algorithms for
convolutional neural networks", 2016.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neocog.kernels.fused.operation import compiled, operation
from neocog.kernels.fused.operations.products import panel_rows
from neocog.kernels.fused.simd import (
    VECTOR_BYTES,
    deinterleave,
    interleave,
    row_tile,
    size_of,
    view,
    winograd_input,
    winograd_kernel,
    winograd_kernel_back,
    winograd_output,
    winograd_output_back,
)

RUN = 8
"""Numbers of a copy whose length the compiler knows: two or four vector instructions instead of a loop."""


@operation(arrays="weight y", integers="F C f_block weight_row weight_channel flipped")
def winograd_weights(p: Any, unit: int, scratch: int, zero: Any) -> None:
    """Compute ``y[36][panel][c][r] = G g G^T``, g the 3 x 3 kernel of filter f and channel c.

    Kernels lie ``weight_row`` elements apart from filter to filter and ``weight_channel`` from channel to
    channel; if ``flipped``, they are rotated by half a turn. A unit is ``f_block`` filters.
    """
    like = zero[0]
    size = size_of(like)
    vector = VECTOR_BYTES // size
    kernels, rest = scratch, scratch + 9 * VECTOR_BYTES
    g, tail = view(kernels, 9 * vector, like), view(rest, 36 * vector, like)
    step = p.F * p.C
    first, last = unit * p.f_block, min(p.F, (unit + 1) * p.f_block)
    while first < last:
        rows = panel_rows(last - first)
        count = p.C * rows
        for start in range(0, count, vector):  # a vector of kernels, in the order of the panel
            lanes = min(vector, count - start)
            for n in range(lanes):
                c, r = (start + n) // rows, (start + n) % rows
                w = view(p.weight + ((first + r) * p.weight_row + c * p.weight_channel) * size, 9, like)
                for q in range(9):
                    g[q * vector + n] = w[8 - q if p.flipped else q]
            y = p.y + (first * p.C + start) * size
            if lanes == vector:
                winograd_kernel(kernels, y, step, like)
                continue
            winograd_kernel(kernels, rest, vector, like)
            for k in range(36):
                target = view(y + k * step * size, lanes, like)
                for n in range(lanes):
                    target[n] = tail[k * vector + n]
        first += rows


@compiled
def scatter_tiles(x: int, N: int, tiles: int, d: int, d_step: int, like: Any) -> None:
    """Copy the columns of tiles into separate arrays: ``d[k][t N + n] = x[(4 t + k) N + n]``, k = 0..5."""
    size = size_of(like)
    if N == 1:
        for t in range(0, tiles, VECTOR_BYTES // size):
            deinterleave(x + 4 * t * size, d + t * size, d_step, like)
        return
    for t in range(tiles):
        for k in range(6):
            source, target = x + (4 * t + k) * N * size, d + (k * d_step + t * N) * size
            if N % RUN == 0:
                for start in range(0, N, RUN):
                    a, b = view(source + start * size, RUN, like), view(target + start * size, RUN, like)
                    for n in range(RUN):
                        b[n] = a[n]
            else:
                a, b = view(source, N, like), view(target, N, like)
                for n in range(N):
                    b[n] = a[n]


@compiled
def gather_tiles(o: int, o_step: int, y: int, N: int, tiles: int, W: int, like: Any) -> None:
    """Join the columns of tiles: ``y[(4 t + k) N + n] = o[k][t N + n]``, k = 0..3, up to the row's end."""
    size = size_of(like)
    if N == 1:
        for t in range(0, tiles, VECTOR_BYTES // size):
            interleave(o + t * size, o_step, y + 4 * t * size, W - 4 * t, like)
        return
    for t in range(tiles):
        for k in range(min(4, W - 4 * t)):
            source, target = o + (k * o_step + t * N) * size, y + (4 * t + k) * N * size
            if N % RUN == 0:
                for start in range(0, N, RUN):
                    a, b = view(source + start * size, RUN, like), view(target + start * size, RUN, like)
                    for n in range(RUN):
                        b[n] = a[n]
            else:
                a, b = view(source, N, like), view(target, N, like)
                for n in range(N):
                    b[n] = a[n]


@compiled
def scatter_strip(
    x: int, x_row: int, rows: int, N: int, tiles: int, tile_rows: int, d: int, d_step: int, like: Any
) -> None:
    """Copy ``rows`` rows of each of some rows of tiles by :func:`scatter_tiles`.

    Row r, column k of all tiles is the array ``d[6 r + k]``.
    """
    size = size_of(like)
    for i in range(tile_rows):
        for r in range(rows):
            place = d + (6 * r * d_step + i * tiles * N) * size
            scatter_tiles(x + (4 * i + r) * x_row * size, N, tiles, place, d_step, like)


@operation(
    maps="x y",
    arrays="a terms bias zeros",
    integers="F C N W rows strip_lanes tiles tile_rows depth f_block row_block column_block v_step m_step",
    numbers="low high",
)
def winograd(p: Any, unit: int, scratch: int, zero: Any) -> None:
    """Compute ``y = min(max(conv(x) + bias, low), high)``, the weights from :func:`winograd_weights`.

    x begins at tap (0, 0) of output pixel (0, 0) and has zeros wherever a tile reaches beyond the image.
    There are ``tile_rows`` rows of ``tiles`` tiles. A unit is a strip of ``row_block`` rows of
    ``column_block`` of these, at most ``strip_lanes`` lanes, and ``f_block`` filters, of which ``depth`` are
    taken at a time. The 36 arrays of transformed tiles lie ``v_step`` apart, those of sums ``m_step``.
    """
    like = zero[0]
    size = size_of(like)
    vector = VECTOR_BYTES // size
    T, C, N = p.strip_lanes, p.C, p.N
    blocks, strips = (p.F + p.f_block - 1) // p.f_block, (p.tiles + p.column_block - 1) // p.column_block
    f_first, strip = unit % blocks * p.f_block, unit // blocks
    f_last = min(p.F, f_first + p.f_block)
    i_first, t_first = strip // strips * p.row_block, strip % strips * p.column_block
    i_last = min(p.tile_rows, i_first + p.row_block)
    tiles = min(p.column_block, p.tiles - t_first)
    lanes = (i_last - i_first) * tiles * N
    # Where a vector holds images of one tile, it is read where it lies, and written there if tiles fit.
    reads = N % vector == 0
    writes = reads and p.W % 4 == 0 and p.rows % 4 == 0
    d_step = T + 2 * vector
    d = scratch
    v = d + 36 * d_step * size
    m = v + 36 * p.v_step * size
    o = m + 36 * p.m_step * size
    for c in range(C):
        x = p.x + (c * p.x_plane + 4 * (i_first * p.x_row + t_first * N)) * size
        at = v + c * T * size
        if not reads:
            scatter_strip(x, p.x_row, 6, N, tiles, i_last - i_first, d, d_step, like)
        for i in range(i_last - i_first if reads else 1):
            for t in range(tiles if reads else 1):
                place, row, column = d, 6 * d_step, d_step
                if reads:
                    place, row, column = x + 4 * (i * p.x_row + t * N) * size, p.x_row, N
                for n in range(0, N if reads else lanes, vector):
                    winograd_input(place + n * size, row, column, at, p.v_step, like)
                    at += vector * size
    for f in range(f_first, f_last, p.depth):
        end = min(f_last, f + p.depth)
        for k in range(36):
            at = f
            while at < end:
                rows = panel_rows(f_last - at)
                row_tile(
                    rows,
                    p.a + (k * p.F * C + at * C) * size,
                    1,
                    rows,
                    p.terms,
                    C,
                    v + k * p.v_step * size,
                    m + (k * p.m_step + (at - f) * T) * size,
                    T,
                    0,
                    0,
                    p.zeros,
                    -np.inf,
                    np.inf,
                    lanes,
                    like,
                )
                at += rows
        for at in range(f, end):
            bias = view(p.bias + at * size, 1, like)[0]
            y = p.y + (at * p.y_plane + 4 * (i_first * p.y_row + t_first * N)) * size
            sums = m + (at - f) * T * size
            for i in range(i_last - i_first if writes else 1):
                for t in range(tiles if writes else 1):
                    place, row, column = o, 4 * d_step, d_step
                    if writes:
                        place, row, column = y + 4 * (i * p.y_row + t * N) * size, p.y_row, N
                    for n in range(0, N if writes else lanes, vector):
                        target = place + n * size
                        winograd_output(sums, p.m_step, bias, p.low, p.high, target, row, column, like)
                        sums += vector * size
            for i in range(i_first, i_first if writes else i_last):
                for r in range(min(4, p.rows - 4 * i)):
                    gather_tiles(
                        o + (4 * r * d_step + (i - i_first) * tiles * N) * size,
                        d_step,
                        y + (4 * (i - i_first) + r) * p.y_row * size,
                        N,
                        tiles,
                        p.W - 4 * t_first,
                        like,
                    )


@operation(
    maps="x",
    arrays="y",
    integers="C N tiles tile_rows row_block strip_lanes first strips block outputs y_step",
)
def winograd_tiles(p: Any, unit: int, scratch: int, zero: Any) -> None:
    """Compute ``y[36][c][t] = B^T d B`` of the tiles of each channel; of ``outputs`` 4 x 4, ``A d A^T``.

    There are ``tile_rows`` rows of ``tiles`` tiles, in strips of ``row_block`` rows and ``strip_lanes`` lanes
    each, filled up by zeros; ``strips`` of them from ``first`` on are computed. The 36 arrays lie ``y_step``
    apart. A unit is ``block`` channels.
    """
    like = zero[0]
    size = size_of(like)
    vector = VECTOR_BYTES // size
    N, T = p.N, p.strips * p.strip_lanes
    d, d_step = scratch, p.strip_lanes + 2 * vector
    rows = 4 if p.outputs else 6
    reads = N % vector == 0
    for c in range(unit * p.block, min(p.C, (unit + 1) * p.block)):
        at = p.y + c * T * size
        for s in range(p.first, p.first + p.strips):
            i_first = s * p.row_block
            i_count = min(p.tile_rows - i_first, p.row_block)
            x = p.x + (c * p.x_plane + 4 * i_first * p.x_row) * size
            lanes = i_count * p.tiles * N
            if not reads:
                scatter_strip(x, p.x_row, rows, N, p.tiles, i_count, d, d_step, like)
                for k in range(6 * rows):
                    rest = view(d + (k * d_step + lanes) * size, p.strip_lanes - lanes, like)
                    for n in range(p.strip_lanes - lanes):
                        rest[n] = like
            for i in range(i_count if reads else 1):
                for t in range(p.tiles if reads else 1):
                    place, row, column = d, 6 * d_step, d_step
                    if reads:
                        place, row, column = x + 4 * (i * p.x_row + t * N) * size, p.x_row, N
                    for n in range(0, N if reads else p.strip_lanes, vector):
                        if p.outputs:
                            winograd_output_back(place + n * size, row, column, at, p.y_step, like)
                        else:
                            winograd_input(place + n * size, row, column, at, p.y_step, like)
                        at += vector * size
            for k in range(36 if reads else 0):
                rest = view(at + k * p.y_step * size, p.strip_lanes - lanes, like)
                for n in range(p.strip_lanes - lanes):
                    rest[n] = like
            at = p.y + (c * T + (s + 1 - p.first) * p.strip_lanes) * size


@operation(arrays="x y", integers="count block")
def winograd_weights_back(p: Any, unit: int, scratch: int, zero: Any) -> None:
    """Compute the gradients ``y[k] = G^T x[:,:,k] G`` of ``count`` kernels; a unit is ``block`` of them."""
    like = zero[0]
    size = size_of(like)
    vector = VECTOR_BYTES // size
    g = view(scratch, 9 * vector, like)
    for first in range(unit * p.block, min(p.count, (unit + 1) * p.block), vector):
        winograd_kernel_back(p.x + first * size, p.count, scratch, like)
        lanes = min(vector, p.count - first)
        y = view(p.y + 9 * first * size, 9 * lanes, like)
        for n in range(lanes):
            for q in range(9):
                y[9 * n + q] = g[q * vector + n]
