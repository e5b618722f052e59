"""Group methods in the learning loop: they learn, repeat, resume, keep groups whole, and follow an average."""

import math

import pytest
import torch

from repo_exp.algorithms.interface import ReferenceLogprobs, RoleLogprobs
from repo_exp.core.advantage import group_advantage
from repo_exp.training.fp32_weights import FP32Weights
from repo_exp.types import RewardBreakdown
from tests.training.test_online import history, same, weights
from tests.training.toy import PROMPTS, Stop, oddness

METHODS = {
    "gopo": {"kind": "gopo"},
    "grpo_care": {"kind": "grpo_care", "average_every": 3, "average_keep": 0.5},
    "p3o": {"kind": "p3o", "minibatches": 2, "kl_coefficient": 0.001},  # this reward has a spread of 0.1
    "p3o-separate": {"kind": "p3o", "clipping": "separate", "passes": 2, "kl_coefficient": 0.0},
    "sppo": {"kind": "sppo"},
    "sppo-hard": {"kind": "sppo", "target": "hard", "minibatches": 3},
    "sppo-single": {"kind": "sppo", "target": "single", "passes": 1},
}


@pytest.mark.parametrize("name", METHODS)
def test_a_toy_reward_rises(online, name) -> None:
    # labels of 0 and 1 from three minibatches of few responses are noisy: it rises more slowly
    learner = online(updates=60 if name == "sppo-hard" else 30, rollouts=24, **METHODS[name])
    totals = [row["reward/total"] for row in learner.history]
    assert sum(totals[-10:]) / 10 > sum(totals[:3]) / 3 + 0.05


@pytest.mark.parametrize("name", ["gopo", "grpo_care", "p3o", "sppo"])
def test_repeating_and_resuming_give_the_same_bits(online, tmp_path, name) -> None:
    options = METHODS[name]
    whole, again = online(updates=5, **options), online(updates=5, folder=tmp_path / "b", **options)
    assert history(again) == history(whole) and same(weights(again), weights(whole))
    with pytest.raises(Stop):
        online(updates=5, stop_at=5, folder=tmp_path / "cut", **options)
    assert (tmp_path / "cut" / "last.ckpt").is_file()
    resumed = online(updates=5, folder=tmp_path / "cut", **options)
    assert history(resumed) == history(whole) and same(weights(resumed), weights(whole))
    if name == "grpo_care":  # the average moves after the third update, where the checkpoint is, and no more
        assert same(weights(resumed, "average"), weights(whole, "average"))


@pytest.mark.parametrize("name", ["gopo", "grpo_care", "p3o", "p3o-separate", "sppo"])
def test_cutting_into_microbatches_cannot_change_the_step(online, tmp_path, name) -> None:
    whole, cut = (
        online(updates=1, microbatch_tokens=tokens, folder=tmp_path / str(tokens), **METHODS[name])
        for tokens in (9999, 80)
    )
    for key, weight in weights(whole).items():
        torch.testing.assert_close(weights(cut)[key], weight, atol=1e-5, rtol=1e-4)
    assert cut.history[-1]["loss/policy"] == pytest.approx(whole.history[-1]["loss/policy"], rel=1e-5, abs=1e-6)


def watched(monkeypatch, kind) -> list:
    """Keep what an algorithm's loss is handed: the advantages of each part's responses."""
    from repo_exp.algorithms.registry import find

    seen, before = [], find(kind).Algorithm.policy_loss

    def policy_loss(self, logp_BT, part):
        seen.append(part.advantage_BT[:, 0].tolist())
        return before(self, logp_BT, part)

    monkeypatch.setattr(find(kind).Algorithm, "policy_loss", policy_loss)
    return seen


def test_a_pair_is_never_cut_apart(online, monkeypatch) -> None:
    """Twelve responses in three minibatches, and microbatches too small for a response: six parts of one pair each."""
    parts = watched(monkeypatch, "p3o")
    online(kind="p3o", updates=1, minibatches=3, microbatch_tokens=5)
    assert [len(part) for part in parts] == [2] * 6
    assert all(first == -second for first, second in parts)


def test_a_prompt_of_which_one_response_has_no_total_is_left_out(online, monkeypatch) -> None:
    def partly(responses):
        return [RewardBreakdown({}, 0.0, math.nan) if i in (1, 6, 7) else w for i, w in enumerate(oddness(responses))]

    parts = watched(monkeypatch, "p3o")
    learner = online(kind="p3o", updates=1, score=partly)  # of the pairs 0-1 to 10-11 four are whole
    assert sum(len(part) for part in parts) == 8
    assert all(part[i] == -part[i + 1] for part in parts for i in range(0, len(part), 2))
    assert all(torch.isfinite(p).all() for p in weights(learner).values())


def test_metrics_are_means_over_the_steps_that_were_taken(online) -> None:
    """Four minibatches are planned; as three prompts of four have no total, there is one step, and its ratio is 1."""

    def seldom(responses):
        return [RewardBreakdown({}, 0.0, math.nan) if i > 1 else w for i, w in enumerate(oddness(responses))]

    learner = online(kind="p3o", updates=1, rollouts=8, minibatches=4, score=seldom)
    assert learner.history[-1]["policy/ratio"] == pytest.approx(1, abs=1e-4)


def test_only_the_best_and_the_worst_of_a_group_are_computed(online, monkeypatch) -> None:
    parts = watched(monkeypatch, "sppo")
    online(kind="sppo", updates=1, passes=1)  # three groups of four
    flat = [target for part in parts for target in part]
    assert len(flat) == 6 and sorted(target > 0 for target in flat) == [False] * 3 + [True] * 3


def test_an_update_without_a_winner_changes_nothing(online, tmp_path) -> None:
    def alike(responses):
        return [RewardBreakdown({}, 0.0, 0.25)] * len(responses)

    learner, fresh = online(kind="sppo", updates=1, score=alike), online(kind="sppo", updates=1, folder=tmp_path / "b")
    assert "loss/policy" not in learner.history[-1] and learner.history[-1]["credit/silent"] == 1
    assert not same(weights(learner), weights(fresh))
    assert same(weights(learner), {k.replace("reference", "policy"): v for k, v in weights(fresh, "reference").items()})


def test_a_prompt_that_comes_twice_in_a_round_is_two_pairs(online, monkeypatch) -> None:
    """Twenty prompts and 48 responses: four prompts are asked twice, and have four responses each."""
    parts = watched(monkeypatch, "p3o")
    online(kind="p3o", updates=1, rollouts=2 * (len(PROMPTS) + 4))
    assert sum(len(part) for part in parts) == 48
    assert all(part[i] == -part[i + 1] for part in parts for i in range(0, len(part), 2))


def test_the_average_follows_every_so_many_updates(online, tmp_path) -> None:
    """It is half of itself and half of the policy after the second update, and stays so over the third."""
    learners = [
        online(updates=n, folder=tmp_path / str(n), kind="grpo_care", average_every=2, average_keep=0.5)
        for n in (1, 2, 3)
    ]
    start = weights(learners[0], "reference")
    averages = [weights(learner, "average") for learner in learners]
    for key, weight in weights(learners[1]).items():
        before, average = start[key.replace("policy", "reference")], key.replace("policy", "average")
        assert torch.equal(averages[0][average], before)
        torch.testing.assert_close(averages[1][average], (before + weight) / 2)
        assert torch.equal(averages[2][average], averages[1][average])


def test_the_bonus_asks_the_average_and_not_the_policy(online, tmp_path, monkeypatch) -> None:
    """One that never follows stays the SFT policy, so it says of its responses what the reference says of them."""
    from repo_exp.algorithms.grpo_care import Algorithm

    heard, before = [], Algorithm.credit

    def credit(self, seen):
        heard.append((seen[RoleLogprobs] - seen[ReferenceLogprobs]).abs().max().item())
        return before(self, seen)

    monkeypatch.setattr(Algorithm, "credit", credit)
    for keep in (1.0, 0.0):
        folder = tmp_path / str(keep)
        online(updates=2, kind="grpo_care", average_every=1, average_keep=keep, kl_coefficient=1e-3, folder=folder)
    never, at_once = heard[:2], heard[2:]
    assert never == [0, 0] and at_once[0] == 0 and at_once[1] > 0.1


def test_the_bonus_asks_the_average_about_the_answer_alone(online, tmp_path) -> None:
    """Behind words that nobody says there is no answer and no bonus; else it is earned, and changes what is learnt."""
    decode, silent, none = (
        online(updates=2, kind="grpo_care", folder=tmp_path / str(k), **options)
        for k, options in enumerate(({}, {"answer_delimiter": "the answer is"}, {"bonus": 0.0}))
    )
    assert decode.history[0]["credit/consistent"] > 0 and silent.history[0]["credit/consistent"] == 0
    assert same(weights(silent), weights(none)) and not same(weights(decode), weights(none))


def test_answers_are_what_stands_behind_the_last_words(online) -> None:
    learner = online(updates=1, kind="grpo_care", answer_delimiter="=>")
    tokens = learner.backbone.tokens
    for text, rest in (("a=>b=>cd", 3), ("=>", 1), ("ab", 0), ("a=>", 1)):  # the end-of-sequence token is said too
        said = tokens.response(text)
        assert len(said) - tokens.behind(said, "=>") == rest


@pytest.mark.parametrize(("keep", "expected"), [(0.995, 1.005), (1.0, 1.0), (0.0, 2.0)])
def test_an_average_of_weights_by_hand(keep, expected) -> None:
    mine, others = (FP32Weights([torch.nn.Parameter(torch.tensor([x]))]) for x in (1.0, 2.0))
    mine.ema_update(others, keep=keep)
    assert mine.weights[0].item() == mine._live[0].item() == pytest.approx(expected)


def test_a_follower_that_keeps_nothing_is_a_copy_to_the_bit() -> None:
    mine, others = (FP32Weights([torch.nn.Parameter(torch.randn(64) * scale)]) for scale in (1e3, 1e-5))
    mine.ema_update(others, keep=0.0)
    assert torch.equal(mine.weights[0], others.weights[0])


def test_gopo_scores_of_a_group_need_no_unit(online, tmp_path) -> None:
    """A reward a thousand times as large, and squashed, gives the same policy to the bit; GRPO's does not."""

    def larger(responses):
        return [RewardBreakdown({}, 0.0, math.exp(9 * w.total)) for w in oddness(responses)]

    plain, other = (online(kind="gopo", updates=2, score=s, folder=tmp_path / s.__name__) for s in (oddness, larger))
    assert same(weights(plain), weights(other))
    values = torch.tensor([-0.2, 0.1, 0.5])
    one = torch.zeros(3, dtype=torch.long)
    assert not torch.allclose(*(group_advantage(v, one, scale="group") for v in (values, (9 * values).exp())))
