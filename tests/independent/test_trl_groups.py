"""GRPO and its relatives, RLOO and GDPO against TRL: its trainers are handed our rewards and log-probabilities."""

import math
from types import SimpleNamespace

import pytest
import torch
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

from repo_exp.algorithms.grpo import Algorithm
from repo_exp.algorithms.options.grpo import Options
from repo_exp.core.advantage import decoupled_advantage, group_advantage
from repo_exp.rewards.combine import build
from repo_exp.types import Score
from tests.algorithms.parts import hyperparameters, minibatch
from tests.independent.tiny import ARGUMENTS, model, tokenizer

RESPONSES, GROUP, LONGEST = 8, 4, 6
GROUP_B = torch.arange(RESPONSES) // GROUP
NAN = math.nan


def first(**_) -> list[float]:
    """A reward function: what TRL calls is replaced, its name is not."""
    return [0.0] * RESPONSES


def second(**_) -> list[float]:
    return [0.0] * RESPONSES


def trainer(kind, config, folder, **options):
    arguments = config(
        output_dir=str(folder), per_device_train_batch_size=RESPONSES, num_generations=GROUP, max_completion_length=3,
        beta=0.0, **ARGUMENTS, **options
    )  # fmt: skip
    made = kind(
        model=model(),
        args=arguments,
        processing_class=tokenizer(),
        reward_funcs=[first, second],
        train_dataset=Dataset.from_dict({"prompt": ["ab", "cd"]}),
    )
    made.model.train()
    made.current_gradient_accumulation_steps = 1
    made.args.use_bias_correction_kl = False  # its KL is weighed with the ratio; the published one is not
    return made


@pytest.fixture(scope="module")
def grpo(tmp_path_factory):
    return trainer(GRPOTrainer, GRPOConfig, tmp_path_factory.mktemp("grpo"))


@pytest.fixture(scope="module")
def rloo(tmp_path_factory):
    return trainer(RLOOTrainer, RLOOConfig, tmp_path_factory.mktemp("rloo"), normalize_advantages=False)


def theirs(peer, rewards_BK: torch.Tensor) -> torch.Tensor:
    """Return the advantages that TRL gives for these rewards: the responses themselves are its own."""
    peer._calculate_rewards = lambda *_: rewards_BK
    inputs = [{"prompt": "ab"}] * GROUP + [{"prompt": "cd"}] * GROUP
    return peer._generate_and_score_completions(inputs)["advantages"]


def drawn(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


REWARDS = [
    drawn(0, RESPONSES, 2),
    torch.tensor([0.0, 0, 0, 1, 1, 1, 0, 1])[:, None].expand(-1, 2).contiguous(),
    torch.where(torch.arange(RESPONSES)[:, None] % 3 == 1, NAN, drawn(1, RESPONSES, 2)),  # three without any score
]


@pytest.mark.parametrize("scale", ["group", "batch", "none"])
@pytest.mark.parametrize("rewards_BK", REWARDS)
def test_grpo_advantages(grpo, rewards_BK, scale) -> None:
    grpo.scale_rewards, grpo.multi_objective_aggregation = scale, "sum_then_normalize"
    grpo.reward_weights = torch.tensor([1.0, 0.5])
    ours = group_advantage(rewards_BK[:, 0] + 0.5 * rewards_BK[:, 1], GROUP_B, scale=scale)
    torch.testing.assert_close(ours, theirs(grpo, rewards_BK), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("rewards_BK", REWARDS)
def test_rloo_advantages(rloo, rewards_BK) -> None:
    rloo.reward_weights = torch.tensor([1.0, 2.0])
    total_B = rewards_BK[:, 0] + 2 * rewards_BK[:, 1]
    ours = group_advantage(total_B, GROUP_B, scale="none", baseline="leave_one_out")
    torch.testing.assert_close(ours, theirs(rloo, rewards_BK), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("rewards_BK", REWARDS[:2])
def test_gdpo_advantages_from_the_algorithm_and_from_the_combiner(grpo, rewards_BK) -> None:
    """TRL normalises, sums and standardises over the batch. Our combiner does two, ``scale=batch`` the third."""
    grpo.multi_objective_aggregation, weights = "normalize_then_sum", {"model": 1.0, "judge": 0.5}
    grpo.reward_weights = torch.tensor([1.0, 0.5])
    expected_B = theirs(grpo, rewards_BK)
    sources = {"model": rewards_BK[:, 0], "judge": rewards_BK[:, 1]}
    torch.testing.assert_close(decoupled_advantage(sources, GROUP_B, weights=weights), expected_B, atol=1e-5, rtol=1e-5)
    batch = [{"model": Score(a), "judge": Score(b)} for a, b in rewards_BK.tolist()]
    rule = build("decoupled", {"model": "score", "judge": "points"}, {"n": 100.0, "weights": weights})
    total_B = torch.tensor([each.total for each in rule(batch, GROUP_B.tolist())])
    torch.testing.assert_close(group_advantage(total_B, GROUP_B, scale="batch"), expected_B, atol=1e-5, rtol=1e-5)


def test_gdpo_leaves_a_missing_score_out_of_the_statistics_as_trl_does(grpo) -> None:
    """The released code of GDPO puts a 0 in its place; TRL, like us, leaves it out."""
    rewards_BK = drawn(2, RESPONSES, 2)
    rewards_BK[2, 1] = NAN
    grpo.multi_objective_aggregation, grpo.reward_weights = "normalize_then_sum", torch.ones(2)
    ours = decoupled_advantage({"a": rewards_BK[:, 0], "b": rewards_BK[:, 1]}, GROUP_B, weights={})
    torch.testing.assert_close(ours, theirs(grpo, rewards_BK), atol=1e-5, rtol=1e-5)


# ours: the file in conf/algorithm and what differs;  theirs: settings of the trainer
LOSSES = {
    "grpo": ({}, {"loss_type": "grpo"}),
    "grpo with a KL": ({"kl_coefficient": 0.04}, {"loss_type": "grpo", "beta": 0.04}),
    "bnpo": ({"aggregation": "token_mean"}, {"loss_type": "bnpo"}),
    "dr_grpo": ({"aggregation": "constant"}, {"loss_type": "dr_grpo"}),
    "dapo": ({"aggregation": "token_mean", "clip_high": 0.28}, {"loss_type": "dapo", "epsilon_high": 0.28}),
    "gspo": (
        {"ratio": "sequence", "clip_low": 0.02, "clip_high": 0.03},
        {"loss_type": "grpo", "importance_sampling_level": "sequence", "epsilon_low": 0.02, "epsilon_high": 0.03},
    ),
    "cispo": (
        {"surrogate": "truncated_importance", "aggregation": "token_mean", "clip_high": 0.3},
        {"loss_type": "cispo", "epsilon_high": 1.3},
    ),
}
USUAL = {"beta": 0.0, "epsilon_low": 0.2, "epsilon_high": 0.2, "importance_sampling_level": "token"}


def step() -> SimpleNamespace:
    """Return log-probabilities that moved off the old ones, so that some ratios leave every clip range."""
    length_B = torch.tensor([6, 1, 4, 3, 5, 2, 6, 2])
    return SimpleNamespace(
        mask_BT=torch.arange(LONGEST) < length_B[:, None],
        old_BT=-drawn(3, RESPONSES, LONGEST).abs(),
        logp_BT=-drawn(3, RESPONSES, LONGEST).abs() + 0.3 * drawn(4, RESPONSES, LONGEST),
        reference_BT=-drawn(3, RESPONSES, LONGEST).abs()
        + 0.3 * drawn(5, RESPONSES, LONGEST),  # k3 below its bound of 10
        advantage_B=drawn(6, RESPONSES),
    )


def their_loss(peer, s: SimpleNamespace, logp_BT: torch.Tensor, **more) -> torch.Tensor:
    peer._get_per_token_logps_and_entropies = lambda *_, **__: (logp_BT, torch.zeros_like(s.old_BT), None)
    prompt = torch.ones(RESPONSES, 2).long()
    ids = torch.ones(RESPONSES, LONGEST).long()
    inputs = {"prompt_ids": prompt, "prompt_mask": prompt, "completion_ids": ids, "completion_mask": s.mask_BT.long(),
            "advantages": s.advantage_B}  # fmt: skip
    return peer._compute_loss(peer.model, inputs | more)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_and_their_gradients(grpo, name) -> None:
    changes, settings = LOSSES[name]
    for key, value in (USUAL | settings | {"max_completion_length": LONGEST}).items():
        setattr(grpo, key, value)
    s, (mine, peers) = step(), (step().logp_BT.requires_grad_() for _ in range(2))
    expected = their_loss(grpo, s, peers, old_per_token_logps=s.old_BT, ref_per_token_logps=s.reference_BT,
                          num_items_in_batch=s.mask_BT.sum())  # fmt: skip
    algorithm = Algorithm(Options(**hyperparameters("grpo", **changes)))
    advantage_BT = torch.where(s.mask_BT, s.advantage_B[:, None], torch.zeros(()))
    reference = {"reference_logp": s.reference_BT} if algorithm.signals else {}
    given = minibatch(s.mask_BT, advantage_BT, s.old_BT, aggregation=algorithm.aggregation, **reference)
    loss, _ = algorithm.policy_loss(mine, given)
    torch.testing.assert_close(loss, expected, atol=1e-6, rtol=1e-5)
    loss.backward(), expected.backward()
    torch.testing.assert_close(mine.grad, peers.grad, atol=1e-6, rtol=1e-5)
    assert mine.grad.abs().sum() > 0


def test_the_gradient_of_rloo_where_the_policy_has_not_moved(rloo) -> None:
    """Theirs clips the ratio of the response, ours of a token; at a ratio of 1 both are A times that of log pi."""
    rloo.epsilon_low = rloo.epsilon_high = 0.2
    s, (mine, peers) = step(), (step().old_BT.requires_grad_() for _ in range(2))
    their_loss(rloo, s, peers, old_logps=(s.old_BT * s.mask_BT).sum(1)).backward()
    algorithm = Algorithm(
        Options(**hyperparameters("grpo", aggregation="sequence_sum", baseline="leave_one_out", scale="none"))
    )
    advantage_BT = torch.where(s.mask_BT, s.advantage_B[:, None], torch.zeros(()))
    algorithm.policy_loss(mine, minibatch(s.mask_BT, advantage_BT, s.old_BT, aggregation="sequence_sum"))[0].backward()
    torch.testing.assert_close(mine.grad, peers.grad, atol=1e-6, rtol=1e-5)
