"""Splits prompts into training, development and test; the corpus that comes of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

from repo_exp.domains.own_data.reading import Pair
from repo_exp.errors import DataError, Problem
from repo_exp.types import SPLITS, Corpus, Demonstration, Judgement, Preference, Split

_HELD_OUT: tuple[Split, ...] = ("test", "development")


def share(key: str, seed: int) -> float:
    """Return a number in [0, 1) that depends on a prompt and the seed alone, not on the order of lines."""
    return int.from_bytes(hashlib.sha256(f"{seed} {key}".encode()).digest()[:8], "big") / 2**64


def splits(pairs: Sequence[Pair], *, seed: int, development: float, test: float) -> dict[str, Split]:
    """Return the split of each prompt.

    A prompt of a file that is held out (its name says so) is held out. The others are drawn: to the test and to
    development by their shares, but not to a split that the files have already.
    """
    marked: dict[str, set[Split]] = {}
    for pair in pairs:
        marked.setdefault(pair.key, set()).update({pair.split} if pair.split else set())
    there = {split for found in marked.values() for split in found}
    test, development = (
        0.0 if name in there else size for name, size in zip(_HELD_OUT, (test, development), strict=True)
    )

    def one(key: str, found: set[Split]) -> Split:
        for split in _HELD_OUT:
            if split in found:
                return split
        drawn = share(key, seed)
        return "test" if drawn < test else "development" if drawn < test + development else "train"

    return {key: one(key, found) for key, found in marked.items()}


def corpus(pairs: Sequence[Pair], split_of: Mapping[str, Split]) -> Corpus:
    """Return the pairs as a corpus: demonstrations are the chosen responses, prompts the distinct ones."""
    made: dict[str, dict[Split, list]] = {
        kind: {split: [] for split in SPLITS} for kind in ("demonstrations", "preferences", "judgements", "prompts")
    }
    references: dict[str, str] = {}
    for pair in pairs:
        split, new = split_of[pair.key], pair.key not in references
        prompt = replace(pair.prompt, reference=references.setdefault(pair.key, pair.chosen))
        made["demonstrations"][split].append(Demonstration(pair.prompt, pair.chosen))
        preference = Preference(prompt, pair.chosen, pair.rejected, pair.kind, pair.fault, pair.margin)
        made["preferences"][split].append(preference)
        for side, response in (("chosen", pair.chosen), ("rejected", pair.rejected)):
            if pair.labels.get(side):
                made["judgements"][split].append(Judgement(pair.prompt, response, pair.labels[side]))
        if new:
            made["prompts"][split].append(prompt)
    return Corpus(
        **{kind: {split: tuple(items) for split, items in by_split.items()} for kind, by_split in made.items()}
    )


def require_every_split(found: Corpus, where: object) -> None:
    """Refuse data of which a split is empty: every stage needs prompts of its own.

    Raises:
        DataError: says how many prompts each split has.
    """
    counts = {split: len(found.prompts[split]) for split in SPLITS}
    if all(counts.values()):
        return
    listed = ", ".join(f"{split} {count}" for split, count in counts.items())
    total = sum(counts.values())
    remedy = (
        "larger data.development and data.test, another seed, or more prompts; each split needs one"
        if total >= len(SPLITS)
        else "more prompts: one to train on, one for development and one for the test are the least"
    )
    few = f"{total} different prompt{'s' * (total != 1)} in all ({listed})"
    raise DataError("too few prompts", [Problem(str(where), few, remedy)])
