"""What a run passes from stage to stage: the store, the trackers, the model, the notes, the machine's settings.

A stage's ``build`` gets it besides its inputs. It does not contain the configuration.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from repo_exp.models.tokens import ChatTokenizer
from repo_exp.stages.backbone import LoadedModel
from repo_exp.stages.records import MachineSettings, ModelInputs, Weights
from repo_exp.stages.store import Store
from repo_exp.tracking.tracker import Trackers

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
        notes: for readers of the results, a sentence each.
    """

    def __init__(
        self, *, folder: Path, trackers: Trackers, store: Store, machine: MachineSettings, model: ModelInputs, name: str
    ) -> None:
        self.folder, self.trackers, self.store, self.machine = folder, trackers, store, machine
        self.model_name, self.dtype = name, model.dtype
        self.notes: list[str] = []
        self._model = LoadedModel(model, name=name, store=store, machine=machine)
        self._shared: dict[Hashable, Any] = {}

    def model(self, inputs: ModelInputs) -> LoadedModel:
        """Return the model of a stage's inputs.

        Raises:
            ValueError: it is not the model of this run.
        """
        mine = self._model.inputs
        if (inputs.weights, inputs.dtype, inputs.engine) != (mine.weights, mine.dtype, mine.engine):
            raise ValueError("a run has one model, and the inputs of a stage name another")
        return self._model

    def tokens(self, weights: Weights, *, max_prompt_tokens: int) -> ChatTokenizer:
        """Return the tokenizer of a stage's inputs, with its limit.

        Raises:
            ValueError: it is not the model of this run, or has another limit.
        """
        mine = self._model.inputs
        if (weights, max_prompt_tokens) != (mine.weights, mine.max_prompt_tokens):
            raise ValueError("a run has one model, and the inputs of a stage name another")
        return self._model.backbone.tokens

    def once(self, key: Hashable, build: Callable[[], T]) -> T:
        """Return ``build()``, which is called once per run for each key."""
        if key not in self._shared:
            self._shared[key] = build()
        shared: T = self._shared[key]
        return shared

    def note(self, stage: str, notes: Sequence[str]) -> None:
        """Add notes for readers of the results, in the log and in the report."""
        for note in notes:
            log.warning("%s: %s", stage, note)
            self.notes.append(f"{stage}: {note}")

    def replay(self, stage: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Report the steps of an earlier run, so that this run's metrics are complete."""
        for row in rows:
            metrics = {name: math.nan if value is None else value for name, value in row.items() if name != "step"}
            self.trackers.log(stage, row["step"], metrics)
