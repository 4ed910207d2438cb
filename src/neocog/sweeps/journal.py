"""The file of a sweep: a line of JSON for the sweep, then one for each point as it comes."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any

from neocog.sweeps.worker import Row

FORMAT = 1
_IDENTITY = ("source", "grid", "seeds", "validation_fraction", "data")


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Any], list[Row]]:
    """Read a sweep's file; half a last line, as a killed process leaves it, is left out.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is none, or it is no sweep's file.
    """
    header, rows, _ = _parse(Path(path), Path(path).read_bytes())
    if header is None:
        raise ValueError(f"{path} is not the file of a sweep: it holds no whole line.")
    return header, rows


def _parse(path: Path, content: bytes) -> tuple[dict[str, Any] | None, list[Row], int]:
    """Return the header, the rows, each point's first, and the number of bytes they take."""
    whole = content.rfind(b"\n") + 1
    found: list[Any] = []
    for number, line in enumerate(content[:whole].splitlines(), start=1):
        try:
            found.append(json.loads(line))
        except ValueError as error:
            raise ValueError(f"{path}, line {number} is damaged: {error}.") from None
    if not found:
        return None, [], 0
    if not isinstance(found[0], dict) or found[0].get("neocog_sweep") != FORMAT:
        raise ValueError(f"{path} is not the file of a sweep, or of another version of neocog's.")
    rows: dict[int, Row] = {}
    for number, row in enumerate(found[1:], start=2):
        if not isinstance(row, dict) or not isinstance(row.get("point"), int):
            raise ValueError(f"{path}, line {number} must be the row of a point, got {row!r}.")
        rows.setdefault(row["point"], row)
    return found[0], list(rows.values()), whole


class Journal:
    """A sweep's file while the sweep is running; without a path, rows are kept in memory only.

    Parameters
    ----------
    path : path or None
        A new file, or one of the same sweep, which goes on.
    header : dict
        What the sweep is; its source, grid, seeds, validation fraction and data tell it from others.

    Attributes
    ----------
    rows : list of dict

    Raises
    ------
    ValueError
        If the file is another sweep's, or no sweep's, or another process is writing it.
    OSError
        If it cannot be written.
    """

    def __init__(self, path: Path | None, header: dict[str, Any]) -> None:
        self.header: dict[str, Any] = json.loads(json.dumps({"neocog_sweep": FORMAT} | header))
        self.rows: list[Row] = []
        self._file: int | None = None
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            self._lock(path)
            self._begin(path)
        except BaseException:
            self.close()
            raise

    def _lock(self, path: Path) -> None:
        try:
            import fcntl
        except ImportError:  # not on Windows
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # type: ignore[arg-type]
        except BlockingIOError:
            raise ValueError(f"{path} is being written by another process.") from None
        except OSError:  # a file system without locks
            pass

    def _begin(self, path: Path) -> None:
        header, self.rows, whole = _parse(path, path.read_bytes())
        assert self._file is not None
        if header is None:
            if path.stat().st_size and not self._line(self.header).startswith(path.read_bytes()):
                raise ValueError(f"{path} is already there and is not the file of a sweep.")
            os.truncate(self._file, 0)
            self._write(self.header)
            return
        for key in _IDENTITY:
            if header.get(key) != self.header[key]:
                raise ValueError(
                    f"{path} is the file of another sweep: its {key} is {header.get(key)!r}, not "
                    f"{self.header[key]!r}."
                )
        self.header = header
        os.truncate(self._file, whole)

    @staticmethod
    def _line(data: dict[str, Any]) -> bytes:
        return json.dumps(data, allow_nan=False).encode() + b"\n"

    def _write(self, data: dict[str, Any]) -> None:
        if self._file is not None:
            line = self._line(data)
            while line:
                line = line[os.write(self._file, line) :]
            os.fsync(self._file)

    def append(self, row: Row) -> None:
        """Add a point's row; when this returns it is on the disk."""
        self._write(row)
        self.rows.append(json.loads(self._line(row)))

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                os.close(self._file)
            self._file = None

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
