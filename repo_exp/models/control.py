"""Keeps text from becoming a control token: a message may contain the name of one, but it stays text.

A control token is broken by a space after its first character. That works with any kind of tokenizer, also with those
that find the token when they are asked to encode it as plain text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from transformers import PreTrainedTokenizerBase

WORD = re.compile(r"[\w\s]+|.", re.DOTALL)  # a word, or a single sign
MARK = re.compile(r"<\|[^|<>\s]+\|>|<</?\w+>>|\[/?[A-Z_]+\]|</?[a-z_]+>")  # what templates write where no token is
MOST_TRIES = 4


def marks(text: str) -> set[str]:
    """Return what looks like a control token in a template or in what it writes, whether or not it is a token."""
    return set(MARK.findall(text))


def added_tokens(hf: PreTrainedTokenizerBase) -> dict[str, bool]:
    """Return the tokens beside the vocabulary proper, each with whether it is special; blanks are left out."""
    added = {token.content: bool(token.special) for token in hf.added_tokens_decoder.values()}
    added |= dict.fromkeys(hf.all_special_tokens, True)
    return {token: special for token, special in added.items() if token.replace("\u2581", " ").strip()}


def control_tokens(hf: PreTrainedTokenizerBase, written: str) -> set[str]:
    """Return the tokens that text must not become: special ones, those in what the template has ``written``, and all
    other added ones but plain words, which belong to the text."""
    added = added_tokens(hf).items()
    return {token for token, special in added if special or token in written or not WORD.fullmatch(token)}


class Control:
    """Control tokens, and the function that keeps text from becoming one of them."""

    def __init__(self, hf: PreTrainedTokenizerBase, names: Iterable[str]) -> None:
        self._hf = hf
        self.names = sorted({name for name in names if name.strip()}, key=lambda name: (-len(name), name))
        vocabulary = hf.get_vocab()
        # the unknown token stands for whatever is not in the vocabulary: text may become it
        self._ids = {vocabulary[name] for name in self.names if name in vocabulary} - {hf.unk_token_id}
        self._pattern = re.compile("|".join(map(re.escape, self.names)) or r"(?!)")
        self.harmless = lru_cache(maxsize=4096)(self._harmless)

    def first(self, text: str) -> re.Match[str] | None:
        """Return the match of the first of the tokens in a text."""
        return self._pattern.search(text)

    def _harmless(self, text: str) -> str:
        while self._pattern.search(text):
            text = self._pattern.sub(lambda found: _broken(found[0]), text)
        # a tokenizer that normalises letters or widths may still find one
        tries = 0
        while self._hf.is_fast and (spans := self._found(text)):
            tries += 1
            for start, end in reversed(spans):  # one that skips blanks leaves only removing it
                text = text[:start] + (_broken(text[start:end]) if tries < MOST_TRIES else " ") + text[end:]
        return text

    def _found(self, text: str) -> list[tuple[int, int]]:
        encoding = self._hf(text, add_special_tokens=False, return_offsets_mapping=True)
        spans = zip(encoding["input_ids"], encoding["offset_mapping"], strict=True)
        return sorted({(start, end) for token, (start, end) in spans if token in self._ids and end > start})


def _broken(token: str) -> str:
    return f"{token[0]} {token[1:]}" if len(token) > 1 else " "
