"""RRM's pairs (Liu et al., 2024, arXiv 2409.13156): preferences have to depend on the prompt.

An example is a prompt with its two responses. With two other examples it makes 15 pairs under its own prompt:

    original          1    its chosen response against its rejected one                the first wins
    non-contextual    8    one of its two responses against one of the four others     the first wins
    neutral           6    two of the four responses that answer other prompts         a tie

The artifacts of a response (its length, its tone) are then as frequent among winners as among losers.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Hashable, Sequence
from typing import NamedTuple


class Which(NamedTuple):
    """A response by its place: which example, and whether it is the chosen one of the two."""

    example: int
    chosen: bool


class Contest(NamedTuple):
    """Two responses under one prompt, and the probability that the first is the better."""

    first: Which
    second: Which
    label: float


def contests(example: int, others: tuple[int, int]) -> list[Contest]:
    """Return the 15 pairs of an example, the original one first.

    Raises:
        ValueError: the three are not three.
    """
    if len({example, *others}) < 3:
        raise ValueError(f"the pairs of example {example} need two other examples, got {others}")
    own = [Which(example, True), Which(example, False)]
    strangers = [Which(other, chosen) for other in others for chosen in (True, False)]
    return [
        Contest(own[0], own[1], 1.0),
        *(Contest(mine, theirs, 1.0) for mine in own for theirs in strangers),
        *(Contest(one, other, 0.5) for one, other in itertools.combinations(strangers, 2)),
    ]


def partners(keys: Sequence[Hashable], *, seed: int) -> list[tuple[int, int]]:
    """Return for each example two others, whose keys differ from its own and from one another's.

    Each comes from a random order of its own, in which the next example that will do is taken; where all keys
    differ the first is a permutation without a fixed point. Equal keys say that prompts are (nearly) the same, so
    that a response to the one would be a response to the other.

    Raises:
        ValueError: there are fewer than three different keys.
    """
    if len(set(keys)) < 3:
        raise ValueError(f"partners need 3 different prompts, got {len(set(keys))}")
    rng = random.Random(seed)
    found: list[tuple[int, ...]] = [() for _ in keys]
    for _ in range(2):
        order = list(range(len(keys)))
        rng.shuffle(order)
        for place, example in enumerate(order):
            taken = {keys[example], *(keys[other] for other in found[example])}
            following = itertools.chain(order[place + 1 :], order[:place])
            found[example] += (next(other for other in following if keys[other] not in taken),)
    return [(first, second) for first, second in found]
