"""Lower dense layers and their gradients: x (in, N), y (out, N), weights (in, out)."""

from __future__ import annotations

from typing import Any

import numpy as np

from neocog.kernels.fused.lowering.copies import copy
from neocog.kernels.fused.lowering.products import add_correlation, add_product, bias_or_zeros
from neocog.kernels.fused.program import UNBOUNDED, Bounds, Maps, Program
from neocog.kernels.fused.simd import VECTOR_BYTES

__all__ = ["dense", "dense_input", "dense_weight"]


FEW_IMAGES = 16
"""Images below which a vector register of float32 would not be full."""
MANY_WEIGHTS = 100_000
"""Weights that leave the nearer caches: they are best read as they lie in memory, along the outputs."""
FEWEST_OUTPUTS = 2 * VECTOR_BYTES // 4
"""Outputs that fill two vector registers of float32."""


def _lanes_are_outputs(inputs: int, outputs: int, N: int) -> bool:
    """Return whether the lanes of the product should be the outputs instead of the images."""
    return outputs >= FEWEST_OUTPUTS and (N < FEW_IMAGES or inputs * outputs > MANY_WEIGHTS)


def dense(program: Program, x: Maps, weight: Any, bias: Any, y: Maps, bounds: Bounds = UNBOUNDED) -> None:
    """Add ``y = weight^T x + bias``, bounded."""
    inputs, outputs, N = x.C, y.C, x.N
    if not _lanes_are_outputs(inputs, outputs, N):
        add_product(
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
            bias=bias_or_zeros(program, bias, 0, outputs),
            bounds=bounds,
        )
        return
    direct = N == 1
    transposed = y if direct else program.maps(N, 1, 1, outputs)
    fields: dict[str, Any] = {} if bias is None else {"init": bias, "init_plane": 0, "init_row": 0}
    add_product(
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
        y=transposed.origin,
        y_plane=outputs,
        bias=bias_or_zeros(program, None, 0, N),
        bounds=bounds,
        **fields,
    )
    if not direct:
        copy(program, transposed.origin, (1, outputs, 0, 0), y.origin, (outputs, N, 1, 1), (N, 1, 0, 0))


def _transposed(program: Program, dy: Maps) -> Maps:
    """Transpose (out, N) -> (N, out)."""
    if dy.N == 1:
        return dy
    transposed = program.maps(dy.N, 1, 1, dy.C)
    copy(program, dy.origin, (1, dy.N, 0, 0), transposed.origin, (dy.N, dy.C, 1, 1), (dy.C, 1, 0, 0))
    return transposed


def dense_input(program: Program, dy: Maps, weight: Any, dx: Maps) -> None:
    """Add ``dx = weight dy``."""
    inputs, outputs, N = dx.C, dy.C, dy.N
    if _lanes_are_outputs(inputs, outputs, N):
        add_correlation(
            program,
            np.arange(inputs) * outputs,
            np.arange(N) * outputs,
            1,
            outputs,
            a=weight,
            x=_transposed(program, dy).origin,
            y=dx.origin,
        )
        return
    add_product(
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
        bias=bias_or_zeros(program, None, 0, inputs),
    )


def dense_weight(program: Program, x: Maps, dy: Maps, d_weight: Any) -> None:
    """Add ``d_weight = x dy^T``."""
    inputs, outputs, N = x.C, dy.C, dy.N
    if _lanes_are_outputs(inputs, outputs, N):
        add_product(
            program,
            inputs,
            np.arange(N) * outputs,
            1,
            outputs,
            a=x.origin,
            a_row=N,
            a_step=1,
            x=_transposed(program, dy).origin,
            y=d_weight,
            y_plane=outputs,
            bias=bias_or_zeros(program, None, 0, inputs),
        )
        return
    add_correlation(
        program,
        np.arange(inputs) * N,
        np.arange(outputs) * N,
        1,
        N,
        a=x.origin,
        x=dy.origin,
        y=d_weight,
    )
