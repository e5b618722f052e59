"""Checks of combinations that concern rewards: see ``config/combinations.py``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from repo_exp.algorithms.registry import learns_from
from repo_exp.config.places import conf_dir, rubric_folder, rules_folder, stems
from repo_exp.config.reward_sources import NO_JUDGE, info_of, usual
from repo_exp.config.schema import Config, Reward
from repo_exp.errors import Problem, did_you_mean
from repo_exp.rewards import combine


def judge_is_there(c: Config) -> Iterator[Problem]:
    """A reward that asks the judge needs one."""
    if c.judge.kind == "none" and any(e["kind"] == NO_JUDGE for e in _sources(c).values()) and _reward_is_used(c):
        yield Problem(
            "judge.kind",
            f"judge=none, but reward.sources has a judge: {_listed(c.reward.sources)}",
            "judge=local or judge=openai; or a reward without the judge, such as reward=rm+rf",
        )


def combiner_is_there(c: Config) -> Iterator[Problem]:
    """The combiner exists, and the values of ``reward.options`` are valid for it."""
    name, values = c.reward.combine, _mapping(c.reward.options)
    if name not in combine.names():
        yield Problem("reward.combine", f"there is no combiner {name!r}", did_you_mean(name, combine.names()))
        return
    options: type[combine.CombineOptions] = combine.find(name).Options
    fields = options.model_fields
    further = {key: field for key, field in fields.items() if key not in Reward.model_fields}
    for key in values:
        if key not in further:
            remedy = f"reward.{key}={values[key]}" if key in fields else did_you_mean(key, further)
            yield Problem(f"reward.options.{key}", f"the combiner {name} has no option '{key}'", remedy)
    wrong = _wrong_values(options, {key: value for key, value in values.items() if key in further})
    for key, field in further.items():
        where = f"reward.options.{key}"
        if key in wrong:
            yield Problem(where, f"{values[key]!r} is not valid for the combiner {name}", wrong[key])
        elif key not in values and field.is_required():
            yield Problem(where, f"the combiner {name} needs this option", f"{where}=VALUE")


def combiner_has_its_base(c: Config) -> Iterator[Problem]:
    """A reward of scores alone needs a source that gives scores."""
    name = c.reward.combine
    if name not in combine.names() or not combine.find(name).Combiner.needs_base or _learns_from_pairs(c):
        return
    if not any(entry["kind"] != NO_JUDGE and info_of(each, entry).unit == "score"
               for each, entry in _sources(c).items()):  # fmt: skip
        yield Problem(
            "reward.combine",
            f"{name} takes the score of a reward model, but reward.sources is {_listed(c.reward.sources)}",
            "a reward with rm in its name, such as reward=rm; or algorithm=repo, which combines any sources",
        )


def combiner_is_used(c: Config) -> Iterator[Problem]:
    """A method that learns from pairs uses no reward, so a combiner that is chosen for it would have no effect."""
    if c.reward.combine != "enhancement" and _learns_from_pairs(c):
        yield Problem(
            "reward.combine",
            f"{c.algorithm['name']} learns from pairs and uses no reward, so {c.reward.combine} would have no effect",
            "leave it out (the evaluation always combines by the enhancement); or an online method: algorithm=grpo",
        )


def gate_has_its_source(c: Config) -> Iterator[Problem]:
    """The gate's source is a source of the reward."""
    if c.reward.combine == "gated" and c.reward.gate.source not in c.reward.sources:
        yield Problem(
            "reward.gate.source",
            f"the gate depends on {c.reward.gate.source}, but reward.sources is {_listed(c.reward.sources)}",
            f"one of {_listed(c.reward.sources)}; or a reward with this source, such as reward=rm+rf",
        )


def order_is_whole(c: Config) -> Iterator[Problem]:
    """The order of importance names every source of the reward, each once."""
    left_out = [name for name in c.reward.sources if name not in c.reward.order]
    if c.reward.combine == "lexicographic" and left_out:
        yield Problem(
            "reward.order",
            f"{_listed(left_out)} is missing in {_listed(c.reward.order)}",
            "list every source of the reward",
        )
    elif len(set(c.reward.order)) < len(c.reward.order):
        yield Problem("reward.order", f"a source is listed twice: {_listed(c.reward.order)}", "list each once")


def named_sources_exist(c: Config) -> Iterator[Problem]:
    """Weights, tolerances and order name sources of the reward, or default sources that the reward leaves out."""
    available = {*c.reward.sources, *usual()}
    for key in ("weights", "tolerance", "order"):
        for name in getattr(c.reward, key):
            if name not in available:
                where = "reward.order" if key == "order" else f"reward.{key}.{name}"
                yield Problem(where, f"there is no source '{name}'", did_you_mean(str(name), available))


def polar_has_room_and_two_policies(c: Config) -> Iterator[Problem]:
    """POLAR puts two trajectories into one row, and learns to distinguish the policies of a pool."""
    least = 4 * c.rollout.max_new_tokens + 128  # two responses of twice that length, and a short prompt twice
    section = _mapping(c.reward_model)
    places = {"reward_model": section}
    for name, entry in _sources(c).items():
        if entry["kind"] == "reward_model" and (settings := _mapping(entry["settings"])) != section:
            places[f"reward.sources.{name}.settings"] = settings
    for where, settings in places.items():
        if settings["kind"] != "polar":
            continue
        if settings["max_tokens"] < least:
            yield Problem(
                f"{where}.max_tokens",
                f"{settings['max_tokens']} tokens leave no room beside responses of {c.rollout.max_new_tokens}",
                f"{least} or more; or a smaller rollout.max_new_tokens",
            )
        if len({*settings["adapters"]}) * len({*settings["temperatures"]}) < 2:
            yield Problem(
                f"{where}.adapters",
                "the pool has a single policy; POLAR learns to distinguish several",
                f"several adapters or temperatures, such as {where}.adapters=[0.0,1.0]",
            )


def named_rules_exist(c: Config) -> Iterator[Problem]:
    """Rules that are dropped or get other points exist in the folder."""
    rules = {name: entry for name, entry in _sources(c).items() if entry["kind"] == "rules"}
    mentioned = {"reward.drop_rules": c.reward.drop_rules, "reward.rule_points": _mapping(c.reward.rule_points)}
    needed = any(not entry.get("folder") for entry in rules.values())
    yield from _folder_and_names(
        "rule", "domain.rules", c.domain.rules, rules_folder(c.domain.rules), needed, mentioned
    )
    for name, entry in rules.items():
        yield from _changes_of(name, entry, "rule", "folder", c.domain.rules, rules_folder)


def named_items_exist(c: Config) -> Iterator[Problem]:
    """Rubric items that are dropped or get other points exist in the folder."""
    judges = {name: entry for name, entry in _sources(c).items() if entry["kind"] in ("local_judge", "openai_judge")}
    mentioned = {"reward.drop_items": c.reward.drop_items, "reward.item_points": _mapping(c.reward.item_points)}
    folder, needed = rubric_folder(c.domain.rubric), any(not entry.get("rubric") for entry in judges.values())
    yield from _folder_and_names("rubric item", "domain.rubric", c.domain.rubric, folder, needed, mentioned)
    for name, entry in judges.items():
        yield from _changes_of(name, entry, "rubric item", "rubric", c.domain.rubric, rubric_folder)


def _changes_of(
    name: str, entry: Mapping[str, Any], what: str, key: str, usual_folder: str, place: Callable[[str], Path]
) -> Iterator[Problem]:
    """Check a source's own folder, and the names that it drops or gives other points."""
    where, folder = f"reward.sources.{name}", entry.get(key) or usual_folder
    drop, points = entry.get("drop") or [], entry.get("points") or {}
    if entry.get(key) or drop or points:
        mentioned = {f"{where}.drop": drop, f"{where}.points": _mapping(points)}
        yield from _folder_and_names(what, f"{where}.{key}", folder, place(folder), True, mentioned)


def _folder_and_names(
    what: str, where: str, name: str, folder: Path, needed: bool, mentioned: Mapping[str, Iterable[str]]
) -> Iterator[Problem]:
    if not folder.is_dir():
        if needed:
            shelf = conf_dir() / {"rule": "rules"}.get(what, "rubric")
            available = [path.name for path in shelf.iterdir() if path.is_dir()] if shelf.is_dir() else []
            yield Problem(
                where, f"there is no folder {name!r}", f"{did_you_mean(name, available)} or the path of a folder"
            )
        return
    available = stems(folder)
    if needed and not available:
        yield Problem(where, f"the folder holds no {what}: {folder}", f"add a YAML file for each {what}")
        return
    for key, names in mentioned.items():
        for unknown in (each for each in names if each not in available):
            yield Problem(key, f"there is no {what} {unknown!r} in {name!r}", did_you_mean(unknown, available))
    (drops, dropped), (points, with_points) = mentioned.items()
    for both in (each for each in with_points if each in list(dropped)):
        yield Problem(points, f"{both!r} is in {drops} as well", "remove it from one of them")
    if needed and not set(available) - set(dropped):
        yield Problem(drops, f"no {what} is left", "leave the source out instead, such as reward=rm")


def _sources(c: Config) -> dict[str, dict[str, Any]]:
    return {name: _mapping(entry) for name, entry in _mapping(c.reward.sources).items()}


def _mapping(section: Any) -> dict[str, Any]:
    """Return a section, a mapping, or the view of one as a dict."""
    return section.model_dump() if isinstance(section, BaseModel) else {key: section[key] for key in section}


def _wrong_values(options: type[BaseModel], values: Mapping[str, object]) -> dict[str, str]:
    """Return option -> what is wrong with its value; other options may be missing."""
    try:
        options.model_validate(values)
    except ValidationError as error:
        found = [each for each in error.errors(include_url=False) if each["type"] != "missing" or len(each["loc"]) > 1]
        return {str(each["loc"][0]): each["msg"] for each in found}
    return {}


def _learns_from_pairs(c: Config) -> bool:
    return learns_from(str(c.algorithm["kind"])) == "pairs"


def _reward_is_used(c: Config) -> bool:
    """Is the reward computed in training, or by the evaluation?"""
    return c.evaluation.sources == "as_trained" or not _learns_from_pairs(c)


def _listed(names: Iterable[str]) -> str:
    return "[" + ", ".join(names) + "]"


REWARD: tuple[Callable[[Config], Iterable[Problem]], ...] = (
    judge_is_there,
    combiner_is_there,
    combiner_has_its_base,
    combiner_is_used,
    gate_has_its_source,
    order_is_whole,
    named_sources_exist,
    polar_has_room_and_two_policies,
    named_rules_exist,
    named_items_exist,
)
