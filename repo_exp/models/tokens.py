"""Text to tokens and back: prompts cut to the window, responses with their end."""

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
THINKING = {"<think>", "</think>"}  # tokens that a response may have


def end_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Return the end tokens in a model's ``generation_config`` and configuration.

    One that is only its class's default has to be an added token: the default may be a word of this tokenizer.
    """
    found: list[int] = []
    added = set(tokenizer.added_tokens_decoder)
    for config in (getattr(model, "generation_config", None), model.config, model.config.get_text_config()):
        setting: int | Sequence[int] | None = getattr(config, "eos_token_id", None)
        own = not getattr(config, "_from_model_config", True)
        listed = setting if isinstance(setting, list | tuple) else [setting]
        found += [each for each in listed if isinstance(each, int) and each >= 0 and (own or each in added)]
    return sorted(set(found))


class ChatTokenizer:
    """A tokenizer for messages and responses.

    Args:
        tokenizer: the model's own; its chat template is used, or ChatML where it has none.
        max_prompt_tokens: prompts are cut to this by dropping their oldest turns, never the system message.
        ends: the model's end tokens, besides those of the tokenizer and the template.

    Attributes:
        eos: the end token of responses that are trained on: the one that the template ends an assistant's turn with.
        other_ends: further tokens that end a response.

    Raises:
        ModelError: there is no token that ends a response, or the template cannot be used.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, max_prompt_tokens: int, ends: Iterable[int] = ()) -> None:
        self.hf = tokenizer
        self.max_prompt_tokens = max_prompt_tokens
        self.template = Template(tokenizer)
        model_ends = {*ends, *([tokenizer.eos_token_id] if tokenizer.eos_token_id is not None else [])}
        names = [str(tokenizer.convert_ids_to_tokens(end)) for end in sorted(model_ends)]
        self._before_end, end = self.template.turn_end(Control(tokenizer, [*added_tokens(tokenizer), *names]), names)
        if end is None and not model_ends:
            remedy = "use a chat model, e.g. an -Instruct one"
            problem = Problem("model", "its tokenizer has no end-of-sequence token", remedy)
            raise ModelError("the tokenizer cannot be used", [problem])
        fallback = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else min(model_ends, default=-1)
        found: Any = fallback if end is None else tokenizer.convert_tokens_to_ids(end)
        self.eos = int(found)
        self.other_ends = frozenset(model_ends - {self.eos})
        self.pad: int = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else self.eos
        names += [end] if end is not None else []
        control, written = control_tokens(tokenizer, self.template.written), self.template.written
        literal = marks(written) | marks(str(tokenizer.chat_template))
        self._in_messages = Control(tokenizer, {*control, *literal, *names})
        # an assistant may write what the vocabulary has for it, such as tags, but nothing that shapes the dialogue
        shaping = {token for token, special in added_tokens(tokenizer).items() if special or token in written}
        self._in_responses = Control(tokenizer, ({*names, *shaping} & {*control, *names}) - THINKING)

    @property
    def ends(self) -> frozenset[int]:
        """The tokens that end a response."""
        return self.other_ends | {self.eos}

    def prompt(self, messages: Sequence[Message], *, keep: int = 1) -> list[int]:
        """Return the prompt that the next assistant turn continues, at most ``max_prompt_tokens`` long.

        The oldest turns are dropped first, all but the last ``keep``; where turns are strict, until a user comes first
        again. A prompt that is still too long loses the middle of its longest messages.

        Raises:
            ModelError: the template alone is longer.
        """
        head = [message for message in messages[:1] if message.role == "system"]
        turns = list(messages[len(head) :])
        tokens = self._prompt([*head, *turns])
        while len(tokens) > self.max_prompt_tokens and len(turns) > keep:
            turns = turns[1:]
            while self.template.strict and len(turns) > keep and turns[0].role != "user":
                turns = turns[1:]
            tokens = self._prompt([*head, *turns])
        return tokens if len(tokens) <= self.max_prompt_tokens else self._shortened([*head, *turns])

    def response(self, text: str, *, limit: int | None = None) -> list[int]:
        """Return the tokens of a response, its end included; cut (and then without an end) after ``limit``."""
        tokens = [*self._behind_opening(self._in_responses.harmless(text) + self._before_end), self.eos]
        return tokens if limit is None else tokens[:limit]

    def question(self, messages: Sequence[Message], response: str, question: str) -> list[int]:
        """Return the prompt that asks a judge about a response: the dialogue, the response, then the question."""
        return self.prompt([*messages, Message("assistant", response), Message("user", question)], keep=2)

    def text(self, tokens: Sequence[int]) -> str:
        """Return the text of response tokens, without ends, other special tokens, thoughts and outer white space."""
        kept = [token for token in tokens if token not in self.ends]
        text: Any = self.hf.decode(kept, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return without_thoughts(text)

    def behind(self, tokens: Sequence[int], words: str) -> int:
        """Return the index in a response's tokens behind the last ``words`` in it; its length where there are none."""

        def occurrences(end: int) -> int:  # in the text: the words need not begin and end with a token
            return str(self.hf.decode(list(tokens[:end]))).count(words)

        number = occurrences(len(tokens))
        return bisect_left(range(len(tokens) + 1), number, key=occurrences) if number else len(tokens)

    def answer_tokens(self, answer: str) -> list[int]:
        """Return the first tokens of an answer in its forms: as it is, capitalised, after a space."""
        forms = {answer, answer.capitalize(), f" {answer}", f" {answer.capitalize()}"}
        first = {tokens[0] for form in forms if (tokens := self._behind_opening(form))}
        return sorted(first - {self.hf.unk_token_id})

    def _prompt(self, messages: Sequence[Message]) -> list[int]:
        """Return the prompt of a dialogue. Thoughts of earlier turns are left out."""
        harmless = [
            replace(
                message,
                content=self._in_messages.harmless(
                    without_thoughts(message.content) if message.role == "assistant" else message.content
                ),
            )
            for message in messages
        ]
        return self._ids(self.template.render(harmless))

    def _shortened(self, messages: Sequence[Message]) -> list[int]:
        """Return a prompt that fits: long messages keep as many characters of their two ends as there is room for.

        Raises:
            ModelError: the template alone is longer.
        """

        def prompt(length: int) -> list[int]:
            return self._prompt([replace(m, content=_from_both_ends(m.content, length)) for m in messages])

        longest = max(len(message.content) for message in messages)
        least = len(prompt(0))
        if least > self.max_prompt_tokens:
            found = f"{self.max_prompt_tokens}; the chat template alone takes {least} tokens"
            problem = Problem("model.max_prompt_tokens", found, f"{least} and room for the messages")
            raise ModelError("no prompt fits", [problem])
        most = bisect_right(range(longest + 1), self.max_prompt_tokens, key=lambda length: len(prompt(length))) - 1
        while len(tokens := prompt(most)) > self.max_prompt_tokens:  # a longer text may have fewer tokens
            most -= 1
        return tokens

    def _behind_opening(self, text: str) -> list[int]:
        """Return the tokens of a text behind a prompt: some tokenizers put a blank in front of a text on its own.

        Where a token would span the border, the text is encoded on its own, since the prompt's tokens are fixed.
        """
        opening = self.template.opening
        if self.hf.is_fast:
            encoding = self.hf(opening + text, add_special_tokens=False, return_offsets_mapping=True)
            ends = [end for _, end in encoding["offset_mapping"]]
            before = bisect_right(ends, len(opening))
            if text and before and ends[before - 1] == len(opening):
                return encoding["input_ids"][before:]
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
