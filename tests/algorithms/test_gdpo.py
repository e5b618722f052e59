"""GDPO's credit, with the golden values of its formula."""

import math
from types import SimpleNamespace

import pytest
import torch

from repo_exp.algorithms.gdpo import Algorithm
from repo_exp.algorithms.options.gdpo import Options
from repo_exp.core.advantage import conditioned, decoupled_advantage, group_advantage
from tests.algorithms.parts import hyperparameters, rollouts


def t(*values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def close(found, *expected) -> None:
    torch.testing.assert_close(found, t(*expected), atol=1e-6, rtol=0)


# two prompts with four responses each, two binary rewards
FIRST = t(0, 1, 1, 0, 1, 1, 1, 0)
SECOND = t(0, 1, 0, 1, 0, 0, 1, 0)
GROUP = torch.tensor([0] * 4 + [1] * 4)


def test_golden_two_prompts() -> None:
    found = decoupled_advantage({"model": FIRST, "judge": SECOND}, GROUP, weights={})
    close(found, -1.224677, 1.224677, 0, 0, 0, 0, 1.414097, -1.414097)


def test_golden_weights() -> None:
    found = decoupled_advantage({"model": FIRST, "judge": SECOND}, GROUP, weights={"judge": 0.5})
    close(found, -1.178769, 1.178769, 0.392923, -0.392923, 0.226848, 0.226848, 1.13424, -1.587936)


def test_golden_two_responses() -> None:
    """Worse in both sources, or in one: +-1.414214 and +-0.707107 before the batch makes +-0.707107 of either."""
    for second, z in ((t(0, 1), math.sqrt(2)), (t(0, 0), math.sqrt(0.5))):
        found = decoupled_advantage({"model": t(0, 1), "judge": second}, GROUP[:2], weights={}, eps=0.0)
        close(found, -math.sqrt(0.5), math.sqrt(0.5))
        kept = decoupled_advantage({"model": t(0, 1), "judge": second}, GROUP[:2], weights={}, eps=1e-4)
        deviation = z * math.sqrt(2)
        close(kept, *(sign * z / (deviation + 1e-4) for sign in (-1, 1)))


def test_the_sum_merges_what_gdpo_keeps_apart() -> None:
    """GRPO gives +-1.224595 in both prompts; GDPO tells them apart."""
    found = group_advantage(FIRST + SECOND, GROUP, scale="group")
    close(found, -1.224595, 1.224595, 0, 0, 0, 0, 1.224595, -1.224595)


def test_golden_sums_of_two_responses() -> None:
    """(0, 0) and (1, 1): each source gives -+.707107, in sum -+1.414214. (0, 0) and (0, 1): the first gives nothing."""
    two = torch.tensor([0, 0])
    close(2 * group_advantage(t(0, 1), two, scale="group", eps=0.0), -1.414214, 1.414214)
    first, second = (group_advantage(r, two, scale="group") for r in (t(0, 0), t(0, 1)))
    close(first + second, -0.707007, 0.707007)


def test_one_source_is_grpo_whitened_over_the_batch() -> None:
    z = group_advantage(FIRST, GROUP, scale="group")
    expected = (z - z.mean()) / (z.std() + 1e-4)
    torch.testing.assert_close(decoupled_advantage({"model": FIRST}, GROUP, weights={}), expected)


def test_the_order_of_sources_and_one_without_spread_change_nothing() -> None:
    weights = {"model": 1.0, "judge": 0.5}
    found = decoupled_advantage({"model": FIRST, "judge": SECOND}, GROUP, weights=weights)
    turned = decoupled_advantage({"judge": SECOND, "model": FIRST}, GROUP, weights=weights)
    torch.testing.assert_close(turned, found)
    silent = {"model": FIRST, "judge": SECOND, "rules": GROUP.double()}  # alike inside each group
    torch.testing.assert_close(decoupled_advantage(silent, GROUP, weights=weights), found)


def test_hyperparameters_of_grpos_credit_are_refused() -> None:
    for hyperparameter, value in (("scale", "none"), ("baseline", "leave_one_out"), ("overlong_cache", 4)):
        with pytest.raises(ValueError, match=hyperparameter):
            Options(**hyperparameters("gdpo", weights={}, **{hyperparameter: value}))


def test_a_missing_score_punishes_nobody() -> None:
    """Rule 1 everywhere, judge .8 .8 .8 and one missing: no source has spread, so there is nothing to tell apart."""
    judge = t(0.8, 0.8, 0.8, math.nan)
    close(decoupled_advantage({"rules": t(1, 1, 1, 1), "judge": judge}, GROUP[:4], weights={}), 0, 0, 0, 0)


def test_the_algorithm_reads_the_sources_and_not_the_total() -> None:
    algorithm = Algorithm(Options(**hyperparameters("gdpo", weights={})))
    mask = torch.ones(8, 2, dtype=torch.bool)
    seen = rollouts(torch.zeros(8), GROUP, mask, scores={"model": FIRST, "judge": SECOND})
    credit = algorithm.credit(seen)
    close(credit.advantage_BT[:, 1].double(), -1.224677, 1.224677, 0, 0, 0, 0, 1.414097, -1.414097)


def test_one_source_is_refused() -> None:
    options = Options(**hyperparameters("gdpo", weights={}))
    (problem,) = options.problems(a_config("model"))
    assert "reward=rm+rf" in problem.remedy
    assert not list(options.problems(a_config("model", "rules")))


def test_a_combiner_whose_priority_it_would_ignore_is_refused() -> None:
    options = Options(**hyperparameters("gdpo", weights={}))
    for combine in ("gated", "lexicographic"):
        (problem,) = options.problems(a_config("model", "rules", combine=combine))
        assert problem.where == "reward.combine" and "algorithm.condition" in problem.remedy
    assert not list(options.problems(a_config("model", "rules", combine="enhancement")))


def test_a_condition_on_a_source_that_is_not_asked_is_refused() -> None:
    options = Options(
        **hyperparameters("gdpo", weights={}, condition={"source": "judge", "threshold": 0.0, "otherwise": "zero"})
    )
    (problem,) = options.problems(a_config("model", "rules"))
    assert problem.where == "algorithm.condition.source" and "model, rules" in problem.remedy


def test_golden_condition() -> None:
    """Only the first response has both; a response whose condition nobody knows has no other score either."""
    sources = {"easy": t(1, 1, 0, 1), "hard": t(1, 0, 1, 0)}
    found = conditioned(sources, GROUP[:4], on="hard", threshold=1.0, otherwise="zero")
    close(found["easy"], 1, 0, 0, 0)
    assert torch.equal(found["hard"], sources["hard"])
    close(conditioned(sources, GROUP[:4], on="hard", threshold=0.0, otherwise="zero")["easy"], 1, 1, 0, 1)


@pytest.mark.parametrize("otherwise", ["zero", "lowest"])
def test_what_is_not_there_meets_no_condition_and_gets_no_floor(otherwise) -> None:
    sources = {"easy": t(1, 1, math.nan), "hard": t(1, math.nan, 0)}
    found = conditioned(sources, GROUP[:3], on="hard", threshold=1.0, otherwise=otherwise)
    assert found["easy"][0] == 1 and found["easy"][1:].isnan().all() and found["hard"][1].isnan()


def test_the_lowest_is_that_of_the_group() -> None:
    sources = {"model": t(-1, -0.5, -2, -3, 5, 7, 6, 9), "rules": t(0, 0, -30, -30, 0, -1, 0, 0)}
    found = conditioned(sources, GROUP, on="rules", threshold=0.0, otherwise="lowest")
    close(found["model"], -1, -0.5, -3, -3, 5, 5, 6, 9)


def test_a_broken_condition_does_not_pay_where_scores_have_either_sign() -> None:
    """0 is above what the responses that obey have, so with zero the first of them ends below both that do not."""
    sources = {"model": t(-1, -0.5, -2, -3), "rules": t(0, 0, -30, -30)}

    def order(otherwise: str) -> torch.Tensor:
        found = conditioned(sources, GROUP[:4], on="rules", threshold=0.0, otherwise=otherwise)
        return decoupled_advantage(found, GROUP[:4], weights={})

    assert order("zero")[0] < order("zero")[2:].min()
    assert order("lowest")[:2].min() > order("lowest")[2:].max()


def test_a_condition_turns_an_order_that_weights_would_not() -> None:
    """Response 3 obeys the hard rule, response 2 pleases the easy source: by the sum 2 leads, conditioned 3 does."""
    sources = {"model": t(1, 1, 0, 1), "rules": t(1, 0, 1, 0)}
    seen = rollouts(torch.zeros(4), GROUP[:4], torch.ones(4, 1, dtype=torch.bool), scores=sources)
    plain, tied = (
        Algorithm(Options(**hyperparameters("gdpo", weights={}, condition=condition))).credit(seen).advantage_BT[:, 0]
        for condition in (None, {"source": "rules", "threshold": 1.0, "otherwise": "zero"})
    )
    assert plain[1] > plain[2] and tied[1] < tied[2]


def a_config(*sources: str, combine: str = "weighted_sum") -> SimpleNamespace:
    return SimpleNamespace(reward=SimpleNamespace(sources=dict.fromkeys(sources), combine=combine))
