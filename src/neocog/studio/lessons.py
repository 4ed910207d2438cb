"""Read lessons: texts in steps over a network, with questions whose answers are computed from that network.

A lesson is a TOML file, which the book's page on lessons explains; six ship, yours are read in the same way.
It speaks of "the first convolution" or "the largest number of its map", and is bound to the network at hand:
its own, which its preset trains in seconds, or a run of yours. What comes out is plain data, which the page
shows by ``web/lessons.js``.

A question names a measure (:mod:`neocog.studio.measures`). Answers are checked by :mod:`neocog.exercises`
where there is Python, and by the same measure in the page where there is none. No expected value is ever
written down, and nothing in a lesson's file is run.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from neocog.data import Split
from neocog.data.sources import SOURCES, open_source
from neocog.exercises.checking import Verdict, compare
from neocog.experiments.generalisation import few_images
from neocog.layers import Container
from neocog.models.by_name import build_network
from neocog.optimizers import SGD
from neocog.settings import Settings
from neocog.studio.answers import plain
from neocog.studio.architecture import describe
from neocog.studio.measures import MEASURES, Scene, measure
from neocog.training import History, Snapshots, fit
from neocog.training.by_name import make_augmentation
from neocog.validation import integer, one_of

__all__ = ["Lesson", "Preset", "Trained", "columns_of", "find", "names"]

FOLDER = Path(__file__).parent / "lesson_texts"
COLUMNS = ("epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy")
"""The columns of a history that a lesson may draw and ask about."""
ROWS = 61
"""Rows of a history that a page keeps."""
_BRACES = re.compile(r"\{(\w+)\}")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_KEYS = {
    "lesson": {"title", "about", "minutes", "hide", "sample", "run", "runs", "preset", "steps"},
    "steps": {
        "title", "text", "at", "epoch", "chart", "readings", "question", "answer", "hint", "solution",
    },
    "preset": {
        "data", "network", "lr", "momentum", "batch_size", "epochs", "seed", "augment", "images",
    },
}  # fmt: skip
"""What may stand in each table of a lesson's file."""


@dataclass(frozen=True)
class Preset:
    """What a lesson's network is trained with.

    Parameters
    ----------
    data : str
        A source that is built in.
    network, lr, momentum, batch_size, epochs, seed, augment
        As in :class:`neocog.settings.Settings`, which checks them.
    images : int, optional
        Training images of each class, drawn with the seed; None for all.
    """

    data: str
    network: str
    lr: float = 0.05
    momentum: float = 0.0
    batch_size: int = 32
    epochs: int = 10
    seed: int = 42
    augment: str = "none"
    images: int | None = None

    def __post_init__(self) -> None:
        one_of("data", self.data, [name for name, source in SOURCES.items() if not source.has_path])
        given = {name: getattr(self, name) for name in _KEYS["preset"] - {"data", "images"}}
        Settings(source=self.data, optimizer="sgd", schedule="constant", **given)

    def to_dict(self) -> dict[str, Any]:
        """Return the preset as the studio's page sends it."""
        named = ("lr", "momentum", "batch_size", "seed", "augment")
        settings = {name: getattr(self, name) for name in named} | {"optimizer": "sgd"}
        fields = ("data", "network", "epochs", "images")
        return {name: getattr(self, name) for name in fields} | {"settings": settings}

    def fit(self, snapshots: Snapshots) -> tuple[Container, dict[str, list[float]], Split]:
        """Train the network; return it, the columns of its history, and all the data."""
        data = train = open_source(self.data)
        if self.images is not None:
            train = few_images(data, self.images, np.random.default_rng(self.seed))
        network = build_network(self.network, len(data.class_names), data.image_shape, self.seed)
        network.class_names = data.class_names
        history = fit(
            network,
            train,
            optimizer=SGD(self.lr, momentum=self.momentum),
            epochs=self.epochs,
            batch_size=self.batch_size,
            rng=self.seed + 1,
            callbacks=[snapshots],
            augment=make_augmentation(self.augment, data.image_shape),
        )
        return network, columns_of(history), data


def columns_of(history: History) -> dict[str, list[float]]:
    """Return the columns of a history that lessons use, thinned to what a page keeps, five digits each.

    Examples
    --------
    >>> columns_of(History([dict.fromkeys(COLUMNS, 0.123456)]))["val_loss"]
    [0.12346]
    """
    rows = list(history)
    kept = sorted({round(i) for i in np.linspace(0, len(rows) - 1, min(len(rows), ROWS))})
    return {name: [float(f"{rows[i][name]:.5g}") for i in kept] for name in COLUMNS}


@dataclass(frozen=True)
class Trained:
    """The network of a lesson and what was recorded while it was trained.

    Attributes
    ----------
    network : Container
    snapshots : Snapshots
    runs : dict of str to dict of str to list
        Columns of the history of each run, the network's own first.
    data : Split
    """

    network: Container
    snapshots: Snapshots
    runs: dict[str, dict[str, list[float]]]
    data: Split


class Binding:
    """The layers and places of one network, of which a lesson speaks.

    ``{conv}``, ``{relu}``, ``{pool}`` and ``{out}`` in its texts are the names of the first convolution, ReLU
    and pooling layer, and of the output before a softmax; ``{window}`` and ``{pooled}`` are the sizes of
    kernel and pooling window, ``{runs}`` the names of the runs.
    """

    def __init__(self, lesson: str, description: Mapping[str, Any], scene: Scene) -> None:
        self.lesson, self.nodes, self.scene = lesson, description["nodes"], scene
        self.words: dict[str, Callable[[], str]] = {
            "conv": lambda: str(self._first("Conv2D")["name"]),
            "relu": lambda: str(self._first("ReLU")["name"]),
            "pool": lambda: str(self._first("MaxPool2D", "AvgPool2D")["name"]),
            "out": lambda: scene.head,
            "window": lambda: _sides(self._first("Conv2D")),
            "pooled": lambda: _sides(self._first("MaxPool2D", "AvgPool2D")),
            "runs": lambda: " or ".join(scene.runs),
        }

    def _first(self, *kinds: str) -> Mapping[str, Any]:
        for node in self.nodes:
            if node["kind"] in kinds:
                found: Mapping[str, Any] = node
                return found
        raise ValueError(
            f"lesson {self.lesson!r} needs a layer {' or '.join(kinds)}, and this network has none; take "
            "another network, or the lesson's own."
        )

    def fill(self, text: str) -> str:
        """Put the network's own names in the place of words in braces."""
        return _BRACES.sub(lambda found: self.words[one_of("word", found[1], self.words)](), text)

    def place(self, text: str) -> list[Any]:
        """Return what a place means: [node, index ...].

        ``largest NODE`` and ``lowest NODE`` are found in the image that is shown; ``NODE at lowest OTHER`` is
        the same index in another node; ``pixel`` the end of the largest path; ``NODE:0,2,3`` an index.
        """
        words = self.fill(text).split()
        if words == ["pixel"]:
            return ["input", 0, *self.pixel("path")]
        if len(words) == 2 and words[0] in ("largest", "lowest"):
            values = self.scene.values(words[1])
            flat = int(values.argmax() if words[0] == "largest" else values.argmin())
            return [words[1], *(int(i) for i in np.unravel_index(flat, values.shape))]
        if len(words) == 4 and words[1] == "at":
            return [words[0], *self.place(" ".join(words[2:]))[1:]]
        node, _, index = "".join(words).rpartition(":")
        if node and all(part.isdecimal() for part in index.split(",")):
            return [node, *map(int, index.split(","))]
        raise ValueError(
            f"lesson {self.lesson!r}: a place is 'largest NODE', 'lowest NODE', 'NODE at largest OTHER', "
            f"'pixel' or 'NODE:0,2,3', got {text!r}."
        )

    def pixel(self, text: str) -> Any:
        """Return row and column of a pixel: ``path`` or ``under PLACE``; ``pick`` is left to the page."""
        if text == "pick":
            return text
        if text == "path":
            return [k - 1 for k in measure(self.scene, "pixel")]
        if not text.startswith("under "):
            raise ValueError(
                f"lesson {self.lesson!r}: a pixel is 'pick', 'path' or 'under PLACE', got {text!r}."
            )
        index = self.place(text.removeprefix("under "))[-2:]
        settings = self._first("Conv2D")["settings"]
        rows = zip(*(settings[k] for k in ("kernel_size", "stride", "padding", "dilation")), strict=True)
        return [
            i * stride + dilation * (k // 2) - sides[0]
            for i, (k, stride, sides, dilation) in zip(index, rows, strict=True)
        ]

    def measured(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """Return a measure and its arguments, places and names filled in."""
        ways: dict[str, Callable[[Any], Any]] = {"place": self.place, "pixel": self.pixel, "node": self.fill}
        arguments = {
            key: ways.get(key, lambda value: value)(value)
            for key, value in entry.items()
            if key not in ("measure", "label")
        }
        return {"measure": one_of("measure", entry.get("measure"), MEASURES), "arguments": arguments}


def _sides(node: Mapping[str, Any]) -> str:
    return " × ".join(map(str, node["settings"]["kernel_size"]))


class Lesson:
    """A lesson, as a TOML file states it.

    Parameters
    ----------
    name : str
        As in ``#lesson=NAME``.
    content : dict
        What the file says.

    Attributes
    ----------
    name, title, about : str
    sample : int
        Which of the page's images the lesson begins with.
    steps : list of dict
    preset : Preset
    runs : dict of str to Preset
        The run that is looked at, and those that it is compared with.

    Raises
    ------
    ValueError
        If a key is missing, unknown, or out of range.
    """

    def __init__(self, name: str, content: Mapping[str, Any]) -> None:
        self.name, self._content = name, content
        try:
            _check_keys("the lesson", content, _KEYS["lesson"], ("title", "preset", "steps"))
            self.title, self.about = str(content["title"]), str(content.get("about", ""))
            self.sample = integer("sample", content.get("sample", 0), 0)
            self.steps: list[dict[str, Any]] = list(content["steps"])
            for number, step in enumerate(self.steps, 1):
                _check_keys(f"step {number}", step, _KEYS["steps"], ("title", "text"))
                if "question" in step:
                    _check_keys(f"step {number}", step, _KEYS["steps"], ("answer", "hint", "solution"))
            _check_keys("preset", content["preset"], _KEYS["preset"], ("data", "network"))
            self.preset = Preset(**content["preset"])
            self.runs = {str(content.get("run", "this run")): self.preset}
            for run, changes in content.get("runs", {}).items():
                _check_keys(f"run {run}", changes, _KEYS["preset"], ())
                self.runs[run] = replace(self.preset, **changes)
        except (TypeError, ValueError) as problem:
            raise ValueError(f"lesson {name!r}: {problem}") from problem

    def __repr__(self) -> str:
        return f"Lesson({self.name!r}, {len(self.steps)} steps)"

    def train(self) -> Trained:
        """Train the lesson's network and what it is compared with; takes a few seconds."""
        found = {run: (preset, *preset.fit(kept := Snapshots()), kept) for run, preset in self.runs.items()}
        _, network, _, data, snapshots = next(iter(found.values()))
        return Trained(network, snapshots, {run: one[2] for run, one in found.items()}, data)

    def bind(self, description: Mapping[str, Any], scene: Scene) -> dict[str, Any]:
        """Bind the lesson to a network: plain data for the page.

        Parameters
        ----------
        description : dict
            The network's, from :func:`neocog.studio.architecture.describe`.
        scene : Scene
            The network, the samples and the runs of the page, and the image that the lesson begins with.

        Raises
        ------
        ValueError
            If the network has not the layers that the lesson is about, or a place or a word is none.
        """
        binding = Binding(self.name, description, scene)
        return {
            "name": self.name,
            "title": self.title,
            "about": self.about,
            "minutes": self._content.get("minutes"),
            "hide": self._content.get("hide", []),
            "sample": self.sample,
            "preset": self.preset.to_dict(),
            "runs": plain([{"name": run, **columns} for run, columns in scene.runs.items()]),
            "steps": [_bound(step, binding) for step in self.steps],
        }

    def over(
        self, network: Container, images: np.ndarray, history: Mapping[str, Sequence[float | None]]
    ) -> dict[str, Any]:
        """Bind the lesson to a run of yours, with the images of its page and the columns of its history.

        Raises
        ------
        ValueError
            If the lesson compares runs of its own, or the network is not one that the page computes.
        """
        description = describe(network)
        if len(self.runs) > 1:
            raise ValueError(
                f"lesson {self.name!r} compares runs of its own; write it alone: neocog lesson {self.name}."
            )
        if not description["page"]:
            raise ValueError(
                f"lesson {self.name!r} needs a network that the page computes. {description['why_not']}"
            )
        columns = {key: [np.nan if value is None else value for value in history[key]] for key in history}
        scene = Scene(
            network, images[min(self.sample, len(images) - 1)], images, {next(iter(self.runs)): columns}
        )
        return self.bind(description, scene)

    def check(self, step: int, answer: Any, description: Mapping[str, Any], scene: Scene) -> Verdict:
        """Check the answer to the question of a step.

        Parameters
        ----------
        step : int
            Counted from 0.
        answer : str or number
            What was typed: a number, several with commas, or a word.
        description, scene
            As :meth:`bind` takes them; the question is about the image of the scene.

        Raises
        ------
        ValueError
            If the step asks nothing.
        """
        one = self.steps[step] if 0 <= step < len(self.steps) else {}
        if "question" not in one:
            raise ValueError(f"step {step + 1} of lesson {self.name!r} asks nothing.")
        asked = _bound(one, Binding(self.name, description, scene))["question"]
        expected = measure(scene, asked["measure"], **asked["arguments"])
        label = f"lesson {self.name}, step {step + 1}"
        return compare(label, _read(answer, expected), expected, asked["hint"], asked["solution"])


def _check_keys(where: str, table: Any, allowed: set[str], required: tuple[str, ...]) -> None:
    if not isinstance(table, Mapping):
        raise TypeError(f"{where} must be a table, got {table!r}.")
    if unknown := sorted(set(table) - allowed):
        raise ValueError(f"{where} has {', '.join(unknown)}; it may have {', '.join(sorted(allowed))}.")
    if missing := [key for key in required if key not in table]:
        raise ValueError(f"{where} has no {' and no '.join(missing)}.")


def _bound(step: Mapping[str, Any], binding: Binding) -> dict[str, Any]:
    found: dict[str, Any] = {"title": step["title"], "text": binding.fill(step["text"]).strip()}
    if "at" in step:
        found["at"] = binding.place(step["at"])
    found |= {key: step[key] for key in ("epoch", "chart") if key in step}
    found["readings"] = [
        {"label": binding.fill(one["label"])} | binding.measured(one) for one in step.get("readings", ())
    ]
    if "question" in step:
        words = {key: binding.fill(step[key]) for key in ("hint", "solution")}
        asked = {"text": binding.fill(step["question"])}
        found["question"] = asked | binding.measured(step["answer"]) | words
    return found


def _read(answer: Any, expected: Any) -> Any:
    """Read numbers from what was typed, else a word; in a single number a comma is a decimal point."""
    if not isinstance(answer, str) or isinstance(expected, str):
        return str(answer) if isinstance(expected, str) else answer
    text = re.sub(r"^[(\[]|[)\]]$", "", answer.strip().replace("−", "-")).strip()
    parts = [text.replace(",", ".", 1)] if np.ndim(expected) == 0 else re.split(r"[\s,]+", text)
    if not all(map(_NUMBER.fullmatch, parts)):
        return answer
    return float(parts[0]) if np.ndim(expected) == 0 else [float(part) for part in parts]


@cache
def _shipped() -> dict[str, Path]:
    return {path.stem.partition("-")[2]: path for path in sorted(FOLDER.glob("*.toml"))}


def names() -> list[str]:
    """Return the names of the lessons that ship, in the order in which they build on each other.

    Examples
    --------
    >>> names()
    ['convolution', 'relu', 'pooling', 'overfitting', 'rates', 'path']
    """
    return list(_shipped())


def find(name: str) -> Lesson:
    """Return a lesson that ships, by its name, or read one of yours, by the path of its TOML file.

    Raises
    ------
    ValueError
        If there is no such lesson, or the file is none.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> find("relu").title
    'ReLU, and units that die'
    """
    path = Path(name) if name.endswith(".toml") else _shipped()[one_of("lesson", name, _shipped())]
    with open(path, "rb") as file:
        try:
            content = tomllib.load(file)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
            raise ValueError(f"{path} is no lesson: {problem}.") from problem
    return Lesson(path.stem if path.parent != FOLDER else name, content)
