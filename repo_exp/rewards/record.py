"""Keep every reply with every score, one JSON object a line."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from repo_exp.plain import plain
from repo_exp.types import Reply, RewardBreakdown, Score


def record(reply: Reply, breakdown: RewardBreakdown, **extra: Any) -> dict[str, Any]:
    """Return a reply and what it is worth as JSON; a number that is not finite becomes null.

    ``extra`` (step, stage, ...) comes first and must not use the names of the other keys.
    """
    row = {
        "context": reply.context.id,
        "messages": [{"role": message.role, "content": message.content} for message in reply.context.messages],
        "reply": reply.text,
        "finished": reply.finished,
        "tokens": reply.tokens,
        "total": breakdown.total,
        "enhancement": breakdown.enhancement,
        "clipped": breakdown.clipped,
        "lacks": list(breakdown.lacks),
        "sources": {name: _score(score) for name, score in breakdown.sources.items()},
    }
    if taken := sorted(set(extra) & set(row)):
        raise ValueError(f"the record has a key '{taken[0]}' of its own")
    return plain({**extra, **row})


def append_jsonl(path: str | Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Add rows to a JSONL file. Half a line that a killed run left at its end is cut off first."""
    path = Path(path)
    lines = "".join(json.dumps(plain(row), ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        _mend(file)
        # A lone surrogate has no UTF-8, but its escape is JSON.
        file.write(lines.encode("utf-8", "backslashreplace"))
        file.flush()
        os.fsync(file.fileno())


def _mend(file: Any) -> None:
    """Cut off the end of ``file`` after its last line break."""
    end = at = file.seek(0, os.SEEK_END)
    while at > 0:
        start = max(0, at - 65_536)
        file.seek(start)
        found = file.read(at - start).rfind(b"\n")
        if found >= 0:
            at = start + found + 1
            break
        at = start
    if at < end:
        file.truncate(at)


def _score(score: Score) -> dict[str, Any]:
    told = {"value": score.value, "parts": dict(score.parts), "reason": score.reason, "words": score.words}
    return told | ({"applies": score.applies} if score.missing else {})
