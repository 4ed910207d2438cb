"""Define the settings of a run, their defaults for a source, and their form on the command line."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from neocog.data.sources import SOURCES, source_forms, split_source
from neocog.kernels import BACKENDS
from neocog.models.by_name import NETWORKS, OF_FILTERS
from neocog.optimizers import SGD
from neocog.recipes import RECIPES
from neocog.training.engine import check_engine
from neocog.validation import integer, one_of

__all__ = ["Settings", "default_settings", "parse_filters", "settings_for", "shown", "train_command"]


@dataclass(frozen=True)
class Settings:
    """Hold all settings of a run; raise ValueError or TypeError if a value is out of range.

    ``filters`` are the channels of the network "conv-net" or "image-cnn", one number a convolution.
    """

    source: str
    network: str = "digits-cnn"
    epochs: int = 10
    lr: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 1e-4
    batch_size: int = 64
    seed: int = 42
    kernels: str = "auto"
    size: int | None = None
    recipe: str = "plain"
    filters: tuple[int, ...] | None = None
    engine: str = "neocog"
    device: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.source, str):
            raise TypeError(f"source must be text, got {self.source!r}.")
        one_of("recipe", self.recipe, RECIPES)
        one_of("network", self.network, NETWORKS)
        one_of("kernels", self.kernels, BACKENDS)
        check_engine(self.engine, self.device)
        integer("epochs", self.epochs, 0)
        integer("batch_size", self.batch_size)
        integer("seed", self.seed, 0)
        SGD(self.lr, self.momentum, weight_decay=self.weight_decay)
        if self.size is not None:
            integer("size", self.size)
            kind = self.source.partition(":")[0]
            if kind not in SOURCES or "size" not in SOURCES[kind].options:
                allowed = " and ".join(source_forms("size"))
                raise ValueError(f"size is only allowed for {allowed}, got source {self.source!r}.")
        if self.filters is not None:
            object.__setattr__(self, "filters", _checked_filters(self.filters))
            if self.network not in OF_FILTERS:
                raise ValueError(
                    f"filters are only allowed for the networks {' and '.join(map(repr, OF_FILTERS))}, got "
                    f"{self.filters} for {self.network!r}."
                )


def _checked_filters(filters: Any) -> tuple[int, ...]:
    if not isinstance(filters, Sequence) or isinstance(filters, str):
        raise TypeError(f"filters must be a sequence of integers, got {filters!r}.")
    if not filters:
        raise ValueError("filters must name the channels of at least one convolution, got none.")
    return tuple(integer("filters", channels) for channels in filters)


def parse_filters(text: str) -> tuple[int, ...]:
    """Parse the channels of convolutions as the command line writes them.

    Raises
    ------
    ValueError
        If it is anything else.

    Examples
    --------
    >>> parse_filters("8-16")
    (8, 16)
    """
    parts = text.split("-")
    if not all(part.isascii() and part.isdecimal() for part in parts):
        raise ValueError(f"filters must be channels such as 8 or 8-16, got {text!r}.")
    return _checked_filters([int(part) for part in parts])


def default_settings(source: str, recipe: str = "plain") -> Settings:
    """Return the settings that suit a source and a recipe; where both name a setting, the recipe decides."""
    kind, path = split_source(source)
    one_of("recipe", recipe, RECIPES)
    suited = {**SOURCES[kind].settings, **RECIPES[recipe].settings}
    return Settings(f"{kind}:{path}" if path else kind, recipe=recipe, **suited)


def settings_for(source: str, **chosen: Any) -> Settings:
    """Return the settings that suit a source, with the chosen ones.

    ``filters`` imply the network "conv-net" where the suited one has none to choose.

    Raises
    ------
    ValueError, TypeError
        If something is out of range.

    Examples
    --------
    >>> settings_for("lines", lr=0.5).epochs
    80
    >>> settings_for("digits", filters=(8, 16)).network
    'conv-net'
    """
    suited = default_settings(source, chosen.get("recipe", "plain"))
    if chosen.get("filters") is not None and suited.network not in OF_FILTERS:
        chosen.setdefault("network", "conv-net")
    return replace(suited, **chosen)


def train_command(source: str, options: Mapping[str, Any]) -> str:
    """Return the command that trains with these options; options that are None are left out.

    Examples
    --------
    >>> train_command("folder:my photos", {"lr": 0.1, "filters": (8, 16), "batch_size": 32, "size": None})
    "neocog train 'folder:my photos' --lr 0.1 --filters 8-16 --batch-size 32"
    """
    words = ["neocog", "train", source]
    for name, value in options.items():
        if value is not None:
            words += [f"--{name.replace('_', '-')}", shown(value)]
    return shlex.join(words)


def shown(value: Any) -> str:
    """Write a setting as the command line reads it."""
    return "-".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
