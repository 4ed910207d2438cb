"""Train a network by its settings, and keep the model and its history in a run directory.

A run directory holds ``config.json`` (every setting), ``model.neocog``, ``history.csv`` and ``history.json``,
``snapshots.neocog`` (all parameters at some epochs of training), ``log.txt``, and
``checkpoint.neocog``, from which the run can be resumed.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import platform
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TextIO

import numpy as np

import neocog
from neocog.atomic import atomic_write, remove_parts
from neocog.budgets import BudgetError, charging, check_budget
from neocog.data import Split
from neocog.data.sources import open_source, split_source
from neocog.kernels import use_kernels
from neocog.layers import Container, Layer, Sequential
from neocog.locking import lock
from neocog.model_file import ModelFileError, blaming
from neocog.models.by_name import build_network
from neocog.optimizers import SGD
from neocog.recipes import RECIPES
from neocog.representation import say
from neocog.serialization import check_values, import_layers, load, save
from neocog.settings import Settings, shown
from neocog.training import Callback, Checkpoint, CSVLog, Diagnose, History, Progress, Snapshots, fit
from neocog.training.checks import check_batch_sizes
from neocog.training.engine import leads, torch_engine

__all__ = [
    "RunDirectory",
    "RunResult",
    "draw_sample",
    "fit_as",
    "network_for",
    "numbered_path",
    "open_model",
    "resume",
    "train",
]

_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
"""The disk, a file or a user's share of the disk is full."""

# Training images that a report shows; drawn before anything else, as in the digits' protocol.
SAMPLE_SIZE = 36


def numbered_path(folder: str, source: str, suffix: str = "") -> Path:
    """Return a path that does not exist yet: ``FOLDER/SOURCE``, numbered from the second on."""
    kind, _, path = source.partition(":")
    name = Path(path).stem or kind
    found, number = Path(folder) / f"{name}{suffix}", 1
    while found.exists():
        number += 1
        found = Path(folder) / f"{name}-{number}{suffix}"
    return found


class RunDirectory:
    """Name the files of one run, and read and write them.

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
        self.snapshots = self.path / "snapshots.neocog"

    @classmethod
    def new(cls, path: str | Path | None, source: str) -> RunDirectory:
        """Make a new directory; default ``runs/SOURCE``, numbered from the second on.

        Raises
        ------
        FileExistsError
            If ``path`` already exists and holds anything but the log of a run that ended before it began.
        """
        path = numbered_path("runs", source) if path is None else Path(path)
        directory = cls(path)
        leftovers = {directory.log, *path.glob(".*.part")}
        if path.exists() and not (path.is_dir() and set(path.iterdir()) <= leftovers):
            raise FileExistsError(f"{path} already exists; name another directory, or resume it.")
        path.mkdir(parents=True, exist_ok=True)
        return directory

    @contextlib.contextmanager
    def open_log(self) -> Iterator[TextIO]:
        """Open the log for appending, and keep every other process from training in this directory.

        Raises
        ------
        FileExistsError
            If another process trains in it.
        """
        try:
            with open(self.log, "a", encoding="utf-8") as log:
                if not lock(log):
                    raise FileExistsError(
                        f"another process is training in {self.path}; name another directory."
                    )
                remove_parts(self.path)
                yield log
        except OSError as error:  # of the log, also when it is closed
            if error.filename is None and error.errno in _FULL:
                raise OSError(error.errno, error.strerror, str(self.log)) from error
            raise

    def settings(self) -> Settings:
        """Read the settings that the run was trained with.

        Raises
        ------
        FileNotFoundError, ValueError
            If this is no run directory.
        """
        with blaming(self.config, "run's configuration"):
            settings = Settings(**self._config()["settings"])
            split_source(settings.source)
            return settings

    def is_trained_on(self, source: str) -> bool:
        """Return whether a source is the run's own."""
        return split_source(source) == split_source(self.settings().source)

    def open_data(self) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
        """Open the run's training images and its held-out images, both with their labels.

        Raises
        ------
        ValueError
            If the data have changed since the run: images it trained on may be among the held-out ones.
        """
        settings = self.settings()
        data = open_source(settings.source, size=settings.size)
        with blaming(self.config, "run's configuration"):
            fingerprint = self._config()["data"]
        if not data.has_fingerprint(str(fingerprint)):
            raise ValueError(
                f"{settings.source} has changed since the run {self.path}, so its held-out images are "
                "others; name a source to evaluate on."
            )
        if data.validation is None:
            raise ValueError(f"source {settings.source!r} holds no validation images.")
        return data.train, data.validation

    def _config(self) -> dict[str, Any]:
        if not self.config.exists():
            raise FileNotFoundError(f"{self.path} is not a run directory: there is no {self.config.name}.")
        config: dict[str, Any] = json.loads(self.config.read_text(encoding="utf-8"))
        return config

    def write_config(self, settings: Settings, data: Split, network: Container, sample: np.ndarray) -> None:
        """Write the settings, and a description of data, network and versions."""
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
class RunResult:
    """Hold a finished or interrupted run."""

    directory: RunDirectory
    network: Container
    history: History


def train(
    settings: Settings, out: str | Path | None = None, stream: TextIO | None = None
) -> RunResult | None:
    """Train a network by the settings, and write everything into a new run directory.

    Of several processes started by ``torchrun`` only the first writes; the others return None.

    Parameters
    ----------
    settings : Settings
    out : path, optional
        The directory; default ``runs/SOURCE``. It is made only after data and network have been checked.
    stream : text stream, optional
        Stream for progress; default standard output.

    Raises
    ------
    ValueError, OSError
        If the data or the directory cannot be used.
    NonFiniteLossError
        If the loss becomes NaN or infinite.
    """
    data = open_source(settings.source, size=settings.size)
    network = network_for(settings, data)
    check_batch_sizes(network, data.image_shape, len(data.train[1]), settings.batch_size)
    if settings.engine == "torch":  # raises ImportError, ValueError or TypeError before a directory is made
        torch_engine(network, RECIPES[settings.recipe].loss, SGD(settings.lr), settings.device)
    directory = RunDirectory.new(out, settings.source) if leads(settings.engine) else None
    return _train(settings, data, network, directory, stream, None)


def resume(path: str | Path, epochs: int | None = None, stream: TextIO | None = None) -> RunResult | None:
    """Continue an interrupted run, or train a finished one for more epochs.

    A run that was killed before its first checkpoint begins anew.

    Raises
    ------
    ValueError, OSError
        If ``path`` is no run directory, its checkpoint is damaged, or its recipe depends on the total number
        of epochs.
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
    try:
        network = network_for(settings, data)
        check_values(network, data.image_shape)
    except BudgetError as error:
        raise BudgetError(f"{directory.config}: {error}") from error
    checkpoint = directory.checkpoint if directory.checkpoint.exists() else None
    if checkpoint is None:
        out = sys.stdout if stream is None else stream
        say(out, "The run was ended before its first checkpoint: it begins anew.")
    return _train(settings, data, network, directory if leads(settings.engine) else None, stream, checkpoint)


def network_for(settings: Settings, data: Split) -> Sequential:
    """Build the network that the settings name, for the data's images and classes.

    Raises
    ------
    ValueError
        If it does not accept such images.
    BudgetError
        If it has more weights than the budget "weights", or more layers than the budget "layers".
    """
    classes, filters = len(data.class_names), settings.filters
    named = f"network {settings.network!r}"
    if filters:
        check_budget(
            "layers", 3 * len(filters), f"{named} of {len(filters)} filters"
        )  # each with ReLU and pooling
        named += f" of the filters {shown(filters[:8])}{'...' * (len(filters) > 8)}"
    with charging("weights", f"{named}, for images of shape {data.image_shape},"):
        return build_network(settings.network, classes, data.image_shape, settings.seed, filters)


def draw_sample(settings: Settings, images: int) -> tuple[np.ndarray, np.random.Generator]:
    """Draw the training images that a report shows; return them and the generator that draws the batches."""
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
    """Train a network in place by the settings.

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
) -> RunResult | None:
    snapshots = Snapshots()
    sample, rng = draw_sample(settings, len(data.train[1]))
    if directory is None:  # a process that follows another one
        fit_as(settings, data, network, rng, [snapshots], checkpoint)
        return None
    with directory.open_log() as log:
        if checkpoint is None:
            if directory.checkpoint.exists():  # another process has trained here in between
                raise FileExistsError(f"{directory.path} holds a run by now; name another directory.")
            directory.write_config(settings, data, network, sample)
        callbacks = [
            Progress(stream),
            Progress(log),
            Diagnose(stream, log),
            CSVLog(directory.history_csv),
            snapshots,
            Checkpoint(directory.checkpoint),
        ]
        try:
            history = fit_as(settings, data, network, rng, callbacks, checkpoint)
            directory.write_config(settings, data, network, sample)
            save(network, directory.model)
            history.to_json(directory.history_json)
            snapshots.save(directory.snapshots)
        except KeyboardInterrupt:  # a second Ctrl-C, or one while the files are written
            command = shlex.join(["neocog", "train", "--resume", str(directory.path)])
            raise KeyboardInterrupt(f"interrupted; continue with: {command}") from None
    return RunResult(directory, network, history)


def open_model(path: str | Path, layers: Iterable[str | type[Layer]] = ()) -> Container:
    """Load a model file, ``.onnx`` or neocog's own, or the model of a run directory.

    Parameters
    ----------
    path : path
    layers : iterable of Layer classes, or of their names as package.module:Class
        Your own layers that the file may name; see :func:`~neocog.serialization.load`. An ONNX file needs
        the module that registers them.

    Raises
    ------
    FileNotFoundError, ModelFileError
        If there is none.
    ImportError
        If it is an ONNX file and ONNX is not installed, or a layer's module cannot be imported.
    """
    path, layers = Path(path), import_layers(layers)
    if path.is_dir():
        directory = RunDirectory(path)
        if not directory.model.exists():
            raise FileNotFoundError(f"{path} holds no {directory.model.name}; has its training ended?")
        path = directory.model
    if path.suffix.lower() == ".onnx":
        from neocog.interop.onnx import OnnxImportError, from_onnx

        model = from_onnx(path)
        if model.input_shape is None:  # such as channels-last images, which nothing here loads
            with contextlib.suppress(OnnxImportError):
                return from_onnx(path, channels_first=True)
        return model
    network = load(path, layers)
    if not isinstance(network, Container):
        raise ModelFileError(f"{path} holds one layer, {network!r}; save Sequential(layer) to use it here.")
    return network
