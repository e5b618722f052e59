"""task=profile: one update of a configuration, with a table of where time and memory go.

The adapters are fresh, so nothing has to be trained first: what an update costs does not depend on what the roles have
learned. A remote judge is left out, since it costs waiting and no work.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch.profiler import ProfilerActivity, profile

from repo_exp.algorithms.interface import OnlineAlgorithm, ReferenceLogprobs, find
from repo_exp.config.reward_sources import info_of, trained_on
from repo_exp.config.schema import Config
from repo_exp.durable import make_folder, writing
from repo_exp.errors import ConfigError, Problem
from repo_exp.rewards import combine
from repo_exp.rewards import sources as kinds
from repo_exp.rewards.interface import RewardSource
from repo_exp.rewards.scoring import Scorer
from repo_exp.rollout.engine import Sampling
from repo_exp.rollout.torch_engine import TorchEngine
from repo_exp.stages import data, judge, reward_model
from repo_exp.stages.building import make
from repo_exp.stages.data import DataStage
from repo_exp.stages.fitting import training_settings
from repo_exp.stages.machine import peak_memory, prepare
from repo_exp.stages.policy import Online, algorithm_of, frozen_values
from repo_exp.stages.records import ROLES, TrainingInputs, machine_settings, model_inputs, training_inputs
from repo_exp.stages.reward_inputs import LocalJudgeInputs, RewardModelInputs, SourceInputs, source_inputs
from repo_exp.stages.run_context import RunContext
from repo_exp.stages.store import Store
from repo_exp.tracking.tracker import Trackers
from repo_exp.training.agreement import Mismatch
from repo_exp.training.collecting import Rewards
from repo_exp.training.fit import fit
from repo_exp.training.module import OnlineModule
from repo_exp.training.policy import Updates
from repo_exp.types import Score, Trajectory

WARM_UP = 1  # updates before the one that is measured: the first one lays memory out
OPERATORS = 15  # rows of the second table
TRACE = "profile_trace.json"


def show(config: Config, *, folder: Path) -> None:
    """Run a warm-up update, then one that is measured, and print both tables.

    The trace that goes with them is in the run folder, for a viewer such as Perfetto.

    Raises:
        ConfigError: the method does not sample.
    """
    prepare(config.trainer.threads)
    make_folder(folder)
    algorithm = algorithm_of(config) if config.algorithm["kind"] != "sft" else None
    if not isinstance(algorithm, OnlineAlgorithm):
        found = f"'{config.algorithm['name']}' takes no updates on responses of its own"
        raise ConfigError("there is no update to profile", [Problem("algorithm", found, "such as algorithm=repo")])
    run = RunContext(
        folder=folder,
        trackers=Trackers([]),
        store=Store(config.store),
        machine=machine_settings(config),
        model=model_inputs(config, *ROLES),
        name=config.model.name,
    )
    with tempfile.TemporaryDirectory() as scratch:
        module = _module(config, run, algorithm, steps=WARM_UP + 1)
        watch = profile(activities=[ProfilerActivity.CPU, *_accelerator()])
        before = module.train_step

        def train_step(step: int) -> dict[str, float]:
            if step < WARM_UP:
                return before(step)
            module.phases.clear()
            with watch:
                return before(step)

        module.train_step = train_step  # type: ignore[method-assign]
        fit(module, config.trainer, folder=Path(scratch))
    with writing(folder / TRACE) as unfinished:
        watch.export_chrome_trace(str(unfinished))
    _print(config, module, watch, folder)


def _module(config: Config, run: RunContext, algorithm: Online, *, steps: int) -> OnlineModule:
    stage, training = DataStage(), training_inputs(config, *algorithm.trained_roles)
    corpus, model = data.read(make(stage, stage.inputs(config), {}, run)), run.model(training.model)
    entries = {name: entry for name, entry in trained_on(config).items() if entry["kind"] != "openai_judge"}
    entries = entries or {"rules": {"kind": "rules", "folder": None, "drop": [], "points": {}}}
    sources = source_inputs(config, entries)
    others = [
        *(["reference"] if find(algorithm.signals, ReferenceLogprobs) is not None else []),
        *(["value"] if frozen_values(algorithm) is not None else []),
        *(["reward"] if any(isinstance(each.needs, RewardModelInputs) for each in sources.values()) else []),
        *(["judge"] if any(isinstance(each.needs, LocalJudgeInputs) for each in sources.values()) else []),
    ]
    for number, role in enumerate([*algorithm.trained_roles, *others]):
        model.fresh(role, seed=number)
    modules: list[OnlineModule] = []

    def timed(source: RewardSource[Any]) -> RewardSource[Any]:
        score = source.score

        def run_timed(trajectories: Sequence[Trajectory]) -> list[Score]:
            with modules[0].phases(f"score: {source.name}"):
                return score(trajectories)

        source.score = run_timed  # type: ignore[method-assign]
        return source

    units = {name: info_of(name, entry).unit for name, entry in entries.items()}
    scorer = Scorer(
        [timed(_fresh_source(run, training, each)) for each in sources.values()],
        combine.build(
            config.reward.combine if any(unit == "score" for unit in units.values()) else "enhancement",
            units,
            config.reward.model_dump() | config.reward.options,
        ),
    )
    module = OnlineModule(
        model.backbone,
        algorithm,
        corpus.prompts["train"],
        settings=training_settings(run, training, stage="policy"),
        updates=Updates(steps, config.budget.rollouts),
        engine=TorchEngine(model.backbone, batch_size=run.machine.sampling_batch_size),
        sampling=Sampling(config.rollout.temperature, config.rollout.max_new_tokens),
        mismatch=Mismatch(config.rollout.correction, config.rollout.max_gap),
        rewards=Rewards(scorer.score),
    )
    modules.append(module)
    return module


def _fresh_source(run: RunContext, training: TrainingInputs, inputs: SourceInputs) -> RewardSource[Any]:
    """Return a source, with an adapter that was not trained where it needs one."""
    needs, source = inputs.needs, kinds.find(inputs.options.kind).Source
    built: RewardSource[Any]
    if isinstance(needs, RewardModelInputs):
        kind = reward_model.of_its_kind(run, needs)
        built = source(inputs.name, inputs.options, lambda responses: reward_model.raw_scores(kind, responses))
    elif isinstance(needs, LocalJudgeInputs):
        turns, backbone, budget = needs.trained.turns, run.model(training.model).backbone, run.machine.microbatch_tokens

        def ask(questions: Sequence[tuple[Trajectory, Sequence[str]]]) -> list[list[float]]:
            asked = [(each.prompt.messages, each.response, texts) for each, texts in questions]
            return judge.ask(backbone, asked, turns=turns, offsets={}, microbatch_tokens=budget)

        built = source(inputs.name, inputs.options, needs.trained.questions.rubric, ask)
    else:
        built = inputs.build(run, None)
    return built


def _accelerator() -> list[ProfilerActivity]:
    return [ProfilerActivity.CUDA] if torch.cuda.is_available() else []


def _print(config: Config, module: OnlineModule, watch: profile, folder: Path) -> None:
    console, seconds = Console(highlight=False), module.phases.seconds
    total_seconds, metrics = sum(seconds.values()), module.history[-1]
    console.print(f"One update: {config.budget.rollouts} responses of {metrics['reply/tokens']:.0f} tokens on average")
    table = Table("phase", "seconds", "share", box=None, pad_edge=False)
    for name, spent in sorted(seconds.items(), key=lambda item: -item[1]):
        table.add_row(name, f"{spent:.2f}", f"{spent / total_seconds:.0%}")
    table.add_row("all", f"{total_seconds:.2f}", "")
    console.print(table)
    for where, peak in peak_memory().items():
        console.print(f"peak memory of the {where}: {peak / 2**30:.2f} GiB")
    table = Table("operator", "seconds", "share", "calls", box=None, pad_edge=False)
    rows = [row for row in watch.key_averages() if not row.key.startswith("phase: ")]
    total = sum(row.self_cpu_time_total for row in rows)
    for row in sorted(rows, key=lambda row: -row.self_cpu_time_total)[:OPERATORS]:
        share = row.self_cpu_time_total / total
        table.add_row(row.key, f"{row.self_cpu_time_total / 1e6:.2f}", f"{share:.0%}", f"{row.count:,}")
    console.print(table)
    console.print(f"trace: {folder / TRACE}", markup=False, soft_wrap=True)
