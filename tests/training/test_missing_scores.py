"""No advantage ever comes from a score that is missing: every combiner with every method that compares responses."""

from __future__ import annotations

import functools

import pytest
import torch
from omegaconf import OmegaConf

from repo_exp.algorithms.interface import AnswerMask, OnlineAlgorithm, RolloutBatch
from repo_exp.algorithms.registry import find, learns_from, options_of
from repo_exp.config.compose import Composer
from repo_exp.config.places import conf_dir, stems
from repo_exp.rewards.combine import build, names
from repo_exp.training.batch import TrainingBatch
from repo_exp.types import Prompt, RewardBreakdown, Score, Trajectory, Turn
from tests.algorithms.parts import rollouts
from tests.rewards.combining import units

TOKENS = 3
# what every response of a group is worth, by source, but for the judge's score of the last one, which is not there
WORTH = {"model": 0.5, "judge": 0.8, "rules": 1.0}


@functools.cache
def section(name: str, *overrides: str) -> dict:
    """Return a section of the configuration, as it is shipped but for some choices."""
    return OmegaConf.to_container(Composer.create().compose(overrides)[name], resolve=True)


def algorithm(option: str) -> OnlineAlgorithm | None:
    """Return the algorithm if it learns online from groups."""
    options = section("algorithm", f"algorithm={option}")
    kind = options["kind"]
    online = learns_from(kind) == "own responses"
    made = find(kind).Algorithm(options_of(kind).model_validate(options)) if online else None
    return made if made is not None and made.group_size > 1 else None


GROUP_METHODS = [name for name in stems(conf_dir() / "algorithm") if algorithm(name)]


def credited(method: OnlineAlgorithm, combiner: str, batch: list[dict[str, Score]]) -> tuple[list[int], torch.Tensor]:
    """Return which responses of a single group take part, and the advantage of each of their tokens."""
    combined = build(combiner, units(batch[0]), section("reward"))(batch, ["c"] * len(batch))
    worths = [
        RewardBreakdown(scores, each.enhancement, each.total, each.clipped, each.missing_sources)
        for scores, each in zip(batch, combined, strict=True)
    ]
    turn = Turn("", completion_ids=(5,) * TOKENS, prompt_ids=(1,), logprobs=(-1.0,) * TOKENS)
    made = TrainingBatch.of([Trajectory(Prompt("c", ()), (turn,))] * len(batch), worths)
    # whatever else a method reads is the same for all responses
    signals = {
        signal: made.mask_BT if isinstance(signal, AnswerMask) else -1.0 * made.mask_BT for signal in method.signals
    }
    known = RolloutBatch(made.total_B, made.group_B, made.mask_BT, 99, made.scores, made.finished, signals=signals)
    return list(made.places), method.credit(known).advantage_BT


def group(size: int, **first: float) -> list[dict[str, Score]]:
    """Return a group of which all are alike, the judge has no word on the last one, and the first may be special."""
    responses = [{name: Score(value) for name, value in WORTH.items()} for _ in range(size)]
    responses[0] |= {name: Score(value) for name, value in first.items()}
    responses[-1]["judge"] = Score.none("timeout")
    return responses


@pytest.mark.parametrize("combiner", names())
@pytest.mark.parametrize("option", GROUP_METHODS)
def test_responses_that_are_alike_in_every_score_there_is_are_not_told_apart(option, combiner) -> None:
    method = algorithm(option)
    _, advantage_BT = credited(method, combiner, group(method.group_size))
    assert advantage_BT.abs().max() == 0


@pytest.mark.parametrize("combiner", names())
@pytest.mark.parametrize("option", [name for name in GROUP_METHODS if algorithm(name).group_size > 2])
def test_a_response_without_a_score_is_no_better_and_no_worse_for_what_others_get(option, combiner) -> None:
    """The judge likes the first response better: that is for those to be compared with whom the judge spoke of."""
    method = algorithm(option)
    last = method.group_size - 1
    usable, advantage_BT = credited(method, combiner, group(method.group_size, judge=50.0))
    if last in usable:
        assert advantage_BT[usable.index(last)].abs().max() < 1e-6  # GDPO subtracts a mean of the batch: rounding


def test_some_methods_compare_responses() -> None:
    assert {"grpo", "dr_grpo", "dapo", "rloo", "gdpo"} <= set(GROUP_METHODS)


def test_responses_that_lack_the_same_are_compared_with_one_another() -> None:
    """Two were judged, two were not; rules tell each pair apart: R = (8 - 10) / 100, 8 / 100, and -10 / 100, 0."""
    batch = [{"judge": Score(8.0), "rules": Score(r)} for r in (-10.0, 0.0)]
    batch += [{"judge": Score.none("timeout"), "rules": Score(r)} for r in (-10.0, 0.0)]
    _, advantage_BT = credited(algorithm("dr_grpo"), "enhancement", batch)
    assert advantage_BT[:, 0].tolist() == pytest.approx([-0.05, 0.05, -0.05, 0.05])


def test_gdpo_is_grpo_with_the_deviation_of_the_batch_on_decoupled_totals() -> None:
    """The sums of z have a mean of 0 in each group, so that of the batch is 0 as well."""
    first, second = (0, 1, 1, 0, 1, 1, 1, 0), (0, 1, 0, 1, 0, 0, 1, 0)
    batch = [{"model": Score(a), "judge": Score(b)} for a, b in zip(first, second, strict=True)]
    group_B = torch.tensor([0] * 4 + [1] * 4)
    total_B = torch.tensor(
        [j.total for j in build("decoupled", units(batch[0]), {"n": 100.0})(batch, group_B.tolist())]
    )
    sources = {"model": torch.tensor(first).float(), "judge": torch.tensor(second).float()}
    seen = rollouts(total_B, group_B, torch.ones(8, 1, dtype=torch.bool), scores=sources)
    found = {}
    for option, changes in (("grpo", {"scale": "batch"}), ("gdpo", {"weights": {}})):
        options = options_of(option).model_validate(section("algorithm", f"algorithm={option}") | changes)
        found[option] = find(option).Algorithm(options).credit(seen).advantage_BT
    torch.testing.assert_close(found["grpo"], found["gdpo"])
    assert found["gdpo"][6, 0] == pytest.approx(1.414097, abs=1e-5)
