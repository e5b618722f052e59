"""Verdicts on disk, addressed by the content of the question; a killed run loses none that was kept."""

from __future__ import annotations

import json
import sqlite3
import warnings
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
        """Return the values that are there."""
        found = {}
        for key in keys:
            row = self._run("SELECT value FROM verdicts WHERE key = ?", (key,))
            if row:
                try:
                    found[key] = json.loads(row[0])
                except ValueError:
                    continue
        return found

    def put(self, key: str, value: Any) -> None:
        """Keep a value at once: it is on disk when this returns."""
        self._run("INSERT OR REPLACE INTO verdicts VALUES (?, ?)", (key, json.dumps(value)))

    def _run(self, statement: str, values: tuple) -> tuple | None:
        if self.path is None:
            return None
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # One connection for each statement: no thread or forked process ever shares one.
            connection = sqlite3.connect(self.path, timeout=30)
            try:
                with connection:
                    connection.execute(_TABLE)
                    return connection.execute(statement, values).fetchone()
            finally:
                connection.close()
        except (sqlite3.Error, OSError) as error:
            if not self._warned:
                self._warned = True
                warnings.warn(f"the judge's cache {self.path} is not used: {error}", stacklevel=3)
            return None
