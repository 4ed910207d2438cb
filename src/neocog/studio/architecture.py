"""Describe a network as plain data, from which the page in the browser computes it and explains it.

Containers are flattened: what is left are layers in the order of computation, each with the names of its
inputs. Settings are normalised, so that the page knows one way of stating each: pairs for both directions,
paddings as ((top, bottom), (left, right)), axes without the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from neocog.inspection.rules import formula_of
from neocog.kernels.geometry import Padding
from neocog.layers import (
    ELU,
    GELU,
    SELU,
    Abs,
    Add,
    AvgPool2D,
    BatchNorm1D,
    BatchNorm2D,
    Bias,
    ChannelShuffle,
    Clip,
    Concat,
    Container,
    Conv2D,
    ConvTranspose2D,
    Dense,
    Dropout,
    Exp,
    Flatten,
    GlobalAvgPool2D,
    GlobalMaxPool2D,
    Graph,
    GroupNorm,
    Hardsigmoid,
    Hardswish,
    InstanceNorm,
    Layer,
    LayerNorm,
    LeakyReLU,
    LocalResponseNorm,
    LogSoftmax,
    MatMul,
    Maximum,
    MaxPool2D,
    Mean,
    Minimum,
    Mish,
    Multiply,
    Normalize,
    Pad2D,
    PadChannels,
    Power,
    PReLU,
    RadialBasis,
    ReLU,
    Rescale,
    Reshape,
    Scale,
    ScaledTanh,
    Sequential,
    Sigmoid,
    SiLU,
    Slice,
    Softmax,
    Softplus,
    SparseConv2D,
    Sqrt,
    StochasticDepth,
    Sum,
    Tanh,
    Transpose,
    Upsample,
)
from neocog.layers.base import Field, Shape, check_network, computes_as
from neocog.layers.outputs import count_outputs, kind_of
from neocog.layers.padding import copied_from

__all__ = ["MULTIPLY_ADDS", "PAGE_FORMS", "describe", "has_page_form", "list_nodes", "page_modules"]

Settings = Callable[[Any, list[Shape]], dict[str, Any]]

VERSION = 1

MULTIPLY_ADDS = 40_000_000
"""What a page computes for one image in about a tenth of a second; pointing at a number computes nothing."""

ROLES = {"weight": "w", "bias": "b", "running_mean": "mean", "running_var": "var"}
"""What a layer's arrays are called in its formula, where that is not their name."""


class _NoPageForm(Exception):  # noqa: N818 - says what a layer is, and is always caught
    """Raised for a layer that mixes the images of a batch, which the page does not have."""


def _nothing(layer: Any, shapes: list[Shape]) -> dict[str, Any]:
    return {}


def _attributes(*names: str) -> Settings:
    return lambda layer, shapes: {name: getattr(layer, name) for name in names}


def _window(layer: Any, padding: Padding) -> dict[str, Any]:
    return {"kernel_size": layer.kernel_size, "stride": layer.stride, "padding": padding}


def _convolution(layer: Any, shapes: list[Shape]) -> dict[str, Any]:
    around = _window(layer, layer.window_sides(shapes[0]))
    return around | {"dilation": layer.dilation, "groups": layer.groups}


def _transposed_convolution(layer: Any, shapes: list[Shape]) -> dict[str, Any]:
    return _window(layer, layer.sides) | {"dilation": layer.dilation, "groups": layer.groups}


def _sparse_convolution(layer: Any, shapes: list[Shape]) -> dict[str, Any]:
    return _window(layer, layer.sides) | {"dilation": (1, 1), "connections": layer.connections}


def _pooling(layer: Any, shapes: list[Shape]) -> dict[str, Any]:
    """Return the window, its padding with what ``ceil_mode`` adds."""
    return _window(layer, layer.window_sides(shapes[0])) | {"dilation": layer.dilation}


def _average_pooling(layer: Any, shapes: list[Shape]) -> dict[str, Any]:
    """Return the window, and the divisors: ``rows[i] columns[j]`` for the window at (i, j)."""
    _, _, H, W = layer.output_shape(shapes[0])
    kH, kW = layer.kernel_size
    rows, columns = layer.counts(shapes[0]) or ((kH,) * H, (kW,) * W)
    return _pooling(layer, shapes) | {"rows": rows, "columns": columns}


def _padding(layer: Any, shapes: list[Shape]) -> dict[str, Any]:
    """Return the row and the column that each place is copied from, -1 for the constant."""
    sizes = shapes[0][2:]
    if layer.mode == "constant":
        places = [
            [i if 0 <= i < size else -1 for i in range(-before, size + after)]
            for size, (before, after) in zip(sizes, layer.padding, strict=True)
        ]
    else:
        places = [
            list(copied_from(size, padding, layer.mode))
            for size, padding in zip(sizes, layer.padding, strict=True)
        ]
    return {"padding": layer.padding, "value": layer.value, "rows": places[0], "columns": places[1]}


def _inner_axis(layer: Any, shapes: list[Shape]) -> dict[str, Any]:
    axis = layer.axis % len(shapes[0])
    if axis == 0:
        raise _NoPageForm
    return {"axis": axis - 1}


def _transposition(layer: Any, shapes: list[Shape]) -> dict[str, Any]:
    if layer.axes[0] != 0:
        raise _NoPageForm
    return {"axes": [axis - 1 for axis in layer.axes[1:]]}


def _sample_norm(layer: Any, shapes: list[Shape]) -> dict[str, Any]:
    """Return the axes before, of and after the numbers that share a mean and a variance, each as one."""
    return {"sets": layer.sets(shapes[0]), "eps": layer.eps}


def _slice(layer: Any, shapes: list[Shape]) -> dict[str, Any]:
    return {"axis": layer.axis - 1, "start": layer.places(shapes[0]).start, "step": layer.step}


def _rescale(layer: Any, shapes: list[Shape]) -> dict[str, Any]:
    """Return the fixed numbers; where they are arrays, the page has these."""
    terms = zip(("scale", "offset"), layer.terms(), strict=True)
    return {name: term for name, term in terms if isinstance(term, float)}


def _reduction(layer: Any, shapes: list[Shape]) -> dict[str, Any]:
    return {"axes": [axis - 1 for axis in layer.over(shapes[0])], "keepdims": layer.keepdims}


PAGE_FORMS: dict[type[Layer], Settings] = {
    Abs: _nothing,
    Add: _nothing,
    AvgPool2D: _average_pooling,
    BatchNorm1D: _attributes("eps"),
    BatchNorm2D: _attributes("eps"),
    Bias: _nothing,
    ChannelShuffle: _attributes("groups"),
    Clip: _attributes("low", "high"),
    Concat: _inner_axis,
    Conv2D: _convolution,
    ConvTranspose2D: _transposed_convolution,
    Dense: _nothing,
    Dropout: _nothing,
    ELU: _attributes("alpha"),
    Exp: _nothing,
    Flatten: _nothing,
    GELU: _attributes("approximate"),
    GlobalAvgPool2D: _nothing,
    GlobalMaxPool2D: _nothing,
    GroupNorm: _sample_norm,
    Hardsigmoid: _attributes("slope", "offset"),
    Hardswish: _nothing,
    InstanceNorm: _sample_norm,
    LayerNorm: _sample_norm,
    LeakyReLU: lambda layer, shapes: {"slope": layer.negative_slope},
    LocalResponseNorm: _attributes("size", "alpha", "beta", "k"),
    LogSoftmax: _inner_axis,
    MatMul: _nothing,
    Maximum: _nothing,
    MaxPool2D: _pooling,
    Mean: _reduction,
    Minimum: _nothing,
    Mish: _nothing,
    Multiply: _nothing,
    Normalize: _nothing,
    Pad2D: _padding,
    PadChannels: _nothing,
    Power: _attributes("exponent"),
    PReLU: _nothing,
    RadialBasis: _nothing,
    ReLU: _nothing,
    Rescale: _rescale,
    Reshape: _nothing,
    Scale: _nothing,
    ScaledTanh: _attributes("amplitude", "slope"),
    SELU: _nothing,
    Sigmoid: _nothing,
    SiLU: _nothing,
    Slice: _slice,
    Softmax: _inner_axis,
    Softplus: _attributes("beta"),
    SparseConv2D: _sparse_convolution,
    Sqrt: _nothing,
    StochasticDepth: _nothing,
    Sum: _reduction,
    Tanh: _nothing,
    Transpose: _transposition,
    Upsample: lambda layer, shapes: dict(zip(("rows", "columns"), layer.places(shapes[0]), strict=True)),
}
"""The layers that ``web/layers/`` computes, and their settings there: one image's, for input shapes."""


def _page_kind(layer_class: type[Layer]) -> type[Layer] | None:
    """Return the layer of :data:`PAGE_FORMS` that a class computes the same as; None if there is none."""
    for kind in layer_class.__mro__:
        if kind in PAGE_FORMS and computes_as(layer_class, kind, {"backward"}):
            return kind
    return None


def has_page_form(layer_class: type[Layer]) -> bool:
    """Tell whether a page in the browser computes a layer without Python.

    Examples
    --------
    >>> has_page_form(Conv2D)
    True
    """
    return _page_kind(layer_class) is not None


def page_modules(layer_classes: Iterable[type[Layer]]) -> set[str]:
    """Return the modules in ``web/layers/`` that compute layers in the page: each family has one.

    Examples
    --------
    >>> sorted(page_modules([Conv2D, MaxPool2D]))
    ['layers/convolution.js', 'layers/pooling.js']
    """
    kinds = filter(None, map(_page_kind, layer_classes))
    return {f"layers/{kind.__module__.split('.')[2]}.js" for kind in kinds}


def describe(network: Layer, input_shape: tuple[int, ...] | None = None) -> dict[str, Any]:
    """Describe a network as plain data, ready for JSON.

    Parameters
    ----------
    network : Layer
    input_shape : (C, H, W), default ``network.input_shape``

    Returns
    -------
    dict
        ``nodes``, one a layer in the order of computation: name, kind, inputs, shape of one image's output,
        settings, arrays by role, parameters, FLOPs, receptive field, formula, and whether the page computes
        it. ``page`` says whether it computes the whole, ``why_not`` in a sentence why it does not.

    Raises
    ------
    TypeError, ValueError
        If it is no network, its input shape is unknown or does not fit, it takes several inputs, or a layer
        is called "input".

    Examples
    --------
    >>> from neocog.models import tiny_cnn
    >>> described = describe(tiny_cnn(), (1, 8, 8))
    >>> [node["name"] for node in described["nodes"]][:3], described["page"]
    (['conv1', 'relu1', 'pool1'], True)
    """
    network = check_network(network).original
    if not isinstance(network, Container):
        network = Sequential(network)
    if network.several_inputs:
        raise ValueError("network must take one input to be shown in the page, got one of several inputs.")
    shape = network.input_shape if input_shape is None else tuple(input_shape)
    if shape is None:
        raise ValueError("input_shape is not known to this network: pass (C, H, W).")
    nodes, output = list_nodes(network, {"input": shape})
    why_not = _why_not(network, nodes)
    preprocessing = network.preprocessing
    return {
        "version": VERSION,
        "input": list(shape),
        "class_names": None if network.class_names is None else list(network.class_names),
        "class_weight": None if network.class_weight is None else list(network.class_weight),
        "output_kind": kind_of(network, count_outputs(network, shape)),
        "tone": "ink" if preprocessing is None else preprocessing.tone,
        "preprocessing": None if preprocessing is None else preprocessing.to_dict(),
        "output": output,
        "nodes": nodes,
        "page": not why_not,
        "why_not": why_not,
    }


def _why_not(network: Container, nodes: list[dict[str, Any]]) -> str:
    """Return why the page does not compute a network, in a sentence; "" if it does."""
    if unknown := [f"{node['name']} ({node['kind']})" for node in nodes if not node["page"]]:
        return f"Python computes the maps: the page has no form of {', '.join(unknown)}."
    for name, container in _containers("", network):
        if not any(computes_as(type(container), kind) for kind in _bases(container)):
            return f"Python computes the maps: {name or 'the network'} is a {type(container).__name__}."
    multiply_adds = sum(node["flops"] for node in nodes) // 2
    if multiply_adds > MULTIPLY_ADDS:
        return (
            f"Python computes the maps: an image takes {multiply_adds / 1e6:.1f} million multiply-adds, "
            f"and the page computes up to {MULTIPLY_ADDS / 1e6:.0f} million."
        )
    return ""


def _bases(container: Container) -> Iterator[type[Container]]:
    """Yield the bases of a container that only run their children."""
    yield from (kind for kind in (Sequential, Graph) if isinstance(container, kind))


def _containers(name: str, layer: Layer) -> Iterator[tuple[str, Container]]:
    if isinstance(layer, Container):
        yield name, layer
        for child, inner in layer.children.items():
            yield from _containers(f"{name}.{child}" if name else child, inner)


class _Value:
    """A value on its way through the network: its name, its shape with the batch, its receptive field."""

    def __init__(self, name: str, shape: Shape, field: Field) -> None:
        self.name, self.shape, self.field = name, shape, field


def list_nodes(network: Container, inputs: Mapping[str, tuple[int, ...]]) -> tuple[list[dict[str, Any]], str]:
    """Return the nodes of a network, and the name of its output.

    Parameters
    ----------
    network : Container
    inputs : mapping of str to shape
        Of one image, by the names that the inputs get.
    """
    starts = tuple(_Value(name, (1, *shape), Field()) for name, shape in inputs.items())
    network.output_shape(
        tuple(start.shape for start in starts) if network.several_inputs else starts[0].shape
    )
    arrays = {id(array): name for name, array in [*network.params.items(), *network.buffers.items()]}
    image = starts[0].shape[2:] if len(starts[0].shape) == 4 else None
    counted: set[int] = set()
    nodes: list[dict[str, Any]] = []

    def visit(name: str, layer: Layer, value: Any) -> _Value:
        if name in inputs:
            raise ValueError(
                f"a layer may not be called {name!r} in the page, which is the image: rename it."
            )
        given: list[_Value] = list(value) if isinstance(value, tuple) else [value]
        shapes, fields = [v.shape for v in given], [v.field for v in given]
        shape = tuple(layer.output_shape(_given(shapes, layer)))
        field = layer.receptive_field(_given(fields, layer))
        own = {ROLES.get(key, key): array for key, array in [*layer.params.items(), *layer.buffers.items()]}
        new = [array for array in layer.params.values() if id(array) not in counted]
        counted.update(map(id, new))
        kind, settings = _page_form(layer, shapes, shape)
        nodes.append(
            {
                "name": name,
                "kind": (kind or type(layer)).__name__,
                "inputs": [v.name for v in given],
                "shape": list(shape[1:]),
                "settings": settings,
                "arrays": {role: arrays[id(array)] for role, array in own.items()},
                "array_shapes": {role: list(array.shape) for role, array in own.items()},
                "parameters": sum(int(array.size) for array in new),
                "flops": layer.flops(_given(shapes, layer)),
                "receptive": list(field.within(image)) if image else None,
                "formula": formula_of(type(layer)),
                "page": kind is not None,
            }
        )
        return _Value(name, shape, field)

    end = network.walk(visit, _given(starts, network))
    return nodes, end.name


def _given(values: Sequence[Any], layer: Layer) -> Any:
    """Return what a layer is given: a tuple if it takes several inputs, else the one."""
    return tuple(values) if layer.several_inputs else values[0]


def _page_form(layer: Layer, shapes: list[Shape], shape: Shape) -> tuple[type[Layer] | None, dict[str, Any]]:
    """Return the kind of a layer in the page, and its settings; None if it has none for these shapes."""
    kind = _page_kind(type(layer))
    if kind is None or not shape or shape[0] != 1 or any(not given or given[0] != 1 for given in shapes):
        return None, {}
    try:
        return kind, PAGE_FORMS[kind](layer, shapes)
    except _NoPageForm:
        return None, {}
