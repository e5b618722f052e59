"""The one backbone of a run: loaded at the first use, and which artifact's weights each of its roles holds.

A run that finds all its artifacts in the store never loads it.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from repo_exp.errors import ModelError, Problem
from repo_exp.models.backbone import Backbone
from repo_exp.models.dequantise import dequantise
from repo_exp.models.finite import not_finite
from repo_exp.models.lora import Lora
from repo_exp.models.probe import settle
from repo_exp.models.source import RandomShape, random_model, read
from repo_exp.stages.inputs import as_json
from repo_exp.stages.records import MachineSettings, ModelInputs, Weights
from repo_exp.stages.store import Artifact, Store

log = logging.getLogger(__name__)


class LoadedModel:
    """The backbone with its roles.

    Args:
        inputs: the model, with the adapters of all roles.
        name: of the model, for messages.
    """

    def __init__(self, inputs: ModelInputs, *, name: str, store: Store, machine: MachineSettings) -> None:
        self.inputs, self.name, self.store, self.machine = inputs, name, store, machine
        self._backbone: Backbone | None = None
        self._holds: dict[str, str] = {}  # role -> address of the artifact whose weights it has

    @property
    def backbone(self) -> Backbone:
        """The backbone; loaded at the first use.

        Raises:
            ModelError: it cannot be read or run, or its weights are not finite.
        """
        if self._backbone is None:
            start, inputs = time.monotonic(), self.inputs
            weights, tokenizer = self._read()
            if broken := not_finite(dict(weights.named_parameters())):
                place = inputs.weights.place
                found = f"{len(broken)} weights of {place} are not finite, the first is {broken[0]}"
                problem = Problem("model", found, "get its files again, or another model")
                raise ModelError("the model is broken", [problem])
            self._backbone = Backbone(
                weights,
                tokenizer,
                lora=Lora(**as_json(inputs.lora)),
                max_prompt_tokens=inputs.max_prompt_tokens,
                engine=inputs.engine,
            ).to(self.machine.device)
            log.info("backbone: %s from %s in %.0f s", self.name, inputs.weights.kind, time.monotonic() - start)
            settle(self._backbone, longest=self.machine.longest)
        return self._backbone

    def role(self, role: str, artifact: Artifact, *, saved_as: str | None = None) -> Backbone:
        """Return the backbone with ``role`` as the artifact has it; its file is read only if it is not so already."""
        if self._holds.get(role) != artifact.address:
            self.load(role, artifact.folder / (saved_as or role))
            self._holds[role] = artifact.address
        return self.backbone

    def load(self, role: str, folder: Path) -> Backbone:
        """Return the backbone with ``role`` as a folder has it."""
        self.backbone.load(role, folder)
        self._holds.pop(role, None)
        return self.backbone

    def fresh(self, role: str, *, seed: int) -> Backbone:
        """Return the backbone with ``role`` as it is before any training."""
        self.backbone.add(role, seed=seed)
        self._holds.pop(role, None)
        return self.backbone

    def changed(self, role: str) -> None:
        """Take note that ``role`` no longer has the weights of an artifact."""
        self._holds.pop(role, None)

    def _read(self) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        weights, attention = self.inputs.weights, self.inputs.attention
        dtype = getattr(torch, self.inputs.dtype)
        if weights.kind == "random":
            shape, seed = weights.fingerprint["shape"], weights.fingerprint["seed"]
            return random_model(RandomShape(**shape), dtype=dtype, attention=attention, seed=seed)
        place = str(self._dequantised(weights, dtype).folder) if weights.kind == "package" else weights.place
        return read(place, dtype=dtype, attention=attention, revision=weights.fingerprint.get("commit"))

    def _dequantised(self, weights: Weights, dtype: torch.dtype) -> Artifact:
        return self.store.make(
            "backbone",
            version=1,
            inputs={"weights": weights.fingerprint, "dtype": self.inputs.dtype},
            parents={},
            build=lambda folder: dequantise(Path(weights.place), weights.file, dtype=dtype, into=folder),
        )
