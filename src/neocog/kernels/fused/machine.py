"""The machine that runs a program: a table whose rows are operations, each cut into units of work.

Any number of threads may run one program together. They take units from a shared counter, and none begins an operation
before all units of the one before are done. What a unit computes does not depend on who computes it or on
how many there are, so neither does any result.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

from numba import njit

from neocog.kernels.fused.learning import adam, sgd, softmax_cross_entropy
from neocog.kernels.fused.planes import (
    activate,
    activate_back,
    add,
    average_pool,
    average_pool_back,
    copy,
    frame,
    max_pool,
    max_pool_back,
    multiply,
    normalise,
    normalise_back,
    plane_mean,
    plane_mean_back,
    plane_sum,
)  # fmt: skip
from neocog.kernels.fused.products import correlate, pack, product
from neocog.kernels.fused.record import OPTIONS, compiled
from neocog.kernels.fused.simd import fetch_add, read
from neocog.kernels.fused.winograd import winograd, winograd_weights

OPERATIONS = (
    "product", "pack", "correlate", "copy", "frame", "add", "multiply", "activate", "activate_back", "plane_sum",
    "normalise", "normalise_back", "plane_mean", "plane_mean_back", "max_pool", "max_pool_back",
    "average_pool", "average_pool_back", "softmax_cross_entropy", "sgd", "adam",
    "winograd", "winograd_weights",
)  # fmt: skip
CODES = {name: code for code, name in enumerate(OPERATIONS)}

_PATIENCE = 20_000


@compiled
def perform(p: Any, unit: int, scratch: int, like: Any) -> None:
    """Do one unit of one operation; ``scratch`` is memory of this thread alone."""
    code = p.code
    if code == 0:
        product(p, unit, like)
    elif code == 1:
        pack(p, unit, like)
    elif code == 2:
        correlate(p, unit, like)
    elif code == 3:
        copy(p, unit, like)
    elif code == 4:
        frame(p, unit, like)
    elif code == 5:
        add(p, unit, like)
    elif code == 6:
        multiply(p, unit, like)
    elif code == 7:
        activate(p, unit, like)
    elif code == 8:
        activate_back(p, unit, like)
    elif code == 9:
        plane_sum(p, unit, like)
    elif code == 10:
        normalise(p, unit, like)
    elif code == 11:
        normalise_back(p, unit, like)
    elif code == 12:
        plane_mean(p, unit, like)
    elif code == 13:
        plane_mean_back(p, unit, like)
    elif code == 14:
        max_pool(p, unit, like)
    elif code == 15:
        max_pool_back(p, unit, like)
    elif code == 16:
        average_pool(p, unit, like)
    elif code == 17:
        average_pool_back(p, unit, like)
    elif code == 18:
        softmax_cross_entropy(p, unit, like)
    elif code == 19:
        sgd(p, unit, like)
    elif code == 20:
        adam(p, unit, like)
    elif code == 21:
        winograd(p, unit, scratch, like)
    elif code == 22:
        winograd_weights(p, unit, like)


def _sources() -> int:
    """Checksum of all that is compiled here."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return zlib.crc32(b"".join(file.read_bytes() for file in files))


def _machine(sources: int) -> Any:
    """Make ``run``; its entry in Numba's cache on disk is that of these sources.

    Numba looks at one file's date only, and at what a function closes over: so ``run`` closes over the checksum, and
    alone is kept in the cache, with all that it calls.
    """

    @njit(cache=True, **OPTIONS)
    def run(program: Any, progress: Any, first: int, alone: bool, scratch: int, like: Any) -> int:
        """Run the operations from ``first`` on; return where it stopped: the end, or an operation that is held up.

        ``progress`` is the address of two counters an operation, units taken and units done, zero at the start.
        """
        for k in range(first, len(program)):
            p = program[k]
            if alone:
                for unit in range(p.units):
                    perform(p, unit, scratch, like)
                continue
            taken = progress + 16 * k
            done = taken + 8
            unit = fetch_add(taken, 1)
            while unit < p.units:
                perform(p, unit, scratch, like)
                fetch_add(done, 1)
                unit = fetch_add(taken, 1)
            waited = 0
            while read(done) < p.units:
                waited += 1
                if waited > _PATIENCE:
                    return k
        return len(program) if sources else 0

    return run


run = _machine(_sources() or 1)
