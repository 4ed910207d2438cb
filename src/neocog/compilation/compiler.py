"""Write a network's forward and backward pass as a program."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from neocog.compilation import lowerings  # noqa: F401 - which register themselves
from neocog.compilation.emitter import Emitter, Use
from neocog.compilation.layouts import choose_layouts
from neocog.compilation.lowerings.convolution import bound_winograd
from neocog.compilation.nodes import LayerNode, TensorNode, Uncompilable, features, wider
from neocog.compilation.offloading import Offload
from neocog.compilation.state import network_arrays
from neocog.compilation.tracing import list_nodes
from neocog.kernels.fused import lowering
from neocog.kernels.fused.program import NO_BORDER, Program, Slot
from neocog.kernels.fused.workers import run_program
from neocog.layers.base import Array, Layer
from neocog.layers.recomputation import Step, divide

CACHE = 1 << 24
"""Bytes of weights that stay in the cache that all cores share."""
IMAGE_WORK = 20_000
"""Vector operations of an image below which calls take longer than what they compute: some microseconds."""
WORK_OF_A_BYTE = 0.5
"""Vector operations for each byte of weights that make reading it once more cheap."""
DTYPES = (np.dtype(np.float32), np.dtype(np.float64))


class Compiler(Emitter):
    """Lowers one network for one batch size.

    Parameters
    ----------
    network : Layer
    input_shape : (N, C, H, W)
    training : bool
        Compile batch norm with the statistics of the batch, and dropout; :meth:`backward` may then follow.
    frozen : bool
        The weights will never change: batch norm is folded and the weights are packed once.
    precision : {"fast", "exact", "bfloat16"}
        ``"exact"``: take every sum as it is written. ``"bfloat16"``: round the factors of products.
    dtype : floating point type
        The dtype of a network without parameters.
    offload : Offload, optional
        Takes the weights that are packed, and not read again.
    constants : list of arrays, optional
        Packed weights of another program for the same shape and network.
    recompute : bool
        Keep few values for the backward pass, and compute the others again in it.

    Attributes
    ----------
    start, end : TensorNode
        Input and output.
    nodes : list of LayerNode
    cuts : list of LayerNode
        Nodes that run in Python.
    by_image : bool
        Whether the images are better computed one by one, side by side.
    twins : list of Compiler
        The same program with other memory, for other threads.

    Raises
    ------
    Uncompilable
        If no layer that computes has a compiled form, or for the network as a whole there is none.
    """

    def __init__(
        self,
        network: Layer,
        input_shape: tuple[int, ...],
        training: bool = False,
        frozen: bool = False,
        precision: str = "fast",
        dtype: Any = np.float32,
        offload: Offload | None = None,
        constants: list[np.ndarray] | None = None,
        recompute: bool = False,
    ) -> None:
        dtype = np.dtype(network.dtype or dtype)
        if dtype not in DTYPES or any(a.dtype != dtype for a in network.params.values()):
            raise Uncompilable("parameters that are not all float32 or all float64")
        arrays = [array for _, _, array in network_arrays(network)]
        if training and (
            len({id(a) for a in arrays}) < len(arrays) or not all(a.flags.writeable for a in arrays)
        ):
            raise Uncompilable("parameters that several layers share, or that are read-only")
        use = Use(input_shape[0], training, dtype)
        program = Program(dtype, frozen, exact=precision == "exact", bfloat=precision == "bfloat16")
        if constants is not None:
            program.constants = constants
        super().__init__(program, input_shape[0], training)
        self.offload = offload
        if offload is not None:
            program.forget = offload.forget
        self.start, self.nodes, self.end = list_nodes(network, input_shape, use)
        self.x = Slot()
        self.y: Slot | None = None
        self.cuts = [node for node in self.nodes if node.reason]
        if self.cuts and not any(node.lowering.computes for node in self.nodes):
            raise Uncompilable("; ".join(f"{node.name}: {node.reason}" for node in self.cuts))
        for node in self.nodes:
            if not node.reason and any(
                array.dtype != dtype or not array.flags.c_contiguous
                for array in (*node.layer.params.values(), *node.layer.buffers.values())
            ):
                raise Uncompilable("arrays that are not contiguous, or not of the network's type")
        self._passed = {self.start, self.end}.union(*((*node.inputs, node.output) for node in self.cuts))
        self._plan()
        self.recompute = recompute
        self.by_image = self._by_image()
        self.twins: list[Compiler] = []

    def _plan(self) -> None:
        """Set the layouts and borders of all values and of their gradients."""
        if self.program.frozen:
            bound_winograd(self, self.nodes)
            choose_layouts(self, self.nodes, self.end)
        for node in self.nodes:
            node.lowering.plan(self, node)
        self._align()
        for node in self.nodes:
            flat_inputs, flat_output = node.lowering.flat(node, self.training)
            for value in (*(node.inputs if flat_inputs else ()), *((node.output,) if flat_output else ())):
                value.border = value.gradient_border = NO_BORDER
                value.flat = True

    def _align(self) -> None:
        """Give narrow maps of one size one border, so that a convolution can take them as one long row."""
        sizes: dict[tuple[int, int], list[TensorNode]] = {}
        for node in self.nodes:
            for value in (*node.inputs, node.output):
                _, H, W = value.shape  # zeros for a value that is not laid out
                if H > 1 and W * self.N < lowering.NARROW and not value.channels_last:
                    sizes.setdefault((H, W), []).append(value)
        for values in sizes.values():
            widest = NO_BORDER
            for value in values:
                widest = wider(widest, wider(value.border, value.gradient_border))
            for value in values:
                value.border = value.gradient_border = widest

    def lay_out(self, value: TensorNode) -> None:
        """Mark a value as laid out in memory; raise Uncompilable if its shape does not allow it."""
        value.laid_out, value.shape = True, features(value.array_shape, self.N)

    def move_out(self, layer: Layer) -> None:
        if self.offload is not None:
            self.offload.move(layer.params, self.program.holds)

    def forward(self) -> None:
        """Add the forward pass to ``self.end``."""
        if self.start.laid_out:
            lowering.load(self.program, self.x, self.maps(self.start))
        for node in self.nodes:
            if not node.fused and not node.memo.get("folded"):
                wanted = node.lowering.reads(self, node, node.channels_last)
                for value in node.inputs if wanted is not None and not node.reason else ():
                    self.arrange(value, wanted)
                node.lowering.forward(self, node)
                if not node.reason:
                    self.move_out(node.layer)

    def backward(self, input_grad: bool = False, learned: Callable[[int], None] = lambda _: None) -> None:
        """Add the backward pass from the gradient of ``self.end``.

        ``learned`` is called after the operations of each node, when nothing will read its parameters in this
        step, with the number of its first one in ``self.gradients``.
        """
        self.start.wanted = input_grad
        for node in self.nodes:
            if not node.fused:
                learns = node.learns and bool(node.layer.params)
                node.output.wanted = learns or any(value.wanted for value in node.inputs)
                if not any(value.wanted for value in node.inputs):
                    node.lowering.without_input_gradient(self, node)
        for segment, again in reversed(self._segments()):
            wanted = [node for node in reversed(segment) if node.output.wanted]
            self.again = True
            for node in again if wanted else ():
                node.lowering.forward(self, node)
            self.again = False
            for node in wanted:
                first = len(self.gradients)
                dy: Any = node.output.gradient  # None where Python computes it
                if node.clip and not node.lowering.undoes_clip and not self.pooling_undoes_relu(node):
                    self.clip_backward(dy, node.output.place, node.bounds)
                node.lowering.backward(self, node, dy)
                learned(first)

    def _segments(self) -> list[tuple[list[LayerNode], list[LayerNode]]]:
        """Return the nodes in segments, and which of each to compute again before its backward pass.

        Of the last segment none, as all its values are still there; nor what runs in Python.
        """
        nodes = [node for node in self.nodes if not node.fused]
        if not self.recompute:
            return [(nodes, [])]
        steps = [Step(n.inputs, n.output, self.program.size * math.prod(n.output.array_shape)) for n in nodes]
        ranges, kept = divide(steps, self.end)
        segments = [[nodes[k] for k in each] for each in ranges]
        again = [[n for n in each if n.output not in kept and not n.reason] for each in segments[:-1]]
        return list(zip(segments, [*again, []], strict=True))

    def return_output(self) -> None:
        """Add the operations that make :meth:`run` return the output."""
        if self.cuts:
            self.hand_out(self.end)
        else:
            self.y = Slot()
            self.arrange(self.end, False)
            lowering.store(self.program, self.end.place, self.y)

    def shapes_hold(self) -> bool:
        """Return whether the layers in cuts still state the shapes that were planned.

        A setting may have changed.
        """
        return all(node.stated_shape() == node.output.array_shape for node in self.cuts)

    def _by_image(self) -> bool:
        """Return whether the images are better computed one by one, side by side.

        No vector has numbers of two of them if all channels lie innermost; and what one image needs stays in
        a thread's own cache, if the weights, which each image reads again, are few beside the work. A small
        network has all its images computed by each operation, whose call costs more than one of them.
        """
        decided = [node.channels_last for node in self.nodes if "conv" in node.memo]
        if not (self.program.frozen and self.N > 1 and decided and all(decided)) or self.cuts:
            return False
        weights = sum(array.nbytes for node in self.nodes for array in node.layer.params.values())
        work = sum(node.lowering.layout_costs(self, node)[1] for node in self.nodes if "conv" in node.memo)
        few_weights = weights < CACHE or weights * WORK_OF_A_BYTE < work / self.N
        return bool(few_weights and work / self.N > IMAGE_WORK)

    def run_alone(self, x: Array, y: Array) -> None:
        """Run the program, which calls no Python, in this thread; write the output into an array."""
        assert self.y is not None
        self.program.bind(self.x, x)
        self.program.bind(self.y, y)
        run_program(self.program.task, parallel=False)

    def run(self, x: Array) -> Array | None:
        """Run the program; return the output if :meth:`return_output` was called."""
        self.program.bind(self.x, x)
        if not self.program.calls_python:  # no Python in between: only the input and the output are bound
            y = None
            if self.y is not None:
                y = np.empty(self.end.array_shape, self.program.dtype)
                self.program.bind(self.y, y)
            self.program.run()
            return y
        self.parameter_gradients.clear()
        self.start.array = x
        try:
            self.program.run()
            return None if self.end.array is None else np.ascontiguousarray(self.end.array)
        finally:  # keep no array alive until the next run
            self.held.clear()
            for value in self._passed:
                value.array = value.gradient_array = None
            for node in self.cuts:
                node.memo.pop("cache", None)


def uncompiled(network: Layer, input_shape: tuple[int, ...], training: bool = False) -> list[tuple[str, str]]:
    """List the layers that run in Python between the stretches of a network's program, and why.

    Parameters
    ----------
    network : Layer
    input_shape : (N, C, H, W)
    training : bool

    Returns
    -------
    list of (name, reason)
        The name is "" where the network as a whole is not compiled.

    Examples
    --------
    >>> from neocog.layers import Conv2D, LogSoftmax, Sequential
    >>> network = Sequential(conv=Conv2D(1, 2, 3), norm=LogSoftmax())
    >>> uncompiled(network, (1, 1, 8, 8))
    [('norm', 'LogSoftmax has no compiled form')]
    """
    try:
        return [(node.name, node.reason) for node in Compiler(network, input_shape, training).cuts]
    except Uncompilable as error:
        return [("", str(error))]
