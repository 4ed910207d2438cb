"""Load folders of pictures, lazily."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from neocog.data.choices import choose_preprocessing, read_headers
from neocog.data.decoding import Decoder
from neocog.data.file_split import existing_folder, split_of_file
from neocog.data.layout import Layout, check_classes, find_pictures, listed, pattern_finder, relative_to
from neocog.data.parts import PART_TITLES
from neocog.data.pictures import IMAGE_SUFFIXES, Header, as_preprocessing, load_image
from neocog.data.preprocessing import FITS, Preprocessing
from neocog.data.split import AnyPath, Images, Labels, Split
from neocog.representation import printable
from neocog.validation import integer, one_of

__all__ = ["IMAGE_SUFFIXES", "LazyImages", "check_pictures", "image_folder", "load_image"]

_UNKNOWN = Preprocessing(1, (1, 1))
"""How pictures become images as long as that is not chosen; none is decoded so, but to find bad ones."""


class LazyImages:
    """Pictures that are read from their files when indexed: a stand-in for an array (N, C, H, W).

    ``images[3]`` is one picture (C, H, W); ``images[2:8]``, ``images[integers]`` and ``images[mask]`` are
    arrays of pictures. Several pictures are decoded at a time, by as many threads as the kernels use
    (:func:`neocog.set_threads`). The pixels stay in memory, a byte each, up to the budget "cached" (1 GiB;
    ``NEOCOG_BUDGET_CACHED``, see :mod:`neocog.budgets`), as long as the images or a subset of them exist;
    pictures beyond it, and files that have changed, are decoded at each access.

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
        self._decoder = Decoder(self.preprocessing)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: Any) -> np.ndarray:
        chosen = np.arange(len(self))[index]  # NumPy's own rules for integers, slices, arrays and masks
        (images,) = self.batches([chosen.ravel()])
        return images.reshape(*chosen.shape, *self.shape[1:])

    def batches(self, indices: Iterable[Any]) -> Iterator[np.ndarray]:
        """Yield ``images[some]`` for each ``some`` of the indices, and decode the next ones meanwhile.

        An error is raised when the batch of its picture is due.
        """
        places = np.arange(len(self))
        chosen = ([self.paths[k] for k in np.atleast_1d(places[some])] for some in indices)
        return self._decoder.batches(chosen, self.invert)

    def problems(self) -> list[tuple[Path, str]]:
        """Decode every picture; return the files that cannot be decoded, each with the reason."""
        return self._decoder.problems(self.paths)

    def subset(self, indices: Any) -> LazyImages:
        """Return some of the pictures, still in their files; ``indices`` as in ``images[indices]``."""
        chosen = np.atleast_1d(np.arange(len(self))[indices])
        some = LazyImages([self.paths[k] for k in chosen], self.preprocessing, self.invert)
        some._decoder = self._decoder
        return some

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
    channels: int | None = None,
    size: int | None = None,
    fit: str | None = None,
    label_pattern: str | None = None,
    group_by: str | None = None,
    skip_bad: bool = False,
    class_names: Sequence[str] | None = None,
) -> Split:
    """Make a data set of a folder of pictures.

    The class of a picture is the name of the sub-folder that it lies in, at any depth, or what
    ``label_pattern`` finds in its name. Classes are sorted by name.

    If there are sub-folders named as the parts of a data set are (train and test, training, val, valid,
    validation, dev, testing, eval and the like, in capitals or not), each with class folders, they are the
    parts: the test part is held out, and the validation part is ``Split.tuning``, or is held out if there is
    no test part. A part without labels is left out. Otherwise the same fraction of every class is held out.

    Pictures are read when needed (:class:`LazyImages`); here each file is opened to read its header, and
    some are decoded to see whether they show colour. What was found and chosen is in ``Split.notes``.
    Hidden files are skipped, and files that are no pictures are left out.

    Parameters
    ----------
    path : str or path
    image_shape : (channels, height, width) or Preprocessing, optional
        How pictures become images; without it chosen by the pictures to train on, with the options that
        follow.
    validation_fraction : float in [0, 1)
        With 0 nothing is held out.
    seed : int
        Draws the held-out pictures.
    largest : int, optional
        Make images at most so high and wide.
    channels : int, optional
        1 (grey) or 3 (colour). Default: 3 if any picture shows colour.
    size : int, optional
        Height and width. Default: the median of the pictures'.
    fit : {"stretch", "crop", "pad"}, optional
        How pictures of other proportions get the size, see :class:`Preprocessing`. Default: "stretch" if most
        have the same proportions; else "pad" if their borders are plain, and "crop" if not.
    label_pattern : str, optional
        A regular expression with one group, which is the class: ``"^(.+?)[.]"`` finds cat in cat.0.jpg. It is
        searched in the file's name, or if it has a slash, in the path below the folder.
    group_by : str, optional
        A regular expression with one group, as ``label_pattern``. Pictures in which it is the same, such as
        patches of one photograph, are all held out or none.
    skip_bad : bool
        Leave out files that cannot be used, instead of raising an error that lists them. To find them, all
        pictures are decoded.
    class_names : sequence of str, optional
        The classes, of which the folder may lack some, to measure a trained network. Default: those found, at
        least two.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    NotADirectoryError
        If it is a file.
    ValueError, TypeError
        If there are fewer than two classes, a file cannot be used, a class is not in the training part, or an
        option is not allowed; the message names the folder or all files.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("cat.0.png", "cat.1.png", "dog.0.png", "dog.1.png"):
    ...     Image.new("RGB", (9, 6), "red").save(folder / name)
    >>> image_folder(folder, label_pattern="^(.+?)[.]")
    Split(2 training, 2 validation images of shape (3, 6, 9), 2 classes: cat, dog)
    """
    folder = existing_folder(path)
    layout = find_pictures(folder, label_pattern, class_names)
    return split_of_pictures(
        folder,
        folder,
        layout,
        image_shape,
        validation_fraction,
        seed,
        largest=largest,
        channels=channels,
        size=size,
        fit=fit,
        group_by=group_by,
        skip_bad=skip_bad,
        class_names=class_names,
    )


def split_of_pictures(
    path: Path,
    root: Path,
    layout: Layout,
    image_shape: Sequence[int] | Preprocessing | None,
    validation_fraction: float,
    seed: int,
    *,
    largest: int | None = None,
    channels: int | None = None,
    size: int | None = None,
    fit: str | None = None,
    group_by: str | None = None,
    skip_bad: bool = False,
    class_names: Sequence[str] | None = None,
) -> Split:
    """Make a data set of pictures that were found, with the options of :func:`image_folder`.

    Parameters
    ----------
    path, root : Path
        The folder or file that errors name, and the folder below which they, and ``group_by``, see pictures.
    layout : Layout
    """
    given = None if image_shape is None else as_preprocessing(image_shape)
    if fit is not None:
        one_of("fit", fit, FITS)
    if channels is not None and integer("channels", channels) not in (1, 3):
        raise ValueError(f"channels must be 1 (grey) or 3 (colour), got {channels}.")
    if size is not None:
        integer("size", size)
    group_of = None if group_by is None else pattern_finder("group_by", group_by, root)
    headers = _usable(path, root, layout, skip_bad)
    check_classes(path, layout, class_names)

    def choose(files: Sequence[Path]) -> tuple[Preprocessing, list[str]]:
        return choose_preprocessing(
            files,
            [headers[file] for file in files],
            channels=channels,
            size=None if size is None else (size, size),
            fit=fit,
            largest=largest,
        )

    # Held-out pictures decide nothing: how pictures become images is chosen once they are drawn.
    first = given or (choose([file for file, _ in layout.parts["train"]])[0] if skip_bad else _UNKNOWN)
    files = [file for pairs in layout.parts.values() for file, _ in pairs]
    images = LazyImages(files, first)
    if skip_bad and (bad := images.problems()):
        _skip(layout, {file for file, _ in bad}, _described(bad, root))
        check_classes(path, layout, class_names)
    notes = list(layout.notes)
    names = sorted(layout.names("train")) if class_names is None else class_names
    number, place = {name: k for k, name in enumerate(names)}, {file: k for k, file in enumerate(files)}
    parts = {}
    for part, pairs in layout.parts.items():
        if layout.separator is None:
            labels = np.array([number[name] for _, name in pairs])
        else:
            labels = np.zeros((len(pairs), len(names)), np.int64)
            for row, (_, text) in zip(labels, pairs, strict=True):
                row[[number[name] for name in layout.labels(text)]] = 1
        parts[part] = images.subset([place[file] for file, _ in pairs]), labels
        missing = sorted(set(names) - layout.names(part))
        if missing and part != "train":
            notes.append(f"The {PART_TITLES[part]} part holds no images of {listed(missing)}.")
    groups = None
    if group_of is not None:
        groups = _groups(root, parts["train"][0].paths, group_of)
    split = split_of_file(
        path,
        parts,
        names,
        validation_fraction,
        seed,
        notes=notes,
        groups=groups,
        few_classes=class_names is not None,
    )
    if given is None:
        chosen, reasons = choose(split.train[0].paths)
        split.notes += tuple(reasons)
        split = split if chosen == first else _read_as(split, chosen)
    if remark := split.train[0]._decoder.remark(len(files)):
        split.notes += (remark,)
    return split


def _read_as(split: Split, preprocessing: Preprocessing) -> Split:
    """Return a split of the same pictures, which become images in another way."""
    parts = [part for part in (split.train, split.validation, split.tuning) if part]
    paths = [path for part in parts for path in part[0].paths]
    images, place = LazyImages(paths, preprocessing), {path: k for k, path in enumerate(paths)}

    def again(part: tuple[Images, Labels]) -> tuple[Images, Labels]:
        return images.subset([place[path] for path in part[0].paths]), part[1]

    return Split(
        again(split.train),
        split.validation and again(split.validation),
        split.class_names,
        tuning=split.tuning and again(split.tuning),
        notes=split.notes,
        groups=split.groups,
        few_classes=True,
    )


def check_pictures(data: Split) -> None:
    """Decode all pictures of a data set, which keeps them in memory; images in arrays need no check.

    Raises
    ------
    ValueError
        If some cannot be decoded; it lists them all.
    """
    images = [part[0] for part in (data.train, data.validation, data.tuning) if part]
    pictures = [each for each in images if isinstance(each, LazyImages)]
    problems = [problem for each in pictures for problem in each.problems()]
    if problems:
        root = Path(os.path.commonpath([path.parent for each in pictures for path in each.paths]))
        raise ValueError(_refusal(root, _described(problems, root)))


def _usable(path: Path, root: Path, layout: Layout, skip_bad: bool) -> dict[Path, Header]:
    """Read the headers of all pictures; raise ValueError if some cannot be used, or leave these out."""
    files = [file for pairs in layout.parts.values() for file, _ in pairs]
    headers, bad = read_headers(files)
    problems = _described([*layout.problems, *bad], root)
    if problems and not skip_bad:  # then with all those whose headers alone are sound
        sound = [file for file, header in zip(files, headers, strict=True) if header is not None]
        problems += _described(Decoder(_UNKNOWN).problems(sound), root)
        raise ValueError(_refusal(path, problems, layout.hint))
    _skip(layout, {file for file, _ in bad}, problems)
    return {file: header for file, header in zip(files, headers, strict=True) if header is not None}


def _described(problems: Sequence[tuple[Path, str]], root: Path) -> list[str]:
    return [f"{printable(relative_to(file, root))} {reason}" for file, reason in problems]


def _refusal(path: Path, problems: Sequence[str], hint: str = "") -> str:
    count = "a file" if len(problems) == 1 else f"{len(problems)} files"
    advice = "Mend or remove them, or leave them out by skip_bad=True (--skip-bad)."
    listing = f"{printable(path)}: {count} cannot be used: {listed(problems, separator='; ')}."
    return " ".join(filter(None, (listing, hint, advice)))


def _skip(layout: Layout, bad: set[Path], problems: Sequence[str]) -> None:
    """Leave out bad files, and parts that hold nothing without them, and note the problems."""
    if problems:
        layout.notes.append(f"Skipped, as asked for: {listed(problems, separator='; ')}.")
    parts = {
        part: [(file, name) for file, name in pairs if file not in bad]
        for part, pairs in layout.parts.items()
    }
    layout.parts = {part: pairs for part, pairs in parts.items() if pairs or part == "train"}


def _groups(folder: Path, paths: Sequence[Path], group_of: Callable[[Path], str | None]) -> np.ndarray:
    """Return the group of each file as an integer."""
    names = [group_of(path) or "" for path in paths]
    unfit = [relative_to(path, folder) for path, name in zip(paths, names, strict=True) if not name]
    if unfit:
        raise ValueError(
            f"group_by must fit every picture of {printable(folder)}, got {len(unfit)} that it does not "
            f"fit: {listed(unfit)}."
        )
    groups: np.ndarray = np.unique(names, return_inverse=True)[1]
    return groups
