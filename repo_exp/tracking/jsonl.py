"""Metrics as JSON lines in the run folder: what figures, reports and sweeps read, with nothing else installed."""

from __future__ import annotations

import json
import os
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from repo_exp.errors import DataError, Problem
from repo_exp.plain import plain

METRICS = "metrics.jsonl"
SUMMARY = "summary.json"
TABLES = "tables"


class JsonlTracker:
    """Writes ``metrics.jsonl`` (a line per log), ``summary.json`` and ``tables/NAME.json`` in the run folder.

    A run that goes on in the same folder appends; half a line that a killed run left behind is cut off first.
    """

    def __init__(self, run_folder: Path) -> None:
        self._folder = Path(run_folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / METRICS
        _cut_half_line(path)
        self._file = path.open("a", encoding="utf-8")

    def log(self, stage: str, step: int, metrics: Mapping[str, float]) -> None:
        """Append one line, and hand it to the operating system at once."""
        record = {
            "stage": stage,
            "step": int(step),
            "time": round(time.time(), 3),
            "metrics": {name: float(value) for name, value in metrics.items()},
        }
        self._file.write(_json(record) + "\n")
        self._file.flush()

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Write the table as ``{"columns", "rows"}``."""
        safe = re.sub(r"[^\w.+-]+", "_", name).strip(".") or "table"
        _write(self._folder / TABLES / f"{safe}.json", {"columns": list(columns), "rows": [list(row) for row in rows]})

    def summary(self, values: Mapping[str, Any]) -> None:
        """Add to ``summary.json``."""
        path = self._folder / SUMMARY
        known = json.loads(path.read_text("utf-8")) if path.exists() else {}
        _write(path, {**known, **values})

    def file(self, path: Path) -> None:
        """Nothing to do: the file is in the run folder already."""

    def finish(self, ok: bool) -> None:
        """Close the file."""
        self._file.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Return the records ``{"stage", "step", "time", "metrics"}``; a metric without a value is None.

    No file is no records. A last line without its end (the run was killed, or is writing) is left out.

    Raises:
        DataError: lines before it are no records; all of them are listed.
    """
    path = Path(path)
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")[:-1]  # what follows the last line end is half a line, or nothing
    records, problems = [], []
    for place, line in enumerate(lines, start=1):
        record = _record(line)
        if record is not None:
            records.append(record)
        elif line.strip():
            shown = line[:60].decode("utf-8", errors="replace")
            problems.append(Problem(f"{path}:{place}", f"no metrics record: {shown!r}", "remove the line"))
    if problems:
        raise DataError(f"{len(problems)} lines of the metrics cannot be read", problems)
    return records


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    if not isinstance(record, dict) or not {"stage", "step", "metrics"} <= record.keys():
        return None
    return record if isinstance(record["metrics"], dict) else None


def _cut_half_line(path: Path) -> None:
    if not path.exists():
        return
    with path.open("r+b") as file:
        content = file.read()
        if content and not content.endswith(b"\n"):
            file.truncate(content.rfind(b"\n") + 1)


def _json(value: Any) -> str:
    # ASCII, so that a lone surrogate in a model's output can be written; str() for what JSON does not know.
    return json.dumps(plain(value), allow_nan=False, default=str)


def _write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        temporary.write_text(_json(value) + "\n", encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
