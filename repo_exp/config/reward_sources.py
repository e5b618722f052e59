"""Expands ``reward.sources`` to name -> kind, options and complete settings.

Written is a mapping, ``rm2: {kind: reward_model, seed: 1}``, in which null leaves a source out; or a list of the names
below and of kinds, ``[model, rules, length]``. The settings of a source (those of the sections ``reward_model`` and
``judge``) are filled in from that section, or, where its kind is another one, from the kind's file in ``conf/``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from repo_exp.config.places import conf_dir
from repo_exp.config.schema import Config, JudgeSection, RewardModelSection
from repo_exp.config.wording import MISSING, KeyPath, dotted, lookup, no_value, problems_from
from repo_exp.errors import Problem, did_you_mean
from repo_exp.rewards import sources as kinds
from repo_exp.types import SourceInfo

Entry = Mapping[str, Any]

USUAL_JUDGE = "judge"  # the kind that the section judge chooses
NO_JUDGE = "none_judge"  # what it is where judge=none
RESERVED = ("total", "enhancement", "violations", "unscored")  # names of other metrics beside those of the sources
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_SECTION = {"reward_model": "reward_model", "local_judge": "judge", "openai_judge": "judge"}
_SETTINGS: dict[str, TypeAdapter[Any]] = {
    "reward_model": TypeAdapter(RewardModelSection),
    "judge": TypeAdapter(JudgeSection),
}


def usual() -> dict[str, dict[str, str]]:
    """Return the sources that every run can have, by the names that a list may use."""
    return {"model": {"kind": "reward_model"}, "judge": {"kind": USUAL_JUDGE}, "rules": {"kind": "rules"}}


def completed(container: Mapping[str, Any]) -> tuple[dict[str, Any], dict[KeyPath, Problem]]:
    """Return a configuration with ``reward.sources`` in full, and the problems of its entries by path."""
    written = lookup(container, ("reward", "sources"))
    problems: dict[KeyPath, Problem] = {}
    if not isinstance(written, list | Mapping):
        if isinstance(written, str) and written != MISSING:
            remedy = f"a list, such as reward.sources=[{written}]; or name: {{kind: KIND}}"
            problems["reward", "sources"] = Problem("reward.sources", f"{written!r} is not a list or a mapping", remedy)
        return dict(container), problems  # anything else is for the types to refuse
    entries = dict(_from_list(written, problems) if isinstance(written, list) else written)
    entries = {str(name): entry for name, entry in entries.items() if entry is not None}
    if not entries and not problems:
        remedy = "one source at least, such as reward=rf; reward.sources=[rules]"
        problems["reward", "sources"] = Problem("reward.sources", "there is no source", remedy)
    full = {name: _completed(name, entry, container, problems) for name, entry in entries.items()}
    return {**container, "reward": {**container["reward"], "sources": full}}, problems


def trained_on(config: Config) -> dict[str, dict[str, Any]]:
    """Return the sources of the reward: name -> entry, in full. A judge that does not exist is left out."""
    return {name: dict(entry) for name, entry in config.reward.sources.items() if entry["kind"] != NO_JUDGE}


def measured_with(config: Config) -> tuple[dict[str, dict[str, Any]], tuple[str, ...]]:
    """Return the sources that the evaluation asks, and the names of those that make its total.

    ``evaluation.sources=all`` asks the usual sources, so that all runs share one total, and measures the further
    sources of the reward beside them. A source of the reward that is one of the usual ones under another name takes
    its place.
    """
    reward = trained_on(config)
    if config.evaluation.sources == "as_trained":
        return reward, tuple(reward)
    sections = {"reward_model": config.reward_model.model_dump(), "judge": config.judge.model_dump()}
    asked: dict[str, dict[str, Any]] = {}
    for name, entry in usual().items():
        full = reward.get(name) or _completed(name, entry, sections, {})
        if full["kind"] != NO_JUDGE:
            asked[next((own for own, each in reward.items() if each == full), name)] = full
    return asked | reward, tuple(asked)


def settings_of(entry: Entry) -> Any:
    """Return the typed settings of a complete entry: a reward model's or a judge's section."""
    return _SETTINGS[_SECTION[str(entry["kind"])]].validate_python(dict(entry["settings"]))


def info_of(name: str, entry: Entry) -> SourceInfo:
    """Return how metrics and reports name a source."""
    return kinds.info_of(name, entry)


def of_kind(entries: Mapping[str, Entry], *wanted: str) -> Iterator[tuple[str, Entry]]:
    """Yield the entries of these kinds."""
    for name, entry in entries.items():
        if entry.get("kind") in wanted:
            yield name, entry


def _from_list(written: list[Any], problems: dict[KeyPath, Problem]) -> Iterator[tuple[str, dict[str, str]]]:
    available = usual() | {kind: {"kind": kind} for kind in kinds.kinds()}
    for index, name in enumerate(written):
        where = f"reward.sources.{index}"
        if name not in available:
            remedy = did_you_mean(str(name), available)
            problems["reward", "sources", index] = Problem(where, f"there is no source {name!r}", remedy)
        else:
            yield name, available[name]
    if len({*map(str, written)}) < len(written):
        listed = f"a source is listed twice: [{', '.join(map(str, written))}]"
        problems["reward", "sources"] = Problem("reward.sources", listed, "list each once")


def _completed(name: str, entry: Any, container: Mapping[str, Any], problems: dict[KeyPath, Problem]) -> dict[str, Any]:
    """Return an entry with its defaults and complete settings; what is wrong with it is noted."""
    path: KeyPath = ("reward", "sources", name)

    def wrong(where: KeyPath, found: str, remedy: str) -> None:
        problems[where] = Problem(dotted(where), found, remedy)

    if not _NAME.fullmatch(name) or name in RESERVED:
        wrong(path, f"'{name}' cannot name a source", f"small letters, digits and _; not {', '.join(RESERVED)}")
    if not isinstance(entry, Mapping) or "kind" not in entry:
        wrong(path, "does not say its kind", f"{dotted(path)}={{kind: KIND}}; kinds: {', '.join(kinds.kinds())}")
        return {}
    if entry["kind"] == USUAL_JUDGE:
        chosen = f"{lookup(container, ('judge', 'kind'))}_judge"
        entry = {**entry, "kind": chosen if chosen in kinds.kinds() else NO_JUDGE}
    if entry["kind"] == NO_JUDGE:
        return {"kind": NO_JUDGE}
    if entry["kind"] not in kinds.kinds():
        remedy = did_you_mean(str(entry["kind"]), kinds.kinds())
        wrong((*path, "kind"), f"there is no kind of source {entry['kind']!r}", remedy)
        return dict(entry)
    try:
        full: dict[str, Any] = kinds.options_of(entry).model_dump()
    except ValidationError as error:
        at = [{**each, "loc": (*path, *each["loc"])} for each in error.errors(include_url=False)]
        problems.update(problems_from(at, container))
        return dict(entry)
    if section := _SECTION.get(str(entry["kind"])):
        full["settings"] = _settings(full, section, container, path, problems)
    return full


def _settings(
    entry: Entry, section: str, container: Mapping[str, Any], path: KeyPath, problems: dict[KeyPath, Problem]
) -> dict[str, Any]:
    changes, usual_settings = dict(entry["settings"]), lookup(container, (section,))
    usual_settings = dict(usual_settings) if isinstance(usual_settings, Mapping) else {}
    fixed = {"local_judge": "local", "openai_judge": "openai"}.get(str(entry["kind"]))
    kind = fixed or str(changes.get("kind", usual_settings.get("kind")))
    if not changes and usual_settings.get("kind") == kind:
        return usual_settings  # problems in it are those of the section itself
    base = usual_settings if usual_settings.get("kind") == kind else _of_option(conf_dir() / section / f"{kind}.yaml")
    full, at = {**base, **changes, "kind": kind}, (*path, "settings")
    if missing := [key for key, value in full.items() if value == MISSING]:
        problems.update({(*at, key): no_value((*at, key)) for key in missing})
        return full
    try:
        _SETTINGS[section].validate_python(full)
    except ValidationError as error:
        located = [{**each, "loc": (*at, *each["loc"])} for each in error.errors(include_url=False)]
        problems.update(problems_from(located, {"reward": {"sources": {path[-1]: {"settings": full}}}}))
    return full


def _of_option(file: Path) -> dict[str, Any]:
    """Return the values of an option's file, those of its defaults first; none where there is no such file."""
    if not file.is_file():
        return {}
    content = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    values: dict[str, Any] = {}
    for default in content.pop("defaults", []):
        if isinstance(default, str) and default != "_self_":
            values |= _of_option(file.with_name(f"{default}.yaml"))
    return values | content
