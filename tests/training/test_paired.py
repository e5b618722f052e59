"""Learning from pairs on a toy task: characters with odd codes are better."""

import json
import math
import random
from collections.abc import Callable

import pytest
import torch

from repo_exp.algorithms.registry import find, options_of
from repo_exp.models.forward import response_logp
from repo_exp.training.fit import fit
from repo_exp.training.losses import PairItem
from repo_exp.training.paired import PairedModule
from repo_exp.training.policy import Updates
from tests.algorithms.parts import pair_hyperparameters
from tests.sampling import sample
from tests.training.toy import PROMPTS, TRAINER, Stop, settings

OPTIONS = ("dpo", "cdpo", "robust_dpo", "ipo", "simpo", "ld_dpo", "nca", "apo_zero")
ODD, EVEN = "acegikmoqsuwy", "bdfhjlnprtvxz"
WORDS = ({"loss": "hinge"}, {"loss": "sppo_hard"}, {"divergence": "jensen_shannon"}, {"aggregation": "mean"})


def pairs_of(backbone, count: int = 24) -> list[PairItem]:
    """Return pairs of different lengths: characters of odd codes against those of even ones."""
    draw = random.Random(0)

    def said(letters: str) -> list[int]:
        return backbone.tokens.response("".join(draw.choice(letters) for _ in range(draw.randint(4, 9))))

    prompts = [backbone.tokens.prompt(PROMPTS[i % len(PROMPTS)].messages) for i in range(count)]
    return [PairItem(prompt, said(ODD), said(EVEN)) for prompt in prompts]


@pytest.fixture
def paired(tiny, tmp_path) -> Callable:
    """Return a function that learns from the toy's pairs and returns the learner."""

    def run(*, option="dpo", updates=6, seed=0, budget=4096, stop_at=None, folder=None, pairs=24, keep=None,
            kept=(), **changes) -> PairedModule:  # fmt: skip
        backbone = tiny("policy", "reference")
        backbone.copy("policy", "reference")

        def report(step, metrics) -> None:
            if step == stop_at:
                raise Stop

        learner = PairedModule(
            backbone,
            find("dpo").Algorithm(options_of("dpo")(**pair_hyperparameters(option, **changes))),
            pairs_of(backbone, pairs),
            settings=settings({"policy": 1e-2}, stage="policy", seed=seed, microbatch_tokens=budget, report=report),
            updates=Updates(updates, 16, save=keep, save_after=kept),
        )
        folder = folder or tmp_path / "work"
        folder.mkdir(exist_ok=True)
        fit(learner, TRAINER, folder=folder)
        return learner

    return run


def weights(learner, role="policy") -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in learner.backbone.parameters_of(role).items()}


def same(a: dict, b: dict) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("option", OPTIONS)
def test_every_relative_learns_which_response_is_better(paired, option) -> None:
    history = paired(option=option, updates=20).history
    assert sum(row["implicit/accuracy"] for row in history[-4:]) / 4 > 0.95
    assert history[-1]["implicit/margin"] > history[0]["implicit/margin"]
    assert history[-1]["loss/policy"] < history[0]["loss/policy"]


@pytest.mark.parametrize("changes", WORDS, ids=lambda changes: "-".join(changes.values()))
def test_every_other_loss_learns_it_too(paired, changes) -> None:
    history = paired(updates=20, **changes).history
    assert sum(row["implicit/accuracy"] for row in history[-4:]) / 4 > 0.95


@pytest.mark.parametrize("option", ["dpo", "simpo"])
def test_what_is_learnt_from_pairs_is_said_in_responses(paired, option) -> None:
    """A toy reward that no step has seen, letters of odd codes less those of even ones, rises."""
    learner = paired(option=option, updates=30)
    tokens = learner.backbone.tokens
    prompts = [tokens.prompt(prompt.messages) for prompt in PROMPTS] * 4

    def reward(role: str) -> float:
        said = sample(learner.backbone, role, prompts, seed=5, temperature=1.0, max_new_tokens=10, batch_size=80)
        text = "".join(tokens.text(each.tokens) for each in said)
        return (sum(map(text.count, ODD)) - sum(map(text.count, EVEN))) / len(text)

    assert reward("policy") > reward("reference") + 0.05


def test_a_policy_that_has_not_moved_says_what_the_reference_says(paired) -> None:
    """So the first loss is ln 2, and nothing is won yet."""
    first = paired(updates=1, budget=300).history[0]
    assert first["loss/policy"] == pytest.approx(math.log(2), abs=1e-6)
    assert first["implicit/margin"] == pytest.approx(0, abs=1e-6)


def test_the_reference_is_asked_once_and_does_not_move(paired, tiny, monkeypatch) -> None:
    """24 pairs are three steps of eight: the second time round the reference has said all that it has to say."""
    passes = []

    def counted(backbone, batch):
        passes.append((backbone._active_role, len(batch.token_NR)))
        return response_logp(backbone, batch)

    monkeypatch.setattr("repo_exp.training.paired.response_logp", counted)
    learner, start = paired(updates=6), tiny("policy").parameters_of("policy")
    assert passes == [("reference", 16)] * 3 + [("policy", 16)] * 6
    for name, p in weights(learner, "reference").items():
        assert torch.equal(p, start[name.replace("reference", "policy")])
    assert not same(weights(learner), start)


def test_without_a_reference_nobody_asks_it(paired) -> None:
    learner = paired(option="simpo", updates=1)
    assert set(learner.phases.seconds) == {"train: policy", "optimizer"}
    assert "precompute: reference" in paired(updates=1).phases.seconds


def test_the_same_seed_gives_the_same_bits_and_another_does_not(paired, tmp_path) -> None:
    first, again, other = paired(), paired(folder=tmp_path / "b"), paired(folder=tmp_path / "c", seed=1)
    assert json.dumps(first.history) == json.dumps(again.history) != json.dumps(other.history)
    assert same(weights(first), weights(again)) and not same(weights(first), weights(other))


@pytest.mark.parametrize("option", ["dpo", "simpo"])
def test_stopping_and_resuming_equals_not_stopping_bit_for_bit(paired, tmp_path, option) -> None:
    hyperparameters = {"option": option, "updates": 7, "budget": 200, "sft_weight": 0.1}
    whole = paired(**hyperparameters)
    with pytest.raises(Stop):
        paired(stop_at=5, folder=tmp_path / "cut", **hyperparameters)
    assert (tmp_path / "cut" / "last.ckpt").is_file()
    resumed = paired(folder=tmp_path / "cut", **hyperparameters)
    assert json.dumps(resumed.history) == json.dumps(whole.history)
    assert same(weights(resumed), weights(whole))


@pytest.mark.parametrize("option", ["dpo", "ipo", "simpo"])
def test_cutting_into_microbatches_cannot_change_the_step(paired, tmp_path, option) -> None:
    """One of all pairs; some of several, padded differently; each pair alone."""
    hyperparameters = {"option": option, "updates": 1, "sft_weight": 0.5}
    whole = paired(budget=9999, **hyperparameters)
    for budget in (300, 1):
        cut = paired(budget=budget, folder=tmp_path / str(budget), **hyperparameters)
        for name, p in weights(whole).items():
            torch.testing.assert_close(weights(cut)[name], p, atol=1e-5, rtol=1e-4)
        for name, value in whole.history[-1].items():
            assert cut.history[-1][name] == pytest.approx(value, abs=2e-5), name


def test_each_pair_is_seen_once_an_epoch_in_an_order_that_hangs_on_the_seed(paired) -> None:
    """24 pairs, 8 a step: three steps an epoch."""
    learner = paired(updates=6)
    epochs = [[i for step in steps for i in learner.upcoming(step)] for steps in ((0, 1, 2), (3, 4, 5))]
    assert all(sorted(epoch) == list(range(24)) for epoch in epochs) and epochs[0] != epochs[1]
    assert learner.trained_tokens == 2 * sum(len(p.chosen) + len(p.rejected) for p in learner.pairs)


def test_fewer_pairs_than_a_step_wants_come_round_again(paired) -> None:
    learner = paired(updates=1, pairs=3)
    assert [sorted(learner.upcoming(0)).count(i) for i in range(3)] in ([3, 3, 2], [3, 2, 3], [2, 3, 3])
    assert math.isfinite(learner.history[0]["loss/policy"])


def test_the_policy_is_kept_after_the_updates_that_are_named(paired) -> None:
    done: list[int] = []
    paired(updates=3, keep=done.append, kept=(1, 3))
    assert done == [1, 3]
