"""Decode pictures: which files are pictures, what their headers say, and their pixels at a size."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from neocog.budgets import BudgetError, check_budget
from neocog.data.preprocessing import Preprocessing
from neocog.data.split import AnyPath
from neocog.representation import printable
from neocog.validation import image_shape as checked_shape

if TYPE_CHECKING:
    from PIL import Image, ImageFile

__all__ = [
    "FORMATS",
    "IMAGE_SUFFIXES",
    "Header",
    "as_preprocessing",
    "decode",
    "is_colourful",
    "load_image",
    "problem_of",
    "read_header",
]

# Pillow knows more formats, some of which run other programs on the file (EPS); these are only decoded.
FORMATS = {
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".pjpeg"),
    "PNG": (".png", ".apng"),
    "PPM": (".pbm", ".pgm", ".pnm", ".ppm"),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
    "AVIF": (".avif",),
    "HEIF": (".heic", ".heif", ".hif"),
}
"""The formats that are read, each with the suffixes of its files."""

IMAGE_SUFFIXES = tuple(suffix for suffixes in FORMATS.values() for suffix in suffixes)

_NEEDED = {
    "AVIF": "Pillow 11.3 or newer (pip install --upgrade pillow)",
    "HEIF": "the package pillow-heif (pip install pillow-heif)",
}

# A marker in a JPEG file, except those within a scan.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
_WIDTH, _HEIGHT, _ORIENTATION = 0x0100, 0x0101, 0x0112  # in EXIF
_EXIF_IN_PNG = {"exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"}

# A JPEG file is decoded at a half, a quarter or an eighth of its size where that is at least so many times
# the size wanted, and at most this share of its numbers are 0 or 255, as more are in drawings and scans. On
# photographs 99.7 % of an image's numbers are then within 2 of 255 levels of what decoding in full gives, and
# all within 7 (grey: 4). Nearer sizes are means over other pixels (twice the size: up to 13 levels); and
# where colours are clipped, the mean of clipped numbers is not the clipped mean, at any size.
_DRAFT, _CLIPPED = 3.5, 0.1

# The channels of a grey pixel that was compressed as a colour differ by a few of 255 levels.
_COLOUR = 12


class Header(NamedTuple):
    """Hold what a picture's file says of it before it is decoded.

    Parameters
    ----------
    height, width : int
        Once it is upright.
    mode : str
        Pillow's name of its kind of pixels, such as "L" (grey), "RGB", "P" (palette), "I;16".
    format : str
    """

    height: int
    width: int
    mode: str
    format: str

    @property
    def is_grey(self) -> bool:
        """Whether it is stored as grey, so that it cannot hold colour."""
        return self.mode in ("1", "L", "LA", "La") or self.mode[0] in "IF"


def load_image(path: AnyPath, image_shape: Sequence[int] | Preprocessing, invert: bool = False) -> np.ndarray:
    """Read a picture as an array, at the size a network takes.

    The picture is turned upright as its EXIF data says, composed on white where it is transparent, made grey
    or RGB, and fitted to the size. Of an animation the first frame is read. A JPEG photograph of at least
    seven times the size is decoded at a fraction of its own: 99.7 % of the numbers are within 2/255 of those
    of the whole, all within 7/255.

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
    pixels = decode(path, as_preprocessing(image_shape))
    image = pixels / np.float32(255) if pixels.dtype == np.uint8 else pixels
    return np.ascontiguousarray(1 - image if invert else image)


def as_preprocessing(value: Sequence[int] | Preprocessing) -> Preprocessing:
    """Return preprocessing as it is; of a shape (channels, height, width), the one that stretches to it."""
    if isinstance(value, Preprocessing):
        return value
    C, H, W = checked_shape(value)
    if C not in (1, 3):
        raise ValueError(f"image_shape must have 1 (grey) or 3 (RGB) channels, got {value!r}.")
    return Preprocessing(C, (H, W))


def decode(path: AnyPath, preprocessing: Preprocessing, in_full: bool = False) -> np.ndarray:
    """Return a picture's pixels (C, H, W): uint8 in 0..255 where that loses nothing, else float32 in 0..1.

    Large JPEG files are decoded at a fraction of their size where that hardly shows, unless ``in_full``.
    The errors are those of :func:`load_image`.
    """
    shape = preprocessing.image_shape
    with _opened(path) as picture:
        raw = _raw_mode(picture)
        drafted = not in_full and _draft(picture, preprocessing)
        picture.load()
        if drafted and _clipped_share(picture) > _CLIPPED:
            return decode(path, preprocessing, in_full=True)
        orientation = _orientation(picture)  # of a TIFF file Pillow has taken it into account by now
        white = {"I": 65535, "F": 1}.get(picture.mode[0], 255)
        shown = _deep(picture, white) if white != 255 else _on_paper(picture, raw, shape[0])
        pixels = _fitted(_upright(shown, orientation), preprocessing)
        if pixels.dtype != np.uint8:
            pixels = np.clip(pixels / np.float32(white), 0, 1)
    return np.moveaxis(pixels, 2, 0) if pixels.ndim == 3 else np.broadcast_to(pixels, shape)


def read_header(path: AnyPath) -> Header:
    """Read what a picture's file says of it; the errors are those of :func:`load_image`."""
    with _opened(path, whole=False) as picture:
        width, height = picture.size
        if picture.format == "TIFF":  # of which Pillow may have turned the size
            tags = picture.getexif()
            width, height = tags.get(_WIDTH, width), tags.get(_HEIGHT, height)
        if _orientation(picture, loaded=False) > 4:
            width, height = height, width
        return Header(height, width, picture.mode, str(picture.format))


def is_colourful(path: AnyPath) -> bool:
    """Return whether a picture shows colour: the channels of some pixel differ visibly."""
    with _opened(path) as picture:
        if picture.format in ("JPEG", "MPO"):
            picture.draft(None, (64, 64))
        raw = _raw_mode(picture)
        picture.load()
        if picture.mode[0] in "IF":
            return False
        pixels = np.asarray(_on_paper(picture, raw, 3))
    low, high = pixels.min(axis=2), pixels.max(axis=2)
    return bool((high - low).max() > _COLOUR)


def problem_of(path: AnyPath, error: Exception) -> str:
    """Return what an error of this module says, without the path with which it begins."""
    return str(error).replace(f"{printable(path)} ", "", 1).rstrip(".")


@cache
def _formats() -> tuple[str, ...]:
    """Return the formats that this installation reads."""
    from PIL import Image, features

    with_plugins = set(FORMATS) - {"AVIF", "HEIF"}
    if "avif" in features.modules and features.check("avif"):
        with_plugins.add("AVIF")
    try:
        from pillow_heif import register_heif_opener  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        pass
    else:
        register_heif_opener()
        with_plugins.add("HEIF")
    Image.init()
    return tuple(name for name in FORMATS if name in with_plugins)


@contextmanager
def _opened(path: AnyPath, whole: bool = True) -> Iterator[ImageFile.ImageFile]:
    """Open a picture and read its header, or with ``whole`` its file; errors until it is closed name it."""
    from PIL import UnidentifiedImageError

    named = printable(path)
    try:
        source = io.BytesIO(Path(path).read_bytes()) if whole else path
        with _open(source) as picture:
            check_budget("pixels", picture.width * picture.height, named)
            if isinstance(source, io.BytesIO):
                content = source.getvalue()
                _check_scans(picture, content, named)
                if len(picture.tile) == 1:  # in one piece: at the end of each, libjpeg decodes slowly
                    picture.decodermaxblock = len(content)
            yield picture
    except BudgetError:
        raise
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no image file {named}.") from None
    except IsADirectoryError:
        raise IsADirectoryError(f"{named} is a folder, not an image file.") from None
    except UnidentifiedImageError:
        raise ValueError(f"{named} {_unidentified(Path(path))}.") from None
    except Exception as problem:  # damage raises SyntaxError, struct.error, IndexError ... in decoders
        raise ValueError(f"{named} cannot be read as an image: {problem}") from problem


def _open(source: Any) -> ImageFile.ImageFile:
    """Open a picture; where warnings are errors, that of large ones is none, as the budget says it better."""
    from PIL import Image

    try:
        return Image.open(source, formats=_formats())
    except Image.DecompressionBombWarning:
        with warnings.catch_warnings():  # of all threads: only if need be
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return Image.open(source, formats=_formats())


def _check_scans(picture: Image.Image, content: bytes, named: str) -> None:
    """Raise BudgetError if the scans of a JPEG picture, each over all pixels, would take minutes.

    A TIFF file may hold the JPEG of many strips or tiles; a scan covers one of them.
    """
    if picture.format in ("JPEG", "MPO"):
        scans, parts = _count_scans(content), 1
    elif picture.format == "TIFF" and "jpeg" in str(picture.info.get("compression")):
        scans, parts = content.count(b"\xff\xda"), _count_parts(picture)  # which stands nowhere in a scan
    else:
        return
    pixels = picture.width * picture.height * scans // parts
    check_budget("scanned", pixels, f"{named}, of {scans} scans,")


def _count_parts(picture: Any) -> int:
    """Return the number of different strips or tiles of a TIFF file."""
    offsets = next((picture.tag_v2[tag] for tag in (273, 324) if tag in picture.tag_v2), ())
    return len({*offsets}) if isinstance(offsets, tuple) and offsets else 1


def _unidentified(path: Path) -> str:
    missing = next((f for f, suffixes in FORMATS.items() if path.suffix.lower() in suffixes), None)
    if missing in _NEEDED and missing not in _formats():
        return f"is an image in {missing} format, which needs {_NEEDED[missing]}"
    if path.stat().st_size == 0:
        return f"is not an image in {', '.join(_formats())} format: it is empty"
    return f"is not an image in {', '.join(_formats())} format"


def _count_scans(content: bytes) -> int:
    """Count the scans of a JPEG file, without decoding them.

    Examples
    --------
    >>> _count_scans(bytes.fromhex("ffd8 ffe0 0004 ffda ffda 0003 01 ff00 ffd0 22 ffda 0002 33 ffd9 ffda"))
    2
    """
    count, place, components = 0, 2, None
    while marker := _MARKER.search(content, place):
        kind, place = marker[0][1], marker.end()
        if kind == 0xD9:  # the end
            break
        count += kind == 0xDA
        if kind in (0xC0, 0xC1):  # a frame that is not progressive
            components = content[place + 7 : place + 8]
        elif kind == 0xDA and content[place + 2 : place + 3] == components:
            break  # all components in one scan: libjpeg refuses another, and the rest need not be searched
        if kind not in (0x01, 0xD8):  # which stand alone
            place += int.from_bytes(content[place : place + 2], "big")
    return count


def _orientation(picture: Image.Image, loaded: bool = True) -> int:
    """Return the EXIF orientation, 1 to 8; 1 if there is none, or the EXIF data cannot be read."""
    if not loaded and picture.format == "PNG" and not _EXIF_IN_PNG.intersection(picture.info):
        return 1  # Pillow would decode the picture, to see whether EXIF data follow
    try:
        value = picture.getexif().get(_ORIENTATION, 1)
    except Exception:  # malformed EXIF raises anything; the picture itself may be sound
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _upright(picture: Image.Image, orientation: int) -> Image.Image:
    """Return a picture turned by its orientation; the EXIF data, which may be broken, is left alone."""
    from PIL.Image import Transpose

    method = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }.get(orientation)
    return picture if method is None else picture.transpose(method)


def _draft(picture: Image.Image, preprocessing: Preprocessing) -> bool:
    """Let a JPEG file be decoded at a fraction of its size, if that is large enough; return whether it is."""
    if picture.format not in ("JPEG", "MPO") or picture.mode not in ("L", "RGB"):
        return False
    sides = picture.size if _orientation(picture) <= 4 else picture.size[::-1]
    H, W = preprocessing.size
    for part in (8, 4, 2):
        # Of sides that it does not divide, the last pixel would count as much as the others.
        if min(sides[0] / W, sides[1] / H) >= _DRAFT * part and not any(side % part for side in sides):
            picture.draft(None, (picture.width // part, picture.height // part))
            return True
    return False


def _clipped_share(picture: Image.Image) -> float:
    """Return the share of a picture's numbers that are 0 or 255, as seen in some thousand of its pixels."""
    from PIL.Image import Resampling

    counts = picture.resize((64, 64), Resampling.NEAREST).histogram()
    return sum(counts[0::256] + counts[255::256]) / sum(counts)


def _raw_mode(picture: Image.Image) -> str:
    """Return how the pixels are stored, as Pillow names it; to be called before they are loaded."""
    tile = getattr(picture, "tile", ())
    arguments = tile[0][3] if tile else ""
    first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return first if isinstance(first, str) else ""


def _deep(picture: Image.Image, white: int) -> Image.Image:
    """Return a picture of 16 bits or floats in mode "F", checked to be in range, white where transparent."""
    from PIL import Image

    transparent = picture.info.get("transparency")
    picture = picture.convert("F")  # Pillow would clip it at 255 when converting to "L" or "RGB"
    values = np.asarray(picture)
    if not (values.min() >= 0 and values.max() <= white):
        raise ValueError(f"values must be in 0..{white}, got {values.min()}..{values.max()}")
    if isinstance(transparent, int):
        picture = Image.fromarray(np.where(values == transparent, np.float32(white), values))
    return picture


def _on_paper(picture: Image.Image, raw: str, channels: int) -> Image.Image:
    """Return a picture of 8 bits as "L" or "RGB", composed on white where it is transparent."""
    from PIL import Image

    transparent = picture.info.get("transparency")
    if transparent is not None and raw in ("L;2", "L;4", "RGB;16B"):  # which Pillow compares in other units
        if isinstance(transparent, tuple):
            picture.info["transparency"] = tuple(value >> 8 for value in transparent)
        elif isinstance(transparent, int):
            picture.info["transparency"] = transparent * (85 if raw == "L;2" else 17)
    if transparent is not None or picture.mode in ("LA", "La", "PA", "RGBA", "RGBa"):
        if picture.mode == "La":
            picture = picture.convert("LA")
        paper = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(paper, picture.convert("RGBA"))
    mode = "L" if channels == 1 else "RGB"
    return picture if picture.mode == mode else picture.convert(mode)  # which would copy it


def _fitted(picture: Image.Image, preprocessing: Preprocessing) -> np.ndarray:
    """Return the pixels of a picture, (H, W) or (H, W, 3), fitted to the size."""
    from PIL import Image

    # Bilinear in Pillow is a triangle as wide as the reduction: it averages over all pixels (no aliasing)
    # with weights that are never negative (no halos, and values stay in range), unlike Lanczos.
    bilinear = Image.Resampling.BILINEAR
    H, W = preprocessing.size
    if preprocessing.fit == "stretch":
        return np.asarray(picture.resize((W, H), bilinear))
    if preprocessing.fit == "crop":
        factor = min(picture.width / W, picture.height / H)
        left, top = (picture.width - factor * W) / 2, (picture.height - factor * H) / 2
        right, bottom = min(left + factor * W, picture.width), min(top + factor * H, picture.height)
        return np.asarray(picture.resize((W, H), bilinear, (max(left, 0), max(top, 0), right, bottom)))
    factor = min(W / picture.width, H / picture.height)
    w, h = min(W, max(1, round(factor * picture.width))), min(H, max(1, round(factor * picture.height)))
    inner = np.asarray(picture.resize((w, h), bilinear))
    border = np.median(np.concatenate([inner[0], inner[-1], inner[:, 0], inner[:, -1]]), axis=0)
    padded = np.empty((H, W, *inner.shape[2:]), inner.dtype)
    padded[...] = np.rint(border) if inner.dtype == np.uint8 else border
    top, left = (H - h) // 2, (W - w) // 2
    padded[top : top + h, left : left + w] = inner
    return padded
