"""The reward as a stage reads it: the sources with everything that can change a score, and how scores are combined."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from repo_exp.config.reward_sources import settings_of
from repo_exp.config.schema import Config, OpenaiJudge
from repo_exp.rewards import sources as kinds
from repo_exp.rewards.combine import Combiner
from repo_exp.rewards.diagnostics import diagnostics
from repo_exp.rewards.interface import RewardSource, SourceOptions
from repo_exp.rewards.judge.openai_judge import OpenAIJudge
from repo_exp.rewards.rubric import Rubric
from repo_exp.rewards.rules import RuleSet
from repo_exp.rewards.scoring import Scorer
from repo_exp.stages import judge, reward_model
from repo_exp.stages.asked_sources import (
    Entry,
    combiner,
    evaluation_combiner,
    evaluation_sources,
    rubric_of,
    rules_of,
    stage_name,
    training_sources,
)
from repo_exp.stages.judge import JudgeInputs
from repo_exp.stages.reward_model import RewardModelInputs
from repo_exp.stages.run_context import RunContext
from repo_exp.stages.store import Artifact
from repo_exp.types import RewardBreakdown, SourceInfo


@dataclass(frozen=True, slots=True)
class LocalJudgeInputs:
    """A local judge.

    Attributes:
        hard: count a yes above one half as a whole yes.
    """

    trained: JudgeInputs
    hard: bool


@dataclass(frozen=True, slots=True)
class EndpointInputs:
    """A remote judge: its rubric, and how the endpoint is asked."""

    rubric: Rubric
    settings: OpenaiJudge


Needs = RuleSet | RewardModelInputs | LocalJudgeInputs | EndpointInputs | None


@dataclass(frozen=True, slots=True)
class SourceInputs:
    """One source.

    Attributes:
        options: its typed entry of ``reward.sources``.
        needs: what it scores with; None for a kind that needs its options alone.
    """

    name: str
    options: SourceOptions
    needs: Needs

    @property
    def fingerprint(self) -> str:
        """A digest of everything that can change a score, except trained weights: they are parents."""
        return self.build(None, None).fingerprint

    def build(self, run: RunContext | None, trained: Artifact | None) -> RewardSource[Any]:
        """Return the source. Without a run it cannot score, but it has its name and fingerprint.

        Args:
            trained: the artifact of the model that it scores with, if it needs one.
        """
        needs, arguments = self.needs, list[Any]()
        options: dict[str, Any] = {}
        if isinstance(needs, RuleSet):
            arguments = [needs]
        elif isinstance(needs, RewardModelInputs):
            arguments = [_only_in(run, trained, lambda run, trained: reward_model.function(run, needs, trained))]
        elif isinstance(needs, LocalJudgeInputs):
            ask = _only_in(run, trained, lambda run, trained: judge.function(run, needs.trained, trained))
            arguments, options = [needs.trained.questions.rubric, ask], {"hard": needs.hard}
        elif isinstance(needs, EndpointInputs):
            cache = None if run is None else run.store.root / "judge_cache.sqlite"
            arguments = [OpenAIJudge(needs.rubric, cache=cache, **needs.settings.model_dump(exclude={"kind"}))]
        source: RewardSource[Any] = kinds.find(self.options.kind).Source(self.name, self.options, *arguments, **options)
        return source


@dataclass(frozen=True, slots=True)
class RewardInputs:
    """The sources that are asked, and how their scores are combined.

    Attributes:
        rule: name of the combiner.
        n: the bound of the enhancement.
    """

    sources: Mapping[str, SourceInputs]
    rule: str
    combiner: Combiner[Any]
    n: float

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """Everything that can change a score or a total."""
        options = self.combiner.options.model_dump()
        if not self.combiner.modulators:
            options.pop("n")  # it bounds points, and no source gives any
        for key in {"weights", "tolerance"} & options.keys():
            options[key] = {name: value for name, value in options[key].items() if name in self.sources}
        return {
            "sources": {name: self.sources[name].fingerprint for name in sorted(self.sources)},
            "total": sorted(self.combiner.units),
            "combine": self.rule,
            "options": options,
        }

    def scorer(self, run: RunContext, parents: Mapping[str, Artifact]) -> Scorer:
        """Return what scores trajectories. A source is built once a run: a remote judge has one budget of calls.

        Args:
            parents: of the stage; the trained sources are among them, see :func:`reward_parents`.
        """
        built = [
            run.once((name, source.fingerprint), partial(source.build, run, parents.get(_part(name))))
            for name, source in self.sources.items()
        ]
        return Scorer(built, self.combiner)

    def describe(self, rewards: Sequence[RewardBreakdown], infos: Mapping[str, SourceInfo]) -> dict[str, float]:
        """Return the reward diagnostics of a round."""
        return diagnostics(rewards, infos, n=self.n)


def training_reward(config: Config) -> RewardInputs:
    """Return the reward that an online method is trained on."""
    entries = training_sources(config)
    return RewardInputs(
        source_inputs(config, entries), config.reward.combine, combiner(config, entries), config.reward.n
    )


def evaluation_reward(config: Config) -> RewardInputs:
    """Return the reward of the evaluation, which is the same for every run of an ablation."""
    sources = source_inputs(config, evaluation_sources(config))
    return RewardInputs(sources, "enhancement", evaluation_combiner(config), config.evaluation.n)


def reward_parents(config: Config, *, evaluating: bool) -> dict[str, str]:
    """Return the stages that train the sources: the part each plays -> its name."""
    entries = evaluation_sources(config) if evaluating else training_sources(config)
    trained = {"reward_model": "reward_model", "local_judge": "judge"}
    kind_of = {name: str(entry["kind"]) for name, entry in entries.items()}
    return {_part(name): stage_name(trained[kind], name) for name, kind in kind_of.items() if kind in trained}


def source_inputs(config: Config, entries: Mapping[str, Entry]) -> dict[str, SourceInputs]:
    """Return these sources with what they need."""
    return {
        name: SourceInputs(name, kinds.options_of(entry), _needs(config, name, entry))
        for name, entry in entries.items()
    }


def _needs(config: Config, name: str, entry: Entry) -> Needs:
    kind = entry["kind"]
    if kind == "rules":
        return rules_of(config, entry)
    if kind == "reward_model":
        return reward_model.inputs_of(config, name)
    if kind == "local_judge":
        return LocalJudgeInputs(judge.inputs_of(config, name), hard=settings_of(entry).hard)
    if kind == "openai_judge":
        settings = settings_of(entry)
        assert isinstance(settings, OpenaiJudge)
        return EndpointInputs(rubric_of(config, entry), settings)
    return None


def _only_in(
    run: RunContext | None, trained: Artifact | None, function: Callable[[RunContext, Artifact], Callable[..., Any]]
) -> Callable[..., Any]:
    """Return the function of a trained model; outside a run, one that cannot be called."""
    if run is not None and trained is not None:
        return function(run, trained)

    def refused(*_: object) -> Any:
        raise RuntimeError("a source scores only in a run, with the artifact that was trained for it")

    return refused


def _part(source: str) -> str:
    return f"reward.{source}"
