"""The three sources as the configuration wants them, and how they join.

Training and evaluation ask the same instruments. Training joins what ``reward.sources`` names and
``reward.join`` listens to; the yardstick of the evaluation joins every instrument there is by the enhancement, so that
the runs of an ablation can be compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from repo_exp.algorithms.registry import credit_from
from repo_exp.config.places import rubric_folder, rules_folder
from repo_exp.config.schema import Config
from repo_exp.rewards.composition import compose
from repo_exp.rewards.joins import KNOBS, build_join, heard_by, knobs_of
from repo_exp.rewards.judge.endpoint import address
from repo_exp.rewards.rubric import Rubric, load_rubric
from repo_exp.rewards.rules import RuleSet, load_rules
from repo_exp.rewards.scoring import Scorer
from repo_exp.stages import judge, reward_model
from repo_exp.stages.store import Artifact
from repo_exp.stages.workbench import Workbench
from repo_exp.types import RewardBreakdown


@dataclass(frozen=True, slots=True)
class Declared:
    """Rules and rubric as they are declared; None where there are none to ask."""

    rules: RuleSet | None
    rubric: Rubric | None


def declared(config: Config) -> Declared:
    """Read rules and rubric. Rules are always there; the rubric is, unless there is no judge."""
    reward = config.reward
    rules = load_rules(rules_folder(config.domain.rules), drop=reward.drop_rules, points=reward.rule_points)
    rubric = None
    if config.judge.kind != "none":
        rubric = load_rubric(rubric_folder(config.domain.rubric), drop=reward.drop_items, points=reward.item_points)
    return Declared(rules, rubric)


def sources(config: Config, *, evaluating: bool) -> tuple[str, ...]:
    """Return which sources are asked: while learning those that have a say, for the evaluation every one there is.

    A source without a say costs time, with a remote judge money, and its points would be part of a policy's address
    that they cannot change.
    """
    if not evaluating:
        if credit_from(str(config.algorithm["kind"])) != "total":
            return tuple(config.reward.sources)
        return heard_by(config.reward.join, config.reward.sources, config.reward.weights.model_dump())
    if config.evaluation.sources == "as_trained":
        return tuple(config.reward.sources)
    return ("model", "judge", "rules") if config.judge.kind != "none" else ("model", "rules")


class Instruments:
    """Reward model, judge and rules, ready to score.

    Args:
        model: the reward model's artifact, if one was made.
        judge_artifact: the local judge's artifact, if one was made.
    """

    def __init__(
        self, bench: Workbench, found: Declared, *, model: Artifact | None, judge_artifact: Artifact | None
    ) -> None:
        self.bench, self.found = bench, found
        self.model, self.judge_artifact = model, judge_artifact
        self._judge: Any = None

    def scorer(self, *, evaluating: bool) -> Scorer:
        """Return what scores replies, for training or for the evaluation."""
        config = self.bench.config
        asked = sources(config, evaluating=evaluating)
        name, n = ("enhancement", config.evaluation.n) if evaluating else (config.reward.join, config.reward.n)
        if self._judge is None and "judge" in asked and self.found.rubric is not None:
            self._judge = judge.judge(self.bench, self.judge_artifact, self.found.rubric)
        return Scorer(
            reward_model=reward_model.scorer(self.bench, self.model) if "model" in asked and self.model else None,
            judge=self._judge if "judge" in asked else None,
            rules=self.found.rules if "rules" in asked else None,
            join=build_join(name, **config.reward.model_dump(include={*KNOBS}) | {"n": n}),
        )

    def describe(self, breakdowns: Sequence[RewardBreakdown], *, n: float) -> dict[str, float]:
        """Return the metrics of a batch of scored replies."""
        return compose(
            breakdowns,
            n=n,
            rules=self.found.rules.names if self.found.rules else (),
            items=self.found.rubric.names if self.found.rubric else (),
        )

    def inputs(self, *, evaluating: bool) -> Mapping[str, Any]:
        """Return what of the instruments can change a score, for the address of what they score."""
        config = self.bench.config
        asked = sources(config, evaluating=evaluating)
        told: dict[str, Any] = {"sources": sorted(asked)}
        told |= (
            {"join": "enhancement", "n": config.evaluation.n}
            if evaluating
            else {
                "join": config.reward.join,
                "weights": {},  # for joins without them
                **config.reward.model_dump(include={*knobs_of(config.reward.join)}),
            }
        )
        if not evaluating and not {"judge", "rules"} & set(asked):
            told.pop("n", None)  # the bound of points that nobody asks for
        if "rules" in asked and self.found.rules is not None:
            told["rules"] = self.found.rules.fingerprint
        if "judge" in asked and self.found.rubric is not None:
            told["rubric"] = self.found.rubric.fingerprint
            how = {"kind", "model", "base_url", "temperature", "max_tokens", "hard"}
            told["judge"] = config.judge.model_dump(include=how)
            if config.judge.kind == "openai":  # the address that is asked, wherever it was given
                told["judge"]["base_url"] = address(config.judge.base_url) or None
        return told

    def parents(self, *, evaluating: bool) -> dict[str, Artifact]:
        """Return the artifacts that are asked."""
        asked = sources(self.bench.config, evaluating=evaluating)
        found = {"model": self.model, "judge": self.judge_artifact}
        return {name: artifact for name, artifact in found.items() if artifact is not None and name in asked}
