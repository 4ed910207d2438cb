"""Compile whole networks into programs: the training step, and inference.

The layers define what a network computes, and can be called one at a time. Here the same network is written
as one program for one batch size, with all memory allocated beforehand, so that a step costs one call. The
results are the same up to rounding; what changes are the network's own parameters.

A step written by hand, ``network.forward`` and ``network.backward`` under the ``fused`` kernels, runs the
same operations in two stretches of one program, which is the cache (:mod:`~neocog.compilation.passes`).

The life of a training step:

1. ``training.make_step`` makes a :class:`CompiledStep` if the ``fused`` kernels are in use. In each step
   :class:`~neocog.compilation.state.State` checks that layers, arrays and settings are still those
   that were compiled; if not, all programs are discarded.
2. For a batch of a new shape, :mod:`~neocog.compilation.tracing` follows the network and lists its layers in
   the order of computation (:mod:`~neocog.compilation.nodes`), each with the
   :class:`~neocog.compilation.emitter.Lowering` that :func:`lowering_of` finds for its class. A layer without
   one, or set as its lowering does not support, becomes a :class:`~neocog.compilation.cut.Cut`.
3. The :class:`~neocog.compilation.compiler.Compiler` plans: a ReLU is fused into the layer before it,
   and each value gets the border of zeros that the convolutions around it read.
4. It walks the layers forward, then backward; each lowering adds operations to the
   :class:`~neocog.kernels.fused.program.Program`. Between the two comes the loss. The parameters are
   updated at the end; those of a large network each right after its gradient, whose memory is then used
   again, unless clipping needs all gradients (``lowerings/losses.py``, ``lowerings/optimizers.py``).
5. ``Program.finish`` allocates each array in one block of memory, in which arrays that are not alive
   together may share, and writes the operations into a table of rows.
6. In each step the addresses of the batch and its labels, and the numbers that change, are written into the
   rows, and ``kernels/fused/machine.py`` runs them in order, each cut into units that the threads share.
7. At a cut the rows so far have stored what the layer reads to arrays; its own ``forward`` or ``backward`` is
   called, and the rows after it load what it returns. So k cuts make k + 1 stretches of one program. A loss
   without a compiled form is called at such a cut, too. The parameters of layers in cuts, or all of them if
   the optimizer has no compiled form, are updated by ``optimizer.step`` after the program has run.
"""

from neocog.compilation.inference import Inference
from neocog.kernels import missing_numba

if not missing_numba():
    from neocog.compilation.compiler import uncompiled
    from neocog.compilation.emitter import Emitter, Lowering, lowering_of, lowers
    from neocog.compilation.forward import Forward, compiled_forward
    from neocog.compilation.nodes import Uncompilable
    from neocog.compilation.passes import compiled_passes
    from neocog.compilation.step import CompiledStep

__all__ = [
    "CompiledStep",
    "Emitter",
    "Forward",
    "Inference",
    "Lowering",
    "Uncompilable",
    "compiled_forward",
    "compiled_passes",
    "lowering_of",
    "lowers",
    "uncompiled",
]
