"""Enhancement: how judge and rules scale the reward model's score.   B: replies.

    E       = clip(E_judge + E_func, -n, n)
    R_total = R_model + |R_model| * E / n                      REPO, arXiv 2510.04214

The paper prints R_model * (1 +- E / n) and describes four cases in words; writing the sign through
|R_model| covers them all: good behaviour earns more where R_model > 0 and is punished less where
R_model < 0. The clip is on the sum, so that a judge far above n cannot hide a broken rule behind it.
Where R_model = 0 the other two sources have no voice.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the scalar form serves rewards, which know no torch
    from torch import Tensor


def enhancement_one(judge: float, rules: float, *, n: float) -> float:
    """Return E of one reply, in points: the clipped sum, where a source that has no score (NaN) adds 0."""
    _check_bound(n)
    total = (0.0 if math.isnan(judge) else judge) + (0.0 if math.isnan(rules) else rules)
    return min(max(total, -n), n)


def enhance_one(model: float, judge: float, rules: float, *, n: float) -> tuple[float, float]:
    """Return (R_total, E) of one reply.

    A judge or rule score that is not there (NaN) counts as 0 points: E = 0 is the neutral element,
    so a judge that failed punishes nobody. A model score that is not there leaves no total (NaN).
    """
    e = enhancement_one(judge, rules, n=n)
    return model + abs(model) * (e / n), e


def enhance(model_B: Tensor, judge_B: Tensor, rules_B: Tensor, *, n: float) -> Tensor:
    """Return R_total of each reply; the batched form of :func:`enhance_one`.

    Args:
        model_B: reward-model scores, centred so that their sign means better or worse than usual.
        judge_B: judge points; NaN means "not judged" and counts as 0.
        rules_B: rule points; NaN likewise.
        n: the enhancement bound, in points, > 0.

    Returns:
        (B,) of the sign of ``model_B`` or 0, at most twice its size.
    """
    _check_bound(n)
    if not model_B.shape == judge_B.shape == rules_B.shape:
        raise ValueError(
            "enhance needs one score per reply from every source, got shapes "
            f"model {tuple(model_B.shape)}, judge {tuple(judge_B.shape)}, rules {tuple(rules_B.shape)}"
        )
    e_B = (judge_B.nan_to_num(0.0) + rules_B.nan_to_num(0.0)).clamp(-n, n)
    return model_B + model_B.abs() * (e_B / n)


def _check_bound(n: float) -> None:
    if not n > 0:
        raise ValueError(f"the enhancement bound n must be > 0, got {n}")
