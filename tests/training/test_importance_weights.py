"""Tokens that something else than the policy drew: corrected, rejected, weighed, and the same after a stop."""

import math
from dataclasses import replace

import pytest
import torch

from repo_exp.config.schema import Correction
from repo_exp.training import collecting
from repo_exp.types import RewardBreakdown, Turn
from tests.training.test_online import history, same, weights
from tests.training.toy import Stop

JACKPOT = {"kind": "jackpot", "refresh_every": 2}


@pytest.fixture
def half_as_likely(monkeypatch) -> None:
    """The engine says that every token was half as likely as it was: w = 2."""
    real = collecting.collect

    def halved(turn: Turn) -> Turn:
        return replace(turn, logprobs=tuple(p - math.log(2) for p in turn.logprobs))

    def collect(*arguments, **options):
        found = real(*arguments, **options)
        return [replace(each, turns=tuple(map(halved, each.turns))) for each in found]

    monkeypatch.setattr(collecting, "collect", collect)


def corrected(online, tmp_path, kind: str, cap: float, **options) -> dict[str, float]:
    folder = tmp_path / f"{kind}{cap}"
    correction = Correction(kind=kind, cap=cap)
    how = {"correction": correction, "max_gap": 1.0}  # the sampler is off by log 2 on purpose
    return online(updates=1, folder=folder, whiten_advantages=False, **how, **options).history[-1]


@pytest.mark.parametrize("options", [{}, {"kl_coefficient": 1e-9}], ids=["one pass", "surveyed before"])
def test_a_correction_weighs_the_policys_loss_and_not_the_values(online, tmp_path, half_as_likely, options) -> None:
    """w = 2 everywhere: capped at 1.5 all of it, at 3 none of it, masked beyond 1.5 nothing is left."""
    plain = corrected(online, tmp_path, "none", 1.0, **options)
    assert "policy/correction_mean" not in plain
    for kind, cap, weight, share in (
        ("truncated", 1.5, 1.5, 1.0),
        ("truncated", 3.0, 2.0, 0.0),
        ("masked", 3.0, 2.0, 0.0),
        ("masked", 1.5, 0.0, 1.0),
    ):
        found = corrected(online, tmp_path, kind, cap, **options)
        assert found["policy/correction_mean"] == pytest.approx(weight, rel=1e-4)
        assert found["policy/correction_share"] == pytest.approx(share, abs=1e-6)
        assert found["loss/policy"] == pytest.approx(weight * plain["loss/policy"], rel=1e-4, abs=1e-6)
        assert found["grad/policy_norm"] == pytest.approx(weight * plain["grad/policy_norm"], rel=1e-3, abs=1e-9)
        for name in ("loss/value", "grad/value_norm", "policy/entropy", "policy/ratio"):
            assert found[name] == pytest.approx(plain[name], rel=1e-5)


def test_where_sampler_and_learner_agree_a_correction_changes_next_to_nothing(online, tmp_path) -> None:
    plain, found = (corrected(online, tmp_path, kind, 2.0) for kind in ("none", "truncated"))
    assert found["policy/correction_mean"] == pytest.approx(1.0, abs=1e-4)
    assert found["loss/policy"] == pytest.approx(plain["loss/policy"], abs=1e-5)


def test_responses_come_from_the_copy_and_the_copy_is_taken_anew(online) -> None:
    """Three updates, copies before the first and the third: in the second the answers are an update behind.

    Z is the share that is kept on average, over all of some hundred tokens.
    """
    learner = online(updates=3, support="exact", **JACKPOT)
    first, second, third = learner.history
    for fresh in (first, third):
        assert fresh["policy/sampler_gap"] == pytest.approx(0.0, abs=1e-4)
        assert fresh["rejection/kept"] == pytest.approx(1.0, abs=1e-3)  # p = q, lam = 1
    assert second["policy/sampler_gap"] > 1e-3
    assert 0.5 < second["rejection/kept"] < 0.95
    assert second["rejection/kept"] == pytest.approx(second["rejection/overlap"], abs=0.1)


def test_a_copy_that_is_always_fresh_and_rejects_nothing_is_grpo(online, tmp_path) -> None:
    """p = q: all is kept, Z = 1, p / q~ = 1."""
    options = {"kind": "jackpot", "refresh_every": 1, "support": "exact", "lam": 0.5, "c1": 3.0}
    jackpot, grpo = online(updates=2, **options), online(updates=2, kind="grpo", folder=tmp_path / "grpo")
    for name, p in weights(grpo).items():
        torch.testing.assert_close(weights(jackpot)[name], p, atol=1e-5, rtol=1e-3)


def test_what_a_kept_token_counts_reaches_the_loss(online, tmp_path) -> None:
    """p = q again, where p / q~ = 1: c1 = .5 halves the gradient, and a huge lam rejects every token."""
    options = {"kind": "jackpot", "refresh_every": 1, "support": "exact", "updates": 1}
    one, half, none = (
        online(folder=tmp_path / name, **options, **bounds).history[-1]["grad/policy_norm"]
        for name, bounds in (("one", {"lam": 0.5}), ("half", {"lam": 0.5, "c1": 0.5}), ("none", {"lam": 1e12}))
    )
    assert half == pytest.approx(one / 2, rel=1e-4) and one > 0 and none == 0


@pytest.mark.parametrize("options", [{}, {"passes": 2, "minibatches": 2, "support": "exact"}], ids=["one", "four"])
def test_jackpot_stops_and_resumes_bit_for_bit(online, tmp_path, options) -> None:
    """The checkpoint is taken after three updates; the fourth answers from the copy that the third began with."""
    options = JACKPOT | options
    whole = online(updates=7, **options)
    with pytest.raises(Stop):
        online(updates=7, stop_at=5, folder=tmp_path / "cut", **options)
    resumed = online(updates=7, folder=tmp_path / "cut", **options)
    assert history(resumed) == history(whole)
    for role in ("policy", "rollout"):
        a, b = weights(resumed, role), weights(whole, role)
        assert same(a, b)


def test_the_weight_of_a_kl_with_a_target_resumes(online, tmp_path) -> None:
    options = {"kl_coefficient": 0.05, "kl_target": 0.01, "kl_horizon": 20.0}
    whole = online(updates=7, **options)
    seen = [row["policy/kl_coefficient"] for row in whole.history]
    assert len(set(seen)) > 3
    with pytest.raises(Stop):
        online(updates=7, stop_at=5, folder=tmp_path / "cut", **options)
    assert history(online(updates=7, folder=tmp_path / "cut", **options)) == history(whole)


def test_cutting_into_microbatches_cannot_change_what_is_rejected(online, tmp_path) -> None:
    options = JACKPOT | {"updates": 2}
    whole = online(microbatch_tokens=9999, **options)
    cut = online(microbatch_tokens=80, folder=tmp_path / "cut", **options)
    for name, p in weights(whole).items():
        torch.testing.assert_close(weights(cut)[name], p, atol=1e-5, rtol=1e-3)
    for name in ("rejection/kept", "rejection/overlap", "rejection/weight", "loss/policy"):
        assert cut.history[-1][name] == pytest.approx(whole.history[-1][name], abs=1e-5)


def test_a_response_at_its_groups_mean_counts_and_silent_groups_do_not(online, tmp_path) -> None:
    """Of three groups of 4 one is worth 0 1 1 2, where two responses have no credit: all 4 count, and 8 do not."""

    def score(responses) -> list[RewardBreakdown]:
        return [RewardBreakdown({}, 0.0, float(worth)) for worth in (0, 1, 1, 2, *[5] * 8)]

    options = {"kind": "grpo", "aggregation": "sequence_mean", "scale": "none", "updates": 1, "score": score}
    all_count = online(**options)
    dropped = online(folder=tmp_path / "b", drop_silent_groups=True, **options)
    assert dropped.history[-1]["credit/silent"] == pytest.approx(10 / 12)
    # a step's loss is a mean over the responses that count: 12 of them, or 4 - and not the 2 with credit
    norm = all_count.history[-1]["grad/policy_norm"]
    assert dropped.history[-1]["grad/policy_norm"] == pytest.approx(3 * norm, rel=1e-4)
