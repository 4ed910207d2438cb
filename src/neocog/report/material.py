"""Hold what the parts of a report are made of; what several of them need is computed once."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from neocog.data.sources import split_source
from neocog.inspection.predictions import Confusion, LabelScores, count_pairs
from neocog.layers import Container, Conv2D, Layer
from neocog.layers.outputs import classes_of, count_outputs
from neocog.model_file import ModelFileError
from neocog.runs import RunDirectory, open_model, training_split
from neocog.training import History


@dataclass
class Material:
    """A run, opened.

    Attributes
    ----------
    directory : RunDirectory
    network : Container
    config : dict
        Of ``config.json``.
    train, held : (images, labels)
        The same where no images are held out.
    """

    directory: RunDirectory
    network: Container
    config: dict[str, Any]
    train: tuple[Any, np.ndarray]
    held: tuple[Any, np.ndarray]

    @classmethod
    def open(cls, run: str | Path, layers: Iterable[str | type[Layer]] = ()) -> Material:
        """Open a run directory.

        Raises
        ------
        FileNotFoundError, ValueError
            If the run is not complete, or its data have changed.
        """
        directory = RunDirectory(run)
        network, settings = open_model(directory.path, layers), directory.settings()
        config = json.loads(directory.config.read_text(encoding="utf-8"))
        if config.get("images", {}).get("held-out", config.get("validation_images")) != 0:
            return cls(directory, network, config, *directory.open_data())
        data = directory.open_split(settings)
        if not data.has_fingerprint(str(config["data"])):
            raise ValueError(f"{settings.source} has changed since the run {directory.path}.")
        train = training_split(settings, data).train
        return cls(directory, network, config, train, train)

    @property
    def held_out(self) -> bool:
        """Whether the images whose predictions are shown are held out, and not those trained on."""
        return self.held is not self.train

    @property
    def kind(self) -> str:
        """The kind of images whose predictions are shown."""
        return "held-out" if self.held_out else "training"

    @property
    def kept_epoch(self) -> int | None:
        """The epoch whose weights were kept, where validation images chose it."""
        return self.config.get("kept_epoch")

    @cached_property
    def history(self) -> History:
        """The history; raise ModelFileError or OSError if it cannot be read."""
        path = self.directory.history_json
        history = History.from_json(path)
        if not len(history):
            raise ModelFileError(f"{path} is not a history: it has no rows.")
        return history

    @property
    def outputs(self) -> int:
        """How many numbers the network gives for an image."""
        return count_outputs(self.network, tuple(self.held[0].shape[1:])) or 0

    @property
    def multilabel(self) -> bool:
        """Whether an image may have several labels, or none."""
        return self.held[1].ndim == 2

    @cached_property
    def names(self) -> list[str]:
        """The names of the classes, or labels."""
        classes = classes_of(self.network.output_kind, self.outputs)
        found = self.network.class_names
        return list(found) if found and len(found) == classes else [str(k) for k in range(classes)]

    def as_classes(self, *labels: np.ndarray) -> tuple[list[np.ndarray], list[str]]:
        """Return class indices and their names; of several labels an image, every set of them is a class."""
        if not self.multilabel:
            return list(labels), self.names
        rows = np.concatenate([np.asarray(each) > 0 for each in labels])
        sets, indices = np.unique(rows, axis=0, return_inverse=True)
        names = [", ".join(np.array(self.names)[row].tolist()) or "no label" for row in sets]
        return np.split(indices.ravel(), np.cumsum([len(each) for each in labels])[:-1]), names

    @cached_property
    def right(self) -> np.ndarray:
        """Whether each held-out image is classified correctly: all of its labels, if it may have several."""
        same: np.ndarray = (self.predicted == self.held[1]).reshape(len(self.predicted), -1).all(axis=1)
        return same

    @cached_property
    def probabilities(self) -> np.ndarray:
        """Of the classes for each held-out image."""
        return np.asarray(self.network.predict_proba(self.held[0]))

    @cached_property
    def predicted(self) -> np.ndarray:
        """The predicted class of each held-out image, (N,); of several labels 0 and 1, (N, labels)."""
        if self.multilabel:
            applying: np.ndarray = self.network.applying(self.probabilities)
            return applying.astype(int)
        found: np.ndarray = self.network.ranking(self.probabilities)[:, 0]
        return found

    @property
    def attributed(self) -> np.ndarray:
        """The output of each held-out image that its prediction rests on: the most probable label's."""
        if self.multilabel:
            best: np.ndarray = self.probabilities.argmax(axis=1)
            return best
        return np.zeros(len(self.predicted), int) if self.outputs == 1 else self.predicted

    @cached_property
    def certainty(self) -> np.ndarray:
        """The probability of the predicted class of each held-out image, or of all labels as predicted."""
        if self.multilabel:
            whole: np.ndarray = np.maximum(self.probabilities, 1 - self.probabilities).prod(axis=1)
            return whole
        found: np.ndarray = self.probabilities[np.arange(len(self.predicted)), self.predicted]
        return found

    @cached_property
    def scores(self) -> Confusion | LabelScores:
        """How often each class was predicted for each true one; or each label, rightly or wrongly."""
        if self.multilabel:
            return LabelScores.of(self.held[1], self.predicted, tuple(self.names))
        matrix = count_pairs(self.held[1], self.predicted, len(self.names))
        return Confusion(matrix, tuple(self.names))

    @cached_property
    def ranking(self) -> np.ndarray:
        """The held-out images in the order of the probability of their predicted class, the highest first."""
        return np.argsort(-self.certainty, kind="stable")

    @cached_property
    def summary(self) -> Any:
        """The layers with their shapes, parameters and FLOPs for one image."""
        return self.network.summary(show=False)

    @property
    def first_convolution(self) -> tuple[str, Conv2D | None]:
        """Its name and itself; None if there is none."""
        return next(
            ((n, layer) for n, layer in self.network.leaves() if isinstance(layer, Conv2D)), ("", None)
        )

    @property
    def ink(self) -> bool:
        """Whether 1 is ink, as in the digits and line patterns, and not white."""
        preprocessing = self.network.preprocessing
        if preprocessing is not None:
            return bool(preprocessing.tone == "ink")
        return self.config["settings"]["source"].partition(":")[0] in ("digits", "lines", "lines-b")

    @property
    def tone(self) -> str:
        """Say in words how pixels are drawn."""
        channels = self.held[0].shape[1]
        if channels == 3:
            return ""
        words = "1 is drawn as ink, 0 as paper." if self.ink else "1 is drawn white, 0 black."
        return words if channels == 1 else f"Drawn is the mean of the {channels} channels: {words}"

    def name(self, index: int) -> str:
        """Return the name of a held-out image: its file, within the source, or its number."""
        paths = getattr(self.held[0], "paths", None)
        if paths is None:
            return f"image {index}"
        source = Path(split_source(self.config["settings"]["source"])[1])
        folder = source if source.is_dir() else source.parent  # that of a table of files
        path = Path(os.path.abspath(paths[index]))
        return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)

    def pictures(self, images: Any) -> np.ndarray:
        """Return images as they can be drawn, of one channel or three."""
        found = np.asarray(images)
        return found if found.shape[1] in (1, 3) else found.mean(axis=1, keepdims=True)
