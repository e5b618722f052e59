"""Text to tokens and back: prompts cut to the window, replies with their end."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from repo_exp.errors import ModelError, Problem
from repo_exp.models.control import Control, added_tokens, control_tokens, marks
from repo_exp.models.template import CHATML, Template, without_thoughts
from repo_exp.types import Message

VERSION = 2  # part of every address that a model goes into: raise it where the same text becomes other tokens
THINKING = {"<think>", "</think>"}  # tokens that a reply may have


def end_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Return the tokens that a model ends with, as its ``generation_config`` and its configuration name them.

    What only a default of its class names has to be an added token: the default may be a word of this tokenizer.
    """
    found, added = [], set(tokenizer.added_tokens_decoder)
    for config in (getattr(model, "generation_config", None), model.config, model.config.get_text_config()):
        named: Any = getattr(config, "eos_token_id", None)
        own = not getattr(config, "_from_model_config", True)
        listed = named if isinstance(named, list | tuple) else [named]
        found += [each for each in listed if isinstance(each, int) and each >= 0 and (own or each in added)]
    return sorted(set(found))


class ChatTokenizer:
    """A tokenizer that speaks in messages and replies.

    Args:
        tokenizer: the model's own; its chat template is used, or ChatML where it has none.
        max_context_tokens: contexts are cut to this by dropping their oldest turns, never the system message.
        ends: tokens that the model is known to end a reply with, besides those of the tokenizer and the template.

    Attributes:
        eos: the token that ends a reply that is learnt from: the one that the template ends an assistant's turn with.
        other_ends: tokens that end a reply as well.

    Raises:
        ModelError: there is no token that ends a reply, or the template cannot be used.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, *, max_context_tokens: int, ends: Iterable[int] = ()
    ) -> None:
        self.hf = tokenizer
        self.max_context_tokens = max_context_tokens
        self.template = Template(tokenizer)
        known = {*ends, *([tokenizer.eos_token_id] if tokenizer.eos_token_id is not None else [])}
        names = [str(tokenizer.convert_ids_to_tokens(end)) for end in sorted(known)]
        self._before_end, end = self.template.turn_end(Control(tokenizer, [*added_tokens(tokenizer), *names]), names)
        if end is None and not known:
            remedy = "use a chat model, e.g. an -Instruct one"
            problem = Problem("model", "its tokenizer has no end-of-sequence token", remedy)
            raise ModelError("the tokenizer cannot be used", [problem])
        fallback = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else min(known, default=-1)
        self.eos: int = fallback if end is None else tokenizer.convert_tokens_to_ids(end)
        self.other_ends = frozenset(known - {self.eos})
        self.pad: int = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else self.eos
        names += [end] if end is not None else []
        control, written = control_tokens(tokenizer, self.template.written), self.template.written
        literal = marks(written) | marks(str(tokenizer.chat_template))
        self._in_messages = Control(tokenizer, {*control, *literal, *names})
        # an assistant may write what the vocabulary has for it, such as tags, but nothing that shapes the dialogue
        shaping = {token for token, special in added_tokens(tokenizer).items() if special or token in written}
        self._in_replies = Control(tokenizer, ({*names, *shaping} & {*control, *names}) - THINKING)

    @property
    def ends(self) -> frozenset[int]:
        """The tokens that end a reply."""
        return self.other_ends | {self.eos}

    def context(self, messages: Sequence[Message], *, keep: int = 1) -> list[int]:
        """Return the prompt that the next assistant turn continues, at most ``max_context_tokens`` long.

        The oldest turns go first, all but the last ``keep``; where turns are strict, until a user comes first again.
        What cannot be shortened that way loses the middle of its longest messages.
        """
        head = [message for message in messages[:1] if message.role == "system"]
        turns = list(messages[len(head) :])
        tokens = self._prompt([*head, *turns])
        while len(tokens) > self.max_context_tokens and len(turns) > keep:
            turns = turns[1:]
            while self.template.strict and len(turns) > keep and turns[0].role != "user":
                turns = turns[1:]
            tokens = self._prompt([*head, *turns])
        return tokens if len(tokens) <= self.max_context_tokens else self._shortened([*head, *turns])

    def reply(self, text: str, *, limit: int | None = None) -> list[int]:
        """Return the tokens of a reply, its end included; cut (and then without an end) after ``limit``."""
        tokens = [*self._behind_opening(self._in_replies.harmless(text) + self._before_end), self.eos]
        return tokens if limit is None else tokens[:limit]

    def question(self, messages: Sequence[Message], reply: str, question: str) -> list[int]:
        """Return the prompt that asks a judge about a reply: the dialogue, the reply, then the question."""
        return self.context([*messages, Message("assistant", reply), Message("user", question)], keep=2)

    def text(self, tokens: Sequence[int]) -> str:
        """Return what reply tokens say, without ends, other special tokens, thoughts and outer white space."""
        said = [token for token in tokens if token not in self.ends]
        text = self.hf.decode(said, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return without_thoughts(text)

    def behind(self, tokens: Sequence[int], words: str) -> int:
        """Return the place in a reply's tokens behind the last ``words`` in it; its length where they are not in it."""

        def said(place: int) -> int:  # by text: where the words begin and end no token has to
            return self.hf.decode(tokens[:place]).count(words)

        often = said(len(tokens))
        return bisect_left(range(len(tokens) + 1), often, key=said) if often else len(tokens)

    def answer_tokens(self, answer: str) -> list[int]:
        """Return the first tokens that an answer may begin with: as it is, capitalised, after a space."""
        forms = {answer, answer.capitalize(), f" {answer}", f" {answer.capitalize()}"}
        first = {tokens[0] for form in forms if (tokens := self._behind_opening(form))}
        return sorted(first - {self.hf.unk_token_id})

    def _prompt(self, messages: Sequence[Message]) -> list[int]:
        """Return the prompt of a dialogue. Of what was said earlier, thoughts are left out."""
        said = [
            replace(
                message,
                content=self._in_messages.harmless(
                    without_thoughts(message.content) if message.role == "assistant" else message.content
                ),
            )
            for message in messages
        ]
        return self._ids(self.template.render(said))

    def _shortened(self, messages: Sequence[Message]) -> list[int]:
        """Return a prompt in which every message has at most so many characters that it fits, from its two ends."""

        def prompt(length: int) -> list[int]:
            return self._prompt([replace(m, content=_from_both_ends(m.content, length)) for m in messages])

        longest = max(len(message.content) for message in messages)
        least = len(prompt(0))
        if least > self.max_context_tokens:
            found = f"{self.max_context_tokens}; the chat template alone takes {least} tokens"
            problem = Problem("model.max_context_tokens", found, f"{least} and room for what is said")
            raise ModelError("no prompt fits", [problem])
        most = bisect_right(range(longest + 1), self.max_context_tokens, key=lambda length: len(prompt(length))) - 1
        while len(tokens := prompt(most)) > self.max_context_tokens:  # a longer text may have fewer tokens
            most -= 1
        return tokens

    def _behind_opening(self, text: str) -> list[int]:
        """Return the tokens of a text as it stands behind the prompt: some tokenizers put a blank before a lone one.

        Where a token would reach across the border, the text is read alone, as it follows tokens that are there.
        """
        opening = self.template.opening
        if self.hf.is_fast:
            told: Any = self.hf(opening + text, add_special_tokens=False, return_offsets_mapping=True)
            ends = [end for _, end in told["offset_mapping"]]
            before = bisect_right(ends, len(opening))
            if text and before and ends[before - 1] == len(opening):
                return told["input_ids"][before:]
        return self._ids(text)

    def _ids(self, text: str) -> list[int]:
        return self.hf(text, add_special_tokens=False)["input_ids"]


def _from_both_ends(text: str, length: int) -> str:
    return text if len(text) <= length else text[: (length + 1) // 2] + text[len(text) - length // 2 :]


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer whose tokens are bytes: nothing to download, nothing to train, every text fits."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate([*special, *alphabet])}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(special)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>", chat_template=CHATML
    )
