"""Open what a studio session works on: images, settings and a network, from a source, a run or the page."""

from __future__ import annotations

import contextlib
import math
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from neocog import runs
from neocog.budgets import check_budget
from neocog.data import Split, stratified_split
from neocog.data.folder import image_folder
from neocog.data.sources import LARGEST_IMAGE, split_source
from neocog.data.stratified import TooFewImagesError
from neocog.experiments.generalisation import few_images
from neocog.layers import Container, Conv2D, Dense
from neocog.losses.outputs import state_output
from neocog.model_file import ModelFileError
from neocog.resolution import outputs_for, resolve
from neocog.runs import RunDirectory, open_model
from neocog.settings import OF_BLOCKS, Settings, settings_for
from neocog.studio.blocks import blocks_of, build
from neocog.studio.moments import Moment
from neocog.studio.protocol import LIMITS, check_settings
from neocog.training import History
from neocog.training.checks import check_batch_sizes
from neocog.training.snapshots import load_snapshots
from neocog.validation import one_of

__all__ = [
    "STUDIO_NETWORKS",
    "Beginning",
    "Work",
    "data_of_model",
    "model_work",
    "own_work",
    "pictures_work",
    "relabelled",
    "run_work",
    "source_work",
]

STUDIO_NETWORKS = (
    "digits-cnn",
    "tiny-cnn",
    "tiny-mlp",
    "lenet5",
    "image-cnn",
    "conv-net",
    "small-cnn",
    "resnet20",
)
"""The ready-made networks that are small enough to look at."""

OWN = "npz:own-images"
"""The source of images that came by the page, until they are saved."""


@dataclass(frozen=True)
class Beginning:
    """Where training begins, if not anew: a network with its weights, and what is known of its past."""

    network: Container
    checkpoint: Path | None = None
    rows: Sequence[Mapping[str, float]] = ()
    moments: Mapping[int, Moment] = field(default_factory=dict)


@dataclass(frozen=True)
class Work:
    """What a session works on.

    Attributes
    ----------
    id, name : str
        Of the data, as the page knows them.
    data : Split
    settings : Settings
    blocks : list or None
        Of a network that was put together in the page.
    start : {"usual", "zeros"}
    labels : {"true", "shuffled"}
    own : bool
        Whether the images must be saved with the run, as no source has them.
    swapped : dict of str to str
        The layers in whose place others stand.
    notes : tuple of str
    beginning : Beginning or None
    """

    id: str
    name: str
    data: Split
    settings: Settings
    blocks: list[dict[str, Any]] | None = None
    start: str = "usual"
    labels: str = "true"
    own: bool = False
    swapped: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    beginning: Beginning | None = None

    @property
    def values(self) -> dict[str, Any]:
        """The settings as the page knows them."""
        s = self.settings
        names = ("lr", "momentum", "weight_decay", "batch_size", "optimizer", "augment", "seed")
        return {name: getattr(s, name) for name in names} | {"start": self.start, "labels": self.labels}

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        C, H, W = self.data.image_shape
        return C, H, W

    @property
    def tone(self) -> str:
        """What 1 means in the images: ink, as in the digits, or white."""
        if self.data.preprocessing is not None:
            return str(self.data.preprocessing.tone)
        return "ink" if self.own or self.settings.source in ("digits", "lines", "lines-b") else "white"

    def with_settings(self, values: Mapping[str, Any], clamp: bool = False) -> Work:
        """Return the work with other settings of the page, checked, or brought into range.

        Raises
        ------
        ValueError, TypeError
            If one is unknown or out of range.
        """
        checked = check_settings(values, clamp)
        start, labels = checked.pop("start", self.start), checked.pop("labels", self.labels)
        return replace(self, settings=replace(self.settings, **checked), start=start, labels=labels)

    def with_network(self, name: str | None = None, blocks: list[dict[str, Any]] | None = None) -> Work:
        """Return the work with another network, by name or by blocks, that begins anew."""
        if blocks is not None:
            settings = replace(self.settings, network=OF_BLOCKS, filters=None)
        else:
            settings = replace(self.settings, network=one_of("network", name, STUDIO_NETWORKS), filters=None)
        return replace(self, settings=settings, blocks=blocks, swapped={}, beginning=None)

    def anew(self) -> Work:
        """Return the work without what was trained before."""
        blocks, beginning = self.blocks, self.beginning
        if beginning is not None and self.settings.network == OF_BLOCKS and blocks is None:
            blocks = blocks_of(beginning.network)
            if blocks is None:
                raise ValueError("this network cannot be drawn anew: choose one by name, or of blocks.")
        return replace(self, blocks=blocks, swapped={}, beginning=None)

    def split(self) -> Split:
        """Return what is trained on: the images, with shuffled labels where that was asked for."""
        data, (images, labels) = self.data, self.data.train
        if self.labels == "shuffled":
            labels = np.random.default_rng(self.settings.seed).permutation(labels)
        return Split((images, labels), data.validation, data.class_names, preprocessing=data.preprocessing)

    def make_network(self) -> Container:
        """Return the network to be trained.

        Raises
        ------
        ValueError
            If it does not fit the images, or the batches.
        """
        if self.beginning is not None:
            return self.beginning.network
        if self.blocks is None:
            network = runs.network_for(self.settings, self.data)
        else:
            outputs = outputs_for(self.settings, self.data)
            network = build(self.blocks, outputs, self.image_shape, self.settings.seed)
            network = runs.adapted(network, self.settings, self.data)
        network.class_names = self.data.class_names
        state_output(network, self.settings.make_loss())
        images = len(self.data.train[1])
        check_batch_sizes(network, self.image_shape, images, self.settings.batch_size)
        if self.start == "zeros":
            for _, layer in network.leaves():
                if isinstance(layer, Conv2D | Dense):
                    for array in layer.params.values():
                        array[...] = 0
        return network


def _suited(source: str, **chosen: Any) -> Settings:
    """Return the settings that suit a source, with a constant rate, and no epoch chosen: somebody looks."""
    suited = settings_for(source, **chosen)
    rate = {} if suited.schedule == "constant" else {"lr": suited.lr / 3}
    fixed = {"schedule": "constant", "keep_best": "none", "early_stopping": 0, "validation": 0.0}
    return settings_for(source, **{**chosen, **fixed, **rate})


def source_work(key: str, name: str, source: str, kernels: str = "auto", loss: str = "softmax") -> Work:
    """Open a source with the settings that suit it; ValueError or OSError if its files are malformed."""
    settings = _suited(source, kernels=kernels, loss=loss)
    data = runs.open_images(settings)
    outputs_for(settings, data)  # raises where the loss does not fit the labels
    settings, reasons = resolve(settings, data)
    return Work(key, name, data, settings, notes=(*data.notes, *reasons))


def own_work(images: np.ndarray, counts: Sequence[tuple[str, int]], kernels: str = "auto") -> Work:
    """Make work of drawings: images in the order of their classes.

    Raises
    ------
    ValueError
        If there are too few or too many, or names are missing or equal.
    """
    if images.ndim != 4 or images.shape[1] not in (1, 3) or not np.isfinite(images).all():
        raise ValueError(f"drawings must be finite numbers [N, 1 or 3, H, W], got {list(images.shape)}.")
    if max(images.shape[2:]) > LIMITS["image_side"] or len(images) > LIMITS["drawings"]:
        raise ValueError(
            f"at most {LIMITS['drawings']} drawings of at most {LIMITS['image_side']} pixels a side can be "
            f"used, got {len(images)} of {images.shape[2]} x {images.shape[3]}."
        )
    names = class_names([name for name, _ in counts])
    labels = np.repeat(np.arange(len(names)), [count for _, count in counts])
    if len(labels) != len(images):
        raise ValueError(f"classes must count {len(images)} drawings together, got {len(labels)}.")
    for name, count in counts:
        if count < 1:
            raise ValueError(f"class {name!r} needs at least one drawing.")
    data = _held_out(np.clip(images, 0, 1).astype(np.float32), labels, names)
    network = "digits-cnn" if min(images.shape[2:]) >= 4 else "conv-net"
    size = 16 if len(labels) <= 400 else 64
    settings = _suited(OWN, recipe="plain", network=network, batch_size=size, kernels=kernels)
    return Work("own", "my drawings", data, settings, own=True)


def class_names(names: Sequence[Any]) -> list[str]:
    """Return names of classes, checked: text, at least two, each once."""
    found = [name.strip() if isinstance(name, str) else name for name in names]
    if not 2 <= len(found) <= LIMITS["classes"]:
        raise ValueError(f"there must be 2 to {LIMITS['classes']} classes, got {len(found)}.")
    longest = LIMITS["name_length"]
    for name in found:
        if not isinstance(name, str) or not name or len(name) > longest:
            raise ValueError(f"a class needs a name of 1 to {longest} characters, got {name!r}.")
    if len(set(found)) < len(found):
        raise ValueError(f"classes must have different names, got {found}.")
    return found


def _held_out(images: np.ndarray, labels: np.ndarray, names: Sequence[str]) -> Split:
    """Hold a fifth of each class out, where each has two images."""
    try:
        return stratified_split(images, labels, 0.2, 0, names)
    except (TooFewImagesError, ValueError):
        return Split((images, labels), None, names, notes=["No image is held out: a class has only one."])


def pictures_work(pictures: Sequence[tuple[str, Sequence[Path]]], kernels: str = "auto") -> Work:
    """Make work of pictures that were dropped on the page: their files, by class.

    The files lie in a folder of the server's own under names of its own; how they become images is chosen as
    for a folder.

    Raises
    ------
    ValueError
        If there are too few.
    """
    names = class_names([name for name, _ in pictures])
    with tempfile.TemporaryDirectory(prefix="neocog-studio-") as root:
        for k, (name, files) in enumerate(pictures):
            if not files:
                raise ValueError(f"class {name!r} needs at least one picture.")
            folder = Path(root, f"{k:04d}")
            folder.mkdir()
            for n, file in enumerate(files):
                shutil.copyfile(file, folder / f"{n:06d}{file.suffix}")
        data = image_folder(root, largest=LARGEST_IMAGE, validation_fraction=0)
        images, labels = data.train
        check_budget("cached", 4 * math.prod(images.shape), "the pictures")
        decoded = np.asarray(images[np.arange(len(labels))], np.float32)
    split = _held_out(decoded, labels, names)
    split.preprocessing = data.preprocessing
    settings, reasons = resolve(_suited(OWN, recipe="standard", kernels=kernels), split)
    return Work("own", "my pictures", split, settings, own=True, notes=(*data.notes, *reasons))


def run_work(path: Path, key: str, kernels: str = "auto") -> Work:
    """Open a run: its images, its network and its past.

    Raises
    ------
    ValueError, OSError
        If it cannot be read.
    """
    directory = RunDirectory(path)
    settings = replace(
        directory.settings(), schedule="constant", keep_best="none", early_stopping=0, validation=0.0
    )
    if kernels != "auto":
        settings = replace(settings, kernels=kernels)
    network = open_model(path)
    data = directory.open_split(settings)
    kind, _ = split_source(settings.source)
    rows, moments, checkpoint = [], {}, None
    with contextlib.suppress(OSError, ModelFileError):
        rows = History.from_json(directory.history_json).rows
    with contextlib.suppress(OSError, ModelFileError):
        moments = {
            epoch: Moment(epoch, arrays, exact=False)
            for epoch, arrays in load_snapshots(directory.snapshots).items()
        }
    studio = directory.studio()
    if studio and directory.checkpoint.exists():  # a session of the studio goes on as it was
        checkpoint = directory.checkpoint
    beginning = Beginning(network, checkpoint, rows, moments)
    own = Path(split_source(settings.source)[1]) == directory.path.absolute() / "images.npz"
    work = Work(key, studio.get("data", kind), data, settings, own=own, beginning=beginning)
    return replace(
        work,
        blocks=studio.get("blocks"),
        start=studio.get("start", "usual"),
        labels=studio.get("labels", "true"),
        swapped=studio.get("swapped", {}),
    )


def data_of_model(path: Path) -> str:
    """Return the built-in source that a model file was made for, by its shapes.

    Raises
    ------
    ValueError, OSError
        If it cannot be read, or was made for other images.
    """
    network = open_model(path)
    for name, (shape, classes) in {"digits": ((1, 8, 8), 10), "lines": ((1, 8, 8), 3)}.items():
        if network.input_shape == shape and tuple(network.output_shape((1, *shape))) == (1, classes):
            return name
    raise ValueError(
        f"{path} was made for images of your own: name them, too, as in: neocog studio {path} PHOTOS."
    )


def model_work(path: Path, work: Work) -> Work:
    """Return work that begins with the network of a model file.

    Raises
    ------
    ValueError, OSError
        If it cannot be read, or does not fit the images.
    """
    network = open_model(path)
    outputs = network.output_shape((1, *work.image_shape))
    if tuple(outputs) != (1, len(work.data.class_names)):
        raise ValueError(
            f"{path} must have an output for each of the {len(work.data.class_names)} classes of "
            f"{work.name}, got outputs of shape {tuple(outputs[1:])}."
        )
    settings = replace(work.settings, network=OF_BLOCKS, filters=None)
    return replace(work, settings=settings, blocks=blocks_of(network), beginning=Beginning(network))


def relabelled(work: Work, changes: list[dict[str, Any]]) -> Work:
    """Return the work with other labels; its images are saved with the run from now on.

    Raises
    ------
    ValueError, TypeError
        If an image, or a class, is not there.
    """
    parts = {"train": work.data.train, "held_out": work.data.validation}
    labels = {name: np.array(part[1]) for name, part in parts.items() if part is not None}
    for change in changes:
        name = one_of("part", change.get("part"), labels)
        index, label, classes = change.get("index"), change.get("label"), len(work.data.class_names)
        if work.data.is_multilabel:
            if not isinstance(label, list):
                raise TypeError(f"label must be a list of those that the image has, got {label!r}.")
            given = [_below("label", value, classes) for value in label]
            labels[name][_below("index", index, len(labels[name]))] = np.isin(np.arange(classes), given)
        else:
            labels[name][_below("index", index, len(labels[name]))] = _below("label", label, classes)
    train, held = work.data.train, work.data.validation
    data = Split(
        (train[0], labels["train"]),
        None if held is None else (held[0], labels["held_out"]),
        work.data.class_names,
        preprocessing=work.data.preprocessing,
    )
    return replace(work, data=data, own=True)


def with_few_images(work: Work, per_class: int) -> Work:
    """Return the work with so many training images of each class, drawn with the seed and saved with the run.

    Raises
    ------
    ValueError
        If a class has fewer, or an image has several labels.
    """
    if work.data.is_multilabel:
        raise ValueError(f"images_per_class needs one label an image, and those of {work.name} have several.")
    data = few_images(work.data, per_class, np.random.default_rng(work.settings.seed))
    return replace(work, data=data, name=f"{work.name}, {per_class} of each class", own=True)


def _below(name: str, value: Any, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < most:
        raise ValueError(f"{name} must be a whole number below {most}, got {value!r}.")
    return value
