"""task=profile: one update of a configuration, with a table of where time and memory go.

The adapters are fresh, so nothing has to be trained first: what an update costs does not hang on what the
roles have learnt. A remote judge is left out, since it costs waiting and not work.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch.profiler import ProfilerActivity, profile

from repo_exp.algorithms.interface import OnlineAlgorithm, ReferenceLogprobs, find
from repo_exp.algorithms.options.base import StepOptions
from repo_exp.algorithms.registry import learns_from
from repo_exp.config.reward_sources import info_of, trained_on
from repo_exp.config.schema import Config
from repo_exp.durable import make_folder, writing
from repo_exp.errors import ConfigError, Problem
from repo_exp.rewards import combine
from repo_exp.rewards import sources as kinds
from repo_exp.rewards.interface import RewardSource
from repo_exp.rewards.scoring import Scorer
from repo_exp.stages import data, judge, reward_model
from repo_exp.stages.asked_sources import rubric_of
from repo_exp.stages.machine import peak_memory, prepare
from repo_exp.stages.policy import algorithm_of, frozen_values, sampling, settings
from repo_exp.stages.reward_sources import RewardSources
from repo_exp.stages.workbench import Workbench
from repo_exp.tracking.tracker import Trackers
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
    """
    prepare(config.trainer.threads)
    make_folder(folder)
    if learns_from(str(config.algorithm["kind"])) != "own replies":
        found = f"'{config.algorithm['name']}' takes no updates on replies of its own"
        raise ConfigError("there is no update to profile", [Problem("algorithm", found, "such as algorithm=repo")])
    with tempfile.TemporaryDirectory() as scratch:
        bench = Workbench(config, folder=folder, trackers=Trackers([]))
        learner = _learner(bench, algorithm_of(config), steps=WARM_UP + 1)
        watch = profile(activities=[ProfilerActivity.CPU, *_accelerator()])
        before = learner.train_step

        def train_step(step: int) -> dict[str, float]:
            if step < WARM_UP:
                return before(step)
            learner.phases.clear()
            with watch:
                return before(step)

        learner.train_step = train_step  # type: ignore[method-assign]
        fit(learner, config.trainer, folder=Path(scratch))
    with writing(folder / TRACE) as unfinished:
        watch.export_chrome_trace(str(unfinished))
    _print(config, learner, watch, folder)


def _learner(bench: Workbench, algorithm: OnlineAlgorithm[StepOptions], *, steps: int) -> OnlineModule:
    config = bench.config
    corpus = data.read(data.make(bench))
    roles = algorithm.trained_roles
    asked = {name: entry for name, entry in trained_on(config).items() if entry["kind"] != "openai_judge"}
    asked = asked or {"rules": {"kind": "rules", "folder": None, "drop": [], "points": {}}}
    asked_kinds = {entry["kind"] for entry in asked.values()}
    others = [
        *(["reference"] if find(algorithm.signals, ReferenceLogprobs) is not None else []),
        *(["value"] if frozen_values(algorithm) is not None else []),
        *(["reward"] if "reward_model" in asked_kinds else []),
        *(["judge"] if "local_judge" in asked_kinds else []),
    ]
    for number, role in enumerate([*roles, *others]):
        bench.fresh(role, seed=number)
    phases: list[Any] = []

    def timed(source: RewardSource[Any]) -> RewardSource[Any]:
        score = source.score

        def run(trajectories: Sequence[Trajectory]) -> list[Score]:
            with phases[0](f"score: {source.name}"):
                return score(trajectories)

        source.score = run  # type: ignore[method-assign]
        return source

    units = {name: info_of(name, entry).unit for name, entry in asked.items()}
    scorer = Scorer(
        [timed(_fresh_source(bench, name, entry)) for name, entry in asked.items()],
        combine.build(
            config.reward.combine if any(unit == "score" for unit in units.values()) else "enhancement",
            units,
            config.reward.model_dump() | config.reward.options,
        ),
    )
    learner = OnlineModule(
        bench.backbone,
        algorithm,
        corpus.contexts["train"],
        settings=settings(config, roles),
        updates=Updates(steps, config.budget.rollouts),
        **sampling(config, bench.backbone),
        rewards=Rewards(scorer.score),
    )
    phases.append(learner.phases)
    return learner


def _fresh_source(bench: Workbench, name: str, entry: Mapping[str, Any]) -> RewardSource[Any]:
    """Return a source with an adapter that was not trained, for one that needs an adapter."""
    options, kind = kinds.options_of(entry), kinds.find(str(entry["kind"]))
    budget = bench.config.trainer.microbatch_tokens
    source: RewardSource[Any]
    if entry["kind"] == "reward_model":
        model = reward_model.of_its_kind(bench, reward_model.spec_of(bench.config, name, entry))
        source = kind.Source(name, options, lambda replies: reward_model.raw_scores(bench, model, replies))
    elif entry["kind"] == "local_judge":
        turns = judge.spec_of(bench.config, name, entry).settings.turns

        def ask(questions: Sequence[tuple[Trajectory, Sequence[str]]]) -> list[list[float]]:
            asked = [(each.prompt.messages, each.response, texts) for each, texts in questions]
            return judge.ask(bench.backbone, asked, turns=turns, offsets={}, microbatch_tokens=budget)

        source = kind.Source(name, options, rubric_of(bench.config, entry), ask)
    else:
        source = RewardSources(bench, {}).source(name)
    return source


def _accelerator() -> list[ProfilerActivity]:
    return [ProfilerActivity.CUDA] if torch.cuda.is_available() else []


def _print(config: Config, learner: OnlineModule, watch: profile, folder: Path) -> None:
    console, seconds = Console(highlight=False), learner.phases.seconds
    whole, told = sum(seconds.values()), learner.history[-1]
    console.print(f"One update: {config.budget.rollouts} replies of {told['reply/tokens']:.0f} tokens on average")
    table = Table("phase", "seconds", "share", box=None, pad_edge=False)
    for name, spent in sorted(seconds.items(), key=lambda item: -item[1]):
        table.add_row(name, f"{spent:.2f}", f"{spent / whole:.0%}")
    table.add_row("all", f"{whole:.2f}", "")
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
