"""The responses that a policy was trained on: a file per update during training, one file in the end.

A resumed run replaces the files of the updates that it does again.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from repo_exp.durable import writing
from repo_exp.stages.store import write_lines

ROLLOUTS = "rollouts.jsonl"
PARTS = "rollouts.parts"


def write(folder: Path, update: int, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the responses of one update, each with its scores."""
    write_lines(_part(folder, update), rows)


def unreadable(folder: Path, updates: int) -> str:
    """Return what is wrong with the responses of the first ``updates`` updates; "" if they are all there."""
    for update in range(updates):
        try:
            with _part(folder, update).open(encoding="utf-8") as lines:
                if not all({"tokens", "total"} <= json.loads(line).keys() for line in lines):
                    raise ValueError
        except (OSError, ValueError, AttributeError):
            return f"the responses of update {update + 1} cannot be read"
    return ""


def gather(folder: Path, updates: int) -> tuple[int, int]:
    """Concatenate the updates' files; return how many tokens were sampled, and how many of responses with a total.

    The files stay until the artifact is complete: a run that is cut off here needs them again.
    """
    with writing(folder / ROLLOUTS) as unfinished, unfinished.open("wb") as whole:
        for update in range(updates):
            with _part(folder, update).open("rb") as part:
                shutil.copyfileobj(part, whole)
    sampled = scored = 0
    with (folder / ROLLOUTS).open(encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            sampled += row["tokens"]
            scored += row["tokens"] if row["total"] is not None else 0
    return sampled, scored


def _part(folder: Path, update: int) -> Path:
    return folder / PARTS / f"{update:06d}.jsonl"
