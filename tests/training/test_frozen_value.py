"""A value model learns from responses of known worth; DVPO then learns from it, and leaves it as it is."""

import json
import random

import pytest
import torch

from repo_exp.models.forward import lay_out, response_values
from repo_exp.training.fit import fit
from repo_exp.training.losses import PairItem, RewardedItem, RewardModelLoss, ValueLoss
from repo_exp.training.supervised import SupervisedModule, heldout_loss
from tests.training.toy import PROMPTS, TRAINER, Stop, settings

HOW = {"targets": "lambda_return", "gamma": 1.0, "gae_lambda": 0.95}


def taught(backbone, objective, items, folder, *, epochs=1, microbatch_tokens=4096) -> None:
    learner = SupervisedModule(
        backbone,
        objective,
        items,
        epochs=epochs,
        batch_size=16,
        settings=settings({objective.role: 2e-2}, stage="value_model", microbatch_tokens=microbatch_tokens),
    )
    folder.mkdir(exist_ok=True)
    fit(learner, TRAINER, folder=folder)


def worths(tokens, count: int = 96) -> list[RewardedItem]:
    """Responses of odd characters are worth 1, responses of even ones -1."""
    rng, items = random.Random(0), []
    for i in range(count):
        text = "".join(chr(rng.choice(range(34 + i % 2, 127, 2))) for _ in range(8))
        worth = 1.0 if i % 2 else -1.0
        items.append(RewardedItem(tokens.prompt(PROMPTS[i % len(PROMPTS)].messages), tokens.response(text), worth))
    return items


@pytest.fixture
def likes_odd(tiny, tmp_path):
    """Return a function that gives a backbone a value role which learnt that odd characters are worth something."""
    state: dict[str, dict] = {}

    def prepare(backbone, of="action") -> None:
        if of not in state:
            teacher = tiny("policy", "value")
            teacher.add("value", seed=9)
            taught(teacher, ValueLoss(**HOW, of=of), worths(teacher.tokens), tmp_path / f"value-{of}", epochs=4)
            state[of] = {name: p.detach().clone() for name, p in teacher.parameters_of("value").items()}
        for name, p in backbone.parameters_of("value").items():
            p.data.copy_(state[of][name])

    return prepare


def weights(learner, role) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in learner.backbone.parameters_of(role).items()}


def same(a, b) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("targets", ["lambda_return", "td0", "monte_carlo"])
def test_a_value_model_learns_what_responses_are_worth(tiny, tmp_path, targets) -> None:
    backbone = tiny("value")
    backbone.add("value", seed=9)
    objective = ValueLoss(**HOW | {"targets": targets}, of="action")
    items = worths(backbone.tokens, 48)
    taught(backbone, objective, items, tmp_path / "w", epochs=6)
    with torch.no_grad(), backbone.active_adapter("value"):
        value_NR, mask_NR = objective.values(backbone, items)
    last_N = value_NR.gather(1, mask_NR.sum(1, keepdim=True) - 1).squeeze(1)
    good_N = torch.tensor([item.reward > 0 for item in items])
    assert last_N[good_N].mean() > 0.3 and last_N[~good_N].mean() < -0.3


def test_an_untaught_value_model_is_off_by_what_responses_are_worth(tiny) -> None:
    """V is 0, so the monte carlo target is the worth at every token: half of 1 squared."""
    backbone = tiny("value")
    backbone.add("value", seed=9)
    items = worths(backbone.tokens, 8)
    found = heldout_loss(
        backbone, ValueLoss(**HOW | {"targets": "monte_carlo"}, of="state"), items, microbatch_tokens=99
    )
    assert found == pytest.approx(0.5)


def test_a_value_of_the_action_knows_its_token_and_one_of_the_state_does_not(tiny) -> None:
    backbone = tiny("value")
    one, other = (lay_out([[5, 6, 7]], [[20, 30, last]], pad=0) for last in (40, 50))
    with torch.no_grad(), backbone.active_adapter("value"):
        for of, tells in (("state", False), ("action", True)):
            difference = (response_values(backbone, one, of=of) - response_values(backbone, other, of=of)).abs()[0]
            assert (difference[-1] > 1e-6) == tells and (difference[:-1] < 1e-6).all()
        state, action = (response_values(backbone, one, of=of)[0] for of in ("state", "action"))
    torch.testing.assert_close(state[1:], action[:-1])


@pytest.mark.parametrize("of", ["state", "action"])
def test_a_value_model_is_taught_where_it_is_read(tiny, of) -> None:
    """The values that its loss draws to the targets are those that DVPO reads later."""
    backbone, item = tiny("value"), RewardedItem([5, 6, 7], [20, 30, 40], 1.0)
    backbone.add("value", seed=9)
    torch.nn.init.normal_(backbone.heads["value"].weight, std=0.2)
    with torch.no_grad(), backbone.active_adapter("value"):
        found, _ = ValueLoss(**HOW, of=of).values(backbone, [item])
        torch.testing.assert_close(
            found, response_values(backbone, lay_out([item.prompt], [item.response], pad=0), of=of)
        )
        other, _ = ValueLoss(**HOW, of=of).values(backbone, [RewardedItem([5, 6, 7], [20, 30, 50], 1.0)])
    assert ((found - other).abs()[0, -1] > 1e-6) == (of == "action")


def test_cutting_into_microbatches_cannot_change_what_a_value_model_learns(tiny, tmp_path) -> None:
    learnt = []
    for budget in (4096, 70):
        backbone = tiny("value")
        taught(backbone, ValueLoss(**HOW, of="action"), worths(backbone.tokens, 16), tmp_path / str(budget),
               microbatch_tokens=budget)  # fmt: skip
        learnt.append({name: p.detach() for name, p in backbone.parameters_of("value").items()})
    for name, p in learnt[0].items():
        torch.testing.assert_close(learnt[1][name], p, atol=2e-4, rtol=1e-3)


def test_margins_labels_and_weights_of_pairs_are_learnt_from(tiny) -> None:
    """A pair's loss counts as much as its weight says, and a step divides by the weights of its pairs."""
    backbone, objective = tiny("reward"), RewardModelLoss(centring=0.0)
    plain, far, tie = (
        PairItem([5, 6], [40, 2], [50, 2], **how) for how in ({}, {"margin": 0.5}, {"label": 0.5, "weight": 0.25})
    )
    swapped = PairItem([5, 6], [50, 2], [40, 2], label=0.5)
    losses = [heldout_loss(backbone, objective, [item], microbatch_tokens=99) for item in (plain, far, tie, swapped)]
    assert losses[1] > losses[0] and losses[2] == pytest.approx(losses[3])
    both = heldout_loss(backbone, objective, [plain, tie], microbatch_tokens=99)
    assert both == pytest.approx((losses[0] + 0.25 * losses[2]) / 1.25)


# -- the policy ----------------------------------------------------------------------------------------


def test_a_toy_reward_rises_though_nobody_tells_it(online, likes_odd) -> None:
    learner = online(kind="dvpo", updates=24, rollouts=32, prepare=likes_odd, kl_coefficient=0.01)
    totals = [row["reward/total"] for row in learner.history]
    assert sum(totals[-6:]) / 6 > sum(totals[:3]) / 3 + 0.06


@pytest.mark.parametrize("advantage", ["paper", "released"])
def test_the_value_model_has_no_gradient_and_does_not_move(online, likes_odd, tiny, advantage) -> None:
    start = tiny("policy", "value", "reference")
    start.add("value", seed=9)
    likes_odd(start)
    learner = online(kind="dvpo", updates=2, prepare=likes_odd, advantage=advantage, passes=2)
    assert list(learner.fp32_weights) == ["policy"]
    for name, p in learner.backbone.parameters_of("value").items():
        assert p.grad is None and not p.requires_grad and torch.equal(p, start.parameters_of("value")[name])
    assert not same(weights(learner, "policy"), start.parameters_of("policy"))
    assert "loss/value" not in learner.history[-1] and "value/mean" in learner.history[-1]


def test_the_same_seed_gives_the_same_bits_and_resuming_equals_not_stopping(online, likes_odd, tmp_path) -> None:
    how = {"kind": "dvpo", "updates": 5, "prepare": likes_odd, "passes": 2}
    whole, again = online(**how), online(**how, folder=tmp_path / "again")
    with pytest.raises(Stop):
        online(**how, stop_at=4, folder=tmp_path / "cut")
    resumed = online(**how, folder=tmp_path / "cut")
    for other in (again, resumed):
        assert json.dumps(other.history) == json.dumps(whole.history)
        assert same(weights(other, "policy"), weights(whole, "policy"))


def test_cutting_into_microbatches_cannot_change_the_step(online, likes_odd, tmp_path) -> None:
    how = {"kind": "dvpo", "updates": 1, "prepare": likes_odd}
    whole, cut = online(**how, microbatch_tokens=9999), online(**how, microbatch_tokens=80, folder=tmp_path / "b")
    for name, p in weights(whole, "policy").items():
        torch.testing.assert_close(weights(cut, "policy")[name], p, atol=1e-5, rtol=1e-4)
