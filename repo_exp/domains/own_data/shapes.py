"""The shapes of a row: which part is the prompt, and which are the two responses.

prompt + responses            texts, messages, or one of each
prompt + conversations      chosen and rejected repeat the prompt, as in UltraFeedback
conversations               no prompt: chosen and rejected differ in their last response alone (TRL's implicit prompt)
texts                       no prompt: they begin alike, and that beginning is the prompt (the same, for texts)
dialogues                   texts with turns of Human: and Assistant:, as in HH
ShareGPT                    conversations, with from and value, and two messages
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from repo_exp.domains.own_data.faults import EXAMPLE, Bad
from repo_exp.domains.own_data.messages import (
    Remarks,
    conversation,
    dialogue,
    is_dialogue,
    text,
    with_system,
    with_tools,
)
from repo_exp.types import Message

Side = str | tuple[Message, ...]  # a response alone, or a conversation that ends with it
# what others call a prompt: a row with one of these has a prompt, only not under its name
_ALSO_PROMPTS = ("question", "query", "instruction", "input", "context", "history", "post", "problem", "text")
_REPEATED = 16  # characters from which on a response that begins with its prompt is no accident


def read(row: Mapping[str, Any], remarks: Remarks, *, cells: bool = False) -> tuple[tuple[Message, ...], str, str]:
    """Return the prompt of a row, its chosen and its rejected response.

    Args:
        remarks: gets what the notes count.
        cells: are the values cells of a table of texts, in which messages are written as JSON?

    Raises:
        Bad: it has none of the shapes, or would lose something.
    """
    missing = [key for key in ("chosen", "rejected") if row.get(key) is None]
    if missing:
        raise _lacking(missing, row)
    if cells:
        row = {key: _cell(value, key) for key, value in row.items()}
    sides = {key: _side(row[key], key, remarks) for key in ("chosen", "rejected")}
    talks = [side for side in sides.values() if isinstance(side, tuple)]
    prompts = _prompts(row, talks, remarks)
    for key, side in sides.items():
        if isinstance(side, tuple) and side[-1].role != "assistant":
            raise Bad(f"'{key}' does not end with an assistant's message", "end it with the response")
    if len({_key(talk[:-1]) for talk in talks if talk[:-1]}) > 1:
        raise Bad(
            "'chosen' and 'rejected' differ before their last response",
            "only the last response may differ: end both conversations with the first one that differs",
        )
    if not prompts and not talks:
        prompt, chosen, rejected = _texts(row, sides["chosen"], sides["rejected"], remarks)
    else:
        prompt = _agreed([*prompts, *(talk[:-1] for talk in talks if talk[:-1])], row)
        chosen, rejected = (side[-1].content if isinstance(side, tuple) else side for side in sides.values())
    if prompt[-1].role == "assistant":
        raise Bad("the last message of 'prompt' is an assistant's", "end it with the message that the response answers")
    if row.get("system"):
        prompt = with_system(prompt, text(row["system"], "system"), "system")
    if row.get("tools"):
        remarks.append(("tool", "lists of tools"))
        prompt = with_tools(prompt, row["tools"])
    if chosen.strip() == rejected.strip():
        raise Bad("'chosen' and 'rejected' are the same", "a pair needs two different responses")
    start = prompt[-1].content.strip()
    if len(start) >= _REPEATED and chosen.lstrip().startswith(start) and rejected.lstrip().startswith(start):
        remarks.append(("repeated", ""))
    return prompt, chosen, rejected


def _lacking(missing: Sequence[str], row: Mapping[str, Any]) -> Bad:
    remedy = f"needed: {EXAMPLE}"
    if {"completion", "label"} <= row.keys():
        remedy = "this is feedback on single responses (completion, label); pairs of responses to one prompt are needed"
    for key in missing:
        near = difflib.get_close_matches(key, [each for each in row if each not in ("chosen", "rejected")], 1, 0.7)
        if near:
            remedy = f"did you mean {key!r} where it says {near[0]!r}?"
            break
    return Bad(f"no {' and no '.join(map(repr, missing))}", remedy)


def _cell(value: Any, key: str) -> Any:
    """Return the messages of a cell that holds them as JSON; any other text as it is."""
    if not isinstance(value, str) or key not in ("prompt", "chosen", "rejected", "conversations", "messages"):
        return value
    start = value.lstrip()
    if re.match(r"\[?\s*\{\s*'(role|content|from|value)'", start):
        raise Bad(f"'{key}' holds messages as Python prints them", "write them with json.dumps")
    if re.match(r'\[?\s*\{\s*"(role|content|from|value)"', start):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            raise Bad(f"'{key}' begins like messages and is not JSON", "write them with json.dumps") from None
    return value


def _side(value: Any, key: str, remarks: Remarks) -> Side:
    if isinstance(value, str):
        return dialogue(text(value, key), key) if is_dialogue(value) else text(value, key)
    return conversation(value, key, remarks)


def _prompts(
    row: Mapping[str, Any], talks: Sequence[tuple[Message, ...]], remarks: Remarks
) -> list[tuple[Message, ...]]:
    """Return what the row gives as the prompt, under each name that it has for it."""
    found: list[tuple[Message, ...]] = []
    whole = any(len(talk) > 1 for talk in talks)
    for key in ("prompt", "conversations", "messages"):
        value = row.get(key)
        if value is None or (value in ([], "") and key != "prompt"):
            continue
        if key == "messages" and (whole or found):
            remarks.append(("unused", key))  # the whole talk once more
        elif isinstance(value, str):
            content = text(value, key)
            found.append(dialogue(content, key) if is_dialogue(content) else (Message("user", content),))
        else:
            found.append(conversation(value, key, remarks))
    responses = {talk[-1].content.strip() for talk in talks} | {
        row[key].strip() for key in ("chosen", "rejected") if isinstance(row[key], str)
    }
    return [
        messages[:-1]
        if len(messages) > 1 and messages[-1].role == "assistant" and messages[-1].content.strip() in responses
        else messages
        for messages in found
    ]


def _agreed(prompts: Sequence[tuple[Message, ...]], row: Mapping[str, Any]) -> tuple[Message, ...]:
    """Return the longest prompt, in which the others are contained: as its end, or a text as one of its messages."""
    if not prompts:
        raise _no_prompt(row)
    longest = max(prompts, key=len)
    for each in prompts:
        texts = {key for key in _key(longest) if isinstance(row.get("prompt"), str)}
        if _key(each) != _key(longest[len(longest) - len(each) :]) and not (len(each) == 1 and _key(each)[0] in texts):
            raise Bad(
                "'chosen' and 'rejected' do not begin with 'prompt'",
                "give the responses alone, or repeat the prompt exactly",
            )
    return longest


def _key(messages: Sequence[Message]) -> tuple[tuple[str, str], ...]:
    return tuple((message.role, message.content.strip()) for message in messages)


def _texts(row: Mapping[str, Any], chosen: Any, rejected: Any, remarks: Remarks) -> tuple:
    """Return the beginning, in whole words, that two texts share as the prompt, and the rests as the responses."""
    if _called(row):
        raise _no_prompt(row)
    if chosen.strip() == rejected.strip():
        raise Bad("'chosen' and 'rejected' are the same", "a pair needs two different responses")
    ends = [i for i, (a, b) in enumerate(zip(chosen, rejected, strict=False)) if a.isspace() and b.isspace()]
    parted = next((i for i, (a, b) in enumerate(zip(chosen, rejected, strict=False)) if a != b), None)
    shared = max((i for i in ends if parted is None or i <= parted), default=0)
    shared = len(chosen[:shared].rstrip())  # the space belongs to the word behind it
    prompt, rests = chosen[:shared], (chosen[shared:], rejected[shared:])
    if not prompt.strip() or not all(rest.strip() for rest in rests):
        raise _no_prompt(row)
    remarks.append(("implicit", ""))
    return (Message("user", prompt),), *rests


def _called(row: Mapping[str, Any]) -> str:
    """Return under what other name a row may have its prompt; empty where it has none."""
    near = difflib.get_close_matches("prompt", [key for key in row if isinstance(row[key], str | list)], 1, 0.75)
    return [*near, *(key for key in _ALSO_PROMPTS if row.get(key)), ""][0]


def _no_prompt(row: Mapping[str, Any]) -> Bad:
    if other := _called(row):
        return Bad(f"no 'prompt', but {other!r}", f"call it 'prompt' if it is one: {EXAMPLE}")
    return Bad("no 'prompt'", f"needed: {EXAMPLE}; or whole conversations as 'chosen' and 'rejected'")
