"""Say where the windows of a convolution lie in memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neocog.kernels.fused.program import Memory

__all__ = ["ConvolutionWindows"]


@dataclass(eq=False)
class ConvolutionWindows:
    """Places of an input's windows in memory: tap (0, 0, 0) of the first, and the distances of the others."""

    start: tuple[Memory, int]
    row: int  # elements from a row of windows to the next
    offsets: np.ndarray  # (C, kH, kW) elements
    plane: int  # elements from a channel to the next
