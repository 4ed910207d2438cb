"""Write the living page: a trained network in one HTML file, which computes it and needs nothing else."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from neocog.atomic import atomic_write
from neocog.data.sources import split_source
from neocog.inspection import trace
from neocog.layers import Container, Layer
from neocog.model_file import ModelFileError
from neocog.report.material import Material
from neocog.report.page import text
from neocog.representation import printable
from neocog.runs import RunDirectory, open_model
from neocog.serialization import arrays_of
from neocog.studio.architecture import PAGE_FORMS, describe, page_modules
from neocog.studio.bundle import WEB, bundle, stylesheet
from neocog.studio.lessons import Lesson
from neocog.training import load_snapshots
from neocog.validation import image_shape

__all__ = ["living_page", "read_header", "write_network_page", "write_page"]

MOST_SAMPLES, FEWEST_SAMPLES = 36, 4
MOST_MISTAKES = 12
SAMPLE_BYTES = 600_000
WEIGHT_BYTES = 12_000_000
MOST_OF_A_VECTOR = 256
MAP_NUMBERS = 1_500_000
"""Of the maps that a page holds of a network that it does not compute, in all."""
LARGEST_HALF = 65504
"""Of float16."""
CURVES = "vendor/uplot.js"
"""The library that draws the curves of a history."""
START = "const view = entry.start(document.getElementById('view'), document.getElementById('data'));"

Arrays = Mapping[str, np.ndarray]


def write_page(
    run: str | Path,
    path: str | Path | None = None,
    layers: Iterable[str | type[Layer]] = (),
    lesson: Lesson | None = None,
) -> Path:
    """Write the living page of a run directory.

    It holds the network at the stored epochs, some held-out images, its mistakes first, and the curves. Of a
    network too large for a page it holds the maps of these images instead, and says so.

    Parameters
    ----------
    run : path of a run directory
    path : path, optional
        The HTML file; default ``page.html`` in the run directory.
    layers : iterable of Layer classes, or of their names as package.module:Class
        Your own layers that the model holds; see :func:`neocog.load`.
    lesson : Lesson, optional
        Leads through the page.

    Returns
    -------
    Path

    Raises
    ------
    FileNotFoundError, ValueError
        If the run is not complete, its data have changed, or the lesson does not fit its network.
    """
    material, notes = _opened(run, layers)
    settings = material.directory.settings()
    frames, start = _frames(material)
    images, samples = _samples(material)
    history = _history(material)
    target = material.directory.path / "page.html" if path is None else Path(path)
    page = living_page(
        material.network,
        frames,
        images,
        samples,
        history=history,
        lesson=None if lesson is None else lesson.over(material.network, images, history),
        title=f"{settings.network} on {_name(settings.source)}",
        notes=notes,
        start=start,
        ink=material.ink,
        held_out=material.held_out,
        measured="validation" if settings.validation else "held out",
    )
    atomic_write(target, page)
    return target


def read_header(path: str | Path) -> dict[str, Any]:
    """Read what a living page holds, but for its arrays.

    Raises
    ------
    ValueError
        If it is no living page.
    """
    found = re.search(r'id="data">([^<]+)</script>', Path(path).read_text(encoding="utf-8"))
    if found is None:
        raise ValueError(f"{path} is not a living page: it holds no network.")
    data = from_text(found[1])
    header: dict[str, Any] = json.loads(data[4 : 4 + int.from_bytes(data[:4], "little")])
    return header


def to_text(data: bytes) -> str:
    """Write bytes as text for ``fromText`` of ``model.js``: base 85, in which 5 characters stand for 4 bytes.

    The digits are those of :func:`base64.b85encode`, but for a comma in the place of "<", which could begin a
    tag.
    """
    return base64.b85encode(data).decode().replace("<", ",")


def from_text(text: str) -> bytes:
    """Return the bytes that :func:`to_text` has written."""
    return base64.b85decode(text.replace(",", "<"))


def _opened(run: str | Path, layers: Iterable[str | type[Layer]]) -> tuple[Material, list[str]]:
    """Open a run, without its images if these are gone; return what is to be said about them, too."""
    layers = list(layers)
    try:
        material = Material.open(run, layers)
    except (ValueError, OSError) as error:
        directory = RunDirectory(run)
        directory.settings()
        network = open_model(directory.path, layers)  # raises if it is the run that cannot be opened
        config = json.loads(directory.config.read_text(encoding="utf-8"))
        shape = image_shape(network.input_shape or config["image_shape"])
        nothing = np.zeros((0, *shape), np.float32), np.zeros(0, int)
        reason = str(error).rstrip(".")
        note = f"The run's images could not be opened, so there are none to choose: {reason}."
        return Material(directory, network, config, nothing, nothing), [printable(note)]
    names = [printable(name) for name in material.names]
    classes = ", ".join(names) if len(names) <= 4 else f"{', '.join(names[:3])} … {names[-1]}"
    told = "labels, of which an image may have several" if material.multilabel else "classes apart"
    notes = [
        f"A network that learned from {len(material.train[1])} images to tell {len(names)} {told}: {classes}."
    ]
    if not material.held_out:
        notes.append("No images were held out: these are training images.")
    return material, notes


def write_network_page(
    network: Container,
    images: Any,
    path: str | Path,
    labels: Any = None,
    title: str = "neocog",
    ink: bool | None = None,
) -> Path:
    """Write the living page of a network with some images.

    Parameters
    ----------
    network : Container
        With ``input_shape``.
    images : array (N, C, H, W)
    path : path
        The HTML file.
    labels : integers (N,), optional
    title : str
    ink : bool, optional
        Whether 1 is ink; default as the network's preprocessing says.

    Returns
    -------
    Path

    Examples
    --------
    >>> import tempfile
    >>> from neocog.models import tiny_cnn
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_network_page(tiny_cnn(), np.zeros((1, 1, 8, 8)), folder + "/tiny.html").name
    'tiny.html'
    """
    found = np.asarray(images, np.float32)[:MOST_SAMPLES]
    samples = [
        {"name": f"image {k}", "label": None if labels is None else int(labels[k]), "predicted": None}
        for k in range(len(found))
    ]
    target = Path(path)
    atomic_write(target, living_page(network, {0: arrays_of(network)}, found, samples, title=title, ink=ink))
    return target


def living_page(
    network: Container,
    frames: Mapping[int, Arrays],
    images: np.ndarray,
    samples: Sequence[Mapping[str, Any]],
    *,
    history: Mapping[str, Sequence[float | None]] | None = None,
    title: str = "neocog",
    notes: Sequence[str] = (),
    start: int | None = None,
    ink: bool | None = None,
    held_out: bool = False,
    measured: str = "held out",
    lesson: Mapping[str, Any] | None = None,
    begin: str = "",
) -> str:
    """Return the living page as text.

    Parameters
    ----------
    network : Container
    frames : mapping of int to arrays
        By epoch, the arrays by their dotted names.
    images : array (N, C, H, W)
    samples : sequence of mapping
        For each image ``name``, ``label`` and ``predicted``, the latter two None if unknown.
    history : mapping of str to sequence of float, optional
        Columns of a :class:`~neocog.training.History`; None for what is missing.
    title : str
    notes : sequence of str
    start : int, default the last
        The epoch shown at first.
    ink : bool, optional
        Whether 1 is ink; default as the network's preprocessing says.
    held_out : bool
        Whether the images were kept from training.
    measured : str
        What the images are called that the history measures beside those of training.
    lesson : mapping, optional
        As :meth:`neocog.studio.lessons.Lesson.bind` returns it.
    begin : str
        What is shown first, as the part of an address behind ``#``.
    """
    about = {
        "history": history,
        "title": title,
        "notes": notes,
        "start": start,
        "ink": ink,
        "held_out": held_out,
        "measured": measured,
        "lesson": lesson,
        "begin": begin,
    }
    data = living_data(network, frames, images, samples, **about)  # type: ignore[arg-type]
    unused = page_modules(PAGE_FORMS) - page_modules(type(layer) for _, layer in network.leaves())
    if not (history and history.get("epoch")):
        unused.add(CURVES)
    return _html(title, data, "living.js" if lesson is None else "lesson.js", unused)


def living_data(
    network: Container,
    frames: Mapping[int, Arrays],
    images: np.ndarray,
    samples: Sequence[Mapping[str, Any]],
    *,
    history: Mapping[str, Sequence[float | None]] | None = None,
    title: str = "neocog",
    notes: Sequence[str] = (),
    start: int | None = None,
    ink: bool | None = None,
    held_out: bool = False,
    measured: str = "held out",
    lesson: Mapping[str, Any] | None = None,
    begin: str = "",
) -> bytes:
    """Return what a living page holds, for ``unpackModel`` of ``living.js``; see :func:`living_page`."""
    description = describe(network, network.input_shape or images.shape[1:])
    if ink is not None:
        description["tone"] = "ink" if ink else "white"
    notes = list(notes)
    kept, left_out = _within(frames, WEIGHT_BYTES)
    arrays: dict[str, np.ndarray] = {}
    if description["page"] and not kept:
        description["page"] = False
        description["why_not"] = "Its weights are too many for a page."
    if description["page"]:
        if left_out:
            notes.append(f"{left_out} more stored epochs are not in this page, which would be too large.")
        arrays |= {f"w/{epoch}/{name}": a for epoch, frame in kept.items() for name, a in frame.items()}
        epochs = sorted(kept)
        precisions = {epoch: _precision(kept[epoch]) for epoch in epochs}
    else:
        epochs = [max(frames) if start is None else start]
        precisions = {epochs[0]: "float32"}
        maps, count = _maps(network, description, images, epochs[0])
        arrays |= maps
        images, samples = images[:count], samples[:count]
        why_not = description["why_not"].replace(
            "Python computes the maps:", "The maps were computed by neocog, not by this page:"
        )
        notes.append(
            f"{why_not} It has those of {count} images after training, but no pad and no sums behind the "
            "numbers; “neocog explain” gives these."
        )
    header = {
        "description": description,
        "epochs": epochs,
        "start": start if start in epochs else epochs[-1],
        "precisions": list(precisions.items()),
        "samples": [dict(sample) for sample in samples],
        "sample": next((k for k, s in enumerate(samples) if s["predicted"] == s["label"]), 0),
        "held_out": held_out,
        "measured": measured,
        "history": dict(history or {}),
        "title": title,
        "notes": notes,
    }
    if begin:
        header["begin"] = begin
    if lesson is not None:
        header["lesson"] = dict(lesson)
    return pack(header, arrays | {"images": np.asarray(images, np.float32)})


def pack(header: Mapping[str, Any], arrays: Arrays) -> bytes:
    """Write a header and arrays for ``model.js``: u32 n, n bytes of JSON padded to 4, then the blocks.

    Each array is written in the smallest of three types that keeps its numbers exactly: bytes k that stand
    for float32(k / 255), float16, float32.
    """
    listed, blocks = [], []
    for name, array in arrays.items():
        kind, block = _smallest(np.asarray(array))
        listed.append([name, list(array.shape), kind])
        data = block.tobytes()
        blocks.append(data + bytes(-len(data) % 4))
    words = json.dumps({**header, "arrays": listed}, allow_nan=False, separators=(",", ":")).encode()
    return b"".join([len(words).to_bytes(4, "little"), words, bytes(-len(words) % 4), *blocks])


def _smallest(array: np.ndarray) -> tuple[str, np.ndarray]:
    """Return the smallest type that keeps the numbers of an array, and the array in it."""
    if array.dtype == np.float16:
        return "f2", array.astype("<f2")
    values = array.astype(np.float32)
    if values.size and np.isfinite(values).all():
        if values.min() >= 0 and values.max() <= 1:
            steps = np.rint(values * 255).astype(np.uint8)
            if np.array_equal(steps.astype(np.float32) / np.float32(255), values):
                return "u1", steps
        if np.abs(values).max() <= LARGEST_HALF and np.array_equal(values.astype(np.float16), values):
            return "f2", values.astype("<f2")
    return "f4", values.astype("<f4")


def _name(source: str) -> str:
    """Return the name of a source, without the folders above it."""
    kind, path = split_source(source)
    return printable(Path(path).stem) if path else kind


def _within(frames: Mapping[int, Arrays], budget: int) -> tuple[dict[int, Arrays], int]:
    """Return the epochs that fit into a budget, every second one dropped at a time, and how many do not."""
    kept = dict(sorted(frames.items()))
    while kept and sum(a.nbytes for frame in kept.values() for a in frame.values()) > budget:
        if len(kept) == 1:
            return {}, len(frames)
        epochs = list(kept)
        dropped = epochs[1:-1:2] or epochs[:1]
        kept = {epoch: frame for epoch, frame in kept.items() if epoch not in dropped}
    return kept, len(frames) - len(kept)


def _precision(frame: Arrays) -> str:
    return "float16" if any(array.dtype == np.float16 for array in frame.values()) else "float32"


def _maps(
    network: Container, description: dict[str, Any], images: np.ndarray, epoch: int
) -> tuple[dict[str, np.ndarray], int]:
    """Return the maps of some images, as many as a page can hold, and of how many images.

    Of a layer with many maps only the first are kept; its shape in the description is then that of what is
    kept, and ``whole`` the true one.
    """
    nodes = description["nodes"]
    count, most = len(images), 64

    def kept(node: Mapping[str, Any]) -> list[int]:
        first, *rest = node["shape"]
        if node["name"] == description["output"]:
            return [first, *rest]
        return [min(first, most if rest else MOST_OF_A_VECTOR), *rest]

    while True:
        fits = MAP_NUMBERS // max(1, sum(math.prod(kept(node)) for node in nodes))
        if fits >= FEWEST_SAMPLES or most == 4:
            break
        most //= 2
    count = max(1, min(count, fits)) if len(images) else 0
    found = {}
    for k in range(count):
        seen = trace(network, np.asarray(images[[k]], network.dtype))
        for node in nodes:
            y = np.asarray(seen[node["name"]].y)[0, : kept(node)[0]]
            fits_half = bool(np.nanmax(np.abs(y), initial=0) <= LARGEST_HALF)
            found[f"m/{epoch}/{k}/{node['name']}"] = y.astype(np.float16 if fits_half else np.float32)
    for node in nodes:
        if kept(node) != node["shape"]:
            node["whole"], node["shape"] = node["shape"], kept(node)
    return found, count


def _frames(material: Material) -> tuple[dict[int, Arrays], int]:
    """Return the network at the stored epochs, and the epoch whose weights the model has."""
    own = {name: array.astype(np.float32) for name, array in arrays_of(material.network).items()}
    try:
        last = int(material.history.last["epoch"])
    except (ModelFileError, OSError):
        last = 0
    shown = last if material.kept_epoch is None else int(material.kept_epoch)
    frames: dict[int, Arrays] = {}
    if material.directory.snapshots.exists():
        frames = {
            epoch: frame
            for epoch, frame in load_snapshots(material.directory.snapshots).items()
            if {name: a.shape for name, a in frame.items()} == {name: a.shape for name, a in own.items()}
        }
    return frames | {shown: own}, shown


def _history(material: Material) -> dict[str, list[float | None]]:
    """Return the columns that are drawn; what is no number is None."""
    try:
        history = material.history
    except (ModelFileError, OSError):
        return {}
    columns = ("epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy")
    return {
        name: [float(f"{value:.6g}") if np.isfinite(value) else None for value in history[name]]
        for name in columns
    }


def _samples(material: Material) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """Return some held-out images, the mistakes first, then correct ones of all classes in turn."""
    images, labels = material.held
    if not len(labels):
        return np.zeros((0, *images.shape[1:]), np.float32), []
    size = int(np.prod(images.shape[1:]))
    count = min(len(labels), max(FEWEST_SAMPLES, min(MOST_SAMPLES, SAMPLE_BYTES // size)))
    right, order = material.right, material.ranking
    if material.multilabel:
        first = order[:count]
        return np.asarray(images[first], np.float32), [
            {"name": material.name(int(k)), "label": None, "predicted": None} for k in first
        ]
    wrong = order[~right[order]][: min(MOST_MISTAKES, count // 2 or 1)]
    queues = [order[right[order] & (labels[order] == k)].tolist() for k in range(len(material.names))]
    turns = [queue[depth] for depth in range(count) for queue in queues if depth < len(queue)]
    chosen = np.array([*wrong.tolist(), *turns][:count], int)
    samples = [
        {"name": material.name(int(k)), "label": int(labels[k]), "predicted": int(material.predicted[k])}
        for k in chosen
    ]
    return np.asarray(images[chosen], np.float32), samples


def _html(title: str, data: bytes, entry: str, unused: set[str]) -> str:
    """Assemble the page: style and script are allowed by their hashes, and nothing else is."""
    style, script = f"body{{margin:0}}\n{stylesheet()}", bundle(entry, START, leave_out=unused)
    for name, code in (("style", style), ("script", script)):
        if f"</{name}" in code.lower():
            raise ValueError(f"the {name} of the page must not hold </{name}.")
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )
    licence = (WEB / "vendor" / "LICENSE-uplot.txt").read_text(encoding="utf-8").strip().replace("--", "- -")
    holds = "" if CURVES in unused else f" It holds uPlot:\n{licence}\n"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{text(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n"
        '<div id="view"><p>This page computes a network, and needs JavaScript for that.</p></div>\n'
        f'<script type="application/octet-stream" id="data">{to_text(data)}</script>\n'
        f"<script>{script}</script>\n"
        f"<!-- Made by neocog.{holds} -->\n</body>\n</html>\n"
    )


def _hash(code: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()}"
