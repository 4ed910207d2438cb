"""Compile the transforms of Winograd's method, a vector of tiles at a time."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from neocog.kernels.fused.simd.emitter import Emitter

__all__ = [
    "deinterleave",
    "interleave",
    "winograd_input",
    "winograd_kernel",
    "winograd_kernel_back",
    "winograd_output",
    "winograd_output_back",
]


def _transform_input(emit: Emitter, d: list[Any]) -> list[Any]:
    """Multiply six numbers of a row or column by B^T of F(4, 3)."""
    b, times = emit.builder, emit.times
    odd, even = b.fsub(d[3], times(4, d[1])), b.fsub(d[4], times(4, d[2]))
    far, near = times(2, b.fsub(d[3], d[1])), b.fsub(d[4], d[2])
    return [
        b.fadd(b.fsub(times(4, d[0]), times(5, d[2])), d[4]),
        b.fadd(even, odd),
        b.fsub(even, odd),
        b.fadd(near, far),
        b.fsub(near, far),
        b.fadd(b.fsub(times(4, d[1]), times(5, d[3])), d[5]),
    ]


def _transform_output(emit: Emitter, m: list[Any]) -> list[Any]:
    """Multiply six numbers of a row or column by A^T of F(4, 3)."""
    b, times = emit.builder, emit.times
    near, near_difference = b.fadd(m[1], m[2]), b.fsub(m[1], m[2])
    far, far_difference = b.fadd(m[3], m[4]), b.fsub(m[3], m[4])
    return [
        b.fadd(m[0], b.fadd(near, far)),
        b.fadd(near_difference, times(2, far_difference)),
        b.fadd(near, times(4, far)),
        b.fadd(b.fadd(near_difference, times(8, far_difference)), m[5]),
    ]


def _transform_kernel(emit: Emitter, g: list[Any]) -> list[Any]:
    """Multiply three numbers of a row or column by G of F(4, 3)."""
    b, times = emit.builder, emit.times
    even, far = times(-1 / 6, b.fadd(g[0], g[2])), b.fadd(times(1 / 24, g[0]), times(1 / 6, g[2]))
    near, middle = times(1 / 6, g[1]), times(1 / 12, g[1])
    return [
        times(1 / 4, g[0]),
        b.fsub(even, near),
        b.fadd(even, near),
        b.fadd(far, middle),
        b.fsub(far, middle),
        g[2],
    ]


def _transform_output_back(emit: Emitter, y: list[Any]) -> list[Any]:
    """Multiply four numbers of a row or column by A of F(4, 3)."""
    b, times = emit.builder, emit.times
    even, odd = b.fadd(y[0], y[2]), b.fadd(y[1], y[3])
    far_even, far_odd = b.fadd(y[0], times(4, y[2])), b.fadd(times(2, y[1]), times(8, y[3]))
    sides = [b.fadd(even, odd), b.fsub(even, odd), b.fadd(far_even, far_odd), b.fsub(far_even, far_odd)]
    return [y[0], *sides, y[3]]


def _transform_kernel_back(emit: Emitter, m: list[Any]) -> list[Any]:
    """Multiply six numbers of a row or column by G^T of F(4, 3)."""
    b, times = emit.builder, emit.times
    near, far = times(-1 / 6, b.fadd(m[1], m[2])), b.fadd(m[3], m[4])
    odd = b.fadd(times(1 / 6, b.fsub(m[2], m[1])), times(1 / 12, b.fsub(m[3], m[4])))
    first = b.fadd(b.fadd(times(1 / 4, m[0]), near), times(1 / 24, far))
    return [first, odd, b.fadd(b.fadd(near, times(1 / 6, far)), m[5])]


@intrinsic
def winograd_kernel(_, g, u, u_step, like):
    """Compute ``U = G g G^T`` of a vector of kernels: nine arrays into 36 arrays ``u_step`` apart."""

    def generate(context, builder, signature, arguments):
        g, u, u_step, _ = arguments
        emit = Emitter(builder, like)
        taps = [emit.load(emit.step(g, emit.number(q * emit.width))) for q in range(9)]
        columns = [_transform_kernel(emit, taps[q::3]) for q in range(3)]
        for i in range(6):
            for j, value in enumerate(_transform_kernel(emit, [column[i] for column in columns])):
                emit.store(value, emit.step(u, builder.mul(u_step, emit.number(6 * i + j))))
        return context.get_dummy_value()

    return types.void(*(types.int64,) * 3, like), generate


def _row(emit: Emitter, d: Any, d_row: Any, d_column: Any, r: int, count: int) -> list[Any]:
    """Load the first numbers of row r of a vector of tiles."""
    start = emit.step(d, emit.builder.mul(d_row, emit.number(r)))
    return [emit.load(emit.step(start, emit.builder.mul(d_column, emit.number(k)))) for k in range(count)]


def _tiles(transform: Any, count: int) -> Any:
    """Make the transform ``V = M d M^T`` of a vector of tiles, ``count`` x ``count`` arrays, into 36 arrays.

    Number (r, k) of the tiles is an array ``r d_row + k d_column`` behind the first; the 36 lie ``v_step``
    apart. ``transform`` multiplies a row or column by M.
    """

    @intrinsic
    def tiles(_, d, d_row, d_column, v, v_step, like):
        def generate(context, builder, signature, arguments):
            d, d_row, d_column, v, v_step, _ = arguments
            emit = Emitter(builder, like)
            rows = [transform(emit, _row(emit, d, d_row, d_column, r, count)) for r in range(count)]
            for k in range(6):
                for r, value in enumerate(transform(emit, [row[k] for row in rows])):
                    emit.store(value, emit.step(v, builder.mul(v_step, emit.number(6 * r + k))))
            return context.get_dummy_value()

        return types.void(*(types.int64,) * 5, like), generate

    return tiles


winograd_input, winograd_output_back = _tiles(_transform_input, 6), _tiles(_transform_output_back, 4)


@intrinsic
def winograd_output(_, m, m_step, bias, low, high, o, o_row, o_column, like):
    """Compute ``y = min(max(A^T m A + bias, low), high)`` of a vector of tiles: 36 arrays into 4 x 4."""

    def generate(context, builder, signature, arguments):
        m, m_step, bias, low, high, o, o_row, o_column, _ = arguments
        emit = Emitter(builder, like)
        rows = []
        for r in range(6):
            places = [emit.step(m, builder.mul(m_step, emit.number(6 * r + k))) for k in range(6)]
            rows.append(_transform_output(emit, [emit.load(place) for place in places]))
        shift = emit.splat(bias)
        for k in range(4):
            sums = [builder.fadd(each, shift) for each in _transform_output(emit, [row[k] for row in rows])]
            for r, value in enumerate(emit.clipped(sums, low, high)):
                column = builder.mul(o_column, emit.number(k))
                place = builder.add(builder.mul(o_row, emit.number(r)), column)
                emit.store(value, emit.step(o, place))
        return context.get_dummy_value()

    return types.void(*(types.int64,) * 2, *(like,) * 3, *(types.int64,) * 3, like), generate


@intrinsic
def winograd_kernel_back(_, u, u_step, g, like):
    """Compute ``g = G^T U G`` of a vector of kernels: 36 arrays ``u_step`` apart into nine arrays."""

    def generate(context, builder, signature, arguments):
        u, u_step, g, _ = arguments
        emit = Emitter(builder, like)
        rows = []
        for r in range(6):
            places = [emit.step(u, builder.mul(u_step, emit.number(6 * r + k))) for k in range(6)]
            rows.append(_transform_kernel_back(emit, [emit.load(place) for place in places]))
        for k in range(3):
            for r, value in enumerate(_transform_kernel_back(emit, [row[k] for row in rows])):
                emit.store(value, emit.step(g, emit.number((3 * r + k) * emit.width)))
        return context.get_dummy_value()

    return types.void(*(types.int64,) * 3, like), generate


@intrinsic
def deinterleave(_, x, d, d_step, like):
    """Copy ``d[k][t] = x[4 t + k]``, k = 0..5, for a vector of tiles t, which overlap by two columns."""

    def generate(context, builder, signature, arguments):
        x, d, d_step, _ = arguments
        emit = Emitter(builder, like)
        wide = ir.VectorType(emit.scalar, 4 * emit.width)
        for start in (0, 4):
            value = builder.load(builder.inttoptr(emit.step(x, emit.number(start)), wide.as_pointer()))
            value.align = emit.bytes
            for k in range(4 if start == 0 else 2):
                part = emit.shuffle(value, value, [4 * t + k for t in range(emit.width)])
                emit.store(part, emit.step(d, builder.mul(d_step, emit.number(start + k))))
        return context.get_dummy_value()

    return types.void(*(types.int64,) * 3, like), generate


@intrinsic
def interleave(_, o, o_step, y, count, like):
    """Copy ``y[4 t + k] = o[k][t]``, k = 0..3, for a vector of tiles t, the first ``count`` numbers of y."""

    def generate(context, builder, signature, arguments):
        o, o_step, y, count, _ = arguments
        emit = Emitter(builder, like)
        w = emit.width
        parts = [emit.load(emit.step(o, builder.mul(o_step, emit.number(k)))) for k in range(4)]
        left, right = (emit.shuffle(a, b, list(range(2 * w))) for a, b in (parts[:2], parts[2:]))
        for q in range(4):
            # Number i of y is tile i // 4, column i % 4: columns 0, 1 lie in left, 2, 3 in right.
            index = [q * w + i for i in range(w)]
            take = [i // 4 + (i % 4) * w if i % 4 < 2 else 2 * w + i // 4 + (i % 4 - 2) * w for i in index]
            value = emit.shuffle(left, right, take)
            shift = emit.number(q * w)
            emit.store(value, emit.step(y, shift), emit.mask(builder.sub(count, shift)))
        return context.get_dummy_value()

    return types.void(*(types.int64,) * 4, like), generate
