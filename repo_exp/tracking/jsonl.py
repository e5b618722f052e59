"""Metrics as JSON lines in the run folder: figures, reports and sweeps read them, with nothing else installed."""

from __future__ import annotations

import contextlib
import json
import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from repo_exp.durable import append, write_bytes
from repo_exp.errors import DataError, Problem
from repo_exp.plain import plain

LOG = logging.getLogger(__name__)
METRICS = "metrics.jsonl"
SUMMARY = "summary.json"
TABLES = "tables"


class JsonlTracker:
    """Writes ``metrics.jsonl`` (a line per log), ``summary.json`` and ``tables/NAME.json`` in the run folder.

    A run that goes on in the same folder leaves each step there once: a step that it reports as it stands there already
    keeps its line; where it reports another one, the lines of that stage from that step on are replaced.
    """

    def __init__(self, run_folder: Path) -> None:
        self._path = Path(run_folder) / METRICS
        self._earlier = _by_place(self._path)  # what an earlier run left, and this one has not reported yet
        self._last: dict[str, int] = {}  # stage -> its last step in this run
        append(self._path, b"", synced=False)  # a folder that cannot be written says so now

    def log(self, stage: str, step: int, metrics: Mapping[str, float]) -> None:
        """Append one line, and hand it to the operating system at once.

        Raises:
            WriteError: the file cannot be written; the line was not added.
        """
        place = (stage, int(step))
        record = {
            "stage": stage,
            "step": int(step),
            "time": round(time.time(), 3),
            "metrics": {name: float(value) for name, value in metrics.items()},
        }
        line = _json(record)
        self._last[stage] = max(step, self._last.get(stage, step))
        if place in self._earlier and self._earlier[place]["metrics"] == json.loads(line)["metrics"]:
            del self._earlier[place]
            return
        self._drop(lambda name, other: name == stage and other >= step)
        append(self._path, line.encode() + b"\n", synced=False)

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Write the table as ``{"columns", "rows"}``."""
        safe = re.sub(r"[^\w.+-]+", "_", name).strip(".") or "table"
        table = {"columns": list(columns), "rows": [list(row) for row in rows]}
        _write(self._path.parent / TABLES / f"{safe}.json", table)

    def summary(self, values: Mapping[str, Any]) -> None:
        """Add to ``summary.json``."""
        path = self._path.parent / SUMMARY
        earlier = {}
        with contextlib.suppress(OSError, ValueError):  # none yet, or damaged
            earlier = dict(json.loads(path.read_text("utf-8")))
        _write(path, {**earlier, **values})

    def file(self, path: Path) -> None:
        """Nothing to do: the file is in the run folder already."""

    def finish(self, ok: bool) -> None:
        """Drop what only an earlier run in this folder reported, if all is done; let the lines reach the disk."""
        if ok:
            self._drop(lambda name, step: step > self._last.get(name, -1))
        append(self._path, b"")

    def _drop(self, unwanted: Callable[[str, int], bool]) -> None:
        """Rewrite the file without those of the earlier run's lines."""
        gone = {place for place in self._earlier if unwanted(*place)}
        if not gone:
            return
        for place in gone:
            del self._earlier[place]
        kept = [row for row in read_metrics(self._path) if (row["stage"], row["step"]) not in gone]
        write_bytes(self._path, b"".join(_json(row).encode() + b"\n" for row in kept))


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


def _by_place(path: Path) -> dict[tuple[str, int], dict[str, Any]]:
    """Return (stage, step) -> record of what is in the file, each once; the file is mended where it was not so."""
    if not path.is_file():
        return {}
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    records = [record for record in map(_record, whole.split(b"\n")) if record is not None]
    found = {(str(record["stage"]), record["step"]): record for record in records if isinstance(record["step"], int)}
    if len(found) < whole.count(b"\n"):
        LOG.warning(
            "%s: lines that are damaged or there twice are removed; this run continues in the same folder", path
        )
        write_bytes(path, b"".join(_json(record).encode() + b"\n" for record in found.values()))
    return found


def _json(value: Any) -> str:
    # ASCII, so that a lone surrogate in a model's output can be written; str() for what JSON does not know.
    return json.dumps(plain(value), allow_nan=False, default=str)


def _write(path: Path, value: Any) -> None:
    write_bytes(path, _json(value).encode() + b"\n")
