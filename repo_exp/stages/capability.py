"""capability: what the policy could do on the way, measured on development contexts when it has learnt.

The policy stage keeps the adapter at fixed points. This stage measures them, and is an artifact of its own: other
contexts, another bound or other rules measure again, and train nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from repo_exp.evaluation.summary import SOURCES
from repo_exp.evaluation.unscored import failures
from repo_exp.rewards.composition import failed_share
from repo_exp.rewards.judge.reasons import worth_asking_again
from repo_exp.rollout.seeds import derived_seed
from repo_exp.stages.answering import answer
from repo_exp.stages.data import read
from repo_exp.stages.instruments import Instruments
from repo_exp.stages.policy import kept_after, place_after
from repo_exp.stages.store import Artifact, write_json
from repo_exp.stages.workbench import METRICS, Workbench
from repo_exp.types import RewardBreakdown

VERSION = 2
UNSCORED = "unscored.json"
FIGURES = {  # metric of the composition -> name on the capability curve
    "reward/total": "total",
    "reward/model": "model",
    "reward/judge": "judge",
    "reward/rules": "rules",
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


def make(bench: Workbench, data: Artifact, sft: Artifact, policy: Artifact, instruments: Instruments) -> Artifact:
    """Return the capability artifact: ``metrics.json``, a row for each point of the curve."""
    config = bench.config
    points = steps(config.budget.updates, config.evaluation.capability_every)
    inputs = {
        "model": bench.model_inputs(),
        "steps": points,
        "contexts": config.evaluation.capability_contexts,
        "temperature": config.evaluation.temperature,
        "max_unscored": config.evaluation.max_unscored,
        "yardstick": instruments.inputs(evaluating=True),
        "rollout": bench.sampling_inputs(),
        "seed": config.seed,
    }
    parents = {"data": data, "sft": sft, "policy": policy, **instruments.parents(evaluating=True)}

    def build(folder: Path) -> None:
        held = read(data).contexts["development"][: config.evaluation.capability_contexts]
        scorer, seed = instruments.scorer(evaluating=True), derived_seed(config.seed, "capability")
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
            worth = scorer.score(replies)
            answers += zip(replies, worth, strict=True)
            told = instruments.describe(worth, n=config.evaluation.n)
            hidden = withheld(worth, most=config.evaluation.max_unscored)
            shown = {key: name for key, name in FIGURES.items() if key in told and name not in hidden}
            figures = {f"capability/{name}": told[key] for key, name in shown.items()}
            rows.append({"step": step, **figures})
            bench.trackers.log("capability", step, figures)
        write_json(folder / METRICS, rows)
        write_json(folder / UNSCORED, failures(answers, SOURCES))

    return bench.make(
        "capability",
        build,
        version=VERSION,
        inputs=inputs,
        parents=parents,
        again=lambda artifact: worth_asking_again(artifact.read(UNSCORED)),
    )


def withheld(worth: Sequence[RewardBreakdown], *, most: float) -> set[str]:
    """Return which figures have no value at a point of the curve: more than the share of their scores failed."""
    hidden = {name for name in SOURCES if failed_share(worth, name) > most}
    if "rules" in hidden:
        hidden.add("violations")
    if sum(bool(each.failed) for each in worth) > most * len(worth):
        hidden.add("total")
    return hidden
