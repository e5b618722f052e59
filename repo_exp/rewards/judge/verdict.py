"""Parse a verdict from a judge's answer; its text is untrusted."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

_LONGEST = 50_000  # characters of an answer that are read
_MOST_OBJECTS = 64
_THOUGHT = re.compile(r"<think>.*?</think>", re.DOTALL)


class UnreadableError(ValueError):
    """The answer holds no verdict; the message is a short reason."""


def read_verdict(text: str, names: Collection[str]) -> dict[str, bool]:
    """Return question -> yes? for every name in ``names``; whatever else the answer holds is ignored.

    The first JSON object that answers any of the questions is the verdict. A second one that says
    otherwise makes the answer unreadable: it may be a quotation of the graded text.

    Raises:
        UnreadableError: there is no verdict, two of them disagree, or a question has no answer.
    """
    answers = [found for verdict in _objects(text) if (found := _answers(verdict, names))]
    if not answers:
        raise UnreadableError("unreadable")
    if any(other.get(name, yes) != yes for other in answers[1:] for name, yes in answers[0].items()):
        raise UnreadableError("contradictory")
    if missing := sorted(set(names) - set(answers[0])):
        raise UnreadableError(f"missing item: {missing[0]}")
    return {name: answers[0][name] for name in names}


def _objects(text: str) -> list[dict[str, Any]]:
    """Return the outermost JSON objects in ``text``."""
    text = _THOUGHT.sub("", text[:_LONGEST])
    decoder, found, at = json.JSONDecoder(), [], text.find("{")
    for _ in range(_MOST_OBJECTS):
        if at < 0:
            break
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            end = at + 1
        else:
            found.append(value)
        at = text.find("{", end)
    return found


def _answers(verdict: Mapping[str, Any], names: Collection[str]) -> dict[str, bool]:
    return {name: yes for name in names if (yes := _yes(verdict.get(name))) is not None}


def _yes(value: Any) -> bool | None:
    if isinstance(value, Mapping):
        value = value.get("answer")
    if isinstance(value, bool):
        return value
    return {"yes": True, "no": False}.get(value.strip(" .!\n\t\"'").casefold()) if isinstance(value, str) else None
