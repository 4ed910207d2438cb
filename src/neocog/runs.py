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
import os
import platform
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TextIO

import numpy as np

import neocog
from neocog.atomic import atomic_write, remove_parts
from neocog.baselines import baselines
from neocog.budgets import BudgetError, charging, check_budget
from neocog.data import Preprocessing, Split, stratified_split
from neocog.data.duplicates import note_of_duplicates
from neocog.data.folder import check_pictures
from neocog.data.sources import open_source, split_source
from neocog.data.split import TooFewImagesError
from neocog.data.summary import DataSummary
from neocog.inspection.predictions import Confusion, confusion
from neocog.kernels import use_kernels
from neocog.layers import Container, Layer, Sequential
from neocog.layers.normalization import normalize_for
from neocog.locking import lock
from neocog.losses import SoftmaxCrossEntropy
from neocog.model_file import ModelFileError, blaming
from neocog.models.by_name import build_network
from neocog.optimizers import Optimizer
from neocog.representation import printable, say
from neocog.resolution import resolve
from neocog.serialization import check_values, import_layers, load, save
from neocog.settings import Settings, shown
from neocog.training import (
    Callback,
    Checkpoint,
    CSVLog,
    Diagnose,
    EarlyStopping,
    History,
    KeepBest,
    Progress,
    Snapshots,
    fit,
)
from neocog.training.by_name import make_augmentation, make_optimizer, make_schedule, plateau
from neocog.training.checks import check_batch_sizes
from neocog.training.engine import leads, torch_engine
from neocog.validation import image_shape

__all__ = [
    "RunDirectory",
    "RunResult",
    "choosing_callbacks",
    "draw_sample",
    "fit_as",
    "network_for",
    "numbered_path",
    "open_images",
    "open_model",
    "outcome",
    "resume",
    "train",
    "training_split",
]

_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
"""The disk, a file or a user's share of the disk is full."""

# Training images that a report shows; drawn before anything else, as in the digits' protocol.
SAMPLE_SIZE = 36
# Training images whose channels are averaged: reading more pictures would not change the first three digits.
NORMALIZED_IMAGES = 2000


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

    def results(self) -> dict[str, Any]:
        """Read what was chosen and measured; entries that the run does not have yet are missing."""
        names = ("chosen", "kept_epoch", "held_out", "baselines")
        return {name: value for name, value in self._config().items() if name in names}

    def result(self) -> RunResult:
        """Read a finished run."""
        network, history, found = open_model(self.path), History.from_json(self.history_json), self.results()
        with blaming(self.config, "run's configuration"):
            held_out = found.get("held_out")
            if held_out is not None:
                matrix = np.array(held_out["confusion_matrix"], int)
                held_out = Confusion(matrix, tuple(network.class_names or ()))
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
        return f"{self.path} is finished: all {epochs} epochs are trained; {more}."

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
        """Write the settings, a description of data, network and versions, and what was measured.

        "validation_images" is the number of held-out images, which are reported; "tuning_images" is that of
        those that choose the epoch.
        """
        split = training_split(settings, data)
        held_out = len(data.validation[1]) if data.validation else 0
        tuning = len(split.validation[1]) if settings.validation and split.validation else 0
        config = {
            "settings": settings.to_dict(),
            "class_names": data.class_names,
            "image_shape": data.image_shape,
            "preprocessing": None if data.preprocessing is None else data.preprocessing.to_dict(),
            "training_images": len(split.train[1]),
            "tuning_images": tuning,
            "validation_images": held_out,
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
    held_out : Confusion or None
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
    held_out: Confusion | None = None
    kept_epoch: int | None = None
    baselines: dict[str, float] = field(default_factory=dict)
    data: Split | None = field(default=None, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return what was chosen and measured as plain data, as the configuration keeps it."""
        found = self.held_out
        return {
            "chosen": list(self.chosen),
            "kept_epoch": self.kept_epoch,
            "held_out": None
            if found is None
            else {
                "images": int(found.matrix.sum()),
                "accuracy": found.accuracy,
                "accuracy_interval": found.accuracy_interval,
                "balanced_accuracy": found.balanced_accuracy,
                "balanced_accuracy_interval": found.balanced_accuracy_interval,
                "confusion_matrix": found.matrix.tolist(),
            },
            "baselines": self.baselines,
        }


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
    data = open_images(settings)
    check_pictures(data)
    data.notes += note_of_duplicates(data)
    settings, chosen = resolve(settings, data)
    split = training_split(settings, data)
    network = network_for(settings, split)
    check_batch_sizes(network, data.image_shape, len(split.train[1]), settings.batch_size)
    if settings.engine == "torch":  # raises ImportError, ValueError or TypeError before a directory is made
        loss = SoftmaxCrossEntropy(settings.label_smoothing)
        torch_engine(network, loss, _optimizer(settings, 1), settings.device)
    directory = RunDirectory.new(out, settings.source) if leads(settings.engine) else None
    return _train(settings, data, network, directory, stream, None, chosen)


def resume(path: str | Path, epochs: int | None = None, stream: TextIO | None = None) -> RunResult | None:
    """Continue an interrupted run, or train a finished one for more epochs.

    A run that was killed before its first checkpoint begins anew. One that is finished is left as it is, and
    that is said.

    Raises
    ------
    ValueError, OSError
        If ``path`` is no run directory, its checkpoint is damaged, or its schedule depends on the total
        number of epochs.
    """
    directory = RunDirectory(path)
    settings = directory.settings()
    if epochs is not None and epochs != settings.epochs:
        if settings.planned:
            raise ValueError(
                f"epochs must stay {settings.epochs}, over which the schedule {settings.schedule!r} spreads "
                f"its learning rates, got {epochs}; train anew instead."
            )
        settings = replace(settings, epochs=epochs)
    finished = directory.finished(settings)
    if finished:
        if leads(settings.engine):
            say(sys.stdout if stream is None else stream, finished)
            return directory.result()
        return None
    data = directory.open_split(settings)
    try:
        network = network_for(settings, training_split(settings, data))
        check_values(network, data.image_shape)
    except BudgetError as error:
        raise BudgetError(f"{directory.config}: {error}") from error
    checkpoint = directory.checkpoint if directory.checkpoint.exists() else None
    if checkpoint is None:
        out = sys.stdout if stream is None else stream
        say(out, "The run was ended before its first checkpoint: it begins anew.")
    return _train(settings, data, network, directory if leads(settings.engine) else None, stream, checkpoint)


def open_images(settings: Settings, **how: Any) -> Split:
    """Open the source of the settings: all its training images, and its held-out ones.

    Where a class has a single image, and none can be held out, none is, and the notes of the split say so.

    ``how`` are more options of :func:`~neocog.data.sources.open_source`.
    """
    options = settings.reading | how
    try:
        return open_source(settings.source, validation_fraction=settings.held_out, **options)
    except TooFewImagesError as problem:
        data = open_source(settings.source, validation_fraction=0, **options)
        data.notes = (*data.notes, f"no image is held out, so that no accuracy can be reported: {problem}")
        return data


def training_split(settings: Settings, data: Split) -> Split:
    """Return the images that are trained on, and those that are measured after each epoch.

    With ``settings.validation`` the latter are that fraction of the training images, drawn by the seed and
    stratified, or the data's own third part; they may choose the epoch. Without, they are the held-out
    images, which choose nothing.

    Raises
    ------
    ValueError
        If a class has too few images to be divided.
    """
    if not settings.validation:
        return Split(data.train, data.validation, data.class_names, preprocessing=data.preprocessing)
    if data.tuning is not None:
        return Split(data.train, data.tuning, data.class_names, preprocessing=data.preprocessing)
    parts = stratified_split(*data.train, settings.validation, settings.seed, data.class_names, data.groups)
    return Split(parts.train, parts.validation, data.class_names, preprocessing=data.preprocessing)


def network_for(settings: Settings, data: Split) -> Sequential:
    """Build the network that the settings name, for a :func:`training_split`.

    With ``settings.normalize`` a layer ``normalize`` leads it, whose numbers are those of the training
    images; of more than ``NORMALIZED_IMAGES`` those of so many, at equal distances.

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
        network = build_network(settings.network, classes, data.image_shape, settings.seed, filters)
    if settings.normalize == "channels":
        images, shape = data.train[0], network.input_shape
        some = images[np.linspace(0, len(images) - 1, min(len(images), NORMALIZED_IMAGES)).astype(int)]
        leading = normalize_for(np.asarray(some, network.dtype))
        network = Sequential(normalize=leading, **network.children)
        network.input_shape = shape
    network.class_weight = _class_weight(settings, data)
    return network


def _class_weight(settings: Settings, data: Split) -> tuple[float, ...] | None:
    """Return the weight of each class's images: ``N / (K n_k)``, so that all K classes count the same."""
    if settings.class_weight == "none":
        return None
    counts = np.bincount(data.train[1], minlength=len(data.class_names))
    weights = counts.sum() / (np.count_nonzero(counts) * np.maximum(counts, 1))
    return tuple(np.where(counts > 0, weights, 1.0).tolist())


def _optimizer(settings: Settings, steps: int) -> Optimizer:
    rate = make_schedule(settings.schedule, settings.lr, steps)
    clip_norm = settings.clip_norm or None
    return make_optimizer(settings.optimizer, rate, settings.momentum, settings.weight_decay, clip_norm)


def choosing_callbacks(settings: Settings) -> list[Callback]:
    """Return the callbacks that choose: the epoch, by the validation images, and lower learning rates."""
    callbacks: list[Callback] = []
    if settings.schedule == "plateau":
        callbacks.append(plateau("val_loss" if settings.validation else "train_loss"))
    keeps = settings.keep_best != "none"
    measure = f"val_{settings.keep_best if keeps else 'loss'}"
    if settings.early_stopping:
        callbacks.append(EarlyStopping(measure, settings.early_stopping, restore_best=keeps))
    elif keeps:
        callbacks.append(KeepBest(measure))
    return callbacks


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

    Parameters
    ----------
    settings : Settings
        With nothing left to be chosen.
    data : Split
        As :func:`training_split` returns it.
    network : Sequential
        As :func:`network_for` returns it.
    rng : Generator
    callbacks : sequence of Callback
        Such as :func:`choosing_callbacks`.
    checkpoint : path, optional
        From which to go on.

    Raises
    ------
    NonFiniteLossError
        If the loss becomes NaN or infinite.
    """
    steps = settings.epochs * math.ceil(len(data.train[1]) / settings.batch_size)
    weights = None
    if network.class_weight is not None:
        of_class = np.array(network.class_weight)
        measured = None
        if settings.validation and data.validation is not None:  # as it is in training
            measured = of_class[data.validation[1]]
        weights = of_class[data.train[1]], measured
    with use_kernels(settings.kernels):
        return fit(
            network,
            data,
            loss=SoftmaxCrossEntropy(settings.label_smoothing),
            optimizer=_optimizer(settings, steps),
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            rng=rng,
            augment=make_augmentation(settings.augment, data.image_shape),
            callbacks=callbacks,
            resume=checkpoint,
            sample_weight=weights,
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
    chosen: Sequence[str] = (),
) -> RunResult | None:
    split = training_split(settings, data)
    snapshots = Snapshots()
    sample, rng = draw_sample(settings, len(split.train[1]))
    choosing = choosing_callbacks(settings)
    if directory is None:  # a process that follows another one
        fit_as(settings, split, network, rng, [*choosing, snapshots], checkpoint)
        return None
    with directory.open_log() as log:
        if checkpoint is None:
            if directory.checkpoint.exists():  # another process has trained here in between
                raise FileExistsError(f"{directory.path} holds a run by now; name another directory.")
            directory.write_config(settings, data, network, sample, {"chosen": chosen})
        else:
            chosen = directory.results().get("chosen", ())
        streams = (sys.stdout if stream is None else stream, log)
        told = (*DataSummary.of(data).lines(), *map(_sentence, chosen))
        for line in told if checkpoint is None else ():
            for each in streams:
                say(each, printable(line))
        reported = settings.recipe == "standard" and not settings.validation
        measured = "held out" if reported else "validation"
        callbacks = [
            *choosing,
            Progress(stream, measured),
            Progress(log, measured),
            Diagnose(stream, log),
            CSVLog(directory.history_csv),
            snapshots,
            Checkpoint(directory.checkpoint),
        ]
        try:
            history = fit_as(settings, split, network, rng, callbacks, checkpoint)
            result = RunResult(directory, network, history, list(chosen), data=data)
            if history.stopped != "interrupted":
                result = _measured(result, settings, data, choosing)
                for line in outcome(result.to_dict(), settings, int(history.last["epoch"])):
                    for each in streams:
                        say(each, printable(_sentence(line)))
            directory.write_config(settings, data, network, sample, result.to_dict())
            save(network, directory.model)
            snapshots.save(directory.snapshots)
            history.to_json(directory.history_json)  # the last: by it a run is known to be finished
        except KeyboardInterrupt:  # a second Ctrl-C, or one while the files are written
            command = shlex.join(["neocog", "train", "--resume", str(directory.path)])
            raise KeyboardInterrupt(f"interrupted; continue with: {command}") from None
    return result


def _sentence(line: str) -> str:
    return f"{line[0].upper()}{line[1:]}."


def _measured(result: RunResult, settings: Settings, data: Split, choosing: Sequence[Callback]) -> RunResult:
    """Measure a trained network, and what it is compared with, on the held-out images."""
    kept = [callback.best_epoch for callback in choosing if isinstance(callback, KeepBest)]
    kept_epoch = kept[0] if kept and settings.keep_best != "none" else None
    if data.validation is None:
        return replace(result, kept_epoch=kept_epoch)
    with use_kernels(settings.kernels):
        held_out = confusion(result.network, *data.validation)
    compared = {}
    if settings.recipe == "standard":
        class_weight = None if settings.class_weight == "none" else settings.class_weight
        compared = baselines(data.train, data.validation, settings.seed, class_weight)
    return replace(result, held_out=held_out, kept_epoch=kept_epoch, baselines=compared)


def outcome(results: Mapping[str, Any], settings: Settings, epochs: int) -> list[str]:
    """Say which epoch was kept, and how other classifiers do on the held-out images.

    Parameters
    ----------
    results : dict
        As :meth:`RunResult.to_dict` returns it, and the configuration keeps it.
    settings : Settings
    epochs : int
        How many were trained.
    """
    lines = []
    if results.get("kept_epoch") is not None:
        best = "lowest loss" if settings.keep_best == "loss" else "highest accuracy"
        lines.append(f"kept epoch {results['kept_epoch']} of {epochs}: the {best} on the validation images")
    if results.get("baselines") and results.get("held_out"):
        others = ", ".join(f"{name} {accuracy:.3f}" for name, accuracy in results["baselines"].items())
        lines.append(
            f"accuracy on the same held-out images, for comparison: {others}; this network "
            f"{results['held_out']['accuracy']:.3f}"
        )
    return lines


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
