"""Build a network from a list of blocks, as the page sends it, and say of each block what is wrong.

A block is plain data: ``{"kind": "Conv2D", "channels": 8, "kernel": 3}``; what is left out is the default.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from neocog import layers
from neocog.initializers import zeros
from neocog.layers import Container, Layer, Sequential
from neocog.layers.base import Field
from neocog.models.resnet import basic_block
from neocog.studio.protocol import LIMITS
from neocog.validation import integer, number, one_of, pair

__all__ = ["BLOCKS", "blocks_of", "build", "examine", "swapped"]

MOST_PARAMETERS = 4_000_000
MOST_FLOPS = 2_000_000_000
"""Of one image: what a studio can train while one looks."""


def _field(default: Any, least: float, most: float) -> dict[str, Any]:
    return {"default": default, "least": least, "most": most}


_WINDOW = {"kernel": _field(2, 1, 16), "stride": _field(None, 1, 16)}

BLOCKS: dict[str, dict[str, dict[str, Any]]] = {
    "Conv2D": {
        "channels": _field(8, 1, 512),
        "kernel": _field(3, 1, 15),
        "stride": _field(1, 1, 8),
        "padding": _field(1, 0, 8),
        "bias": _field(True, False, True),
    },
    "Residual": {"channels": _field(None, 1, 512), "stride": _field(1, 1, 8)},
    "ReLU": {},
    "LeakyReLU": {"slope": _field(0.01, 0.0, 1.0)},
    "Tanh": {},
    "Sigmoid": {},
    "GELU": {},
    "MaxPool2D": _WINDOW,
    "AvgPool2D": _WINDOW,
    "GlobalAvgPool2D": {},
    "BatchNorm": {},
    "GroupNorm": {"groups": _field(1, 1, 64)},
    "Dropout": {"rate": _field(0.25, 0.0, 0.95)},
    "Flatten": {},
    "Dense": {"features": _field(None, 1, 8192)},
}
"""The kinds of blocks, with the default and the range of each field.

A ``stride`` of null is the kernel's size; ``features`` of null are as many as there are classes, ``channels``
of null as many as come in. Residual is the block of ResNet-18, :func:`neocog.models.resnet.basic_block`.
"""

_STEMS = {
    "Conv2D": "conv",
    "Residual": "block",
    "ReLU": "relu",
    "LeakyReLU": "leaky",
    "MaxPool2D": "pool",
    "AvgPool2D": "pool",
    "GlobalAvgPool2D": "average",
    "BatchNorm": "norm",
    "GroupNorm": "norm",
}
ACTIVATIONS = ("ReLU", "LeakyReLU", "Tanh", "Sigmoid", "GELU")
POOLINGS = ("MaxPool2D", "AvgPool2D")
_UNNUMBERED = ("flatten", "dense", "average")


def _names(blocks: Sequence[Mapping[str, Any]]) -> list[str]:
    """Name the blocks as the ready-made networks name their layers: conv1, relu1, ... flatten, dense."""
    stems = [_STEMS.get(str(block.get("kind")), str(block.get("kind")).lower()) for block in blocks]
    whole, seen, names = Counter(stems), Counter[str](), []
    for stem in stems:
        seen[stem] += 1
        names.append(stem if stem in _UNNUMBERED and whole[stem] == 1 else f"{stem}{seen[stem]}")
    return names


def _values(block: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a block's fields, checked."""
    fields = BLOCKS[one_of("kind of block", block.get("kind"), BLOCKS)]
    values: dict[str, Any] = {}
    for name, field in fields.items():
        value = block.get(name, field["default"])
        if value is None and field["default"] is None:
            values[name] = None
        elif isinstance(field["default"], bool):
            if not isinstance(value, bool):
                raise TypeError(f"{name} must be True or False, got {value!r}.")
            values[name] = value
        elif isinstance(field["least"], float):
            values[name] = number(name, value, field["least"], field["most"])
        else:
            values[name] = integer(name, value, field["least"])
            if values[name] > field["most"]:
                raise ValueError(f"{name} must be at most {field['most']}, got {value}.")
    return values


def _layer(
    kind: str, v: Mapping[str, Any], shape: tuple[int, ...], classes: int, how: Mapping[str, Any]
) -> Layer:
    """Make the layer of a block for an input of a shape (C, H, W) or (K,)."""
    maps = len(shape) == 3
    if kind in ("Conv2D", "Residual", "MaxPool2D", "AvgPool2D", "GlobalAvgPool2D", "GroupNorm") and not maps:
        raise ValueError(f"{kind} needs maps, but what comes before it has flattened them into a row.")
    if kind == "Dense" and maps:
        raise ValueError("Dense needs a row of numbers: put Flatten or GlobalAvgPool2D before it.")
    if kind == "Conv2D":
        arguments = {**{name: v[name] for name in ("stride", "padding", "bias")}, **how}
        size = v["channels"] * shape[0] * v["kernel"] ** 2
        return _affordable(size, lambda: layers.Conv2D(shape[0], v["channels"], v["kernel"], **arguments))
    if kind == "Residual":
        channels = v["channels"] or shape[0]
        size = 9 * channels * (shape[0] + channels)
        return _affordable(size, lambda: basic_block(shape[0], channels, v["stride"], **how))
    if kind == "Dense":
        features = v["features"] or classes
        return _affordable(shape[0] * features, lambda: layers.Dense(shape[0], features, **how))
    if kind in ("MaxPool2D", "AvgPool2D"):
        pool: Layer = getattr(layers, kind)(v["kernel"], v["stride"] or v["kernel"])
        return pool
    if kind == "BatchNorm":
        return layers.BatchNorm2D(shape[0]) if maps else layers.BatchNorm1D(shape[0])
    if kind == "GroupNorm":
        return layers.GroupNorm(v["groups"], shape[0])
    if kind == "LeakyReLU":
        return layers.LeakyReLU(v["slope"])
    if kind == "Dropout":
        return layers.Dropout(v["rate"], rng=int(how["rng"].integers(2**31)) if "rng" in how else 0)
    plain: Layer = getattr(layers, kind)()
    return plain


def _affordable(weights: int, make: Callable[[], Layer]) -> Layer:
    if weights > MOST_PARAMETERS:
        raise ValueError(f"at most {MOST_PARAMETERS:,} weights can be trained here, got {weights:,}.")
    return make()


def examine(blocks: Any, classes: int, image_shape: tuple[int, int, int]) -> dict[str, Any]:
    """Return what each block makes of an image, and what is wrong with it.

    Parameters
    ----------
    blocks : list of dict
    classes : int
    image_shape : (C, H, W)

    Returns
    -------
    dict
        ``ok``, ``problem`` (the first, or that of the whole), ``parameters``, ``flops``, and ``blocks``: each
        with its ``name``, ``shape``, ``parameters``, ``receptive`` field and ``problem``. After a block that
        is wrong, nothing is known of those that follow.

    Examples
    --------
    >>> found = examine([{"kind": "Conv2D"}, {"kind": "Dense"}], 10, (1, 8, 8))
    >>> found["blocks"][0]["shape"], found["problem"]
    ([8, 8, 8], 'Dense needs a row of numbers: put Flatten or GlobalAvgPool2D before it.')
    """
    rows, whole = _examined(blocks, classes, image_shape, init=zeros)
    made = [layer for _, layer in whole if layer is not None]
    problem = next((row["problem"] for row in rows if row["problem"]), "")
    if not problem:
        problem = _whole_problem(rows, classes)
    parameters, flops = sum(row["parameters"] for row in rows), sum(row["flops"] for row in rows)
    if not problem and parameters > MOST_PARAMETERS:
        problem = f"at most {MOST_PARAMETERS:,} weights can be trained here, got {parameters:,}."
    if not problem and flops > MOST_FLOPS:
        problem = f"an image may cost at most {MOST_FLOPS:,} operations here, got {flops:,}."
    assert problem or len(made) == len(rows)
    return {"ok": not problem, "problem": problem, "blocks": rows, "parameters": parameters, "flops": flops}


def _whole_problem(rows: Sequence[Mapping[str, Any]], classes: int) -> str:
    if not any(row["parameters"] for row in rows):
        return "No block has weights, so there is nothing to learn: add a Dense block at the end."
    if rows[-1]["shape"] != [classes]:
        return (
            f"The last block must have one output for each of the {classes} classes, got shape "
            f"{tuple(rows[-1]['shape'])}: end with Flatten and Dense."
        )
    return ""


def _examined(
    blocks: Any, classes: int, image_shape: tuple[int, int, int], **how: Any
) -> tuple[list[dict[str, Any]], list[tuple[str, Layer | None]]]:
    if not isinstance(blocks, list) or not blocks or not all(isinstance(block, Mapping) for block in blocks):
        raise ValueError("blocks must be a list of at least one block.")
    if len(blocks) > LIMITS["blocks"]:
        raise ValueError(f"a network may have at most {LIMITS['blocks']} blocks, got {len(blocks)}.")
    rows: list[dict[str, Any]] = []
    made: list[tuple[str, Layer | None]] = []
    shape: tuple[int, ...] | None = tuple(image_shape)
    field = Field()
    for name, block in zip(_names(blocks), blocks, strict=True):
        row = {"kind": block.get("kind"), "name": name, "problem": "", "shape": None, "receptive": None}
        row |= {"parameters": 0, "flops": 0}
        layer = None
        try:
            values = _values(block)
            row |= values
            if shape is not None:
                layer = _layer(str(block["kind"]), values, shape, classes, how)
                after = layer.output_shape((1, *shape))
                row["flops"] = int(layer.flops((1, *shape)))
                shape, field = tuple(after[1:]), layer.receptive_field(field)
                row["shape"], row["parameters"] = list(shape), layer.parameter_count
                row["receptive"] = list(field.within(image_shape[1:]))
        except (ValueError, TypeError) as error:
            row["problem"], shape, layer = str(error), None, None
        rows.append(row)
        made.append((name, layer))
    return rows, made


def build(blocks: Any, classes: int, image_shape: tuple[int, int, int], seed: int) -> Sequential:
    """Build the network; its weights are drawn in turn from one ``default_rng(seed)``.

    Raises
    ------
    ValueError
        If something is wrong with a block, or with the whole.

    Examples
    --------
    >>> build([{"kind": "Flatten"}, {"kind": "Dense"}], 10, (1, 8, 8), seed=42).parameter_count
    650
    """
    found = examine(blocks, classes, image_shape)
    if not found["ok"]:
        wrong = next((row["name"] for row in found["blocks"] if row["problem"]), "")
        raise ValueError(f"block {wrong}: {found['problem']}" if wrong else found["problem"])
    _, made = _examined(blocks, classes, image_shape, rng=np.random.default_rng(integer("seed", seed, 0)))
    network = Sequential(**{name: layer for name, layer in made if layer is not None})
    network.input_shape = image_shape
    return network


def blocks_of(network: Container) -> list[dict[str, Any]] | None:
    """Return the blocks that build a network like this one; None if it has other layers.

    Examples
    --------
    >>> from neocog.models import digits_cnn
    >>> [block["kind"] for block in blocks_of(digits_cnn())][:3]
    ['Conv2D', 'ReLU', 'MaxPool2D']
    """
    if not isinstance(network, Sequential):
        return None
    blocks = [_block_of(layer) for layer in network]
    return None if any(block is None for block in blocks) else [block for block in blocks if block]


def _block_of(layer: Layer) -> dict[str, Any] | None:
    kind = type(layer).__name__
    if isinstance(layer, layers.Conv2D | layers.MaxPool2D | layers.AvgPool2D):
        config = layer.config()
        if isinstance(config.get("padding"), str):
            return None
        (kernel, width), pad = pair("kernel", config["kernel_size"]), np.ravel(config.get("padding", 0))
        stride, across = pair("stride", config["stride"] or kernel)
        dilated = np.any(np.ravel(config["dilation"]) != 1)
        if kernel != width or stride != across or dilated or len(set(pad.tolist())) != 1:
            return None
        block = {"kind": kind, "kernel": kernel, "stride": stride}
        if isinstance(layer, layers.Conv2D):
            block |= {"channels": config["out_channels"], "padding": int(pad[0]), "bias": config["bias"]}
            return block if config["groups"] == 1 else None
        return None if pad.any() or config["ceil_mode"] or config.get("divisor_override") else block
    if isinstance(layer, layers.Graph):
        first = layer.children.get("conv1")
        if not isinstance(first, layers.Conv2D):
            return None
        stride = pair("stride", first.stride)[0]
        like = basic_block(first.in_channels, first.out_channels, stride, init=zeros)
        found = {"kind": "Residual", "channels": first.out_channels, "stride": stride}
        return found if repr(layer) == repr(like) else None
    if isinstance(layer, layers.Dense):
        return {"kind": kind, "features": layer.config()["out_features"]}
    if isinstance(layer, layers.BatchNorm1D | layers.BatchNorm2D):
        return {"kind": "BatchNorm"}
    if isinstance(layer, layers.LeakyReLU):
        return {"kind": kind, "slope": layer.negative_slope}
    if isinstance(layer, layers.GroupNorm):
        return {"kind": kind, "groups": layer.config()["num_groups"]}
    if isinstance(layer, layers.Dropout):
        return {"kind": kind, "rate": layer.config()["p"]}
    if isinstance(layer, layers.GELU) and layer.approximate != "none":
        return None
    return {"kind": kind} if kind in BLOCKS else None


def swapped(network: Container, node: str, to: str) -> Layer:
    """Return the layer that takes another's place.

    Parameters
    ----------
    network : Container
    node : str
        The layer's dotted name.
    to : str
        The kind of the new one; "none" for a layer that lets all numbers pass.

    Raises
    ------
    ValueError
        If there is no such layer, or it is neither an activation nor a pooling.

    Examples
    --------
    >>> from neocog.models import tiny_cnn
    >>> swapped(tiny_cnn(), "relu1", "none")
    LeakyReLU(negative_slope=1.0)
    """
    leaves = dict(network.leaves())
    layer = leaves[one_of("node", node, leaves)]
    kind = type(layer).__name__
    if kind not in (*ACTIVATIONS, *POOLINGS):
        raise ValueError(f"only an activation or a pooling can be swapped, got {kind}.")
    allowed = (*ACTIVATIONS, "none") if kind in ACTIVATIONS else POOLINGS
    if to not in allowed:
        raise ValueError(f"in the place of {kind} there may be {', '.join(allowed)}, got {to}.")
    if to == "none":
        return layers.LeakyReLU(1.0)  # y = x
    names = ("kernel_size", "stride", "padding", "dilation", "ceil_mode") if kind in POOLINGS else ()
    config = layer.config()
    new: Layer = getattr(layers, to)(**{name: config[name] for name in names})
    return new
