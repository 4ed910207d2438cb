"""Define the settings of a run: one table of values, defaults, checks, and their form on the command line.

Every field of :class:`Settings` is an option of ``neocog train``, with its help; those that a sweep may vary
are its axes.
"""

from __future__ import annotations

import dataclasses
import math
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from neocog.data.layout import pattern_finder
from neocog.data.preprocessing import FITS, Preprocessing
from neocog.data.sources import READING, SOURCES, source_forms, split_source
from neocog.kernels import BACKENDS
from neocog.losses import BinaryCrossEntropy, SoftmaxCrossEntropy
from neocog.models.by_name import NETWORKS, OF_FILTERS
from neocog.models.pretrained import ARCHITECTURES
from neocog.recipes import RECIPES
from neocog.training.by_name import (
    AUGMENTATIONS,
    OPTIMIZERS,
    PLANNED_SCHEDULES,
    SCHEDULES,
    make_augmentation,
    make_optimizer,
)
from neocog.training.engine import check_engine
from neocog.validation import flag, integer, number, one_of

__all__ = [
    "OF_BLOCKS",
    "OPTIONS",
    "Option",
    "Settings",
    "default_settings",
    "parse_filters",
    "settings_for",
    "shown",
    "train_command",
]

PRETRAINED = "pretrained"
"""What a run's network, and its normalization, are called that come with a pretrained model."""
OF_BLOCKS = "blocks"
"""What a run's network is called that was put together in the studio, and has no name to be built by."""
LOSSES = ("softmax", "bce")
CLASS_WEIGHTS = ("none", "balanced")
NORMALIZATIONS = ("none", "channels", PRETRAINED)
MEASURES = ("none", "loss", "accuracy")
"""By which measure of the validation images the best epoch is chosen."""
VALIDATION = 0.15
"""The part of the training images that chooses the epoch, where something needs it and none is named."""


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


def parse_rates(text: str | None) -> dict[str, float] | None:
    """Parse factors of the learning rate as the command line writes them.

    Raises
    ------
    ValueError
        If it is anything else.

    Examples
    --------
    >>> parse_rates("features=0.1,fc=2")
    {'features': 0.1, 'fc': 2.0}
    """
    if text is None:
        return None
    rates = {}
    for part in text.split(","):
        name, _, factor = part.partition("=")
        try:
            rates[name.strip()] = number("rates", float(factor), 0, math.inf, True, True)
        except ValueError:
            raise ValueError(
                f"rates must be names with factors above 0, as features=0.1, got {part!r}."
            ) from None
    return rates


@dataclass(frozen=True)
class Option:
    """How a setting is written on the command line.

    Attributes
    ----------
    name : str
    kind : type
        int, float or str: what the command line takes.
    help : str
    axis : bool
        Whether a sweep may vary it.
    parse : function
        Turns what was written, a text, into the setting's value.
    flag : str
    """

    name: str
    kind: type
    help: str
    axis: bool
    parse: Callable[[str], Any]
    flag: str

    def help_with_defaults(self) -> str:
        """Return the help, with the default of each recipe."""
        of_recipe = {}
        for name, recipe in RECIPES.items():
            value = shown(recipe.settings.get(self.name, _DEFAULTS[self.name]))
            of_recipe[name] = "as suits the images" if self.name in recipe.from_data else value
        values = set(of_recipe.values())
        if values == {"None"} or self.name == "recipe":
            return self.help
        if len(values) == 1:
            return f"{self.help} Default: {values.pop()}."
        listed = ", ".join(f"{name} {value}" for name, value in of_recipe.items() if value != "None")
        return f"{self.help} Default: {listed}."


def _option(
    default: Any,
    kind: type,
    text: str,
    axis: bool = True,
    parse: Callable[[str], Any] | None = None,
    flag: str = "",
) -> Any:
    """Return a field of the settings that is an option of the command line."""
    kept = {"kind": kind, "help": text, "axis": axis, "parse": parse or kind, "flag": flag}
    return field(default=default, metadata=kept)


def _yes_or_no(text: str) -> bool:
    return {"yes": True, "true": True, "no": False, "false": False}[text.lower()]


def _names(names: Sequence[str]) -> str:
    return f"One of {', '.join(names)}."


@dataclass(frozen=True)
class Settings:
    """Hold all settings of a run; raise ValueError or TypeError if a value is out of range.

    The defaults are those of the recipe "plain", but for optimizer, schedule, label smoothing and
    augmentation, which are the recipe's own; :func:`default_settings` applies all that a recipe says.
    ``from_data`` names the settings that are still to be chosen to suit the images, by
    :func:`neocog.resolution.resolve`; of a run it is empty.
    """

    source: str
    network: str = _option("digits-cnn", str, _names(NETWORKS))
    epochs: int = _option(10, int, "Epochs in all.")
    lr: float = _option(0.05, float, "Learning rate, the highest one of a schedule.")
    momentum: float = _option(0.9, float, "Momentum, 0 to below 1; the first beta of Adam's kind.")
    weight_decay: float = _option(1e-4, float, "Decay of the weights, not of biases.")
    batch_size: int = _option(64, int, "Images a step.")
    seed: int = _option(42, int, "Seed of the weights and of the batches.")
    kernels: str = _option("auto", str, f"Kernel backend: {', '.join(BACKENDS)}.")
    size: int | None = _option(
        None, int, "Height and width of pictures' images; default the median's, at most 64."
    )
    channels: int | None = _option(
        None, int, "1 (grey) or 3 (colour) of pictures; default 3 if any of them shows colour."
    )
    fit: str | None = _option(
        None, str, "How pictures of other proportions are fitted: stretch, crop or pad; default by them."
    )
    label_pattern: str | None = _option(
        None,
        str,
        "A regular expression whose group is the class, searched in the names of a folder's files; with a "
        "slash, in their paths below it.",
    )
    group_by: str | None = _option(
        None,
        str,
        "A regular expression whose group tells which pictures belong together, as patches of one photograph "
        "do; they are all held out or none.",
    )
    images: str | None = _option(
        None, str, "The folder that holds the files which a table names, where they lie elsewhere."
    )
    file_column: str | None = _option(
        None, str, "The column of a table that names the files, if its name is no usual one."
    )
    label_column: str | None = _option(
        None,
        str,
        "The column of a table that names the labels; or several columns of 0 and 1, one a label, commas "
        "between them.",
    )
    skip_bad: bool = _option(
        False, bool, "Leave out files that cannot be used, and list them.", parse=_yes_or_no
    )
    recipe: str = _option(
        "plain",
        str,
        "How to train: "
        + "; ".join(f"{name} ({recipe.help})" for name, recipe in RECIPES.items())
        + ". Default: standard for files and folders, plain for digits and lines.",
    )
    filters: tuple[int, ...] | None = _option(
        None,
        str,
        f"Channels of the convolutions of {' or '.join(OF_FILTERS)}, as 8-16; implies conv-net where the "
        "network has none to choose.",
        parse=parse_filters,
    )
    engine: str = _option(
        "neocog",
        str,
        "What computes: neocog, or torch; under torchrun its processes share the batches.",
    )
    device: str | None = _option(None, str, "Where the engine torch computes: cpu, cuda, cuda:1 ...")
    checkpoint_activations: bool = _option(
        False,
        bool,
        "Keep few values for the backward pass, and compute the others again: half the memory or less, up to "
        "a third more time, the same numbers.",
        axis=False,
        parse=_yes_or_no,
    )
    optimizer: str = _option("", str, _names(tuple(OPTIMIZERS)))
    loss: str = _option(
        "softmax",
        str,
        "softmax: an image is of one class; or bce, binary cross-entropy: it may have several labels, as a "
        "table names them (cat;dog), or the classes are two.",
    )
    schedule: str = _option("", str, f"How the learning rate changes: {_names(tuple(SCHEDULES))}")
    label_smoothing: float = _option(
        math.nan, float, "Part of each label spread evenly over the classes, 0 to below 1."
    )
    augment: str = _option(
        "",
        str,
        f"Random changes of the training images: {_names(tuple(AUGMENTATIONS))} "
        "Or several: flip-shift-colour.",
    )
    class_weight: str = _option(
        "none",
        str,
        "balanced: every class counts the same, however many images it has; of several labels, the images "
        "that have one as much as those that have not; or none.",
    )
    clip_norm: float = _option(0.0, float, "Largest norm of all gradients together; 0: no limit.")
    normalize: str = _option(
        "none",
        str,
        "channels: subtract each channel's mean, divide by its deviation; pretrained: as the weights of "
        "--from expect; or none.",
    )
    validation: float = _option(
        0.0,
        float,
        "Fraction of the training images that choose the epoch instead; 0: none, and the last epoch is kept.",
    )
    keep_best: str = _option(
        "none",
        str,
        "Keep the epoch of the best loss or accuracy on the validation images; or none: the last.",
    )
    early_stopping: int = _option(
        0, int, "Stop after so many epochs in which the validation images have not got better; 0: never."
    )
    held_out: float = _option(
        0.2,
        float,
        "Fraction of the images that are never trained on, only reported, where the source has no such part.",
    )
    minutes: float | None = _option(
        None,
        float,
        "About how long to train; it becomes a number of epochs before the first step, by an estimate that "
        "looks at no clock.",
    )
    pretrained: str | None = _option(
        None,
        str,
        "What to begin with instead of random weights: a model file or run directory, an ONNX file, a state "
        "dict of torchvision or timm (safetensors; --network says of which network) or hf:OWNER/NAME.",
        axis=False,
        flag="--from",
    )
    freeze: str | None = _option(
        None,
        str,
        "Layers that do not learn: names, beginnings of dotted names or patterns, with commas between; "
        "features: all before the head.",
        axis=False,
    )
    rates: str | None = _option(
        None,
        str,
        "Layers that learn at a part of the learning rate, as features=0.1,layer4=0.5.",
        axis=False,
        parse=str,
    )
    from_data: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.source, str):
            raise TypeError(f"source must be text, got {self.source!r}.")
        one_of("recipe", self.recipe, RECIPES)
        self._take_recipes_own()
        given = () if self.pretrained is None else (*ARCHITECTURES, PRETRAINED)
        one_of("network", self.network, (*NETWORKS, OF_BLOCKS, *given))
        one_of("kernels", self.kernels, BACKENDS)
        check_engine(self.engine, self.device, self.checkpoint_activations)
        integer("epochs", self.epochs, 0)
        integer("batch_size", self.batch_size)
        integer("seed", self.seed, 0)
        make_optimizer(self.optimizer, self.lr, self.momentum, self.weight_decay)
        one_of("schedule", self.schedule, SCHEDULES)
        one_of("loss", self.loss, LOSSES)
        self.make_loss()
        make_augmentation(self.augment, (1, 8, 8))
        one_of("class_weight", self.class_weight, CLASS_WEIGHTS)
        one_of("normalize", self.normalize, NORMALIZATIONS)
        self._check_transfer()
        number("clip_norm", self.clip_norm, 0, math.inf, False, True)
        number("held_out", self.held_out, 0, 1, True, True)
        if self.minutes is not None:
            number("minutes", self.minutes, 0, math.inf, True, True)
        self._check_validation()
        self._check_source()
        if self.filters is not None:
            object.__setattr__(self, "filters", _checked_filters(self.filters))
            if self.network not in OF_FILTERS:
                raise ValueError(
                    f"filters are only allowed for the networks {' and '.join(map(repr, OF_FILTERS))}, got "
                    f"{self.filters} for {self.network!r}."
                )
        object.__setattr__(self, "from_data", tuple(self.from_data))

    def _take_recipes_own(self) -> None:
        """Fill in what a recipe has always held itself, also for settings written down by older versions."""
        for name in ("optimizer", "schedule", "label_smoothing", "augment"):
            value = getattr(self, name)
            if value == "" or value != value:
                object.__setattr__(self, name, RECIPES[self.recipe].settings[name])

    def _check_validation(self) -> None:
        number("validation", self.validation, 0, 1, False, True)
        one_of("keep_best", self.keep_best, MEASURES)
        integer("early_stopping", self.early_stopping, 0)
        if self.validation or "validation" in self.from_data:
            return
        for name, none in (("early_stopping", 0), ("keep_best", "none")):
            if getattr(self, name) != none:
                raise ValueError(
                    f"{name} must be {none} without validation images, for those that are reported decide "
                    f"nothing, got {getattr(self, name)}; set validation, as {VALIDATION}."
                )

    def _check_transfer(self) -> None:
        for name in ("pretrained", "freeze"):
            if not isinstance(getattr(self, name), str | None):
                raise TypeError(f"{name} must be text, got {getattr(self, name)!r}.")
        if self.pretrained is None and self.normalize == PRETRAINED:
            raise ValueError("normalize must be none or channels without pretrained weights, got pretrained.")
        if self.pretrained is not None and (self.filters is not None or self.minutes is not None):
            given = "filters" if self.filters is not None else "minutes"
            raise ValueError(f"{given} must be left out where the network is a pretrained one.")
        parse_rates(self.rates)

    def _check_source(self) -> None:
        kind = self.source.partition(":")[0]
        options = SOURCES[kind].options if kind in SOURCES else ()
        self._check_reading()
        for option in READING:
            value = getattr(self, option)
            if option not in options and value is not None and value is not False:
                allowed = " and ".join(source_forms(option))
                raise ValueError(f"{option} is only allowed for {allowed}, got source {self.source!r}.")
        if self.held_out != _DEFAULTS["held_out"] and "validation_fraction" not in options:
            allowed = ", ".join(source_forms("validation_fraction"))
            raise ValueError(f"held_out is only allowed for {allowed}, got source {self.source!r}.")

    def _check_reading(self) -> None:
        for option in ("images", "file_column", "label_column"):
            if not isinstance(getattr(self, option), str | None):
                raise TypeError(f"{option} must be text, got {getattr(self, option)!r}.")
        if self.images is not None:  # so that the run finds them from anywhere
            object.__setattr__(self, "images", os.path.abspath(self.images))
        if self.size is not None:
            integer("size", self.size)
        if self.channels is not None:
            Preprocessing(self.channels, (1, 1))
        if self.fit is not None:
            one_of("fit", self.fit, FITS)
        for option in ("label_pattern", "group_by"):
            if getattr(self, option) is not None:
                pattern_finder(option, getattr(self, option), Path())
        flag("skip_bad", self.skip_bad)

    @property
    def reading(self) -> dict[str, Any]:
        """The options of :func:`~neocog.data.sources.open_source` that say how pictures are read."""
        return {option: getattr(self, option) for option in READING} | {"several_labels": self.loss == "bce"}

    def make_loss(
        self, pos_weight: Sequence[float] | None = None
    ) -> SoftmaxCrossEntropy | BinaryCrossEntropy:
        """Return the loss that is trained with; ``pos_weight`` is of independent labels."""
        if self.loss == "bce":
            return BinaryCrossEntropy(self.label_smoothing, pos_weight)
        return SoftmaxCrossEntropy(self.label_smoothing)

    @property
    def planned(self) -> bool:
        """Whether training depends on the number of epochs in all, so that it cannot be extended."""
        return self.schedule in PLANNED_SCHEDULES

    def to_dict(self) -> dict[str, Any]:
        """Return the settings of a run as plain data; what is left to be chosen is no setting of a run."""
        values = dataclasses.asdict(self)
        del values["from_data"]
        return values


_DEFAULTS: dict[str, Any] = {f.name: f.default for f in dataclasses.fields(Settings) if f.name != "source"}


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


OPTIONS: dict[str, Option] = {
    f.name: Option(**{**f.metadata, "name": f.name, "flag": f.metadata["flag"] or _flag(f.name)})
    for f in sorted(dataclasses.fields(Settings), key=lambda f: f.name != "recipe")
    if f.metadata
}
"""The options of the command line by the name of their setting; the recipe first, as others depend on it."""


def _checked_filters(filters: Any) -> tuple[int, ...]:
    if not isinstance(filters, Sequence) or isinstance(filters, str):
        raise TypeError(f"filters must be a sequence of integers, got {filters!r}.")
    if not filters:
        raise ValueError("filters must name the channels of at least one convolution, got none.")
    return tuple(integer("filters", channels) for channels in filters)


def default_settings(source: str, recipe: str | None = None) -> Settings:
    """Return the settings that suit a source and a recipe; where both name a setting, the recipe decides.

    The default recipe is the source's. What a recipe leaves to be chosen to suit the images is named by
    ``from_data``.
    """
    return settings_for(source, **({} if recipe is None else {"recipe": recipe}))


def settings_for(source: str, **chosen: Any) -> Settings:
    """Return the settings that suit a source, with the chosen ones.

    ``filters`` imply the network "conv-net" where the suited one has none to choose; early stopping and
    keeping the best epoch imply validation images.

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
    >>> settings_for("folder:photos").from_data
    ('filters', 'batch_size', 'epochs', 'class_weight', 'augment', 'validation')
    """
    kind, path = split_source(source)
    recipe = chosen.pop("recipe", None) or SOURCES[kind].recipe
    one_of("recipe", recipe, RECIPES)
    if chosen.get("minutes") is not None and chosen.get("epochs") is not None:
        raise ValueError(
            f"minutes become epochs: give one of them, got minutes={chosen['minutes']} and "
            f"epochs={chosen['epochs']}."
        )
    suited = {**SOURCES[kind].settings, **RECIPES[recipe].settings}
    given = chosen.get("pretrained") is not None
    if given:
        suited |= {"network": PRETRAINED, "normalize": PRETRAINED}
        if chosen.get("freeze") is None:  # what has been learned is to be changed slowly
            suited["lr"] = suited.get("lr", _DEFAULTS["lr"]) / 10
    if chosen.get("filters") is not None and suited.get("network") not in OF_FILTERS:
        chosen.setdefault("network", "conv-net")
    left = {name for name in RECIPES[recipe].from_data if name not in chosen}
    if given:
        left -= {"filters"}
    if chosen.get("freeze") is not None:  # so that what is frozen is computed once, not in each epoch
        left -= {"augment"}
    if chosen.get("network", suited.get("network")) != suited.get("network"):
        left -= {"filters"}
    if chosen.get("minutes") is not None:
        left |= {"epochs"}
    chooses = chosen.get("early_stopping") or chosen.get("keep_best", "none") != "none"
    if chooses and "validation" not in chosen:
        chosen["validation"] = VALIDATION
        left -= {"validation"}
    idle = chosen.get("keep_best") == "none" and not chooses
    if idle and "validation" in left and chosen.get("schedule", suited.get("schedule")) != "plateau":
        chosen["validation"] = 0.0  # there is nothing that they would choose
        left -= {"validation"}
    if chosen.get("loss") == "bce":  # rare labels must be allowed to be improbable
        suited |= {"label_smoothing": 0.0}
    if chosen.get("validation") == 0:
        suited |= {"keep_best": "none", "early_stopping": 0}
    order = (*RECIPES[recipe].from_data, "epochs")
    from_data = tuple(name for name in dict.fromkeys(order) if name in left)
    values = {**suited, **chosen, "recipe": recipe, "from_data": from_data}
    return Settings(f"{kind}:{path}" if path else kind, **values)


def train_command(source: str, options: Mapping[str, Any]) -> str:
    """Return the command that trains with these options; options that are None are left out.

    Examples
    --------
    >>> train_command("folder:my photos", {"lr": 0.1, "filters": (8, 16), "batch_size": 32, "size": None})
    "neocog train 'folder:my photos' --lr 0.1 --filters 8-16 --batch-size 32"
    """
    words = ["neocog", "train", source]
    for name, value in options.items():
        if value is not None and value is not False:
            words.append(OPTIONS[name].flag if name in OPTIONS else _flag(name))
            words += [] if value is True else [shown(value)]
    return shlex.join(words)


def shown(value: Any) -> str:
    """Write a setting as the command line reads it."""
    return "-".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
