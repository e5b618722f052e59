"""GRPO-CARE's credit as the learner sees it; the bonus itself is in tests/core/test_consistency.py."""

import math

import pytest
import torch

from repo_exp.algorithms import grpo
from repo_exp.algorithms.grpo_care import Algorithm
from repo_exp.algorithms.interface import AnswerMask, Follower, ReferenceLogprobs, RoleLogprobs, RolloutBatch
from repo_exp.algorithms.options import grpo as grpo_options
from repo_exp.algorithms.options.grpo_care import Options
from tests.algorithms.parts import hyperparameters, minibatch, rollouts


def care(**changes) -> Algorithm:
    return Algorithm(Options(**hyperparameters("grpo_care", **changes)))


MASK = torch.tensor([[True] * 3] * 4)
ANSWER = torch.tensor([[False, True, True]] * 4)
TOTAL = torch.tensor([1.0, 2.0, 2.0, -3.0])


def batch(likely, total=TOTAL, answer=ANSWER) -> RolloutBatch:
    """Four responses to a prompt whose two answer tokens have these probabilities under the average."""
    logp = torch.tensor([[math.nan, math.log(p), math.log(q)] for p, q in likely])
    group = torch.zeros(len(total), dtype=torch.long)
    return rollouts(total, group, MASK, average_logp=logp, answer=answer)


LIKELY = [(0.9, 0.9), (0.9, 0.5), (0.7, 0.7), (0.9, 0.9)]


def test_the_credit_by_hand() -> None:
    """Accuracies sigmoid(1 2 2 -3) = .731059 .880797 .880797 .047426, mean .635020: the first three are selected.

    Geometric likelihoods .9 .670820 .7, mean .756940, less .01: only the first reaches it and earns .365529.
    R = 1.365529 2 2 -3: mean .591382, unbiased deviation 2.412864.
    """
    credit = care().credit(batch(LIKELY))
    assert credit.metrics == {"credit/consistent": 0.25}
    totals = torch.tensor([1.365529, 2, 2, -3])
    expected = (totals - 0.591382) / (2.412864 + 1e-4)
    for column in range(3):
        torch.testing.assert_close(credit.advantage_BT[:, column], expected, atol=1e-5, rtol=0)


def test_the_papers_mean_is_a_word() -> None:
    """.9 and .55: arithmetic .725, geometric .703562. Beside .72 and .72 either mean is near, and the order turns."""
    likely = [(0.9, 0.55), (0.72, 0.72), (0.72, 0.72), (0.9, 0.9)]
    sure = {"margin": 0.0, "accuracy_floor": 0.0}
    geometric, arithmetic = (
        care(likelihood=mean, **sure).bonus(batch(likely)) > 0 for mean in ("geometric", "arithmetic")
    )
    assert geometric.tolist() == [False, True, True, False]  # mean .714521
    assert arithmetic.tolist() == [True, False, False, False]  # mean .721667


def test_without_a_bonus_it_is_grpo() -> None:
    same = {
        name: value
        for name, value in hyperparameters("grpo_care").items()
        if name in hyperparameters("grpo") and name != "kind"
    }
    plain, seen = grpo.Algorithm(grpo_options.Options(**hyperparameters("grpo", **same))), batch(LIKELY)
    credit = care(bonus=0.0).credit(seen).advantage_BT
    assert torch.equal(credit, plain.credit(seen).advantage_BT)
    assert not torch.equal(credit, care().credit(seen).advantage_BT)
    torch.manual_seed(0)
    logp, old = torch.randn(4, 3), torch.randn(4, 3)
    given = minibatch(MASK, credit, old, aggregation="sequence_mean")
    assert care(bonus=0.0).policy_loss(logp, given)[0] == plain.policy_loss(logp, given)[0]


def test_a_response_without_an_answer_earns_no_bonus_and_is_judged_all_the_same() -> None:
    answer = ANSWER & torch.tensor([[True], [False], [True], [True]])
    bonus = care().bonus(batch(LIKELY, answer=answer))
    # .9 and .7 are left, mean .8
    torch.testing.assert_close(bonus, torch.tensor([0.365529, 0, 0, 0]), atol=1e-6, rtol=0)
    assert care().credit(batch(LIKELY, answer=answer)).advantage_BT[1, 0] > 0


def test_a_missing_total_earns_and_moves_nothing() -> None:
    total = torch.tensor([1.0, 2.0, math.nan, -3.0])
    credit = care().credit(batch(LIKELY, total=total)).advantage_BT
    assert credit[2].tolist() == [0, 0, 0] and torch.isfinite(credit).all()


def test_it_asks_the_average_and_no_reference() -> None:
    algorithm = care(answer_delimiter="</think>")
    assert algorithm.followers == (Follower("average", every=10, keep=0.995),) and algorithm.sampling_role == "policy"
    assert algorithm.signals == (RoleLogprobs("average"), AnswerMask("</think>"))
    assert ReferenceLogprobs() in care(kl_coefficient=0.1).signals


@pytest.mark.parametrize(
    ("hyperparameter", "value"),
    [("scale", "none"), ("likelihood_cap", 0), ("answer_delimiter", ""), ("average_every", 0), ("average_keep", 1.5)],
)
def test_hyperparameters_that_mean_nothing_are_refused(hyperparameter, value) -> None:
    with pytest.raises(ValueError, match=hyperparameter):
        care(**{hyperparameter: value})
