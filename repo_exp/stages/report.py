"""report: one file in the run folder with everything that is needed to understand a run."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any, cast

import torch
import yaml

from repo_exp.algorithms.registry import credit_from, learns_from
from repo_exp.config.reward_sources import info_of, measured_with, trained_on
from repo_exp.config.schema import Config
from repo_exp.domains import registry
from repo_exp.evaluation.names import variant_name
from repo_exp.evaluation.report import render_report
from repo_exp.evaluation.report_data import PairAccuracy, Quality, Report, RewardSetup
from repo_exp.models.precision import processor_units
from repo_exp.redaction import masked
from repo_exp.stages.asked_sources import evaluation_sources, rubrics, rule_sets, stage_name
from repo_exp.stages.notices import notices, unused_sources
from repo_exp.stages.run_context import METRICS, RunContext
from repo_exp.stages.store import Artifact
from repo_exp.tracking.masking import mask_secrets


def write(
    config: Config,
    run: RunContext,
    made: Mapping[str, Artifact],
    *,
    raw: Mapping[str, Any],
    command: str,
    started: datetime,
    seconds: float,
) -> Path:
    """Write ``report.html`` into the run folder and return its path.

    Args:
        made: the artifacts to list, by stage.
        raw: the configuration as it was composed.
        command: how the run was started.
    """
    evaluation = made["evaluate"]
    metrics = []
    for artifact in made.values():
        if (artifact.folder / METRICS).is_file():
            for row in artifact.read(METRICS):
                figures = {name: value for name, value in row.items() if name != "step"}
                metrics.append({"stage": artifact.stage, "step": row["step"], "metrics": figures})
    examples, trains_on = evaluation.read("examples.json"), learns_from(str(config.algorithm["kind"]))
    name = str(config.algorithm["name"])
    report: Report = {
        "title": f"{variant_name(name)} on {config.model.name}",
        "run": {
            "name": name,
            "model": config.model.name,
            "algorithm": name,
            "domain": config.domain.name,
            "seed": config.seed,
            "command": masked(command),
            "started": started.strftime("%Y-%m-%d %H:%M"),
            "seconds": seconds,
            "hardware": f"{run.dtype}, {processor_units(run.machine.device)}; "
            f"{torch.get_num_threads()} threads, {platform.machine()}",
            "versions": _installed("repo-exp", "torch", "transformers", "peft", "lightning"),
            "notices": notices(config),
            "roles": {str(role): who for role, who in registry.find(config.domain.name).speakers.items()},
        },
        "reward": cast(RewardSetup, {"learns_from": trains_on, **_reward(config, trains_on), **_parts(config)}),
        "stages": [
            {"name": a.stage, "seconds": a.record["seconds"], "reused": a.reused, "address": a.address}
            for a in made.values()
        ],
        "results": evaluation.read("results.json"),
        "notes": list(dict.fromkeys(run.notes)),
        "metrics": metrics,
        "quality": _quality(config, made),
        "worked_example": examples["worked"],
        "examples": examples["chosen"],
        "config_yaml": yaml.safe_dump(mask_secrets(dict(raw)), sort_keys=False, allow_unicode=True),
    }
    path = run.folder / "report.html"
    render_report(report, path)
    return path


def _parts(config: Config) -> dict[str, dict[str, str]]:
    """Return what each rule and each rubric item says, by the names that tables have for them."""
    asked = evaluation_sources(config)
    return {
        "rules": {
            info_of(name, asked[name]).part(rule.name): rule.purpose
            for name, rules in rule_sets(config, asked).items()
            for rule in rules.rules
        },
        "items": {
            info_of(name, asked[name]).part(item.name): item.question
            for name, rubric in rubrics(config, asked).items()
            for item in rubric.items
        },
    }


def _reward(config: Config, trains_on: str) -> dict[str, Any]:
    """Return the reward of the training, and that of the evaluation; the same where there was none in training."""
    measured = {"sources": list(measured_with(config)[1]), "combine": "enhancement", "bound": config.evaluation.n}
    if trains_on != "own responses":
        return {**measured, "measured": measured}
    used = [name for name in trained_on(config) if name not in unused_sources(config)]
    credit = credit_from(str(config.algorithm["kind"]))
    reward = {"sources": used, "combine": config.reward.combine, "bound": config.reward.n, "measured": measured}
    if credit != "total":
        name = variant_name(str(config.algorithm["name"]))
        reward["combine"] = str(config.algorithm["name"])
        reward["formula"] = {
            "sources": f"{name} computes an advantage from each source, normalised among the responses to a prompt.",
            "value model": f"{name} computes advantages from a value model; the sources only measure.",
        }[credit]
        reward["sources"] = used or measured["sources"]
    return reward


def _quality(config: Config, made: Mapping[str, Artifact]) -> Quality:
    """Return how accurate the trained sources are on held-out examples."""
    models, items = {}, []
    for name, entry in evaluation_sources(config).items():
        info = info_of(name, entry)
        if entry["kind"] == "reward_model":
            models[info.label] = _reward_model(made[stage_name("reward_model", name)])
        elif entry["kind"] == "local_judge":
            found = made[stage_name("judge", name)].read("quality.json")["items"]
            items += [item | {"item": info.part(item["item"])} for item in found]
    return {"reward_models": models, "judge": items}


def _reward_model(artifact: Artifact) -> PairAccuracy:
    quality, scale = artifact.read("quality.json"), artifact.read("calibration.json")
    kept = {name: quality[name] for name in ("pairs", "correct", "baselines", "kinds")}
    return cast(PairAccuracy, kept | {"mean": scale["mean"], "std": scale["std"], "samples": scale["responses"]})


def _installed(*packages: str) -> dict[str, str]:
    """Return the versions of those packages that are installed."""
    versions = {}
    for package in packages:
        with suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return versions
