"""Writes and reads a corpus as JSONL files, one for each kind of item, and counts its items."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from repo_exp.durable import writing
from repo_exp.errors import DataError, Problem
from repo_exp.types import SPLITS, Corpus, Demonstration, Judgement, Message, Preference, Prompt


def _from_prompt(prompt: Prompt) -> dict[str, Any]:
    return {
        "id": prompt.id,
        "messages": [{"role": m.role, "content": m.content} for m in prompt.messages],
        "facts": dict(prompt.facts),
        **({"reference": prompt.reference} if prompt.reference else {}),
    }


def _to_prompt(row: Mapping[str, Any]) -> Prompt:
    messages = tuple(Message(m["role"], m["content"]) for m in row["messages"])
    return Prompt(row["id"], messages, row["facts"], row.get("reference", ""))


def _to_preference(row: Mapping[str, Any]) -> Preference:
    prompt, margin = _to_prompt(row["prompt"]), row.get("margin", 0.0)
    return Preference(prompt, row["chosen"], row["rejected"], row["kind"], row["fault"], margin)


# kind of item -> how an item becomes a row, and a row an item
_KINDS: dict[str, tuple[Callable[[Any], dict[str, Any]], Callable[[Mapping[str, Any]], Any]]] = {
    "demonstrations": (
        lambda d: {"prompt": _from_prompt(d.prompt), "response": d.response},
        lambda row: Demonstration(_to_prompt(row["prompt"]), row["response"]),
    ),
    "preferences": (
        lambda p: {
            "prompt": _from_prompt(p.prompt),
            "chosen": p.chosen,
            "rejected": p.rejected,
            "kind": p.kind,
            "fault": p.fault,
            **({"margin": p.margin} if p.margin else {}),
        },
        _to_preference,
    ),
    "judgements": (
        lambda j: {"prompt": _from_prompt(j.prompt), "response": j.response, "labels": dict(j.labels)},
        lambda row: Judgement(_to_prompt(row["prompt"]), row["response"], row["labels"]),
    ),
    "prompts": (lambda c: {"prompt": _from_prompt(c)}, lambda row: _to_prompt(row["prompt"])),
}


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is not a number in JSON")


def write_corpus(corpus: Corpus, folder: str | os.PathLike[str]) -> None:
    """Write a corpus as demonstrations, preferences, judgements and prompts.jsonl, each whole or not at all."""
    folder = Path(folder)
    for kind, (to_row, _) in _KINDS.items():
        rows = ({"split": split, **to_row(item)} for split, items in getattr(corpus, kind).items() for item in items)
        with writing(folder / f"{kind}.jsonl") as unfinished:
            with unfinished.open("w", encoding="utf-8", newline="\n") as file:
                file.writelines(map(_line, rows))


def read_corpus(folder: str | os.PathLike[str]) -> Corpus:
    """Read what ``write_corpus`` wrote; every split is there, empty or not.

    Raises:
        DataError: a file is missing, or lines are not what was written.
    """
    folder = Path(folder)
    read: dict[str, dict[Any, tuple]] = {}
    problems: list[Problem] = []
    for kind, (_, from_row) in _KINDS.items():
        path = folder / f"{kind}.jsonl"
        items: dict[Any, list] = {split: [] for split in SPLITS}
        try:
            lines = path.read_bytes().split(b"\n")
        except OSError as error:
            problems.append(Problem(str(path), error.strerror or str(error), "make the corpus again"))
            continue
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line, parse_constant=_no_number)
                items[row["split"]].append(from_row(row))
            except (ValueError, KeyError, TypeError) as error:
                problems.append(
                    Problem(f"{path}:{number}", f"not a line of a corpus ({error})", "make the corpus again")
                )
        read[kind] = {split: tuple(found) for split, found in items.items()}
    if problems:
        raise DataError("the corpus cannot be read", problems)
    return Corpus(**read)


def describe(corpus: Corpus) -> dict[str, Any]:
    """Return how many items there are: kind of item -> split -> count, and for pairs also by kind and by fault."""
    counts: dict[str, Any] = {
        kind: {split: len(items) for split, items in getattr(corpus, kind).items()} for kind in _KINDS
    }
    for name in ("kind", "fault"):
        counts[f"preferences_by_{name}"] = {
            split: dict(sorted(Counter(getattr(p, name) or "unnamed" for p in pairs).items()))
            for split, pairs in corpus.preferences.items()
        }
    return counts
