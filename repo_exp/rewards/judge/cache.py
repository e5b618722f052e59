"""Verdicts on disk, addressed by the content of the question; a killed run loses none that was kept."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from repo_exp.rewards.declared import fingerprint


def address(content: Any) -> str:
    """Return the key of JSON content: the same question has the same key on every machine."""
    return fingerprint(content)


_TABLE = "CREATE TABLE IF NOT EXISTS verdicts (key TEXT PRIMARY KEY, value TEXT NOT NULL)"


class VerdictCache:
    """A table key -> JSON in one SQLite file; several processes may share it.

    A file that is damaged or cannot be opened is reported once as a warning and treated as empty: a
    cache saves work, and its loss must not stop a run. ``None`` as path keeps nothing.
    """

    def __init__(self, path: str | Path | None) -> None:
        self.path = Path(path) if path is not None else None
        self._warned = False

    def get(self, keys: list[str]) -> dict[str, Any]:
        """Return the values that are there. Nothing is added, so the file may be read-only."""
        found: dict[str, Any] = {}
        if self.path is None or not self.path.exists():
            return found
        address = f"{self.path.absolute().as_uri()}?mode=rw"
        with self._excused(), contextlib.closing(sqlite3.connect(address, uri=True, timeout=30)) as connection:
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'verdicts'").fetchone():
                return found
            for key in keys:
                row = connection.execute("SELECT value FROM verdicts WHERE key = ?", (key,)).fetchone()
                if row:
                    with contextlib.suppress(ValueError):
                        found[key] = json.loads(row[0])
        return found

    def put(self, key: str, value: Any) -> None:
        """Keep a value at once: it is on disk when this returns."""
        if self.path is None:
            return
        with self._excused():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # One connection for each statement: no thread or forked process ever shares one.
            with contextlib.closing(sqlite3.connect(self.path, timeout=30)) as connection, connection:
                connection.execute(_TABLE)
                connection.execute("INSERT OR REPLACE INTO verdicts VALUES (?, ?)", (key, json.dumps(value)))

    @contextlib.contextmanager
    def _excused(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            if not self._warned:
                self._warned = True
                warnings.warn(f"the judge's cache {self.path} is not used: {error}", stacklevel=4)
