"""Where a reply stands among others, for joins: numbers in lists, no torch.   B replies, K sources, G a group."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np


def compared_with(groups: Sequence[Hashable]) -> list[list[int]]:
    """Return which replies are compared with one another: those of a group, or all where a group has only one."""
    members: dict[Hashable, list[int]] = {}
    for i, group in enumerate(groups):
        members.setdefault(group, []).append(i)
    alone = any(len(each) == 1 for each in members.values())
    return [list(range(len(groups)))] if alone else list(members.values())


def z_scores(values: Sequence[float], *, eps: float = 1e-4) -> list[float]:
    """Return (x - mean) / (std + eps) of one source in one group (GDPO, 2601.05242): the unit of every source is 1.

    The deviation is unbiased. A score that is not there (NaN) gets 0 and counts in no statistic; where the scores are
    all alike, or only one is there, everybody gets 0.
    """
    x_G = np.asarray(values, dtype=float)
    there = x_G[~np.isnan(x_G)]
    if not len(there) or there.min() == there.max():  # alike, whatever rounding makes of their mean
        return [0.0] * len(x_G)
    return np.nan_to_num((x_G - there.mean()) / (there.std(ddof=1) + eps), nan=0.0).tolist()


def lexicographic(values_KG: Sequence[Sequence[float]], *, tolerance_K: Sequence[float]) -> list[float]:
    """Return of each reply the share of the others that it beats less the share that beats it: (G,) in [-1, 1].

    Two replies are compared by the first source in which they differ by more than its tolerance; later sources are
    not asked. Where either has no score (NaN) that source decides nothing. The sum over a group is 0. A tolerance is
    for two replies, so a may be like b and b like c where a beats c.

    Args:
        values_KG: scores by source, the most important one first.
        tolerance_K: what two scores of a source may differ by and still be alike; 0 or more.
    """
    won_GG = np.zeros(())
    for x_G, tolerance in zip(np.asarray(values_KG, dtype=float), tolerance_K, strict=True):
        lead_GG = x_G[:, None] - x_G[None, :]
        won_GG = np.where((won_GG == 0) & (np.abs(lead_GG) > tolerance), np.sign(lead_GG), won_GG)
    return (won_GG.sum(1) / max(len(won_GG) - 1, 1)).tolist()
