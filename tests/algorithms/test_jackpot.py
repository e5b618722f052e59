"""Jackpot's weights: what is rejected, what is kept, and what a kept token counts."""

from types import SimpleNamespace

import pytest
import torch

from repo_exp.algorithms.interface import ComparedTokens, Comparison, Follower, find
from repo_exp.algorithms.jackpot import Algorithm
from repo_exp.algorithms.options.jackpot import Options
from tests.algorithms.parts import hyperparameters

HYPERPARAMETERS = hyperparameters("grpo") | hyperparameters("jackpot")


def jackpot(**changes) -> Algorithm:
    return Algorithm(Options(**HYPERPARAMETERS | changes))


def t(rows) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64)


# p = .5 .3 .15 .05 and q = .25 .25 .1 .4 at the drawn tokens; lam 1 keeps them with the chances 1, 1, 1 and 1/8
P, Q = t([[0.5, 0.3], [0.15, 0.05]]).log(), t([[0.25, 0.25], [0.1, 0.4]]).log()
Z = torch.full((2, 2), 0.65).double()


def compared(uniform, *, mask=((True, True), (True, True)), old=P, z=Z) -> ComparedTokens:
    return ComparedTokens(torch.tensor(mask), P, Q, z, old, t(uniform))


def test_kept_tokens_count_by_hand() -> None:
    """Golden weights 1.3, .78, .975 and .65; the last token is kept below .125 alone."""
    factor, metrics = jackpot(support="exact").token_weights(compared([[0.9, 0.9], [0.9, 0.1]]))
    torch.testing.assert_close(factor, t([[1.3, 0.78], [0.975, 0.65]]))
    assert metrics == pytest.approx(
        {"rejection/kept": 1.0, "rejection/overlap": 0.65, "rejection/weight": (1.3 + 0.78 + 0.975 + 0.65) / 4}
    )
    factor, metrics = jackpot(support="exact").token_weights(compared([[0.9, 0.9], [0.9, 0.2]]))
    assert factor[1, 1] == 0 and metrics["rejection/kept"] == 0.75


def test_a_sum_over_the_likeliest_is_calibrated_on_what_was_kept() -> None:
    """3 of 4 kept, mean Z .65: kappa = .75 / .65, which makes Z .75."""
    factor, _ = jackpot(support="top_k").token_weights(compared([[0.9, 0.9], [0.9, 0.2]]))
    torch.testing.assert_close(factor, t([[1.5, 0.9], [1.125, 0]]))


def test_both_bounds_hold() -> None:
    """p_ref / p_new = 1.2, then 4; c2 = 2 and c1 = 1 cut 4 and the weight of 1.3."""
    old = P + t([[1.2, 4.0], [1, 1]]).log()
    factor, _ = jackpot(support="exact", c1=1.0, c2=2.0).token_weights(compared([[0.0, 0.0], [0.0, 0.0]], old=old))
    torch.testing.assert_close(factor, t([[1.0 * 1.2, 0.78 * 2], [0.975, 0.65]]))


def test_padding_takes_no_part() -> None:
    nan = float("nan")
    z = t([[0.65, 0.65], [0.65, nan]])
    mask = ((True, True), (True, False))
    factor, metrics = jackpot(support="top_k").token_weights(compared([[0.9, 0.9], [0.9, 0.0]], mask=mask, z=z))
    assert factor[1, 1] == 0 and metrics["rejection/kept"] == 1.0
    torch.testing.assert_close(factor[0], t([2.0, 1.2]))  # kappa Z = 1


def test_nothing_kept_is_nothing_to_learn_and_no_nan() -> None:
    factor, metrics = jackpot(support="top_k", lam=1e9).token_weights(compared([[0.5, 0.5], [0.5, 0.5]]))
    assert factor.abs().max() == 0 and metrics["rejection/kept"] == 0


def test_z_is_summed_over_the_likeliest_or_over_all() -> None:
    p, q = t([[0.5, 0.3, 0.15, 0.05]]).log(), t([[0.25, 0.25, 0.1, 0.4]]).log()
    assert jackpot(support="exact").overlap(p, q).item() == pytest.approx(0.65)
    assert jackpot(support="top_k", top_k=1).overlap(p, q).item() == pytest.approx(0.30)


def test_it_answers_from_the_past() -> None:
    algorithm = jackpot()
    assert algorithm.followers == (Follower("rollout", every=4, keep=0.0, samples=True),)
    assert algorithm.sampling_role == "rollout" and find(algorithm.signals, Comparison).role == "rollout"
    assert (algorithm.group_size, algorithm.aggregation) == (8, "sequence_mean")  # GRPO's


def test_a_second_correction_is_refused() -> None:
    config = SimpleNamespace(rollout=SimpleNamespace(correction=SimpleNamespace(kind="truncated")))
    options = jackpot().options
    (problem,) = options.problems(config)
    assert "rollout.correction.kind=none" in problem.remedy
    config.rollout.correction.kind = "none"
    assert not list(options.problems(config))


@pytest.mark.parametrize(
    ("hyperparameter", "value"), [("lam", 0), ("refresh_every", 0), ("support", "all"), ("top_k", 0)]
)
def test_hyperparameters_out_of_range_are_refused(hyperparameter, value) -> None:
    with pytest.raises(ValueError, match=hyperparameter):
        jackpot(**{hyperparameter: value})
