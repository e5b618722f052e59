"""report: everything a reader needs to understand a run, in one file in the run folder."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
import yaml

from repo_exp.algorithms.registry import credit_from, learns_from
from repo_exp.config.schema import Config
from repo_exp.evaluation.report import render_report
from repo_exp.evaluation.report_data import Report
from repo_exp.evaluation.verdict import arm_name
from repo_exp.models.precision import processor_units
from repo_exp.redaction import masked
from repo_exp.stages.instruments import Declared, sources
from repo_exp.stages.notices import notices, silent_sources
from repo_exp.stages.store import Artifact
from repo_exp.stages.workbench import METRICS, Workbench, installed
from repo_exp.tracking.masking import mask_secrets


def write(
    bench: Workbench,
    found: Declared,
    made: Mapping[str, Artifact],
    *,
    raw: Mapping[str, Any],
    command: str,
    started: datetime,
    seconds: float,
) -> Path:
    """Write ``report.html`` into the run folder and return its path.

    Args:
        made: the artifacts by stage.
        raw: the configuration as it was composed.
        command: how the run was started.
    """
    config, evaluation = bench.config, made["evaluate"]
    metrics = []
    for artifact in made.values():
        if (artifact.folder / METRICS).is_file():
            for row in artifact.read(METRICS):
                figures = {name: value for name, value in row.items() if name != "step"}
                metrics.append({"stage": artifact.stage, "step": row["step"], "metrics": figures})
    examples, learnt = evaluation.read("examples.json"), learns_from(str(config.algorithm["kind"]))
    name = str(config.algorithm["name"])
    report: Report = {
        "title": f"{arm_name(name)} on {config.model.name}",
        "run": {
            "name": name,
            "model": config.model.name,
            "algorithm": name,
            "domain": config.domain.name,
            "seed": config.seed,
            "command": masked(command),
            "started": started.strftime("%Y-%m-%d %H:%M"),
            "seconds": seconds,
            "hardware": f"{bench.precision}, {processor_units(bench.device)}; "
            f"{torch.get_num_threads()} threads, {platform.machine()}",
            "versions": installed("repo-exp", "torch", "transformers", "peft", "lightning"),
            "notices": notices(config),
            "roles": {"assistant": "Agent", "user": "Hotel"} if config.domain.name == "hotel" else {},
        },
        "reward": {
            "learns_from": learnt,
            **_told_apart(config, learnt),
            "rules": {rule.name: rule.purpose for rule in found.rules.rules} if found.rules else {},
            "items": {item.name: item.question for item in found.rubric.items} if found.rubric else {},
        },
        "stages": [
            {"name": a.stage, "seconds": a.record["seconds"], "reused": a.reused, "address": a.address}
            for a in made.values()
        ],
        "results": evaluation.read("results.json"),
        "notes": list(dict.fromkeys(bench.notes)),
        "metrics": metrics,
        "instruments": {
            "reward_model": _reward_model(made.get("reward_model")),
            "judge": made["judge"].read("quality.json")["items"] if "judge" in made else None,
        },
        "worked_example": examples["worked"],
        "examples": examples["chosen"],
        "config_yaml": yaml.safe_dump(mask_secrets(dict(raw)), sort_keys=False, allow_unicode=True),
    }
    path = bench.folder / "report.html"
    render_report(report, path)
    return path


def _told_apart(config: Config, learnt: str) -> dict[str, Any]:
    """Return the reward that was learnt from, and what was measured with; the same where none was learnt from."""
    measured = {"sources": list(sources(config, evaluating=True)), "join": "enhancement", "bound": config.evaluation.n}
    if learnt != "own replies":
        return {**measured, "measured": measured}
    heard = [name for name in config.reward.sources if name not in silent_sources(config)]
    credit = credit_from(str(config.algorithm["kind"]))
    told = {"sources": heard, "join": config.reward.join, "bound": config.reward.n, "measured": measured}
    if credit != "total":
        name = arm_name(str(config.algorithm["name"]))
        told["join"] = str(config.algorithm["name"])
        told["formula"] = {
            "sources": f"{name} gives credit to each source by itself, normalised among the replies to a context.",
            "value model": f"{name} takes its credit from a value model; what the sources say is measured only.",
        }[credit]
        told["sources"] = heard or measured["sources"]
    return told


def _reward_model(artifact: Artifact | None) -> Any:
    if artifact is None:
        return None
    told, scale = artifact.read("quality.json"), artifact.read("calibration.json")
    kept = {name: told[name] for name in ("pairs", "correct", "baselines", "kinds")}
    return kept | {"mean": scale["mean"], "std": scale["spread"], "samples": scale["replies"]}
