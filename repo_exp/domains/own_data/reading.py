"""Turns a row into a pair with its facts and labels, or into an error that says what would work."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from repo_exp.domains.own_data import shapes
from repo_exp.domains.own_data.faults import EXAMPLE, Bad
from repo_exp.domains.own_data.messages import Remarks
from repo_exp.types import Prompt, Split

KNOWN = (
    "prompt", "chosen", "rejected", "conversations", "messages", "system", "tools",
    "facts", "labels", "margin", "kind", "fault",
)  # fmt: skip
LARGEST_MARGIN = 1e6  # of scores that are a few units apart


@dataclass(frozen=True, slots=True)
class Pair:
    """A row.

    Attributes:
        where: its file and line.
        split: the split that its file says it is of.
        key: the prompt in one fixed form.
        remarks: what the notes count, as (kind, detail).
    """

    where: str
    prompt: Prompt
    chosen: str
    rejected: str
    kind: str
    fault: str
    labels: Mapping[str, Mapping[str, bool]]
    margin: float
    split: Split | None
    key: str
    remarks: tuple[tuple[str, str], ...]


def pair(row: Any, *, name: str, where: str = "", split: Split | None = None, cells: bool = False) -> Pair:
    """Return a row as a pair.

    Args:
        name: the id of its prompt.
        cells: are the values cells of a table of texts?

    Raises:
        Bad: it cannot be used.
    """
    if not isinstance(row, dict):
        kind = {"list": "list", "str": "text", "NoneType": "null"}.get(type(row).__name__, "number")
        raise Bad(f"a JSON {kind}, not an object", f"one object a line, such as {EXAMPLE}")
    try:
        return _pair(row, name=name, where=where, split=split, cells=cells)
    except RecursionError:
        raise Bad("nested too deeply", "flatten it") from None


def _pair(row: dict[str, Any], *, name: str, where: str, split: Split | None, cells: bool) -> Pair:
    for each in _strings({key: row.get(key) for key in KNOWN}):
        if "\0" in each:
            raise Bad("a null character in a text", "remove it")
        try:
            each.encode("utf-8")
        except UnicodeEncodeError:
            raise Bad("half of a surrogate pair", "write whole characters") from None
    if cells:
        row = row | {key: _cell(row[key], key) for key in ("facts", "labels", "margin", "tools") if key in row}
    remarks: Remarks = [("unused", str(key)) for key, value in row.items() if key not in KNOWN and value is not None]
    messages, chosen, rejected = shapes.read(row, remarks, cells=cells)
    facts = row.get("facts") or {}
    if not isinstance(facts, dict):
        raise Bad(f"'facts' is {type(facts).__name__}", "give an object", kind="'facts' is no object")
    _as_json(facts)
    kind, fault = row.get("kind") or "", row.get("fault") or ""
    if not (isinstance(kind, str) and isinstance(fault, str)):
        raise Bad("'kind' or 'fault' is not text", "give a string")
    key = json.dumps([[m.role, m.content] for m in messages], ensure_ascii=True)
    prompt, labels = Prompt(name, messages, facts), _labels(row.get("labels") or {})
    return Pair(
        where, prompt, chosen, rejected, kind, fault, labels, _margin(row.get("margin")), split, key, tuple(remarks)
    )


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield str(key)
            yield from _strings(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _strings(each)


def _cell(value: Any, key: str) -> Any:
    """Return what a cell of a table of texts says, where the column is not one of texts."""
    if not isinstance(value, str) or not value.strip():
        return None
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        if key == "tools":
            return value
        raise Bad(f"'{key}' is not JSON", "a cell of facts or labels holds JSON, and one of margins a number") from None


def _as_json(facts: Mapping[str, Any]) -> None:
    try:
        json.dumps(facts, allow_nan=False)
    except ValueError:
        raise Bad("'facts' holds a number that is not finite", "write null, or leave the key out") from None
    except TypeError as error:
        found = str(error).removeprefix("Object of type ").removesuffix(" is not JSON serializable")
        raise Bad(f"'facts' holds a value of type {found}", "text, numbers, true, false, lists and objects") from None


def _labels(value: Any) -> Mapping[str, Mapping[str, bool]]:
    """Return the answers by response; an answer that is null is none."""
    remedy = 'such as {"chosen": {"polite": true}, "rejected": {"polite": false}}'
    if not isinstance(value, dict) or not value.keys() <= {"chosen", "rejected"}:
        raise Bad("'labels' is not what it should be", remedy)
    found = {}
    for side, answers in value.items():
        answers = {} if answers is None else answers
        if not isinstance(answers, dict) or not all(answer in (True, False, None) for answer in answers.values()):
            raise Bad(f"'labels.{side}' holds values other than true and false", remedy)
        found[side] = {item: answer for item, answer in answers.items() if answer is not None}
        if not all(isinstance(answer, bool) for answer in found[side].values()):
            raise Bad(f"'labels.{side}' holds values other than true and false", remedy)
    return found


def _margin(value: Any) -> float:
    """Return how far apart the responses are to be scored; 0 where the row has none."""
    if value is None:
        return 0.0
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LARGEST_MARGIN:
        shown = repr(value) if len(repr(value)) < 40 else repr(value)[:37] + "..."
        remedy = f"give a number from 0 to {LARGEST_MARGIN:g}: how far apart two scores are"
        raise Bad(f"'margin' is {shown}", remedy, kind=f"'margin' is no number from 0 to {LARGEST_MARGIN:g}")
    return float(value)
