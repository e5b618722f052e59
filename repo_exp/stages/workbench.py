"""The run context with the configuration, for stages that do not read a record of inputs yet."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from repo_exp.config.schema import Config
from repo_exp.models import tokens
from repo_exp.models.backbone import Backbone
from repo_exp.stages import fitting
from repo_exp.stages.records import ROLES, TrainingInputs, machine_settings, model_inputs, training_inputs
from repo_exp.stages.run_context import METRICS as METRICS
from repo_exp.stages.run_context import NOTES as NOTES
from repo_exp.stages.run_context import RunContext
from repo_exp.stages.stage import Stage
from repo_exp.stages.store import Artifact, Store
from repo_exp.tracking.tracker import Trackers
from repo_exp.training.base import Metrics, TrainingModule
from repo_exp.training.losses import Item, SupervisedLoss


class _Old(Stage[Mapping[str, Any]]):
    """A stage of which only name, version and inputs are known."""

    def __init__(self, name: str, version: int, build: Any, again: Any) -> None:
        self.name, self.version, self._build, self._again = name, version, build, again

    def inputs(self, config: Config) -> Mapping[str, Any]:
        raise NotImplementedError

    def build(self, inputs: Any, parents: Any, folder: Path, run: RunContext) -> Mapping[str, Any] | None:
        return self._build(folder)

    def incomplete(self, artifact: Artifact) -> bool:
        return self._again is not None and self._again(artifact)


class Workbench(RunContext):
    """One run, with its configuration."""

    def __init__(self, config: Config, *, folder: Path, trackers: Trackers) -> None:
        self.config = config
        super().__init__(
            folder=folder,
            trackers=trackers,
            store=Store(config.store),
            machine=machine_settings(config),
            model=model_inputs(config, *ROLES),
            name=config.model.name,
        )

    def make(self, stage: Any, *given: Any, **how: Any) -> Artifact:
        """Build an artifact or find it, by a stage or by its parts."""
        if isinstance(stage, Stage):
            return super().make(stage, *given, **how)
        old = _Old(stage, how["version"], given[0], how.get("again"))
        return super().make(old, how["inputs"], how["parents"])

    def model_inputs(self) -> dict[str, Any]:
        """Return what says which weights and adapters these are."""
        model = self.config.model
        return {
            "weights": self._model.inputs.weights.fingerprint,
            "tokens": tokens.VERSION,
            "dtype": self.precision,
            "engine": model.engine,
            "attention": model.attention,
            "max_context_tokens": model.max_context_tokens,
            "lora": model.lora.model_dump(),
        }

    def optimizer_inputs(self, *roles: str) -> dict[str, Any]:
        """Return the optimiser's settings with the learning rates of these roles only."""
        settings = self.config.optimizer.model_dump(exclude={"max_skipped_steps"})
        rates = settings.pop("learning_rate")
        return settings | {"learning_rate": {role: rates[role] for role in roles}}

    def sampling_inputs(self) -> dict[str, Any]:
        """Return what decides which replies are sampled: not the batch, nor how the learner weighs them afterwards."""
        return self.config.rollout.model_dump(exclude={"batch_size", "correction", "max_gap"})

    @property
    def backbone(self) -> Backbone:
        """The one backbone; loaded at the first use."""
        return self._model.backbone

    @property
    def precision(self) -> str:
        """The precision of the frozen weights."""
        return self._model.inputs.dtype

    @property
    def device(self) -> torch.device:
        """Where the backbone is."""
        return self.machine.device

    def role(self, role: str, artifact: Artifact, *, saved_as: str | None = None) -> Backbone:
        """Return the backbone with ``role`` as the artifact has it."""
        return self._model.role(role, artifact, saved_as=saved_as)

    def fresh(self, role: str, *, seed: int) -> Backbone:
        """Return the backbone with ``role`` as it is before any learning."""
        return self._model.fresh(role, seed=seed)

    def learnt(self, role: str) -> None:
        """Say that ``role`` no longer has the weights of an artifact."""
        self._model.changed(role)

    def teach(
        self,
        stage: str,
        objective: SupervisedLoss,
        items: Sequence[Item],
        *,
        epochs: int,
        batch_size: int,
        learning_rate: float,
        folder: Path,
        seed: int | None = None,
    ) -> None:
        """Teach the objective's role from examples.

        Args:
            seed: of the order of the examples; by default the run's.
        """
        names = {"reward": "reward_model"}
        rate = names.get(objective.role, objective.role)
        assert getattr(self.config.optimizer.learning_rate, rate) == learning_rate
        inputs = training_inputs(self.config, objective.role, rates=(rate,))
        fitting.fit_supervised(
            self,
            inputs if seed is None else replace(inputs, seed=seed),
            objective,
            items,
            stage=stage,
            epochs=epochs,
            batch_size=batch_size,
            folder=folder,
        )

    def fit(
        self,
        build: Callable[[Callable[[int, Metrics], None]], TrainingModule],
        *,
        folder: Path,
        usable: Callable[[int], str] = lambda done: "",
    ) -> TrainingModule:
        """Build a learner around a reporter, do its steps with progress and tracking, and keep its metrics."""
        inputs: TrainingInputs = training_inputs(self.config, "policy", "value")
        return fitting.fit(self, inputs, build, folder=folder, usable=usable)


def installed(*packages: str) -> dict[str, str]:
    """Return the versions of installed packages, for the report."""
    found = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
