"""Read the headers of pictures, and choose by them how all become images of one shape."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np

from neocog.data.pictures import Header, decode, is_colourful, problem_of, read_header
from neocog.data.preprocessing import Preprocessing
from neocog.representation import printable

__all__ = ["choose_preprocessing", "in_threads", "read_headers"]

# So many pictures are decoded, evenly spread, to see whether those stored in colour show any, and whether
# pictures of different proportions stand on plain paper.
LOOKED_AT = {"colour": 2000, "paper": 48}

# Above this share of pictures whose proportions differ from the median's by more than this factor, stretching
# all to one size would distort too many.
MIXED_SHARE, MIXED_FACTOR = 0.1, 1.3
MOST_ELONGATED = 4
PLAIN = 24 / 255  # the range of a border that is paper

_KINDS = {"1": "black and white", "L": "grey", "LA": "grey with transparency", "P": "palette"}

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Call a function for each item in a few threads; return the results in order."""
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        return list(pool.map(function, items))


def read_headers(paths: Sequence[Path]) -> tuple[list[Header | None], list[tuple[Path, str]]]:
    """Read the header of each picture; return them, None for a bad one, and the bad ones with the reason."""

    def read(path: Path) -> Header | str:
        try:
            return read_header(path)
        except (OSError, ValueError) as problem:
            return problem_of(path, problem)

    found = in_threads(read, paths)
    bad = [(path, header) for path, header in zip(paths, found, strict=True) if isinstance(header, str)]
    return [None if isinstance(header, str) else header for header in found], bad


def choose_preprocessing(
    paths: Sequence[Path],
    headers: Sequence[Header],
    *,
    channels: int | None = None,
    size: tuple[int, int] | None = None,
    fit: str | None = None,
    largest: int | None = None,
) -> tuple[Preprocessing, list[str]]:
    """Choose how pictures become images of one shape: what is None is chosen.

    There are three channels if any picture shows colour. The size is the median height and width, scaled down
    to ``largest``; a square, where pictures stand and lie, or are nearly square. Pictures are stretched to
    it, unless the proportions of many differ: then they are padded where their borders are plain, as paper
    is, else cropped.

    Returns
    -------
    preprocessing : Preprocessing
    notes : list of str
        What was found and chosen, with the reasons.
    """
    notes = [_sizes(headers), _kinds(headers)]
    if channels is None:
        channels, reason = _channels(paths, headers)
    else:
        reason = "as chosen"
    notes.append(f"Channels: {channels} ({'grey' if channels == 1 else 'colour'}), {reason}.")
    if size is None:
        size, reason = _size(headers, largest)
    else:
        reason = "as chosen"
    notes.append(f"Size: {size[0]} x {size[1]}, {reason}.")
    if fit is None:
        fit, reason = _fit(paths, headers)
    else:
        reason = "as chosen"
    preprocessing = Preprocessing(channels, size, fit)
    if len({(header.height, header.width) for header in headers} | {size}) > 1:
        notes.append(f"Fit: {fit}, {reason}.")
    return preprocessing, notes


def _sizes(headers: Sequence[Header]) -> str:
    sizes = Counter((header.height, header.width) for header in headers)
    if len(sizes) == 1:
        return "The pictures are {} x {} (height x width).".format(*next(iter(sizes)))
    by_area = sorted(sizes, key=lambda size: size[0] * size[1])
    return "The pictures have {} sizes (height x width), {} x {} to {} x {}.".format(
        len(sizes), *by_area[0], *by_area[-1]
    )


def _kinds(headers: Sequence[Header]) -> str:
    formats = Counter(header.format for header in headers)
    kinds = Counter(_kind(header.mode) for header in headers)
    texts = [", ".join(f"{count} {name}" for name, count in c.most_common()) for c in (formats, kinds)]
    return f"They are {texts[0]}; their pixels are {texts[1]}."


def _kind(mode: str) -> str:
    if mode in _KINDS:
        return _KINDS[mode]
    return {"I": "grey of 16 bits", "F": "grey of floats"}.get(mode[0], mode)


def _spread(count: int, most: int) -> np.ndarray:
    """Return at most so many indices, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))


def _channels(paths: Sequence[Path], headers: Sequence[Header]) -> tuple[int, str]:
    stored = [path for path, header in zip(paths, headers, strict=True) if not header.is_grey]
    if not stored:
        return 1, "as all are stored as grey"
    chosen = [stored[k] for k in _spread(len(stored), LOOKED_AT["colour"])]
    for start in range(0, len(chosen), 32):
        some = chosen[start : start + 32]
        for path, colourful in zip(some, in_threads(_shows_colour, some), strict=True):
            if colourful:
                grey = len(paths) - len(stored)
                rest = f"; {grey} are stored as grey" if grey else ""
                return 3, f"as {printable('/'.join(path.parts[-2:]))} shows colour{rest}"
    looked_at = "" if len(chosen) == len(stored) else f" of the {len(chosen)} looked at"
    return 1, f"as none{looked_at} shows colour, though {len(stored)} are stored in colour"


def _shows_colour(path: Path) -> bool:
    try:
        return is_colourful(path)
    except (OSError, ValueError):  # noticed when it is decoded
        return False


def _size(headers: Sequence[Header], largest: int | None) -> tuple[tuple[int, int], str]:
    heights, widths = (np.array([h[k] for h in headers], float) for k in (0, 1))
    H, W = int(np.median(heights)), int(np.median(widths))
    same = len(set(zip(heights, widths, strict=True))) == 1
    reason = "that of all pictures" if same else "the median height and width"
    ratio = widths / heights
    if not same and min((ratio > 1.1).mean(), (ratio < 1 / 1.1).mean()) >= 0.2:
        H = W = round(float(np.median(np.sqrt(heights * widths))))
        reason = "the median as a square, for some pictures lie and others stand"
    elif not same and max(H, W) <= 1.1 * min(H, W):
        H = W = round((H * W) ** 0.5)
        reason = "the median as a square, as most nearly are"
    if largest is not None and max(H, W) > largest:
        scale = largest / max(H, W)
        least = largest // MOST_ELONGATED
        reason += f": {H} x {W}, scaled down to at most {largest}"
        H, W = (max(round(scale * side), min(side, least), 1) for side in (H, W))
    return (H, W), reason


def _fit(paths: Sequence[Path], headers: Sequence[Header]) -> tuple[str, str]:
    ratios = np.array([header.width / header.height for header in headers])
    factors = np.exp(abs(np.log(ratios / np.median(ratios))))
    if (factors > MIXED_FACTOR).mean() <= MIXED_SHARE:
        return "stretch", "as the pictures' proportions are much the same"
    spread = f"as their proportions differ (width / height is {ratios.min():.2g} to {ratios.max():.2g})"
    ranges = []
    for k in _spread(len(paths), LOOKED_AT["paper"]):
        try:
            pixels = decode(paths[k], Preprocessing(1, (32, 32)))[0]
        except (OSError, ValueError):  # noticed when it is decoded
            continue
        border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
        low, high = np.percentile(border / (255 if border.dtype == np.uint8 else 1), [10, 90])
        ranges.append(high - low)
    if ranges and np.median(ranges) <= PLAIN:
        return "pad", f"{spread} and their borders are plain"
    return "crop", f"{spread} and they fill the frame"
