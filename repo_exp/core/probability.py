"""Probabilities of a yes: odds, shifts of the base rate, and how well they rank."""

from __future__ import annotations

import math
from collections.abc import Sequence


def log_odds(yes: float, no: float) -> float:
    """Return log(yes / no) of two counts above 0."""
    return math.log(yes / no)


def shifted(probability: float, offset: float) -> float:
    """Return the probability whose log-odds are those of ``probability`` plus ``offset``.

    This moves a judgement from one base rate to another (Saerens et al., 2002). 0, 1 and NaN stay what they are.
    """
    if not 0 < probability < 1:
        return probability
    return 1 / (1 + math.exp(-(math.log(probability) - math.log1p(-probability)) - offset))


def ranked_right(yes: Sequence[float], no: Sequence[float]) -> float:
    """Return how often a response that deserves a yes gets a higher probability than one that does not (ties: half).

    This is the area under the ROC curve: 1 is a perfect judge, 0.5 one that guesses, NaN where one side is empty.
    """
    if not yes or not no:
        return math.nan
    return sum((y > n) + 0.5 * (y == n) for y in yes for n in no) / (len(yes) * len(no))
