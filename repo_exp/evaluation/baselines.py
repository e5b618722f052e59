"""Baselines without a model, which a reward model has to beat."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from repo_exp.types import Preference

WORD = re.compile(r"\w+")


def longer_is_better(pairs: Sequence[Preference]) -> float:
    """Return how many pairs "the longer response is the better one" puts right; a tie counts one half.

    The opposite rule is as cheap, so the better of the two counts.
    """
    right = _right(pairs, lambda pair, response: len(response.split()))
    return max(right, len(pairs) - right)


def more_overlap_is_better(pairs: Sequence[Preference]) -> float:
    """Return how many pairs "the response that shares more words with the prompt is better" puts right.

    The share is of the response's own words, so that a long response has no advantage; the better of the rule
    and its opposite counts.
    """

    def overlap(pair: Preference, response: str) -> float:
        prompt = {word for message in pair.prompt.messages for word in WORD.findall(message.content.lower())}
        words = WORD.findall(response.lower())
        return sum(word in prompt for word in words) / max(len(words), 1)

    right = _right(pairs, overlap)
    return max(right, len(pairs) - right)


def _right(pairs: Sequence[Preference], measure: Callable[[Preference, str], float]) -> float:
    total = 0.0
    for pair in pairs:
        chosen, rejected = measure(pair, pair.chosen), measure(pair, pair.rejected)
        total += (chosen > rejected) + 0.5 * (chosen == rejected)
    return total
