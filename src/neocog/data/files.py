"""Images from files: folders of pictures, NumPy's npz, and MNIST's IDX format.

Files come from strangers: whatever is wrong with one is a ValueError that names it, and nothing is unpickled.
"""

from __future__ import annotations

import gzip
import math
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from neocog.data.split import Images, Labels, Split, stratified_split
from neocog.validation import finite, integer
from neocog.validation import image_shape as checked_shape

if TYPE_CHECKING:
    from PIL import Image

AnyPath: TypeAlias = str | PathLike[str]

# Pillow knows more formats, some of which run other programs on the file (EPS); these are only decoded.
IMAGE_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
IMAGE_SUFFIXES = (
    ".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp",
)  # fmt: skip
HELD_OUT_FOLDERS = ("validation", "val", "test")
NPZ_TRAINING_KEYS = (("x_train", "y_train"), ("x", "y"), ("images", "labels"))
NPZ_HELD_OUT_KEYS = (("x_val", "y_val"), ("x_test", "y_test"))


def load_image(path: AnyPath, image_shape: Sequence[int], invert: bool = False) -> np.ndarray:
    """Read a picture as an array, at the size a network takes.

    The picture is turned upright as its EXIF data says, laid on white where it is transparent, made grey or
    RGB, and stretched to the size. Of an animation the first frame is taken.

    Parameters
    ----------
    path : str or path
    image_shape : (channels, height, width)
        Channels are 1 (grey) or 3 (red, green, blue).
    invert : bool
        Turn black into white, as black ink on paper needs for a network that learned white digits on black.

    Returns
    -------
    float32 array (C, H, W), values 0..1

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is no image, is damaged or too large to be decoded safely, or the shape is not allowed.
    """
    from PIL import Image, ImageOps

    C, H, W = _picture_shape(image_shape)
    with _opened(path) as file:
        picture = ImageOps.exif_transpose(file)
        white = {"I": 65535, "F": 1}.get(picture.mode[0], 255)
        if white != 255:  # 16 bits or floats; Pillow would cut them off at 255 on the way to "L" or "RGB"
            picture = picture.convert("F")
            values = np.asarray(picture)
            if not (values.min() >= 0 and values.max() <= white):
                raise ValueError(f"values must be in 0..{white}, got {values.min()}..{values.max()}")
        else:
            if picture.mode in ("LA", "PA", "RGBA", "RGBa") or "transparency" in picture.info:
                paper = Image.new("RGBA", picture.size, "white")
                picture = Image.alpha_composite(paper, picture.convert("RGBA"))
            picture = picture.convert("L" if C == 1 else "RGB")
        # Bilinear in Pillow is a triangle as wide as the reduction: it averages over all pixels (no aliasing)
        # with weights that are never negative (no halos, and values stay in range), unlike Lanczos.
        picture = picture.resize((W, H), Image.Resampling.BILINEAR)
        pixels = np.clip(np.asarray(picture, np.float32) / np.float32(white), 0, 1)
    image = np.moveaxis(pixels, 2, 0) if pixels.ndim == 3 else np.broadcast_to(pixels, (C, H, W))
    return np.ascontiguousarray(1 - image if invert else image)


class LazyImages:
    """Pictures that stay in their files until they are asked for: a stand-in for an array (N, C, H, W).

    ``images[3]`` is one picture (C, H, W); ``images[2:8]``, ``images[integers]`` and ``images[mask]`` are
    arrays of pictures. Every look at a picture reads its file again, so memory holds what was asked for and
    no more. ``np.asarray(images)`` reads all, which trains faster where they fit in memory.

    Parameters
    ----------
    paths : sequence of paths
    image_shape : (channels, height, width)
    invert : bool
        See :func:`load_image`.

    Attributes
    ----------
    paths : tuple of Path
    shape : (N, C, H, W)
    dtype : numpy.float32

    Raises
    ------
    ValueError, TypeError
        If the shape is not allowed or ``paths`` is a single path.
    """

    dtype: np.dtype[np.float32] = np.dtype(np.float32)
    ndim = 4

    def __init__(self, paths: Iterable[AnyPath], image_shape: Sequence[int], invert: bool = False) -> None:
        if isinstance(paths, str | PathLike):
            raise TypeError(f"paths must be a sequence of paths, got the single path {str(paths)!r}.")
        self.paths = tuple(Path(path) for path in paths)
        self.shape = (len(self.paths), *_picture_shape(image_shape))
        self.invert = bool(invert)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: Any) -> np.ndarray:
        chosen = np.arange(len(self))[index]  # NumPy's own rules for integers, slices, arrays and masks
        pixels = np.empty((chosen.size, *self.shape[1:]), np.float32)
        for n, k in enumerate(chosen.flat):
            pixels[n] = load_image(self.paths[k], self.shape[1:], self.invert)
        return pixels.reshape(*chosen.shape, *self.shape[1:])

    def take(self, indices: Any) -> LazyImages:
        """Return some of the pictures, still in their files; ``indices`` as in ``images[indices]``."""
        chosen = np.atleast_1d(np.arange(len(self))[indices])
        return LazyImages([self.paths[k] for k in chosen], self.shape[1:], self.invert)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("images in files cannot become an array without a copy.")
        return self[:].astype(self.dtype if dtype is None else dtype, copy=False)

    def __repr__(self) -> str:
        return f"LazyImages({len(self)} files, image_shape={self.shape[1:]})"


def image_folder(
    path: AnyPath,
    image_shape: Sequence[int] | None = None,
    validation_fraction: float = 0.2,
    seed: int = 0,
) -> Split:
    """Make a data set of a folder that holds a folder of pictures for each class.

    The classes are the names of the sub-folders, sorted. If the folder holds ``train`` and one of
    ``validation``, ``val`` or ``test`` (the first of them counts), each with the same class folders, these
    are the two parts; otherwise the same fraction of every class is held out.

    Pictures are read when needed (:class:`LazyImages`); here each file is opened only as far as to see that
    it is a picture. Hidden files are skipped, and so is a file beside the class folders unless it is a
    picture.

    Parameters
    ----------
    path : str or path
    image_shape : (channels, height, width), optional
        Default: that of the first picture.
    validation_fraction : float in (0, 1)
    seed : int
        Of the draw of the held-out pictures.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    NotADirectoryError
        If it is a file.
    ValueError
        If there are fewer than two classes, a class has no picture, a file is no picture, or the two parts
        differ in their classes; the message names the folder or file.
    """
    if image_shape is not None:
        _picture_shape(image_shape)
    folder = _folder(path)
    held_out = next((folder / name for name in HELD_OUT_FOLDERS if _has_folders(folder / name)), None)
    if held_out is None or not _has_folders(folder / "train"):
        classes = _pictures_by_class(folder)
        train = _labelled(classes, image_shape)
        return _split(folder, train, None, list(classes), validation_fraction, seed)
    classes, others = _pictures_by_class(folder / "train"), _pictures_by_class(held_out)
    if list(classes) != list(others):
        raise ValueError(
            f"{folder}: train and {held_out.name} must hold the same classes; only in train: "
            f"{sorted(set(classes) - set(others))}, only in {held_out.name}: "
            f"{sorted(set(others) - set(classes))}."
        )
    train = _labelled(classes, image_shape)
    validation = _labelled(others, train[0].shape[1:])
    return _split(folder, train, validation, list(classes), validation_fraction, seed)


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
    validation_fraction : float in (0, 1)
    seed : int

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is no npz archive or damaged, an array is missing, holds Python objects, or has a shape or
        dtype not allowed; the message names the file.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"there is no file {path}.")
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is not an npz archive, or was cut short.")
    try:
        with np.load(path, allow_pickle=False) as archive:  # a pickle could run anything
            arrays = {name: x for name in archive.files if isinstance(x := archive[name], np.ndarray)}
    except Exception as problem:  # damage comes as BadZipFile, zlib.error, EOFError, MemoryError ...
        raise ValueError(f"{path} cannot be read as an npz archive of arrays: {problem}") from problem
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
    return _split(path, train, held_out, class_names, validation_fraction, seed)


def load_idx(path: AnyPath, validation_fraction: float = 0.2, seed: int = 0) -> Split:
    """Load a folder of files in the IDX format, as MNIST and Fashion-MNIST are given out.

    They are ``train-images-idx3-ubyte`` and ``train-labels-idx1-ubyte``, and ``t10k-...`` for the held-out
    part, which is drawn from the training part (the same fraction of every class) where the pair is missing.
    A dot for the second hyphen and a final ``.gz`` are understood.

    Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", 1998.

    Parameters
    ----------
    path : str or path
    validation_fraction : float in (0, 1)
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
    """
    folder = _folder(path)
    train = _idx_part(folder, "train")
    if train is None:
        raise FileNotFoundError(f"{folder} must hold train-images-idx3-ubyte[.gz], and does not.")
    return _split(folder, train, _idx_part(folder, "t10k"), None, validation_fraction, seed)


def _picture_shape(image_shape: Sequence[int]) -> tuple[int, int, int]:
    C, H, W = checked_shape(image_shape)
    if C not in (1, 3):
        raise ValueError(f"image_shape must have 1 (grey) or 3 (RGB) channels, got {image_shape!r}.")
    return C, H, W


@contextmanager
def _opened(path: AnyPath) -> Iterator[Image.Image]:
    """Open a picture, its header only; whatever goes wrong with it until it is closed names the file."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path, formats=IMAGE_FORMATS) as picture:
            yield picture
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no image file {path}.") from None
    except UnidentifiedImageError:
        raise ValueError(f"{path} is not an image in {', '.join(IMAGE_FORMATS)} format.") from None
    except Exception as problem:  # decoders meet damage with SyntaxError, struct.error, IndexError ...
        raise ValueError(f"{path} cannot be read as an image: {problem}") from problem


def _first_shape(path: Path) -> tuple[int, int, int]:
    """Shape of a picture once upright, grey if it is stored so."""
    from PIL import ImageOps

    with _opened(path) as file:
        picture = ImageOps.exif_transpose(file)
        grey = picture.mode in ("1", "L", "LA") or picture.mode[0] in "IF"
        return 1 if grey else 3, picture.height, picture.width


def _folder(path: AnyPath) -> Path:
    folder = Path(path)
    if not folder.exists():
        raise FileNotFoundError(f"there is no folder {folder}.")
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} must be a folder, got a file.")
    return folder


def _entries(folder: Path) -> list[Path]:
    """List a folder by name, without what the system hides in it."""
    entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
    clutter = ("thumbs.db", "desktop.ini")
    return [e for e in entries if not e.name.startswith(".") and e.name.lower() not in clutter]


def _has_folders(folder: Path) -> bool:
    return folder.is_dir() and any(entry.is_dir() for entry in _entries(folder))


def _pictures_by_class(folder: Path) -> dict[str, list[Path]]:
    """Return the files of each class, after a look at every one of them."""
    classes: dict[str, list[Path]] = {}
    for entry in _entries(folder):
        if entry.is_dir():
            classes[entry.name] = _entries(entry)
        elif entry.suffix.lower() in IMAGE_SUFFIXES:
            raise ValueError(f"{entry} must lie in the folder of its class, got it beside the class folders.")
    if len(classes) < 2:
        found = f"only {next(iter(classes))!r}" if classes else "none"
        raise ValueError(f"{folder} must hold a folder for each of at least two classes, got {found}.")
    for name, files in classes.items():
        if not files:
            raise ValueError(f"every class must have an image, got the empty folder {folder / name}.")
        for file in files:
            if file.is_dir():
                raise ValueError(f"a class folder must hold images only, got the folder {file}.")
            if file.suffix.lower() not in IMAGE_SUFFIXES:
                raise ValueError(
                    f"a class folder must hold images only ({', '.join(IMAGE_SUFFIXES)}), got {file}."
                )
            with _opened(file):
                pass
    return classes


def _labelled(classes: dict[str, list[Path]], image_shape: Sequence[int] | None) -> tuple[LazyImages, Labels]:
    files = [file for members in classes.values() for file in members]
    labels = np.repeat(np.arange(len(classes)), [len(members) for members in classes.values()])
    return LazyImages(files, _first_shape(files[0]) if image_shape is None else image_shape), labels


def _split(
    path: AnyPath,
    train: tuple[Images, Labels],
    held_out: tuple[Images, Labels] | None,
    class_names: Sequence[str] | None,
    validation_fraction: float,
    seed: int,
) -> Split:
    """Pair the two parts, or draw the second one; what does not fit together names the file."""
    integer("seed", seed, 0)
    try:
        if held_out is None:
            return stratified_split(*train, validation_fraction, seed, class_names)
        return Split(train, held_out, class_names)
    except ValueError as problem:
        raise ValueError(f"{path}: {problem}") from None


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
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as stream:
            content = stream.read()  # what is there, before the header's word for it
    except Exception as problem:  # gzip's damage comes as OSError, EOFError or zlib.error
        raise ValueError(f"{file} cannot be read: {problem}") from problem
    magic, header = content[:4], 4 + 4 * rank
    if magic != bytes((0, 0, 8, rank)):  # 8: unsigned bytes
        raise ValueError(f"{file} must begin with 0x{8:06x}{rank:02x}, got 0x{magic.hex()}.")
    sizes = [int.from_bytes(content[i : i + 4], "big") for i in range(4, header, 4)]
    expected = header + math.prod(sizes)
    if len(content) != expected or 0 in sizes:
        raise ValueError(
            f"{file}: the sizes {sizes} in the header must be at least 1 and account for the file's length, "
            f"{expected} bytes, got {len(content)}."
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(sizes)
