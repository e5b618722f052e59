"""A small grammar: phrases with {slots}, each filled from rules or facts, and the slots that were used."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence

Rules = Mapping[str, Sequence[str]]

_SLOT = re.compile(r"\{(\w+)\}")
_SENTENCE = re.compile(r"(?:\A|[.?!] )[a-z]")


def expand(rng: random.Random, rules: Rules, start: str, facts: Mapping[str, str]) -> tuple[str, frozenset[str]]:
    """Write one text from the rule ``start``.

    Args:
        rules: name -> alternatives; {name} in one is another rule, or a fact.
        facts: name -> words. A fact wins over a rule of the same name.

    Returns:
        The text, with capitals where sentences start, and the names of all rules that were used.
    """
    used: set[str] = set()

    def fill(name: str) -> str:
        if name in facts:
            return facts[name]
        used.add(name)
        alternatives = rules[name]
        chosen = alternatives[int(rng.random() * len(alternatives))]
        return _SLOT.sub(lambda match: fill(match.group(1)), chosen) if "{" in chosen else chosen

    text = " ".join(fill(start).split())
    return _SENTENCE.sub(lambda match: match.group().upper(), text), frozenset(used)
