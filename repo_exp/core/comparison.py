"""How trajectories compare with one another, for combiners: numbers in lists, no torch.   K: sources, G: a group."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from repo_exp.core.arrays import np


def comparison_groups(groups: Sequence[Hashable]) -> list[list[int]]:
    """Return which trajectories are compared: those of one group, or all of them where some group has only one."""
    members: dict[Hashable, list[int]] = {}
    for i, group in enumerate(groups):
        members.setdefault(group, []).append(i)
    singletons = any(len(each) == 1 for each in members.values())
    return [list(range(len(groups)))] if singletons else list(members.values())


def z_scores(values: Sequence[float], *, eps: float = 1e-4) -> list[float]:
    """Return (x - mean) / (std + eps) of one source in one group (GDPO, 2601.05242), so that every source has unit 1.

    The standard deviation is unbiased. A missing score (NaN) gets 0 and counts in no statistic; where all scores are
    equal, or only one exists, every trajectory gets 0.
    """
    x_G = np.asarray(values, dtype=float)
    present = x_G[~np.isnan(x_G)]
    if not len(present) or present.min() == present.max():  # equal, whatever rounding makes of their mean
        return [0.0] * len(x_G)
    z_G: list[float] = np.nan_to_num((x_G - present.mean()) / (present.std(ddof=1) + eps), nan=0.0).tolist()
    return z_G


def lexicographic(values_KG: Sequence[Sequence[float]], *, tolerance_K: Sequence[float]) -> list[float]:
    """Return for each trajectory the share of the others that it beats minus the share that beats it: (G,) in [-1, 1].

    Two trajectories are compared by the first source in which they differ by more than its tolerance; later sources
    are ignored. Where either has no score (NaN), that source decides nothing. The sum over a group is 0. With a
    tolerance, being equal is not transitive: a may equal b and b equal c while a beats c.

    Args:
        values_KG: scores by source, the most important source first.
        tolerance_K: how far two scores of a source may differ and still count as equal; 0 or more.

    Raises:
        ValueError: there is not one tolerance for each source.
    """
    won_GG = np.zeros(())
    for x_G, tolerance in zip(np.asarray(values_KG, dtype=float), tolerance_K, strict=True):
        lead_GG = x_G[:, None] - x_G[None, :]
        won_GG = np.where((won_GG == 0) & (np.abs(lead_GG) > tolerance), np.sign(lead_GG), won_GG)
    share_G: list[float] = (won_GG.sum(1) / max(len(won_GG) - 1, 1)).tolist()
    return share_G
