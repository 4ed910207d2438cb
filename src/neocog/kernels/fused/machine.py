"""Run a program: a table whose rows are operations, each cut into units of work.

Any number of threads may run one program together. They take units from shared counters, and none begins an
operation before all units of the one before are done. Half of them begin with the first units, half with the
last: a thread then finds in its own cache what it has itself computed in the operation before. A single unit
is for the first half, which the caller is one of. What a unit computes does not depend on who computes
it or on how many there are, so neither does any result.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import config, types
from numba.extending import intrinsic

from neocog.kernels.fused import operations  # noqa: F401 - which register themselves
from neocog.kernels.fused.disk import compile_njit
from neocog.kernels.fused.operation import OPERATIONS, row_layout
from neocog.kernels.fused.simd import INT, fetch_add, read, view

__all__ = ["ROW", "code", "run"]

_PATIENCE = 100_000
"""How often a thread reads the counter of an operation that others still compute before it yields."""
ROW = row_layout()
_ROW_BYTES = ROW.itemsize
_NAMES: list[str] = []
"""Operations by number, where there is no compiler."""


@intrinsic
def _call(_, function, row, unit, scratch, zero):
    """Call the operation at an address."""

    def generate(context, builder, signature, arguments):
        from llvmlite import ir

        kind = ir.FunctionType(ir.VoidType(), [INT] * 4)
        builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), list(arguments[1:]))
        return context.get_dummy_value()

    return types.void(*(types.int64,) * 5), generate


COUNTERS = 4
"""Of an operation: units taken, units done, and those taken from the first on, and from the last."""


def _run(program, count, progress, first, alone, last_first, scratch, zero):
    """Run the operations from ``first`` on; return where it stopped: the end, or one that other threads run.

    ``program`` is the table's address, ``progress`` that of the counters, zero at the start.
    """
    for k in range(first, count):
        row = program + k * _ROW_BYTES
        head = view(row, 2, np.int64(0))
        code, units = head[0], head[1]
        if alone:
            for unit in range(units):
                _call(code, row, unit, scratch, zero)
            continue
        taken = progress + 8 * COUNTERS * k
        done, own = taken + 8, taken + (24 if last_first else 16)
        while (units > 1 or not last_first) and fetch_add(taken, 1) < units:
            unit = fetch_add(own, 1)
            _call(code, row, units - 1 - unit if last_first else unit, scratch, zero)
            fetch_add(done, 1)
        waited = 0
        while read(done) < units:
            waited += 1
            if waited > _PATIENCE:
                return k
    return count


def _plain_call(function: int, row: int, unit: int, scratch: int, zero: int) -> None:
    number = np.float32 if function % 2 else np.float64
    operation = OPERATIONS[_NAMES[function // 2]]
    operation.run_uncompiled(row, unit, scratch, view(zero, 1, number(0)))


def code(name: str, dtype: np.dtype[Any]) -> int:
    """Return the number of an operation in a program: the address of its compiled function."""
    if config.DISABLE_JIT:
        if name not in _NAMES:
            _NAMES.append(name)
        return 2 * _NAMES.index(name) + int(dtype == np.float32)
    return OPERATIONS[name].address(dtype)


if config.DISABLE_JIT:
    _call, run = _plain_call, _run
else:
    _signature = types.int64(*(types.int64,) * 8)
    run = compile_njit(_run, _signature, "machine", nogil=True)
