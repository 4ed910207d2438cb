"""The innermost loops, as vector instructions.

A compiler that is left to vectorise four nested loops by itself reaches a quarter of what the machine can
do, after seconds of thought. Here the two register tiles that all convolutions and dense layers are made of
are written out as LLVM instructions instead: they run at the machine's peak and compile in a tenth of a
second.

:func:`row_tile`
    ``y[r, l] = init[r, l] + bias[r] + sum_k a[r, k] x[offset[k] + l]`` for a few rows r and vectors of
    lanes l: each number of ``a`` is broadcast, each vector of ``x`` is used by all rows, the sums stay in
    registers.
:func:`dots`
    ``d[f, k] = sum_l dy[f, l] x[offset[k] + l]``: the same sum the other way round, for weight gradients.

Arrays are passed as addresses (``int64``) and lengths in elements: a row of numbers describes an operation
completely, and nothing is boxed on the way. ``like`` is a number of the array's dtype, and says so.

With ``NUMBA_DISABLE_JIT=1`` the same functions run as NumPy.

Source: K. Goto, R. van de Geijn, "Anatomy of high-performance matrix multiplication", 2008; offsets instead
of an im2col matrix: M. Dukhan, "The indirect convolution algorithm", 2019.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import carray, config, njit, types
from numba.core import cgutils
from numba.extending import intrinsic


def _wide() -> bool:
    """Whether there is AVX-512: on this machine, or on the one that NUMBA_CPU_FEATURES describes."""
    if config.CPU_FEATURES is not None:
        return "+avx512f" in config.CPU_FEATURES
    return bool(binding.get_host_cpu_features().get("avx512f"))


_WIDE = _wide()
VECTOR_BYTES = 64 if _WIDE else 32
"""Bytes of a vector register."""

ROWS = 8 if _WIDE else 4
VECTORS = 3
"""A tile is at most ``ROWS x VECTORS`` registers large: 24 of 32 with AVX-512, 12 of 16 with AVX2."""

DOT_ROWS, DOT_TAPS = (4, 6) if _WIDE else (3, 3)

INT = ir.IntType(64)


def lanes(like: Any) -> int:
    """Numbers in a vector register."""
    return VECTOR_BYTES // np.dtype(type(like)).itemsize


class _Emitter:
    """Writes vector instructions of one dtype into a function under construction."""

    def __init__(self, builder: ir.IRBuilder, like: types.Type) -> None:
        self.builder = builder
        self.bytes = 4 if like == types.float32 else 8
        self.scalar = ir.FloatType() if like == types.float32 else ir.DoubleType()
        self.width = VECTOR_BYTES // self.bytes
        self.vector = ir.VectorType(self.scalar, self.width)
        self.suffix = f"v{self.width}f{8 * self.bytes}"
        self.zero = ir.Constant(self.vector, [0.0] * self.width)

    def intrinsic(self, name: str, result: ir.Type, arguments: list[ir.Type]) -> Any:
        kind = ir.FunctionType(result, arguments)
        return cgutils.get_or_insert_function(self.builder.module, kind, name)

    def number(self, n: int) -> ir.Constant:
        return ir.Constant(INT, n)

    def step(self, address: Any, elements: Any) -> Any:
        return self.builder.add(address, self.builder.mul(elements, self.number(self.bytes)))

    def load(self, address: Any, mask: Any = None) -> Any:
        pointer = self.builder.inttoptr(address, self.vector.as_pointer())
        if mask is None:
            value = self.builder.load(pointer)
            value.align = self.bytes
            return value
        function = self.intrinsic(
            f"llvm.masked.load.{self.suffix}.p0",
            self.vector,
            [self.vector.as_pointer(), ir.IntType(32), mask.type, self.vector],
        )
        align = ir.Constant(ir.IntType(32), self.bytes)
        return self.builder.call(function, [pointer, align, mask, self.zero])

    def store(self, value: Any, address: Any, mask: Any = None) -> None:
        pointer = self.builder.inttoptr(address, self.vector.as_pointer())
        if mask is None:
            self.builder.store(value, pointer).align = self.bytes
            return
        function = self.intrinsic(
            f"llvm.masked.store.{self.suffix}.p0",
            ir.VoidType(),
            [self.vector, self.vector.as_pointer(), ir.IntType(32), mask.type],
        )
        self.builder.call(function, [value, pointer, ir.Constant(ir.IntType(32), self.bytes), mask])

    def mask(self, count: Any) -> Any:
        """Lanes 0 .. count - 1."""
        kind = ir.VectorType(INT, self.width)
        index = ir.Constant(kind, list(range(self.width)))
        return self.builder.icmp_signed("<", index, self.splat(count, kind))

    def splat(self, value: Any, kind: ir.VectorType | None = None) -> Any:
        kind = kind or self.vector
        undefined = ir.Constant(kind, ir.Undefined)
        first = self.builder.insert_element(undefined, value, ir.Constant(ir.IntType(32), 0))
        order = ir.Constant(ir.VectorType(ir.IntType(32), self.width), [0] * self.width)
        return self.builder.shuffle_vector(first, undefined, order)

    def broadcast(self, address: Any) -> Any:
        return self.splat(self.builder.load(self.builder.inttoptr(address, self.scalar.as_pointer())))

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        function = self.intrinsic(f"llvm.fma.{self.suffix}", self.vector, [self.vector] * 3)
        return self.builder.call(function, [a, b, c])

    def total(self, value: Any) -> Any:
        function = self.intrinsic(
            f"llvm.vector.reduce.fadd.{self.suffix}", self.scalar, [self.scalar, self.vector]
        )
        return self.builder.call(function, [ir.Constant(self.scalar, 0.0), value], fastmath=("reassoc",))

    def offset(self, table: Any, k: Any) -> Any:
        return self.builder.load(
            self.builder.inttoptr(
                self.builder.add(table, self.builder.mul(k, self.number(8))), INT.as_pointer()
            )
        )


class _Loop:
    """``for k in range(start, stop, step)`` with values carried from one round to the next."""

    def __init__(self, emit: _Emitter, start: Any, stop: Any, step: int, carried: list[Any]) -> None:
        self.emit, self.step = emit, step
        builder = emit.builder
        before = builder.block
        self.head = builder.append_basic_block("head")
        self.body = builder.append_basic_block("body")
        self.end = builder.append_basic_block("end")
        builder.branch(self.head)
        builder.position_at_end(self.head)
        self.index = builder.phi(INT)
        self.index.add_incoming(start, before)
        self.carried = []
        for value in carried:
            phi = builder.phi(value.type)
            phi.add_incoming(value, before)
            self.carried.append(phi)
        more = builder.icmp_signed("<=", builder.add(self.index, emit.number(step)), stop)
        builder.cbranch(more, self.body, self.end)
        builder.position_at_end(self.body)

    def close(self, carried: list[Any]) -> None:
        builder = self.emit.builder
        self.index.add_incoming(builder.add(self.index, self.emit.number(self.step)), builder.block)
        for phi, value in zip(self.carried, carried, strict=True):
            phi.add_incoming(value, builder.block)
        builder.branch(self.head)
        builder.position_at_end(self.end)


def _tile(rows: int, vectors: int, masked: bool) -> Any:
    """Make the register tile of ``rows x vectors``; a masked one holds ``count`` lanes of one vector."""

    @intrinsic
    def tile(_, a, a_row, a_step, offset, K, x, y, y_row, init, init_row, bias, floor, count, like):
        def generate(context, builder, signature, arguments):
            a, a_row, a_step, offset, K, x, y, y_row, init, init_row, bias, floor, count, _ = arguments
            emit = _Emitter(builder, like)
            mask = emit.mask(count) if masked else None
            grid = [(r, v) for r in range(rows) for v in range(vectors)]

            def place(base, row, r, v):
                elements = builder.add(builder.mul(row, emit.number(r)), emit.number(v * emit.width))
                return emit.step(base, elements)

            biases = [emit.broadcast(emit.step(bias, emit.number(r))) for r in range(rows)]
            plain = builder.block
            with builder.if_then(builder.icmp_signed("!=", init, emit.number(0))):
                loaded = [
                    builder.fadd(emit.load(place(init, init_row, r, v), mask), biases[r]) for r, v in grid
                ]
                inside = builder.block
            sums = []
            for (r, _v), value in zip(grid, loaded, strict=True):
                phi = builder.phi(emit.vector)
                phi.add_incoming(biases[r], plain)
                phi.add_incoming(value, inside)
                sums.append(phi)

            rows_of_a = [emit.step(a, builder.mul(a_row, emit.number(r))) for r in range(rows)]
            loop = _Loop(emit, emit.number(0), K, 1, sums)
            at = emit.step(x, emit.offset(offset, loop.index))
            across = [emit.load(emit.step(at, emit.number(v * emit.width)), mask) for v in range(vectors)]
            down = builder.mul(loop.index, a_step)
            weights = [emit.broadcast(emit.step(row, down)) for row in rows_of_a]
            loop.close(
                [emit.fma(weights[r], across[v], s) for (r, v), s in zip(grid, loop.carried, strict=True)]
            )
            least = emit.splat(floor)
            for (r, v), value in zip(grid, loop.carried, strict=True):
                low = builder.fcmp_ordered("<", value, least)
                emit.store(builder.select(low, least, value), place(y, y_row, r, v), mask)
            return context.get_dummy_value()

        integers = (types.int64,) * 11
        return types.void(*integers, like, types.int64, like), generate

    return tile


@intrinsic
def _dots(_, dy, dy_offset, dy_row, x, offset, x_row, rows, count, out, like):
    """Write ``DOT_ROWS x DOT_TAPS`` dot products over ``rows x count`` lanes to ``out``."""

    def generate(context, builder, signature, arguments):
        dy, dy_offset, dy_row, x, offset, x_row, rows, count, out, _ = arguments
        emit = _Emitter(builder, like)
        down = [emit.step(dy, emit.offset(dy_offset, emit.number(r))) for r in range(DOT_ROWS)]
        taps = [emit.step(x, emit.offset(offset, emit.number(k))) for k in range(DOT_TAPS)]
        grid = [(r, k) for r in range(DOT_ROWS) for k in range(DOT_TAPS)]
        whole = builder.mul(builder.sdiv(count, emit.number(emit.width)), emit.number(emit.width))
        mask = emit.mask(builder.sub(count, whole))

        def multiply(sums, at_dy, at_x, mask=None):
            a = [emit.load(emit.step(row, at_dy), mask) for row in down]
            b = [emit.load(emit.step(tap, at_x), mask) for tap in taps]
            return [emit.fma(a[r], b[k], s) for (r, k), s in zip(grid, sums, strict=True)]

        outer = _Loop(emit, emit.number(0), rows, 1, [emit.zero] * len(grid))
        start_dy, start_x = builder.mul(outer.index, dy_row), builder.mul(outer.index, x_row)
        inner = _Loop(emit, emit.number(0), whole, emit.width, outer.carried)
        inner.close(
            multiply(inner.carried, builder.add(start_dy, inner.index), builder.add(start_x, inner.index))
        )
        before = builder.block
        with builder.if_then(builder.icmp_signed("<", whole, count)):
            rest = multiply(inner.carried, builder.add(start_dy, whole), builder.add(start_x, whole), mask)
            inside = builder.block
        sums = []
        for value, more in zip(inner.carried, rest, strict=True):
            phi = builder.phi(emit.vector)
            phi.add_incoming(value, before)
            phi.add_incoming(more, inside)
            sums.append(phi)
        outer.close(sums)
        for (r, k), value in zip(grid, outer.carried, strict=True):
            address = emit.step(out, emit.number(r * DOT_TAPS + k))
            builder.store(emit.total(value), builder.inttoptr(address, emit.scalar.as_pointer()))
        return context.get_dummy_value()

    return types.void(*(types.int64,) * 9, like), generate


def _transform_input(emit: _Emitter, d: list[Any]) -> list[Any]:
    """Six numbers of a row or column times B^T of F(4, 3)."""
    b = emit.builder

    def times(n: float, value: Any) -> Any:
        return b.fmul(ir.Constant(emit.vector, [n] * emit.width), value)

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


def _transform_output(emit: _Emitter, m: list[Any]) -> list[Any]:
    """Six numbers of a row or column times A^T of F(4, 3)."""
    b = emit.builder

    def times(n: float, value: Any) -> Any:
        return b.fmul(ir.Constant(emit.vector, [n] * emit.width), value)

    near, near_difference = b.fadd(m[1], m[2]), b.fsub(m[1], m[2])
    far, far_difference = b.fadd(m[3], m[4]), b.fsub(m[3], m[4])
    return [
        b.fadd(m[0], b.fadd(near, far)),
        b.fadd(near_difference, times(2, far_difference)),
        b.fadd(near, times(4, far)),
        b.fadd(b.fadd(near_difference, times(8, far_difference)), m[5]),
    ]


def _transform_kernel(emit: _Emitter, g: list[Any]) -> list[Any]:
    """Three numbers of a row or column times G of F(4, 3)."""
    b = emit.builder

    def times(n: float, value: Any) -> Any:
        return b.fmul(ir.Constant(emit.vector, [n] * emit.width), value)

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


@intrinsic
def _winograd_kernel(_, g, u, u_step, like):
    """``U = G g G^T`` of a vector of kernels: nine arrays into 36 arrays ``u_step`` apart."""

    def generate(context, builder, signature, arguments):
        g, u, u_step, _ = arguments
        emit = _Emitter(builder, like)
        taps = [emit.load(emit.step(g, emit.number(q * emit.width))) for q in range(9)]
        columns = [_transform_kernel(emit, taps[q::3]) for q in range(3)]
        for i in range(6):
            for j, value in enumerate(_transform_kernel(emit, [column[i] for column in columns])):
                emit.store(value, emit.step(u, builder.mul(u_step, emit.number(6 * i + j))))
        return context.get_dummy_value()

    return types.void(*(types.int64,) * 3, like), generate


@intrinsic
def _winograd_input(_, d, d_step, v, v_step, like):
    """``V = B^T d B`` of a vector of tiles: 36 arrays ``d_step`` apart into 36 arrays ``v_step`` apart."""

    def generate(context, builder, signature, arguments):
        d, d_step, v, v_step, _ = arguments
        emit = _Emitter(builder, like)
        rows = []
        for r in range(6):
            places = [emit.step(d, builder.mul(d_step, emit.number(6 * r + k))) for k in range(6)]
            rows.append(_transform_input(emit, [emit.load(place) for place in places]))
        for k in range(6):
            for r, value in enumerate(_transform_input(emit, [row[k] for row in rows])):
                emit.store(value, emit.step(v, builder.mul(v_step, emit.number(6 * r + k))))
        return context.get_dummy_value()

    return types.void(*(types.int64,) * 4, like), generate


@intrinsic
def _winograd_output(_, m, m_step, bias, floor, o, o_step, like):
    """``y = max(floor, A^T m A + bias)`` of a vector of tiles: 36 arrays into 16."""

    def generate(context, builder, signature, arguments):
        m, m_step, bias, floor, o, o_step, _ = arguments
        emit = _Emitter(builder, like)
        rows = []
        for r in range(6):
            places = [emit.step(m, builder.mul(m_step, emit.number(6 * r + k))) for k in range(6)]
            rows.append(_transform_output(emit, [emit.load(place) for place in places]))
        shift, least = emit.splat(bias), emit.splat(floor)
        for k in range(4):
            for r, value in enumerate(_transform_output(emit, [row[k] for row in rows])):
                value = builder.fadd(value, shift)
                value = builder.select(builder.fcmp_ordered("<", value, least), least, value)
                emit.store(value, emit.step(o, builder.mul(o_step, emit.number(4 * r + k))))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, like, like, types.int64, types.int64, like), generate


def _shuffle(emit: _Emitter, value: Any, order: list[int]) -> Any:
    kind = ir.VectorType(ir.IntType(32), len(order))
    return emit.builder.shuffle_vector(value, ir.Constant(value.type, ir.Undefined), ir.Constant(kind, order))


@intrinsic
def _deinterleave(_, x, d, d_step, like):
    """``d[k][t] = x[4 t + k]``, k = 0..5, for a vector of tiles t: columns of tiles that overlap by two."""

    def generate(context, builder, signature, arguments):
        x, d, d_step, _ = arguments
        emit = _Emitter(builder, like)
        wide = ir.VectorType(emit.scalar, 4 * emit.width)
        for start in (0, 4):
            value = builder.load(builder.inttoptr(emit.step(x, emit.number(start)), wide.as_pointer()))
            value.align = emit.bytes
            for k in range(4 if start == 0 else 2):
                part = _shuffle(emit, value, [4 * t + k for t in range(emit.width)])
                emit.store(part, emit.step(d, builder.mul(d_step, emit.number(start + k))))
        return context.get_dummy_value()

    return types.void(*(types.int64,) * 3, like), generate


@intrinsic
def _interleave(_, o, o_step, y, count, like):
    """``y[4 t + k] = o[k][t]``, k = 0..3, for a vector of tiles t, the first ``count`` numbers of y."""

    def generate(context, builder, signature, arguments):
        o, o_step, y, count, _ = arguments
        emit = _Emitter(builder, like)
        w = emit.width
        parts = [emit.load(emit.step(o, builder.mul(o_step, emit.number(k)))) for k in range(4)]
        whole = list(range(2 * w))
        order = ir.Constant(ir.VectorType(ir.IntType(32), 2 * w), whole)
        left, right = (builder.shuffle_vector(a, b, order) for a, b in (parts[:2], parts[2:]))
        for q in range(4):
            # Number i of y is tile i // 4, column i % 4: columns 0, 1 lie in left, 2, 3 in right.
            index = [q * w + i for i in range(w)]
            take = [i // 4 + (i % 4) * w if i % 4 < 2 else 2 * w + i // 4 + (i % 4 - 2) * w for i in index]
            mask = ir.Constant(ir.VectorType(ir.IntType(32), w), take)
            value = builder.shuffle_vector(left, right, mask)
            shift = emit.number(q * w)
            emit.store(value, emit.step(y, shift), emit.mask(builder.sub(count, shift)))
        return context.get_dummy_value()

    return types.void(*(types.int64,) * 4, like), generate


@intrinsic
def _address(_, address, like):
    """Turn a number into a pointer."""

    def generate(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.CPointer(like)(types.int64, like), generate


@intrinsic
def _size_of(_, like):
    """Bytes of a number."""
    size = like.bitwidth // 8

    def generate(context, builder, signature, arguments):
        return INT(size)

    return types.int64(like), generate


@intrinsic
def _fetch_add(_, address, n):
    """Add to a shared counter; return what it was before."""

    def generate(context, builder, signature, arguments):
        pointer = builder.inttoptr(arguments[0], INT.as_pointer())
        return builder.atomic_rmw("add", pointer, arguments[1], "seq_cst")

    return types.int64(types.int64, types.int64), generate


@intrinsic
def _read(_, address):
    """Read a shared counter, and after it all that was written before it was raised."""

    def generate(context, builder, signature, arguments):
        return builder.load_atomic(builder.inttoptr(arguments[0], INT.as_pointer()), "acquire", 8)

    return types.int64(types.int64), generate


_TILES = {
    (rows, vectors): _tile(rows, vectors, vectors == 1) for rows in (8, 4, 2, 1) for vectors in (VECTORS, 1)
}
_tile8, _tile4, _tile2, _tile1 = (_TILES[rows, VECTORS] for rows in (8, 4, 2, 1))
_rest8, _rest4, _rest2, _rest1 = (_TILES[rows, 1] for rows in (8, 4, 2, 1))
_PANEL_ROWS = ROWS
_STRIDE = VECTORS


@njit(nogil=True)
def _compiled_row_tile(
    rows, a, a_row, a_step, offset, K, x, y, y_row, init, init_row, bias, floor, count, like
):
    size = _size_of(like)
    width = VECTOR_BYTES // size
    wide = width * _STRIDE
    n = 0
    while n < count:
        shift = n * size
        xs, ys, left = x + shift, y + shift, count - n
        start = init + shift if init != 0 else init
        if left >= wide:
            if rows == 8:
                _tile8(a, a_row, a_step, offset, K, xs, ys, y_row, start, init_row, bias, floor, wide, like)
            elif rows == 4:
                _tile4(a, a_row, a_step, offset, K, xs, ys, y_row, start, init_row, bias, floor, wide, like)
            elif rows == 2:
                _tile2(a, a_row, a_step, offset, K, xs, ys, y_row, start, init_row, bias, floor, wide, like)
            else:
                _tile1(a, a_row, a_step, offset, K, xs, ys, y_row, start, init_row, bias, floor, wide, like)
            n += wide
        else:
            left = min(left, width)
            if rows == 8:
                _rest8(a, a_row, a_step, offset, K, xs, ys, y_row, start, init_row, bias, floor, left, like)
            elif rows == 4:
                _rest4(a, a_row, a_step, offset, K, xs, ys, y_row, start, init_row, bias, floor, left, like)
            elif rows == 2:
                _rest2(a, a_row, a_step, offset, K, xs, ys, y_row, start, init_row, bias, floor, left, like)
            else:
                _rest1(a, a_row, a_step, offset, K, xs, ys, y_row, start, init_row, bias, floor, left, like)
            n += left


@njit(nogil=True)
def _compiled_view(address, count, like):
    return carray(_address(address, like), (count,))


def _plain_view(address: int, count: int, like: Any) -> Any:
    kind = np.ctypeslib.as_ctypes_type(np.dtype(type(like)))
    return np.frombuffer((kind * max(int(count), 1)).from_address(int(address)), dtype=type(like))[:count]


def _plain_row_tile(rows, a, a_row, a_step, offset, K, x, y, y_row, init, init_row, bias, floor, count, like):
    size = like.itemsize
    offsets = _plain_view(offset, K, np.int64(0))
    columns = np.array([_plain_view(x + o * size, count, like) for o in offsets], type(like)).reshape(
        K, count
    )
    for r in range(rows):
        start = _plain_view(init + r * init_row * size, count, like) if init else 0
        weights = _plain_view(a + r * a_row * size, (K - 1) * a_step + 1 if K else 0, like)[::a_step]
        sums = start + _plain_view(bias + r * size, 1, like) + weights @ columns
        _plain_view(y + r * y_row * size, count, like)[:] = np.where(sums < floor, floor, sums)


def _plain_dots(dy, dy_offset, dy_row, x, offset, x_row, rows, count, out, like):
    size = like.itemsize
    result = _plain_view(out, DOT_ROWS * DOT_TAPS, like).reshape(DOT_ROWS, DOT_TAPS)
    result[:] = 0
    down = _plain_view(dy_offset, DOT_ROWS, np.int64(0))
    taps = _plain_view(offset, DOT_TAPS, np.int64(0))
    for i in range(rows):
        a = [_plain_view(dy + (o + i * dy_row) * size, count, like) for o in down]
        b = [_plain_view(x + (o + i * x_row) * size, count, like) for o in taps]
        result += np.array(a) @ np.array(b).T


_INPUT = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
)
_OUTPUT = np.array([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]])


def _gather(address: int, step: int, count: int, like: Any) -> Any:
    parts = [_plain_view(address + k * step * like.itemsize, lanes(like), like) for k in range(count)]
    return np.array(parts)


def _scatter(values: Any, address: int, step: int, like: Any) -> None:
    for k, value in enumerate(values):
        _plain_view(address + k * step * like.itemsize, lanes(like), like)[:] = value


_KERNEL = np.array(
    [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]],
) / np.array(24)


def _plain_winograd_kernel(g, u, u_step, like):
    kernels = _gather(g, lanes(like), 9, like).reshape(3, 3, -1)
    _scatter(np.einsum("ir,jk,rkn->ijn", _KERNEL, _KERNEL, kernels).reshape(36, -1), u, u_step, like)


def _plain_winograd_input(d, d_step, v, v_step, like):
    tiles = _gather(d, d_step, 36, like).reshape(6, 6, -1)
    _scatter(np.einsum("ir,jk,rkn->ijn", _INPUT, _INPUT, tiles).reshape(36, -1), v, v_step, like)


def _plain_winograd_output(m, m_step, bias, floor, o, o_step, like):
    tiles = _gather(m, m_step, 36, like).reshape(6, 6, -1)
    y = np.einsum("ir,jk,rkn->ijn", _OUTPUT, _OUTPUT, tiles).reshape(16, -1) + bias
    _scatter(np.where(y < floor, floor, y), o, o_step, like)


def _plain_deinterleave(x, d, d_step, like):
    row = _plain_view(x, 4 * lanes(like) + 4, like)
    _scatter([row[k : k + 4 * lanes(like) - 3 : 4] for k in range(6)], d, d_step, like)


def _plain_interleave(o, o_step, y, count, like):
    count = min(int(count), 4 * lanes(like))
    _plain_view(y, count, like)[:] = _gather(o, o_step, 4, like).T.ravel()[:count]


def _plain_fetch_add(address: int, n: int) -> int:
    counter = _plain_view(address, 1, np.int64(0))
    before = int(counter[0])
    counter[0] += n
    return before


def _plain_size_of(like: Any) -> int:
    return int(like.itemsize)


def _plain_read(address: int) -> int:
    return int(_plain_view(address, 1, np.int64(0))[0])


if config.DISABLE_JIT:
    row_tile, view, dots, size_of = _plain_row_tile, _plain_view, _plain_dots, _plain_size_of
    fetch_add, read = _plain_fetch_add, _plain_read
    winograd_input, winograd_output = _plain_winograd_input, _plain_winograd_output
    winograd_kernel = _plain_winograd_kernel
    deinterleave, interleave = _plain_deinterleave, _plain_interleave
else:
    row_tile, view, dots, size_of = _compiled_row_tile, _compiled_view, _dots, _size_of
    fetch_add, read = _fetch_add, _read
    winograd_input, winograd_output, deinterleave, interleave = (
        _winograd_input,
        _winograd_output,
        _deinterleave,
        _interleave,
    )
    winograd_kernel = _winograd_kernel
