"""Give arrays that have timm's names those of torchvision."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from neocog.layers import Container, Dense

__all__ = ["ARCHITECTURES", "EPS", "has_timms_names", "renamed"]

ARCHITECTURES = {
    "mobilenetv2_100": "mobilenet_v2",
    "mobilenetv3_small_100": "mobilenet_v3_small",
    "mobilenetv3_large_100": "mobilenet_v3_large",
    "regnety_004": "regnet_y_400mf",
    "regnety_008_tv": "regnet_y_800mf",
}
"""What timm calls networks that have another name in torchvision."""

EPS = 1e-5
"""Of timm's batch norms, of all these networks."""

_MARKS = re.compile(r"conv_stem\.|stem\.conv\.|stages\.0\.blocks\.|pre_logits\.")
_ORDER = (
    *(
        "features",
        "stem",
        "stages",
        "s",
        "b",
        "conv_stem",
        "conv",
        "bn",
        "conv_pw",
        "conv1",
        "bn1",
        "conv_dw",
    ),
    *("conv2", "bn2", "norm", "mlp", "gamma", "se", "conv_reduce", "conv_expand", "conv_pwl", "conv3"),
    *("downsample", "blocks", "conv_head", "bn3", "pre_logits", "classifier", "head", "fc1", "fc2", "fc"),
    *("weight", "bias", "running_mean", "running_var"),
)
"""The words of timm's names, in the order in which torchvision has what they name."""

_OTHER_NAMES = {"conv_pw": "conv_pwl", "bn1": "bn2", "bn2": "bn3"}
"""What the parts of a block that begins with its depthwise convolution are called in one that does not.

So is the batch norm of the head, which is after the blocks.
"""


def has_timms_names(arrays: Mapping[str, np.ndarray]) -> bool:
    """Return whether arrays have names that timm gives, and torchvision does not."""
    return any(map(_MARKS.match, arrays))


def renamed(network: Container, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return arrays of timm's with the names of torchvision's network: the k-th is the k-th there.

    They take the shapes that PyTorch has there if they hold as many numbers, as the convolutions of timm that
    are dense layers there. Where a name is unknown, or their number is another, nothing is renamed.
    """
    wanted: dict[str, tuple[int, ...]] = {}
    for prefix, layer in network.leaves():
        for key, array in (*layer.params.items(), *layer.buffers.items()):
            turned = isinstance(layer, Dense) and key == "weight"
            wanted[f"{prefix}.{key}"] = array.shape[::-1] if turned else array.shape
    blocks = {name.partition(".conv_dw.")[0] for name in arrays if ".conv_dw." in name}
    others = ("bn2.", *(f"{block}." for block in blocks if f"{block}.conv_pwl.weight" not in arrays))

    def place(name: str) -> list[int]:
        words = re.sub(r"\b([sb])(\d+)\b", r"\1.\2", name).split(".")
        if name.startswith(others):
            words = [_OTHER_NAMES.get(word, word) for word in words]
        return [int(word) if word.isdigit() else _ORDER.index(word) for word in words]

    try:
        pairs = [*zip(wanted.items(), sorted(arrays, key=place), strict=True)]
    except ValueError:  # another word, or another number of arrays
        return dict(arrays)
    return {
        name: arrays[own].reshape(shape) if arrays[own].size == np.prod(shape, dtype=int) else arrays[own]
        for (name, shape), own in pairs
    }
