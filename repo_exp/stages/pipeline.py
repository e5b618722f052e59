"""The pipeline: data -> sft -> reward sources -> policy -> capability -> evaluate -> report."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from repo_exp.config.reward_sources import of_kind
from repo_exp.config.schema import Config
from repo_exp.domains.own_data.checking import label_notes
from repo_exp.durable import make_folder, write_text, writing
from repo_exp.models.precision import has_bfloat16_units, processor_units, slowdown
from repo_exp.rewards.rubric import require_facts
from repo_exp.stages import data, forecast, report, rollouts
from repo_exp.stages.asked_sources import evaluation_sources, rubrics
from repo_exp.stages.building import make
from repo_exp.stages.data import DataStage
from repo_exp.stages.evaluate import EvaluateStage
from repo_exp.stages.inputs import as_json
from repo_exp.stages.judge import JudgeStage
from repo_exp.stages.lengths import LengthsStage
from repo_exp.stages.machine import prepare
from repo_exp.stages.notices import notices
from repo_exp.stages.policy import PolicyStage
from repo_exp.stages.records import ROLES, forget_weights, machine_settings, model_inputs
from repo_exp.stages.reward_model import RewardModelStage
from repo_exp.stages.run_context import RunContext
from repo_exp.stages.sft import SftStage
from repo_exp.stages.stage import Stage
from repo_exp.stages.store import Artifact, Store, address
from repo_exp.stages.validation import ValidationStage
from repo_exp.stages.value_model import ValueModelStage
from repo_exp.tracking.build import build_trackers

log = logging.getLogger(__name__)


def stages(config: Config) -> list[Stage[Any]]:
    """Return the stages of a configuration, parents first."""
    sources = evaluation_sources(config)
    every: list[Stage[Any]] = [
        DataStage(),
        LengthsStage(),
        SftStage(),
        *(stage for name, _ in of_kind(sources, "reward_model") for stage in _reward_model(config, name)),
        *(JudgeStage(name) for name, _ in of_kind(sources, "local_judge")),
        ValueModelStage(),
        PolicyStage(),
        ValidationStage(),
        EvaluateStage(),
    ]
    return [stage for stage in every if stage.wanted(config)]


def _reward_model(config: Config, source: str) -> list[Stage[Any]]:
    stage = RewardModelStage(source)
    before = stage.before(config)
    return [stage] if before is None else [before, stage]


def addresses(config: Config) -> dict[str, str]:
    """Return the address of every stage's artifact, whether it is there or not. Nothing is built."""
    found: dict[str, str] = {}
    for stage in stages(config):
        parents = {part: found[name] for part, name in stage.parents(config).items()}
        inputs = as_json(stage.inputs(config))
        found[stage.name] = address(stage.name, version=stage.version, inputs=inputs, parents=parents)
    return found


def run(config: Config, *, raw: Mapping[str, Any], folder: Path, command: str) -> dict[str, Any]:
    """Build every stage that is not in the store yet, and report.

    Args:
        config: what to do, checked.
        raw: the same as it was composed, for the record.
        folder: of this run; gets metrics, responses and the report.
        command: how the run was started.

    Returns:
        ``objective``, the trained policy's mean total on the test prompts, and where the report is.
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
        context = RunContext(
            folder=folder,
            trackers=trackers,
            store=Store(config.store),
            machine=machine_settings(config),
            model=model_inputs(config, *ROLES),
            name=config.model.name,
        )
        _log_precision(context)
        made = _build(config, context)
        path = report.write(
            config, context, made, raw=raw, command=command, started=started, seconds=time.monotonic() - start
        )
        results = made["evaluate"].read("results.json")
        _hand_over(folder, made)
        trackers.summary(_summary(results))
        trackers.table("examples", *_table(made["evaluate"]))
        trackers.file(path)
    _print(results, path, made, notices(config), seconds=time.monotonic() - start)
    last = results["variants"][results["order"][-1]]
    return {"objective": last["total"]["mean"], "report": str(path)}


def _build(config: Config, context: RunContext) -> dict[str, Artifact]:
    """Find or build the artifact of every stage; return those that reports list, by stage."""
    made: dict[str, Artifact] = {}
    every = stages(config)
    log_forecast = cache(partial(_log_forecast, config, context, made))  # before the first stage that is built
    for stage in every:
        parents = {part: made[name] for part, name in stage.parents(config).items()}
        before = log_forecast if "data" in made else None  # it needs the corpus
        made[stage.name] = make(stage, stage.inputs(config), parents, context, before=before)
        if stage.name == "lengths":  # the corpus exists, and nothing is trained yet
            _check_rubrics(config, context, made["data"])
    return {stage.name: made[stage.name] for stage in every if not stage.internal}


def _check_rubrics(config: Config, context: RunContext, corpus_of: Artifact) -> None:
    """Note what own data lack for the judges, and refuse a rubric that asks about facts that no prompt has.

    Raises:
        RewardError: there is such a rubric.
    """
    wanted, corpus = evaluation_sources(config), data.read(corpus_of)
    asked = rubrics(config, wanted)
    for name, rubric in asked.items():
        if config.data.kind == "jsonl":
            trained = wanted[name]["kind"] == "local_judge"
            context.note("data", label_notes(corpus, rubric.names, trained=trained))
    for rubric in asked.values():
        require_facts(rubric, [prompt for split in corpus.prompts.values() for prompt in split])


def _log_precision(context: RunContext) -> None:
    """Log what the run computes with, and warn where that is slow."""
    device, units, threads = context.machine.device, processor_units(context.machine.device), torch.get_num_threads()
    log.info("%s in %s (%s), %d thread(s)", context.model_name, context.dtype, units, threads)
    if context.dtype == "bfloat16" and not has_bfloat16_units(device):
        log.warning(
            "model.dtype=bfloat16 is slow here: a product takes %.0f times as long as in float32; model.dtype=auto "
            "takes float32 on this processor",
            slowdown(device),
        )


def _log_forecast(config: Config, context: RunContext, made: Mapping[str, Artifact]) -> None:
    """Log how long the stages will take that are not in the store."""
    local = dict(of_kind(evaluation_sources(config), "local_judge"))
    items = sum(len(rubric.items) for rubric in rubrics(config, local).values())
    corpus, device = data.read(made["data"]), context.machine.device
    log.info(forecast.sentence(config, corpus, precision=context.dtype, device=device, items=items, made={*made}))


def _hand_over(folder: Path, made: Mapping[str, Artifact]) -> None:
    """Put what a person looks for into the run folder: responses with every score, and where the adapters are."""
    for stage, name in (("policy", rollouts.ROLLOUTS), ("evaluate", "responses.jsonl")):
        if stage in made and (made[stage].folder / name).is_file():  # learning from pairs leaves no responses
            with writing(folder / name) as unfinished:
                shutil.copyfile(made[stage].folder / name, unfinished)
    lines = [f"{artifact.stage}\t{artifact.folder}" for artifact in made.values()]
    write_text(folder / "artifacts.tsv", "\n".join(lines) + "\n")


def _summary(results: Mapping[str, Any]) -> dict[str, Any]:
    figures: dict[str, Any] = {"verdict": results["verdict"]["text"]}
    for name, variant in results["variants"].items():
        cells = {"total": variant["total"], **variant["sources"]}
        figures |= {f"test/{name}/{each}": cell["mean"] for each, cell in cells.items()}
        # the names of metrics stay as they are: W&B panels depend on them
        figures |= {f"test/{name}/unscored": variant["unscored"], f"test/{name}/replies": variant["n"]}
        if variant["violations"]:
            figures[f"test/{name}/violations"] = variant["violations"]["share"]
    return figures


def _table(evaluation: Artifact) -> tuple[list[str], list[list[Any]]]:
    rows = []
    for example in evaluation.read("examples.json")["chosen"]:
        for side in ("before", "after"):
            view = example["responses"][example[side]]
            rows.append(
                [example["why"], view["variant"], view["text"], view["total"], ", ".join(view["missing_sources"])]
            )
    return ["why", "variant", "response", "total", "missing_sources"], rows


def _print(
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
