"""Write and read files of arrays with a JSON description, and check every one of their bits.

A file is a safetensors file whose arrays any reader shows under their dotted names. Its one header entry
``neocog`` holds the version of the format and, since version 2, a digest::

    {"version": 2, "sha256": "...", "content": {"kind": "model", ..., "arrays": {NAME: [DTYPE, SHAPE, CRCS]}}}

``sha256`` is that of the content as canonical JSON: keys sorted, no spaces, all but ASCII escaped. ``CRCS``
are the CRC-32 of an array's bytes, in blocks of 16 MiB. So a changed bit in an array, in its name, type or
shape, or in the description, is noticed. It is a check against damage, not a signature: whoever can write the
file can write a digest. Version 1 has neither digest nor ``content``; it is read as it is.
"""

from __future__ import annotations

import binascii
import functools
import hashlib
import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np

from neocog.atomic import atomic_write
from neocog.budgets import BudgetError

__all__ = [
    "FORMAT_VERSION",
    "ModelFileError",
    "PathLike",
    "blaming",
    "damaged",
    "digest",
    "is_own",
    "read",
    "write",
]

FORMAT_VERSION = 2
BLOCK = 16 * 2**20
COMPARED = 2**18
"""Bytes that are read back at a time: as many as a processor's own cache holds, or memory sets the pace."""

CODES = {
    **{f"float{bits}": f"F{bits}" for bits in (16, 32, 64)},
    **{f"int{bits}": f"I{bits}" for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": f"U{bits}" for bits in (8, 16, 32, 64)},
    "bool": "BOOL",
    "complex64": "C64",
}
"""The names of types in a safetensors file."""

PathLike: TypeAlias = str | os.PathLike[str]


class ModelFileError(ValueError):
    """A model file is damaged, malformed, truncated, of a newer version, or not a model file at all."""


class blaming:  # noqa: N801 - used as a function
    """Convert any exception that a malformed file causes into a ModelFileError that names the file."""

    def __init__(self, path: PathLike, kind: str = "usable neocog file") -> None:
        self.path, self.kind = str(path), kind

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        malformed = (
            ArithmeticError,
            AttributeError,
            LookupError,
            MemoryError,
            RecursionError,
            TypeError,
            ValueError,
        )
        if isinstance(error, BudgetError) and self.path not in str(error):
            raise ModelFileError(f"{self.path}: {error}") from error
        if isinstance(error, malformed) and self.path not in str(error):
            text = str(error) if isinstance(error, ValueError | TypeError) else repr(error)
            text = " ".join(text.split()).rstrip(".")  # in one line
            raise ModelFileError(f"{self.path} is not a {self.kind}: {text}.") from error


def write(path: PathLike, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays and a description of plain data, atomically, and read the file back to verify it.

    The arrays are written piece by piece: there is no second copy of them in memory.

    Raises
    ------
    OSError
        If the file cannot be written, or holds something else after writing.
    TypeError
        If the description is not plain data, or an array is of a type that the format has not.
    """
    # safetensors stores the memory of an array as it is: it must be C-contiguous, and little-endian.
    ready = {name: np.asarray(array) for name, array in arrays.items()}
    ready = {
        name: np.asarray(array, array.dtype.newbyteorder("<"), order="C")
        for name, array in sorted(ready.items(), key=lambda item: (-item[1].itemsize, item[0]))
    }
    for name, array in ready.items():
        if array.dtype.name not in CODES:
            raise TypeError(f"{name} must be of one of the types {', '.join(CODES)}, got {array.dtype}.")
    blocks = {name: _blocks(array) for name, array in ready.items()}
    # The header holds the CRCs, known when the arrays have been written: leave room for the longest.
    head = _head(header, ready, {name: [2**32 - 1] * len(each) for name, each in blocks.items()})
    room = len(head)
    pieces = [block for each in blocks.values() for block in each]

    def write_pieces(file: BinaryIO) -> None:
        nonlocal head
        file.seek(room)
        with _mapped(binascii.crc32, pieces) as found:
            file.writelines(pieces)
            crcs = {name: [next(found) for _ in each] for name, each in blocks.items()}
        head = _head(header, ready, crcs, room)
        file.seek(0)
        file.write(head)

    def check(written: Path) -> None:
        everything = [memoryview(head), *pieces]
        *places, size = itertools.accumulate(map(len, everything), initial=0)
        with _mapped(functools.partial(_holds, written), everything, places) as same:
            if not all(same) or written.stat().st_size != size:
                raise OSError(f"{path} differs after writing.")

    atomic_write(path, write_pieces, check)


def _holds(path: Path, expected: memoryview, place: int) -> bool:
    """Return whether a file has these bytes at a place; they are read a little at a time."""
    wanted, room = np.frombuffer(expected, np.uint8), np.empty(COMPARED, np.uint8)
    with open(path, "rb") as file:
        file.seek(place)
        for start in range(0, len(wanted), COMPARED):
            some = wanted[start : start + COMPARED]
            if not np.array_equal(room[: file.readinto(room[: len(some)])], some):  # type: ignore[arg-type]
                return False
    return True


def _head(
    header: Mapping[str, Any], arrays: Mapping[str, np.ndarray], crcs: Mapping[str, list[int]], room: int = 0
) -> bytes:
    """Return what stands before the arrays, filled up to ``room`` bytes with spaces."""
    table = {name: [array.dtype.name, list(array.shape), crcs[name]] for name, array in arrays.items()}
    try:
        content = json.loads(json.dumps({**header, "arrays": table}))
    except TypeError as error:
        raise TypeError(f"layers and states must be described by plain data to be saved: {error}.") from error
    entry = {"version": FORMAT_VERSION, "sha256": digest(content), "content": content}
    described: dict[str, Any] = {"__metadata__": {"neocog": json.dumps(entry)}}
    end = 0
    for name, array in arrays.items():
        begin, end = end, end + array.nbytes
        described[name] = {
            "dtype": CODES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(described, separators=(",", ":")).encode()
    size = max(-(-len(text) // 8) * 8, room - 8)
    return size.to_bytes(8, "little") + text.ljust(size)


def read(path: PathLike) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read a file written by :func:`write`, after checking its digest.

    Raises
    ------
    FileNotFoundError, IsADirectoryError
        If there is no such file.
    ModelFileError
        If it is no such file, is damaged, or of a newer version.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}.")
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder, not a model file.")
    if path.stat().st_size == 0:
        raise ModelFileError(f"{path} is empty.")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if "neocog" not in metadata:
                raise ModelFileError(f"{path} is a safetensors file, but not one of neocog's.")
            content = _content(path, metadata["neocog"])
            with blaming(path):
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ModelFileError(f"{path} is not a neocog file, or is truncated: {error}.") from error
    if "arrays" in content:
        with blaming(path):
            _check_arrays(path, content["arrays"], arrays)
    return content, arrays


def is_own(path: PathLike) -> bool:
    """Return whether a file is one of neocog's, and no other safetensors file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return "neocog" in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False


def _content(path: Path, text: str) -> dict[str, Any]:
    """Return the description in a header entry, after checking version and digest."""
    with blaming(path):
        entry: dict[str, Any] = json.loads(text)
        version = entry["version"]
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise ModelFileError(f"{path} has the unknown format version {version!r}.")
    if version > FORMAT_VERSION:
        raise ModelFileError(
            f"{path} has format version {version}, this neocog reads up to {FORMAT_VERSION}: upgrade neocog."
        )
    with blaming(path):
        if version == 1:
            if not {"sha256", "content", "arrays"}.isdisjoint(entry):
                raise damaged(path, "its format version")
            return entry
        content: dict[str, Any] = entry["content"]
        if entry["sha256"] != digest(content):
            raise damaged(path, "its description")
        if not isinstance(content["arrays"], dict):
            raise ModelFileError(f"{path} describes no arrays.")
    return content


def damaged(path: PathLike, part: str) -> ModelFileError:
    """Return the error for a file of which a part does not fit its digest."""
    return ModelFileError(f"{path} is damaged: {part} does not fit its digest. Use another copy of it.")


def digest(content: Any) -> str:
    """Return the SHA-256 of plain data as canonical JSON."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _check_arrays(path: Path, table: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    if set(table) != set(arrays):
        raise damaged(path, "the list of its arrays")
    for name, array, crcs in _checked(arrays):
        if table[name] != [array.dtype.name, list(array.shape), crcs]:
            raise damaged(path, f"the array {name!r}")


def _checked(arrays: Mapping[str, np.ndarray]) -> Iterator[tuple[str, np.ndarray, list[int]]]:
    """Yield name, array and CRCs of its blocks."""
    blocks = {name: _blocks(array) for name, array in arrays.items()}
    with _mapped(binascii.crc32, [block for each in blocks.values() for block in each]) as found:
        for name, each in blocks.items():
            yield name, arrays[name], [next(found) for _ in each]


def _blocks(array: np.ndarray) -> list[memoryview]:
    data = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
    return [data[start : start + BLOCK] for start in range(0, len(data), BLOCK)]


@contextmanager
def _mapped(
    function: Callable[..., Any], blocks: list[memoryview], *more: Iterable[Any]
) -> Iterator[Iterator[Any]]:
    """Yield what a function says of blocks; where these are large, threads compute it, beside each other."""
    if sum(map(len, blocks)) > BLOCK:
        with ThreadPoolExecutor(max_workers=4) as pool:
            yield pool.map(function, blocks, *more)
    else:
        yield map(function, blocks, *more)
