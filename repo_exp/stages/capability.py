"""capability: what the policy could do on the way, measured on development contexts when it has learnt.

The policy stage keeps the adapter at fixed points. This stage measures them, and is an artifact of its own: other
contexts, another bound or other rules measure again, and train nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from repo_exp.evaluation.unscored import failures
from repo_exp.rewards.diagnostics import failed_share
from repo_exp.rewards.judge.reasons import worth_asking_again
from repo_exp.rollout.seeds import derived_seed
from repo_exp.stages.answering import answer
from repo_exp.stages.data import read
from repo_exp.stages.policy import kept_after, place_after
from repo_exp.stages.reward_sources import RewardSources
from repo_exp.stages.store import Artifact, write_json
from repo_exp.stages.workbench import METRICS, Workbench
from repo_exp.types import RewardBreakdown, SourceInfo

VERSION = 3
UNSCORED = "unscored.json"
FIGURES = {  # reward diagnostic -> name on the capability curve, beside the mean of each source
    "reward/total": "total",
    "composition/violations": "violations",
    "composition/failed": "unscored",
}


def steps(updates: int, every: int) -> list[int]:
    """Return after which updates the policy is measured: at the start, the end, and the first kept one in each
    stretch of ``every`` updates.

    >>> steps(12, 6)   # kept after 3, 6, 9
    [0, 6, 12]
    """
    chosen = [0]
    for step in kept_after(updates):
        if step // every > chosen[-1] // every:
            chosen.append(step)
    return [*chosen, updates]


def make(bench: Workbench, data: Artifact, sft: Artifact, policy: Artifact, sources: RewardSources) -> Artifact:
    """Return the capability artifact: ``metrics.json``, a row for each point of the curve."""
    config = bench.config
    points = steps(config.budget.updates, config.evaluation.capability_every)
    inputs = {
        "model": bench.model_inputs(),
        "steps": points,
        "contexts": config.evaluation.capability_contexts,
        "temperature": config.evaluation.temperature,
        "max_unscored": config.evaluation.max_unscored,
        "yardstick": sources.inputs(evaluating=True),
        "rollout": bench.sampling_inputs(),
        "seed": config.seed,
    }
    parents = {"data": data, "sft": sft, "policy": policy, **sources.parents(evaluating=True)}

    def build(folder: Path) -> None:
        held = read(data).contexts["development"][: config.evaluation.capability_contexts]
        scorer, seed = sources.scorer(evaluating=True), derived_seed(config.seed, "capability")
        rows, answers = [], []
        for step in points:
            place = sft.folder / "policy" if step == 0 else place_after(policy.folder, step)
            bench.backbone.load("policy", policy.folder / "policy" if step == points[-1] else place)
            bench.learnt("policy")  # it is the adapter of no whole artifact
            replies = answer(
                bench.backbone,
                "policy",
                held,
                config.rollout,
                seed=seed,
                temperature=config.evaluation.temperature,
                finished=scorer.begin,
            )
            breakdown = scorer.score(replies)
            answers += zip(replies, breakdown, strict=True)
            metrics = sources.describe(breakdown, evaluating=True)
            hidden = withheld(breakdown, scorer.infos, most=config.evaluation.max_unscored)
            names = FIGURES | {f"reward/{name}": name for name in scorer.infos}
            figures = {f"capability/{name}": metrics[key]
                       for key, name in names.items() if key in metrics and name not in hidden}  # fmt: skip
            rows.append({"step": step, **figures})
            bench.trackers.log("capability", step, figures)
        write_json(folder / METRICS, rows)
        write_json(folder / UNSCORED, failures(answers, list(scorer.infos)))

    return bench.make(
        "capability",
        build,
        version=VERSION,
        inputs=inputs,
        parents=parents,
        again=lambda artifact: worth_asking_again(artifact.read(UNSCORED)),
    )


def withheld(breakdown: Sequence[RewardBreakdown], infos: Mapping[str, SourceInfo], *, most: float) -> set[str]:
    """Return which figures have no value at a point of the curve: more than the share of their scores failed."""
    hidden = {name for name in infos if failed_share(breakdown, name) > most}
    if any(infos[name].parts == "violations" for name in hidden):
        hidden.add("violations")
    if sum(bool(each.failed_in_total) for each in breakdown) > most * len(breakdown):
        hidden.add("total")
    return hidden
