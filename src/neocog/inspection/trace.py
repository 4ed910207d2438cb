"""Record a forward and a backward pass, layer by layer."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from neocog.deprecation import accepts_old_names
from neocog.layers import Container, Graph, Layer, Sequential
from neocog.layers.base import Array, Grads, as_dtype, check_network, random_generators
from neocog.layers.outputs import before_last, flat_shape, kind_of, probabilities_of
from neocog.layers.prediction import Predictor
from neocog.losses import Loss
from neocog.losses.base import kind_of_loss
from neocog.losses.outputs import check_logits, loss_of_kind
from neocog.validation import check_images, unmasked

# The number of layers that the repr of a trace shows at the beginning and at the end.
SHOWN_LAYERS = 6


class State:
    """The state of a layer that a pass may change: its buffers and random generators."""

    def __init__(self, layer: Layer) -> None:
        self._buffers = {name: buffer.copy() for name, buffer in layer.buffers.items()}
        self._generators = [rng.bit_generator.state for rng in random_generators(layer)]

    def restore(self, layer: Layer) -> None:
        """Restore this state in a layer of the same kind, in any dtype."""
        for name, buffer in self._buffers.items():
            layer.buffers[name][...] = buffer
        for rng, state in zip(random_generators(layer), self._generators, strict=True):
            rng.bit_generator.state = state


@dataclass(repr=False)
class LayerRecord:
    """The inputs, outputs and gradients of one layer in a pass.

    Attributes
    ----------
    name : str
        Dotted.
    layer : Layer
    x, y : array
        Input (a tuple of arrays for a layer of several) and output.
    cache : opaque
        Returned by forward for backward.
    training : bool
    state : State
        Of the layer before the pass, so that it can be repeated.
    dx, dy : array or None
        Gradients of the loss in x and y; None without labels.
    grads : dict of str to array
        Gradients of the layer's own parameters.
    """

    name: str
    layer: Layer
    x: Any
    y: Array
    cache: Any
    training: bool
    state: State
    dx: Any = None
    dy: Array | None = None
    grads: Grads = field(default_factory=dict)

    def __repr__(self) -> str:
        x = ", ".join(str(part.shape) for part in (self.x if self.layer.several_inputs else (self.x,)))
        gradients = "" if self.dy is None else ", with gradients"
        return f"LayerRecord({self.name}: {self.layer!r}, x {x}, y {self.y.shape}{gradients})"


@dataclass(repr=False)
class Trace:
    """The record of one pass through a network.

    Attributes
    ----------
    network : Layer
        A copy of the network as it was.
    x : array
    records : dict of str to LayerRecord
        By dotted name, in the order of computation.
    loss : float or None
    probabilities : array (N, classes) or None
        Of the classes, by softmax or sigmoid, where the output is (N, outputs) and no values; without the
        class weights of training, as ``predict_proba`` gives them.
    training : bool
    loss_function : Loss
    output_kind : str
        What the outputs are, by the loss that was passed or by the network: see
        :attr:`neocog.layers.Container.output_kind`.
    """

    network: Layer
    x: Any
    t: Any
    records: dict[str, LayerRecord]
    loss: float | None
    probabilities: Array | None
    dz: Array | None
    training: bool
    loss_function: Loss
    output_kind: str = "logits"

    def __repr__(self) -> str:
        loss = "" if self.loss is None else f", loss {self.loss:.6g}"
        mode = "training" if self.training else "inference"
        rows = [(record.name, repr(record.layer), str(record.y.shape)) for record in self]
        if len(rows) > 2 * SHOWN_LAYERS:
            between = ("...", f"{len(rows) - 2 * SHOWN_LAYERS} more layers", "")
            rows = [*rows[:SHOWN_LAYERS], between, *rows[-SHOWN_LAYERS:]]
        widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
        lines = [
            f"  {name:{widths[0]}}  {layer:{widths[1]}}  {shape}".rstrip() for name, layer, shape in rows
        ]
        return "\n".join([f"Trace(x {self.x.shape}, {mode}{loss})", *lines])

    def __getitem__(self, name: str) -> LayerRecord:
        if name not in self.records:
            raise KeyError(f"no layer {name!r}; the layers are {list(self.records)}.")
        return self.records[name]

    def __iter__(self) -> Iterator[LayerRecord]:
        return iter(self.records.values())

    @property
    def output(self) -> Array:
        """The output of the network; of one without layers, its input."""
        return list(self.records.values())[-1].y if self.records else self.x


@accepts_old_names
def trace(
    network: Layer, x: Any, y: Any = None, *, loss: Loss | None = None, training: bool = False
) -> Trace:
    """Record every activation of a forward pass and, with labels, every gradient of the backward pass.

    The network is not changed.

    Parameters
    ----------
    network : Layer
    x : floating point array (N, C, H, W)
    y : labels (N,), optional
        Without them there is no loss and no gradient. Of several labels an image (N, labels) of 0 and 1.
    loss : default SoftmaxCrossEntropy()
        BinaryCrossEntropy() for a network of independent outputs, MeanSquaredError() for one of values.
    training : bool
        Run the network in training mode: dropout drops, batch norm uses the statistics of the batch.

    Raises
    ------
    TypeError, ValueError
        If images or labels do not fit the network, or labels are passed and it ends in a Softmax or Sigmoid
        that the loss includes itself.

    Examples
    --------
    >>> from neocog.models import tiny_cnn
    >>> seen = trace(tiny_cnn(), np.zeros((1, 1, 8, 8)), np.array([0]))
    >>> [(record.name, record.y.shape) for record in seen][:2]
    [('conv1', (1, 3, 6, 6)), ('relu1', (1, 3, 6, 6))]
    >>> seen["conv1"].dy.shape
    (1, 3, 6, 6)
    """
    unmasked("y", y)
    x = as_dtype(check_images("x", x), check_network(network).dtype)
    if len(x) == 0:
        raise ValueError("x must not be empty.")
    network = copy.deepcopy(network.original)
    state = State(network)
    records: dict[str, LayerRecord] = {}
    watched = _watched(network, "", records)
    z, cache = watched.forward(x, training=training)
    rows = z.reshape(flat_shape(z.shape))
    outputs = rows.shape[1] if rows.ndim == 2 else None
    kind = kind_of(network, outputs)
    if loss is None:
        loss = loss_of_kind(kind)
    elif before_last(kind) == kind:
        kind = kind_of_loss(loss) or kind
    probabilities = None
    if outputs is not None and kind != "values":
        if isinstance(network, Predictor) and kind == kind_of(network, outputs):
            probabilities = network.probabilities(rows)
        else:
            probabilities = probabilities_of(kind, rows)
    value, dz = None, None
    if y is not None:
        check_logits(network, loss)
        value, dz = loss(z, np.asarray(y))
        watched.backward(dz, cache)
    state.restore(network)
    return Trace(network, x, y, records, value, probabilities, dz, training, loss, kind)


class _Watch(Layer):
    """A wrapper around a layer that records its inputs, outputs and gradients."""

    def __init__(self, name: str, layer: Layer, records: dict[str, LayerRecord]) -> None:
        super().__init__()
        self._params, self._buffers = layer.params, layer.buffers
        self.several_inputs = layer.several_inputs
        self.name, self.layer, self.records = name, layer, records

    def forward(self, x: Any, training: bool = False) -> tuple[Array, Any]:
        state = State(self.layer)
        y, cache = self.layer.forward(x, training)
        self.records[self.name] = LayerRecord(self.name, self.layer, x, y, cache, training, state)
        return y, cache

    def backward(self, dy: Array, cache: Any, input_grad: bool = True) -> tuple[Any, Grads]:
        record = self.records[self.name]
        record.dy = dy
        record.dx, record.grads = self.layer.backward(dy, cache, True)
        return record.dx, record.grads


def _marked(copy: Container, container: Container) -> Container:
    """Freeze in a copy what is frozen in a container, so that it runs as there in training."""
    copy._frozen = dict(container._frozen)
    return copy


def _watched(layer: Layer, name: str, records: dict[str, LayerRecord]) -> Layer:
    """Return the network with its layers wrapped to record; they share their arrays with the originals."""

    def inner(child: str) -> str:
        return f"{name}.{child}" if name else child

    if isinstance(layer, Graph):
        nodes = {
            child: (_watched(part, inner(child), records), *layer.sources[child])
            for child, part in layer.children.items()
        }
        return _marked(Graph(nodes, layer.inputs, layer.output), layer)
    if isinstance(layer, Sequential):
        parts = {child: _watched(part, inner(child), records) for child, part in layer.children.items()}
        return _marked(Sequential(**parts), layer)
    if isinstance(layer, Container):
        raise TypeError(
            f"a {type(layer).__name__} cannot be traced: only the layers of a Sequential or a Graph can be "
            "recorded. Derive it from one of these, or from Layer to have it recorded as a single layer."
        )
    return _Watch(name, layer, records)
