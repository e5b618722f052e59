"""What of a configuration other layers check: the files that it names, the machine, the model. No torch is imported.

A check takes the configuration and yields problems. It may be given one of which other values are wrong: it ends
where it reads one of those. To add a check, write it and list it at the end.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from repo_exp.config.places import rubric_folder, rules_folder
from repo_exp.config.schema import Config
from repo_exp.domains import own_data
from repo_exp.domains.own_data.splitting import require_every_split
from repo_exp.errors import DataError, Problem, RepoExpError, did_you_mean
from repo_exp.rewards.joins import join_names
from repo_exp.rewards.judge.endpoint import REMEDY, wrong_with
from repo_exp.rewards.rubric import load_rubric
from repo_exp.rewards.rules import load_rules
from repo_exp.stages import capacity, positions


def join_is_known(config: Config) -> Iterator[Problem]:
    """The combiner of the sources exists."""
    if config.reward.join not in join_names():
        found = f"there is no join {config.reward.join!r}"
        yield Problem("reward.join", found, did_you_mean(config.reward.join, join_names()))


def rules_pass_their_examples(config: Config) -> Iterator[Problem]:
    """The rules can be read, and hold on their own examples. Asked only where the reward has rules."""
    if "rules" in config.reward.sources:
        yield from _problems(load_rules, rules_folder(config.domain.rules))


def rubric_can_be_read(config: Config) -> Iterator[Problem]:
    """The rubric can be read. Asked only where the reward has a judge."""
    if "judge" in config.reward.sources:
        yield from _problems(load_rubric, rubric_folder(config.domain.rubric))


def data_can_be_read(config: Config) -> Iterator[Problem]:
    """Your own data can be read, and every split has a prompt. (``combinations.py`` reports a missing file.)"""
    data, seed = config.data, config.seed
    if data.kind != "jsonl" or not os.path.exists(data.path):
        return
    shares = {"development": data.development, "test": data.test}
    try:
        own = own_data.load(data.path, seed=seed, skip_bad_lines=data.skip_bad_lines, **shares)
        require_every_split(own.corpus, data.path)
    except DataError as error:
        yield Problem("data.path", error.headline)
        yield from error.problems


def judge_has_an_address(config: Config) -> Iterator[Problem]:
    """The judge's endpoint has a valid address, with no secret in it."""
    if config.judge.kind != "openai" or config.judge.base_url is None:
        return
    if wrong := wrong_with(config.judge.base_url):
        yield Problem("judge.base_url", wrong, REMEDY)


CHECKS = (
    data_can_be_read,
    judge_has_an_address,
    join_is_known,
    positions.problems,
    rules_pass_their_examples,
    rubric_can_be_read,
    *capacity.CHECKS,
)


def _problems(load: Callable[[Path], Any], folder: Path) -> tuple[Problem, ...]:
    if not folder.is_dir():
        return ()  # ``combinations.py`` reports it
    try:
        load(folder)
    except RepoExpError as error:
        return error.problems or (Problem(str(folder), error.headline),)
    return ()
