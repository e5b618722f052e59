"""The learning loop on a toy task: it learns, it repeats, it resumes, and microbatches do not matter."""

import json
import math

import pytest
import torch

from repo_exp.algorithms import ppo
from repo_exp.algorithms.interface import Signal, Values
from repo_exp.models.packing import chunks
from repo_exp.rollout.torch_engine import TorchEngine
from repo_exp.training.batch import TrainingBatch
from repo_exp.training.signals import SignalComputer
from repo_exp.types import Prompt, RewardBreakdown, Score, Trajectory, Turn
from tests.rewards.combining import combine
from tests.training.toy import Stop, oddness


def weights(learner, role="policy") -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in learner.backbone.parameters_of(role).items()}


def same(a: dict, b: dict) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


def history(learner) -> str:
    return json.dumps(learner.history)


RELATIVES = {
    "ppo": {},
    "grpo": {"kind": "grpo"},
    "dr_grpo": {"kind": "grpo", "scale": "none", "aggregation": "constant"},
    "dapo": {"kind": "grpo", "clip_high": 0.28, "aggregation": "token_mean", "overlong_cache": 2,
             "drop_silent_groups": True},
    "gspo": {"kind": "grpo", "ratio": "sequence", "passes": 2},
    "rloo": {"kind": "grpo", "baseline": "leave_one_out", "scale": "none", "aggregation": "sequence_sum"},
    "cispo": {"kind": "grpo", "surrogate": "truncated_importance", "aggregation": "token_mean"},
    "jackpot": {"kind": "jackpot", "refresh_every": 2},
    "ppo-full": {"whiten_rewards": True, "missing_eos_penalty": 0.1, "dual_clip": 3.0, "value_clip": None, "passes": 2,
                 "kl_coefficient": 0.01, "kl_target": 0.5, "kl_estimator": "k3", "aggregation": "sequence_mean"},
}  # fmt: skip


@pytest.mark.parametrize("name", RELATIVES)
def test_a_toy_reward_rises(online, name) -> None:
    learner = online(updates=40, rollouts=32, **RELATIVES[name])
    totals = [row["reward/total"] for row in learner.history]
    assert sum(totals[-6:]) / 6 > sum(totals[:6]) / 6 + 0.08


@pytest.mark.parametrize(
    ("kind", "combiner"), [("ppo", "lexicographic"), ("ppo", "gated"), ("grpo", "decoupled"), ("grpo", "lexicographic")]
)
def test_a_toy_reward_rises_through_any_combiner(online, kind, combiner) -> None:
    """The sources are the share of odd characters, and a rule that is broken by responses below one half of it."""
    order, gate = ["rules", "model"], {"source": "rules", "threshold": 0.0, "otherwise": -1.0}
    rule = combine(combiner, order=order, gate=gate)
    shares: list[float] = []

    def score(responses):
        found = [each.total for each in oddness(responses)]
        shares.append(sum(found) / len(found))
        batch = [{"model": Score(share), "rules": Score(-10.0 if share < 0 else 0.0)} for share in found]
        totals = rule(batch, [response.prompt.id for response in responses])
        return [
            RewardBreakdown(said, total.enhancement, total.total) for said, total in zip(batch, totals, strict=True)
        ]

    online(kind=kind, updates=30, rollouts=32, score=score)
    assert sum(shares[-6:]) / 6 > sum(shares[:6]) / 6 + 0.08


def test_the_same_seed_gives_the_same_bits_and_another_does_not(online, tmp_path) -> None:
    first, again, other = online(), online(folder=tmp_path / "b"), online(folder=tmp_path / "c", seed=1)
    assert history(first) == history(again) != history(other)
    assert same(weights(first), weights(again)) and not same(weights(first), weights(other))


@pytest.mark.parametrize(
    "options",
    [{}, {"passes": 2, "minibatches": 2, "kl_coefficient": 0.05}, {"kind": "grpo", "kl_coefficient": 0.05}],
    ids=["ppo", "ppo-kl", "grpo-kl"],
)
def test_stopping_and_resuming_equals_not_stopping_bit_for_bit(online, tmp_path, options) -> None:
    whole = online(updates=7, **options)
    with pytest.raises(Stop):
        online(updates=7, stop_at=5, folder=tmp_path / "cut", **options)
    assert (tmp_path / "cut" / "last.ckpt").is_file()
    resumed = online(updates=7, folder=tmp_path / "cut", **options)
    assert history(resumed) == history(whole)
    assert same(weights(resumed), weights(whole)) and same(weights(resumed, "value"), weights(whole, "value"))


def test_a_checkpoint_holds_adapters_and_no_backbone(online, tmp_path) -> None:
    with pytest.raises(Stop):
        online(stop_at=4, folder=tmp_path / "cut")
    state = torch.load(tmp_path / "cut" / "last.ckpt", weights_only=True)["state_dict"]
    assert state and all(name.startswith("fp32_weights.") for name in state)


def test_the_ratio_is_one_on_the_first_pass(online) -> None:
    """Two passes move the mean ratio off 1; a single pass, against surveyed log-probabilities, does not."""
    learner = online(updates=1, passes=2)
    seen = learner.history[-1]["policy/ratio"]
    assert seen != 1.0  # the second pass has moved
    again = online(updates=1, passes=1, minibatches=1, kl_coefficient=1e-9)  # surveyed, not shared, old log-probs
    assert again.history[-1]["policy/ratio"] == pytest.approx(1.0, abs=1e-6)
    assert again.history[-1]["policy/approx_kl"] == pytest.approx(0.0, abs=1e-9)
    assert again.history[-1]["policy/clip_fraction"] == 0


@pytest.mark.parametrize("kind", ["ppo", "grpo"])
def test_cutting_into_microbatches_cannot_change_the_step(online, tmp_path, kind) -> None:
    """Whole groups in one row, or (GRPO) groups cut in two that compute their prompt twice."""
    whole, cut = (
        online(kind=kind, updates=1, microbatch_tokens=9999),
        online(kind=kind, updates=1, microbatch_tokens=80, folder=tmp_path / "b"),
    )
    for name, p in weights(whole).items():
        torch.testing.assert_close(weights(cut)[name], p, atol=1e-5, rtol=1e-4)
    assert cut.history[-1]["loss/policy"] == pytest.approx(whole.history[-1]["loss/policy"], abs=1e-6)


def test_values_asked_for_while_learning_are_those_asked_for_before(online, tmp_path, monkeypatch) -> None:
    """A single step reads every response once with the value network; asking it first changes nothing but the time."""
    once = online(updates=3)
    assert "precompute: value" not in once.phases.seconds
    before = ppo.Algorithm.__init__

    def first(self, options) -> None:
        before(self, options)
        self.signals = (Values(separable=False),)

    monkeypatch.setattr(ppo.Algorithm, "__init__", first)
    twice = online(updates=3, folder=tmp_path / "b")
    assert "precompute: value" in twice.phases.seconds
    for role in ("policy", "value"):
        for name, p in weights(once, role).items():
            torch.testing.assert_close(weights(twice, role)[name], p, atol=1e-6, rtol=1e-5)
    assert twice.history[-1]["loss/value"] == pytest.approx(once.history[-1]["loss/value"], rel=1e-5)


def test_values_are_clipped_around_what_they_were_before_the_update(online, tmp_path) -> None:
    """From the second step of an update on a clip that hardly lets a value move stops those that have moved."""
    budget = {"updates": 2, "passes": 3}
    free, held = (online(**budget, value_clip=clip, folder=tmp_path / str(clip)) for clip in (None, 1e-4))
    assert not same(weights(free, "value"), weights(held, "value"))


def test_a_long_prompt_is_read_once_for_its_group() -> None:
    """100 tokens and four responses of 10 are one row of 140, though a microbatch has 50; at 200 a row is full."""
    short, long = [1] * 10, [1] * 100
    for prompt, count, expected in ((long, 4, [4]), (long, 12, [10, 2]), (short, 6, [4, 2])):
        zeros = torch.zeros(count)
        seen = TrainingBatch(
            prompts=[prompt] * count,
            completions=[(5 + i,) * 10 for i in range(count)],
            logprobs=[(-1.0,) * 10] * count,
            finished=zeros == 0,
            total_B=zeros,
            group_B=zeros.long(),
            mask_BT=torch.ones(count, 10).bool(),
            scores={},
        )
        found = list(seen.cut(range(count), tokens=50, whole_groups=False, chunks=chunks))
        assert sorted(i for part in found for i in part) == list(range(count))
        assert sorted(map(len, found), reverse=True) == expected
        whole = seen.cut(range(count), tokens=50, whole_groups=True, chunks=chunks)
        assert [len(part) for part in whole] == [count]


def test_each_prompt_is_answered_by_a_whole_group(online) -> None:
    asked = []

    def score(responses):
        asked.append([response.prompt.id for response in responses])
        return oddness(responses)

    online(kind="grpo", updates=2, score=score)
    for ids in asked:
        assert [ids.count(each) for each in dict.fromkeys(ids)] == [4, 4, 4]
    assert not set(asked[0]) & set(asked[1])


def test_responses_without_a_total_take_no_part(online, tmp_path) -> None:
    """A learner that sees NaN for the second half equals one that never got the second half's credit."""

    def half(responses):
        worths = oddness(responses)
        return [w if k % 2 else RewardBreakdown({}, 0.0, math.nan) for k, w in enumerate(worths)]

    learner = online(updates=2, score=half)
    assert all(torch.isfinite(p).all() for p in weights(learner).values())
    unchanged = online(updates=1, score=lambda r: [RewardBreakdown({}, 0.0, math.nan)] * len(r), folder=tmp_path / "b")
    fresh = online(
        updates=1, score=lambda r: [RewardBreakdown({}, 0.0, math.nan)] * len(r), folder=tmp_path / "c", seed=5
    )
    assert same(weights(unchanged), weights(fresh))
    assert "loss/policy" not in unchanged.history[-1]


def test_the_reference_and_the_backbone_do_not_move(online, tiny) -> None:
    learner, start = online(updates=2, kl_coefficient=0.1), tiny("policy")
    for name, p in weights(learner, "reference").items():
        assert torch.equal(p, start.parameters_of("policy")[name.replace("reference", "policy")])
    for name, p in start.model.named_parameters():
        if "lora_" not in name:
            assert torch.equal(p, learner.backbone.model.get_parameter(name))
    moved = weights(learner)
    assert any(not torch.equal(p, start.parameters_of("policy")[name]) for name, p in moved.items())


def test_the_engine_is_told_which_role_samples_and_when_its_weights_have_changed(online, monkeypatch) -> None:
    """The policy changes with every update, a copy of every second update with every second one."""
    for kind, options, expected in (
        ("ppo", {}, [("policy", 0), ("policy", 1), ("policy", 2)]),
        ("jackpot", {"refresh_every": 2}, [("rollout", 0), ("rollout", 0), ("rollout", 1)]),
    ):
        published: list[tuple[str, int]] = []
        before = TorchEngine.publish

        def publish(self, role, version, published=published, before=before) -> None:
            published.append((role, version))
            before(self, role, version)

        with monkeypatch.context() as patched:
            patched.setattr(TorchEngine, "publish", publish)
            online(kind=kind, updates=3, **options)
        assert published == expected


def test_a_trajectory_of_several_turns_is_refused() -> None:
    turns = (Turn("a", completion_ids=(5,), prompt_ids=(1,), logprobs=(-1.0,)),) * 2
    with pytest.raises(ValueError, match="one turn"):
        TrainingBatch.of([Trajectory(Prompt("c", ()), turns)], [RewardBreakdown({}, 0.0, 1.0)])


def test_a_signal_that_nothing_computes_is_named() -> None:
    class Unknown(Signal):
        pass

    with pytest.raises(NotImplementedError, match="Unknown"):
        SignalComputer.compute(None, Unknown(), None)
