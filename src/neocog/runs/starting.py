"""Begin a run with a pretrained network instead of random weights."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from neocog.data import Preprocessing, Split
from neocog.data.sources import SOURCES
from neocog.layers import Container, Normalize
from neocog.layers.outputs import count_outputs
from neocog.model_file import is_own
from neocog.models.heads import head_of, with_new_head
from neocog.models.hub import is_hub
from neocog.models.pretrained import load_pretrained
from neocog.resolution import outputs_for
from neocog.runs.directory import open_model
from neocog.settings import PRETRAINED, Settings

__all__ = ["Start", "open_start"]


@dataclass(frozen=True)
class Start:
    """A pretrained network, before it has the classes of a run.

    Attributes
    ----------
    settings : Settings
        Of the run, with a repository's revision, and the network's size and channels where none are chosen.
    network : Container
    lines : list of str
        What was loaded, a line each.
    reading : dict
        Options by which the images are opened, to be as the network takes them.
    """

    settings: Settings
    network: Container
    lines: list[str]
    reading: dict[str, Any]

    def fitted_to(self, data: Split) -> tuple[Container, list[str]]:
        """Return the network for the classes of a split, and what was replaced.

        Raises
        ------
        ValueError
            If the network does not take such images, or its head cannot be replaced.
        """
        network, settings, classes = self.network, self.settings, outputs_for(self.settings, data)
        if network.class_names == data.class_names and count_outputs(network, data.image_shape) == classes:
            lines = ["the head is kept, as the classes are the same"]
        else:
            name, head = head_of(network)
            network = with_new_head(network, classes, settings.seed)
            lines = [f"head {name!r}: {head!r} replaced by a new {network[name]!r}"]
        try:
            network.output_shape((1, *data.image_shape))
        except ValueError as error:
            takes = "" if network.input_shape is None else f", which takes {_shape(network.input_shape)}"
            raise ValueError(
                f"images of {_shape(data.image_shape)} do not fit {settings.pretrained}{takes}: {error}"
            ) from None
        network.input_shape = (data.image_shape[0], data.image_shape[1], data.image_shape[2])
        return network, lines


def open_start(settings: Settings) -> Start:
    """Load the network that ``settings.pretrained`` names.

    Raises
    ------
    ValueError, OSError, ImportError
        If it cannot be loaded.
    """
    name = settings.pretrained
    assert name is not None
    path = Path(name)
    if not is_hub(name) and not path.exists():
        raise FileNotFoundError(
            f"there is no file or directory {name}; weights by name are as hf:timm/resnet18.a1_in1k."
        )
    file = path if path.is_file() else None
    is_model = path.is_dir() or path.suffix.lower() in (".neocog", ".onnx") or is_own(path)
    if is_hub(name) or not is_model:
        asked = None if settings.network == PRETRAINED else settings.network
        chosen = settings.size and (settings.channels or 3, settings.size, settings.size)
        found = load_pretrained(name, asked, chosen or None)
        network: Container = found.network
        settings = replace(settings, network=found.architecture, pretrained=found.name)
        lines = [f"weights of {found.name}{_digest(file)} in the network {found.architecture}"]
    else:
        network = open_model(path)
        network.freeze_only({})  # what is frozen, the settings say
        lines = [f"network and weights of {name}{_digest(file)}"]
        if settings.network != PRETRAINED:
            lines.append(f"a whole network, so that network {settings.network} is not needed, and not used")
        settings = replace(settings, network=PRETRAINED)
    settings, reading = _reading(settings, network)
    first = next((leaf for _, leaf in network.leaves()), None)
    if isinstance(first, Normalize) and settings.normalize == PRETRAINED:
        mean, std = (", ".join(map("{:g}".format, numbers)) for numbers in (first.mean, first.std))
        lines.append(f"normalised as these weights expect: mean {mean}; deviation {std}")
    if network.input_shape is not None:
        lines.append(f"images of {_shape(network.input_shape)}, as this network takes them")
    return Start(settings, network, lines, reading)


def _reading(settings: Settings, network: Container) -> tuple[Settings, dict[str, Any]]:
    """Return the settings, and the options, by which images are fitted to a network; what is chosen holds."""
    options = SOURCES[settings.source.partition(":")[0]].options
    chosen = (settings.size, settings.channels, settings.fit)
    if network.input_shape is None or "preprocessing" not in options:
        return settings, {}
    C, H, W = network.input_shape
    if network.preprocessing is not None and chosen == (None, None, None):
        return settings, {"preprocessing": network.preprocessing}
    if "size" not in options or C not in (1, 3):
        return settings, {}
    if H == W or settings.size is not None:
        return replace(settings, size=settings.size or H, channels=settings.channels or C), {}
    return settings, {"preprocessing": Preprocessing(C, (H, W), settings.fit or "stretch")}


def _digest(file: Path | None) -> str:
    """Say the beginning of a file's digest, by which the same file is known again."""
    if file is None:
        return ""
    with open(file, "rb") as opened:
        return f" (SHA-256 {hashlib.file_digest(opened, 'sha256').hexdigest()[:16]})"


def _shape(shape: Any) -> str:
    return " x ".join(map(str, shape))
