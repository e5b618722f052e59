"""SHA-256 of files; that of a large file is cached until the file changes.

    <root>/.digests.json      device and inode -> bytes, times of change, digest

A file counts as unchanged while its size, its time of modification and its time of status change stay the same. A
digest is cached only once the file has not been written for a while: two writes within one tick of the file system's
clock have the same time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
import time
from pathlib import Path
from typing import Any

LARGE = 2**24  # bytes; what is smaller is read every time
SETTLED = 3.0  # seconds; no file system in use has a coarser clock


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Digests:
    """Digests of files, those of large ones cached in a file below ``root``."""

    def __init__(self, root: Path) -> None:
        self._path = root / ".digests.json"

    def __call__(self, path: Path) -> str:
        """Return the SHA-256 of a file, in hexadecimal."""
        found = path.stat()
        if found.st_size < LARGE:
            return digest(path)
        key = f"{found.st_dev}:{found.st_ino}"
        state = [found.st_size, found.st_mtime_ns, found.st_ctime_ns]
        if (cached := self._read().get(key)) and cached[:-1] == state:
            return str(cached[-1])
        value, after = digest(path), path.stat()
        settled = time.time() - max(found.st_mtime, found.st_ctime) > SETTLED
        if settled and state == [after.st_size, after.st_mtime_ns, after.st_ctime_ns]:
            self._write(self._read() | {key: [*state, value]})
        return value

    def _read(self) -> dict[str, list[Any]]:
        try:
            cached = json.loads(self._path.read_text(encoding="utf-8"))
            return {key: entry for key, entry in cached.items() if isinstance(entry, list) and len(entry) == 4}
        except (OSError, ValueError, AttributeError):
            return {}  # the cache only saves time

    def _write(self, cached: dict[str, list[Any]]) -> None:
        with contextlib.suppress(OSError):  # a read-only store can still be read
            self._path.parent.mkdir(parents=True, exist_ok=True)
            unfinished = self._path.with_name(f"{self._path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
            unfinished.write_text(json.dumps(cached), encoding="utf-8")
            os.replace(unfinished, self._path)
