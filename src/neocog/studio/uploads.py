"""Keep the pictures that a page sends by HTTP, for as long as its session lives."""

from __future__ import annotations

import shutil
import tempfile
import threading
from pathlib import Path
from typing import Any

from neocog.data.pictures import FORMATS, load_image, read_header
from neocog.studio.protocol import LIMITS

__all__ = ["Pictures"]


class Pictures:
    """The pictures of a session, by ids of the server's own; their names are only shown."""

    def __init__(self) -> None:
        self._paths: dict[str, Path] = {}
        self._bytes = 0
        self.folder: Path | None = None
        self._lock = threading.Lock()
        self._removed = False

    def __getitem__(self, key: Any) -> Path:
        """Return the file of a picture; ValueError if there is none."""
        if not isinstance(key, str) or key not in self._paths:
            raise ValueError(
                f"upload must be one of the {len(self._paths)} pictures of this session, got {key!r}."
            )
        return self._paths[key]

    def add(self, name: str, content: bytes) -> dict[str, Any]:
        """Keep a picture, and return its id and size.

        Raises
        ------
        ValueError
            If it is no picture, or too large, or there are too many.
        """
        with self._lock:
            return self._add(name, content)

    def _add(self, name: str, content: bytes) -> dict[str, Any]:
        if self._removed:
            raise ValueError("the session of the picture has ended; open it again.")
        if len(self._paths) >= LIMITS["uploads"]:
            raise ValueError(f"a session takes at most {LIMITS['uploads']} pictures.")
        if self._bytes + len(content) > LIMITS["uploaded_bytes"]:
            most = LIMITS["uploaded_bytes"] // 2**20
            raise ValueError(f"the pictures of a session may have at most {most} MB; name a folder instead.")
        if self.folder is None:
            self.folder = Path(tempfile.mkdtemp(prefix="neocog-studio-"))
        key = f"picture-{len(self._paths) + 1}"
        path = self.folder / key
        path.write_bytes(content)
        try:
            header = read_header(path)
            load_image(path, (1, 8, 8))  # its pixels are sound, too
        except (ValueError, OSError) as error:
            path.unlink()
            raise ValueError(str(error).replace(str(path), name[: LIMITS["name_length"]])) from None
        final = path.with_suffix(FORMATS[header.format][0] if header.format in FORMATS else ".jpg")
        self._paths[key] = path.rename(final)
        self._bytes += len(content)
        return {"image": key, "width": header.width, "height": header.height}

    def remove(self) -> None:
        """Remove all files, and take no more."""
        with self._lock:
            self._removed = True
            if self.folder is not None:
                shutil.rmtree(self.folder, ignore_errors=True)
