"""Optimal budgeted rejection sampling, with the golden values of its formulas and what they promise."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from repo_exp.core.rejection import (
    acceptance,
    kept_weight,
    overlap,
    overlap_calibration,
    rejection_factor,
)


def t(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def kept_distribution(logp: torch.Tensor, logq: torch.Tensor, *, lam: float) -> torch.Tensor:
    """Return how tokens are distributed that were drawn from q and kept with their acceptance: q a / Z."""
    return logq.exp() * acceptance(logp, logq, lam=lam) / overlap(logp, logq, lam=lam)[:, None]


P, Q = t(0.5, 0.3, 0.15, 0.05)[None], t(0.25, 0.25, 0.1, 0.4)[None]


def kl(p, q) -> float:
    return (p * (p / q).log()).sum().item()


def close(found, *expected: float) -> None:
    torch.testing.assert_close(found.squeeze(0), t(*expected), atol=1e-6, rtol=0)


GOLDEN = [  # lam, a, Z, q~, KL(p || q~), p / q~
    (0.5, (1, 1, 1, 0.25), 0.70, (0.357143, 0.357143, 0.142857, 0.142857), 0.070758, (1.4, 0.84, 1.05, 0.35)),
    (1.0, (1, 1, 1, 0.125), 0.65, (0.384615, 0.384615, 0.153846, 0.076923), 0.031307, (1.3, 0.78, 0.975, 0.65)),
    (2.0, (1, 0.6, 0.75, 0.0625), 0.50, (0.5, 0.3, 0.15, 0.05), 0.0, (1, 1, 1, 1)),
]


@pytest.mark.parametrize(("lam", "a", "z", "kept", "distance", "weight"), GOLDEN)
def test_golden(lam, a, z, kept, distance, weight) -> None:
    assert kl(P, Q) == pytest.approx(0.358118, abs=1e-6)
    logp, logq = P.log(), Q.log()
    close(acceptance(logp, logq, lam=lam), *a)
    found = overlap(logp, logq, lam=lam)
    assert found.item() == pytest.approx(z)
    close(kept_distribution(logp, logq, lam=lam), *kept)
    assert kl(P, kept_distribution(logp, logq, lam=lam)) == pytest.approx(distance, abs=1e-6)
    close(kept_weight(logp, logq, found[:, None].expand_as(logp), lam=lam), *weight)


def test_golden_calibration_and_factor() -> None:
    """.62 kept, Z .6 and .58: .62 / .59. Weight .65 times .06 / .05."""
    assert overlap_calibration(t(0.62), t(0.6, 0.58).mean()).item() == pytest.approx(1.050847, abs=1e-6)
    assert rejection_factor(t(0.65), t(0.06 / 0.05), c1=3.0, c2=2.0).item() == pytest.approx(0.78)
    assert rejection_factor(t(5.0), t(4.0), c1=3.0, c2=2.0).item() == 6.0


def test_the_sum_over_the_likeliest_by_hand() -> None:
    """lam 1, one of each: token 0 (p) and token 3 (q): min(.25, .5) + min(.4, .05). Two of each: all but token 2."""
    assert overlap(P.log(), Q.log(), lam=1.0, top=1).item() == pytest.approx(0.30)
    assert overlap(P.log(), Q.log(), lam=1.0, top=2).item() == pytest.approx(0.55)
    assert overlap(P.log(), Q.log(), lam=1.0, top=9).item() == pytest.approx(0.65)


logits = st.lists(st.floats(-4, 4), min_size=5, max_size=5)


@given(logits, logits, st.floats(0.05, 20), st.floats(1, 5))
def test_what_the_formulas_promise(a, b, lam, more) -> None:
    """q~ adds up to 1, its mean weight is 1, Z is the mean acceptance; a larger lam keeps less and comes nearer."""
    logp, logq = t(*a).log_softmax(-1)[None], t(*b).log_softmax(-1)[None]
    z, kept = overlap(logp, logq, lam=lam), kept_distribution(logp, logq, lam=lam)
    assert kept.sum().item() == pytest.approx(1)
    weight = kept_weight(logp, logq, z[:, None].expand_as(logp), lam=lam)
    assert (kept * weight).sum().item() == pytest.approx(1)
    assert (logq.exp() * acceptance(logp, logq, lam=lam)).sum().item() == pytest.approx(z.item())
    assert kl(logp.exp(), kept) <= kl(logp.exp(), logq.exp()) + 1e-9
    further = kept_distribution(logp, logq, lam=lam * more)
    assert kl(logp.exp(), further) <= kl(logp.exp(), kept) + 1e-9
    assert overlap(logp, logq, lam=lam * more).item() <= z.item() + 1e-12
    assert overlap(logp, logq, lam=lam, top=2).item() <= z.item() + 1e-12


@given(logits, logits)
def test_a_large_lam_gives_p_itself_and_a_small_one_rejects_nothing(a, b) -> None:
    logp, logq = t(*a).log_softmax(-1)[None], t(*b).log_softmax(-1)[None]
    ratio = (logp - logq).exp()
    everything = kept_distribution(logp, logq, lam=ratio.max().item() * (1 + 1e-9))
    torch.testing.assert_close(everything, logp.exp())
    assert acceptance(logp, logq, lam=ratio.min().item() * (1 - 1e-9)).eq(1).all()


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="overlap needs equal shapes"):
        overlap(P.log(), Q.log()[:, :2], lam=1.0)
    assert math.isclose(overlap(Q.log(), Q.log(), lam=1.0).item(), 1.0)
