"""Build programs: rows of operations, and the memory that they work in."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from neocog.kernels.fused.machine import ROW
from neocog.kernels.fused.operation import OPERATIONS
from neocog.kernels.fused.workers import ALIGNMENT, Task, codes, run_program

__all__ = ["Maps", "Memory", "Program", "Slot", "Stretch", "address", "spread_out"]

SMALL = 1 << 22
"""Up to this many bytes, buffers do not share memory, and are cleared once instead of in every run."""
LARGEST_TILE = 64
"""Rows, or lanes, of the largest register tile, each of which reads a bias."""
SCRATCH = 4096
"""Bytes that each thread needs for itself, at least: every operation may use as many."""
SLACK = 1024
"""Bytes after the last buffer, which vectors that reach over its end may read."""
LINE = 64
"""Bytes of a cache line."""
FAR_APART = 2048
"""Bytes of a plane from which on many of them share few sets of a cache, if they do."""
PLANE_UNITS = 64
"""Units of work of an operation on planes, at most."""
PLANE_UNIT_WORK = 50_000
"""Floating point operations of such a unit, at least: some microseconds, more than taking a unit costs."""
PARALLEL_WORK = 20_000_000
"""Floating point operations of a program below which waking a second thread costs more than it saves."""
STRETCH_WORK = PARALLEL_WORK / 2
"""The same for a stretch between two calls of Python: threads that worked a moment ago wake up sooner."""

Border = tuple[int, int, int, int]
NO_BORDER: Border = (0, 0, 0, 0)

Bounds = tuple[float, float]
"""The least and the greatest result of an operation, which replace what is beyond: 0 and inf are a ReLU."""
UNBOUNDED: Bounds = (-np.inf, np.inf)


_DATA = object.__basicsize__
"""Where an array object of CPython holds the address of its numbers: behind the head of every object."""


def _held_address(array: np.ndarray) -> int:
    """Read the address where the array object holds it, in a sixth of the time that asking for it takes."""
    return ctypes.c_ssize_t.from_address(id(array) + _DATA).value


def _asked_address(array: np.ndarray) -> int:
    start: int = array.ctypes.data
    return start


_probe = np.zeros(8)[3:]
address = _held_address if _held_address(_probe) == _asked_address(_probe) else _asked_address
"""Return the address of an array's first number."""


@dataclass(eq=False)
class Memory:
    """A block of memory, which :meth:`Program.finish` allocates, or the first operation that runs once."""

    bytes: int
    first: int = -1
    last: int = -1
    kept: bool = False
    array: np.ndarray | None = None
    start: int = 0  # bytes after the first memory's
    address: int = 0


@dataclass(eq=False)
class Slot:
    """Stand for the address of an array that changes from run to run."""

    places: list[tuple[np.ndarray, int]] = field(default_factory=list)
    """The entries of the table that hold it (each an array of one number), and the bytes to add."""


@dataclass(eq=False)
class Maps:
    """Feature maps (C, H, W, N) in memory, with a border of zeros: (top, bottom, left, right).

    With ``channels_last`` the images and the channels have changed places, in memory and in the fields: C are
    the images, N the channels. What treats each number, or each window, alike computes the same.
    """

    memory: Memory | Slot
    C: int
    H: int
    W: int
    N: int
    border: Border = NO_BORDER
    begin: int = 0  # elements
    channels_last: bool = False
    gap: int = 0  # elements after each plane

    @property
    def row(self) -> int:
        """Elements from one row to the next."""
        return (self.border[2] + self.W + self.border[3]) * self.N

    @property
    def plane(self) -> int:
        """Elements from one channel to the next."""
        return (self.border[0] + self.H + self.border[1]) * self.row + self.gap

    @property
    def lanes(self) -> int:
        """Numbers in a row of the image."""
        return self.W * self.N

    @property
    def origin(self) -> tuple[Any, int]:
        """Pixel (0, 0) of channel 0, as (memory, element)."""
        return self.memory, self.begin + self.border[0] * self.row + self.border[2] * self.N

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(C, H, W, N)."""
        return self.C, self.H, self.W, self.N

    @property
    def flat(self) -> bool:
        """Whether rows and planes follow each other without a border or a gap."""
        return self.border == NO_BORDER and not self.gap

    @property
    def axes(self) -> tuple[int, int, int, int]:
        """The numbers that the axes of the array (N, C, H, W) have here."""
        return (0, 3, 1, 2) if self.channels_last else (3, 0, 1, 2)

    @property
    def by_rows(self) -> Maps:
        """The rows of a single image, channels last, as planes, so that units of work can share them."""
        if not self.channels_last or self.C > 1:
            return self
        (top, _, left, right), begin = self.border, self.begin
        border, begin = (0, 0, left, right), begin + top * self.row
        return Maps(self.memory, self.H, 1, self.W, self.N, border, begin, self.channels_last)

    def channels(self, first: int, count: int) -> Maps:
        """Return some of the channels."""
        begin = self.begin + first * self.plane
        return Maps(self.memory, count, self.H, self.W, self.N, self.border, begin, gap=self.gap)

    def reshaped(self, C: int, H: int, W: int) -> Maps:
        """Return the same numbers with other axes."""
        assert self.flat
        assert C * H * W == self.C * self.H * self.W
        return Maps(self.memory, C, H, W, self.N, NO_BORDER, self.begin)


@dataclass(eq=False)
class Stretch:
    """Rows of a program that run in one go, after some calls of Python functions.

    Attributes
    ----------
    first : int
        Number of the first row.
    calls : list of functions
        Called in order before the rows run; one that returns true ends the run of the program.
    work : float
        Floating point operations, about.
    """

    first: int = 0
    calls: list[Callable[[], Any]] = field(default_factory=list)
    work: float = 0.0
    task: Task | None = None


@dataclass(eq=False)
class Program:
    """Operations in order: :meth:`add` them, :meth:`finish`, then :meth:`run` any number of times.

    Between two operations Python functions may be called: :meth:`cut` ends a stretch of rows, :meth:`call`
    adds a function to be called before the rows of the current stretch.

    Attributes
    ----------
    dtype : numpy dtype
    frozen : bool
        Whether the weights never change, so that they are packed once, when they are added.
    work : float
        Floating point operations of a run, about.
    scratch : int
        Bytes that each thread needs for itself.
    exact : bool
        Whether every sum is to be taken as it is written: no Winograd.
    bfloat : bool
        Whether products may round their factors to bfloat16; the program is one of float32.
    constants : list of arrays
        Packed weights, which programs of the same operations may share.
    forget : callable
        Called while constants are written, when what was read of the weights may leave memory again.
    operations : list of str
        Names of the operations of a run, in order; set by :meth:`finish`.
    """

    dtype: np.dtype[Any]
    frozen: bool = False
    rows: list[dict[str, Any]] = field(default_factory=list)
    memories: list[Memory] = field(default_factory=list)
    stretches: list[Stretch] = field(default_factory=lambda: [Stretch()])
    work: float = 0.0
    scratch: int = SCRATCH
    exact: bool = True
    bfloat: bool = False
    constants: list[np.ndarray] = field(default_factory=list)
    forget: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        self.size = self.dtype.itemsize
        self.zeros = np.zeros(LARGEST_TILE, self.dtype)
        self.bytes = 0
        self._held: list[Any] = [self.zeros]
        self._tables: dict[bytes, np.ndarray] = {}
        self._room = np.zeros(0, np.uint8)
        self._constants_used = 0

    # Memory

    def memory(self, elements: int, size: int | None = None) -> Memory:
        """Reserve memory for some numbers, of the program's type unless their ``size`` in bytes is given."""
        memory = Memory(max(elements, 1) * (size or self.size))
        self.memories.append(memory)
        return memory

    def maps(
        self,
        C: int,
        H: int,
        W: int,
        N: int,
        border: Border = NO_BORDER,
        clean: bool = True,
        channels_last: bool = False,
        spread: bool = False,
    ) -> Maps:
        """Reserve memory for feature maps, the border cleared if it is to be ``clean``.

        ``spread``: whether there may be a gap between planes, so that they lie in different sets of a cache.
        Planes of one pixel have none: dense layers and losses see them as a matrix.
        """
        memory = self.memory(0)
        maps = Maps(memory, C, H, W, N, border, channels_last=channels_last)
        if spread and H * W > 1 and not channels_last and maps.plane * self.size >= FAR_APART:
            maps.gap = spread_out(maps.plane, self.size) - maps.plane
        memory.bytes = max(C * maps.plane, 1) * self.size
        if border != NO_BORDER and clean:
            self.frame(maps)
        return maps

    def frame(self, maps: Maps, always: bool = False) -> None:
        """Clear the border of some maps."""
        self.add(
            "frame",
            maps.C,
            y=(maps.memory, maps.begin),
            y_plane=maps.plane,
            y_row=maps.row,
            C=maps.C,
            rows=maps.H,
            lanes=maps.lanes,
            top=maps.border[0],
            left=maps.border[2] * maps.N,
            clearing=not always,
            work=maps.C * (maps.plane - maps.H * maps.lanes + 20.0 * maps.H),
        )

    def clear(self, maps: Maps) -> None:
        """Set all of some maps to zero."""
        self.add(
            "frame",
            maps.C,
            y=(maps.memory, maps.begin),
            y_plane=maps.plane,
            y_row=maps.row,
            C=maps.C,
            rows=0,
            top=maps.border[0] + maps.H + maps.border[1],
            work=maps.C * maps.plane,
        )

    def constant(self, count: int, fill: Callable[[np.ndarray], None]) -> np.ndarray:
        """Return so many numbers, which a function writes for the first of the programs that share them.

        They begin where vectors may best be loaded from.
        """
        if self._constants_used == len(self.constants):
            array = _aligned(count * self.size).view(self.dtype)
            fill(array)
            self.constants.append(array)
        self._constants_used += 1
        return self.constants[self._constants_used - 1]

    def table(self, offsets: Any) -> np.ndarray:
        """Keep a table of offsets, equal tables once."""
        array = np.ascontiguousarray(offsets, np.int64)
        return self._tables.setdefault(array.tobytes(), array)

    # Operations

    def add(self, code: str, planes: int, work: float = 0.0, clearing: bool = False, **fields: Any) -> int:
        """Add an operation on ``planes`` planes. A field is a number, an array, or (memory, element)."""
        units = min(planes, PLANE_UNITS, max(1, int(work // PLANE_UNIT_WORK)))
        block = -(-planes // units) if planes else 1
        return self.add_units(code, -(-planes // block), work, clearing, block=block, **fields)

    def add_units(
        self,
        code: str,
        units: int,
        work: float = 0.0,
        clearing: bool = False,
        once: bool = False,
        **fields: Any,
    ) -> int:
        """Add an operation cut into units of its own kind; return its number.

        A field may also be :class:`Maps`, which set three fields: origin, plane and row. One that is None is
        left out. ``once``: run it now, and never again; the arrays that it reads are not kept.

        Raises
        ------
        TypeError
            If the operation does not declare one of the fields.
        """
        fields = {name: value for name, value in fields.items() if value is not None}
        for name, value in list(fields.items()):
            if isinstance(value, Maps):
                fields |= {name: value.origin, f"{name}_plane": value.plane, f"{name}_row": value.row}
        if unknown := fields.keys() - OPERATIONS[code].fields:
            raise TypeError(f"the operation {code!r} declares no field {sorted(unknown)}.")
        for name, value in fields.items():
            if isinstance(value, Memory | Slot):
                fields[name] = value = (value, 0)
            if isinstance(value, tuple) and isinstance(value[0], Memory):
                memory = value[0]
                memory.first = len(self.rows) if memory.first < 0 else memory.first
                memory.last = len(self.rows)
                if once and memory.array is None:
                    self._allocate(memory)
        row = {"code": code, "units": units, "clearing": clearing, **fields}
        arrays = {name: value for name, value in row.items() if isinstance(value, np.ndarray)}
        row |= {name: address(array) for name, array in arrays.items()}
        if once:
            run_program(self._task(self._table([row], codes([code], self.dtype))), parallel=True)
        else:
            self._held += arrays.values()
            self.rows.append(row)
            self.work += work
            self.stretches[-1].work += work
        return len(self.rows) - 1

    def holds(self, array: np.ndarray) -> bool:
        """Return whether the operations so far will read an array, or a part of it, in every run."""
        return any(np.may_share_memory(array, held) for held in self._held)

    def _allocate(self, memory: Memory) -> None:
        """Allocate memory now, out of blocks each of which is as large as all before it."""
        size = _whole(memory.bytes)
        if size > len(self._room):
            self._room = _aligned(max(size, self.bytes))
        memory.array, self._room = self._room[: memory.bytes], self._room[size:]
        memory.address = address(memory.array)
        self._held.append(memory.array)
        self.memories.remove(memory)
        self.bytes += size

    def cut(self) -> int:
        """Begin a new stretch, whose calls see what all operations so far computed; return its number."""
        if len(self.rows) > self.stretches[-1].first:
            self.stretches.append(Stretch(len(self.rows)))
        return len(self.stretches) - 1

    def call(self, function: Callable[[], Any]) -> None:
        """Add a function to be called in every run, before the rows of the current stretch."""
        self.stretches[-1].calls.append(function)

    def finish(self) -> None:
        """Allocate all memory, and write the table."""
        total = sum(_whole(memory.bytes) for memory in self.memories)
        share = total > SMALL
        size = _place(self.memories, share)
        self.bytes += size
        arena = _aligned(size)
        self._held.append(arena)
        for memory in self.memories:
            memory.array = arena[memory.start : memory.start + memory.bytes]
            memory.address = address(arena) + memory.start
        numbers = codes(sorted({row["code"] for row in self.rows}), self.dtype)
        # Where no memory is shared, borders stay as clear as they were made.
        self.number: dict[int, int] = {}
        rows: list[dict[str, Any]] = []
        for k, row in enumerate(self.rows):
            self.number[k] = len(rows)
            if share or not row["clearing"]:
                rows.append(row)
        self.operations = [row["code"] for row in rows]
        self.program = self._table(rows, numbers)
        self.number[len(self.rows)] = len(rows)
        ends = [*(stretch.first for stretch in self.stretches[1:]), len(self.rows)]
        for stretch, end in zip(self.stretches, ends, strict=True):
            part = self.program[self.number[stretch.first] : self.number[end]]
            stretch.task = self._task(part) if len(part) else None
        self.calls_python = any(stretch.calls for stretch in self.stretches)
        self.task, self.parallel = self._task(self.program), self.work > PARALLEL_WORK
        self.rows = []

    def _task(self, table: np.ndarray) -> Task:
        return Task(address(table), len(table), self.scratch, address(self.zeros), (table, self._held))

    def _table(self, rows: list[dict[str, Any]], numbers: dict[str, int]) -> np.ndarray:
        table = np.zeros(len(rows), ROW)
        for k, row in enumerate(rows):
            for name, value in row.items():
                if name == "clearing":
                    continue
                if isinstance(value, tuple):
                    place, element = value
                    if isinstance(place, Slot):
                        place.places.append((table[name][k : k + 1].reshape(()), element * self.size))
                        continue
                    value = place.address + element * self.size
                table[k][name] = numbers[value] if name == "code" else value
        return table

    def array(self, memory: Memory | Slot, dtype: Any = None) -> np.ndarray:
        """Return the contents of some memory, flat."""
        assert isinstance(memory, Memory)
        assert memory.array is not None
        return memory.array.view(dtype or self.dtype)

    def bind(self, slot: Slot, array: np.ndarray) -> None:
        """Write the address of an array into a slot, for the next run."""
        start = address(array)
        for place, shift in slot.places:
            place[...] = start + shift

    def run(self) -> None:
        """Run all operations, and call all functions between them, up to one that ends the run."""
        if not self.calls_python:
            run_program(self.task, self.parallel)
        else:
            self.run_stretches(0, len(self.stretches))

    def run_stretches(self, first: int, end: int) -> None:
        """Run some stretches, and call the functions before each, up to one that ends the run."""
        for stretch in self.stretches[first:end]:
            for function in stretch.calls:
                if function():
                    return
            if stretch.task is not None:
                run_program(stretch.task, parallel=stretch.work > STRETCH_WORK)


def spread_out(count: int, size: int) -> int:
    """Return the least whole and odd number of cache lines that hold so many numbers, in numbers.

    What reads or writes one place of many arrays at a time needs a cache line of each. Arrays a power of two
    apart share a few sets of a cache, an odd number of lines apart all of them.
    """
    return (-(-count * size // LINE) | 1) * LINE // size


def _whole(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _aligned(size: int) -> np.ndarray:
    """Return so many bytes of zeros, whose address is a multiple of ALIGNMENT, with slack behind them."""
    whole = np.zeros(size + ALIGNMENT + SLACK, np.uint8)
    begin = _whole(address(whole)) - address(whole)
    return whole[begin : begin + size]


def _place(memories: list[Memory], share: bool) -> int:
    """Give each memory its start and return the bytes in all; those not in use at one time may ``share``."""
    end = 0
    if not share:
        for memory in memories:
            memory.start = end
            end += _whole(memory.bytes)
        return end
    placed: list[Memory] = []
    # The largest first: each takes the lowest gap among those alive at the same time.
    for memory in sorted(memories, key=lambda m: -m.bytes):
        size = _whole(memory.bytes)
        if memory.first < 0:
            memory.start = 0
            continue
        start = 0
        for other in sorted(placed, key=lambda m: m.start):
            together = (
                memory.kept or other.kept or (memory.first <= other.last and other.first <= memory.last)
            )
            if not together:
                continue
            if other.start >= start + size:
                break
            start = max(start, other.start + _whole(other.bytes))
        memory.start = start
        placed.append(memory)
        end = max(end, start + size)
    return end
