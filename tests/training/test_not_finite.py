"""A loss, gradient or weight that is not finite is never learnt from, never checkpointed and never silent."""

from __future__ import annotations

import logging
import math
from dataclasses import replace

import pytest
import torch

from repo_exp.errors import NotFiniteError
from repo_exp.training.callbacks.checkpoint import LAST
from repo_exp.training.callbacks.guard import StepGuard, check_checkpoint
from repo_exp.training.fit import fit
from repo_exp.training.losses import JudgeLoss, RewardedItem, RewardModelLoss, SFTLoss, ValueLoss
from repo_exp.training.supervised import SupervisedModule, heldout_loss
from tests.training.test_paired import paired  # noqa: F401 - pytest finds it by name
from tests.training.test_supervised import PAIRS, QUESTIONS, RESPONSES
from tests.training.toy import OPTIMIZER, TRAINER, oddness, settings

WORTHS = [RewardedItem(item.prompt, item.response, 1.0) for item in RESPONSES]
VALUING = ValueLoss(targets="lambda_return", gamma=1.0, gae_lambda=0.95, of="state")
KINDS = [(SFTLoss(), RESPONSES), (RewardModelLoss(centring=0.01), PAIRS), (JudgeLoss(), QUESTIONS), (VALUING, WORTHS)]
NAMES = ["imitation", "preferring", "judging", "valuing"]


class Spoilt:
    """An objective whose loss, or gradient alone, is not finite in some microbatches, counted from 0."""

    def __init__(self, inner, *, at, by=math.nan, gradient_only=False) -> None:
        self.inner, self.role, self.at, self.by, self.alone = inner, inner.role, at, by, gradient_only
        self.weight, self.sequences, self.calls = inner.weight, inner.sequences, 0

    def loss(self, backbone, items, *, count):
        loss, spoil = self.inner.loss(backbone, items, count=count), self.at(self.calls)
        self.calls += 1
        if not spoil:
            return loss
        return loss + (loss - loss.detach()) * self.by if self.alone else loss * self.by


def run(backbone, objective, items, folder, *, rate=1e-2, epochs=2, bound=3, stage="sft", learner=None):
    learner = SupervisedModule(
        backbone,
        objective,
        items,
        epochs=epochs,
        batch_size=8,
        settings=settings(
            {objective.role: rate},
            stage=stage,
            microbatch_tokens=999,  # a microbatch a step
            max_skipped_steps=bound,
        ),
    )
    folder.mkdir(exist_ok=True)
    fit(learner, TRAINER, folder=folder)
    return learner


def finite(backbone, role) -> bool:
    return all(bool(p.isfinite().all()) for p in backbone.parameters_of(role).values())


@pytest.mark.parametrize(("objective", "items"), KINDS, ids=NAMES)
@pytest.mark.parametrize("how", ["loss", "gradient"])
def test_a_step_that_is_not_finite_is_skipped_and_named(tiny, tmp_path, caplog, objective, items, how) -> None:
    backbone = tiny(objective.role)
    bad = Spoilt(objective, at=lambda call: call == 1, gradient_only=how == "gradient", by=math.inf)
    with caplog.at_level(logging.WARNING):
        learner = run(backbone, bad, items, tmp_path / "w")
    assert [row["optim/skipped_steps"] for row in learner.history] == [0, 1, 0, 0, 0, 0]
    assert finite(backbone, objective.role) and learner.guard.taken[objective.role] == 5
    said = caplog.text
    assert f"sft, step 2, role {objective.role}" in said
    assert all(f"item {place} " in said for place in learner.places(1)[:4]) and "and 4 more" in said


def test_a_skipped_step_leaves_everything_as_it_was(tiny, tmp_path) -> None:
    """Of two steps over the same items the second is skipped: the weights are those after one."""
    found = []
    for epochs, at in ((2, lambda call: call == 1), (1, lambda call: False)):
        backbone = tiny("policy")
        run(backbone, Spoilt(SFTLoss(), at=at), RESPONSES[:8], tmp_path / str(epochs), epochs=epochs)
        found.append(backbone.parameters_of("policy"))
    assert all(torch.equal(weight, found[1][name]) for name, weight in found[0].items())


@pytest.mark.parametrize(("bound", "epochs"), [(0, 2), (3, 2)])
def test_more_skipped_steps_than_the_bound_end_the_stage(tiny, tmp_path, bound, epochs) -> None:
    """It is a bound on the whole stage: good steps in between do not help."""
    bad = Spoilt(SFTLoss(), at=lambda call: call in (0, 1, 3, 5))
    with pytest.raises(NotFiniteError) as error:
        run(tiny("policy"), bad, RESPONSES, tmp_path / "w", bound=bound, epochs=epochs)
    said = str(error.value)
    assert f"{bound + 1} of " in said and f"max_skipped_steps is {bound}" in said
    assert "learning_rate.sft (it is 0.01)" in said and "clip_norm" in said


def test_a_stage_whose_every_step_is_skipped_has_not_finished(tiny, tmp_path) -> None:
    """Three steps are within the bound, and nothing was learnt."""
    bad = Spoilt(RewardModelLoss(centring=0.0), at=lambda call: True)
    with pytest.raises(NotFiniteError, match="every step was skipped"):
        run(tiny("reward"), bad, PAIRS, tmp_path / "w", epochs=1, stage="reward_model")


@pytest.mark.parametrize(("objective", "items"), KINDS, ids=NAMES)
def test_a_rate_that_overflows_the_weights_stops_at_the_first_step(tiny, tmp_path, objective, items) -> None:
    with pytest.raises(NotFiniteError, match=rf"step 1, role {objective.role}: the norm of the weights"):
        run(tiny(objective.role), objective, items, tmp_path / "w", rate=1e30)
    assert not (tmp_path / "w" / LAST).exists()


def test_a_rate_of_0_is_sound(tiny, tmp_path) -> None:
    assert run(tiny("policy"), SFTLoss(), RESPONSES, tmp_path / "w", rate=0.0).guard.taken == {"policy": 6}


def test_a_gradient_whose_square_overflows_is_not_taken() -> None:
    """AdamW would keep an infinite second moment, and the weight would never move again."""
    guard = StepGuard("sft", replace(OPTIMIZER, clip_norm=1e30), {"policy": 1e-2}, max_skipped_steps=3)
    assert not guard.allows("policy", step=0, loss=1.0, norm=1e20, names=list)
    assert guard.allows("policy", step=0, loss=1.0, norm=1e10, names=list)
    clipped = StepGuard("sft", OPTIMIZER, {"policy": 1e-2}, max_skipped_steps=3)
    assert clipped.allows("policy", step=0, loss=1.0, norm=1e20, names=list)


def test_the_last_good_checkpoint_stays_and_skipped_steps_are_counted_on(tiny, tmp_path) -> None:
    """Steps 2, 5, 6 and 7 are bad. The checkpoint after step 6 knows of three, so the fourth ends the resumed run."""
    folder, bad = tmp_path / "w", (1, 4, 5, 6)

    def at(offset):
        return lambda call: call + offset in bad

    with pytest.raises(NotFiniteError, match="4 of 7 steps"):
        run(tiny("policy"), Spoilt(SFTLoss(), at=at(0)), RESPONSES, folder, epochs=3)
    kept = torch.load(folder / LAST, weights_only=True)
    assert kept["progress"]["done"] == 6 and kept["progress"]["steps"] == {
        "taken": {"policy": 3},
        "skipped": {"policy": 3},
    }
    check_checkpoint(kept, stage="sft", remedy="")
    with pytest.raises(NotFiniteError, match="4 of 7 steps"):
        run(tiny("policy"), Spoilt(SFTLoss(), at=at(6)), RESPONSES, folder, epochs=3)


@pytest.mark.parametrize("place", ["state_dict", "optimizer_states", "algorithm"])
def test_a_checkpoint_that_is_not_finite_is_neither_written_nor_read(place) -> None:
    bad = {"state_dict": {"w": torch.ones(2)}, "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(2)}}}]}
    bad |= {"algorithm": {"kl_coefficient": 0.1}, "progress": {"history": [{"loss/train": math.nan}]}}
    check_checkpoint(bad, stage="sft", remedy="")
    bad |= {
        "state_dict": {"state_dict": {"w": torch.tensor([1.0, math.inf])}},
        "optimizer_states": {"optimizer_states": [{"state": {0: {"exp_avg": torch.tensor([math.nan])}}}]},
        "algorithm": {"algorithm": {"kl_coefficient": math.nan}},
    }[place]
    with pytest.raises(NotFiniteError, match=place):
        check_checkpoint(bad, stage="sft", remedy="")


def test_a_poisoned_checkpoint_of_before_is_not_taken_up(tiny, tmp_path) -> None:
    folder = tmp_path / "w"
    with pytest.raises(NotFiniteError):
        run(tiny("policy"), Spoilt(SFTLoss(), at=lambda call: call > 3), RESPONSES, folder, epochs=3, bound=0)
    kept = torch.load(folder / LAST, weights_only=True)
    kept["optimizer_states"][0]["state"][0]["exp_avg"][0] = math.nan
    torch.save(kept, folder / LAST)
    with pytest.raises(NotFiniteError, match="remove it, and the stage starts again"):
        run(tiny("policy"), SFTLoss(), RESPONSES, folder, epochs=3)


def test_a_batch_whose_items_weigh_nothing_is_a_step_that_changes_nothing(tiny, tmp_path) -> None:
    """Ties may weigh 0, and a batch may hold nothing else: 0 / 0 would be NaN."""
    ties = [replace(pair, weight=0.0, label=0.5) for pair in PAIRS]
    backbone, untouched = tiny("reward"), tiny("reward").parameters_of("reward")
    learner = run(backbone, RewardModelLoss(centring=0.0), ties, tmp_path / "w")
    assert learner.history[-1]["loss/train"] == 0 and not learner.guard.skipped
    assert all(torch.equal(weight, untouched[name]) for name, weight in backbone.parameters_of("reward").items())


def test_a_broken_role_has_no_held_out_loss(tiny) -> None:
    backbone = tiny("policy")
    next(iter(backbone.parameters_of("policy").values())).data.fill_(math.nan)
    with pytest.raises(NotFiniteError, match="role policy: its loss on held-out items"):
        heldout_loss(backbone, SFTLoss(), RESPONSES, microbatch_tokens=99)
    assert math.isnan(heldout_loss(backbone, SFTLoss(), [], microbatch_tokens=99))


# -- learning from responses ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ppo", "grpo", "gopo", "sppo", "p3o", "jackpot", "grpo_care"])
def test_an_update_whose_loss_is_not_finite_is_skipped_and_names_its_responses(
    online, monkeypatch, caplog, tmp_path, kind
) -> None:
    from repo_exp.algorithms.registry import find

    method, seen = find(kind).Algorithm, []
    loss_of = method.policy_loss

    def spoilt(self, logp_BT, minibatch):
        loss, metrics = loss_of(self, logp_BT, minibatch)
        seen.append(loss)
        return loss * math.nan if len(seen) == 1 else loss, metrics

    monkeypatch.setattr(method, "policy_loss", spoilt)
    with caplog.at_level(logging.WARNING):
        learner = online(kind=kind, updates=2, folder=tmp_path / kind)
    assert learner.guard.skipped == {"policy": 1} and finite(learner.backbone, "policy")
    assert [row["optim/skipped_steps"] for row in learner.history] == [1, 0]
    assert "policy, step 1, role policy" in caplog.text and "trained on: response " in caplog.text


def test_values_that_are_not_finite_stop_naming_the_responses(online) -> None:
    def break_it(backbone) -> None:
        backbone.heads["value"].weight.data.fill_(math.inf)

    with pytest.raises(
        NotFiniteError, match=r"step 1 of 6: .*\n  role value: those of 12 of 12 responses.*response 0 "
    ):
        online(prepare=break_it, passes=2)


def test_a_step_on_pairs_is_skipped_and_names_them(paired, caplog) -> None:  # noqa: F811
    """An option that divides by nothing: beta is so large that the loss of every pair overflows."""
    with caplog.at_level(logging.WARNING), pytest.raises(NotFiniteError, match="4 of 4 steps of the role policy"):
        paired(option="ipo", beta=1e-30)
    assert "trained on: pair " in caplog.text


def test_a_reference_that_is_not_finite_is_named(tiny) -> None:
    from repo_exp.training.callbacks.guard import require_finite

    require_finite(torch.zeros(3, 2, 4), role="reference", names=lambda wrong: [])
    said_C2T = torch.zeros(3, 2, 4)
    said_C2T[1, 1, 2] = -math.inf
    with pytest.raises(NotFiniteError, match="those of 1 of 3 responses are not finite: pair 1"):
        require_finite(said_C2T, role="reference", names=lambda wrong: [f"pair {i}" for i in wrong])


def test_scores_beyond_float32_make_no_step(online) -> None:
    """1e300 is finite, and infinite once it is a tensor of the learner."""

    def huge(responses):
        return [replace(each, total=1e300 * each.total) for each in oddness(responses)]

    with pytest.raises(NotFiniteError, match="of the role policy"):
        online(score=huge)
