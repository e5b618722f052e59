"""The types of a configuration. Values live in ``conf/``; a class here has no defaults.

Every section refuses keys that it does not know. What only the combination of sections can show is
in ``combinations.py``. A field's description is what ``docs/configuration.md`` says of it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=1, strict=True)]
CountOrZero = Annotated[int, Field(ge=0, strict=True)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1)]


class Section(BaseModel):
    """A part of the configuration: immutable, and closed to keys that it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class Task(Section):
    """What to do: run the pipeline, only check the configuration, or list the artifacts."""

    kind: Literal["run", "check", "artifacts"]


class Domain(Section):
    """Where tickets, partner and replies come from, and which rules and rubric go with them."""

    name: Name = Field(description="a folder of repo_exp/domains, or 'own' for your own data")
    rules: Name = Field(description="a folder of conf/rules, or a path to your own")
    rubric: Name = Field(description="a folder of conf/rubric, or a path to your own")


class Contexts(Section):
    """How many conversations to answer, by split."""

    train: Count
    development: Count
    test: Count


class GeneratedData(Section):
    """A corpus that the domain generates from the seed."""

    kind: Literal["generated"]
    scale: Annotated[float, Field(gt=0, le=10)] = Field(description="1.0 gives the paper's 6,632 training pairs")
    demonstrations: Count
    faulty_demonstrations: Fraction = Field(description="share of careless replies among the demonstrations")
    heldout_pairs: Count = Field(description="preference pairs per held-out split")
    judgements: Count = Field(description="labelled replies that the local judge learns from")
    heldout_judgements: Count
    contexts: Contexts


class JsonlData(Section):
    """Your own conversational preferences: one JSON object a line with prompt, chosen, rejected."""

    kind: Literal["jsonl"]
    path: Name
    skip_bad_lines: bool
    development: Annotated[float, Field(gt=0, lt=0.5)]
    test: Annotated[float, Field(gt=0, lt=0.5)]


class AdapterLayers(Section):
    """How many of the last decoder layers carry a role's adapter; null is all of them."""

    policy: Count | None
    value: Count | None
    reward: Count | None
    judge: Count | None


class Lora(Section):
    """The low-rank adapters that every role is made of."""

    rank: Count
    alpha: Positive
    target_modules: Name | list[Name]
    last_layers: AdapterLayers


class RandomModel(Section):
    """The shape of a model with random weights (nothing is read from anywhere)."""

    architecture: Literal["llama", "qwen3"]
    hidden_size: Count
    intermediate_size: Count
    layers: Count
    heads: Count
    key_value_heads: Count


class Model(Section):
    """The one frozen backbone under all roles."""

    name: Name
    source: Literal["auto", "package", "hub", "folder", "random"] = Field(
        description="auto: the package if it is installed, else the hub"
    )
    package: str | None = Field(description="module of the installed package that carries the GGUF file")
    gguf: str | None = Field(description="name of the GGUF file inside the package or folder")
    hub: str | None = Field(description="name on the hub")
    folder: str | None = Field(description="a local folder in the hub's format")
    random: RandomModel | None
    dtype: Literal["float32", "bfloat16"]
    attention: Literal["eager", "sdpa"]
    max_context_tokens: Count = Field(description="longer contexts lose their oldest turns")
    lora: Lora


class LearningRates(Section):
    """One learning rate a role."""

    sft: NonNegative
    reward_model: NonNegative
    judge: NonNegative
    policy: NonNegative
    value: NonNegative


class Optimizer(Section):
    """AdamW, the same for every stage but for the learning rate."""

    kind: Literal["adamw"]
    learning_rate: LearningRates
    betas: tuple[Fraction, Fraction]
    eps: Positive
    weight_decay: NonNegative
    clip_norm: Positive
    warmup_steps: CountOrZero
    schedule: Literal["constant", "linear", "cosine"]


class Budget(Section):
    """What an online method may spend. The same for all of them, so that they can be compared."""

    updates: Count = Field(description="rounds of sampling and learning")
    rollouts: Count = Field(description="replies sampled in each round")


class Sft(Section):
    """The supervised start of every policy."""

    epochs: Count
    batch_size: Count


class BradleyTerry(Section):
    """The reward model: trained on pairs, then calibrated on replies of the SFT policy."""

    kind: Literal["bradley_terry"]
    epochs: Count
    batch_size: Count
    centring: NonNegative = Field(description="weight of (r_chosen + r_rejected)^2, which ties the zero down")
    calibration_replies: Annotated[int, Field(ge=2)] = Field(description="SFT samples that fix its zero and its unit")


class LocalJudge(Section):
    """The judge adapter on the backbone reads each rubric question and answers yes or no."""

    kind: Literal["local"]
    epochs: Count
    batch_size: Count
    hard: bool = Field(description="count a yes above one half as a whole yes")


class OpenaiJudge(Section):
    """Any OpenAI-compatible endpoint. The key comes from the environment."""

    kind: Literal["openai"]
    model: Name
    base_url: str | None
    api_key_env: Name = Field(description="NAME of the environment variable that holds the key")
    concurrency: Count
    timeout: Positive = Field(description="seconds a call may take")
    retries: CountOrZero
    max_calls: Count | None = Field(description="budget of calls a run; null is no bound")
    temperature: NonNegative
    max_tokens: Count
    replay_only: bool = Field(description="answer from the cache alone, without a network")
    hard: bool


class NoJudge(Section):
    """No judge at all."""

    kind: Literal["none"]


class Reward(Section):
    """Which sources speak, how they join, and the bound n of the enhancement."""

    sources: Annotated[list[Literal["model", "judge", "rules"]], Field(min_length=1)]
    join: Name = Field(description="a rule of repo_exp/rewards/joins.py")
    n: Positive = Field(description="the enhancement bound: E = clip(E_judge + E_func, -n, n)")
    drop_rules: list[Name]
    rule_points: dict[str, float]
    drop_items: list[Name]
    item_points: dict[str, float]


class Rollout(Section):
    """How replies are sampled: the training and the evaluation alike."""

    kind: Literal["torch"]
    temperature: Positive
    max_new_tokens: Count
    batch_size: Count


class Trainer(Section):
    """The machine: what Lightning is told, and how work is cut to fit."""

    accelerator: Name
    devices: Count | Name
    strategy: Name
    threads: Count | None = Field(description="CPU threads; null leaves torch's choice")
    microbatch: Count = Field(description="sequences that pass through the backbone at once while learning")
    checkpoint_every: Count = Field(description="optimiser steps or updates between two checkpoints")


class Evaluation(Section):
    """What is asked of the policies at the end, and how sure the answer must be."""

    temperature: Positive
    resamples: Annotated[int, Field(ge=100)]
    confidence: Annotated[float, Field(gt=0.5, lt=1)]
    capability_every: CountOrZero = Field(description="updates between two capability scores; 0 is never")
    capability_contexts: Count


class Logger(Section):
    """Where metrics go besides the run folder."""

    kind: Literal["wandb", "jsonl"]
    project: Name
    entity: str | None
    group: str | None
    tags: list[str]


class Config(Section):
    """One experiment, whole."""

    seed: CountOrZero
    store: Name = Field(description="folder of the artifacts, shared by all runs")
    task: Task
    algorithm: dict[str, object] = Field(description="typed by the Options of repo_exp/algorithms/<kind>.py")
    reward: Reward
    domain: Domain
    data: Annotated[GeneratedData | JsonlData, Field(discriminator="kind")]
    model: Model
    optimizer: Optimizer
    budget: Budget
    sft: Sft
    reward_model: Annotated[BradleyTerry, Field()]
    judge: Annotated[LocalJudge | OpenaiJudge | NoJudge, Field(discriminator="kind")]
    rollout: Rollout
    trainer: Trainer
    evaluation: Evaluation
    logger: Logger
