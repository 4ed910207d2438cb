"""Whole networks as compiled programs: the training step, and inference.

The layers say what a network computes, one at a time, and can be called one at a time. Here the same
network is written out as one program for one batch size, with its memory laid out beforehand, so that a
step costs one call. What comes out is the same up to rounding; what moves are the network's own parameters.
"""

from neocog.compilation.inference import Forward, Inference, compiled_forward
from neocog.kernels import missing_numba

if not missing_numba():
    from neocog.compilation.step import CompiledStep
    from neocog.compilation.tracing import Uncompilable

__all__ = ["CompiledStep", "Forward", "Inference", "Uncompilable", "compiled_forward"]
