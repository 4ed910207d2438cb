"""Lower matrix products, and cut them into units of work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from neocog.kernels.fused.program import (
    PLANE_UNIT_WORK,
    PLANE_UNITS,
    UNBOUNDED,
    Bounds,
    Maps,
    Memory,
    Program,
    Slot,
)
from neocog.kernels.fused.simd import DOT_ROWS, DOT_TAPS, ROW_TAPS, VECTOR_BYTES, VECTORS

__all__ = [
    "NARROW",
    "PANEL",
    "Seen",
    "add_correlation",
    "add_product",
    "bias_or_zeros",
    "packed",
    "panel_block",
    "rows_and_lanes",
    "shifted",
    "terms",
]

DEPTH = 288
"""Terms of a sum taken at a time, 32 channels of 3 x 3: eight rows of weights fill 9 kB of the L1 cache."""
UNITS = 32
"""Units of work of a product, at most."""
UNIT_WORK = 2_000_000
"""Floating point operations of a unit of work, at least: some 10 microseconds."""
LANES = 768
"""Lanes of a unit of work, at most."""
NEAR = 1 << 17
"""Bytes of x that a unit uses at a time, those of the terms taken at a time: they stay in the L2 cache."""
FAR = 1 << 19
"""Bytes of maps that a weight gradient has in use at a time, which should stay in the L2 cache."""
CACHE = 1 << 19
"""Bytes of weights that a core keeps in its L2 cache."""
PANEL = 8
"""Filters of a unit of work are a multiple of this, the rows of the largest register tile."""
PACK_UNITS = 32
"""Units of work of packing weights, at most."""
STREAM_LANES = 2048
"""Lanes of a unit of a streamed product, at least: long runs of memory, which the processor fetches ahead."""
STREAM_DEPTH = 32
"""Terms of a streamed sum taken at a time: as many rows of x are read side by side."""
STREAM_SUMS = 128
"""Such parts of a sum, at most, as each rounds the total: of longer sums more terms are taken at a time."""
STREAM_DEPTH_OF_FEW = 16
"""Terms for few filters (``STREAM_FEW``), which use each row less often."""
STREAM_FEW = 4
"""Filters below which they are few."""
CORRELATED = 64
"""Filters of a unit of a weight gradient, at most; they share the x that is in the cache."""
_TRIMMED = 0.96
"""Share of a product's terms up to which it pays to leave out those that see no pixel."""
NARROW = 64
"""Lanes of a row below which a register tile would be mostly empty."""


@dataclass(frozen=True, eq=False)
class Seen:
    """Which taps of a kernel see pixels of an image of N, for each row and each column of windows.

    ``rows`` (H, kH) and ``columns`` (W, kW) are truth values.
    """

    rows: np.ndarray
    columns: np.ndarray
    N: int


def rows_and_lanes(y: Maps, row: int) -> tuple[int, int]:
    """Return the rows and lanes of a product over the maps y, from an input whose rows are ``row`` apart.

    Narrow maps are taken as one long row, their borders included, where both arrays have rows of one length;
    what is then written into the border of y is cleared afterwards.
    """
    if y.lanes < NARROW and y.H > 1 and y.row == row:
        return 1, (y.H - 1) * y.row + y.lanes
    return y.H, y.lanes


def add_product(
    program: Program,
    F: int,
    offsets: np.ndarray,
    rows: int,
    lanes: int,
    streaming: bool = False,
    groups: int = 1,
    bounds: Bounds = UNBOUNDED,
    gated: int = 0,
    seen: Seen | None = None,
    **fields: Any,
) -> None:
    """Add a product, cut into units along rows and lanes, and along the filters where that is not enough.

    ``seen``: of a convolution, which taps see pixels of the image; the others are left out.
    ``streaming``: x is large and used once, so it is read as it lies in memory, some long rows at a time.
    ``groups``: how many groups of F filters there are; each is cut into units only if they are few.
    ``gated``: the gate by which y is multiplied, if any.
    """
    K = offsets.size
    work = 2.0 * groups * F * K * rows * lanes
    units = max(1, min(UNITS, int(work // UNIT_WORK)) // groups)
    tile = VECTOR_BYTES // program.size * VECTORS
    depth = DEPTH if K > DEPTH * 4 // 3 else max(K, 1)
    if streaming:
        depth = STREAM_DEPTH_OF_FEW if F < STREAM_FEW else max(STREAM_DEPTH, -(-K // STREAM_SUMS))
        row_block = 1
        lane_block = max(STREAM_LANES, -(-lanes // units // tile) * tile)
    else:
        channels = -(-min(depth, K) * len(offsets) // max(K, 1))  # whose terms are taken at a time
        most = max(tile, min(LANES, NEAR // max(channels * program.size, 1)) // tile * tile)
        row_block = max(1, min(rows, most // max(lanes, 1)))
        lane_block = min(lanes, most)
        if F * K * program.size < CACHE:  # all threads keep all weights: share out rows or lanes
            row_block = max(1, min(row_block, -(-rows // units)))
            if rows == 1:
                lane_block = min(lane_block, max(tile, -(-lanes // units // tile) * tile))
    if units == 1 < groups:
        row_block, lane_block = max(rows, 1), lanes
    blocks = -(-rows // row_block) * -(-lanes // max(lane_block, 1))
    f_units = max(1, min(-(-F // PANEL), -(-units // max(blocks, 1)))) if units > blocks else 1
    f_block = -(-F // f_units // PANEL) * PANEL
    blocks *= -(-F // f_block)
    together = _groups_together(groups, work) if blocks == 1 else 1
    program.add_units(
        "gated_product" if gated else "product",
        -(-groups // together) * blocks,
        work,
        groups=groups,
        group_block=together,
        F=F,
        K=K,
        depth=depth,
        rows=rows,
        lanes=lanes,
        f_block=f_block,
        row_block=row_block,
        lane_block=max(lane_block, 1),
        zeros=program.zeros,
        low=bounds[0],
        high=bounds[1],
        gated=gated or None,
        **_windows(program, offsets, rows, lanes, seen),
        **fields,
    )


def terms(offsets: np.ndarray) -> np.ndarray:
    """Return the table of all terms of a product: where each begins in x, and its number."""
    return np.stack([offsets.ravel(), np.arange(offsets.size)], axis=1)


def _windows(
    program: Program, offsets: np.ndarray, rows: int, lanes: int, seen: Seen | None
) -> dict[str, Any]:
    """Return the fields that say which terms the windows of a product have."""
    every = terms(offsets)
    if seen is None or rows != len(seen.rows) or lanes != len(seen.columns) * seen.N:
        return {"terms": program.table(every)}
    across = seen.columns
    if seen.N * program.size % VECTOR_BYTES:  # segments of columns would leave vectors partly empty
        across = np.ones((1, across.shape[1]), bool)
    ends = [j for j in range(1, len(across)) if (across[j] != across[j - 1]).any()] + [len(across)]
    kinds: dict[bytes, int] = {}
    tables: list[np.ndarray] = []
    table: list[int] = []
    for row in seen.rows:
        for end in ends:
            taps = row[:, None] & across[end - 1]
            if taps.tobytes() not in kinds:
                kinds[taps.tobytes()] = sum(len(each) for each in tables)
                tables.append(every[np.broadcast_to(taps, offsets.shape).ravel()])
            table += [kinds[taps.tobytes()], int(taps.sum()) * len(offsets)]
    columns = np.diff([0, *ends]) * (lanes // len(across))
    used = int((np.array(table[1::2]).reshape(rows, -1) * columns).sum())
    if used > _TRIMMED * rows * lanes * offsets.size:
        return {"terms": program.table(every)}
    return {
        "terms": program.table(np.concatenate(tables)),
        "windows": program.table(np.array([*np.cumsum(columns), *table])),
        "segments": len(ends),
    }


def _groups_together(groups: int, work: float) -> int:
    """Return how many groups a unit takes, the work of all being given."""
    return -(-groups // min(groups, PLANE_UNITS, max(1, int(work // PLANE_UNIT_WORK))))


def panel_block(F: int) -> int:
    """Return how many of F filters a unit of packing takes."""
    return max(PANEL, -(-F // PACK_UNITS // PANEL) * PANEL)


def packed(
    program: Program, weight: Any, F: int, row: int, offsets: np.ndarray, group: int = 0, start: int = 0
) -> Memory:
    """Add the packing of F rows of weights, ``row`` elements apart, their terms at ``offsets``.

    ``group``: rows of a group, if there are several; the groups begin ``start`` elements apart.
    """
    memory = program.memory(F * offsets.size)
    group = group or F
    block = -(-panel_block(F) // group) * group if group < F else panel_block(F)
    program.add_units(
        "pack",
        -(-F // block),
        float(F * offsets.size),
        weight=weight,
        y=memory,
        weight_row=row,
        weight_group=start,
        F=F,
        f_block=block,
        group=group,
        K=offsets.size,
        offsets=program.table(offsets.ravel()),
        once=program.frozen,
    )
    return memory


def shifted(address: Any, elements: int) -> Any:
    """Move an address by some elements; None stays None."""
    if isinstance(address, tuple):
        return address[0], address[1] + elements
    if isinstance(address, np.ndarray):
        return address.reshape(-1)[elements:]
    if isinstance(address, Memory | Slot):
        return address, elements
    return None


def bias_or_zeros(program: Program, bias: Any, first: int, count: int) -> Any:
    """Return part of a bias; zeros if there is none."""
    if bias is not None:
        return shifted(bias, first)
    return np.zeros(count, program.dtype)


def _padded_table(offsets: np.ndarray, multiple: int) -> np.ndarray:
    """Repeat the last offset until the table is a whole number of tiles long."""
    offsets = offsets.ravel()
    return np.concatenate([offsets, np.repeat(offsets[-1:], -offsets.size % multiple)])


def add_correlation(
    program: Program,
    a_offsets: np.ndarray,
    x_offsets: np.ndarray,
    rows: int,
    lanes: int,
    groups: int = 1,
    **fields: Any,
) -> None:
    """Add the sums over all rows and lanes of each plane of ``a`` times each tap of ``x``, cut into units.

    ``groups``: how many groups of such planes and taps there are.
    """
    F, K = a_offsets.size, x_offsets.size
    taps = ROW_TAPS if F < DOT_ROWS else DOT_TAPS
    work = 2.0 * groups * F * K * rows * lanes
    units = max(1, min(UNITS, int(work // UNIT_WORK)) // groups)
    f_block, depth = _correlated_blocks(F, K, len(x_offsets), units, taps)
    blocks = -(-F // f_block) * -(-K // depth)
    planes = -(-len(x_offsets) * depth // K)  # of x, that a unit reads
    together = _groups_together(groups, work) if blocks == 1 else 1
    program.add_units(
        "correlate",
        -(-groups // together) * blocks,
        work,
        groups=groups,
        group_block=together,
        F=F,
        K=K,
        f_block=f_block,
        depth=depth,
        rows=rows,
        lanes=lanes,
        row_block=max(1, min(rows, FAR // program.size // max((f_block + planes) * lanes, 1))),
        a_offsets=program.table(_padded_table(a_offsets, DOT_ROWS)),
        offsets=program.table(_padded_table(x_offsets, taps)),
        **fields,
    )


def _correlated_blocks(F: int, K: int, planes: int, units: int, taps: int) -> tuple[int, int]:
    """Return the filters and the terms of a unit of a weight gradient.

    Each unit reads its filters' maps and its terms' share of the ``planes`` of x: of all ways to cut into at
    least half of ``units``, where there are any, that which reads the fewest maps.
    """
    found = []
    for f_parts in range(-(-F // CORRELATED), max(-(-F // CORRELATED), min(units, -(-F // DOT_ROWS))) + 1):
        k_parts = min(-(-K // taps), max(1, -(-units // 2 // f_parts)))
        few = 2 * f_parts * k_parts < units
        found.append((few, k_parts * F + f_parts * planes, f_parts, k_parts))
    *_, f_parts, k_parts = min(found)
    return -(-F // f_parts // DOT_ROWS) * DOT_ROWS, -(-K // k_parts // taps) * taps
