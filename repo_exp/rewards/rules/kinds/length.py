"""The response is longer or shorter than it should be."""

from __future__ import annotations

from collections.abc import Iterator

from repo_exp.types import Trajectory


def check(
    trajectory: Trajectory,
    *,
    max_words: int | None = None,
    max_characters: int | None = None,
    min_words: int | None = None,
    min_characters: int | None = None,
) -> bool:
    """Broken outside any of the bounds; words are what white space separates."""
    text = trajectory.response.strip()
    words = len(text.split())
    return _outside(words, min_words, max_words) or _outside(len(text), min_characters, max_characters)


def faults(
    *,
    max_words: int | None = None,
    max_characters: int | None = None,
    min_words: int | None = None,
    min_characters: int | None = None,
) -> Iterator[tuple[str, str]]:
    """No bound at all, or a lower bound above the upper one."""
    if max_words is max_characters is min_words is min_characters is None:
        yield "max_words", "give at least one of max_words, max_characters, min_words, min_characters"
    if min_words is not None and max_words is not None and min_words > max_words:
        yield "min_words", f"{min_words} is above max_words = {max_words}"
    if min_characters is not None and max_characters is not None and min_characters > max_characters:
        yield "min_characters", f"{min_characters} is above max_characters = {max_characters}"


def _outside(count: int, least: int | None, most: int | None) -> bool:
    return (least is not None and count < least) or (most is not None and count > most)
