"""Updates of this package: `python -m bench.ours_update MODEL_FOLDER grpo|ppo`."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import torch
import yaml

from bench.workload import DTYPE, THREADS, WORK, Clock, digits, random_prompts, shortness
from repo_exp.algorithms.registry import find, options_of
from repo_exp.config.places import conf_dir
from repo_exp.config.schema import Trainer
from repo_exp.models.backbone import Backbone
from repo_exp.models.forward import score_responses
from repo_exp.models.lora import Lora
from repo_exp.models.source import read
from repo_exp.rollout.engine import Sampling
from repo_exp.rollout.torch_engine import TorchEngine
from repo_exp.stages.machine import prepare
from repo_exp.training.base import TrainingSettings
from repo_exp.training.collecting import Rewards
from repo_exp.training.fit import fit
from repo_exp.training.module import OnlineModule
from repo_exp.training.optimizer import OptimizerSettings
from repo_exp.training.policy import Updates
from repo_exp.types import Message, Prompt, RewardBreakdown, Trajectory

# larger ones are a little faster and keep more: chosen so that a quarter of the peer's memory is not passed
MICROBATCH_TOKENS = {"grpo": 1024, "ppo": 1900}


def main(folder: str, kind: str) -> None:
    """Run the warm-up and the timed updates and report."""
    prepare(THREADS)
    microbatch = int(os.environ.get("BENCH_MICROBATCH", MICROBATCH_TOKENS[kind]))
    model, tokenizer = read(folder, dtype=getattr(torch, DTYPE), attention="eager")
    lora = Lora(rank=WORK.rank, alpha=WORK.alpha, target_modules="all-linear", last_layers={})
    backbone = Backbone(model, tokenizer, lora=lora, max_prompt_tokens=4096)
    options = yaml.safe_load((conf_dir() / "algorithm" / f"{kind}.yaml").read_text())["algorithm"]
    if "group_size" in options:
        options["group_size"] = WORK.group
    algorithm = find(kind).Algorithm(options_of(kind)(**options))
    roles = algorithm.trained_roles
    for role in (*roles, *(("reward",) if kind == "ppo" else ())):
        backbone.add(role, seed=0)
    for number in range(len(backbone.roles), WORK.roles):
        backbone.add(f"idle{number}", seed=0)
    updates = WORK.warm_up + WORK.timed
    tokens = random_prompts(
        updates * WORK.responses // algorithm.group_size, WORK.prompt_tokens, common=WORK.common_tokens
    )
    backbone.tokens.prompt = lambda messages: tokens[int(messages[0].content)]  # the very same tokens as the peers'
    # no response ends by itself: every response has as many tokens as a peer's
    backbone.tokens.eos, backbone.tokens.other_ends = -1, frozenset()
    prompts = [Prompt(str(i), (Message("user", str(i)),)) for i in range(len(tokens))]

    def score(trajectories: list[Trajectory]) -> list[RewardBreakdown]:
        texts = [each.response for each in trajectories]
        if kind == "ppo":  # a reward model reads every response, as the peer's does
            asked = [tokens[int(each.prompt.id)] for each in trajectories]
            said = [tokenizer(text, add_special_tokens=False)["input_ids"][: WORK.new_tokens] or [0] for text in texts]
            totals = score_responses(backbone, asked, said, microbatch_tokens=microbatch)
        else:
            totals = [a + b for a, b in zip(shortness(texts), digits(texts), strict=True)]
        return [RewardBreakdown({}, 0.0, total) for total in totals]

    clock = Clock()
    optimizer = OptimizerSettings(
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0.0,
        clip_norm=1.0,
        warmup_steps=0,
        schedule="constant",
    )
    module = OnlineModule(
        backbone,
        algorithm,
        prompts,
        settings=TrainingSettings(
            stage="policy",
            learning_rates=dict.fromkeys(roles, WORK.learning_rate),
            optimizer=optimizer,
            max_skipped_steps=3,
            seed=0,
            microbatch_tokens=microbatch,
            report=lambda *_: clock.tick(),
        ),
        updates=Updates(updates, WORK.responses),
        engine=TorchEngine(backbone, batch_size=WORK.responses),
        sampling=Sampling(1.0, WORK.new_tokens),
        rewards=Rewards(score),
    )
    trainer = Trainer(
        accelerator="cpu",
        devices=1,
        strategy="auto",
        threads=THREADS,
        microbatch_tokens=microbatch,
        checkpoint_every=1000,
    )
    with tempfile.TemporaryDirectory() as scratch:
        clock.marks.clear()
        clock.tick()
        fit(module, trainer, folder=Path(scratch))
    clock.report(f"repo_exp {kind}", torch=torch.__version__, threads=torch.get_num_threads())


if __name__ == "__main__":
    main(*sys.argv[1:])
