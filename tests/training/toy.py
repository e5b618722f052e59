"""A toy task on the tiny model: say characters with odd codes."""

from collections.abc import Callable

import pytest

from repo_exp.algorithms.registry import find, options_of
from repo_exp.config.schema import Trainer
from repo_exp.rollout.engine import Sampling
from repo_exp.rollout.torch_engine import TorchEngine
from repo_exp.training.agreement import Mismatch
from repo_exp.training.base import TrainingSettings
from repo_exp.training.collecting import Rewards
from repo_exp.training.fit import fit
from repo_exp.training.module import OnlineModule
from repo_exp.training.optimizer import OptimizerSettings
from repo_exp.training.policy import Updates
from repo_exp.types import Message, Prompt, RewardBreakdown
from tests.algorithms.parts import hyperparameters

OPTIMIZER = OptimizerSettings(
    betas=(0.9, 0.95),
    eps=1e-8,
    weight_decay=0.0,
    clip_norm=1.0,
    warmup_steps=1,
    schedule="constant",
)
TRAINER = Trainer(
    accelerator="cpu", devices=1, strategy="auto", threads=None, microbatch_tokens=400, checkpoint_every=3
)
OPTIONS = {
    "ppo": hyperparameters("ppo"),
    "grpo": hyperparameters("grpo", group_size=4),
    "jackpot": hyperparameters("grpo", group_size=4) | hyperparameters("jackpot"),
    "dvpo": hyperparameters("dvpo", passes=1),
}
OPTIONS |= {kind: hyperparameters(kind, group_size=4) for kind in ("gdpo", "gopo", "grpo_care", "sppo")} | {
    "p3o": hyperparameters("p3o")
}
PROMPTS = [Prompt(str(i), (Message("system", "Odd."), Message("user", f"{i}"))) for i in range(20)]


def oddness(responses) -> list[RewardBreakdown]:
    """Score the share of characters with an odd code, centred."""
    shares = [sum(ord(c) % 2 for c in response.response) / max(len(response.response), 1) for response in responses]
    return [RewardBreakdown({}, 0.0, share - 0.5) for share in shares]


def settings(
    learning_rates,
    *,
    stage="sft",
    seed=0,
    microbatch_tokens=4096,
    optimizer=OPTIMIZER,
    max_skipped_steps=3,
    report=lambda *_: None,
) -> TrainingSettings:
    """Return the settings of a training loop on the toy."""
    return TrainingSettings(stage, learning_rates, optimizer, max_skipped_steps, seed, microbatch_tokens, report)


class Stop(Exception):
    """The machine goes down."""


@pytest.fixture
def online(tiny, tmp_path) -> Callable:
    """Return a function that runs the toy task and returns its learner."""

    def run(
        *, kind="ppo", updates=6, rollouts=12, stop_at=None, folder=None, score=oddness, prepare=None, **options
    ) -> OnlineModule:
        names = ("microbatch_tokens", "seed", "temperature", "correction", "max_gap")
        others = {key: options.pop(key) for key in names if key in options}
        algorithm = find(kind).Algorithm(options_of(kind)(**OPTIONS[kind] | options))
        backbone = tiny("policy", "value", "reference")
        backbone.add("value", seed=9)
        backbone.copy("policy", "reference")
        if prepare is not None:
            prepare(backbone)

        def report(step, metrics) -> None:
            if step == stop_at:
                raise Stop

        module = OnlineModule(
            backbone,
            algorithm,
            PROMPTS,
            settings=settings(
                {role: {"policy": 2e-2, "value": 1e-2}[role] for role in algorithm.trained_roles},
                stage="policy",
                seed=others.get("seed", 0),
                microbatch_tokens=others.get("microbatch_tokens", 4096),
                report=report,
            ),
            updates=Updates(updates, rollouts),
            engine=TorchEngine(backbone, batch_size=32),
            sampling=Sampling(others.get("temperature", 1.0), max_new_tokens=10),
            mismatch=Mismatch(others.get("correction"), others.get("max_gap")),
            rewards=Rewards(score, describe=lambda found: {"reward/total": sum(b.total for b in found) / len(found)}),
        )
        folder = folder or tmp_path / "work"
        folder.mkdir(exist_ok=True)
        fit(module, TRAINER, folder=folder)
        return module

    return run
