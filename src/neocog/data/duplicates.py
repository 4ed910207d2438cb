"""Find pictures that are nearly the same and lie on both sides of a split."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from neocog.data.layout import listed
from neocog.data.split import Split

__all__ = ["near_duplicates", "note_of_duplicates"]

SIDE = 16
"""Pictures are compared at this height and width, in grey."""
SAME = 0.995
"""The least correlation of two pictures that are nearly the same: copies at another size or compression."""
NEAR = 0.05
"""The largest mean difference of their pixels."""
PLAIN = 0.02
"""Pictures of a smaller standard deviation, such as blank ones, show nothing that could be recognised."""
MOST_PAIRS = 400_000_000
BATCH = 256


def near_duplicates(split: Split) -> tuple[list[tuple[Path, Path]], int]:
    """Find held-out pictures that are nearly the same as a training picture.

    Two pictures are nearly the same if, at 16 x 16 and in grey, the correlation of their pixels is at least
    0.995, and the mean difference at most 0.05 of 1. The pictures must be in files.

    Returns
    -------
    pairs : list of (held-out file, training file)
        The most similar training picture of each.
    looked_at : int
        How many held-out pictures were compared: fewer than there are, evenly spread, where all would take
        minutes.
    """
    if split.validation is None or not all(hasattr(part[0], "paths") for part in split if part):
        return [], 0
    (trained, _), (held_out, _) = split.train, split.validation
    count = min(len(held_out), max(MOST_PAIRS // len(trained), 1))
    chosen = np.unique(np.linspace(0, len(held_out) - 1, count).round().astype(int))
    thumbs, patterns = _patterns(trained, np.arange(len(trained)))
    pairs = []
    for start in range(0, len(chosen), BATCH):
        some = chosen[start : start + BATCH]
        others, their_patterns = _patterns(held_out, some)
        correlations = their_patterns @ patterns.T
        best = correlations.argmax(axis=1)
        distance = abs(others - thumbs[best]).mean(axis=1)
        for n in np.flatnonzero((correlations.max(axis=1) >= SAME) & (distance <= NEAR)):
            pairs.append((held_out.paths[some[n]], trained.paths[best[n]]))
    return pairs, len(chosen)


def note_of_duplicates(split: Split) -> tuple[str, ...]:
    """Return a warning, alone in a tuple, if near duplicates lie on both sides; else an empty tuple."""
    pairs, looked_at = near_duplicates(split)
    if not pairs:
        return ()
    texts = [f"{_short(held_out)} and {_short(trained)}" for held_out, trained in pairs]
    return (
        f"Warning: {len(pairs)} of {looked_at} held-out pictures are nearly the same as pictures trained on, "
        f"so their accuracy will be too high: {listed(texts, 5, '; ')}. Remove the copies, or keep those of "
        "one origin on one side by a pattern in their names (group_by).",
    )


def _short(path: Path) -> str:
    return "/".join(path.parts[-2:])


def _patterns(images: Any, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return small grey images as rows, and the same with mean 0 and norm 1, all 0 where they are plain."""
    small = np.concatenate([_small(batch) for batch in _batches(images, indices)])
    centred = small - small.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(centred, axis=1, keepdims=True)
    plain = norms < PLAIN * small.shape[1] ** 0.5
    return small, np.where(plain, 0, centred / np.where(plain, 1, norms))


def _batches(images: Any, indices: np.ndarray) -> Iterator[np.ndarray]:
    yield from images.batches(indices[start : start + BATCH] for start in range(0, len(indices), BATCH))


def _small(images: np.ndarray) -> np.ndarray:
    """Return images (N, C, H, W) as rows of grey means over at most 16 x 16 areas."""
    grey = images.mean(axis=1)
    for axis in (1, 2):
        side = grey.shape[axis]
        if side > SIDE:
            starts = np.arange(SIDE) * side // SIDE
            lengths = np.diff(np.append(starts, side)).astype(grey.dtype)
            grey = np.add.reduceat(grey, starts, axis=axis) / np.expand_dims(lengths, (0, 3 - axis))
    rows: np.ndarray = grey.reshape(len(grey), -1)
    return rows
