"""Enhancement: how points scale the score of a reward model.   B: trajectories, K: sources.

    E       = clip(sum of the points, -n, n)
    R_total = R_base + |R_base| * E / n                        REPO, arXiv 2510.04214

The paper prints R_model * (1 +- E / n) and describes four cases in words; writing the sign through |R_base| covers
them all: good behaviour earns more where R_base > 0 and is punished less where R_base < 0. The clip is on the sum, so
that a judge far above n cannot hide a broken rule. Where R_base = 0 the points have no effect.

numpy in float64, since rewards do without torch.
"""

from __future__ import annotations

from collections.abc import Sequence

from repo_exp.core.arrays import Array, np


def sum_of_points(points_KB: Sequence[Array], *, size: int) -> Array:
    """Return the points of each trajectory, added up source by source: (B,). NaN adds 0.

    Args:
        points_KB: the points by source, (B,) each; there may be no source.
        size: B.

    Raises:
        ValueError: a source does not have one score for each trajectory.
    """
    total_B = np.zeros(size)
    for points_B in points_KB:
        if points_B.shape != total_B.shape:
            raise ValueError(f"{size} trajectories need {size} scores of each source, got shape {points_B.shape}")
        total_B = total_B + np.where(np.isnan(points_B), 0.0, points_B)
    return total_B


def enhancement(points_KB: Sequence[Array], *, size: int, n: float) -> Array:
    """Return E in points: the clipped sum, (B,) in [-n, n].

    A source without a score (NaN) adds 0, the neutral element: a judge that failed punishes nobody.

    Raises:
        ValueError: n is not above 0, or a source does not have one score for each trajectory.
    """
    if not n > 0:
        raise ValueError(f"the enhancement bound n must be > 0, got {n}")
    return np.clip(sum_of_points(points_KB, size=size), -n, n)


def enhance(base_B: Array, enhancement_B: Array, *, n: float) -> Array:
    """Return R_total of each trajectory: (B,), of the sign of ``base_B`` or 0, and at most twice its size.

    Args:
        base_B: reward-model scores, centred so that the sign means better or worse than usual. A score that is missing
            (NaN) leaves no total (NaN).
        enhancement_B: E of :func:`enhancement`, with the same n.

    Raises:
        ValueError: the shapes differ, or n is not above 0.
    """
    if not n > 0:
        raise ValueError(f"the enhancement bound n must be > 0, got {n}")
    if base_B.shape != enhancement_B.shape:
        raise ValueError(f"base {base_B.shape} and enhancement {enhancement_B.shape} differ in shape")
    return base_B + np.abs(base_B) * (enhancement_B / n)
