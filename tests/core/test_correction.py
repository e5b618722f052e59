"""What a token counts where the sampler's probabilities are not the learner's."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from repo_exp.core.correction import sampler_correction


def t(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


# the learner says .5, .5, .5, .5; the sampler said .1, .4, .5, 1: w = 5, 1.25, 1, .5
OLD, SAMPLER = t(0.5, 0.5, 0.5, 0.5).log(), t(0.1, 0.4, 0.5, 1.0).log()


@pytest.mark.parametrize(
    ("kind", "cap", "weights", "touched"),
    [
        ("none", 2.0, (1, 1, 1, 1), (False, False, False, False)),
        ("truncated", 2.0, (2, 1.25, 1, 0.5), (True, False, False, False)),
        ("truncated", 1.2, (1.2, 1.2, 1, 0.5), (True, True, False, False)),
        ("masked", 2.5, (0, 1.25, 1, 0.5), (True, False, False, False)),
        ("masked", 1.5, (0, 1.25, 1, 0), (True, False, False, True)),
    ],
)
def test_corrections_by_hand(kind, cap, weights, touched) -> None:
    found, where = sampler_correction(OLD, SAMPLER, kind=kind, cap=cap)
    torch.testing.assert_close(found, t(*weights))
    assert tuple(where.tolist()) == touched


@given(st.sampled_from(["none", "truncated", "masked"]), st.floats(1, 5), st.floats(-20, 0))
def test_where_both_agree_nothing_changes(kind, cap, logp) -> None:
    found, touched = sampler_correction(t(logp), t(logp), kind=kind, cap=cap)
    assert found.item() == 1 and not touched.item()


@given(st.floats(1, 5), st.floats(-20, 0), st.floats(-20, 0))
def test_no_weight_is_above_the_cap(cap, old, sampled) -> None:
    for kind in ("truncated", "masked"):
        assert 0 <= sampler_correction(t(old), t(sampled), kind=kind, cap=cap)[0].item() <= cap


def test_the_weight_takes_no_gradient_and_stays_finite() -> None:
    old = t(0.0).requires_grad_()
    weight, _ = sampler_correction(old, t(-1000.0), kind="truncated", cap=math.inf)
    assert not weight.requires_grad and math.isfinite(weight.item())


def test_what_cannot_be_corrected_is_refused() -> None:
    with pytest.raises(ValueError, match="none, truncated or masked"):
        sampler_correction(OLD, SAMPLER, kind="clipped", cap=2.0)
    with pytest.raises(ValueError, match="equal shapes"):
        sampler_correction(OLD, SAMPLER[:2], kind="masked", cap=2.0)
