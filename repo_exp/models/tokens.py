"""Text to tokens and back: chat templates, replies with their end, contexts cut to the window."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from repo_exp.errors import ModelError, Problem
from repo_exp.types import Message

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


class ChatTokenizer:
    """A tokenizer that speaks in messages and replies.

    Args:
        tokenizer: the model's own; its chat template is used, or ChatML where it has none.
        max_context_tokens: contexts are cut to this by dropping their oldest turns, never the system message.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, max_context_tokens: int) -> None:
        if tokenizer.eos_token_id is None:
            raise ModelError(
                "the tokenizer cannot be used",
                [
                    Problem(
                        "model", "its tokenizer has no end-of-sequence token", "use a chat model, e.g. an -Instruct one"
                    )
                ],
            )
        self.hf = tokenizer
        self.max_context_tokens = max_context_tokens
        self.eos: int = tokenizer.eos_token_id
        self.pad: int = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else self.eos
        if tokenizer.chat_template is None:
            tokenizer.chat_template = CHATML
        self._control = sorted(set(tokenizer.all_special_tokens), key=len, reverse=True)

    def _harmless(self, text: str) -> str:
        """Return ``text`` without the template's control tokens: what is said must not end a turn or open one."""
        for token in self._control:
            text = text.replace(token, " ")
        return text

    def _render(self, messages: Sequence[Message]) -> list[int]:
        plain = [{"role": message.role, "content": self._harmless(message.content)} for message in messages]
        text = self.hf.apply_chat_template(plain, add_generation_prompt=True, tokenize=False, enable_thinking=False)
        return self.hf(text, add_special_tokens=False)["input_ids"]

    def context(self, messages: Sequence[Message]) -> list[int]:
        """Return the prompt that the next assistant turn continues, at most ``max_context_tokens`` long.

        The oldest turns go first. What cannot be shortened that way keeps its head and its tail.
        """
        head = [message for message in messages[:1] if message.role == "system"]
        turns = list(messages[len(head) :])
        tokens = self._render([*head, *turns])
        while len(tokens) > self.max_context_tokens and len(turns) > 1:
            turns = turns[1:]
            tokens = self._render([*head, *turns])
        excess = len(tokens) - self.max_context_tokens
        if excess > 0:
            middle = self.max_context_tokens // 2
            tokens = tokens[:middle] + tokens[middle + excess :]
        return tokens

    def reply(self, text: str, *, limit: int | None = None) -> list[int]:
        """Return the tokens of a reply, its end included; cut (and then without an end) after ``limit``."""
        tokens = [*self.hf(self._harmless(text), add_special_tokens=False)["input_ids"], self.eos]
        return tokens if limit is None else tokens[:limit]

    def question(self, messages: Sequence[Message], reply: str, question: str) -> list[int]:
        """Return the prompt that asks a judge about a reply: the dialogue, the reply, then the question."""
        return self.context([*messages, Message("assistant", reply), Message("user", question)])

    def text(self, tokens: Sequence[int]) -> str:
        """Return the text of reply tokens, without special tokens and outer white space."""
        return self.hf.decode(tokens, skip_special_tokens=True).strip()

    def behind(self, tokens: Sequence[int], words: str) -> int:
        """Return the place in a reply's tokens behind the last ``words`` in it; its length where they are not in it."""

        def said(place: int) -> int:  # by text: where the words begin and end no token has to
            return self.hf.decode(tokens[:place]).count(words)

        often = said(len(tokens))
        return bisect_left(range(len(tokens) + 1), often, key=said) if often else len(tokens)

    def answer_tokens(self, answer: str) -> list[int]:
        """Return the first tokens that an answer may begin with: as it is, capitalised, after a space."""
        forms = {answer, answer.capitalize(), f" {answer}", f" {answer.capitalize()}"}
        return sorted({self.hf(form, add_special_tokens=False)["input_ids"][0] for form in forms})


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
