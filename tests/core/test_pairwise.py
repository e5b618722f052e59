"""P3O's pairs, with golden values that were worked out apart from the code."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from repo_exp.core.pairwise import pair_difference, pairwise_surrogate, sequence_reward

NAN = math.nan
PAIR = torch.tensor([0, 0])
BOTH = ["separate", "joint"]
number = st.floats(-3, 3).map(lambda x: round(x, 3))


def t(*values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def close(found, *expected, atol=1e-6) -> None:
    torch.testing.assert_close(found, t(*expected), atol=atol, rtol=0)


def loss_and_gradient(moved, won, clipping, clip=0.2):
    """Return the loss of one pair and its gradient with respect to the log-probabilities of both responses."""
    log_ratio = t(*moved)[None].requires_grad_()
    loss, clipped = pairwise_surrogate(log_ratio, t(won, -won)[None], clip=clip, clipping=clipping)
    loss.sum().backward()
    return loss.item(), log_ratio.grad[0].tolist(), clipped[0].tolist()


@pytest.mark.parametrize("clipping", BOTH)
def test_golden_gradient_where_nothing_has_moved(clipping) -> None:
    """r = 1.5 and .5: the loss falls by 1/2 with log pi of the first and rises by 1/2 with that of the second."""
    difference, _ = pair_difference(t(1.5, 0.5), PAIR)
    _, gradient, clipped = loss_and_gradient((0, 0), difference[0].item(), clipping)
    assert gradient == [-0.5, 0.5] and clipped == [False, False]


def test_golden_joint_clip() -> None:
    """log rho .1 and -.2: rho 1.105171 and .818731, product .904837, d = .3, over .2: value -.5 * .904837 * .2."""
    loss, gradient, clipped = loss_and_gradient((0.1, -0.2), 1.0, "joint")
    assert loss == pytest.approx(-0.090484, abs=1e-6) and gradient == [0, 0] and clipped == [True, True]
    # against the favoured direction nothing is clipped: .5 * .904837 * .3, slope .5 * .904837
    loss, gradient, clipped = loss_and_gradient((0.1, -0.2), -1.0, "joint")
    assert loss == pytest.approx(0.135726, abs=1e-6) and gradient == pytest.approx([0.452419, -0.452419], abs=1e-6)
    assert clipped == [False, False]


def test_the_separate_clip_by_hand() -> None:
    """rho = 1.5 and .9 with A = 1, clip .2: -.5 (.9 * 1.2 - 1.5 * .9); only the second has a slope, .5 * 1.5 * .9."""
    loss, gradient, clipped = loss_and_gradient((math.log(1.5), math.log(0.9)), 1.0, "separate")
    assert loss == pytest.approx(-0.5 * (0.9 * 1.2 - 1.5 * 0.9))
    assert gradient == pytest.approx([0, 0.675]) and clipped == [True, False]


@given(number, number, number, number, number)
def test_a_constant_for_both_responses_changes_nothing(r1, r2, shift, a, b) -> None:
    plain, _ = pair_difference(t(r1, r2), PAIR)
    moved, _ = pair_difference(t(r1 + shift, r2 + shift), PAIR)
    torch.testing.assert_close(moved, plain, atol=1e-9, rtol=0)


@settings(deadline=None)  # the first backward pass of a process is slow
@given(number, number, number, st.sampled_from(BOTH))
def test_two_responses_may_change_places(a, b, won, clipping) -> None:
    loss, gradient, _ = loss_and_gradient((a, b), won, clipping)
    turned, back, _ = loss_and_gradient((b, a), -won, clipping)
    assert turned == pytest.approx(loss, abs=1e-9) and back[::-1] == pytest.approx(gradient, abs=1e-9)


@settings(deadline=None)  # the first backward pass of a process is slow
@given(number, number, st.sampled_from(BOTH))
def test_equal_rewards_give_exactly_no_gradient(a, b, clipping) -> None:
    assert loss_and_gradient((a, b), 0.0, clipping)[1] == [0, 0]


def test_ratios_of_long_responses_stay_finite() -> None:
    for clipping in BOTH:
        loss, gradient, _ = loss_and_gradient((900.0, 900.0), -1.0, clipping)
        assert math.isfinite(loss) and all(map(math.isfinite, gradient))


def test_golden_reward_with_its_kl() -> None:
    """1.5 - .1 (-10 + 10.5) = 1.45 and .5 - .1 (-12 + 11) = .6; sums over two tokens, the third is padding."""
    logp, reference = t([-4, -6, NAN], [-5, -7, NAN]), t([-4.5, -6, NAN], [-5, -6, NAN])
    mask = torch.tensor([[True, True, False]] * 2)
    close(sequence_reward(t(1.5, 0.5), logp, reference, mask, kl_coefficient=0.1), 1.45, 0.6)


def test_a_prompt_with_one_reward_has_no_pair() -> None:
    """Prompts 4, 8 and 9, interleaved; 8 has one reward."""
    difference, paired = pair_difference(t(1, 7, 3, NAN, 2, 5), torch.tensor([4, 8, 4, 8, 9, 9]))
    close(difference, -2, 0, 2, 0, -3, 3)
    assert paired.tolist() == [True, False, True, False, True, True]


def test_a_prompt_that_is_asked_twice_has_two_pairs() -> None:
    difference, paired = pair_difference(t(1, 2, 10, 30, 5), torch.zeros(5).long())
    close(difference, -1, 1, -20, 20, 0)
    assert paired.tolist() == [True] * 4 + [False]


def test_pairs_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="side by side"):
        pairwise_surrogate(t(0, 0)[None], t(1, 2)[None], clip=0.2, clipping="joint")
    with pytest.raises(ValueError, match="separate or joint, got 'none'"):
        pairwise_surrogate(t(0, 0)[None], t(1, -1)[None], clip=0.2, clipping="none")
