"""Anyone's own preference data: JSONL with ``prompt``, ``chosen`` and ``rejected``, as messages or plain strings."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from repo_exp.errors import ConfigError, DataError, Problem
from repo_exp.types import SPLITS, Context, Corpus, Demonstration, Judgement, Message, Preference, Split

_LOG = logging.getLogger(__name__)
LARGEST_MARGIN = 1e6  # of scores that are a few units apart
_ROLES = ("system", "user", "assistant")
_EXAMPLE = '{"prompt": "...", "chosen": "...", "rejected": "..."}'


class _Bad(Exception):
    """A line that cannot be used: what was found, and what would work."""

    def __init__(self, found: str, remedy: str = "") -> None:
        super().__init__(found)
        self.problem = (found, remedy)


@dataclass(frozen=True, slots=True)
class _Row:
    context: Context
    chosen: str
    rejected: str
    kind: str
    fault: str
    labels: Mapping[str, Mapping[str, bool]]
    margin: float
    key: str  # the prompt in one fixed form


def _no_number(word: str) -> float:
    raise _Bad(f"{word} is no number in JSON", "write null, or leave the key out")


def _decode(raw: bytes) -> dict[str, Any]:
    """Return the object that a line holds."""
    try:
        line = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _Bad(f"byte {error.start + 1} is not UTF-8", "save the file as UTF-8") from None
    try:
        row = json.loads(line, parse_constant=_no_number)
        json.dumps(row, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except RecursionError:
        raise _Bad("nested too deeply", "flatten it") from None
    except UnicodeEncodeError:
        raise _Bad("half of a surrogate pair", "write whole characters") from None
    except ValueError as error:
        raise _Bad(f"not JSON ({error})", f"one object a line, such as {_EXAMPLE}") from None
    if not isinstance(row, dict):
        raise _Bad(f"a JSON {type(row).__name__}, not an object", f"one object a line, such as {_EXAMPLE}")
    missing = [key for key in ("prompt", "chosen", "rejected") if key not in row]
    if missing:
        raise _Bad(f"no {' and no '.join(repr(key) for key in missing)}", f"needed: {_EXAMPLE}")
    return row


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise _Bad(f"'{where}' is {type(value).__name__}, not text", "give a string")
    if not value.strip():
        raise _Bad(f"'{where}' is empty", "give some text, or take the line out")
    return value


def _messages(value: Any, where: str) -> tuple[Message, ...]:
    if not isinstance(value, list):
        raise _Bad(f"'{where}' is {type(value).__name__}", "give a string or a list of messages")
    if not value:
        raise _Bad(f"'{where}' has no message", "give at least one")
    found = []
    for index, item in enumerate(value):
        if not isinstance(item, dict) or not {"role", "content"} <= item.keys():
            raise _Bad(f"'{where}[{index}]' is no message", 'a message is {"role": "user", "content": "..."}')
        if item["role"] not in _ROLES:
            raise _Bad(f"'{where}[{index}]' has the role {item['role']!r}", f"valid: {', '.join(_ROLES)}")
        if item["role"] == "system" and index:
            raise _Bad(f"'{where}[{index}]' is a system message", "only the first message may be")
        found.append(Message(item["role"], _text(item["content"], f"{where}[{index}].content")))
    return tuple(found)


def _prompt(value: Any) -> tuple[Message, ...]:
    if isinstance(value, str):
        return (Message("user", _text(value, "prompt")),)
    messages = _messages(value, "prompt")
    if messages[-1].role == "assistant":
        raise _Bad("the last message of 'prompt' is an assistant's", "the reply is to answer the user: end there")
    return messages


def _reply(value: Any, where: str) -> str:
    if isinstance(value, str):
        return _text(value, where)
    messages = _messages(value, where)
    if len(messages) != 1 or messages[0].role != "assistant":
        raise _Bad(
            f"'{where}' is not one assistant message", "give the reply alone, and the talk before it as 'prompt'"
        )
    return messages[0].content


def _labels(value: Any) -> Mapping[str, Mapping[str, bool]]:
    remedy = 'such as {"chosen": {"polite": true}, "rejected": {"polite": false}}'
    if not isinstance(value, dict) or not value.keys() <= {"chosen", "rejected"}:
        raise _Bad("'labels' is not what it should be", remedy)
    for side, answers in value.items():
        if not isinstance(answers, dict) or not all(isinstance(answer, bool) for answer in answers.values()):
            raise _Bad(f"'labels.{side}' holds something else than true and false", remedy)
    return value


def _margin(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LARGEST_MARGIN:
        shown = repr(value) if len(repr(value)) < 40 else repr(value)[:37] + "..."
        raise _Bad(f"'margin' is {shown}", f"give a number from 0 to {LARGEST_MARGIN:g}: how far apart two scores are")
    return float(value)


def _row(raw: bytes, name: str) -> _Row:
    """Read one line."""
    row = _decode(raw)
    prompt = _prompt(row["prompt"])
    chosen, rejected = _reply(row["chosen"], "chosen"), _reply(row["rejected"], "rejected")
    if chosen.strip() == rejected.strip():
        raise _Bad("'chosen' and 'rejected' are the same", "a pair needs two different replies")
    facts = row.get("facts") or {}
    if not isinstance(facts, dict):
        raise _Bad(f"'facts' is {type(facts).__name__}", "give an object")
    words = [row.get(key) or "" for key in ("kind", "fault")]
    if not all(isinstance(word, str) for word in words):
        raise _Bad("'kind' or 'fault' is not text", "give a string")
    key = json.dumps([[m.role, m.content] for m in prompt], ensure_ascii=True)
    labels, margin = _labels(row.get("labels") or {}), _margin(row.get("margin") or 0.0)
    return _Row(Context(name, prompt, facts), chosen, rejected, words[0], words[1], labels, margin, key)


def _split(key: str, seed: int, development: float, test: float) -> Split:
    """Return the split of a prompt: it hangs on the prompt and the seed alone, not on the order of lines."""
    share = int.from_bytes(hashlib.sha256(f"{seed} {key}".encode()).digest()[:8], "big") / 2**64
    return "test" if share < test else "development" if share < test + development else "train"


def load_preferences(
    path: str | os.PathLike[str],
    *,
    seed: int,
    development: float = 0.1,
    test: float = 0.1,
    skip_bad_lines: bool = False,
) -> Corpus:
    """Load a JSONL file of preference pairs as a corpus.

    A line has ``prompt`` (a string, or messages that do not end with the assistant), ``chosen`` and ``rejected`` (a
    string, or one assistant message each), and may have ``facts`` (an object for rules and judge), ``labels``
    (chosen and rejected: rubric item -> true or false), ``margin``, ``kind`` and ``fault``. Demonstrations are the
    chosen replies, contexts the distinct prompts, judgements the labelled replies. Equal prompts land in one split, and
    have the first chosen reply among them as their reference.

    Args:
        seed: which prompts go to which split.
        development: share of the prompts held out for development.
        test: share of the prompts held out for the test.
        skip_bad_lines: leave bad lines out, with a warning that lists them, instead of stopping.

    Raises:
        DataError: the file cannot be read, has no usable line, or has bad lines (all of them are listed).
        ConfigError: the shares leave nothing to train on.
    """
    if not (0 <= development < 1 and 0 <= test < 1 and development + test < 1):
        raise ConfigError(
            "nothing is left to train on",
            [
                Problem(
                    "data.development, data.test", f"{development} and {test}", "two shares from 0 whose sum is below 1"
                )
            ],
        )
    path = Path(path)
    rows: list[_Row] = []
    problems: list[Problem] = []
    for number, raw in enumerate(_lines(path), 1):
        if not raw.strip():
            continue
        try:
            rows.append(_row(raw, f"{path.stem}-{number}"))
        except _Bad as bad:
            problems.append(Problem(f"{path}:{number}", *bad.problem))
    if problems and not skip_bad_lines:
        headline = f"{len(problems)} bad and {len(rows)} good lines; data.skip_bad_lines=true keeps the good ones"
        raise DataError(headline, problems)
    if not rows:
        raise DataError(
            "no pair to train on", problems or [Problem(str(path), "the file is empty", f"a line: {_EXAMPLE}")]
        )
    if problems:
        _LOG.warning(
            "left out %d bad lines of %d:\n%s",
            len(problems),
            len(problems) + len(rows),
            "\n".join(f"  {problem}" for problem in problems),
        )
    return _corpus(rows, seed, development, test)


def _lines(path: Path) -> list[bytes]:
    """Return the lines of a file, without the byte order mark."""
    try:
        return path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    except IsADirectoryError:
        inside = sorted(p.name for p in path.glob("*.jsonl"))[:5]
        raise DataError(
            "not a file",
            [
                Problem(
                    str(path),
                    "this is a folder",
                    f"it holds {', '.join(inside)}" if inside else "give the path of a JSONL file",
                )
            ],
        ) from None
    except OSError as error:
        raise DataError(
            "the file cannot be read",
            [Problem(str(path), error.strerror or str(error), "give the path of a JSONL file: data.path=...")],
        ) from None


def _corpus(rows: list[_Row], seed: int, development: float, test: float) -> Corpus:
    made: dict[str, dict[Split, list]] = {
        kind: {split: [] for split in SPLITS} for kind in ("demonstrations", "preferences", "judgements", "contexts")
    }
    references: dict[str, str] = {}
    for row in rows:
        split, new = _split(row.key, seed, development, test), row.key not in references
        context = replace(row.context, reference=references.setdefault(row.key, row.chosen))
        pair = Preference(context, row.chosen, row.rejected, row.kind, row.fault, row.margin)
        made["demonstrations"][split].append(Demonstration(row.context, row.chosen))
        made["preferences"][split].append(pair)
        for side, reply in (("chosen", row.chosen), ("rejected", row.rejected)):
            if row.labels.get(side):
                made["judgements"][split].append(Judgement(row.context, reply, row.labels[side]))
        if new:
            made["contexts"][split].append(context)
    return Corpus(
        **{kind: {split: tuple(items) for split, items in by_split.items()} for kind, by_split in made.items()}
    )
