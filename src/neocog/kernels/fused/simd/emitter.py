"""Write vector instructions and loops of LLVM, for the registers of this machine."""

from __future__ import annotations

from typing import Any

from llvmlite import binding, ir
from numba import config, types
from numba.core import cgutils

__all__ = [
    "DOT_ROWS",
    "DOT_TAPS",
    "INT",
    "MIDDLE",
    "PAIR_ROWS",
    "ROWS",
    "ROW_TAPS",
    "SQUARE",
    "VECTORS",
    "VECTOR_BYTES",
    "WIDTHS",
    "Emitter",
    "Loop",
    "tile_lanes",
]


def _has(feature: str) -> bool:
    """Return whether this machine, or the one that NUMBA_CPU_FEATURES describes, has a feature."""
    if config.CPU_FEATURES is not None:
        return f"+{feature}" in config.CPU_FEATURES.split(",")
    return bool(binding.get_host_cpu_features().get(feature))


_WIDE = _has("avx512f")
_MASKS = _has("avx")
"""Whether there are instructions that load and store some lanes of a vector; else they go one by one."""
_PAGE = 4096
"""Bytes of memory that can be read if one of them can, at least, when they are aligned."""
VECTOR_BYTES = 64 if _WIDE else 32
"""Bytes of a vector register."""

ROWS = 8 if _WIDE else 4
VECTORS = 3
"""A tile is at most ``ROWS x VECTORS`` registers large: 24 of 32 with AVX-512, 12 of 16 with AVX2.

On a 64-bit ARM a vector is two registers of 128 bits: 24 of 32 as well.
"""
MIDDLE = 1 if _WIDE else 2
"""Vectors of a narrower tile: four rows of one are too few sums to hide how long an addition takes."""
WIDTHS = tuple(dict.fromkeys((VECTORS, MIDDLE, 1)))
"""Vectors of the register tiles, the most first."""


def tile_lanes(left: int, size: int) -> int:
    """Return the lanes of the next register tile when ``left`` are left, of numbers of ``size`` bytes."""
    width = VECTOR_BYTES // size
    if left >= VECTORS * width:
        return VECTORS * width
    return MIDDLE * width if left >= MIDDLE * width else min(left, width)


PAIR_ROWS = 4 if _WIDE else 2
"""Rows of the largest tile of pairs: LLVM loads a vector for each row beforehand, and more would not fit."""

DOT_ROWS, DOT_TAPS = (4, 6) if _WIDE else (4 if _MASKS else 3, 3)
"""Rows and taps of a tile of dot products: 24 sums in 32 registers with AVX-512, 12 in 16 with AVX2, and on a
64-bit ARM 9 sums of two registers each."""
ROW_TAPS = 9
"""Taps of a tile of one row: those of a 3 x 3 kernel, about as many sums as are multiplied at a time."""

SQUARE = 8
"""Rows and columns of the squares that are transposed in registers."""

INT = ir.IntType(64)


class _BFloat(ir.types.Type):
    """LLVM's 16-bit number with the range of a float, which llvmlite lacks."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BFloat)

    def __hash__(self) -> int:
        return hash(_BFloat)


def _multiplies_bfloat() -> bool:
    """Return whether the machine has AVX512_BF16, and this LLVM takes its operands as such."""
    return _WIDE and _has("avx512bf16") and binding.llvm_version_info[0] >= 16


_PAIRS = _multiplies_bfloat()


class Emitter:
    """Write vector instructions of one dtype into a function under construction."""

    def __init__(self, builder: ir.IRBuilder, like: types.Type) -> None:
        self.builder = builder
        self.bytes = 4 if like == types.float32 else 8
        self.scalar = ir.FloatType() if like == types.float32 else ir.DoubleType()
        self.width = VECTOR_BYTES // self.bytes
        self.vector = ir.VectorType(self.scalar, self.width)
        self.suffix = f"v{self.width}f{8 * self.bytes}"
        self.zero = ir.Constant(self.vector, [0.0] * self.width)

    def intrinsic(self, name: str, result: ir.Type, arguments: list[ir.Type]) -> Any:
        """Declare an intrinsic function of LLVM."""
        kind = ir.FunctionType(result, arguments)
        return cgutils.get_or_insert_function(self.builder.module, kind, name)

    def number(self, n: int) -> ir.Constant:
        """Make a constant."""
        return ir.Constant(INT, n)

    def step(self, address: Any, elements: Any) -> Any:
        """Move an address by some elements."""
        return self.builder.add(address, self.builder.mul(elements, self.number(self.bytes)))

    def _either(self, *values: tuple[Any, Any]) -> Any:
        """Take the value of the block from which control comes."""
        phi = self.builder.phi(self.vector)
        for value, block in values:
            phi.add_incoming(value, block)
        return phi

    def load(self, address: Any, mask: Any = None, by_lanes: bool = False) -> Any:
        """Load a vector; lanes that are masked out are zero and are not read."""
        pointer = self.builder.inttoptr(address, self.vector.as_pointer())
        if mask is None:
            value = self.builder.load(pointer)
            value.align = self.bytes
            return value
        if not (_MASKS or by_lanes):  # what lies beyond the lanes, but in the same page, can be read
            first, vector = self.builder.and_(address, self.number(_PAGE - 1)), self.width * self.bytes
            within = self.builder.icmp_signed("<=", first, self.number(_PAGE - vector))
            with self.builder.if_else(within, likely=True) as (one, two):
                with one:
                    value = self.builder.select(mask, self.load(address), self.zero)
                    whole = value, self.builder.block
                with two:
                    lanes = self.load(address, mask, by_lanes=True), self.builder.block
            return self._either(whole, lanes)
        function = self.intrinsic(
            f"llvm.masked.load.{self.suffix}.p0",
            self.vector,
            [self.vector.as_pointer(), ir.IntType(32), mask.type, self.vector],
        )
        align = ir.Constant(ir.IntType(32), self.bytes)
        return self.builder.call(function, [pointer, align, mask, self.zero])

    def store(self, value: Any, address: Any, mask: Any = None, by_lanes: bool = False) -> None:
        """Store a vector; lanes that are masked out are not written."""
        pointer = self.builder.inttoptr(address, self.vector.as_pointer())
        if mask is None:
            self.builder.store(value, pointer).align = self.bytes
            return
        if not (_WIDE or by_lanes):  # AVX's stores of some lanes take ten times as long as those of all
            last = ir.Constant(ir.IntType(32), self.width - 1)
            with self.builder.if_else(self.builder.extract_element(mask, last)) as (all_lanes, some):
                with all_lanes:
                    self.store(value, address)
                with some:
                    self.store(value, address, mask, by_lanes=True)
            return
        function = self.intrinsic(
            f"llvm.masked.store.{self.suffix}.p0",
            ir.VoidType(),
            [self.vector, self.vector.as_pointer(), ir.IntType(32), mask.type],
        )
        self.builder.call(function, [value, pointer, ir.Constant(ir.IntType(32), self.bytes), mask])

    def mask(self, count: Any) -> Any:
        """Make the mask of the lanes 0 .. count - 1."""
        lane = ir.IntType(8 * self.bytes)
        kind = ir.VectorType(lane, self.width)
        count = count if count.type == lane else self.builder.trunc(count, lane)
        index = ir.Constant(kind, list(range(self.width)))
        return self.builder.icmp_signed("<", index, self.splat(count, kind))

    def splat(self, value: Any, kind: ir.VectorType | None = None) -> Any:
        """Copy a number into all lanes."""
        kind = kind or self.vector
        undefined = ir.Constant(kind, ir.Undefined)
        first = self.builder.insert_element(undefined, value, ir.Constant(ir.IntType(32), 0))
        order = ir.Constant(ir.VectorType(ir.IntType(32), self.width), [0] * self.width)
        return self.builder.shuffle_vector(first, undefined, order)

    def broadcast(self, address: Any) -> Any:
        """Load a number and copy it into all lanes."""
        return self.splat(self.builder.load(self.builder.inttoptr(address, self.scalar.as_pointer())))

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        """Compute ``a b + c``, with one rounding where the processor has an instruction for it."""
        function = self.intrinsic(f"llvm.fmuladd.{self.suffix}", self.vector, [self.vector] * 3)
        return self.builder.call(function, [a, b, c])

    def dot_pairs(self, a: Any, b: Any, c: Any) -> Any:
        """Compute ``a_0 b_0 + a_1 b_1 + c``: each number of float32 of a and b holds two of bfloat16."""
        builder, pairs = self.builder, ir.VectorType(ir.IntType(32), self.width)
        if _PAIRS:
            halves = ir.VectorType(_BFloat(), 2 * self.width)
            function = self.intrinsic(
                "llvm.x86.avx512bf16.dpbf16ps.512", self.vector, [self.vector, halves, halves]
            )
            return builder.call(function, [c, *(builder.bitcast(each, halves) for each in (a, b))])
        a, b = (builder.bitcast(each, pairs) for each in (a, b))
        half, upper = (ir.Constant(pairs, [n] * self.width) for n in (16, 0xFFFF0000))
        low = [builder.bitcast(builder.shl(each, half), self.vector) for each in (a, b)]
        high = [builder.bitcast(builder.and_(each, upper), self.vector) for each in (a, b)]
        return self.fma(*high, self.fma(*low, c))

    def clipped(self, values: list[Any], low: Any, high: Any) -> list[Any]:
        """Bound vectors by two numbers; a NaN stays one."""
        select, compare = self.builder.select, self.builder.fcmp_ordered
        low, high = self.splat(low), self.splat(high)
        values = [select(compare("<", value, low), low, value) for value in values]
        return [select(compare(">", value, high), high, value) for value in values]

    def times(self, n: float, value: Any) -> Any:
        """Multiply each lane by a number."""
        return self.builder.fmul(ir.Constant(self.vector, [n] * self.width), value)

    def totals(self, values: list[Any]) -> list[Any]:
        """Sum the lanes of each vector; return vectors that hold the sums in this order, zeros behind them.

        Two vectors become one that holds half as many partial sums of each, until one is left of each.
        """
        found, width = [], self.width
        for start in range(0, len(values), width):
            level = values[start : start + width]
            level += [self.zero] * (width - len(level))
            part = width
            while part > 1:
                part //= 2
                low = [lane for lane in range(2 * width) if lane % (2 * part) < part]
                high = [lane + part for lane in low]
                level = [
                    self.builder.fadd(self.shuffle(a, b, low), self.shuffle(a, b, high))
                    for a, b in zip(level[::2], level[1::2], strict=True)
                ]
            found += level
        return found

    def shuffle(self, a: Any, b: Any, lanes: list[int]) -> Any:
        """Choose lanes of two vectors; those of the second are counted on from the first's."""
        kind = ir.VectorType(ir.IntType(32), len(lanes))
        return self.builder.shuffle_vector(a, b, ir.Constant(kind, lanes))

    def offset(self, table: Any, k: Any) -> Any:
        """Load entry ``k`` of a table of offsets."""
        return self.builder.load(
            self.builder.inttoptr(
                self.builder.add(table, self.builder.mul(k, self.number(8))), INT.as_pointer()
            )
        )


class Loop:
    """Write ``for k in range(start, stop, step)`` with values carried from one iteration to the next."""

    def __init__(self, emit: Emitter, start: Any, stop: Any, step: int, carried: list[Any]) -> None:
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
        """End the body; ``carried`` are the values for the next iteration."""
        builder = self.emit.builder
        self.index.add_incoming(builder.add(self.index, self.emit.number(self.step)), builder.block)
        for phi, value in zip(self.carried, carried, strict=True):
            phi.add_incoming(value, builder.block)
        builder.branch(self.head)
        builder.position_at_end(self.end)
