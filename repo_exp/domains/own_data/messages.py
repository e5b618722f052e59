"""Converts messages in common formats (OpenAI, ShareGPT, HH) to messages of three roles, without loss.

A message of a tool becomes a user's message that holds it as JSON, calls of tools are written as JSON behind what the
assistant said, and a developer's message is the system's. What cannot be written down is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from repo_exp.domains.own_data.faults import Bad
from repo_exp.errors import did_you_mean
from repo_exp.types import Message

Remarks = list[tuple[str, str]]  # what is to be counted: (kind, detail)
ROLES = {
    "system": "system", "developer": "system",
    "user": "user", "human": "user", "prompter": "user",
    "assistant": "assistant", "gpt": "assistant", "chatgpt": "assistant", "bard": "assistant", "model": "assistant",
    "tool": "tool", "function": "tool", "observation": "tool", "function_response": "tool", "tool_response": "tool",
    "function_call": "call", "tool_call": "call",
}  # fmt: skip
_TEXT_PARTS = ("text", "input_text", "output_text")
_CALLS = ("tool_calls", "function_call")
# parts of a message that are content as well, and have no place in a text
_CONTENT = ("reasoning_content", "reasoning", "thinking", "audio", "refusal", "images", "image", "videos", "documents")
_TURN = re.compile(r"(?:\A\s*|\n\n)(Human|Assistant):")
SHAPE = 'a message is {"role": "user", "content": "..."}'


def text(value: Any, where: str) -> str:
    """Return a text that is not empty."""
    if not isinstance(value, str):
        raise Bad(f"'{where}' is {_name(value)}, not text", "give a string")
    if not value.strip():
        raise Bad(f"'{where}' is empty", "give some text, or remove the line", kind=f"'{general(where)}' is empty")
    return value


def general(where: str) -> str:
    """Return a place without its numbers, for counting."""
    return re.sub(r"\[\d+\]", "[]", where)


def conversation(value: Any, where: str, remarks: Remarks) -> tuple[Message, ...]:
    """Return the messages of a list, or of a single message.

    Raises:
        Bad: something in it is no message, or would be lost.
    """
    if isinstance(value, dict):
        return (_message(value, where, 0, remarks),)
    if not isinstance(value, list | tuple):
        raise Bad(f"'{where}' is {_name(value)}", "give a string or a list of messages")
    if not len(value):
        raise Bad(f"'{where}' has no message", "give at least one")
    return tuple(_message(item, f"{where}[{index}]", index, remarks) for index, item in enumerate(value))


def _message(item: Any, where: str, index: int, remarks: Remarks) -> Message:
    if not isinstance(item, dict):
        raise Bad(f"'{where}' is not a message", SHAPE, kind=f"'{general(where)}' is not a message")
    item = {key: value for key, value in item.items() if value is not None and value != [] and value != {}}
    role_key, text_key = ("role", "content") if "role" in item else ("from", "value")
    if role_key not in item:
        near = [key for key in item if key not in ("content", "value")]
        hint = f" (it has {', '.join(map(repr, near[:5]))})" if near else ""
        raise Bad(f"'{where}' has no role{hint}", SHAPE, kind=f"'{general(where)}' has no role")
    calls = {key: item[key] for key in _CALLS if item.get(key)}
    if text_key not in item and not calls:
        raise Bad(f"'{where}' has no {text_key!r}", SHAPE, kind=f"'{general(where)}' has no {text_key!r}")
    role = ROLES.get(item[role_key].lower()) if isinstance(item[role_key], str) else None
    if role is None:
        remedy = did_you_mean(str(item[role_key]), ROLES)
        raise Bad(f"'{where}' has the role {item[role_key]!r}", remedy, kind=f"a role of {general(where)} is not known")
    if role == "system" and index:
        raise Bad(f"'{where}' is a system message", "only the first message may be")
    lost = [key for key in _CONTENT if item.get(key)]
    if lost:
        remedy = "write it into the content, or remove it"
        raise Bad(f"'{where}.{lost[0]}' would be lost", remedy, kind=f"'{general(where)}.{lost[0]}' would be lost")
    if role == "tool":
        remarks.append(("tool", "results of tools"))
        return Message("user", _json({**item, text_key: _parts(item[text_key], f"{where}.{text_key}")}))
    remarks += [("unused", f"{general(where)}.{key}") for key in item if key not in (role_key, text_key, *_CALLS)]
    content = _parts(item[text_key], f"{where}.{text_key}") if text_key in item else ""
    if role == "call":
        remarks.append(("tool", "calls of tools"))
        return Message("assistant", _json({"tool_calls": _read(text(content, f"{where}.{text_key}"))}))
    if calls:
        if role != "assistant":
            raise Bad(f"'{where}' calls a tool", "only an assistant does")
        remarks.append(("tool", "calls of tools"))
        return Message("assistant", "\n".join([*([content] if content.strip() else []), _json(calls)]))
    return Message(role, text(content, f"{where}.{text_key}"))  # type: ignore[arg-type]


def _parts(value: Any, where: str) -> str:
    """Return a content: a text, or text parts one after the other."""
    if not isinstance(value, list | tuple):
        if not isinstance(value, str):
            raise Bad(f"'{where}' is {_name(value)}, not text", "give a string, or a list of text parts")
        return value
    pieces = []
    for index, part in enumerate(value):
        place = f"{where}[{index}]"
        if isinstance(part, str):
            pieces.append(part)
            continue
        kind = part.get("type") if isinstance(part, dict) else None
        if kind not in _TEXT_PARTS:
            what = f"a part of type {kind!r}" if kind else "no content part"
            remedy = 'only text can be trained on: {"type": "text", "text": "..."}'
            raise Bad(f"'{place}' is {what}", remedy, kind=f"'{general(place)}' is {what}")
        if not isinstance(part.get("text"), str):
            raise Bad(
                f"'{place}' has no text", '{"type": "text", "text": "..."}', kind=f"'{general(place)}' has no text"
            )
        pieces.append(part["text"])
    return "".join(pieces)


def is_dialogue(value: str) -> bool:
    """Is it a conversation in one string, as in Anthropic's HH data: turns that begin with Human: and Assistant:?"""
    turns = [match[1] for match in _TURN.finditer(value)]
    return turns[:1] == ["Human"] and ("Assistant" in turns or value.startswith("\n\nHuman:"))


def dialogue(value: str, where: str) -> tuple[Message, ...]:
    """Return the turns of a conversation in one string. An ``Assistant:`` at its end opens the response."""
    found = [*_TURN.finditer(value)]
    ends = [*(match.start() for match in found[1:]), len(value)]
    turns = [(match[1], value[match.end() : end].removeprefix(" ")) for match, end in zip(found, ends, strict=True)]
    if turns[-1][0] == "Assistant" and not turns[-1][1].strip():
        turns.pop()
    return tuple(
        Message("user" if who == "Human" else "assistant", text(turn, f"{where} (turn {number})"))
        for number, (who, turn) in enumerate(turns, 1)
    )


def with_system(messages: Sequence[Message], system: str, where: str) -> tuple[Message, ...]:
    """Return the messages under a system message that stands elsewhere in the row."""
    if not messages or messages[0].role != "system":
        return (Message("system", system), *messages)
    if messages[0].content.strip() == system.strip():
        return tuple(messages)
    raise Bad(f"'{where}' is another system message than that of the prompt", "give one")


def with_tools(messages: Sequence[Message], tools: Any) -> tuple[Message, ...]:
    """Return the messages with the tools that could be called written down in the system message."""
    listed = _json({"tools": _read(tools) if isinstance(tools, str) else tools})
    if messages and messages[0].role == "system":
        return (Message("system", f"{messages[0].content}\n\n{listed}"), *messages[1:])
    return (Message("system", listed), *messages)


def _read(value: str) -> Any:
    """Return what a text says, if it is JSON."""
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise Bad(
            f"a tool message is not JSON ({error})", "write it as JSON", kind="a tool message is not JSON"
        ) from None


_NAMES = {
    "NoneType": "null", "str": "text", "dict": "an object", "list": "a list", "tuple": "a list",
    "bool": "true or false", "int": "a number", "float": "a number",
}  # fmt: skip


def _name(value: Any) -> str:
    kind = type(value).__name__
    return _NAMES.get(kind, kind)
