"""Load folders of pictures, lazily."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neocog.budgets import BudgetError, check_budget
from neocog.data.preprocessing import Preprocessing
from neocog.data.split import AnyPath, Labels, Split, existing_folder, split_of_file
from neocog.validation import image_shape as checked_shape

if TYPE_CHECKING:
    from PIL import Image

# Pillow knows more formats, some of which run other programs on the file (EPS); these are only decoded.
IMAGE_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
IMAGE_SUFFIXES = (
    ".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp",
)  # fmt: skip
# A marker in a JPEG file, except those within a scan.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
HELD_OUT_FOLDERS = ("validation", "valid", "val", "test")


def load_image(path: AnyPath, image_shape: Sequence[int] | Preprocessing, invert: bool = False) -> np.ndarray:
    """Read a picture as an array, at the size a network takes.

    The picture is turned upright as its EXIF data says, composed on white where it is transparent, made grey
    or RGB, and fitted to the size. Of an animation the first frame is read.

    Parameters
    ----------
    path : str or path
    image_shape : (channels, height, width) or Preprocessing
        Channels are 1 (grey) or 3 (red, green, blue). To a shape the picture is stretched.
    invert : bool
        Swap black and white, as for black ink on paper and a network trained on white digits on black.

    Returns
    -------
    float32 array (C, H, W), values 0..1

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is no image, is damaged or too large to be decoded safely, or the shape is not allowed.
    BudgetError
        If the picture has more pixels than the budget "pixels", or, times the scans of a JPEG file, than the
        budget "scanned" (:mod:`neocog.budgets`).
    """
    from PIL import Image, ImageOps

    preprocessing = as_preprocessing(image_shape)
    with _opened(path) as file:
        _check_scans(path, file)
        picture = ImageOps.exif_transpose(file)
        white = {"I": 65535, "F": 1}.get(picture.mode[0], 255)
        if white != 255:  # 16 bits or floats; Pillow would clip them at 255 when converting to "L" or "RGB"
            picture = picture.convert("F")
            values = np.asarray(picture)
            if not (values.min() >= 0 and values.max() <= white):
                raise ValueError(f"values must be in 0..{white}, got {values.min()}..{values.max()}")
        else:
            if picture.mode in ("LA", "PA", "RGBA", "RGBa") or "transparency" in picture.info:
                paper = Image.new("RGBA", picture.size, "white")
                picture = Image.alpha_composite(paper, picture.convert("RGBA"))
            picture = picture.convert("L" if preprocessing.channels == 1 else "RGB")
        pixels = np.clip(_fitted(picture, preprocessing) / np.float32(white), 0, 1)
    shape = preprocessing.image_shape
    image = np.moveaxis(pixels, 2, 0) if pixels.ndim == 3 else np.broadcast_to(pixels, shape)
    return np.ascontiguousarray(1 - image if invert else image)


def as_preprocessing(value: Sequence[int] | Preprocessing) -> Preprocessing:
    """Return preprocessing as it is; of a shape (channels, height, width), the one that stretches to it."""
    if isinstance(value, Preprocessing):
        return value
    C, H, W = checked_shape(value)
    if C not in (1, 3):
        raise ValueError(f"image_shape must have 1 (grey) or 3 (RGB) channels, got {value!r}.")
    return Preprocessing(C, (H, W))


def _fitted(picture: Image.Image, preprocessing: Preprocessing) -> np.ndarray:
    """Return the pixels of a picture, float32 (H, W) or (H, W, 3), fitted to the size."""
    from PIL import Image

    # Bilinear in Pillow is a triangle as wide as the reduction: it averages over all pixels (no aliasing)
    # with weights that are never negative (no halos, and values stay in range), unlike Lanczos.
    bilinear = Image.Resampling.BILINEAR
    H, W = preprocessing.size
    if preprocessing.fit == "stretch":
        return np.asarray(picture.resize((W, H), bilinear), np.float32)
    if preprocessing.fit == "crop":
        factor = min(picture.width / W, picture.height / H)
        left, top = (picture.width - factor * W) / 2, (picture.height - factor * H) / 2
        right, bottom = min(left + factor * W, picture.width), min(top + factor * H, picture.height)
        box = (max(left, 0), max(top, 0), right, bottom)
        return np.asarray(picture.resize((W, H), bilinear, box), np.float32)
    factor = min(W / picture.width, H / picture.height)
    w, h = (max(1, round(factor * side)) for side in picture.size)
    inner = np.asarray(picture.resize((min(w, W), min(h, H)), bilinear), np.float32)
    h, w = inner.shape[:2]
    border = np.concatenate([inner[0], inner[-1], inner[:, 0], inner[:, -1]])
    padded = np.empty((H, W, *inner.shape[2:]), np.float32)
    padded[...] = np.median(border, axis=0)
    top, left = (H - h) // 2, (W - w) // 2
    padded[top : top + h, left : left + w] = inner
    return padded


class LazyImages:
    """Pictures that are read from their files when indexed: a stand-in for an array (N, C, H, W).

    ``images[3]`` is one picture (C, H, W); ``images[2:8]``, ``images[integers]`` and ``images[mask]`` are
    arrays of pictures. Each access reads the file again, so memory holds no more than the pictures
    that are in use. ``np.asarray(images)`` reads all, which trains faster where they fit in memory.

    Parameters
    ----------
    paths : sequence of paths
    image_shape : (channels, height, width) or Preprocessing
    invert : bool
        See :func:`load_image`.

    Attributes
    ----------
    paths : tuple of Path
    preprocessing : Preprocessing
    shape : (N, C, H, W)
    dtype : numpy.float32

    Raises
    ------
    ValueError, TypeError
        If the shape is not allowed or ``paths`` is a single path.
    """

    dtype: np.dtype[np.float32] = np.dtype(np.float32)
    ndim = 4

    def __init__(
        self, paths: Iterable[AnyPath], image_shape: Sequence[int] | Preprocessing, invert: bool = False
    ) -> None:
        if isinstance(paths, str | PathLike):
            raise TypeError(f"paths must be a sequence of paths, got the single path {str(paths)!r}.")
        self.paths = tuple(Path(path) for path in paths)
        self.preprocessing = as_preprocessing(image_shape)
        self.shape = (len(self.paths), *self.preprocessing.image_shape)
        self.invert = bool(invert)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: Any) -> np.ndarray:
        chosen = np.arange(len(self))[index]  # NumPy's own rules for integers, slices, arrays and masks
        pixels = np.empty((chosen.size, *self.shape[1:]), np.float32)
        for n, k in enumerate(chosen.flat):
            pixels[n] = load_image(self.paths[k], self.preprocessing, self.invert)
        return pixels.reshape(*chosen.shape, *self.shape[1:])

    def subset(self, indices: Any) -> LazyImages:
        """Return some of the pictures, still in their files; ``indices`` as in ``images[indices]``."""
        chosen = np.atleast_1d(np.arange(len(self))[indices])
        return LazyImages([self.paths[k] for k in chosen], self.preprocessing, self.invert)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("images in files cannot become an array without a copy.")
        return self[:].astype(self.dtype if dtype is None else dtype, copy=False)

    def __repr__(self) -> str:
        return f"LazyImages({len(self)} files, image_shape={self.shape[1:]})"


def image_folder(
    path: AnyPath,
    image_shape: Sequence[int] | Preprocessing | None = None,
    validation_fraction: float = 0.2,
    seed: int = 0,
    *,
    largest: int | None = None,
) -> Split:
    """Make a data set of a folder that holds a folder of pictures for each class.

    The classes are the names of the sub-folders, sorted. If the folder holds ``train`` and one of
    ``validation``, ``val`` or ``test`` (the first of them counts), each with the same class folders, these
    are the two parts; otherwise the same fraction of every class is held out.

    Pictures are read when needed (:class:`LazyImages`); here each file is opened only to check that
    it is a picture. Hidden files are skipped, and so is a file beside the class folders unless it is a
    picture.

    Parameters
    ----------
    path : str or path
    image_shape : (channels, height, width) or Preprocessing, optional
        Default: that of the first picture.
    validation_fraction : float in [0, 1)
        With 0 nothing is held out.
    seed : int
        Draws the held-out pictures.
    largest : int, optional
        Without an ``image_shape``: where the first picture is higher or wider, images are made
        ``largest`` x ``largest``.

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
        as_preprocessing(image_shape)
    folder = existing_folder(path)
    held_out = next((folder / name for name in HELD_OUT_FOLDERS if _has_folders(folder / name)), None)
    if held_out is None or not _has_folders(folder / "train"):
        classes = _pictures_by_class(folder)
        train = _labelled(classes, image_shape, largest)
        return split_of_file(folder, train, None, list(classes), validation_fraction, seed)
    classes, others = _pictures_by_class(folder / "train"), _pictures_by_class(held_out)
    if list(classes) != list(others):
        raise ValueError(
            f"{folder}: train and {held_out.name} must hold the same classes; only in train: "
            f"{sorted(set(classes) - set(others))}, only in {held_out.name}: "
            f"{sorted(set(others) - set(classes))}."
        )
    train = _labelled(classes, image_shape, largest)
    validation = _labelled(others, train[0].preprocessing, None)
    return split_of_file(folder, train, validation, list(classes), validation_fraction, seed)


@contextmanager
def _opened(path: AnyPath) -> Iterator[Image.Image]:
    """Open a picture and read its header; errors until it is closed name the file."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path, formats=IMAGE_FORMATS) as picture:
            check_budget("pixels", picture.width * picture.height, path)
            yield picture
    except BudgetError:
        raise
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no image file {path}.") from None
    except UnidentifiedImageError:
        raise ValueError(f"{path} is not an image in {', '.join(IMAGE_FORMATS)} format.") from None
    except Exception as problem:  # damage raises SyntaxError, struct.error, IndexError ... in decoders
        raise ValueError(f"{path} cannot be read as an image: {problem}") from problem


def _check_scans(path: AnyPath, picture: Image.Image) -> None:
    """Raise BudgetError if the scans of a JPEG file, each over all pixels, would take minutes."""
    if picture.format in ("JPEG", "MPO"):
        scans = _count_scans(Path(path).read_bytes())
        check_budget("scanned", picture.width * picture.height * scans, f"{path}, of {scans} scans,")


def _count_scans(content: bytes) -> int:
    """Count the scans of a JPEG file, without decoding them.

    Examples
    --------
    >>> _count_scans(bytes.fromhex("ffd8 ffe0 0004 ffda ffda 0003 01 ff00 ffd0 22 ffda 0002 33 ffd9 ffda"))
    2
    """
    count, place = 0, 2
    while marker := _MARKER.search(content, place):
        kind, place = marker[0][1], marker.end()
        if kind == 0xD9:  # the end
            break
        count += kind == 0xDA
        if kind not in (0x01, 0xD8):  # which stand alone
            place += int.from_bytes(content[place : place + 2], "big")
    return count


def _first_shape(path: Path) -> tuple[int, int, int]:
    """Return the shape of a picture once it is upright, with one channel if it is stored as grey."""
    from PIL import ImageOps

    with _opened(path) as file:
        picture = ImageOps.exif_transpose(file)
        grey = picture.mode in ("1", "L", "LA") or picture.mode[0] in "IF"
        return 1 if grey else 3, picture.height, picture.width


def _entries(folder: Path) -> list[Path]:
    """List a folder by name, without hidden files."""
    entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
    clutter = ("thumbs.db", "desktop.ini")
    return [e for e in entries if not e.name.startswith(".") and e.name.lower() not in clutter]


def _has_folders(folder: Path) -> bool:
    return folder.is_dir() and any(entry.is_dir() for entry in _entries(folder))


def _pictures_by_class(folder: Path) -> dict[str, list[Path]]:
    """Return the files of each class, after checking every one of them."""
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


def _labelled(
    classes: dict[str, list[Path]], image_shape: Sequence[int] | Preprocessing | None, largest: int | None
) -> tuple[LazyImages, Labels]:
    files = [file for members in classes.values() for file in members]
    labels = np.repeat(np.arange(len(classes)), [len(members) for members in classes.values()])
    if image_shape is None:
        C, H, W = _first_shape(files[0])
        too_large = largest is not None and max(H, W) > largest
        image_shape = (C, largest, largest) if largest is not None and too_large else (C, H, W)
    return LazyImages(files, image_shape), labels
