"""Lower convolutions whose outputs lie pixel by pixel, the channels innermost: (N, H, W, C) in memory.

The lanes of a register tile are then filters instead of pixels, so that it is full however small the maps
and however few the images are. Where a pixel lies is read from a table: a stride needs no phases, and the
input may have either layout.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from neocog.kernels.fused.lowering.copies import bordered
from neocog.kernels.fused.lowering.products import DEPTH, UNITS, bias_or_zeros
from neocog.kernels.fused.program import UNBOUNDED, Bounds, Maps, Program
from neocog.kernels.fused.simd import ROWS, VECTOR_BYTES, VECTORS, tile_lanes
from neocog.kernels.geometry import Pair

if TYPE_CHECKING:
    from neocog.kernels.fused.lowering.convolution import Convolution

__all__ = ["add_pixel_product"]

PIXEL_UNIT_WORK, SLOW_UNIT_WORK = 500_000, 150_000
"""Floating point operations of a unit, at least: some microseconds; those of depthwise filters are slower."""
READ_BYTES = 1 << 22
"""Bytes of weights that are packed at a time, about."""
ROUNDED = 20_000
"""Numbers that a unit rounds, at least: some microseconds."""


def _pixels(maps: Maps, size: Pair, by_image: bool, step: Pair = (1, 1), first: Pair = (0, 0)) -> np.ndarray:
    """Return where pixels of all images lie, in elements from the origin: H x W, from ``first`` on.

    ``by_image``: one image after the other; else a pixel of all images, then the next.
    """
    image, N = (maps.plane, maps.C) if maps.channels_last else (1, maps.N)
    n, i, j = np.arange(N)[:, None, None], np.arange(size[0])[:, None], np.arange(size[1])
    places = n * image + (i * step[0] + first[0]) * maps.row + (j * step[1] + first[1]) * maps.N
    return (places if by_image else places.transpose(1, 2, 0)).ravel()


def _halved(array: np.ndarray) -> np.ndarray:
    """Round float32 to bfloat16, of which two neighbours along the last axis become one number."""
    bits = np.ascontiguousarray(array).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> 16) & 1)) >> 16
    return np.where(np.isnan(array), (bits >> 16) | 0x40, rounded).astype(np.uint16).view(np.float32)


def _fill_panels(out: np.ndarray, weight: np.ndarray, program: Program, groups: int, paired: bool) -> None:
    """Write the weights in the order in which the tiles read them: panels of filters, a row for each term.

    (F, C, kH, kW) -> for each group and each panel of its filters, kH kW C rows, half as many if ``paired``.
    Some terms at a time, so that little of the weights has to be in memory beside them.
    """
    F, C, kh, kw = weight.shape
    filters, K = F // groups, kh * kw * C // (1 + paired)
    out = out.reshape(groups, K * filters)
    terms = weight.reshape(groups, filters, C, kh * kw).transpose(0, 3, 2, 1)
    channels = max(2, READ_BYTES // (filters * program.size) // 2 * 2)
    for group, tap, c in itertools.product(range(groups), range(kh * kw), range(0, C, channels)):
        some = terms[group, tap, c : c + channels]
        if paired:
            some = _halved(some.T).T
        k, f = (tap * C + c) // (1 + paired), 0
        while f < filters:
            lanes = tile_lanes(filters - f, program.size)
            panel = out[group, f * K : (f + lanes) * K].reshape(K, lanes)
            panel[k : k + len(some)] = some[:, f : f + lanes]
            f += lanes
        if some.nbytes > READ_BYTES // 2:
            program.forget()


def _rounded(program: Program, x: Maps) -> Maps:
    """Add the rounding of maps to bfloat16; return them, a pair of channels counted as one."""
    count = x.C * x.plane
    halves = Maps(program.memory(count, size=2), x.C, x.H, x.W, x.N // 2, x.border, 0, True)
    block = -(-count // max(1, min(UNITS, count // ROUNDED)))
    program.add_units(
        "round_to_bfloat",
        -(-count // block),
        float(count),
        x=(x.memory, x.begin),
        y=halves.memory,
        count=count,
        block=block,
    )
    return halves


def _blocks(program: Program, conv: Convolution, F: int, groups: int, pixels: int, K: int) -> tuple[int, int]:
    """Return the filters and the pixels of a unit."""
    wide = VECTOR_BYTES // program.size * VECTORS
    work = 2.0 * groups * F * K * pixels
    units = max(1, min(UNITS, int(work // (SLOW_UNIT_WORK if conv.depthwise else PIXEL_UNIT_WORK))) // groups)
    panels, tiles = -(-F // wide), -(-pixels // ROWS)
    # A unit reads all of what is not cut. Pixels are cut unless there are more weights than numbers of maps:
    # the next operation then finds the numbers of its pixels in the cache of the thread that has made them.
    if pixels * (F + conv.x_shape[1] // conv.groups) < F * K:
        f_units = min(panels, units)
        q_units = min(tiles, -(-units // f_units))
    else:
        q_units = min(tiles, units)
        f_units = min(panels, -(-units // q_units))
    return -(-panels // f_units) * wide, -(-tiles // q_units) * ROWS


def add_pixel_product(
    program: Program,
    conv: Convolution,
    x: Maps,
    weight: np.ndarray,
    bias: Any,
    y: Maps,
    bounds: Bounds = UNBOUNDED,
    init: Maps | None = None,
    gated: int = 0,
) -> None:
    """Add ``y = conv(x, weight) + bias + init``, bounded, or gated; y and init have the channels innermost.

    The weights must never change: they are packed here.
    """
    F, per_group, kh, kw = conv.w_shape
    paired = conv.paired and x.channels_last
    x = bordered(program, x, conv.input_border)
    if paired:
        x, per_group = _rounded(program, x), per_group // 2
    channel = 1 if x.channels_last else x.plane
    a, b = (np.arange(k) * d for k, d in zip((kh, kw), conv.dilation, strict=True))
    depthwise = conv.depthwise
    offsets = a[:, None, None] * x.row + b[:, None] * x.N + np.arange(per_group) * channel
    (top, _), (left, _) = conv.padding
    groups = 1 if depthwise else conv.groups
    filters, K, pixels = F // groups, kh * kw * per_group, conv.x_shape[0] * conv.out[0] * conv.out[1]
    f_block, pixel_block = _blocks(program, conv, filters, groups, pixels, K)
    units = groups * -(-filters // f_block) * -(-pixels // pixel_block)
    # Neighbours in memory are read one after the other.
    by_image = x.channels_last
    places = program.table(_pixels(y, conv.out, by_image))
    program.add_units(
        ("gated_" if gated else "") + ("pair_product" if paired else "pixel_product"),
        units,
        2.0 * F * K * pixels,
        x=x.origin,
        x_pixels=program.table(_pixels(x, conv.out, by_image, conv.stride, (-top, -left))),
        offsets=program.table(offsets.ravel()),
        x_group=per_group * channel,
        a=program.constant(F * K, lambda out: _fill_panels(out, weight, program, groups, paired)),
        y=y.origin,
        y_pixels=places,
        init=init and init.origin,
        init_pixels=init and program.table(_pixels(init, conv.out, by_image)),
        bias=bias_or_zeros(program, bias, 0, F),
        zeros=program.zeros,
        low=bounds[0],
        high=bounds[1],
        F=filters,
        K=K,
        depth=DEPTH if K > DEPTH * 4 // 3 else K,
        pixels=pixels,
        pixel_block=pixel_block,
        f_block=f_block,
        depthwise=int(depthwise),
        gated=gated or None,
    )
