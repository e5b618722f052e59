"""The pipeline: data -> sft -> reward_model -> judge -> policy -> capability -> evaluate -> report."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from repo_exp.algorithms.registry import learns_from
from repo_exp.config.reward_sources import of_kind
from repo_exp.config.schema import Config
from repo_exp.domains.own_data.checking import label_notes
from repo_exp.durable import make_folder, write_text, writing
from repo_exp.models.precision import has_bfloat16_units, processor_units, slowdown
from repo_exp.rewards.rubric import require_facts
from repo_exp.stages import (
    capability,
    data,
    evaluate,
    forecast,
    lengths,
    policy,
    report,
    reward_sources,
    sft,
    value_model,
)
from repo_exp.stages.asked_sources import evaluation_sources, rubrics
from repo_exp.stages.machine import prepare
from repo_exp.stages.notices import notices
from repo_exp.stages.records import forget_weights
from repo_exp.stages.reward_sources import RewardSources
from repo_exp.stages.stage import Stage
from repo_exp.stages.store import Artifact
from repo_exp.stages.workbench import Workbench
from repo_exp.tracking.build import build_trackers

log = logging.getLogger(__name__)


def run(config: Config, *, raw: Mapping[str, Any], folder: Path, command: str) -> dict[str, Any]:
    """Run every stage that is not in the store yet, and report.

    Args:
        config: what to do, checked.
        raw: the same as it was composed, for the record.
        folder: of this run; gets metrics, replies and the report.
        command: how the run was started.

    Returns:
        ``objective``, the trained policy's mean total on the test contexts, and where the report is.
    """
    started, start = datetime.now(), time.monotonic()
    make_folder(folder)
    prepare(config.trainer.threads)
    for each in notices(config):
        log.warning(each)
    name = f"{config.algorithm['name']}-{config.model.name}-seed{config.seed}"
    logger = config.logger.model_dump()
    with build_trackers(
        logger, run_folder=folder, config=raw, name=name, group=config.logger.group, tags=list(config.logger.tags)
    ) as trackers:
        forget_weights()
        bench = Workbench(config, folder=folder, trackers=trackers)
        _say_precision(bench)
        made = _stages(bench)
        path = report.write(bench, made, raw=raw, command=command, started=started, seconds=time.monotonic() - start)
        results = made["evaluate"].read("results.json")
        _hand_over(folder, made)
        trackers.summary(_summary(results))
        trackers.table("examples", *_table(made["evaluate"]))
        trackers.file(path)
    _say(results, path, made, notices(config), seconds=time.monotonic() - start)
    last = results["arms"][results["order"][-1]]
    return {"objective": last["total"]["mean"], "report": str(path)}


def _stages(bench: Workbench) -> dict[str, Artifact]:
    config = bench.config
    learnt = learns_from(str(config.algorithm["kind"]))
    wanted = evaluation_sources(config)
    made = {"data": data.make(bench)}
    bench.before_first_build = lambda: _say_forecast(bench, made)
    asked = rubrics(config, wanted)
    for name, rubric in asked.items():
        if config.data.kind == "jsonl":
            taught = wanted[name]["kind"] == "local_judge"
            bench.note("data", label_notes(data.read(made["data"]), rubric.names, learnt=taught))
    lengths.make(bench, made["data"])
    for rubric in asked.values():
        require_facts(rubric, [each for split in data.read(made["data"]).contexts.values() for each in split])
    made["sft"] = _make(bench, sft.SftStage(), made)
    trained: dict[str, Artifact] = {}
    for name, entry in wanted.items():
        artifact = reward_sources.make(bench, name, entry, made["data"], made["sft"])
        if artifact is not None:
            trained[name] = made[artifact.stage] = artifact
    sources = RewardSources(bench, trained)
    if learnt != "nothing":
        if value_model.ValueModelStage().wanted(config):
            made["value_model"] = _make(bench, value_model.ValueModelStage(), made)
        made["policy"] = policy.make(bench, made["data"], made["sft"], sources, value_model=made.get("value_model"))
        if config.evaluation.capability_every:
            made["capability"] = capability.make(bench, made["data"], made["sft"], made["policy"], sources)
    made["evaluate"] = evaluate.make(bench, made["data"], made["sft"], made.get("policy"), sources)
    return made


def _make(bench: Workbench, stage: Stage[Any], made: Mapping[str, Artifact]) -> Artifact:
    parents = {part: made[name] for part, name in stage.parents(bench.config).items()}
    return bench.make(stage, stage.inputs(bench.config), parents)


def _say_precision(bench: Workbench) -> None:
    """Say first what the run computes with, and warn where that is slow."""
    config, device = bench.config, bench.device
    units, threads = processor_units(device), torch.get_num_threads()
    log.info("%s in %s (%s), %d thread(s)", config.model.name, bench.precision, units, threads)
    if bench.precision == "bfloat16" and not has_bfloat16_units(device):
        log.warning(
            "model.dtype=bfloat16 is slow here: a product takes %.0f times as long as in float32; model.dtype=auto "
            "takes float32 on this processor",
            slowdown(device),
        )


def _say_forecast(bench: Workbench, made: Mapping[str, Artifact]) -> None:
    local = dict(of_kind(evaluation_sources(bench.config), "local_judge"))
    items = sum(len(rubric.items) for rubric in rubrics(bench.config, local).values())
    corpus = data.read(made["data"])
    log.info(
        forecast.sentence(
            bench.config, corpus, precision=bench.precision, device=bench.device, items=items, made={*made}
        )
    )


def _hand_over(folder: Path, made: Mapping[str, Artifact]) -> None:
    """Put what a person looks for into the run folder: replies with every score, and where the adapters are."""
    for stage, name in (("policy", policy.ROLLOUTS), ("evaluate", "replies.jsonl")):
        if stage in made and (made[stage].folder / name).is_file():  # learning from pairs leaves no replies
            with writing(folder / name) as unfinished:
                shutil.copyfile(made[stage].folder / name, unfinished)
    lines = [f"{artifact.stage}\t{artifact.folder}" for artifact in made.values()]
    write_text(folder / "artifacts.tsv", "\n".join(lines) + "\n")


def _summary(results: Mapping[str, Any]) -> dict[str, Any]:
    told = {"verdict": results["verdict"]["text"]}
    for name, arm in results["arms"].items():
        figures = {"total": arm["total"], **arm["sources"]}
        told |= {f"test/{name}/{each}": cell["mean"] for each, cell in figures.items()}
        told |= {f"test/{name}/unscored": arm["unscored"], f"test/{name}/replies": arm["n"]}
        if arm["violations"]:
            told[f"test/{name}/violations"] = arm["violations"]["share"]
    return told


def _table(evaluation: Artifact) -> tuple[list[str], list[list[Any]]]:
    rows = []
    for example in evaluation.read("examples.json")["chosen"]:
        for side in ("before", "after"):
            view = example["replies"][example[side]]
            rows.append([example["why"], view["arm"], view["text"], view["total"], ", ".join(view["lacks"])])
    return ["why", "arm", "reply", "total", "lacks"], rows


def _say(
    results: Mapping[str, Any], path: Path, made: Mapping[str, Artifact], above: Sequence[str], *, seconds: float
) -> None:
    console = Console(highlight=False)
    console.print()
    for each in above:
        console.print(each, markup=False, soft_wrap=True)
    console.print(results["verdict"]["text"], markup=False, soft_wrap=True)
    reused = sum(artifact.reused for artifact in made.values())
    console.print(f"{len(made)} stages, {reused} from the store, {seconds:.0f} s", markup=False)
    console.print(f"report: {path}", markup=False, soft_wrap=True)
