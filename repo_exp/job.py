"""What Hydra runs once for each configuration: check it, then do its task.

The function is in a module of its own, so that launchers which send jobs to other processes send its name.
"""

from __future__ import annotations

import logging
import os
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from repo_exp.config.check import load, plain
from repo_exp.config.job_folders import register_resolver
from repo_exp.config.places import rubric_folder, rules_folder, user_path
from repo_exp.config.schema import Config
from repo_exp.errors import DataError, Problem, RepoExpError, did_you_mean

log = logging.getLogger(__name__)
register_resolver()  # a launcher may run the jobs in processes of their own


def run(cfg: DictConfig) -> float | None:
    """Do what ``task`` says, and return the number that a sweeper maximises or minimises, if there is one."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    hydra = HydraConfig.get()
    folder = Path(hydra.runtime.output_dir)
    try:
        return _run(cfg, folder=folder, overrides=list(hydra.overrides.task))
    except RepoExpError as error:
        if hydra.mode == RunMode.MULTIRUN:
            # of a sweep's failures, only the first one reaches the end
            log.error("job %s (%s): %s", hydra.job.num, folder.name, error)
        raise


def _run(cfg: DictConfig, *, folder: Path, overrides: list[str]) -> float | None:
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    config = load(cfg, further=FURTHER)
    if config.task.kind == "check":
        print(summary(config))
        return None
    if config.task.kind == "artifacts":
        from repo_exp.stages import artifacts

        artifacts.show(config)
        return None
    if config.task.kind == "profile":
        from repo_exp.stages import profile

        profile.show(config, folder=folder)
        return None
    from repo_exp.stages import pipeline

    # The overrides, not the arguments: in a sweep they are this job's alone, in whatever process it runs.
    command = shlex.join(["python", "-m", "repo_exp", *overrides])
    result = pipeline.run(config, raw=plain(cfg)[0], folder=folder, command=command)
    objective = (result or {}).get("objective")
    return None if objective is None else float(objective)


def checked(config: Config, *, jobs: int = 1, looked_at: int = 1) -> str:
    """Return what ``task=check`` says of a sound command: the first job's summary, and how many were looked at."""
    if jobs == 1:
        return summary(config)
    of_them = "all of them" if looked_at == jobs else f"{looked_at:,} combinations of their values"
    said = summary(config).replace("The configuration is sound.", "The first one:")
    return f"{jobs:,} jobs; {of_them} were checked, and are sound.\n{said}"


def summary(config: Config) -> str:
    """Return what a sound configuration would do, in a few lines."""
    from repo_exp.stages.notices import notices  # brings the algorithms, and torch with them

    sources = " + ".join(config.reward.sources)
    lines = {
        "model": f"{config.model.name} ({config.model.source}, {config.model.dtype}), rank {config.model.lora.rank}",
        "data": f"{config.domain.name}, {config.data.kind}",
        "reward": f"{sources}, joined by {config.reward.join}, n = {config.reward.n:g}",
        "judge": config.judge.kind,
        "algorithm": str(config.algorithm["name"]),
        "budget": f"{config.budget.updates} updates of {config.budget.rollouts} replies",
        "machine": f"{config.trainer.accelerator}, {config.trainer.devices} device(s), seed {config.seed}",
    }
    said = [f"  {key:<10} {value}" for key, value in lines.items()]
    said += [f"  note       {each}" for each in notices(config)]
    own = [of_the_data(config)] if config.data.kind == "jsonl" else []
    return "\n".join(["The configuration is sound.", *said, *own])


def of_the_data(config: Config) -> str:
    """Return what your own data hold, and what was counted in them.

    Raises:
        DataError: no pair is left to learn from.
    """
    from repo_exp.domains.own_data.checking import label_notes
    from repo_exp.stages import data, lengths

    own = data.load(config)
    pairs, contexts = (
        ", ".join(f"{len(items):,} {split}" for split, items in kind.items())
        for kind in (own.corpus.preferences, own.corpus.contexts)
    )
    notes, told = list(own.notes), []
    if config.judge.kind != "none":
        notes += label_notes(own.corpus, rubric_items(config), learnt=config.judge.kind == "local")
    tokens = lengths.tokenizer(config)
    if tokens is None:
        told.append("what is longer than the model's window or a reply is counted when the run starts")
    else:
        counts = lengths.count(tokens, own.corpus, max_new_tokens=config.rollout.max_new_tokens)
        lengths.require_pairs(counts, config)
        notes += lengths.notes(counts, config)
    lines = [f"The data: {own.good:,} pairs ({pairs}); prompts: {contexts}", *told]
    lines += [f"{len(notes)} worth knowing:", *(f"  {note}" for note in notes)] if notes else ["Nothing odd was found."]
    return "\n".join([*lines, *([own.bad_lines()] if own.bad else [])])


def rubric_items(config: Config) -> list[str]:
    """Return the questions of the rubric that are asked."""
    from repo_exp.rewards.rubric import load_rubric

    return list(load_rubric(rubric_folder(config.domain.rubric), drop=config.reward.drop_items).names)


def join_is_known(config: Any) -> Iterator[Problem]:
    """The rule that joins the sources exists."""
    from repo_exp.rewards.joins import join_names

    if config.reward.join not in join_names():
        found = f"there is no join {config.reward.join!r}"
        yield Problem("reward.join", found, did_you_mean(config.reward.join, join_names()))


def rules_are_sound(config: Any) -> Iterator[Problem]:
    """The rules hold on their own examples. Asked only where the reward has rules."""
    if "rules" not in config.reward.sources:
        return
    from repo_exp.rewards.rules import load_rules

    folder = rules_folder(config.domain.rules)
    if folder.is_dir():
        yield from _problems(load_rules, folder)


def rubric_is_sound(config: Any) -> Iterator[Problem]:
    """The rubric can be read. Asked only where the reward has a judge."""
    if "judge" not in config.reward.sources:
        return
    from repo_exp.rewards.rubric import load_rubric

    folder = rubric_folder(config.domain.rubric)
    if folder.is_dir():
        yield from _problems(load_rubric, folder)


def data_can_be_read(config: Any) -> Iterator[Problem]:
    """Your own data can be read, and every split has a prompt. (``combinations.py`` says what is not there.)"""
    data, seed = config.data, config.seed
    if data.kind != "jsonl" or not os.path.exists(user_path(data.path)):
        return
    from repo_exp.domains import own_data
    from repo_exp.domains.own_data.splitting import require_every_split

    shares = {"development": data.development, "test": data.test}
    try:
        own = own_data.load(user_path(data.path), seed=seed, skip_bad_lines=data.skip_bad_lines, **shares)
        require_every_split(own.corpus, data.path)
    except DataError as error:
        yield Problem("data.path", error.headline)
        yield from error.problems


def judge_has_an_address(config: Any) -> Iterator[Problem]:
    """The judge's endpoint has an address that can be asked, and no secret in it."""
    if config.judge.kind != "openai" or config.judge.base_url is None:
        return
    from repo_exp.rewards.judge.endpoint import REMEDY, wrong_with

    if wrong := wrong_with(config.judge.base_url):
        yield Problem("judge.base_url", wrong, REMEDY)


def machine_suffices(config: Any) -> Iterator[Problem]:
    """This machine has the accelerator, the memory and the time that the configuration asks for."""
    from repo_exp.stages.capacity import CHECKS

    for check in CHECKS:
        yield from check(config)


def model_has_room(config: Any) -> Iterator[Problem]:
    """Prompts and responses fit into the positions that the model has, where these can be known without loading it."""
    from repo_exp.stages.positions import problems

    yield from problems(config)


FURTHER = (
    data_can_be_read,
    judge_has_an_address,
    join_is_known,
    model_has_room,
    rules_are_sound,
    rubric_is_sound,
    machine_suffices,
)
QUIET = ("httpx", "httpx2", "httpcore", "httpcore2", "openai", "urllib3")
"""Packages that would write a line for each request."""


def _problems(load_them: Callable[[Path], Any], folder: Path) -> tuple[Problem, ...]:
    try:
        load_them(folder)
    except RepoExpError as error:
        return error.problems or (Problem(str(folder), error.headline),)
    return ()
