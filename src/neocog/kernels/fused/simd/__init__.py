"""Write the innermost loops as vector instructions.

A compiler that vectorises four nested loops by itself reaches a quarter of what the machine can do, and
takes seconds. The two register tiles of which all convolutions and dense layers are made are therefore
written as LLVM instructions (``tiles``): they run at the machine's peak and compile in a tenth of a second.
So are the transforms of Winograd's method (``winograd``). Functions of one number (``functions``) have no
branches, so that the compiler vectorises the loop around them.

:func:`row_tile`
    ``y[r, l] = bias[r] + sum_t a[r, k[t]] x[offset[t] + l] + init[r, l]`` for a few rows r and vectors of
    lanes l: each number of ``a`` is broadcast, each vector of ``x`` is used by all rows, the sums stay in
    registers.
:func:`pixel_tile`
    ``y[q, f] = bias[f] + sum_k x[pixel[q] + offset[k]] w[k, f] + init[q, f]`` for a few pixels q and vectors
    of channels f: the same sum where the channels lie side by side; or, depthwise, with
    ``x[pixel[q] + offset[k] + f]``. :func:`pair_tile` has pairs of bfloat16 in the place of numbers.
:func:`dots`
    ``d[f, k] = sum_l dy[f, l] x[offset[k] + l]``: the same sum the other way round, for weight gradients.

Arrays are passed as addresses (``int64``) and lengths in elements, so that a row of numbers describes an
operation completely and no array object is made. ``like`` is any number of the array's dtype: it carries
the dtype.

With ``NUMBA_DISABLE_JIT=1`` the same functions are computed by NumPy (``plain``).

Source: K. Goto, R. van de Geijn, "Anatomy of high-performance matrix multiplication", 2008; offsets instead
of an im2col matrix: M. Dukhan, "The indirect convolution algorithm", 2019.
"""

from __future__ import annotations

from numba import config

from neocog.kernels.fused.simd.emitter import (
    DOT_ROWS,
    DOT_TAPS,
    INT,
    MIDDLE,
    PAIR_ROWS,
    ROW_TAPS,
    ROWS,
    SQUARE,
    VECTOR_BYTES,
    VECTORS,
    WIDTHS,
    tile_lanes,
)

if config.DISABLE_JIT:
    from neocog.kernels.fused.simd.plain import (
        deinterleave,
        dots,
        dots_of_row,
        exponential,
        fetch_add,
        hyperbolic_tangent,
        interleave,
        library,
        log1p,
        logistic,
        normal_distribution,
        number,
        pair_tile,
        pixel_tile,
        read,
        row_tile,
        size_of,
        to_winners,
        transpose,
        view,
        winograd_input,
        winograd_kernel,
        winograd_kernel_back,
        winograd_output,
        winograd_output_back,
    )
else:
    from neocog.kernels.fused.simd.functions import (  # type: ignore[no-redef]
        exponential,
        hyperbolic_tangent,
        library,
        log1p,
        logistic,
        normal_distribution,
    )
    from neocog.kernels.fused.simd.memory import fetch_add, number, read, size_of, to_winners, transpose, view
    from neocog.kernels.fused.simd.tiles import dots, dots_of_row, pair_tile, pixel_tile, row_tile
    from neocog.kernels.fused.simd.winograd import (
        deinterleave,
        interleave,
        winograd_input,
        winograd_kernel,
        winograd_kernel_back,
        winograd_output,
        winograd_output_back,
    )

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
    "deinterleave",
    "dots",
    "dots_of_row",
    "exponential",
    "fetch_add",
    "hyperbolic_tangent",
    "interleave",
    "library",
    "log1p",
    "logistic",
    "normal_distribution",
    "number",
    "pair_tile",
    "pixel_tile",
    "read",
    "row_tile",
    "size_of",
    "tile_lanes",
    "to_winners",
    "transpose",
    "view",
    "winograd_input",
    "winograd_kernel",
    "winograd_kernel_back",
    "winograd_output",
    "winograd_output_back",
]
