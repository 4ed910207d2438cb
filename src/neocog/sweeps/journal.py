"""Read and write the file of a sweep: a line of JSON for the sweep, then one for each point."""

from __future__ import annotations

import contextlib
import json
import math
import os
from pathlib import Path
from types import TracebackType
from typing import Any

from neocog.sweeps.grid import checked_grid, checked_seeds
from neocog.sweeps.worker import MEASURES, Row
from neocog.validation import integer, number

FORMAT = 1
_NUMBERS = (*MEASURES, "seconds", "parameters")
_IDENTITY = ("source", "grid", "seeds", "validation_fraction", "data")


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Any], list[Row]]:
    """Read a sweep's file; an incomplete last line, as a killed process leaves it, is ignored.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is none, or it is no sweep's file, or one of its lines is damaged.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"there is no file {path}.")
    header, rows, _ = _parse(Path(path), Path(path).read_bytes())
    if header is None:
        raise ValueError(f"{path} is not the file of a sweep: it holds no whole line.")
    return header, rows


def _parse(path: Path, content: bytes) -> tuple[dict[str, Any] | None, list[Row], int]:
    """Return the header, the rows, each point's first, and the number of bytes they take."""
    whole = content.rfind(b"\n") + 1
    header: dict[str, Any] | None = None
    rows: dict[int, Row] = {}
    for place, line in enumerate(content[:whole].splitlines(), start=1):
        try:
            found = json.loads(line)
            if header is None:
                if not isinstance(found, dict) or found.get("neocog_sweep") != FORMAT:
                    raise _NoSweepError
                _check_header(found)
                header, total = found, len(found["seeds"]) * math.prod(map(len, found["grid"].values()))
            else:
                _check_row(found, header, total)
                rows.setdefault(found["point"], found)
        except _NoSweepError:
            raise ValueError(
                f"{path} is not the file of a sweep, or of another version of neocog's."
            ) from None
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            advice = "" if header is None else " Delete that line; its point is trained again."
            raise ValueError(f"{path}, line {place} is damaged: {str(error).rstrip('.')}.{advice}") from None
    return header, list(rows.values()), whole


class _NoSweepError(ValueError):
    """The content is not the file of a sweep."""


def _check_header(header: dict[str, Any]) -> None:
    """Raise ValueError or TypeError if a header is not as ``sweep`` writes it."""
    kinds = {"source": str, "grid": dict, "seeds": list, "validation_fraction": float, "data": str}
    for key, kind in (kinds | {"images": dict, "versions": dict}).items():
        if not isinstance(header.get(key), kind):
            raise ValueError(f"{key} must be of type {kind.__name__}, got {header.get(key)!r}")
    checked_grid(header["grid"])
    checked_seeds(header["seeds"])
    for part in ("training", "validation"):
        integer(f"images[{part!r}]", header["images"].get(part))
    if not isinstance(header["versions"].get("neocog"), str):
        raise ValueError(f"versions must name neocog's, got {header['versions']!r}")


def _check_row(row: Any, header: dict[str, Any], total: int) -> None:
    """Raise ValueError or TypeError if a row is not as a worker writes it."""
    if not isinstance(row, dict):
        raise ValueError(f"it must be the row of a point, got {row!r}")
    lacking = [key for key in ("point", "seed", "error", *_NUMBERS, *header["grid"]) if key not in row]
    if lacking:
        raise ValueError(f"it must be the row of a point, with {', '.join(lacking)}, too")
    if integer("point", row["point"], 0) >= total:
        raise ValueError(f"point must be below {total}, got {row['point']}")
    if not isinstance(row["error"], str | None):
        raise ValueError(f"error must be a text or null, got {row['error']!r}")
    integer("parameters", row["parameters"], 0)
    for key in _NUMBERS:
        if row["error"] and key in MEASURES:  # it diverged
            if row[key] is not None:
                raise ValueError(f"{key} must be null where error is not, got {row[key]!r}")
        elif not math.isfinite(number(key, row[key])):
            raise ValueError(f"{key} must be finite, got {row[key]}")


class FileLostError(OSError):
    """The file can no longer be written, as on a full disk; the rows already in it stay."""


class Journal:
    """A sweep's file while the sweep is running; without a path, rows are kept in memory only.

    Parameters
    ----------
    path : path or None
        A new file, or one of the same sweep, which is continued.
    header : dict
        Description of the sweep; its source, grid, seeds, validation fraction and data identify it.

    Attributes
    ----------
    rows : list of dict

    Raises
    ------
    ValueError
        If the file is another sweep's, or of another version of neocog's, or no sweep's, or another process
        is writing it.
    OSError
        If it cannot be written.
    """

    def __init__(self, path: Path | None, header: dict[str, Any]) -> None:
        self.header: dict[str, Any] = json.loads(json.dumps({"neocog_sweep": FORMAT} | header))
        self.rows: list[Row] = []
        self.path = path
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
                verb = "are" if key == "seeds" else "is"
                raise ValueError(
                    f"{path} is the file of another sweep: its {key} {verb} {header[key]!r}, not "
                    f"{self.header[key]!r}."
                )
        then, now = header["versions"]["neocog"], self.header["versions"]["neocog"]
        if then != now:  # the same settings and seed may give other results
            raise ValueError(
                f"{path} was begun by neocog {then}, this is {now}; use that version, or begin anew."
            )
        self.header = header
        os.truncate(self._file, whole)

    @staticmethod
    def _line(data: dict[str, Any]) -> bytes:
        return json.dumps(data, allow_nan=False).encode() + b"\n"

    def _write(self, data: dict[str, Any]) -> None:
        if self._file is not None:
            line = self._line(data)
            try:
                while line:
                    line = line[os.write(self._file, line) :]
                os.fsync(self._file)
            except OSError as error:
                raise FileLostError(f"{self.path} cannot be written: {error.strerror}") from None

    def append(self, row: Row) -> None:
        """Append a point's row and flush it to the disk."""
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
