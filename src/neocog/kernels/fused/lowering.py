"""Convolutions, dense layers and copies as operations of a program.

A convolution needs no im2col matrix. Its input is padded once; then tap (c, p, q) of output pixel (i, j)
lies at a fixed distance from tap (0, 0, 0), so one table of distances, as long as a kernel, describes all
windows. With a stride s the input is first dealt out into s x s images of every s-th pixel (its phases), in
each of which the windows again advance by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from neocog.kernels.fused.program import Border, Maps, Memory, Program, Slot
from neocog.kernels.fused.simd import DOT_ROWS, DOT_TAPS, VECTOR_BYTES, VECTORS
from neocog.kernels.geometry import Padding, Pair

__all__ = [
    "conv",
    "conv_input",
    "conv_weight",
    "copy",
    "dense",
    "dense_input",
    "dense_weight",
    "input_border",
    "load",
    "output_border",
    "store",
    "windows",
]

DEPTH = 288
"""Terms of a sum taken at a time, 32 channels of 3 x 3: eight rows of weights fill 9 kB of the L1 cache."""
UNIT_WORK = 2_000_000
"""Floating point operations of a unit of work, at least: some 10 microseconds."""


# Copies


def copy(
    program: Program,
    source: Any,
    strides: tuple[int, ...],
    target: Any,
    shape: tuple[int, ...],
    target_strides: tuple[int, ...],
    adding: bool = False,
) -> None:
    """Copy four axes with any strides; ``source`` and ``target`` are addresses or (memory, element)."""
    axes = sorted(zip(shape, strides, target_strides, strict=True), key=lambda a: (-a[2], -a[0]))
    axes = [a for a in axes if a[0] != 1] or [(1, 1, 1)]
    merged = [axes[0]]
    for n, x, y in axes[1:]:  # neighbours that follow each other in both arrays are one axis
        m, mx, my = merged[-1]
        if mx == n * x and my == n * y:
            merged[-1] = (m * n, x, y)
        else:
            merged.append((n, x, y))
    while len(merged) < 4:
        merged.insert(0, (1, 0, 0))
    if merged[0][0] == 1:  # cut along the longest of the outer axes
        longest = max(range(3), key=lambda k: merged[k][0])
        merged.insert(0, merged.pop(longest))
    sizes: dict[str, Any] = {f"n{k}": a[0] for k, a in enumerate(merged)}
    xs: dict[str, Any] = {f"x{k}": a[1] for k, a in enumerate(merged)}
    ys: dict[str, Any] = {f"y{k}": a[2] for k, a in enumerate(merged)}
    work = float(np.prod(shape))
    program.add("copy", merged[0][0], work=work, x=source, y=target, kind=int(adding), **sizes, **xs, **ys)


def _strides(maps: Maps) -> tuple[int, int, int, int]:
    return maps.plane, maps.row, maps.N, 1


def transfer(program: Program, x: Maps, y: Maps, adding: bool = False) -> None:
    """Copy maps into maps of the same shape, or add them."""
    copy(program, x.origin, _strides(x), y.origin, x.shape, _strides(y), adding)


def load(program: Program, source: Any, y: Maps) -> None:
    """Copy a contiguous (N, C, H, W) array, given by its address, into maps."""
    copy(program, source, (y.H * y.W, y.W, 1, y.C * y.H * y.W), y.origin, y.shape, _strides(y))


def store(program: Program, x: Maps, target: Any) -> None:
    """Copy maps into a contiguous (N, C, H, W) array."""
    copy(program, x.origin, _strides(x), target, x.shape, (x.H * x.W, x.W, 1, x.C * x.H * x.W))


# Windows


@dataclass(eq=False)
class Windows:
    """The windows of an input: where tap (0, 0, 0) of the first lies, and how far the others are from it."""

    start: tuple[Memory, int]
    row: int  # elements from a row of windows to the next
    offsets: np.ndarray  # (C, kH, kW) elements
    maps: Maps | None = None  # the padded input, where it is not dealt out
    stride: Pair = (1, 1)
    dilation: Pair = (1, 1)


def input_border(
    x_shape: tuple[int, int, int],
    filters: int,
    kernel: Pair,
    padding: Padding,
    dilation: Pair,
    stride: Pair,
    groups: int,
    N: int,
    program: Program,
) -> Border:
    """Border that a convolution's input (C, H, W) should have; with a stride it is copied anyway, so none."""
    if stride != (1, 1):
        return 0, 0, 0, 0
    (top, bottom), (left, right) = padding
    C, H, W = x_shape
    out = H + top + bottom - 2, W + left + right - 2
    if pays(program, C, filters, kernel, stride, dilation, groups, out, N):  # whole tiles of 4 x 4
        bottom, right = bottom + -out[0] % 4, right + -out[1] % 4
    return top, bottom, left, right


def pays(
    program: Program,
    C: int,
    F: int,
    kernel: Pair,
    stride: Pair,
    dilation: Pair,
    groups: int,
    out: Pair,
    N: int,
) -> bool:
    """Whether Winograd's way is quicker: many channels, and tiles enough to be worth the weights."""
    if program.exact or program.dtype != np.float32:
        return False
    if kernel != (3, 3) or stride != (1, 1) or dilation != (1, 1) or groups != 1 or min(C, F) < 32:
        return False
    lanes = -(-out[0] // 4) * -(-out[1] // 4) * N
    return lanes >= 24 and 16 * lanes <= 2.4 * out[0] * out[1] * N


def windows(
    program: Program,
    x: Maps,
    filters: int,
    kernel: Pair,
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
    out: Pair,
    row: int = 0,
) -> Windows:
    """Prepare an input for a convolution: pad it unless it is padded, deal it out if there is a stride."""
    (top, bottom), (left, right) = padding
    C, H, W, N = x.shape
    down, across = np.arange(kernel[0]) * dilation[0], np.arange(kernel[1]) * dilation[1]
    if stride == (1, 1):
        border = input_border((C, H, W), filters, kernel, padding, dilation, stride, groups, N, program)
        if any(b < p for b, p in zip(x.border, border, strict=True)):
            padded = program.maps(C, H, W, N, border)
            transfer(program, x, padded)
            x = padded
        memory, origin = x.origin
        offsets = np.arange(C)[:, None, None] * x.plane + down[:, None] * x.row + across * N
        return Windows((memory, origin - top * x.row - left * N), x.row, offsets, x, stride, dilation)
    # Rows as long as those of the output, where they are long enough: see _run.
    s, t = stride
    rows = max((down // s).max(), 0) + out[0]
    columns = max(max((across // t).max(), 0) + out[1], row // N)
    phases = sorted({(int(a) % s, int(b) % t) for a in down for b in across})
    dealt = program.maps(len(phases) * C, rows, columns, N)
    if max(top, bottom, left, right) > 0:
        program.clear(dealt)
    for k, (a, b) in enumerate(phases):
        target = dealt.channels(k * C, C)
        # Row r of the phase is row r s + a - top of the image.
        i0, j0 = -((a - top) // s) if a < top else 0, -((b - left) // t) if b < left else 0
        i1 = min(rows, (H - 1 + top - a) // s + 1)
        j1 = min(columns, (W - 1 + left - b) // t + 1)
        if i1 <= i0 or j1 <= j0:
            continue
        xm, xo = x.origin
        ym, yo = target.origin
        copy(
            program,
            (xm, xo + (i0 * s + a - top) * x.row + (j0 * t + b - left) * N),
            (x.plane, s * x.row, t * N, 1),
            (ym, yo + i0 * target.row + j0 * N),
            (C, i1 - i0, j1 - j0, N),
            _strides(target),
        )
    place = {phase: k for k, phase in enumerate(phases)}
    offsets = np.array(
        [
            [
                place[int(a) % s, int(b) % t] * C * dealt.plane + int(a) // s * dealt.row + int(b) // t * N
                for b in across
            ]
            for a in down
        ]
    )
    return Windows(dealt.origin, dealt.row, np.arange(C)[:, None, None] * dealt.plane + offsets)


# Products


LANES = 768
"""Lanes of a unit of work, at most: with 32 channels they are 100 kB, and stay in the L2 cache."""
CACHE = 1 << 19
"""Bytes of weights that a core keeps in its L2 cache."""
NARROW = 64
"""Lanes of a row below which a register tile would be mostly empty."""


def _run(y: Maps, row: int) -> tuple[int, int]:
    """Rows and lanes of a product over the maps y, from an input whose rows are ``row`` apart.

    Narrow maps are taken as one long row, their borders included, where both arrays have rows of one length;
    what is then written into the border of y is cleared afterwards.
    """
    if y.lanes < NARROW and y.H > 1 and y.row == row:
        return 1, (y.H - 1) * y.row + y.lanes
    return y.H, y.lanes


def _product(
    program: Program,
    F: int,
    offsets: np.ndarray,
    rows: int,
    lanes: int,
    streaming: bool = False,
    **fields: Any,
) -> None:
    """Add a product, cut into units along rows and lanes, and along the filters where that is not enough.

    ``streaming``: x is large and used once, so it is read as it lies in memory, some long rows at a time.
    """
    K = offsets.size
    table = program.table(offsets.ravel())
    work = 2.0 * F * K * rows * lanes
    units = max(1, min(32, int(work // UNIT_WORK)))
    tile = VECTOR_BYTES // program.size * VECTORS
    depth = DEPTH if K > DEPTH * 4 // 3 else max(K, 1)
    if streaming:
        depth, row_block, lane_block = 16, 1, max(1024, -(-lanes // units // tile) * tile)
    else:
        row_block = max(1, min(rows, LANES // max(lanes, 1)))
        lane_block = lanes if rows > 1 else min(lanes, LANES // tile * tile)
        if F * K * program.size < CACHE:  # all threads keep all weights: share out rows or lanes
            row_block = max(1, min(row_block, -(-rows // units)))
            if rows == 1:
                lane_block = min(lane_block, max(tile, -(-lanes // units // tile) * tile))
    blocks = -(-rows // row_block) * -(-lanes // max(lane_block, 1))
    f_units = max(1, min(-(-F // 8), -(-units // max(blocks, 1)))) if units > blocks else 1
    f_block = -(-F // f_units // 8) * 8
    program.add_units(
        "product",
        -(-F // f_block) * blocks,
        work,
        F=F,
        K=K,
        depth=depth,
        offsets=table,
        rows=rows,
        lanes=lanes,
        f_block=f_block,
        row_block=row_block,
        lane_block=max(lane_block, 1),
        zeros=program.zeros,
        **fields,
    )


def _pack(program: Program, weight: Any, F: int, row: int, offsets: np.ndarray) -> Memory:
    """Pack F rows of weights, ``row`` elements apart, their terms at ``offsets``."""
    packed = program.memory(F * offsets.size)
    block = max(8, -(-F // 32 // 8) * 8)
    program.add_units(
        "pack",
        -(-F // block),
        float(F * offsets.size),
        weight=weight,
        y=packed,
        a_row=row,
        F=F,
        f_block=block,
        K=offsets.size,
        offsets=program.table(offsets.ravel()),
        once=program.frozen,
    )
    return packed


def _shift(address: Any, elements: int) -> Any:
    """An address some elements further on; None stays None."""
    if isinstance(address, tuple):
        return address[0], address[1] + elements
    if isinstance(address, np.ndarray):
        return address.reshape(-1)[elements:]
    if isinstance(address, Memory | Slot):
        return address, elements
    return None


def conv(
    program: Program,
    x: Windows,
    weight: Any,
    w_shape: tuple[int, ...],
    bias: Any,
    y: Maps,
    groups: int = 1,
    floor: float = -np.inf,
    init: Maps | None = None,
    clean: bool = True,
) -> None:
    """``y = max(floor, conv(x, weight) + bias + init)``; ``weight`` and ``bias`` are addresses.

    ``clean``: whether the border of y must be zero.
    """
    F, per_group, kh, kw = w_shape
    K = per_group * kh * kw
    if (
        init is None
        and x.maps is not None
        and pays(program, per_group, F, (kh, kw), x.stride, x.dilation, groups, (y.H, y.W), y.N)
    ):
        _winograd(program, x, weight, (F, per_group), (9 * per_group, 9, 0), bias, y, floor)
        return
    for g in range(groups):
        filters = F // groups
        taps = x.offsets[g * per_group : (g + 1) * per_group]
        packed = _pack(program, _shift(weight, g * filters * K), filters, K, np.arange(K))
        part = y.channels(g * filters, filters)
        rows, lanes = _run(y, x.row if init is None or init.row == y.row else 0)
        fields: dict[str, Any] = {}
        if init is not None:
            start = init.channels(g * filters, filters)
            fields = {"init": start.origin, "init_plane": start.plane, "init_row": start.row}
        _product(
            program,
            filters,
            taps,
            rows,
            lanes,
            a=packed,
            x=x.start,
            x_row=x.row,
            y=part.origin,
            y_plane=part.plane,
            y_row=part.row,
            bias=_bias(program, bias, g * filters, filters),
            floor=floor,
            **fields,
        )
        if rows < y.H and clean:
            program.frame(part, always=True)


def _bias(program: Program, bias: Any, first: int, count: int) -> Any:
    if bias is not None:
        return _shift(bias, first)
    return np.zeros(count, program.dtype)


def _winograd(
    program: Program,
    x: Windows,
    weight: Any,
    shape: tuple[int, int],
    strides: tuple[int, int, int],
    bias: Any,
    y: Maps,
    floor: float,
) -> None:
    """A 3 x 3 convolution by Winograd; ``strides`` of a filter and of a channel, and 1 if turned round."""
    F, C = shape
    N, size = y.N, program.size
    assert x.maps is not None
    down, across = -(-y.H // 4), -(-y.W // 4)
    vector = VECTOR_BYTES // size
    # Rows of tiles in a strip: about a register tile's lanes, or two.
    rows = max(1, min(down, round(VECTORS * vector / (across * N))))
    strips = -(-down // rows)
    f_units = 1 if strips >= 4 else min(-(-F // 32), -(-4 // strips))
    f_block = -(-F // f_units // 8) * 8
    lanes = -(-rows * across * N // vector) * vector
    depth = min(64, f_block)
    packed = program.memory(36 * F * C)
    block = max(8, -(-F // 32 // 8) * 8)
    program.add_units(
        "winograd_weights",
        -(-F // block),
        100.0 * F * C,
        weight=weight,
        y=packed,
        a_row=strides[0],
        stride_w=strides[1],
        kind=strides[2],
        F=F,
        C=C,
        f_block=block,
        once=program.frozen,
    )
    step = lanes + 2 * vector
    program.scratch = max(program.scratch, (52 * step + 36 * (C + depth) * lanes) * size)
    program.add_units(
        "winograd",
        strips * -(-F // f_block),
        72.0 * F * C * down * across * N,
        a=packed,
        x=x.start,
        x_plane=x.maps.plane,
        x_row=x.row,
        offsets=program.table(np.arange(C) * lanes),
        y=y.origin,
        y_plane=y.plane,
        y_row=y.row,
        bias=_bias(program, bias, 0, F),
        zeros=program.zeros,
        floor=floor,
        F=F,
        C=C,
        N=N,
        W=y.W,
        rows=y.H,
        n0=lanes,
        n1=across,
        n2=down,
        row_block=rows,
        f_block=f_block,
        depth=depth,
    )


def _phases(
    size: int, stride: int, start: int, kernel: int, dilation: int
) -> list[tuple[int, int, list[int]]]:
    """For each phase of x's rows: its first q, its length, its taps.

    Row ``q s + phase - start`` sees output ``q - (tap d) // s``.
    """
    phases = []
    for phase in range(stride):
        first = -((phase - start) // stride) if phase < start else 0
        last = (size - 1 + start - phase) // stride
        taps = [a for a in range(kernel) if a * dilation % stride == phase]
        phases.append((first, last - first + 1, taps))
    return phases


def output_border(
    x_size: Pair, out: Pair, kernel: Pair, stride: Pair, padding: Padding, dilation: Pair
) -> Border:
    """Border of zeros that dy needs, so that every pixel of x finds all its outputs."""
    sides = []
    for axis in range(2):
        before, after = 0, 0
        for first, count, taps in _phases(
            x_size[axis], stride[axis], padding[axis][0], kernel[axis], dilation[axis]
        ):
            for a in taps if count > 0 else ():
                lowest = first - a * dilation[axis] // stride[axis]
                before = max(before, -lowest)
                after = max(after, lowest + count - out[axis])
        sides += [before, after]
    return sides[0], sides[1], sides[2], sides[3]


def gradient_border(
    program: Program,
    x_shape: tuple[int, int, int],
    w_shape: tuple[int, ...],
    out: Pair,
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
    N: int,
) -> Border:
    """Border that dy should have for :func:`conv_input`; x is (C, H, W)."""
    kernel = w_shape[2], w_shape[3]
    border = output_border(x_shape[1:], out, kernel, stride, padding, dilation)
    if pays(program, w_shape[0], w_shape[1], kernel, stride, dilation, groups, x_shape[1:], N):
        top, bottom, left, right = border
        return top, bottom + -x_shape[1] % 4, left, right + -x_shape[2] % 4
    return border


def conv_input(
    program: Program,
    dy: Maps,
    weight: Any,
    w_shape: tuple[int, ...],
    dx: Maps,
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int = 1,
    adding: bool = False,
) -> None:
    """The gradient of a convolution in its input: again a convolution, of dy with the kernel turned round."""
    F, per_group, kh, kw = w_shape
    filters = F // groups
    if not adding and pays(program, F, per_group, (kh, kw), stride, dilation, groups, (dx.H, dx.W), dx.N):
        back: Padding = ((2 - padding[0][0], 2 - padding[0][1]), (2 - padding[1][0], 2 - padding[1][1]))
        if min(*back[0], *back[1]) >= 0:
            seen = windows(program, dy, per_group, (3, 3), (1, 1), back, (1, 1), 1, (dx.H, dx.W))
            _winograd(program, seen, weight, (per_group, F), (9, 9 * per_group, 1), None, dx, -np.inf)
            return
    border = output_border((dx.H, dx.W), (dy.H, dy.W), (kh, kw), stride, padding, dilation)
    if any(b < n for b, n in zip(dy.border, border, strict=True)):
        padded = program.maps(*dy.shape, border)
        transfer(program, dy, padded)
        dy = padded
    down = _phases(dx.H, stride[0], padding[0][0], kh, dilation[0])
    across = _phases(dx.W, stride[1], padding[1][0], kw, dilation[1])
    if stride != (1, 1) and not adding:
        program.clear(Maps(dx.memory, dx.C, dx.H, dx.W, dx.N, dx.border, dx.begin))
    memory, origin = dy.origin
    for g in range(groups):
        f = np.arange(filters)[:, None, None]
        part = dx.channels(g * per_group, per_group)
        for v, (i0, rows, p) in enumerate(down):
            for h, (j0, columns, q) in enumerate(across):
                if rows <= 0 or columns <= 0 or not p or not q:
                    continue
                a, b = np.array(p)[:, None], np.array(q)
                offsets = (
                    (g * filters + f) * dy.plane
                    + (i0 - a * dilation[0] // stride[0]) * dy.row
                    + (j0 - b * dilation[1] // stride[1]) * dy.N
                )
                terms = f * per_group * kh * kw + a * kw + b
                packed = _pack(
                    program, _shift(weight, g * filters * per_group * kh * kw), per_group, kh * kw, terms
                )
                target = part if stride == (1, 1) else program.maps(per_group, rows, columns, dx.N)
                count, lanes = _run(target, dy.row)
                fields: dict[str, Any] = {}
                if adding and stride == (1, 1):
                    fields = {"init": target.origin, "init_plane": target.plane, "init_row": target.row}
                _product(
                    program,
                    per_group,
                    offsets,
                    count,
                    lanes,
                    a=packed,
                    x=(memory, origin),
                    x_row=dy.row,
                    y=target.origin,
                    y_plane=target.plane,
                    y_row=target.row,
                    bias=_bias(program, None, 0, per_group),
                    floor=-np.inf,
                    **fields,
                )
                if count < rows:
                    program.frame(target, always=True)
                if stride != (1, 1):
                    i, j = i0 * stride[0] + v - padding[0][0], j0 * stride[1] + h - padding[1][0]
                    m, o = part.origin
                    copy(
                        program,
                        target.origin,
                        _strides(target),
                        (m, o + i * part.row + j * part.N),
                        target.shape,
                        (part.plane, stride[0] * part.row, stride[1] * part.N, 1),
                        adding,
                    )


def _filled(offsets: np.ndarray, multiple: int) -> np.ndarray:
    """Repeat the last offset until the table is a whole number of tiles long."""
    offsets = offsets.ravel()
    return np.concatenate([offsets, np.repeat(offsets[-1:], -offsets.size % multiple)])


def _correlate(
    program: Program, y_offsets: np.ndarray, x_offsets: np.ndarray, rows: int, lanes: int, **fields: Any
) -> None:
    F, K = y_offsets.size, x_offsets.size
    work = 2.0 * F * K * rows * lanes
    units = max(1, min(32, int(work // UNIT_WORK)))
    f_block = -(-F // units // DOT_ROWS) * DOT_ROWS
    program.add_units(
        "correlate",
        -(-F // f_block),
        work,
        F=F,
        K=K,
        f_block=f_block,
        rows=rows,
        lanes=lanes,
        row_block=max(1, 1024 // max(lanes, 1)),
        rows_offsets=program.table(_filled(y_offsets, DOT_ROWS)),
        offsets=program.table(_filled(x_offsets, DOT_TAPS)),
        **fields,
    )


def conv_weight(
    program: Program, x: Windows, dy: Maps, d_weight: Any, w_shape: tuple[int, ...], groups: int = 1
) -> None:
    """The gradient of a convolution in its weights: the windows of x, each weighted by its dy."""
    F, per_group, kh, kw = w_shape
    filters = F // groups
    for g in range(groups):
        part = dy.channels(g * filters, filters)
        _correlate(
            program,
            np.arange(filters) * part.plane,
            x.offsets[g * per_group : (g + 1) * per_group],
            *_run(dy, x.row),  # the border of dy is zero
            y=part.origin,
            y_row=part.row,
            x=x.start,
            x_row=x.row,
            d_weight=_shift(d_weight, g * filters * per_group * kh * kw),
        )


# Dense layers: x (in, N), y (out, N), weight (in, out)


def _wide(inputs: int, outputs: int, N: int) -> bool:
    """Whether the lanes of the product should be the outputs, because there are too few images."""
    return outputs >= 2 * VECTOR_BYTES // 4 and (N < 16 or inputs * outputs > 100_000)


def dense(program: Program, x: Maps, weight: Any, bias: Any, y: Maps, floor: float = -np.inf) -> None:
    """``y = max(floor, weight^T x + bias)``."""
    inputs, outputs, N = x.C, y.C, x.N
    if not _wide(inputs, outputs, N):
        _product(
            program,
            outputs,
            np.arange(inputs) * N,
            1,
            N,
            a=weight,
            a_row=1,
            a_step=outputs,
            x=x.origin,
            y=y.origin,
            y_plane=N,
            bias=_bias(program, bias, 0, outputs),
            floor=floor,
        )
        return
    direct = N == 1
    turned = y if direct else program.maps(N, 1, 1, outputs)
    fields: dict[str, Any] = {} if bias is None else {"init": bias, "init_plane": 0, "init_row": 0}
    _product(
        program,
        N,
        np.arange(inputs) * outputs,
        1,
        outputs,
        streaming=True,
        a=x.origin,
        a_row=1,
        a_step=N,
        x=weight,
        y=turned.origin,
        y_plane=outputs,
        bias=_bias(program, None, 0, N),
        floor=floor,
        **fields,
    )
    if not direct:
        copy(program, turned.origin, (1, outputs, 0, 0), y.origin, (outputs, N, 1, 1), (N, 1, 0, 0))


def _turned(program: Program, dy: Maps) -> Maps:
    """(out, N) -> (N, out)."""
    if dy.N == 1:
        return dy
    turned = program.maps(dy.N, 1, 1, dy.C)
    copy(program, dy.origin, (1, dy.N, 0, 0), turned.origin, (dy.N, dy.C, 1, 1), (dy.C, 1, 0, 0))
    return turned


def dense_input(program: Program, dy: Maps, weight: Any, dx: Maps) -> None:
    """``dx = weight dy``."""
    inputs, outputs, N = dx.C, dy.C, dy.N
    if _wide(inputs, outputs, N):
        _correlate(
            program,
            np.arange(inputs) * outputs,
            np.arange(N) * outputs,
            1,
            outputs,
            y=weight,
            x=_turned(program, dy).origin,
            d_weight=dx.origin,
        )
        return
    _product(
        program,
        inputs,
        np.arange(outputs) * N,
        1,
        N,
        a=weight,
        a_row=outputs,
        a_step=1,
        x=dy.origin,
        y=dx.origin,
        y_plane=N,
        bias=_bias(program, None, 0, inputs),
        floor=-np.inf,
    )


def dense_weight(program: Program, x: Maps, dy: Maps, d_weight: Any) -> None:
    """``d_weight = x dy^T``."""
    inputs, outputs, N = x.C, dy.C, dy.N
    if _wide(inputs, outputs, N):
        _product(
            program,
            inputs,
            np.arange(N) * outputs,
            1,
            outputs,
            a=x.origin,
            a_row=N,
            a_step=1,
            x=_turned(program, dy).origin,
            y=d_weight,
            y_plane=outputs,
            bias=_bias(program, None, 0, inputs),
            floor=-np.inf,
        )
        return
    _correlate(
        program,
        np.arange(inputs) * N,
        np.arange(outputs) * N,
        1,
        N,
        y=x.origin,
        x=dy.origin,
        d_weight=d_weight,
    )


# Pooling


def _pool_fields(maps: Maps, kernel: Pair, stride: Pair, padding: Padding, counted: bool) -> dict[str, Any]:
    return {
        "H": maps.H,
        "W": maps.W,
        "N": maps.N,
        "kernel_h": kernel[0],
        "kernel_w": kernel[1],
        "stride_h": stride[0],
        "stride_w": stride[1],
        "top": padding[0][0],
        "left": padding[1][0],
        "kind": int(counted),
    }


def pool(
    program: Program,
    kind: str,
    x: Maps,
    y: Maps,
    index: Any,
    kernel: Pair,
    stride: Pair,
    padding: Padding,
    counted: bool = True,
) -> None:
    """Take the maximum or the mean of each window; ``index`` receives the winners' taps."""
    work = float(y.C * y.H * y.lanes * kernel[0] * kernel[1])
    program.add(
        "max_pool" if kind == "max" else "average_pool",
        x.C,
        work,
        x=x.origin,
        x_plane=x.plane,
        x_row=x.row,
        y=y.origin,
        y_plane=y.plane,
        y_row=y.row,
        C=y.C,
        rows=y.H,
        lanes=y.lanes,
        index=0 if index is None else index,
        **_pool_fields(x, kernel, stride, padding, counted),
    )


def pool_back(
    program: Program,
    kind: str,
    dy: Maps,
    dx: Maps,
    index: Any,
    kernel: Pair,
    stride: Pair,
    padding: Padding,
    counted: bool = True,
    open_where: Maps | None = None,
) -> None:
    """Hand dy back to the winners, or share it out; only where the pooled ``open_where`` is above 0."""
    x = open_where
    fields: dict[str, Any] = {} if x is None else {"x": x.origin, "x_plane": x.plane, "x_row": x.row}
    work = float(dy.C * dy.H * dy.lanes * kernel[0] * kernel[1])
    program.add(
        "max_pool_back" if kind == "max" else "average_pool_back",
        dx.C,
        work,
        z=dx.origin,
        z_plane=dx.plane,
        z_row=dx.row,
        y=dy.origin,
        y_plane=dy.plane,
        y_row=dy.row,
        C=dy.C,
        rows=dy.H,
        lanes=dy.lanes,
        index=0 if index is None else index,
        **fields,
        **_pool_fields(dx, kernel, stride, padding, counted),
    )
