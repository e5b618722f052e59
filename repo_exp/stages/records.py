"""Records that several stages read: the model, the optimizer, sampling; and the settings of the machine.

The functions here and the ``inputs`` of the stages are the places below the pipeline that read the configuration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import torch

from repo_exp.config.schema import Config, Model, Trainer
from repo_exp.models import tokens
from repo_exp.models.place import commit, files, resolve
from repo_exp.models.precision import resolve_precision
from repo_exp.stages.digests import Digests
from repo_exp.stages.positions import polar_rows, reads_pairs
from repo_exp.training.optimizer import OptimizerSettings


@dataclass(frozen=True, slots=True)
class Weights:
    """The weights and the tokenizer of a model.

    Attributes:
        kind: where they are read from.
        place: the folder, or the model's name on the hub.
        fingerprint: identifies them: the digest of every file, the commit on the hub, or shape and seed. An address
            contains this and not the place.
        file: the GGUF file in the folder, if they are in one.
    """

    kind: Literal["package", "hub", "folder", "random"]
    place: str
    fingerprint: Mapping[str, Any]
    file: str = ""


@dataclass(frozen=True, slots=True)
class LoraInputs:
    """The adapters of the roles that a stage trains."""

    rank: int
    alpha: float
    target_modules: str | list[str]
    last_layers: Mapping[str, int | None]


@dataclass(frozen=True, slots=True)
class ModelInputs:
    """The frozen model as a stage uses it, and the adapters that the stage makes on it.

    Attributes:
        tokens: version of the code that lays out prompts and responses.
    """

    weights: Weights
    dtype: Literal["float32", "bfloat16"]
    engine: str
    attention: str
    max_prompt_tokens: int
    lora: LoraInputs
    tokens: int = tokens.VERSION


@dataclass(frozen=True, slots=True)
class OptimizerInputs(OptimizerSettings):
    """AdamW and its schedule, with the learning rate of each role that a stage trains."""

    kind: str
    learning_rate: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class TrainingInputs:
    """What every stage that trains reads."""

    model: ModelInputs
    optimizer: OptimizerInputs
    seed: int


@dataclass(frozen=True, slots=True)
class SamplingInputs:
    """Which responses are sampled from a policy."""

    kind: str
    temperature: float
    max_new_tokens: int


@dataclass(frozen=True, slots=True)
class MachineSettings:
    """Settings that decide how fast a result is there, or whether there is one, and never what it is.

    Attributes:
        longest: tokens of the longest sequence of a forward pass; the model is tested with it once it is loaded.
        max_skipped_steps, max_gap, max_missing: bounds at which a stage stops instead of going on.
    """

    trainer: Trainer
    sampling_batch_size: int
    longest: int
    max_skipped_steps: int
    max_gap: float | None
    max_missing: float
    device: torch.device = field(compare=False)

    @property
    def microbatch_tokens(self) -> int:
        """Tokens, padding included, of a forward pass."""
        return self.trainer.microbatch_tokens


ROLES = ("policy", "value", "reward", "judge")


def model_inputs(config: Config, *roles: str) -> ModelInputs:
    """Return the model, with the adapters of these roles only."""
    model, device = config.model, device_for(config.trainer.accelerator)
    lora = model.lora.model_dump()
    lora["last_layers"] = {role: lora["last_layers"][role] for role in roles}
    return ModelInputs(
        weights=weights(config),
        dtype=resolve_precision(model.dtype, device),
        engine=model.engine,
        attention=model.attention,
        max_prompt_tokens=model.max_prompt_tokens,
        lora=LoraInputs(**lora),
    )


def training_inputs(
    config: Config, *roles: str, rates: tuple[str, ...] = (), seed: int | None = None
) -> TrainingInputs:
    """Return what a stage reads that trains these roles.

    Args:
        rates: keys of ``optimizer.learning_rate``; the roles' own where there are none.
        seed: of the training; None is the run's.
    """
    settings = config.optimizer.model_dump(exclude={"max_skipped_steps"})
    settings["learning_rate"] = {key: settings["learning_rate"][key] for key in rates or roles}
    return TrainingInputs(
        model_inputs(config, *roles), OptimizerInputs(**settings), config.seed if seed is None else seed
    )


def sampling_inputs(config: Config, *, temperature: float | None = None) -> SamplingInputs:
    """Return how responses are sampled; ``temperature`` takes the place of ``rollout.temperature``."""
    rollout = config.rollout
    chosen = rollout.temperature if temperature is None else temperature
    return SamplingInputs(rollout.kind, chosen, rollout.max_new_tokens)


def machine_settings(config: Config) -> MachineSettings:
    """Return what the configuration says of the machine."""
    return MachineSettings(
        trainer=config.trainer,
        sampling_batch_size=config.rollout.batch_size,
        longest=longest_sequence(config),
        max_skipped_steps=config.optimizer.max_skipped_steps,
        max_gap=config.rollout.max_gap,
        max_missing=config.reward.max_missing,
        device=device_for(config.trainer.accelerator),
    )


def longest_sequence(config: Config) -> int:
    """Return the tokens of the longest sequence of a forward pass; a response in the data may have twice the budget."""
    row = config.model.max_prompt_tokens + (1 + reads_pairs(config)) * config.rollout.max_new_tokens
    return max([row, *(tokens for _, tokens in polar_rows(config))])


def device_for(accelerator: str) -> torch.device:
    """Return the device that ``trainer.accelerator`` stands for: the first GPU where there is one, else the CPU."""
    if accelerator in ("gpu", "cuda", "auto") and torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if accelerator == "mps" else "cpu")


def weights(config: Config) -> Weights:
    """Return which weights the model has. They are identified once a run: the hub may move a branch meanwhile."""
    return _identified(config.model.model_dump_json(), config.seed, config.store)


@lru_cache(maxsize=8)
def _identified(model: str, seed: int, store: str) -> Weights:
    return identify(Model.model_validate_json(model), seed=seed, digest=Digests(Path(store)))


def forget_weights() -> None:
    """Identify weights afresh: another run begins."""
    _identified.cache_clear()


def identify(model: Model, *, seed: int, digest: Digests) -> Weights:
    """Return which weights a ``model`` section stands for: every file by its content, the hub by its commit.

    Raises:
        ModelError: the model is not there.
    """
    kind, place = resolve(model)
    if kind == "random":
        shape = model.random.model_dump() if model.random is not None else {}
        return Weights("random", place, {"kind": kind, "shape": shape, "seed": seed})
    if kind == "package":
        name = str(model.gguf)
        return Weights("package", place, {"kind": kind, "gguf": digest(Path(place) / name)}, file=name)
    if kind == "folder":
        found = {name: digest(path) for name, path in files(Path(place)).items()}
        return Weights("folder", place, {"kind": kind, "files": found})
    return Weights("hub", place, {"kind": kind, "hub": place, "commit": commit(place, model.revision)})
