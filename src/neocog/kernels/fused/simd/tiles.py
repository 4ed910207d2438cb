"""Compile the register tiles, of which all convolutions and dense layers are made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from numba import types
from numba.extending import intrinsic

from neocog.kernels.fused.lean import lean
from neocog.kernels.fused.simd.emitter import (
    DOT_ROWS,
    DOT_TAPS,
    PAIR_ROWS,
    ROW_TAPS,
    ROWS,
    WIDTHS,
    Emitter,
    Loop,
    tile_lanes,
)
from neocog.kernels.fused.simd.memory import size_of

__all__ = ["dots", "dots_of_row", "pair_tile", "pixel_tile", "row_tile"]


def _store(
    emit: Emitter,
    sums: list[Any],
    init: Any,
    starts: Callable[[], list[Any]],
    ends: list[Any],
    bounds: tuple[Any, Any],
    mask: Any,
) -> None:
    """Store the sums at ``ends``, bounded, unless ``init`` is 0 with what lies at ``starts`` added.

    What the sums are added to comes last: long sums are then made of short ones, and err less.
    """
    builder, plain = emit.builder, emit.builder.block
    with builder.if_then(builder.icmp_signed("!=", init, emit.number(0))):
        added = [builder.fadd(emit.load(at, mask), s) for at, s in zip(starts(), sums, strict=True)]
        inside = builder.block
    totals = []
    for value, more in zip(sums, added, strict=True):
        phi = builder.phi(emit.vector)
        phi.add_incoming(value, plain)
        phi.add_incoming(more, inside)
        totals.append(phi)
    for at, value in zip(ends, emit.clipped(totals, *bounds), strict=True):
        emit.store(value, at, mask)


def _sizes(heights: Sequence[int], widths: Sequence[int] = WIDTHS) -> list[tuple[int, int]]:
    """Return the sizes of register tiles, rows and vectors; one vector may be a part of one."""
    return [(rows, vectors) for vectors in widths for rows in heights]


def _of_size(emit: Emitter, size: tuple[int, int], rows: Any, count: Any) -> Any:
    """Write the condition that a tile has this size; its lanes are those of :func:`tile_lanes`."""
    high, vectors = size
    lanes = emit.number(vectors * emit.width)
    wide = emit.builder.icmp_signed("==" if vectors > 1 else "<=", count, lanes)
    return emit.builder.and_(emit.builder.icmp_signed("==", rows, emit.number(high)), wide)


def _row_tiles(sizes: Sequence[tuple[int, int]]) -> Any:
    """Make the register tiles of these sizes, rows x vectors; those of one vector hold ``count`` lanes of it.

    A term is two numbers of the table: where its lanes begin in x, and which number of a row of ``a`` it has.
    """

    def write(emit: Emitter, size: tuple[int, int], arguments: Sequence[Any]) -> None:
        a, a_row, a_step, terms, K, x, y, y_row, init, init_row, bias, floor, ceiling, count = arguments
        (rows, vectors), builder = size, emit.builder
        mask = emit.mask(count) if vectors == 1 else None
        grid = [(r, v) for r in range(rows) for v in range(vectors)]

        def place(base, row, r, v):
            elements = builder.add(builder.mul(row, emit.number(r)), emit.number(v * emit.width))
            return emit.step(base, elements)

        biases = [emit.broadcast(emit.step(bias, emit.number(r))) for r in range(rows)]
        sums = [biases[r] for r, _v in grid]
        rows_of_a = [emit.step(a, builder.mul(a_row, emit.number(r))) for r in range(rows)]
        loop = Loop(emit, emit.number(0), K, 1, sums)
        entry = builder.shl(loop.index, emit.number(1))
        at = emit.step(x, emit.offset(terms, entry))
        across = [emit.load(emit.step(at, emit.number(v * emit.width)), mask) for v in range(vectors)]
        down = builder.mul(emit.offset(terms, builder.or_(entry, emit.number(1))), a_step)
        weights = [emit.broadcast(emit.step(row, down)) for row in rows_of_a]
        loop.close([emit.fma(weights[r], across[v], s) for (r, v), s in zip(grid, loop.carried, strict=True)])
        _store(
            emit,
            loop.carried,
            init,
            lambda: [place(init, init_row, r, v) for r, v in grid],
            [place(y, y_row, r, v) for r, v in grid],
            (floor, ceiling),
            mask,
        )

    @intrinsic
    def tile(
        _, rows, a, a_row, a_step, terms, K, x, y, y_row, init, init_row, bias, floor, ceiling, count, like
    ):
        def generate(context, builder, signature, arguments):
            rows, *rest, _ = arguments
            emit = Emitter(builder, like)
            for size in sizes:
                with builder.if_then(_of_size(emit, size, rows, rest[-1])):
                    write(emit, size, rest)
            return context.get_dummy_value()

        integers = (types.int64,) * 12
        return types.void(*integers, like, like, types.int64, like), generate

    return tile


def _pixel_tiles(sizes: Sequence[tuple[int, int]], depthwise: bool = False, paired: bool = False) -> Any:
    """Make the register tiles of these sizes, pixels x vectors of channels; one vector holds ``count``.

    Tables tell where the pixels lie. A number of x is broadcast to all channels of y; ``depthwise``, a vector
    of x has a weight for each of its channels; ``paired``, each number of x and w is two of bfloat16.
    """

    def write(emit: Emitter, size: tuple[int, int], arguments: Sequence[Any]) -> None:
        x, x_at, offset, K, w, w_row, bias, y, y_at, init, init_at, floor, ceiling, count = arguments
        (rows, vectors), builder = size, emit.builder
        mask = emit.mask(count) if vectors == 1 else None
        grid = [(r, v) for r in range(rows) for v in range(vectors)]
        steps = [emit.number(v * emit.width) for v in range(vectors)]

        def places(base, table):
            pixels = [emit.step(base, emit.offset(table, emit.number(r))) for r in range(rows)]
            return [emit.step(pixels[r], steps[v]) for r, v in grid]

        pixels = [emit.step(x, emit.offset(x_at, emit.number(r))) for r in range(rows)]
        biases = [emit.load(emit.step(bias, step), mask) for step in steps]
        loop = Loop(emit, emit.number(0), K, 1, [biases[v] for _r, v in grid])
        down = emit.step(w, builder.mul(loop.index, w_row))
        weights = [emit.load(emit.step(down, step), mask) for step in steps]
        tap = emit.offset(offset, loop.index)
        taps = [emit.step(pixel, tap) for pixel in pixels]
        if depthwise:
            seen = [emit.load(emit.step(taps[r], steps[v]), mask) for r, v in grid]
        else:
            numbers = [emit.broadcast(at) for at in taps]
            seen = [numbers[r] for r, _v in grid]
        multiply = emit.dot_pairs if paired and emit.bytes == 4 else emit.fma
        loop.close(
            [multiply(a, weights[v], s) for a, (_r, v), s in zip(seen, grid, loop.carried, strict=True)]
        )
        _store(
            emit,
            loop.carried,
            init,
            lambda: places(init, init_at),
            places(y, y_at),
            (floor, ceiling),
            mask,
        )

    @intrinsic
    def tile(
        _, rows, x, x_at, offset, K, w, w_row, bias, y, y_at, init, init_at, floor, ceiling, count, like
    ):
        def generate(context, builder, signature, arguments):
            rows, *rest, _ = arguments
            emit = Emitter(builder, like)
            for size in sizes:
                with builder.if_then(_of_size(emit, size, rows, rest[-1])):
                    write(emit, size, rest)
            return context.get_dummy_value()

        integers = (types.int64,) * 12
        return types.void(*integers, like, like, types.int64, like), generate

    return tile


def _dots(height: int, width: int) -> Any:
    """Make the tile of ``height x width`` dot products over ``rows x count`` lanes, written to ``out``.

    ``out`` has room for whole vectors.
    """

    @intrinsic
    def dots(_, dy, dy_offset, dy_row, x, offset, x_row, rows, count, out, like):
        def generate(context, builder, signature, arguments):
            dy, dy_offset, dy_row, x, offset, x_row, rows, count, out, _ = arguments
            emit = Emitter(builder, like)
            down = [emit.step(dy, emit.offset(dy_offset, emit.number(r))) for r in range(height)]
            taps = [emit.step(x, emit.offset(offset, emit.number(k))) for k in range(width)]
            grid = [(r, k) for r in range(height) for k in range(width)]
            whole = builder.mul(builder.sdiv(count, emit.number(emit.width)), emit.number(emit.width))
            mask = emit.mask(builder.sub(count, whole))

            def multiply(sums, at_dy, at_x, mask=None):
                a = [emit.load(emit.step(row, at_dy), mask) for row in down]
                b = [emit.load(emit.step(tap, at_x), mask) for tap in taps]
                return [emit.fma(a[r], b[k], s) for (r, k), s in zip(grid, sums, strict=True)]

            outer = Loop(emit, emit.number(0), rows, 1, [emit.zero] * len(grid))
            start_dy, start_x = builder.mul(outer.index, dy_row), builder.mul(outer.index, x_row)
            inner = Loop(emit, emit.number(0), whole, emit.width, outer.carried)
            inner.close(
                multiply(inner.carried, builder.add(start_dy, inner.index), builder.add(start_x, inner.index))
            )
            before = builder.block
            with builder.if_then(builder.icmp_signed("<", whole, count)):
                rest = multiply(
                    inner.carried, builder.add(start_dy, whole), builder.add(start_x, whole), mask
                )
                inside = builder.block
            sums = []
            for value, more in zip(inner.carried, rest, strict=True):
                phi = builder.phi(emit.vector)
                phi.add_incoming(value, before)
                phi.add_incoming(more, inside)
                sums.append(phi)
            outer.close(sums)
            for k, value in enumerate(emit.totals(outer.carried)):
                emit.store(value, emit.step(out, emit.number(k * emit.width)))
            return context.get_dummy_value()

        return types.void(*(types.int64,) * 9, like), generate

    return dots


dots, dots_of_row = _dots(DOT_ROWS, DOT_TAPS), _dots(1, ROW_TAPS)

HEIGHTS = tuple(dict.fromkeys((ROWS, 4, 2, 1)))
"""Rows of the register tiles, the most first."""
PAIR_HEIGHTS = tuple(dict.fromkeys((PAIR_ROWS, 2, 1)))

_row_tile = _row_tiles(_sizes(HEIGHTS))
_lanes = lean()(tile_lanes)


@lean()
def row_tile(rows, a, a_row, a_step, terms, K, x, y, y_row, init, init_row, bias, low, high, count, like):
    """Write ``count`` lanes of ``rows`` (``HEIGHTS``) sums: register tiles, the last one masked."""
    size = size_of(like)
    n = 0
    while n < count:
        shift, lanes = n * size, _lanes(count - n, size)
        at = init + shift if init != 0 else init
        _row_tile(
            rows,
            a,
            a_row,
            a_step,
            terms,
            K,
            x + shift,
            y + shift,
            y_row,
            at,
            init_row,
            bias,
            low,
            high,
            lanes,
            like,
        )
        n += lanes


_pixel_tile, _pair_tile = _pixel_tiles(_sizes(HEIGHTS)), _pixel_tiles(_sizes(PAIR_HEIGHTS), paired=True)
_depthwise_tile = _pixel_tiles(_sizes((ROWS, 1)), depthwise=True)


@lean()
def pixel_tile(
    rows, depthwise, x, x_at, offset, K, w, w_row, bias, y, y_at, init, init_at, low, high, count, like
):
    """Write ``count`` channels of ``rows`` pixels: the lanes of one register tile.

    The rows are one of ``HEIGHTS``, and depthwise those of the largest tile or 1.
    """
    if depthwise:
        _depthwise_tile(
            rows, x, x_at, offset, K, w, w_row, bias, y, y_at, init, init_at, low, high, count, like
        )
    else:
        _pixel_tile(rows, x, x_at, offset, K, w, w_row, bias, y, y_at, init, init_at, low, high, count, like)


@lean()
def pair_tile(
    rows, depthwise, x, x_at, offset, K, w, w_row, bias, y, y_at, init, init_at, low, high, count, like
):
    """Write what :func:`pixel_tile` does, of pairs of bfloat16, for ``PAIR_HEIGHTS``; none is depthwise."""
    _pair_tile(rows, x, x_at, offset, K, w, w_row, bias, y, y_at, init, init_at, low, high, count, like)
