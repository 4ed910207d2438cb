"""Pooling and its gradients."""

from __future__ import annotations

from typing import Any

from neocog.kernels.fused.program import Maps, Program
from neocog.kernels.geometry import Counts, Padding, Pair, window_counts

__all__ = ["counts_padding", "pool", "pool_back"]


def counts_padding(
    x_shape: tuple[int, ...],
    kernel: Pair,
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    counts: Counts | None,
) -> bool | None:
    """Whether the means count the whole window, or its part in the image; None has no compiled form."""
    if dilation != (1, 1):
        return None
    if counts is None:
        return True
    return False if counts == window_counts(x_shape, kernel, stride, padding) else None


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
