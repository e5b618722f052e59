"""Match patterns in untrusted text: bounded in length, ignoring invisible characters.

How long a search takes is bounded by what is searched: patterns that explode on repetitive text are refused before a
run starts, and a response is read up to ``LONGEST`` characters. A search that takes ``SECONDS`` all the same, thousands
of times what any sound pattern needs, has no answer: the rules then give no score, which is counted, and stops a run if
it is frequent. So no time limit ever decides between broken and kept.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from itertools import pairwise

import regex

LONGEST = 4_000  # characters of a response that rules read; the rule on length sees the rest
SECONDS = 20.0
_PROBE_SECONDS = 0.25
_QUOTES = str.maketrans({"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"'})


def plain(text: str) -> str:
    """Return the beginning of ``text`` in compatibility form, with straight quotes and nothing invisible."""
    folded = unicodedata.normalize("NFKC", text[:LONGEST])[:LONGEST].translate(_QUOTES)
    return "".join(letter for letter in folded if unicodedata.category(letter) != "Cf")


def words_of(text: str) -> list[str]:
    """Return the words of ``text`` in lower case."""
    return list[str](regex.findall(r"\w+(?:['-]\w+)*", plain(text).casefold()))


def clauses(text: str) -> list[str]:
    """Split ``text`` where a sentence or a line ends; a point between digits ends nothing."""
    return [part for part in regex.split(r"[!?;\n]+|\.(?!\d)", plain(text)) if part.strip()]


def compiled(pattern: str, *, whole_words: bool = True) -> regex.Pattern:
    """Compile a pattern, case-insensitive; with ``whole_words`` it never begins or ends inside a word."""
    if whole_words:
        pattern = rf"(?:(?<!\w)|(?!\w))(?:{pattern})(?:(?!\w)|(?<!\w))"
    return regex.compile(pattern, regex.IGNORECASE)


def occurs(pattern: str, text: str, *, whole_words: bool = True) -> bool:
    """Does the pattern occur in ``text`` (which is ``plain``)?

    Raises:
        TimeoutError: the pattern explodes on this text.
    """
    return compiled(pattern, whole_words=whole_words).search(text, timeout=SECONDS) is not None


def any_occurs(patterns: Iterable[str], text: str, *, whole_words: bool = True) -> bool:
    """Does one of the patterns occur in ``text``?"""
    return any(occurs(pattern, text, whole_words=whole_words) for pattern in patterns)


def pattern_faults(option: str, patterns: Sequence[str]) -> list[tuple[str, str]]:
    """Return (option, what is wrong) for patterns that do not compile, match nothing at all, or explode."""
    if not patterns:
        return [(option, "is empty")]
    return [(option, f"{pattern!r} {wrong}") for pattern in patterns if (wrong := _fault(pattern))]


def _fault(pattern: str) -> str:
    try:
        regex.compile(pattern)
        whole = compiled(pattern)
    except (regex.error, RecursionError, ValueError, OverflowError) as error:
        return f"is no regular expression: {error}"
    try:
        if whole.search("", timeout=_PROBE_SECONDS):
            return "matches the empty text, so every response would break it"
        letters = dict.fromkeys([*[c for c in pattern if c.isalnum()][:12], "a", "1", " "])
        runs = [*letters, *(first + second for first, second in pairwise(letters)), "".join(letters)]
        for run in runs:
            whole.search(run * (1_000 // len(run)) + "\x00", timeout=_PROBE_SECONDS)
            whole.search(f"{run} " * (1_000 // (len(run) + 1)) + "\x00", timeout=_PROBE_SECONDS)
    except TimeoutError:
        return "takes far too long on repetitive text: it can match the same letters in many ways"
    return ""
