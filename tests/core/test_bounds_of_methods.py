"""Bounds and smallest cases of the methods beyond PPO and GRPO."""

import pytest
import torch

from repo_exp.core.direct import response_scores
from repo_exp.core.kl import adapted_coefficient
from repo_exp.core.policy_loss import clipped_surrogate, is_clipped
from repo_exp.core.preference import bradley_terry_loss, disagrees
from repo_exp.core.self_play import self_play_target


def t(*values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_the_mean_score_of_one_token_is_that_token_and_of_none_is_zero() -> None:
    ratio, mask = t([[3.0], [5.0]])[None, 0], torch.tensor([[[True], [False]]])
    assert response_scores(ratio, mask, mean=True).tolist() == [[3.0, 0.0]]


def test_a_kl_far_below_its_target_lightens_its_weight_by_a_fifth_at_most() -> None:
    """error = max(0 / 6 - 1, -.2) = -.2; a horizon of responses is used up: .5 * .8 = .4."""
    found = adapted_coefficient(0.5, 0.0, target=6.0, horizon=100.0, responses=100)
    assert found == pytest.approx(0.4)


def test_the_dual_clip_leaves_tokens_alone_that_did_well() -> None:
    """A = .5 at ratio 5, bounds 10 and dual 3: -2.5, not -1.5; with A = 0 or at the very bound nothing is clipped."""
    ratio, bounds = t(5.0), {"low": 0.2, "high": 9.0, "dual": 3.0}
    assert clipped_surrogate(ratio, t(0.5), **bounds).tolist() == [-2.5]
    assert is_clipped(t(5.0, 5.0, 3.0, 3.1), t(0.5, 0.0, -1.0, -1.0), **bounds).tolist() == [False, False, False, True]


def test_a_margin_is_asked_of_whichever_response_is_labelled_better() -> None:
    """d = -.9 and the second is better by a margin of .5: -ls(.4), as for d = .9 and the first."""
    known = {"margin_B": 0.5}
    found = bradley_terry_loss(t(0.3), t(1.2), label_B=0.0, **known)
    assert found.item() == pytest.approx(0.513015, abs=1e-6)
    torch.testing.assert_close(found, bradley_terry_loss(t(1.2), t(0.3), **known))


def test_a_pair_at_the_very_bound_of_the_filter_is_kept() -> None:
    assert disagrees(0.75, 0.5, least=0.25) and not disagrees(0.74, 0.5, least=0.25)


def test_another_group_has_no_say_in_who_beats_whom() -> None:
    """sigmoid(2 - 0) = .880797 and sigmoid(1 - 0) = .731059, less a half."""
    target, _ = self_play_target(t(2, 0, 1, 0), torch.tensor([0, 0, 1, 1]), beta=1.0, target="single")
    assert target.tolist() == pytest.approx([0.380797, -0.380797, 0.231059, -0.231059], abs=1e-6)
