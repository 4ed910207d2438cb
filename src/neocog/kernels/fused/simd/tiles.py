"""Compile the register tiles, of which all convolutions and dense layers are made."""

from __future__ import annotations

from collections.abc import Callable
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
    VECTOR_BYTES,
    VECTORS,
    Emitter,
    Loop,
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


def _tile(rows: int, vectors: int, masked: bool) -> Any:
    """Make the register tile of ``rows x vectors``; a masked one holds ``count`` lanes of one vector.

    A term is two numbers of the table: where its lanes begin in x, and which number of a row of ``a`` it has.
    """

    @intrinsic
    def tile(_, a, a_row, a_step, terms, K, x, y, y_row, init, init_row, bias, floor, ceiling, count, like):
        def generate(context, builder, signature, arguments):
            a, a_row, a_step, terms, K, x, y, y_row, init, init_row, bias, floor, ceiling, count, _ = (
                arguments
            )
            emit = Emitter(builder, like)
            mask = emit.mask(count) if masked else None
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
            loop.close(
                [emit.fma(weights[r], across[v], s) for (r, v), s in zip(grid, loop.carried, strict=True)]
            )
            _store(
                emit,
                loop.carried,
                init,
                lambda: [place(init, init_row, r, v) for r, v in grid],
                [place(y, y_row, r, v) for r, v in grid],
                (floor, ceiling),
                mask,
            )
            return context.get_dummy_value()

        integers = (types.int64,) * 11
        return types.void(*integers, like, like, types.int64, like), generate

    return tile


def _pixel_tile(rows: int, vectors: int, masked: bool, depthwise: bool = False, paired: bool = False) -> Any:
    """Make the register tile of ``rows`` pixels x ``vectors`` of channels; a masked one holds ``count``.

    Tables tell where the pixels lie. A number of x is broadcast to all channels of y; ``depthwise``, a vector
    of x has a weight for each of its channels; ``paired``, each number of x and w is two of bfloat16.
    """

    @intrinsic
    def tile(_, x, x_at, offset, K, w, w_row, bias, y, y_at, init, init_at, floor, ceiling, count, like):
        def generate(context, builder, signature, arguments):
            x, x_at, offset, K, w, w_row, bias, y, y_at, init, init_at, floor, ceiling, count, _ = arguments
            emit = Emitter(builder, like)
            mask = emit.mask(count) if masked else None
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
            return context.get_dummy_value()

        integers = (types.int64,) * 11
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

HEIGHTS = (ROWS, 4, 2, 1)
"""Rows of the register tiles, the largest first."""

_TILES = {(rows, vectors): _tile(rows, vectors, vectors == 1) for rows in HEIGHTS for vectors in (VECTORS, 1)}
_tile_most, _tile4, _tile2, _tile1 = (_TILES[rows, VECTORS] for rows in HEIGHTS)
_rest_most, _rest4, _rest2, _rest1 = (_TILES[rows, 1] for rows in HEIGHTS)


@lean()
def row_tile(rows, a, a_row, a_step, terms, K, x, y, y_row, init, init_row, bias, low, high, count, like):
    """Write ``count`` lanes of ``rows`` (``HEIGHTS``) sums: whole register tiles, then masked vectors."""
    size = size_of(like)
    width = VECTOR_BYTES // size
    wide = width * VECTORS
    n = 0
    while n < count:
        shift = n * size
        xs, ys, left = x + shift, y + shift, count - n
        at = init + shift if init != 0 else init
        if left >= wide:
            if rows == ROWS:
                _tile_most(
                    a, a_row, a_step, terms, K, xs, ys, y_row, at, init_row, bias, low, high, wide, like
                )
            elif rows == 4:
                _tile4(a, a_row, a_step, terms, K, xs, ys, y_row, at, init_row, bias, low, high, wide, like)
            elif rows == 2:
                _tile2(a, a_row, a_step, terms, K, xs, ys, y_row, at, init_row, bias, low, high, wide, like)
            else:
                _tile1(a, a_row, a_step, terms, K, xs, ys, y_row, at, init_row, bias, low, high, wide, like)
            n += wide
        else:
            left = min(left, width)
            if rows == ROWS:
                _rest_most(
                    a, a_row, a_step, terms, K, xs, ys, y_row, at, init_row, bias, low, high, left, like
                )
            elif rows == 4:
                _rest4(a, a_row, a_step, terms, K, xs, ys, y_row, at, init_row, bias, low, high, left, like)
            elif rows == 2:
                _rest2(a, a_row, a_step, terms, K, xs, ys, y_row, at, init_row, bias, low, high, left, like)
            else:
                _rest1(a, a_row, a_step, terms, K, xs, ys, y_row, at, init_row, bias, low, high, left, like)
            n += left


_PIXELS = {
    (rows, vectors): _pixel_tile(rows, vectors, vectors == 1) for rows in HEIGHTS for vectors in (VECTORS, 1)
}
_PAIRS = {
    (rows, vectors): _pixel_tile(rows, vectors, vectors == 1, paired=True)
    for rows in (PAIR_ROWS, 2, 1)
    for vectors in (VECTORS, 1)
}
_pixels_most, _pixels4, _pixels2, _pixels1 = (_PIXELS[rows, VECTORS] for rows in HEIGHTS)
_thin_most, _thin4, _thin2, _thin1 = (_PIXELS[rows, 1] for rows in HEIGHTS)
_pairs4, _pairs2, _pairs1 = (_PAIRS[rows, VECTORS] for rows in (PAIR_ROWS, 2, 1))
_thin_pairs4, _thin_pairs2, _thin_pairs1 = (_PAIRS[rows, 1] for rows in (PAIR_ROWS, 2, 1))
_each, _each1 = (_pixel_tile(rows, VECTORS, False, depthwise=True) for rows in (ROWS, 1))
_each_thin, _each_thin1 = (_pixel_tile(rows, 1, True, depthwise=True) for rows in (ROWS, 1))


@lean()
def pixel_tile(
    rows, depthwise, x, x_at, offset, K, w, w_row, bias, y, y_at, init, init_at, low, high, count, like
):
    """Write ``count`` channels of ``rows`` pixels: one register tile wide, or at most one vector.

    The rows are one of ``HEIGHTS``, and depthwise those of the largest tile or 1.
    """
    wide = count >= VECTOR_BYTES // size_of(like) * VECTORS
    if depthwise:
        if wide and rows > 1:
            _each(x, x_at, offset, K, w, w_row, bias, y, y_at, init, init_at, low, high, count, like)
        elif wide:
            _each1(x, x_at, offset, K, w, w_row, bias, y, y_at, init, init_at, low, high, count, like)
        elif rows > 1:
            _each_thin(x, x_at, offset, K, w, w_row, bias, y, y_at, init, init_at, low, high, count, like)
        else:
            _each_thin1(x, x_at, offset, K, w, w_row, bias, y, y_at, init, init_at, low, high, count, like)
    elif wide:
        if rows == ROWS:
            _pixels_most(x, x_at, offset, K, w, w_row, bias, y, y_at, init, init_at, low, high, count, like)
        elif rows == 4:
            _pixels4(x, x_at, offset, K, w, w_row, bias, y, y_at, init, init_at, low, high, count, like)
        elif rows == 2:
            _pixels2(x, x_at, offset, K, w, w_row, bias, y, y_at, init, init_at, low, high, count, like)
        else:
            _pixels1(x, x_at, offset, K, w, w_row, bias, y, y_at, init, init_at, low, high, count, like)
    elif rows == ROWS:
        _thin_most(x, x_at, offset, K, w, w_row, bias, y, y_at, init, init_at, low, high, count, like)
    elif rows == 4:
        _thin4(x, x_at, offset, K, w, w_row, bias, y, y_at, init, init_at, low, high, count, like)
    elif rows == 2:
        _thin2(x, x_at, offset, K, w, w_row, bias, y, y_at, init, init_at, low, high, count, like)
    else:
        _thin1(x, x_at, offset, K, w, w_row, bias, y, y_at, init, init_at, low, high, count, like)


@lean()
def pair_tile(
    rows, depthwise, x, x_at, offset, K, w, w_row, bias, y, y_at, init, init_at, low, high, count, like
):
    """Write what :func:`pixel_tile` does, of pairs of bfloat16, for up to 4 rows; none is depthwise."""
    if count >= VECTOR_BYTES // size_of(like) * VECTORS:
        if rows == PAIR_ROWS:
            _pairs4(x, x_at, offset, K, w, w_row, bias, y, y_at, init, init_at, low, high, count, like)
        elif rows == 2:
            _pairs2(x, x_at, offset, K, w, w_row, bias, y, y_at, init, init_at, low, high, count, like)
        else:
            _pairs1(x, x_at, offset, K, w, w_row, bias, y, y_at, init, init_at, low, high, count, like)
    elif rows == PAIR_ROWS:
        _thin_pairs4(x, x_at, offset, K, w, w_row, bias, y, y_at, init, init_at, low, high, count, like)
    elif rows == 2:
        _thin_pairs2(x, x_at, offset, K, w, w_row, bias, y, y_at, init, init_at, low, high, count, like)
    else:
        _thin_pairs1(x, x_at, offset, K, w, w_row, bias, y, y_at, init, init_at, low, high, count, like)
