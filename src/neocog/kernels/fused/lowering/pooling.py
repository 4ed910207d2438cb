"""Lower pooling and its gradients."""

from __future__ import annotations

from typing import Any

from neocog.kernels.fused.operations.pooling import FEW_IMAGES, NO_WINNER
from neocog.kernels.fused.program import Maps, Program
from neocog.kernels.fused.simd import VECTOR_BYTES
from neocog.kernels.geometry import NO_PADDING, Counts, Padding, Pair, window_counts

__all__ = ["LARGEST_WINDOW", "counts_padding", "pool", "pool_back"]

LARGEST_WINDOW = NO_WINNER
"""Pixels of a window of max pooling, at most: the winner's tap is a byte, and one value of it means none."""

_NAMES = {"max": "max_pool", "avg": "average_pool"}


def counts_padding(
    x_shape: tuple[int, ...],
    kernel: Pair,
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    counts: Counts | None,
) -> bool | None:
    """Return whether means count whole windows (True) or their parts in the image (False), else None."""
    if dilation != (1, 1):
        return None
    if counts is None:
        return True
    return False if counts == window_counts(x_shape, kernel, stride, padding) else None


def _window_fields(maps: Maps, kernel: Pair, stride: Pair, padding: Padding) -> dict[str, Any]:
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
    }


def _halves(x: Maps, y: Maps, kernel: Pair, stride: Pair, padding: Padding) -> bool:
    """Return whether the windows are 2 x 2 pixels side by side, and leave none out."""
    whole = (x.H, x.W) == (2 * y.H, 2 * y.W)
    return kernel == stride == (2, 2) and padding == NO_PADDING and whole


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
    """Add the maximum or the mean of each window; ``index`` receives the winners' taps."""
    work = float(y.C * y.H * y.lanes * kernel[0] * kernel[1])
    sizes: dict[str, Any] = {"C": y.C, "rows": y.H, "lanes": y.lanes}
    if kind == "max" and x.N >= FEW_IMAGES and _halves(x, y, kernel, stride, padding):
        program.add("max_pool_2x2", y.C * y.H, work, x=x, y=y, index=index, N=x.N, **sizes)
        return
    own = {"index": index} if kind == "max" else {"counted": int(counted)}
    windows = _window_fields(x, kernel, stride, padding)
    name = _NAMES[kind] + ("_few" if kind == "max" and x.N < FEW_IMAGES else "")
    program.scratch = max(program.scratch, x.lanes * program.size)
    program.add(name, y.C * y.H, work, x=x, y=y, **sizes, **own, **windows)


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
    pooled: Maps | None = None,
) -> None:
    """Add the gradient of :func:`pool`: each dy to its window's winner, or in equal shares to all pixels.

    With ``pooled``, the outputs of max pooling: only where they are above 0.
    """
    work = float(dy.C * dy.H * dy.lanes * kernel[0] * kernel[1])
    maps: dict[str, Any] = {"dx": dx, "dy": dy, "C": dy.C, "rows": dy.H, "lanes": dy.lanes}
    own = {"index": index, "pooled": pooled} if kind == "max" else {"counted": int(counted)}
    vectors = dx.N % (VECTOR_BYTES // program.size) == 0
    if kind == "max" and vectors and _halves(dx, dy, kernel, stride, padding):
        program.add("max_pool_2x2_back", dx.C, work, N=dx.N, **maps, **own)
        return
    windows = _window_fields(dx, kernel, stride, padding)
    program.add(f"{_NAMES[kind]}_back", dx.C, work, **maps, **own, **windows)
