"""SFT, reward model and judge learn what they are shown."""

from dataclasses import replace

import pytest
import torch

from repo_exp.training.fit import fit
from repo_exp.training.fp32_weights import FP32Weights
from repo_exp.training.losses import JudgeLoss, PairItem, QuestionsItem, ResponseItem, RewardModelLoss, SFTLoss
from repo_exp.training.optimizer import rate_factor
from repo_exp.training.supervised import SupervisedModule, heldout_loss, step_count
from tests.training.toy import OPTIMIZER, TRAINER, settings

RESPONSES = [ResponseItem([5, 6, 7, 8 + i % 3], [20 + i % 3, 30, 2]) for i in range(24)]
PAIRS = [PairItem([5, 6, i % 9 + 3], [40, 41, 2], [50, 41, 2]) for i in range(24)]
QUESTIONS = [
    QuestionsItem([[5, 6, 40 + i % 2, 9], [5, 6, 40 + i % 2, 10]], [bool(i % 2), not i % 2]) for i in range(24)
]


def run(backbone, objective, items, folder, *, epochs=6, batch_size=8, microbatch_tokens=28, seed=0):
    learner = SupervisedModule(
        backbone,
        objective,
        items,
        epochs=epochs,
        batch_size=batch_size,
        settings=settings({objective.role: 1e-2}, seed=seed, microbatch_tokens=microbatch_tokens),
    )
    folder.mkdir(exist_ok=True)
    fit(learner, TRAINER, folder=folder)
    return learner


@pytest.mark.parametrize(
    ("objective", "items"),
    [(SFTLoss(), RESPONSES), (RewardModelLoss(centring=0.01), PAIRS), (JudgeLoss(), QUESTIONS)],
    ids=["imitation", "preferring", "judging"],
)
def test_the_loss_falls(tiny, tmp_path, objective, items) -> None:
    backbone = tiny(objective.role)
    before = heldout_loss(backbone, objective, items, microbatch_tokens=99)
    run(backbone, objective, items, tmp_path / "w")
    assert heldout_loss(backbone, objective, items, microbatch_tokens=20) < 0.6 * before


@torch.no_grad()
def test_the_losses_are_means_over_tokens_pairs_and_questions(tiny) -> None:
    """Of items that differ in size, each loss against what the role says, and cut in two against the whole."""
    from repo_exp.models.forward import answer_yes

    backbone = tiny("policy", "reward", "judge")
    asked = [QuestionsItem([[5, 6, 40, 9], [5, 6, 40, 10], [5, 6, 40, 11]], [True, False, True]), QUESTIONS[0]]
    written = [ResponseItem([5, 6], [20, 30, 40, 2]), ResponseItem([5, 6, 7], [2])]
    for objective, items, sizes in (
        (JudgeLoss(), asked, [3, 2]), (SFTLoss(), written, [4, 1]), (RewardModelLoss(centring=0.0), PAIRS[:2], [1, 1]),
    ):  # fmt: skip
        assert [objective.weight(item) for item in items] == sizes
        with backbone.active_adapter(objective.role):
            whole = objective.loss(backbone, items, count=sum(sizes))
            parts = [objective.loss(backbone, [item], count=size) for item, size in zip(items, sizes, strict=True)]
        expected = sum(loss * size for loss, size in zip(parts, sizes, strict=True)) / sum(sizes)
        torch.testing.assert_close(whole, expected)
    yes = torch.tensor([p for group in answer_yes(backbone, [item.prompts for item in asked], microbatch_tokens=99)
                        for p in group])  # fmt: skip
    right = torch.tensor([answer for item in asked for answer in item.answers])
    with backbone.active_adapter("judge"):
        found = JudgeLoss().loss(backbone, asked, count=5)
    torch.testing.assert_close(found, -torch.where(right, yes, 1 - yes).log().mean())


def test_every_item_is_seen_once_an_epoch_in_an_order_that_hangs_on_the_seed(tiny, tmp_path) -> None:
    learner = run(tiny("policy"), SFTLoss(), RESPONSES, tmp_path / "w", epochs=2, batch_size=10)
    epochs = [[id(item) for step in steps for item in learner.batch(step)] for steps in ((0, 1, 2), (3, 4, 5))]
    for epoch in epochs:
        assert sorted(epoch) == sorted(map(id, RESPONSES))
    assert epochs[0] != epochs[1]
    assert learner.steps == step_count(24, epochs=2, batch_size=10) == 6


def test_cutting_into_microbatches_cannot_change_the_step(tiny, tmp_path) -> None:
    def learnt(budget):
        backbone = tiny("reward")
        run(backbone, RewardModelLoss(centring=0.1), PAIRS, tmp_path / str(budget), epochs=1, microbatch_tokens=budget)
        return backbone.parameters_of("reward")

    whole, cut = learnt(99), learnt(10)
    for name, p in whole.items():
        torch.testing.assert_close(cut[name], p, atol=2e-4, rtol=1e-3)


def test_bfloat16_adapters_learn_at_rates_that_bfloat16_itself_would_round_away() -> None:
    """1 + 1e-6 is 1 in bfloat16; twenty thousand such steps on the master are not."""
    live = torch.nn.Parameter(torch.ones(3, dtype=torch.bfloat16))
    master = FP32Weights([live])
    for _ in range(20_000):
        live.grad = torch.full_like(live, -1.0)
        master.accumulate()
        with torch.no_grad():
            master.weights[0] -= 1e-6 * master.weights[0].grad
        master.weights[0].grad = None
    master.sync()
    assert live.tolist() == pytest.approx([1.02] * 3, abs=0.005)


def test_gradients_of_microbatches_add_up_and_are_clipped_to_the_norm() -> None:
    live = torch.nn.Parameter(torch.zeros(2))
    master = FP32Weights([live])
    for _ in range(2):
        live.grad = torch.tensor([1.5, 2.0])
        master.accumulate()
    assert live.grad is None
    assert master.clip(1.0) == pytest.approx(5.0)  # |(3, 4)|
    assert master.weights[0].grad.tolist() == pytest.approx([0.6, 0.8], abs=1e-5)


def test_the_learning_rate_warms_up_and_follows_its_schedule() -> None:
    def factors(schedule):
        options = replace(OPTIMIZER, warmup_steps=2, schedule=schedule)
        return [rate_factor(step, 6, options) for step in range(6)]

    assert factors("constant") == pytest.approx([1 / 3, 2 / 3, 1, 1, 1, 1])
    assert factors("linear") == pytest.approx([1 / 3, 2 / 3, 1, 0.75, 0.5, 0.25])
    assert factors("cosine")[2:] == pytest.approx([1, 0.853553, 0.5, 0.146447], abs=1e-6)
