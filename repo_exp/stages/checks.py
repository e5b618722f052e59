"""Checks of a configuration that need other layers: files, machine, model. No torch is imported.

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
from repo_exp.errors import DataError, Problem, RepoExpError
from repo_exp.rewards.judge.endpoint import REMEDY, wrong_with
from repo_exp.rewards.rubric import load_rubric
from repo_exp.rewards.rules import load_rules
from repo_exp.stages import capacity, positions


def rules_pass_their_examples(config: Config) -> Iterator[Problem]:
    """The rules of every source of the reward can be read, and hold on their own examples."""
    yield from _readable(config, ("rules",), "folder", config.domain.rules, rules_folder, load_rules)


def rubric_can_be_read(config: Config) -> Iterator[Problem]:
    """The rubric of every judge of the reward can be read."""
    judges = ("local_judge", "openai_judge")
    yield from _readable(config, judges, "rubric", config.domain.rubric, rubric_folder, load_rubric)


def data_can_be_read(config: Config) -> Iterator[Problem]:
    """Your own data can be read, and every split has a prompt. (``combinations.py`` reports a missing file.)"""
    data, seed = config.data, config.seed
    if data.kind != "jsonl" or not os.path.exists(data.path):
        return
    from repo_exp.domains import own_data
    from repo_exp.domains.own_data.splitting import require_every_split

    shares = {"development": data.development, "test": data.test}
    try:
        own = own_data.load(data.path, seed=seed, skip_bad_lines=data.skip_bad_lines, **shares)
        require_every_split(own.corpus, data.path)
    except DataError as error:
        yield Problem("data.path", error.headline)
        yield from error.problems


def judge_has_an_address(config: Config) -> Iterator[Problem]:
    """The endpoint of every judge has a valid address, with no secret in it."""
    addresses = {"judge": config.judge.base_url} if config.judge.kind == "openai" else {}
    for name, entry in _sources(config).items():
        if entry["kind"] == "openai_judge":
            addresses[f"reward.sources.{name}.settings"] = entry["settings"]["base_url"]
    checked: set[str] = set()
    for where, base_url in addresses.items():
        if base_url is not None and base_url not in checked and (wrong := wrong_with(base_url)):
            checked.add(base_url)
            yield Problem(f"{where}.base_url", wrong, REMEDY)


CHECKS = (
    data_can_be_read,
    judge_has_an_address,
    positions.problems,
    rules_pass_their_examples,
    rubric_can_be_read,
    *capacity.CHECKS,
)


def _sources(config: Config) -> dict[str, dict[str, Any]]:
    """Return the entries of ``reward.sources``, also of a view of a configuration."""
    views = {name: config.reward.sources[name] for name in config.reward.sources}
    return {name: {key: view[key] for key in view} for name, view in views.items()}


def _readable(
    config: Config,
    kinds: tuple[str, ...],
    key: str,
    usual: str,
    place: Callable[[str], Path],
    load: Callable[[Path], Any],
) -> Iterator[Problem]:
    """Read the folders of the sources of these kinds, each once."""
    named = {entry.get(key) or usual for entry in _sources(config).values() if entry["kind"] in kinds}
    for folder in sorted({place(str(name)) for name in named}):
        yield from _problems(load, folder)


def _problems(load: Callable[[Path], Any], folder: Path) -> tuple[Problem, ...]:
    if not folder.is_dir():
        return ()  # ``combinations.py`` reports it
    try:
        load(folder)
    except RepoExpError as error:
        return error.problems or (Problem(str(folder), error.headline),)
    return ()
