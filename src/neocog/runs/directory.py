"""Read and write the files of a run, and load what they hold."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import platform
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import numpy as np

import neocog
from neocog.atomic import atomic_write, remove_parts
from neocog.data import Preprocessing, Split
from neocog.data.sources import split_source
from neocog.data.summary import DataSummary
from neocog.inspection.predictions import Confusion, LabelScores
from neocog.layers import Container, Layer
from neocog.layers.outputs import OUTPUT_KINDS
from neocog.locking import lock
from neocog.model_file import ModelFileError, blaming
from neocog.runs.images import open_images, training_split
from neocog.serialization import MODEL_NAME, import_layers, load
from neocog.settings import Settings
from neocog.training import History
from neocog.validation import image_shape, one_of

_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
"""The disk, a file or a user's share of the disk is full."""


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
        self.model = self.path / MODEL_NAME
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

    def results(self) -> dict[str, Any]:
        """Read what was chosen and measured; entries that the run does not have yet are missing."""
        names = ("chosen", "kept_epoch", "held_out", "baselines")
        return {name: value for name, value in self._config().items() if name in names}

    def studio(self) -> dict[str, Any]:
        """Read what the studio keeps of a session that trained this run; empty for any other run."""
        return dict(self._config().get("studio", {}))

    def result(self) -> RunResult:
        """Read a finished run."""
        network, history, found = open_model(self.path), History.from_json(self.history_json), self.results()
        with blaming(self.config, "run's configuration"):
            held_out = found.get("held_out")
            if held_out is not None:
                names = tuple(network.class_names or ())
                several = "confusion_matrices" in held_out
                held_out = (LabelScores if several else Confusion).from_dict(held_out, names)
            kept, compared = found.get("kept_epoch"), dict(found.get("baselines", {}))
            return RunResult(self, network, history, list(found.get("chosen", ())), held_out, kept, compared)

    def finished(self, settings: Settings) -> str:
        """Return why there is nothing left to train, and what to do instead; empty if there is something."""
        if not (self.model.exists() and self.history_json.exists() and self.checkpoint.exists()):
            return ""
        history = History.from_json(self.history_json)
        if history.stopped == "interrupted" or not len(history):
            return ""
        epochs = int(history.last["epoch"])
        if history.stopped:
            return (
                f"{self.path} is finished: it ended after epoch {epochs}, as {history.stopped}. Train anew."
            )
        if epochs != settings.epochs:
            return ""
        more = (
            "train anew, with more epochs, for its learning rates are spread over these"
            if settings.planned
            else f"for more, resume it with --epochs {2 * epochs}, for instance"
        )
        trained = "its one epoch is trained" if epochs == 1 else f"all {epochs} epochs are trained"
        return f"{self.path} is finished: {trained}; {more}."

    def is_trained_on(self, source: str) -> bool:
        """Return whether a source is the run's own."""
        (kind, path), (own_kind, own_path) = split_source(source), split_source(self.settings().source)
        if kind != own_kind or not path:
            return kind == own_kind
        with contextlib.suppress(OSError):  # also by another way to the same place
            return os.path.samefile(path, own_path)
        return os.path.realpath(path) == os.path.realpath(own_path)

    def open_split(self, settings: Settings | None = None) -> Split:
        """Open the run's images, read as they were when it began.

        Raises
        ------
        ValueError, OSError
            If the files are missing or malformed.
        """
        settings = settings or self.settings()
        how: dict[str, Any] = {}
        with blaming(self.config, "run's configuration"):
            config = self._config() if self.config.exists() else {}
            if values := config.get("preprocessing"):
                how["preprocessing"] = Preprocessing.from_dict(values)
            elif "preprocessing" not in config and "image_shape" in config:  # a run of neocog 0.1
                how["image_shape"] = image_shape(config["image_shape"])
        return open_images(settings, **how)

    def open_data(self) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
        """Open the run's training images and its held-out images, both with their labels.

        Raises
        ------
        ValueError
            If the data have changed since the run: images it trained on may be among the held-out ones.
        """
        settings = self.settings()
        data = self.open_split(settings)
        with blaming(self.config, "run's configuration"):
            fingerprint = self._config()["data"]
        if not data.has_fingerprint(str(fingerprint)):
            raise ValueError(
                f"{settings.source} has changed since the run {self.path}, so its held-out images are "
                "others; name a source to evaluate on."
            )
        if data.validation is None:
            raise ValueError(f"source {settings.source!r} holds no validation images.")
        return training_split(settings, data).train, data.validation

    def _config(self) -> dict[str, Any]:
        if not self.config.exists():
            raise FileNotFoundError(f"{self.path} is not a run directory: there is no {self.config.name}.")
        config: dict[str, Any] = json.loads(self.config.read_text(encoding="utf-8"))
        return config

    def write_config(
        self,
        settings: Settings,
        data: Split,
        network: Container,
        sample: np.ndarray,
        results: Mapping[str, Any],
    ) -> None:
        """Write the settings, a description of data, network and versions, and what was measured."""
        split = training_split(settings, data)
        held_out = len(data.validation[1]) if data.validation else 0
        validation = len(split.validation[1]) if settings.validation and split.validation else 0
        config = {
            "settings": settings.to_dict(),
            "class_names": data.class_names,
            "image_shape": data.image_shape,
            "preprocessing": None if data.preprocessing is None else data.preprocessing.to_dict(),
            "images": {"training": len(split.train[1]), "validation": validation, "held-out": held_out},
            "data": data.fingerprint(),
            "data_summary": DataSummary.of(data).lines(),
            "sample": sample.tolist(),
            "parameters": network.parameter_count,
            **results,
            "versions": {
                "neocog": neocog.__version__,
                "numpy": np.__version__,
                "python": platform.python_version(),
            },
        }
        atomic_write(self.config, json.dumps(config, indent=1) + "\n")


@dataclass(frozen=True)
class RunResult:
    """Hold a finished or interrupted run.

    Attributes
    ----------
    directory : RunDirectory
    network : Container
    history : History
    chosen : list of str
        What was chosen to suit the images, and why, a line each.
    held_out : Confusion, LabelScores or None
        The network's predictions for the held-out images, which decided nothing.
    kept_epoch : int or None
        The epoch whose weights the network has, where it was chosen by the validation images.
    baselines : dict of str to float
        Accuracies of other classifiers on the held-out images, on small sets.
    data : Split or None
        The images; None for a run that was read.
    """

    directory: RunDirectory
    network: Container
    history: History
    chosen: list[str] = field(default_factory=list)
    held_out: Confusion | LabelScores | None = None
    kept_epoch: int | None = None
    baselines: dict[str, float] = field(default_factory=dict)
    data: Split | None = field(default=None, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return what was chosen and measured as plain data, as the configuration keeps it."""
        found = self.held_out
        return {
            "chosen": list(self.chosen),
            "kept_epoch": self.kept_epoch,
            "held_out": None if found is None else found.to_dict(),
            "baselines": self.baselines,
        }


def open_model(
    path: str | Path, layers: Iterable[str | type[Layer]] = (), output: str | None = None
) -> Container:
    """Load a model file, ``.onnx`` or neocog's own, or the model of a run directory.

    Parameters
    ----------
    path : path
        A file or a folder; ``model.onnx:NAME`` for one of several outputs.
    layers : iterable of Layer classes, or of their names as package.module:Class
        Your own layers that the file may name; see :func:`~neocog.serialization.load`. An ONNX file needs
        the module that registers them.
    output : str, optional
        What its outputs are, see :attr:`neocog.layers.Container.output_kind`; default what the file says.

    Raises
    ------
    FileNotFoundError, ModelFileError
        If there is none.
    ValueError
        If there is no such kind of outputs.
    ImportError
        If it is an ONNX file and ONNX is not installed, or a layer's module cannot be imported.
    """
    if output:
        one_of("output", output, OUTPUT_KINDS)
        network = open_model(path, layers)
        network.output_kind = output
        return network
    path, layers = Path(path), import_layers(layers)
    if path.is_dir():
        directory = RunDirectory(path)
        if not directory.model.exists():
            raise FileNotFoundError(f"{path} holds no {directory.model.name}; has its training ended?")
        path = directory.model
    named = re.fullmatch(r"(.+\.onnx)(?::(.+))?", str(path), re.IGNORECASE | re.DOTALL)
    if named:
        from neocog.interop.onnx import OnnxImportError, from_onnx

        file, outputs = (path, None) if path.exists() else named.groups()
        with contextlib.suppress(OnnxImportError):
            model = from_onnx(file, outputs=outputs)
            if model.input_shape is not None:
                return model
        with contextlib.suppress(OnnxImportError):  # channels-last images, which nothing here loads
            return from_onnx(file, outputs=outputs, channels_first=True)
        return from_onnx(file, outputs=outputs)
    network = load(path, layers)
    if not isinstance(network, Container):
        raise ModelFileError(f"{path} holds one layer, {network!r}; save Sequential(layer) to use it here.")
    return network
