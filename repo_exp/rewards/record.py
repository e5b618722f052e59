"""Keep every reply with every score, one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from repo_exp.durable import append
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
    """Add rows to a JSONL file. Half a line that a killed run left at its end is cut off first.

    Raises:
        WriteError: the disk refuses; none of the rows was added.
    """
    lines = "".join(json.dumps(plain(row), ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
    # A lone surrogate has no UTF-8, but its escape is JSON.
    append(path, lines.encode("utf-8", "backslashreplace"))


def _score(score: Score) -> dict[str, Any]:
    told = {"value": score.value, "parts": dict(score.parts), "reason": score.reason, "words": score.words}
    return told | ({"applies": score.applies} if score.missing else {})
