"""What one run carries from stage to stage: the store, the trackers, the artifacts, the notes, the machine's settings.

A stage's ``build`` gets it besides its inputs. It knows no configuration.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from repo_exp import stopping
from repo_exp.errors import NotFiniteError
from repo_exp.models.tokens import ChatTokenizer
from repo_exp.stages.backbone import LoadedModel
from repo_exp.stages.records import MachineSettings, ModelInputs, Weights
from repo_exp.stages.stage import I, Stage, as_json
from repo_exp.stages.store import Artifact, Store
from repo_exp.tracking.tracker import Trackers
from repo_exp.training.callbacks.progress import Heartbeat

log = logging.getLogger(__name__)
METRICS = "metrics.json"
NOTES = "notes.json"
T = TypeVar("T")


class RunContext:
    """One run.

    Args:
        folder: the run folder.
        store: of the artifacts.
        model: the backbone, with the adapters of all roles.
        name: of the model, for messages.

    Attributes:
        made: the artifacts so far, by the name of their stage.
        notes: what a reader of the results should know, a sentence each.
        before_first_build: called once, before the first stage that is built and not found.
    """

    def __init__(
        self, *, folder: Path, trackers: Trackers, store: Store, machine: MachineSettings, model: ModelInputs, name: str
    ) -> None:
        self.folder, self.trackers, self.store, self.machine = folder, trackers, store, machine
        self.model_name, self.dtype = name, model.dtype
        self.made: dict[str, Artifact] = {}
        self.notes: list[str] = []
        self.before_first_build: Callable[[], None] | None = None
        self._model = LoadedModel(model, name=name, store=store, machine=machine)
        self._shared: dict[Hashable, Any] = {}

    def model(self, inputs: ModelInputs) -> LoadedModel:
        """Return the model of a stage's inputs."""
        mine = self._model.inputs
        if (inputs.weights, inputs.dtype, inputs.engine) != (mine.weights, mine.dtype, mine.engine):
            raise ValueError("a run has one model, and the inputs of a stage name another")
        return self._model

    def tokens(self, weights: Weights, *, max_prompt_tokens: int) -> ChatTokenizer:
        """Return the tokenizer of a stage's inputs, with its limit."""
        mine = self._model.inputs
        if (weights, max_prompt_tokens) != (mine.weights, mine.max_prompt_tokens):
            raise ValueError("a run has one model, and the inputs of a stage name another")
        return self._model.backbone.tokens

    def once(self, key: Hashable, build: Callable[[], T]) -> T:
        """Return what ``build`` returned when it was called for this key in this run; it is called once."""
        if key not in self._shared:
            self._shared[key] = build()
        shared: T = self._shared[key]
        return shared

    def make(self, stage: Stage[I], inputs: I, parents: Mapping[str, Artifact]) -> Artifact:
        """Build a stage's artifact or find it; its metrics reach the trackers either way.

        Raises:
            NotFiniteError: something in it is not finite, so that it is not made; names the stage.
            StoreError, WriteError: see :meth:`Store.make`.
        """

        def build(folder: Path) -> Mapping[str, Any] | None:
            if self.before_first_build is not None:
                before_first_build, self.before_first_build = self.before_first_build, None
                before_first_build()
            try:
                with Heartbeat(stage.name):
                    return stage.build(inputs, parents, folder, self)
            except NotFiniteError as error:
                raise error.during(f"the stage {stage.name} stops") from error

        artifact = self.store.make(
            stage.name,
            version=stage.version,
            inputs=as_json(inputs),
            parents=parents,
            build=build,
            again=stage.incomplete,
        )
        stopping.kept("")  # of a stage that goes on; this one is finished
        if artifact.reused:
            log.info("%s: from the store (%s)", stage.name, artifact.address)
            if (artifact.folder / METRICS).is_file():
                self.replay(stage.name, artifact.read(METRICS))
        else:
            log.info("%s: done in %.0f s (%s)", stage.name, artifact.record["seconds"], artifact.address)
        if (artifact.folder / NOTES).is_file():
            self.note(stage.name, artifact.read(NOTES))
        self.made[stage.name] = artifact
        stage.check(inputs, artifact)
        return artifact

    def note(self, stage: str, notes: Sequence[str]) -> None:
        """Say what a reader of the results should know: in the log, and in the report."""
        for note in notes:
            log.warning("%s: %s", stage, note)
            self.notes.append(f"{stage}: {note}")

    def replay(self, stage: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Report steps that an earlier run did, so that this run's metrics are complete."""
        for row in rows:
            metrics = {name: math.nan if value is None else value for name, value in row.items() if name != "step"}
            self.trackers.log(stage, row["step"], metrics)
