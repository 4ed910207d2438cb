"""Load data sets from NumPy's npz archives.

Files are not trusted: a malformed one raises a ValueError that names it, and nothing is unpickled.
"""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TypeAlias

import numpy as np

from neocog.budgets import check_budget
from neocog.data.file_split import split_of_file
from neocog.data.parts import Part, part_of
from neocog.data.pixels import channels_come_last, parts_in_unit, preprocessing_of
from neocog.data.preprocessing import Preprocessing
from neocog.data.split import AnyPath, Labels, Split
from neocog.validation import finite
from neocog.validation import image_shape as checked_shape

# The names of images and of their labels in an archive, by style: those of one style belong together.
NPZ_STYLES = (
    (("x",), ("y",)),
    (("images", "image", "imgs", "img"), ("labels", "label")),
    (("data", "pixels", "features", "inputs"), ("target", "targets")),
)
NPZ_CLASS_NAMES = ("class_names", "label_names", "target_names", "classes")
NPZ_EXAMPLES = "x_train and y_train, train_images and train_labels, x and y, or data and target"

_Arrays: TypeAlias = dict[str, np.ndarray]


def load_npz(
    path: AnyPath,
    validation_fraction: float = 0.2,
    seed: int = 0,
    *,
    image_shape: Sequence[int] | Preprocessing | None = None,
    class_names: Sequence[str] | None = None,
    several_labels: bool = False,
) -> Split:
    """Load a data set from a NumPy archive.

    Its arrays have the usual names, in any capitals: ``x`` and ``y``, ``images`` and ``labels``, or ``data``
    and ``target``, of a part as ``x_train``, ``train_images`` or ``trainX``; or they have no names, as
    ``arr_0`` and ``arr_1``. With a test part that is held out, and a validation part is ``tuning``; without,
    the validation part is held out; else the same fraction of every class. ``class_names``, strings, may be
    there too.

    Images are (N, H, W), (N, C, H, W) or (N, H, W, C), or rows (N, H * W) of square ones. Where either axis
    may be that of the channels (:func:`~neocog.data.pixels.channels_come_last`), an array ``channels_last``,
    True or False, tells. A fourth channel that is white everywhere, of images that are opaque, is left out.

    Pixels are divided by what is white in the training images, 255 for uint8 unless they hold nothing but 0
    and 1; see :func:`~neocog.data.pixels.white_of`. Labels are (N,) or (N, 1), whole numbers or names; or
    (N, classes), with a single 1 in each row.

    Parameters
    ----------
    path : str or path
    validation_fraction : float in [0, 1)
        With 0 nothing is held out.
    seed : int
    image_shape : (channels, height, width) or Preprocessing, optional
        Tells what rows are, and where the channels are if both are possible. The preprocessing of a network
        also tells the unit of images that are all 0 and 1.
    class_names : sequence of str, optional
        The classes of a trained network, of which the file may lack some. Default: those found, at least two.
    several_labels : bool
        Whether an image may have several labels, or none: labels (N, labels) of 0 and 1 are kept so.

    Returns
    -------
    Split
        Images (N, C, H, W): of integers float32, of floats in their dtype.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is no npz archive or damaged, an array is missing, holds Python objects, or has a shape or
        dtype not allowed, or the parts are in different units; the message names the file.
    BudgetError
        If its arrays would take more memory than the budget "data" (:mod:`neocog.budgets`).
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"there is no file {path}.")
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is not an npz archive, or was cut short.")
    known = image_shape if isinstance(image_shape, Preprocessing) else None
    if image_shape is not None:
        image_shape = known.image_shape if known else checked_shape(image_shape)
    arrays = _npz_arrays(path)
    keys = _npz_keys(path, arrays)
    images = {part: _npz_pixels(f"{path}: {x}", arrays[x]) for part, (x, _) in keys.items()}
    notes = _arrange(path, keys, images, arrays.get("channels_last"), image_shape)
    of_parts = {part: y for part, (_, y) in keys.items()}
    labels, names = _npz_labels(path, arrays, of_parts, class_names, several_labels)
    white, note = parts_in_unit(images, {part: f"{path}: {x}" for part, (x, _) in keys.items()}, known)
    notes += [note, *_without_opaque_alpha(images)]
    parts = {part: (images[part], labels[part]) for part in keys}
    return split_of_file(
        path,
        parts,
        names,
        validation_fraction,
        seed,
        notes=notes,
        preprocessing=preprocessing_of(images["train"], white),
        few_classes=class_names is not None,
    )


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
    """Return how much memory an archive asks for, whole numbers counted with their floats."""
    asked = 0
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError(f"{entry.filename} is compressed in a way that NumPy does not use")
            with archive.open(entry) as stream:
                size, floats = _npy_bytes(stream)
            if size > entry.file_size:
                raise ValueError(f"{entry.filename} must hold {size} bytes, holds {entry.file_size}")
            asked += entry.file_size + floats
    return asked


def _npy_bytes(stream: IO[bytes]) -> tuple[int, int]:
    """Return how many bytes an array has by its header, and the float32 made of it; 0 if it is no array."""
    if stream.read(6) != np.lib.format.MAGIC_PREFIX:
        return 0, 0
    version = tuple(stream.read(2))
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    elif version == (2, 0):
        shape, _, dtype = np.lib.format.read_array_header_2_0(stream)
    else:
        raise ValueError(f"its arrays have format version {version}, which numbers do not need")
    if dtype.hasobject:  # which NumPy refuses to unpickle
        return 0, 0
    count = math.prod(shape)
    return count * dtype.itemsize, 4 * count if dtype.kind in "iub" else 0


def _npz_keys(path: AnyPath, arrays: _Arrays) -> dict[Part, tuple[str, str]]:
    """Return the names of the images and of the labels of each part."""
    found = _unnamed_keys(arrays) or _named_keys(path, arrays)
    if "train" not in found:
        raise ValueError(
            f"{path} must hold images and labels under usual names, such as {NPZ_EXAMPLES}; got "
            f"{', '.join(arrays) or 'nothing'}."
        )
    return found


def _named_keys(path: AnyPath, arrays: _Arrays) -> dict[Part, tuple[str, str]]:
    kinds: dict[Part | None, dict[str, str]] = {}
    for key in arrays:
        if (meaning := _meaning(key)) is not None:
            part, kind = meaning
            part_kinds = kinds.setdefault(part, {})
            if kind in part_kinds:
                raise ValueError(f"{path} must not hold both {part_kinds[kind]} and {key}.")
            part_kinds[kind] = key
    whole = kinds.pop(None, {})
    if "train" not in kinds and whole:
        kinds["train"] = whole
    return {part: _pair(path, found, arrays) for part, found in kinds.items() if part is not None}


def _meaning(key: str) -> tuple[Part | None, str] | None:
    """Return the part that the name of an array means, if any, and the kind of array; None if it has another.

    Examples
    --------
    >>> _meaning("x_train"), _meaning("val_images"), _meaning("testX"), _meaning("target"), _meaning("size")
    (('train', 'x'), ('tuning', 'images'), ('test', 'x'), (None, 'target'), None)
    """
    kinds = [kind for style in NPZ_STYLES for names in style for kind in names]
    name = re.sub("[^a-z0-9]", "", key.lower())
    if name in kinds:
        return None, name
    for kind in kinds:
        for rest in (name.removeprefix(kind), name.removesuffix(kind)):
            if rest != name and (part := part_of(rest)) is not None:
                return part, kind
    return None


def _pair(path: AnyPath, found: dict[str, str], arrays: _Arrays) -> tuple[str, str]:
    """Return the names of a part's images and labels, of those found by their kinds."""
    pairs = [
        ([found[kind] for kind in x if kind in found], [found[kind] for kind in y if kind in found])
        for x, y in NPZ_STYLES
    ]
    everything = [key for x, _ in pairs for key in x], [key for _, y in pairs for key in y]
    for x, y in (*pairs, everything):
        if len(x) == len(y) == 1:
            return x[0], y[0]
    x, y = everything
    what = "images and labels" if x and y else "labels" if x else "images"
    raise ValueError(
        f"{path}: beside {' and '.join(x + y)} must be one array of {what} under a usual name, as in "
        f"{NPZ_EXAMPLES}; got {', '.join(arrays)}."
    )


def _unnamed_keys(arrays: _Arrays) -> dict[Part, tuple[str, str]]:
    """Return the arrays that ``np.savez`` has called arr_0, arr_1 ... as pairs: of training, then of test."""
    if set(arrays) not in ({f"arr_{k}" for k in range(count)} for count in (2, 4)):
        return {}
    names = sorted(arrays)
    x = [name for name in names if math.prod(arrays[name].shape[1:]) > 1]
    y = [name for name in names if name not in x]
    if len(x) != len(y) or any(len(arrays[a]) != arrays[b].size for a, b in zip(x, y, strict=True)):
        return {}
    parts: tuple[Part, ...] = ("train", "test")
    return {part: (a, b) for part, a, b in zip(parts, x, y, strict=False)}


def _npz_pixels(name: str, x: np.ndarray) -> np.ndarray:
    if x.dtype.kind not in "fuib":
        raise ValueError(f"{name} must be integers or floating point, got {x.dtype}.")
    if x.ndim not in (2, 3, 4) or 0 in x.shape:
        raise ValueError(f"{name} must be (N, H, W), (N, C, H, W) or (N, H, W, C), got shape {x.shape}.")
    if x.dtype.kind == "f":
        finite(name, x)
    return x.astype(np.float32) if x.dtype.kind == "b" else x


def _arrange(
    path: AnyPath,
    keys: dict[Part, tuple[str, str]],
    images: dict[Part, np.ndarray],
    channels_last: np.ndarray | None,
    image_shape: Sequence[int] | None,
) -> list[str]:
    """Bring the images to (N, C, H, W), all parts alike, and return what was chosen."""
    notes: list[str] = []
    shape = images["train"].shape[1:]
    name = f"{path}: {keys['train'][0]}"
    moved = _channels_last(path, name, shape, channels_last, image_shape)
    for part, x in images.items():
        if x.ndim != len(shape) + 1:
            raise ValueError(
                f"{path}: {keys[part][0]} must have {len(shape) + 1} axes as {keys['train'][0]}, got shape "
                f"{x.shape}."
            )
        if x.ndim == 2:
            images[part] = x.reshape(-1, *_shape_of_rows(f"{path}: {keys[part][0]}", x, image_shape))
        elif x.ndim == 3:
            images[part] = x[:, None]
        elif moved:
            images[part] = np.moveaxis(x, 3, 1)
    if len(shape) == 1:
        notes.append(f"Rows of {shape[0]} numbers are images of {images['train'].shape[1:]} (C, H, W).")
    elif moved:
        notes.append(f"Images of {shape} are (H, W, C): the channels come last.")
    return notes


def _channels_last(
    path: AnyPath,
    name: str,
    shape: tuple[int, ...],
    told: np.ndarray | None,
    image_shape: Sequence[int] | None,
) -> bool:
    """Return whether the channels come last in images of a shape."""
    if len(shape) < 3:
        return False
    if told is not None:
        if told.size != 1 or told.dtype.kind not in "biu" or told.item() not in (0, 1):
            raise ValueError(f"{path}: channels_last must be True or False, got {told.dtype} {told.shape}.")
        return bool(told)
    first, last = tuple(shape), (shape[2], *shape[:2])
    if image_shape is not None and first != last and tuple(image_shape) in (first, last):
        return tuple(image_shape) == last
    found = channels_come_last(shape)
    if found is None:
        raise ValueError(
            f"{name} has images of shape {shape}, in which the first or the last axis may be that of the "
            "channels; add an array channels_last, True or False, to the archive (volumes are not supported)."
        )
    return found


def _shape_of_rows(name: str, x: np.ndarray, image_shape: Sequence[int] | None) -> tuple[int, int, int]:
    count = x.shape[1]
    if image_shape is not None:
        C, H, W = image_shape
        if count != C * H * W:
            raise ValueError(f"{name} must have rows of {C * H * W} numbers, got {count}.")
        return C, H, W
    side = math.isqrt(count)
    if side**2 != count:
        raise ValueError(
            f"{name} must be (N, H, W), (N, C, H, W) or (N, H, W, C), or rows of square images, got shape "
            f"{x.shape}."
        )
    return 1, side, side


def _without_opaque_alpha(images: dict[Part, np.ndarray]) -> list[str]:
    """Leave out a fourth channel that is 1 everywhere, in all parts, and return whether it was."""
    if images["train"].shape[1] != 4 or not all(
        x.shape[1] == 4 and (x[:, 3] == 1).all() for x in images.values()
    ):
        return []
    for part, x in images.items():
        images[part] = np.ascontiguousarray(x[:, :3])
    return ["Of the 4 channels the last is 1 everywhere, the opacity of RGBA, and is left out."]


def _npz_labels(
    path: AnyPath, arrays: _Arrays, keys: dict[Part, str], known: Sequence[str] | None, several: bool
) -> tuple[dict[Part, Labels], list[str] | None]:
    """Return the labels of each part as class indices, and the names of the classes if there are any."""
    names = _npz_class_names(path, arrays)
    labels = {part: _checked_labels(f"{path}: {key}", arrays[key], several) for part, key in keys.items()}
    if labels["train"].dtype.kind == "U" and names is None:
        names = np.unique(labels["train"]).tolist() if known is None else list(known)
    indices = {} if names is None else {name: k for k, name in enumerate(names)}
    for part, y in labels.items():
        if y.dtype.kind != "U":
            continue
        unknown = sorted(set(y.tolist()) - set(indices))
        if unknown:
            raise ValueError(
                f"{path}: {keys[part]} must hold names of the training images' classes, got {unknown[0]!r}."
            )
        labels[part] = np.array([indices[name] for name in y.tolist()])
    return labels, names


def _checked_labels(name: str, y: np.ndarray, several: bool) -> Labels:
    """Return labels (N,), integers or names; or where an image may have ``several``, (N, labels)."""
    if y.ndim == 2 and y.shape[1] > 1 and y.dtype.kind in "biuf" and ((y == 0) | (y == 1)).all():
        if several:
            return y.astype(np.int64)
        if not _is_one_hot(y):
            raise ValueError(
                f"{name} must be one label an image, (N,) or (N, 1), got shape {y.shape}; to train on "
                "several labels an image pass --loss bce."
            )
    if y.ndim == 2 and y.shape[1] > 1 and y.dtype.kind in "biuf" and _is_one_hot(y):
        y = y.argmax(1)
    if y.ndim != 1 and (y.ndim != 2 or y.shape[1] != 1):
        raise ValueError(f"{name} must be one label an image, (N,) or (N, 1), got shape {y.shape}.")
    y = y.ravel()
    if y.dtype.kind == "S":
        try:
            y = np.char.decode(y, "utf-8")
        except UnicodeDecodeError as problem:
            raise ValueError(f"{name} must be UTF-8 text: {problem}.") from None
    if y.dtype.kind == "U":
        return y
    if y.dtype.kind not in "biu" and not (
        y.dtype.kind == "f" and (abs(y) < 2**53).all() and (y == np.rint(y)).all()
    ):
        hint = "; values are learned by neocog.ConvNetRegressor, in Python" if y.dtype.kind == "f" else ""
        raise ValueError(f"{name} must be whole numbers or names, got {y.dtype}{hint}.")
    return y.astype(np.int64)


def _is_one_hot(y: np.ndarray) -> bool:
    """Return whether each row has a single 1, and 0 else."""
    return bool(((y == 0) | (y == 1)).all() and (y.sum(1) == 1).all())


def _npz_class_names(path: AnyPath, arrays: _Arrays) -> list[str] | None:
    for key in NPZ_CLASS_NAMES:
        names = arrays.get(key)
        if names is not None and names.ndim == 1 and names.dtype.kind == "U":
            return [str(name) for name in names]
        if names is not None and key == NPZ_CLASS_NAMES[0]:
            raise ValueError(
                f"{path}: {key} must be a row of strings, got {names.dtype} of shape {names.shape}."
            )
    return None
