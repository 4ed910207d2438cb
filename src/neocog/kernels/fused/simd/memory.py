"""Compile the access to memory at an address, and to the counters that threads share."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array

from neocog.kernels.fused.simd.emitter import INT, SQUARE, Emitter, Loop

__all__ = ["fetch_add", "number", "read", "size_of", "to_winners", "transpose", "view"]


@intrinsic
def size_of(_, like):
    """Return the bytes of a number."""
    size = like.bitwidth // 8

    def generate(context, builder, signature, arguments):
        return INT(size)

    return types.int64(like), generate


@intrinsic
def number(_, value, like):
    """Return a number in the dtype of the array, where Numba would compute with it in float64."""

    def generate(context, builder, signature, arguments):
        return context.cast(builder, arguments[0], types.float64, like)

    return like(types.float64, like), generate


@intrinsic
def fetch_add(_, address, n):
    """Add to a shared counter; return what it was before."""

    def generate(context, builder, signature, arguments):
        pointer = builder.inttoptr(arguments[0], INT.as_pointer())
        return builder.atomic_rmw("add", pointer, arguments[1], "seq_cst")

    return types.int64(types.int64, types.int64), generate


@intrinsic
def read(_, address):
    """Read a shared counter; later reads see all that was written before it was raised (acquire)."""

    def generate(context, builder, signature, arguments):
        return builder.load_atomic(builder.inttoptr(arguments[0], INT.as_pointer()), "acquire", 8)

    return types.int64(types.int64), generate


@intrinsic
def view(_, address, count, like):
    """Return the array of ``count`` numbers at an address, of which Numba counts no references."""
    kind = types.Array(like, 1, "C")

    def generate(context, builder, signature, arguments):
        array, size = make_array(kind)(context, builder), INT(like.bitwidth // 8)
        data = builder.inttoptr(arguments[0], array.data.type)
        populate_array(array, data, shape=[arguments[1]], strides=[size], itemsize=size, meminfo=None)
        return array._getvalue()

    return kind(types.int64, types.int64, like), generate


@intrinsic
def transpose(_, x, x_row, y, y_row, like):
    """Copy ``y[r y_row + k] = x[k x_row + r]`` for r, k = 0..SQUARE - 1."""

    def generate(context, builder, signature, arguments):
        x, x_row, y, y_row, _ = arguments
        emit = Emitter(builder, like)
        row, half = ir.VectorType(emit.scalar, SQUARE).as_pointer(), SQUARE // 2

        def place(start, step, k):
            return builder.inttoptr(emit.step(start, builder.mul(step, emit.number(k))), row)

        rows = [builder.load(place(x, x_row, k)) for k in range(SQUARE)]
        for each in rows:
            each.align = emit.bytes
        # A number's row and lane, in bits one after the other: shuffling the upper half of the rows into the
        # lower turns them by one bit, until lanes have become rows.
        low = [lane // 2 + lane % 2 * SQUARE for lane in range(SQUARE)]
        high = [lane + half for lane in low]
        for _bit in range(SQUARE.bit_length() - 1):
            pairs = zip(rows[:half], rows[half:], strict=True)
            rows = [emit.shuffle(a, b, lanes) for a, b in pairs for lanes in (low, high)]
        for r, value in enumerate(rows):
            builder.store(value, place(y, y_row, r)).align = emit.bytes
        return context.get_dummy_value()

    return types.void(*(types.int64,) * 4, like), generate


@intrinsic
def to_winners(_, dy, pooled, winners, dx, row, column, count, like):
    """Write each dy to its winner among four numbers of dx, and zeros to the other three.

    ``dx[k // 2 row + k % 2 column + n] = dy[n] if winners[n] == k and pooled[n] > 0 else 0``, k = 0..3, for
    ``count`` numbers, whole vectors; ``winners`` are bytes. If ``pooled`` is 0, every dy counts.
    """

    def generate(context, builder, signature, arguments):
        dy, pooled, winners, dx, row, column, count, _ = arguments
        emit = Emitter(builder, like)
        taps = ir.VectorType(ir.IntType(8), emit.width)
        every = builder.icmp_signed("==", pooled, emit.number(0))
        opened = emit.splat(every, ir.VectorType(ir.IntType(1), emit.width))
        gates = builder.select(every, dy, pooled)  # an address to read from
        corners = emit.number(0), column, row, builder.add(row, column)
        loop = Loop(emit, emit.number(0), count, emit.width, [])
        gate = builder.fcmp_ordered(">", emit.load(emit.step(gates, loop.index)), emit.zero)
        value = emit.load(emit.step(dy, loop.index))
        value = builder.select(builder.or_(gate, opened), value, emit.zero)
        winner = builder.load(builder.inttoptr(builder.add(winners, loop.index), taps.as_pointer()))
        winner.align = 1
        for k, corner in enumerate(corners):
            won = builder.icmp_signed("==", winner, ir.Constant(taps, [k] * emit.width))
            place = emit.step(dx, builder.add(loop.index, corner))
            emit.store(builder.select(won, value, emit.zero), place)
        loop.close([])
        return context.get_dummy_value()

    return types.void(*(types.int64,) * 7, like), generate
