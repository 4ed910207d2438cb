"""Whole networks as compiled programs: the training step, and inference.

The layers say what a network computes, one at a time, and can be called one at a time. Here the same
network is written out as one program for one batch size, with its memory laid out beforehand, so that a
step costs one call. What comes out is the same up to rounding; what moves are the network's own parameters.
"""

from neocog.compilation.compiler import uncompiled
from neocog.compilation.emitter import Lowering, lowering_of
from neocog.compilation.inference import Forward, Inference, compiled_forward
from neocog.compilation.nodes import Uncompilable
from neocog.compilation.step import CompiledStep

__all__ = [
    "CompiledStep",
    "Forward",
    "Inference",
    "Lowering",
    "Uncompilable",
    "compiled_forward",
    "lowering_of",
    "uncompiled",
]
