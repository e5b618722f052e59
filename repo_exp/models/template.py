"""A model's chat template: the dialogues that it accepts and the prompts that it writes, found by trials.

Templates differ: some have no system role, some refuse two turns of one side in a row or a dialogue that the assistant
opens, some read the clock, some open a thought in the prompt. Whatever a template is, a dialogue comes out as a prompt.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import groupby
from typing import Any

from transformers import PreTrainedTokenizerBase

from repo_exp.errors import ModelError, Problem
from repo_exp.models.control import Control
from repo_exp.types import Message

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TODAY = datetime(2024, 7, 26)  # for templates that ask, so that every day gives the same prompt; Llama 3's own date
BEGIN = "Begin."  # what a user says first where the assistant opens a dialogue and the template wants a user to
NO_THOUGHT = {"enable_thinking": False, "thinking": False}  # what templates call the switch
OPENED = re.compile(r"<([\w:]*(?:think|thought|reason)[\w:]*)>\s*\Z", re.IGNORECASE)
THOUGHT = re.compile(r"<(think|thinking|thought|reasoning|seed:think)>.*?(?:</\1>\s*|\Z)", re.DOTALL)
MARKERS = {"system": "qzsyq", "user": "qzusq", "assistant": "qzasq"}  # words that no template has


def without_thoughts(text: str) -> str:
    """Return a text without its thoughts: from ``<think>`` to ``</think>``, or to the end where none comes.

    The text before a ``</think>`` that was opened in the prompt is a thought too.
    """
    return THOUGHT.sub("", text).rpartition("</think>")[2].strip()


class Template:
    """A tokenizer's chat template; ChatML for a tokenizer without one.

    Attributes:
        takes_system: may a system message come first?
        strict: must user and assistant take turns, the user first?
        opening: the end of every prompt, between the last message and the response.
        written: a dialogue of single words and its prompt, as the template writes them.

    Raises:
        ModelError: it cannot write a dialogue.
    """

    def __init__(self, hf: PreTrainedTokenizerBase) -> None:
        self._hf = hf
        hf.chat_template = _with_fixed_clock(_source(hf))
        user, assistant, system = (Message(role, MARKERS[role]) for role in ("user", "assistant", "system"))
        self.takes_system = self.strict = True
        prompt = self._write([user], prompt=True)
        if MARKERS["user"] not in prompt:
            raise _refused("it does not write the user's message")
        self.takes_system = self._takes([system, user])
        self.strict = not (self._takes([assistant, user]) and self._takes([user, user]))
        self.opening = prompt.rpartition(MARKERS["user"])[2]
        self.written = prompt + self.render([system, user, assistant, user])

    def render(self, messages: Sequence[Message]) -> str:
        """Return the prompt that the next assistant turn continues.

        Raises:
            ModelError: the template refuses the dialogue.
        """
        return self._write(self.form(messages), prompt=True)

    def form(self, messages: Sequence[Message]) -> list[Message]:
        """Return a dialogue in a form that the template accepts.

        Without a system role its message becomes the user's. Where turns are strict, neighbours of one role become one
        message, and a user comes first.
        """
        found = [m if self.takes_system or m.role != "system" else replace(m, role="user") for m in messages]
        if self.strict or found != list(messages):
            found = [
                Message(role, "\n\n".join(message.content for message in same))
                for role, same in groupby(found, lambda message: message.role)
            ]
        start = 1 if found and found[0].role == "system" else 0
        if self.strict and (len(found) == start or found[start].role != "user"):
            found.insert(start, Message("user", BEGIN))
        return found

    def turn_end(self, tokens: Control, ends: Sequence[str]) -> tuple[str, str | None]:
        """Return what the template writes behind an assistant's message: text, and then a token.

        Args:
            tokens: those that may end a turn.
            ends: the names of the model's end tokens.

        Returns:
            No text, and None, where it writes no token there.
        """
        user, assistant = Message("user", MARKERS["user"]), Message("assistant", MARKERS["assistant"])
        prompt, plain = (self._write([user], prompt=asked) for asked in (True, False))
        # of a template that writes the next header whether or not it is asked, all behind a message may belong to it
        header = (prompt[len(plain) :] or self.opening) if prompt.startswith(plain) else ""
        for dialogue in ([user, assistant], [user, assistant, user]):
            try:
                behind = self._write(dialogue, prompt=False).rpartition(MARKERS["assistant"])[2]
            except ModelError:
                continue
            found = tokens.first(behind)
            last = dialogue[-1].role == "assistant"
            # behind the last message of a dialogue there may be the next prompt, and before other messages their header
            if found and (found[0] in ends or (last and found[0] not in header)):
                return behind[: found.start()], found[0]
        return "", None

    def _takes(self, messages: Sequence[Message]) -> bool:
        """Does it write all messages of a dialogue?"""
        try:
            written = self._write(messages, prompt=True)
        except ModelError:
            return False
        return sum(written.count(word) for word in MARKERS.values()) >= len(messages)

    def _write(self, messages: Sequence[Message], *, prompt: bool) -> str:
        plain = [{"role": message.role, "content": message.content} for message in messages]
        options: dict[str, Any] = {**NO_THOUGHT}
        try:
            text: Any = self._hf.apply_chat_template(plain, add_generation_prompt=prompt, tokenize=False, **options)
        except Exception as error:  # a template is a program: it may fail in any way
            raise _refused(str(error).splitlines()[0] if str(error) else type(error).__name__) from error
        opened = OPENED.search(text) if prompt else None
        # responses have no thoughts: one that the prompt opens is closed at once, as Qwen3 writes it
        return f"{text.rstrip()}\n\n</{opened[1]}>\n\n" if opened else text


def _source(hf: PreTrainedTokenizerBase) -> str:
    """Return the template; of several, the default."""
    template: str | dict[str, str] | None = hf.chat_template
    if isinstance(template, dict):
        template = template.get("default") or (next(iter(template.values())) if len(template) == 1 else None)
        if template is None:
            raise _refused(f"there are several and none is the default: {', '.join(hf.chat_template)}")
    if template is not None:
        return template
    end = "<|im_end|>" if "<|im_end|>" in hf.get_added_vocab() or hf.eos_token is None else "{{ eos_token }}"
    return ("{{ bos_token }}" if hf.bos_token is not None else "") + CHATML.replace("<|im_end|>", end)


def _with_fixed_clock(template: str) -> str:
    """Return a template for which it is always :data:`TODAY`."""
    if "strftime_now" not in template:
        return template
    values = {f"%-{letter}": TODAY.strftime(f"%{letter}").lstrip("0") or "0" for letter in "dmjyHIMS"}
    values |= {f"%{letter}": TODAY.strftime(f"%{letter}") for letter in "aAbBcdDeFfhHIjmMpSTuUwWxXyYzZ"}
    chain = "".join(f"|replace('{directive}', '{value}')" for directive, value in values.items())
    return f"{{% macro strftime_now(format) %}}{{{{ format{chain} }}}}{{% endmacro %}}{template}"


def _refused(reason: str) -> ModelError:
    remedy = "a chat_template.jinja in the model's folder that writes system, user and assistant; or another chat model"
    return ModelError("the chat template cannot be used", [Problem("model", f"its chat template: {reason}", remedy)])
