"""Errors of rows of a data file, and how many of them are reported."""

from __future__ import annotations

import contextlib
import functools
import os
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from repo_exp.errors import DataError, Problem

SHOWN = 20  # bad rows that are printed; of more, the rest is in a file
LONGEST = 240  # characters of a message on a row, which may quote any text
EXAMPLE = '{"prompt": "...", "chosen": "...", "rejected": "..."}'


class Bad(Exception):
    """A row that cannot be used.

    Args:
        found: what is wrong with it.
        remedy: what would work.
        kind: the same for all rows with this mistake; ``found`` where it says nothing of the single row.
    """

    def __init__(self, found: str, remedy: str = "", *, kind: str = "") -> None:
        found = _short(found)
        super().__init__(found)
        self.found, self.remedy, self.kind = found, remedy, _short(kind) or found


Fault = tuple[str, Bad]  # where it is, and what is wrong there


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def printable(path: object) -> str:
    """Return a path as it can be printed: a name may hold bytes that are no text."""
    return str(path).encode("utf-8", errors="backslashreplace").decode("utf-8")


def unreadable(path: object, found: str, remedy: str = "") -> DataError:
    """Return the error of a file that cannot be read at all."""
    return DataError("the data cannot be read", [Problem(printable(path), found, remedy)])


def counted(faults: Sequence[Fault], *, good: int) -> str:
    """Return how many rows are bad, by kind, in a line."""
    kinds = Counter(bad.kind for _, bad in faults).most_common()
    listed = "; ".join(f"{count:,} x {kind}" for kind, count in kinds[:SHOWN])
    more = f"; and {len(kinds) - SHOWN:,} more kinds" if len(kinds) > SHOWN else ""
    return f"{len(faults):,} bad and {good:,} good lines ({listed}{more})"


def problems(faults: Sequence[Fault], *, good: int, into: Path | None = None) -> tuple[Problem, ...]:
    """Return the first bad rows as problems; of more than ``SHOWN`` all of them are in a file that the last one names.

    Args:
        good: rows that can be used.
        into: the file to write; by default a new one in the folder for temporary files.
    """
    problems = [Problem(where, bad.found, bad.remedy) for where, bad in faults[:SHOWN]]
    if len(faults) > SHOWN:
        listed = write_all(faults, into)
        all_of_them = f"all of them: {listed}" if listed else ""
        problems.append(Problem(f"and {len(faults) - SHOWN:,} more", counted(faults, good=good), all_of_them))
    return tuple(problems)


def refusal(faults: Sequence[Fault], *, good: int) -> DataError:
    """Return the error that lists bad rows."""
    way_out = "; data.skip_bad_lines=true keeps the good ones" if good else ""
    return DataError(f"{counted(faults, good=good)}{way_out}", problems(faults, good=good))


def write_all(faults: Sequence[Fault], into: Path | None = None) -> Path | None:
    """Write every bad row, one a line; None where no file can be written."""
    return _written(tuple(faults), into) if into else _temporary(tuple(faults))


@functools.lru_cache(maxsize=4)  # a sweep looks at the same rows once for each of its runs
def _temporary(faults: tuple[Fault, ...]) -> Path | None:
    try:
        handle, name = tempfile.mkstemp(prefix="repo_exp-bad-lines-", suffix=".txt")
    except OSError:
        return None
    os.close(handle)
    return _written(faults, Path(name))


def _written(faults: tuple[Fault, ...], into: Path) -> Path | None:
    text = "".join(f"{where}: {bad.found}\n" for where, bad in faults)
    with contextlib.suppress(OSError):
        into.write_text(text, encoding="utf-8", errors="replace")
        return into
    return None
