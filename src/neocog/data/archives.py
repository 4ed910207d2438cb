"""Load data sets from archives: NumPy's npz, and MNIST's IDX format.

Files are not trusted: a malformed one raises a ValueError that names it, and nothing is unpickled.
"""

from __future__ import annotations

import gzip
import math
import zipfile
from pathlib import Path
from typing import IO

import numpy as np

from neocog.budgets import BudgetError, allowed_by, check_budget, over_budget
from neocog.data.split import AnyPath, Labels, Split, existing_folder, split_of_file
from neocog.validation import finite

NPZ_TRAINING_KEYS = (("x_train", "y_train"), ("x", "y"), ("images", "labels"))
NPZ_HELD_OUT_KEYS = (("x_val", "y_val"), ("x_test", "y_test"))


def load_npz(path: AnyPath, validation_fraction: float = 0.2, seed: int = 0) -> Split:
    """Load a data set from a NumPy archive.

    Its arrays are ``x_train`` and ``y_train`` (or ``x`` and ``y``, or ``images`` and ``labels``); the held
    out part is ``x_val`` and ``y_val``, else ``x_test`` and ``y_test``, else drawn from the training part,
    the same fraction of every class. ``class_names``, strings, may be there too.

    Images are (N, H, W) or (N, C, H, W); an array of rank 4 whose last axis is 1 or 3 while axis 1 is neither
    is taken as (N, H, W, C). Pixels in uint8 are divided by 255 into float32; floats are kept. Labels are
    integers, (N,) or (N, 1).

    Parameters
    ----------
    path : str or path
    validation_fraction : float in [0, 1)
        With 0 nothing is held out.
    seed : int

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is no npz archive or damaged, an array is missing, holds Python objects, or has a shape or
        dtype not allowed; the message names the file.
    BudgetError
        If its arrays would take more memory than the budget "data" (:mod:`neocog.budgets`).
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"there is no file {path}.")
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is not an npz archive, or was cut short.")
    arrays = _npz_arrays(path)
    train = _npz_part(path, arrays, NPZ_TRAINING_KEYS)
    if train is None:
        allowed = " or ".join(f"{x} and {y}" for x, y in NPZ_TRAINING_KEYS)
        raise ValueError(f"{path} must hold {allowed}, got {', '.join(arrays) or 'nothing'}.")
    names = arrays.get("class_names")
    if names is not None and (names.ndim != 1 or names.dtype.kind != "U"):
        raise ValueError(
            f"{path}: class_names must be a row of strings, got {names.dtype} of shape {names.shape}."
        )
    class_names = None if names is None else names.tolist()
    held_out = _npz_part(path, arrays, NPZ_HELD_OUT_KEYS)
    return split_of_file(path, train, held_out, class_names, validation_fraction, seed)


def load_idx(path: AnyPath, validation_fraction: float = 0.2, seed: int = 0) -> Split:
    """Load a folder of files in the IDX format, as MNIST and Fashion-MNIST are distributed.

    They are ``train-images-idx3-ubyte`` and ``train-labels-idx1-ubyte``, and ``t10k-...`` for the held-out
    part, which is drawn from the training part (the same fraction of every class) where the pair is missing.
    A dot instead of the second hyphen and a final ``.gz`` are accepted.

    Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", 1998.

    Parameters
    ----------
    path : str or path
    validation_fraction : float in [0, 1)
        With 0 nothing is held out.
    seed : int

    Returns
    -------
    Split
        Images float32 in 0..1, (N, 1, H, W).

    Raises
    ------
    FileNotFoundError, NotADirectoryError
        If the folder or a file is missing.
    ValueError
        If a file is damaged, is of another kind, or has a length other than its header says, or images and
        labels differ in number; the message names the file.
    BudgetError
        If its images would take more memory than the budget "data" (:mod:`neocog.budgets`).
    """
    folder = existing_folder(path)
    train = _idx_part(folder, "train")
    if train is None:
        raise FileNotFoundError(f"{folder} must hold train-images-idx3-ubyte[.gz], and does not.")
    return split_of_file(folder, train, _idx_part(folder, "t10k"), None, validation_fraction, seed)


def _npz_arrays(path: AnyPath) -> dict[str, np.ndarray]:
    """Read an archive, after checking what memory its arrays ask for."""
    try:
        asked = _npz_bytes(path)
    except Exception as problem:  # damage raises BadZipFile, zlib.error, EOFError ...
        raise ValueError(f"{path} cannot be read as an npz archive of arrays: {problem}") from problem
    check_budget("data", asked, path, path)
    try:
        with np.load(path, allow_pickle=False) as archive:  # unpickling could run any code
            return {name: x for name in archive.files if isinstance(x := archive[name], np.ndarray)}
    except Exception as problem:
        raise ValueError(f"{path} cannot be read as an npz archive of arrays: {problem}") from problem


def _npz_bytes(path: AnyPath) -> int:
    """Return how much memory an archive asks for, bytes of pixels counted with their floats."""
    asked = 0
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError(f"{entry.filename} is compressed in a way that NumPy does not use")
            with archive.open(entry) as stream:
                size, is_bytes = _npy_bytes(stream)
            if size > entry.file_size:
                raise ValueError(f"{entry.filename} must hold {size} bytes, holds {entry.file_size}")
            asked += entry.file_size + (4 * size if is_bytes else 0)
    return asked


def _npy_bytes(stream: IO[bytes]) -> tuple[int, bool]:
    """Return how many bytes an array has by its header, and whether it is of bytes; 0 if it is no array."""
    if stream.read(6) != np.lib.format.MAGIC_PREFIX:
        return 0, False
    version = tuple(stream.read(2))
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    elif version == (2, 0):
        shape, _, dtype = np.lib.format.read_array_header_2_0(stream)
    else:
        raise ValueError(f"its arrays have format version {version}, which numbers do not need")
    if dtype.hasobject:  # which NumPy refuses to unpickle
        return 0, False
    return math.prod(shape) * dtype.itemsize, dtype == np.uint8


def _npz_part(
    path: AnyPath, arrays: dict[str, np.ndarray], allowed: tuple[tuple[str, str], ...]
) -> tuple[np.ndarray, Labels] | None:
    """Return the first pair of arrays there is, as images and labels."""
    for x, y in allowed:
        if x in arrays and y in arrays:
            return _npz_images(f"{path}: {x}", arrays[x]), _npz_labels(f"{path}: {y}", arrays[y])
        if x in arrays or y in arrays:
            raise ValueError(f"{path} must hold both {x} and {y}, got {', '.join(arrays)}.")
    return None


def _npz_images(name: str, x: np.ndarray) -> np.ndarray:
    if x.dtype != np.uint8 and x.dtype.kind != "f":
        raise ValueError(f"{name} must be uint8 (0..255) or floating point, got {x.dtype}.")
    if x.ndim not in (3, 4) or 0 in x.shape:
        raise ValueError(f"{name} must be (N, H, W), (N, C, H, W) or (N, H, W, C), got shape {x.shape}.")
    if x.ndim == 3:
        x = x[:, None]
    elif x.shape[3] in (1, 3) and x.shape[1] not in (1, 3):
        x = np.moveaxis(x, 3, 1)
    if x.dtype == np.uint8:
        return _unit_range(x)
    finite(name, x)
    return np.ascontiguousarray(x, dtype=x.dtype.newbyteorder("="))


def _npz_labels(name: str, y: np.ndarray) -> Labels:
    if y.dtype.kind not in "iu":
        raise ValueError(f"{name} must be integers, got {y.dtype}.")
    if y.ndim != 1 and (y.ndim != 2 or y.shape[1] != 1):
        raise ValueError(f"{name} must be (N,) or (N, 1), got shape {y.shape}.")
    return y.ravel().astype(np.int64)


def _unit_range(pixels: np.ndarray) -> np.ndarray:
    """Map bytes to float32 in 0..1."""
    result: np.ndarray = np.divide(pixels, 255, dtype=np.float32, order="C")
    return result


def _idx_part(folder: Path, part: str) -> tuple[np.ndarray, Labels] | None:
    """Read the images and labels of "train" or "t10k"; None if neither file is there."""
    names = f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte"
    images_file, labels_file = (_find_idx(folder, name) for name in names)
    if images_file is None and labels_file is None:
        return None
    if images_file is None or labels_file is None:
        missing = names[0] if images_file is None else names[1]
        raise FileNotFoundError(f"{folder} must hold {missing} beside {images_file or labels_file}.")
    images, labels = _read_idx(images_file, 3), _read_idx(labels_file, 1)
    if len(images) != len(labels):
        raise ValueError(
            f"{images_file} and {labels_file} must hold as many images as labels, got {len(images)} and "
            f"{len(labels)}."
        )
    return _unit_range(images[:, None]), labels.astype(np.int64)


def _find_idx(folder: Path, name: str) -> Path | None:
    names = name, f"{name}.gz", name.replace("-idx", ".idx"), name.replace("-idx", ".idx") + ".gz"
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _read_idx(file: Path, rank: int) -> np.ndarray:
    """Read an array of bytes of that rank: a magic number, ``rank`` sizes of four bytes, the bytes."""
    floats = 5 if rank > 1 else 9  # bytes that one of the file takes, as a float32 or int64 beside it
    allowed = allowed_by("data", file)
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as stream:
            content = stream.read(allowed // floats + 1)  # before any size in the header is trusted
    except Exception as problem:  # damage in a gzip file raises OSError, EOFError or zlib.error
        raise ValueError(f"{file} cannot be read: {problem}") from problem
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
