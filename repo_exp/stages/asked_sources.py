"""Which reward sources a run uses, and how they are combined, from the configuration alone. No torch.

Training asks the sources of ``reward.sources`` that can change a total. The evaluation asks the usual sources and those
of the reward, and always combines the usual ones by the enhancement, so that runs of an ablation can be compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from repo_exp.algorithms.registry import credit_from
from repo_exp.config import reward_sources as declared
from repo_exp.config.places import rubric_folder, rules_folder
from repo_exp.config.schema import Config
from repo_exp.rewards import combine
from repo_exp.rewards.combine import Combiner
from repo_exp.rewards.rubric import Rubric, load_rubric
from repo_exp.rewards.rules import RuleSet, load_rules

Entry = Mapping[str, Any]
Entries = dict[str, dict[str, Any]]
ASKS_A_RUBRIC = ("local_judge", "openai_judge")


def training_sources(config: Config) -> Entries:
    """Return the sources that are asked while learning: those that can change a total.

    Others would cost time, with a remote judge money, and would be part of a policy's address without having an effect.
    """
    entries = declared.trained_on(config)
    if credit_from(str(config.algorithm["kind"])) != "total":
        return entries
    counted = combiner(config, entries).counted
    return {name: entry for name, entry in entries.items() if name in counted}


def evaluation_sources(config: Config) -> Entries:
    """Return the sources that the evaluation asks; those of the reward are among them, so it is all that a run asks."""
    return declared.measured_with(config)[0]


def combiner(config: Config, entries: Mapping[str, Entry]) -> Combiner[Any]:
    """Return what combines these sources while learning."""
    units = {name: declared.info_of(name, entry).unit for name, entry in entries.items()}
    return combine.build(config.reward.combine, units, config.reward.model_dump() | config.reward.options)


def evaluation_combiner(config: Config) -> Combiner[Any]:
    """Return what makes the total of the evaluation: the enhancement of the usual sources."""
    entries, total = declared.measured_with(config)
    units = {name: declared.info_of(name, entries[name]).unit for name in entries if name in total}
    return combine.build("enhancement", units, {"n": config.evaluation.n})


def rules_of(config: Config, entry: Entry) -> RuleSet:
    """Return the rules of a source, read from its folder.

    Raises:
        RewardError: a rule is not what it says it is.
    """
    usual = config.reward if entry["folder"] is None else None
    return load_rules(
        rules_folder(entry["folder"] or config.domain.rules),
        drop=[*(usual.drop_rules if usual else ()), *entry["drop"]],
        points={**(usual.rule_points if usual else {}), **entry["points"]},
    )


def rubric_of(config: Config, entry: Entry) -> Rubric:
    """Return the rubric of a judge, read from its folder.

    Raises:
        RewardError: an item is not what it says it is.
    """
    usual = config.reward if entry["rubric"] is None else None
    return load_rubric(
        rubric_folder(entry["rubric"] or config.domain.rubric),
        drop=[*(usual.drop_items if usual else ()), *entry["drop"]],
        points={**(usual.item_points if usual else {}), **entry["points"]},
    )


def rubrics(config: Config, entries: Mapping[str, Entry]) -> dict[str, Rubric]:
    """Return the rubric of each judge among the sources."""
    return {name: rubric_of(config, entry) for name, entry in declared.of_kind(entries, *ASKS_A_RUBRIC)}


def rule_sets(config: Config, entries: Mapping[str, Entry]) -> dict[str, RuleSet]:
    """Return the rules of each source of rules."""
    return {name: rules_of(config, entry) for name, entry in declared.of_kind(entries, "rules")}


def stage_name(stage: str, source: str) -> str:
    """Return the name of the stage that trains a source, which is part of its seed.

    That of the source ``model`` (of ``judge`` for a judge) has no suffix.
    """
    return stage if source == ("judge" if stage == "judge" else "model") else f"{stage}_{source}"
