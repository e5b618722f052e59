"""The reward sources as the configuration declares them, built, with what is trained for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from repo_exp.rewards import sources as kinds
from repo_exp.rewards.diagnostics import diagnostics
from repo_exp.rewards.interface import RewardSource
from repo_exp.rewards.scoring import Scorer
from repo_exp.stages import judge, reward_model
from repo_exp.stages.asked_sources import (
    Entry,
    combiner,
    evaluation_combiner,
    evaluation_sources,
    rubric_of,
    rules_of,
    training_sources,
)
from repo_exp.stages.store import Artifact
from repo_exp.stages.workbench import Workbench
from repo_exp.types import RewardBreakdown, SourceInfo


def make(bench: Workbench, name: str, entry: Entry, data: Artifact, sft: Artifact) -> Artifact | None:
    """Train what a source needs; None where it needs nothing."""
    if entry["kind"] == "reward_model":
        return reward_model.make(bench, data, sft, reward_model.spec_of(bench.config, name, entry))
    if entry["kind"] == "local_judge":
        return judge.make(bench, data, rubric_of(bench.config, entry), judge.spec_of(bench.config, name, entry))
    return None


class RewardSources:
    """Builds sources when they are asked for the first time.

    Args:
        artifacts: source -> what was trained for it. Only scoring reads it, so the address of what is scored can be
            worked out without.
    """

    def __init__(self, bench: Workbench, artifacts: Mapping[str, Artifact]) -> None:
        self.bench, self.artifacts = bench, dict(artifacts)
        self._entries = evaluation_sources(bench.config)
        self._built: dict[str, RewardSource[Any]] = {}

    def source(self, name: str) -> RewardSource[Any]:
        """Return a source by its name."""
        if name not in self._built:
            self._built[name] = self._build(name, self._entries[name])
        return self._built[name]

    def _build(self, name: str, entry: Entry) -> RewardSource[Any]:
        config, kind, options = self.bench.config, str(entry["kind"]), kinds.options_of(entry)
        source = kinds.find(kind).Source
        built: RewardSource[Any]
        if kind == "rules":
            built = source(name, options, rules_of(config, entry))
        elif kind == "reward_model":
            spec = reward_model.spec_of(config, name, entry)
            built = source(name, options, reward_model.function(self.bench, spec, lambda: self.artifacts[name]))
        elif kind == "local_judge":
            spec_of_judge, rubric = judge.spec_of(config, name, entry), rubric_of(config, entry)
            ask = judge.function(self.bench, spec_of_judge, lambda: self.artifacts[name])
            built = source(name, options, rubric, ask, hard=spec_of_judge.settings.hard)
        elif kind == "openai_judge":
            built = source(name, options, judge.remote(self.bench, entry, rubric_of(config, entry)))
        else:  # a kind that needs nothing but its options
            built = source(name, options)
        return built

    def scorer(self, *, evaluating: bool) -> Scorer:
        """Return what scores trajectories, for training or for the evaluation."""
        config = self.bench.config
        asked = evaluation_sources(config) if evaluating else training_sources(config)
        rule = evaluation_combiner(config) if evaluating else combiner(config, asked)
        return Scorer([self.source(name) for name in asked], rule)

    def describe(self, breakdowns: Sequence[RewardBreakdown], *, evaluating: bool) -> dict[str, float]:
        """Return the reward diagnostics of a round."""
        config = self.bench.config
        n = config.evaluation.n if evaluating else config.reward.n
        return diagnostics(breakdowns, self.infos(evaluating=evaluating), n=n)

    def infos(self, *, evaluating: bool) -> dict[str, SourceInfo]:
        """Return how metrics and reports name the sources that are asked, with the names of their parts."""
        config = self.bench.config
        asked = evaluation_sources(config) if evaluating else training_sources(config)
        return {name: self.source(name).info for name in asked}

    def inputs(self, *, evaluating: bool) -> Mapping[str, Any]:
        """Return everything of the sources that can change a score or a total, for the address of what is scored."""
        config = self.bench.config
        asked = evaluation_sources(config) if evaluating else training_sources(config)
        rule = evaluation_combiner(config) if evaluating else combiner(config, asked)
        options = rule.options.model_dump()
        if not evaluating and not rule.modulators:
            options.pop("n")  # the bound of points that nobody asks for
        for key in {"weights", "tolerance"} & options.keys():
            options[key] = {name: value for name, value in options[key].items() if name in asked}
        return {
            "sources": {name: self.source(name).fingerprint for name in sorted(asked)},
            "total": sorted(rule.units),
            "combine": "enhancement" if evaluating else config.reward.combine,
            "options": options,
        }

    def parents(self, *, evaluating: bool) -> dict[str, Artifact]:
        """Return the artifacts that are asked."""
        config = self.bench.config
        asked = evaluation_sources(config) if evaluating else training_sources(config)
        return {f"reward.{name}": self.artifacts[name] for name in asked if name in self.artifacts}
