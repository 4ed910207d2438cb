"""Load data sets in MNIST's IDX format.

Files are not trusted: a malformed one raises a ValueError that names it.
"""

from __future__ import annotations

import gzip
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from neocog.budgets import BudgetError, allowed_by, over_budget
from neocog.data.file_split import existing_folder, split_of_file
from neocog.data.parts import PART_NAMES, Part
from neocog.data.pixels import parts_in_unit, preprocessing_of
from neocog.data.preprocessing import Preprocessing
from neocog.data.split import AnyPath, Labels, Split

IDX_KINDS = ("images-idx3-ubyte", "labels-idx1-ubyte")
IDX_TRAIN = f"train-{IDX_KINDS[0]}"


def load_idx(
    path: AnyPath,
    validation_fraction: float = 0.2,
    seed: int = 0,
    *,
    preprocessing: Preprocessing | None = None,
    class_names: Sequence[str] | None = None,
) -> Split:
    """Load a folder of files in the IDX format, as MNIST and the data sets like it are distributed.

    They are ``train-images-idx3-ubyte`` and ``train-labels-idx1-ubyte``, and ``t10k-...`` or ``test-...`` for
    the held-out part, which is drawn from the training part (the same fraction of every class) where the pair
    is missing. Beside a held-out part, ``val-...`` is ``tuning``. Dots instead of hyphens, a final ``.gz``,
    and a beginning as in ``emnist-letters-train-...`` are accepted.

    Bytes are divided by 255, unless the training images hold nothing but 0 and 1.

    Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", 1998.

    Parameters
    ----------
    path : str or path
        The folder, or one that holds it as torchvision lays it out, ``MNIST/raw``; or the file of training
        images, if the folder holds several.
    validation_fraction : float in [0, 1)
        With 0 nothing is held out.
    seed : int
    preprocessing : Preprocessing, optional
        That of a trained network, which tells the unit of images that are all 0 and 1.
    class_names : sequence of str, optional
        The classes of a trained network, of which the file may lack some. Default: those found, at least two.

    Returns
    -------
    Split
        Images float32 in 0..1, (N, 1, H, W).

    Raises
    ------
    FileNotFoundError, NotADirectoryError
        If the folder or a file is missing.
    ValueError
        If a file is damaged, is of another kind, or has a length other than its header says, images and
        labels differ in number, or a folder holds several sets of files; the message names the file.
    BudgetError
        If its images would take more memory than the budget "data" (:mod:`neocog.budgets`).
    """
    folder, files, prefix = _idx_files(Path(path))
    parts = {part: _idx_part(folder, files, f"{prefix}{name}") for part, name in _idx_parts(files, prefix)}
    images = {part: x for part, (x, _) in parts.items()}
    notes = [] if folder == Path(path) else [f"The files are in {folder}."]
    white, note = parts_in_unit(images, {part: f"{folder}: {part} images" for part in parts}, preprocessing)
    found = {part: (images[part], y) for part, (_, y) in parts.items()}
    return split_of_file(
        folder,
        found,
        None,
        validation_fraction,
        seed,
        notes=[*notes, note],
        preprocessing=preprocessing_of(images["train"], white),
        few_classes=class_names is not None,
    )


def _idx_files(path: Path) -> tuple[Path, dict[str, Path], str]:
    """Return the folder of the training images, its files, and how their names begin."""
    wanted = None
    if path.is_file() and _idx_name(path).endswith(IDX_TRAIN):
        path, wanted = path.parent, _idx_name(path).removesuffix(IDX_TRAIN)
    folder = existing_folder(path)
    for places in ([folder], [folder / "raw"], sorted(folder.glob("*/raw"))):
        found = []
        for place in places:
            files = _idx_folder(place)
            prefixes = [name.removesuffix(IDX_TRAIN) for name in files if name.endswith(IDX_TRAIN)]
            found += [(place, files, prefix) for prefix in prefixes if wanted in (None, prefix)]
        if len(found) > 1:
            several = ", ".join(str(files[prefix + IDX_TRAIN]) for _, files, prefix in found)
            raise ValueError(f"{folder} must hold one set of IDX files; name the one you mean: {several}.")
        if found:
            return found[0]
    orphan = next(
        (f for name, f in _idx_folder(folder).items() if name.endswith("train-labels-idx1-ubyte")), None
    )
    if orphan is not None:
        raise FileNotFoundError(f"{folder} must hold {IDX_TRAIN} beside {orphan}.")
    raise FileNotFoundError(f"{folder} must hold {IDX_TRAIN}[.gz], or a folder raw that does, and does not.")


def _idx_folder(folder: Path) -> dict[str, Path]:
    """Return the IDX files of a folder by their names in the usual spelling; those not compressed count."""
    if not folder.is_dir():
        return {}
    files = sorted(file for file in folder.iterdir() if _idx_name(file).endswith("-ubyte") and file.is_file())
    return {_idx_name(file): file for file in sorted(files, key=lambda file: file.suffix != ".gz")}


def _idx_name(file: Path) -> str:
    """Return the name of a file in the usual spelling.

    Examples
    --------
    >>> _idx_name(Path("train-images.idx3-ubyte.gz"))
    'train-images-idx3-ubyte'
    """
    return file.name.lower().removesuffix(".gz").replace(".", "-").replace("_", "-")


def _idx_parts(files: dict[str, Path], prefix: str) -> Iterator[tuple[Part, str]]:
    """Yield the parts there are, each with its name in the files' names."""
    yield "train", "train"
    parts: tuple[Part, Part] = ("test", "tuning")
    for part in parts:
        for name in ("t10k", *PART_NAMES[part]) if part == "test" else PART_NAMES[part]:
            if any(f"{prefix}{name}-{kind}" in files for kind in IDX_KINDS):
                yield part, name
                break


def _idx_part(folder: Path, files: dict[str, Path], part: str) -> tuple[np.ndarray, Labels]:
    """Read the images and labels of a part, as bytes."""
    names = [f"{part}-{kind}" for kind in IDX_KINDS]
    images_file, labels_file = map(files.get, names)
    if images_file is None or labels_file is None:
        missing = names[0] if images_file is None else names[1]
        raise FileNotFoundError(f"{folder} must hold {missing} beside {images_file or labels_file}.")
    images, labels = _read_idx(images_file, 3), _read_idx(labels_file, 1)
    if len(images) != len(labels):
        raise ValueError(
            f"{images_file} and {labels_file} must hold as many images as labels, got {len(images)} and "
            f"{len(labels)}."
        )
    return images[:, None], labels.astype(np.int64)


def _read_idx(file: Path, rank: int) -> np.ndarray:
    """Read an array of bytes of that rank: a magic number, ``rank`` sizes of four bytes, the bytes."""
    floats = 5 if rank > 1 else 9  # bytes that one of the file takes, as a float32 or int64 beside it
    allowed = allowed_by("data", file)
    try:
        with gzip.open(file) if file.suffix.lower() == ".gz" else file.open("rb") as stream:
            content = stream.read(allowed // floats + 1)  # before any size in the header is trusted
    except Exception as problem:  # damage in a gzip file raises OSError, EOFError or zlib.error
        raise ValueError(f"{file} cannot be read: {str(problem) or type(problem).__name__}") from problem
    magic, header = content[:4], 4 + 4 * rank
    if magic != bytes((0, 0, 8, rank)):  # 8: unsigned bytes
        raise ValueError(f"{file} must begin with 0x{8:06x}{rank:02x}, got 0x{magic.hex()}.")
    sizes = [int.from_bytes(content[i : i + 4], "big") for i in range(4, header, 4)]
    expected = header + math.prod(sizes)
    if len(content) * floats > allowed:
        raise BudgetError(over_budget("data", max(expected, len(content)) * floats, file, allowed))
    if len(content) != expected or 0 in sizes:
        raise ValueError(
            f"{file}: the sizes {sizes} in the header must be at least 1 and account for the file's length, "
            f"{expected} bytes, got {len(content)}."
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(sizes)
