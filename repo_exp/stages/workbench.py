"""What every stage needs at hand: the configuration, the store, the trackers, and the backbone when it is wanted.

The backbone is loaded the first time a stage asks for it; a run that finds all its artifacts never does.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import torch

from repo_exp import stopping
from repo_exp.config.schema import Config, Polar
from repo_exp.errors import ModelError, NotFiniteError, Problem
from repo_exp.learner.base import Learner, Metrics
from repo_exp.learner.fit import fit
from repo_exp.learner.objectives import Objective
from repo_exp.learner.progress import Heartbeat, StageProgress
from repo_exp.learner.supervised import SupervisedLearner
from repo_exp.models import tokens
from repo_exp.models.backbone import Backbone
from repo_exp.models.finite import not_finite
from repo_exp.models.place import commit, files, resolve
from repo_exp.models.precision import resolve_precision
from repo_exp.models.probe import settle
from repo_exp.models.source import dequantise, random_model, read
from repo_exp.stages.positions import reads_pairs
from repo_exp.stages.store import Artifact, Store, write_json
from repo_exp.tracking.tracker import Trackers

log = logging.getLogger(__name__)
METRICS = "metrics.json"
NOTES = "notes.json"


class Workbench:
    """One run's belongings, handed from stage to stage."""

    def __init__(self, config: Config, *, folder: Path, trackers: Trackers) -> None:
        self.config, self.folder, self.trackers = config, folder, trackers
        self.store = Store(config.store)
        self.made: list[Artifact] = []
        self.before_work: Callable[[], None] | None = None  # called once, before the first stage that is built
        self.notes: list[str] = []  # what a reader of the results has to know, a sentence each
        self._backbone: Backbone | None = None
        self._holds: dict[str, str] = {}  # role -> address of the artifact whose weights it has
        self._weights: Artifact | None = None

    # -- artifacts -------------------------------------------------------------------------------------

    def make(
        self,
        stage: str,
        build: Callable[[Path], Mapping[str, Any] | None],
        *,
        version: int,
        inputs: Mapping[str, Any],
        parents: Mapping[str, Artifact],
        again: Callable[[Artifact], bool] | None = None,
    ) -> Artifact:
        """Make an artifact or find it; its metrics reach the trackers either way.

        Raises:
            NotFiniteError: something in it is not finite, so that it is not made; names the stage.
        """

        def named(folder: Path) -> Mapping[str, Any] | None:
            if self.before_work is not None:
                before_work, self.before_work = self.before_work, None
                before_work()
            try:
                with Heartbeat(stage):
                    return build(folder)
            except NotFiniteError as error:
                raise error.during(f"the stage {stage} stops") from error

        artifact = self.store.make(stage, version=version, inputs=inputs, parents=parents, build=named, again=again)
        self.made.append(artifact)
        stopping.kept("")  # of a stage that goes on; this one is finished
        if artifact.reused:
            log.info("%s: from the store (%s)", stage, artifact.address)
            if (artifact.folder / METRICS).is_file():
                self._replay(stage, artifact.read(METRICS))
        else:
            log.info("%s: done in %.0f s (%s)", stage, artifact.record["seconds"], artifact.address)
        if (artifact.folder / NOTES).is_file():
            self.note(stage, artifact.read(NOTES))
        return artifact

    def note(self, stage: str, notes: Sequence[str]) -> None:
        """Say what a reader of the results has to know: in the log, and in the report."""
        for note in notes:
            log.warning("%s: %s", stage, note)
            self.notes.append(f"{stage}: {note}")

    def _replay(self, stage: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Report steps that an earlier run did, so that this one's metrics are whole."""
        for row in rows:
            figures = {name: math.nan if value is None else value for name, value in row.items() if name != "step"}
            self.trackers.log(stage, row["step"], figures)

    def model_inputs(self) -> dict[str, Any]:
        """Return what says which weights and adapters these are."""
        model = self.config.model
        return {
            "weights": self._identity,
            "tokens": tokens.VERSION,
            "dtype": self.precision,
            "engine": model.engine,
            "attention": model.attention,
            "max_context_tokens": model.max_context_tokens,
            "lora": model.lora.model_dump(),
        }

    def optimizer_inputs(self, *roles: str) -> dict[str, Any]:
        """Return the optimiser's settings with the learning rates of these roles only.

        How many steps may be skipped decides whether an artifact is made, not what is in it.
        """
        settings = self.config.optimizer.model_dump(exclude={"max_skipped_steps"})
        rates = settings.pop("learning_rate")
        return settings | {"learning_rate": {role: rates[role] for role in roles}}

    def sampling_inputs(self) -> dict[str, Any]:
        """Return what decides which replies are sampled: not the batch, nor how the learner weighs them afterwards."""
        return self.config.rollout.model_dump(exclude={"batch_size", "correction", "max_gap"})

    # -- the backbone ----------------------------------------------------------------------------------

    @property
    def backbone(self) -> Backbone:
        """The one backbone; loaded at the first use."""
        if self._backbone is None:
            start, model = time.monotonic(), self.config.model
            dtype = getattr(torch, self.precision)
            kind, place = resolve(model.model_dump())
            if kind == "random":
                weights, tokenizer = random_model(
                    model.random.model_dump(), dtype=dtype, attention=model.attention, seed=self.config.seed
                )
            else:
                source = self._dequantised(place, dtype).folder if kind == "package" else place
                weights, tokenizer = read(
                    source, dtype=dtype, attention=model.attention, revision=self._identity.get("commit")
                )
            if broken := not_finite(dict(weights.named_parameters())):
                found = f"{len(broken)} weights of {place} are not finite, the first is {broken[0]}"
                problem = Problem("model", found, "get its files again, or another model")
                raise ModelError("the model is broken", [problem])
            self._backbone = Backbone(
                weights,
                tokenizer,
                lora=model.lora.model_dump(),
                max_context_tokens=model.max_context_tokens,
                engine=model.engine,
            ).to(self.device)
            log.info("backbone: %s from %s in %.0f s", model.name, kind, time.monotonic() - start)
            settle(self._backbone, longest=self.longest)
        return self._backbone

    @property
    def precision(self) -> Literal["float32", "bfloat16"]:
        """The precision of the frozen weights: ``model.dtype``, with ``auto`` resolved for the device."""
        return resolve_precision(self.config.model.dtype, self.device)

    @property
    def longest(self) -> int:
        """The tokens of the longest sequence that a pass can be handed; replies in the data may be twice the budget."""
        told, pairs = self.config, reads_pairs(self.config)
        polar = told.reward_model.max_tokens if pairs and isinstance(told.reward_model, Polar) else 0
        return max(told.model.max_context_tokens + (1 + pairs) * told.rollout.max_new_tokens, polar)

    @property
    def device(self) -> torch.device:
        """Where the backbone lives: the first accelerator that the configuration asks for, else the CPU."""
        wanted = self.config.trainer.accelerator
        if wanted in ("gpu", "cuda", "auto") and torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if wanted == "mps" else "cpu")

    def role(self, role: str, artifact: Artifact, *, saved_as: str | None = None) -> Backbone:
        """Return the backbone with ``role`` as the artifact has it; read only if it is not so already."""
        if self._holds.get(role) != artifact.address:
            self.backbone.load(role, artifact.folder / (saved_as or role))
            self._holds[role] = artifact.address
        return self.backbone

    def fresh(self, role: str, *, seed: int) -> Backbone:
        """Return the backbone with ``role`` as it is before any learning."""
        self.backbone.add(role, seed=seed)
        self._holds.pop(role, None)
        return self.backbone

    def learnt(self, role: str) -> None:
        """Say that ``role`` no longer has the weights of an artifact."""
        self._holds.pop(role, None)

    @cached_property
    def _identity(self) -> dict[str, Any]:
        """What the weights and the tokenizer are read from: every file by its content, the hub by its commit."""
        model = self.config.model
        kind, place = resolve(model.model_dump())
        if kind == "random":
            return {"kind": kind, "shape": model.random.model_dump(), "seed": self.config.seed}
        if kind == "package":
            return {"kind": kind, "gguf": self.store.digest(Path(place) / str(model.gguf))}
        if kind == "folder":
            return {"kind": kind, "files": {name: self.store.digest(p) for name, p in files(Path(place)).items()}}
        return {"kind": kind, "hub": place, "commit": commit(place, model.revision)}

    def _dequantised(self, place: str, dtype: torch.dtype) -> Artifact:
        model = self.config.model
        return self.store.make(
            "backbone",
            version=1,
            inputs={"weights": self._identity, "dtype": self.precision},
            parents={},
            build=lambda folder: dequantise(Path(place), str(model.gguf), dtype=dtype, into=folder),
        )

    # -- learning --------------------------------------------------------------------------------------

    def teach(
        self,
        stage: str,
        objective: Objective,
        items: Sequence[Any],
        *,
        epochs: int,
        batch_size: int,
        learning_rate: float,
        folder: Path,
    ) -> None:
        """Teach the objective's role from examples: how SFT, the reward model and the judge learn."""
        config = self.config
        self.fit(
            lambda report: SupervisedLearner(
                self.backbone,
                objective,
                items,
                epochs=epochs,
                batch_size=batch_size,
                microbatch_tokens=config.trainer.microbatch_tokens,
                stage=stage,
                rates={objective.role: learning_rate},
                optimizer=config.optimizer,
                seed=config.seed,
                report=report,
            ),
            folder=folder,
        )

    def fit(
        self,
        build: Callable[[Callable[[int, Metrics], None]], Learner],
        *,
        folder: Path,
        usable: Callable[[int], str] = lambda done: "",
    ) -> Learner:
        """Build a learner around a reporter, do its steps with progress and tracking, and keep its metrics.

        Args:
            build: makes the learner.
            folder: of the artifact in the making, with the checkpoints.
            usable: says what is amiss with a checkpoint of so many steps; empty if nothing is.
        """
        shown: list[StageProgress] = []

        def report(step: int, metrics: Metrics) -> None:
            self.trackers.log(learner.stage, step, metrics)
            shown[0].update(step, metrics)

        learner = build(report)
        with StageProgress(learner.stage, learner.steps) as progress:
            shown.append(progress)
            fit(learner, self.config.trainer, folder=folder, usable=usable, replay=partial(self._replay, learner.stage))
        self.backbone.to(self.device)  # Lightning leaves it on the CPU
        for role in learner.rates:
            self.learnt(role)
        write_json(folder / METRICS, learner.history)
        return learner


def installed(*packages: str) -> dict[str, str]:
    """Return the versions of installed packages, for the report."""
    found = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
