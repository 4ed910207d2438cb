"""Runs: from the name of a data source to a directory that holds a trained model and how it came about.

A run directory holds ``config.json`` (every setting), ``model.neocog``, ``history.csv`` and ``history.json``,
``snapshots.npz`` (the first convolution's kernels along the way), ``log.txt``, and ``checkpoint.neocog``,
from which the run can go on.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import platform
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TextIO

import numpy as np

import neocog
from neocog.atomic import atomic_write
from neocog.data import Split, digits, image_folder, line_patterns, load_idx, load_npz
from neocog.kernels import BACKENDS, use_kernels
from neocog.layers import Container, Conv2D, Sequential
from neocog.models.by_name import NETWORKS, build_network
from neocog.optimizers import SGD
from neocog.recipes import RECIPES
from neocog.serialization import ModelFileError, load, save
from neocog.training import Callback, Checkpoint, CSVLog, History, KernelSnapshots, Progress, fit
from neocog.training.engine import check_engine, leads, torch_engine
from neocog.validation import integer, one_of

FILE_SOURCES = ("folder", "npz", "idx")
NAMED_SOURCES: dict[str, Callable[[], Split]] = {
    "digits": digits,
    "lines": lambda: line_patterns("a"),
    "lines-b": lambda: line_patterns("b"),
}
# Training images that a run picks to be shown; drawn before anything else, as the digits' protocol has it.
SAMPLE_SIZE = 36

# Photos are made no larger than this unless the user says so: these networks are for small images.
LARGEST_IMAGE = 64


@dataclass(frozen=True)
class Settings:
    """All that decides a run; ValueError or TypeError if something is out of range.

    ``filters`` are the channels of the network "conv-net", one number a convolution.
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
            if not self.source.startswith("folder:"):
                raise ValueError(f"size must be left out, but for folder:PATH, got source {self.source!r}.")
        if self.filters is not None:
            object.__setattr__(self, "filters", _checked_filters(self.filters))
            if self.network != "conv-net":
                raise ValueError(
                    f"filters must be left out, but for the network 'conv-net', got {self.filters} for "
                    f"{self.network!r}."
                )


def _checked_filters(filters: Any) -> tuple[int, ...]:
    if not isinstance(filters, Sequence) or isinstance(filters, str):
        raise TypeError(f"filters must be a sequence of integers, got {filters!r}.")
    if not filters:
        raise ValueError("filters must name the channels of at least one convolution, got none.")
    return tuple(integer("filters", channels) for channels in filters)


def parse_filters(text: str) -> tuple[int, ...]:
    """Read the channels of some convolutions as the command line writes them.

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
    """Settings that suit a source, and before that a recipe.

    They are the textbook's for its line patterns, and the digits' for all images.
    """
    kind, path = split_source(source)
    one_of("recipe", recipe, RECIPES)
    suited: dict[str, Any] = {}
    if source in ("lines", "lines-b"):
        suited = {"network": "tiny-cnn", "epochs": 80, "lr": 0.12, "momentum": 0.0, "weight_decay": 0.0}
        suited |= {"batch_size": 18, "seed": 42 if source == "lines" else 3}
    suited |= RECIPES[recipe].settings
    return Settings(f"{kind}:{path}" if path else source, recipe=recipe, **suited)


def settings_for(source: str, **chosen: Any) -> Settings:
    """Settings that suit a source, but for what is chosen; ``filters`` alone choose the network "conv-net".

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
    if chosen.get("filters") is not None:
        chosen.setdefault("network", "conv-net")
    return replace(default_settings(source, chosen.get("recipe", "plain")), **chosen)


def train_command(source: str, options: Mapping[str, Any]) -> str:
    """Return the command that trains so; what is None is left out.

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


def open_source(
    source: str,
    *,
    size: int | None = None,
    image_shape: tuple[int, int, int] | None = None,
    validation_fraction: float = 0.2,
) -> Split:
    """Load the data that a name stands for.

    Parameters
    ----------
    source : str
        "digits", "lines", "lines-b", "folder:PATH", "npz:PATH" or "idx:PATH".
    size : int, optional
        Height and width of a folder's images; default those of the first picture, at most 64 x 64.
    image_shape : (channels, height, width), optional
        Of a folder's images, as a trained network takes them.
    validation_fraction : float in [0, 1)
        The part that is held out of files that hold no such part of their own.

    Raises
    ------
    ValueError, OSError
        If there is no such source, or its files are not as they should be.
    """
    kind, path = split_source(source)
    if kind == "folder":
        split = image_folder(path, image_shape, validation_fraction, largest=size or LARGEST_IMAGE)
        if size is not None and split.image_shape[1:] != (size, size):
            split = image_folder(path, (split.image_shape[0], size, size), validation_fraction)
        return split
    if kind == "npz":
        return load_npz(path, validation_fraction)
    if kind == "idx":
        return load_idx(path, validation_fraction)
    return NAMED_SOURCES[source]()


def split_source(source: str) -> tuple[str, str]:
    """Return a source's kind and its path, absolute so that it is found from anywhere; "" if it has none.

    Raises
    ------
    ValueError
        If there is no such source.
    """
    kind, colon, path = source.partition(":")
    if colon and kind in FILE_SOURCES:
        if not path:
            raise ValueError(f"source must name a path, as in {kind}:PATH, got {source!r}.")
        return kind, os.path.abspath(path)
    one_of("source", source, [*NAMED_SOURCES, *(f"{kind}:PATH" for kind in FILE_SOURCES)])
    return source, ""


def numbered_path(folder: str, source: str, suffix: str = "") -> Path:
    """Return a path that is not there yet: ``FOLDER/SOURCE``, numbered from the second on."""
    kind, _, path = source.partition(":")
    name = Path(path).stem or kind
    found, number = Path(folder) / f"{name}{suffix}", 1
    while found.exists():
        number += 1
        found = Path(folder) / f"{name}-{number}{suffix}"
    return found


class RunDirectory:
    """The files of one run.

    Parameters
    ----------
    path : path
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.model = self.path / "model.neocog"
        self.checkpoint = self.path / "checkpoint.neocog"
        self.config = self.path / "config.json"
        self.history_csv = self.path / "history.csv"
        self.history_json = self.path / "history.json"
        self.log = self.path / "log.txt"
        self.snapshots = self.path / "snapshots.npz"

    @classmethod
    def new(cls, path: str | Path | None, source: str) -> RunDirectory:
        """Make a fresh directory; default ``runs/SOURCE``, numbered from the second on.

        Raises
        ------
        FileExistsError
            If ``path`` is already there and not empty.
        """
        path = numbered_path("runs", source) if path is None else Path(path)
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise FileExistsError(f"{path} is already there; name another directory, or resume it.")
        path.mkdir(parents=True, exist_ok=True)
        return cls(path)

    def settings(self) -> Settings:
        """Read what the run was made with.

        Raises
        ------
        FileNotFoundError, ValueError
            If this is no run directory.
        """
        try:
            return Settings(**self._config()["settings"])
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise ValueError(f"{self.config} is not a run's configuration: {error}.") from error

    def is_trained_on(self, source: str) -> bool:
        """Whether a source is the run's own."""
        return split_source(source) == split_source(self.settings().source)

    def held_out(self) -> tuple[Any, Any]:
        """Open the images that the run held out, with their labels.

        Raises
        ------
        ValueError
            If the data have changed since, so that images once trained on may be among them now.
        """
        settings = self.settings()
        data = open_source(settings.source, size=settings.size)
        if data.fingerprint() != self._config()["data"]:
            raise ValueError(
                f"{settings.source} has changed since the run, so its held-out images are others; name a "
                "source to measure on."
            )
        if data.validation is None:
            raise ValueError(f"source {settings.source!r} holds no validation images.")
        return data.validation

    def _config(self) -> dict[str, Any]:
        if not self.config.exists():
            raise FileNotFoundError(f"{self.path} is not a run directory: there is no {self.config.name}.")
        config: dict[str, Any] = json.loads(self.config.read_text(encoding="utf-8"))
        return config

    def write_config(self, settings: Settings, data: Split, network: Container, sample: np.ndarray) -> None:
        """Write the settings, with what is needed to understand the run years later."""
        config = {
            "settings": asdict(settings),
            "class_names": data.class_names,
            "image_shape": data.image_shape,
            "training_images": len(data.train[1]),
            "validation_images": len(data.validation[1]) if data.validation else 0,
            "data": data.fingerprint(),
            "sample": sample.tolist(),
            "parameters": network.parameter_count,
            "versions": {
                "neocog": neocog.__version__,
                "numpy": np.__version__,
                "python": platform.python_version(),
            },
        }
        atomic_write(self.config, json.dumps(config, indent=1) + "\n")


@dataclass(frozen=True)
class Result:
    """A finished or interrupted run."""

    directory: RunDirectory
    network: Container
    history: History


def train(settings: Settings, out: str | Path | None = None, stream: TextIO | None = None) -> Result | None:
    """Train as the settings say and leave everything in a new run directory.

    Of several processes started by ``torchrun``, the first one does; the others return None.

    Parameters
    ----------
    settings : Settings
    out : path, optional
        The directory; default ``runs/SOURCE``. It is made only when data and network are sound.
    stream : text stream, optional
        Where progress goes; default standard output.

    Raises
    ------
    ValueError, OSError
        If the data or the directory are not as they should be.
    NonFiniteLossError
        If the loss becomes NaN or infinite.
    """
    data = open_source(settings.source, size=settings.size)
    network = network_for(settings, data)
    if settings.engine == "torch":  # ImportError, ValueError or TypeError before there is a directory
        torch_engine(network, RECIPES[settings.recipe].loss, SGD(settings.lr), settings.device)
    directory = RunDirectory.new(out, settings.source) if leads(settings.engine) else None
    return _train(settings, data, network, directory, stream, None)


def resume(path: str | Path, epochs: int | None = None, stream: TextIO | None = None) -> Result | None:
    """Go on with an interrupted run, or give a finished one more epochs.

    Raises
    ------
    ValueError, OSError
        If ``path`` is no run directory, its checkpoint is not as it should be, or its recipe needs to know
        from the beginning how many epochs there will be.
    """
    directory = RunDirectory(path)
    settings = directory.settings()
    if epochs is not None and epochs != settings.epochs:
        if RECIPES[settings.recipe].needs_steps:
            raise ValueError(
                f"epochs must stay {settings.epochs}, over which the recipe {settings.recipe!r} spreads its "
                f"learning rates, got {epochs}; train anew instead."
            )
        settings = replace(settings, epochs=epochs)
    data = open_source(settings.source, size=settings.size)
    network = network_for(settings, data)
    checkpoint = directory.checkpoint
    return _train(settings, data, network, directory if leads(settings.engine) else None, stream, checkpoint)


def network_for(settings: Settings, data: Split) -> Sequential:
    """Make the network that the settings name, for the data's images and classes."""
    classes = len(data.class_names)
    return build_network(settings.network, classes, data.image_shape, settings.seed, settings.filters)


def draw_sample(settings: Settings, images: int) -> tuple[np.ndarray, np.random.Generator]:
    """Draw the training images that a run shows; return them and the generator that draws its batches."""
    rng = np.random.default_rng(settings.seed)
    return rng.choice(images, min(SAMPLE_SIZE, images), replace=False), rng


def fit_as(
    settings: Settings,
    data: Split,
    network: Sequential,
    rng: np.random.Generator,
    callbacks: Sequence[Callback] = (),
    checkpoint: Path | None = None,
) -> History:
    """Train a network in place as the settings say.

    Raises
    ------
    NonFiniteLossError
        If the loss becomes NaN or infinite.
    """
    recipe = RECIPES[settings.recipe]
    steps = settings.epochs * math.ceil(len(data.train[1]) / settings.batch_size)
    with use_kernels(settings.kernels):
        return fit(
            network,
            data,
            loss=recipe.loss,
            optimizer=recipe.optimizer(settings.lr, settings.momentum, settings.weight_decay, steps),
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            rng=rng,
            augment=recipe.augment,
            callbacks=callbacks,
            resume=checkpoint,
            engine=settings.engine,
            device=settings.device,
        )


def _train(
    settings: Settings,
    data: Split,
    network: Sequential,
    directory: RunDirectory | None,
    stream: TextIO | None,
    checkpoint: Path | None,
) -> Result | None:
    has_kernels = any(isinstance(layer, Conv2D) for _, layer in network.leaves())
    snapshots = KernelSnapshots()
    sample, rng = draw_sample(settings, len(data.train[1]))
    if directory is None:  # a process that follows another one
        fit_as(settings, data, network, rng, [snapshots] if has_kernels else [], checkpoint)
        return None
    with open(directory.log, "a", encoding="utf-8") as log:
        if checkpoint is None:
            directory.write_config(settings, data, network, sample)
        callbacks = [
            Progress(stream),
            Progress(log),
            CSVLog(directory.history_csv),
            *([snapshots] if has_kernels else []),
            Checkpoint(directory.checkpoint),
        ]
        history = fit_as(settings, data, network, rng, callbacks, checkpoint)
    directory.write_config(settings, data, network, sample)
    save(network, directory.model)
    history.to_json(directory.history_json)
    if has_kernels:
        content = io.BytesIO()
        arrays: dict[str, Any] = {str(epoch): kernels for epoch, kernels in snapshots.snapshots.items()}
        np.savez(content, **arrays)
        atomic_write(directory.snapshots, content.getvalue())
    return Result(directory, network, history)


def open_model(path: str | Path) -> Container:
    """Load a model file, ``.onnx`` or neocog's own, or the model of a run directory.

    Raises
    ------
    FileNotFoundError, ModelFileError
        If there is none.
    ImportError
        If it is an ONNX file and ONNX is not installed.
    """
    path = Path(path)
    if path.is_dir():
        directory = RunDirectory(path)
        if not directory.model.exists():
            raise FileNotFoundError(f"{path} holds no {directory.model.name}; has its training ended?")
        path = directory.model
    if path.suffix.lower() == ".onnx":
        from neocog.interop.onnx import OnnxImportError, from_onnx

        model = from_onnx(path)
        if model.input_shape is None:  # as of images with the channels last, which nothing here loads
            with contextlib.suppress(OnnxImportError):
                return from_onnx(path, channels_first=True)
        return model
    network = load(path)
    if not isinstance(network, Container):
        raise ModelFileError(
            f"{path} holds a layer alone, {network!r}; save Sequential(layer) to use it here."
        )
    return network
