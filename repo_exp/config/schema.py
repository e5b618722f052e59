"""The types of a configuration. Values live in ``conf/``; a class here has no defaults.

Every section refuses keys that it does not know. What only the combination of sections can show is
in ``combinations.py``. A field's description is what ``docs/configuration.md`` says of it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny

from repo_exp.domains.interface import DomainOptions
from repo_exp.domains.own_data.options import JsonlOptions

Count = Annotated[int, Field(ge=1, strict=True)]
CountOrZero = Annotated[int, Field(ge=0, strict=True)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
# AdamW moves every weight by about the rate in a step: above 1 nothing is trained, and 1e30 overflows
LearningRate = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Momentum = Annotated[float, Field(ge=0, lt=1, strict=True)]
Name = Annotated[str, Field(min_length=1)]


class Section(BaseModel):
    """A part of the configuration: immutable, closed to keys that it does not know, and strict about types."""

    # Strict: true is not 1.0, and "1" is not 1. A whole number still serves as a float.
    # No number of a configuration is NaN or infinite.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, protected_namespaces=(), allow_inf_nan=False)


class Task(Section):
    """The task: run the pipeline, only check the configuration, list the artifacts, or profile an update."""

    kind: Literal["run", "check", "artifacts", "profile"] = Field(description="what to do")


class Domain(Section):
    """The domain, which generates prompts and plays the other side, with its rules and rubric."""

    name: Name = Field(description="a folder of repo_exp/domains, or 'own' for your own data")
    rules: Name = Field(description="a folder of conf/rules, or a path to your own")
    rubric: Name = Field(description="a folder of conf/rubric, or a path to your own")


class AdapterLayers(Section):
    """How many of the last decoder layers carry a role's adapter; null is all of them."""

    policy: Count | None
    value: Count | None
    reward: Count | None
    judge: Count | None


class Lora(Section):
    """The low-rank adapters: one for each role."""

    rank: Annotated[int, Field(ge=1, le=8192)] = Field(description="width of the two low-rank factors")
    alpha: Positive = Field(description="the update is scaled by alpha / rank")
    target_modules: Name | Annotated[list[Name], Field(min_length=1)] = Field(
        description="all-linear, or the names of the layers to adapt"
    )
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
    """The frozen backbone, shared by all roles."""

    name: Name = Field(description="its name in reports")
    source: Literal["auto", "package", "hub", "folder", "random"] = Field(
        description="auto: the package if it is installed, else the hub"
    )
    package: Name | None = Field(description="module of the installed package that carries the GGUF file")
    gguf: Name | None = Field(description="name of the GGUF file inside the package or folder")
    hub: Name | None = Field(description="the model's name on the hub")
    revision: Name | None = Field(description="branch, tag or commit of the hub's model; null is its main branch")
    folder: Name | None = Field(description="a local folder in the hub's format")
    random: RandomModel | None = Field(description="the shape, where source is random")
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        description="of the frozen weights; auto: bfloat16 if the CPU or accelerator supports it, else float32"
    )
    engine: Literal["auto", "own", "transformers"] = Field(
        description="the forward implementation: own is faster (Llama, Qwen2, Qwen3), transformers runs any model"
    )
    attention: Literal["eager", "sdpa"] = Field(description="the attention implementation of transformers")
    max_prompt_tokens: Count = Field(description="longer prompts are cut: the oldest turns are left out")
    lora: Lora


class LearningRates(Section):
    """One learning rate a role."""

    sft: LearningRate
    reward_model: LearningRate
    judge: LearningRate
    policy: LearningRate
    value: LearningRate


class Optimizer(Section):
    """AdamW: the same in every stage, but for the learning rate."""

    kind: Literal["adamw"]
    learning_rate: LearningRates
    # The only tuple: YAML has lists, which a strict tuple would refuse.
    betas: Annotated[tuple[Momentum, Momentum], Field(strict=False)] = Field(description="decay of the two moments")
    eps: Positive
    weight_decay: NonNegative
    clip_norm: Positive = Field(description="gradients with a larger norm are scaled down to it")
    warmup_steps: CountOrZero = Field(description="steps in which the learning rate rises from 0 to its value")
    schedule: Literal["constant", "linear", "cosine"] = Field(description="the learning rate after the warm-up")
    max_skipped_steps: CountOrZero = Field(
        description="steps with a loss or gradient that is not finite, which a stage skips before it stops"
    )


class Budget(Section):
    """The budget of a method: the same for all, so that they can be compared."""

    updates: Count = Field(
        description="rounds of sampling and training; optimiser steps of a method that is trained on pairs"
    )
    rollouts: Count = Field(description="responses sampled for an update; or half as many pairs in a step")


class Sft(Section):
    """Supervised fine-tuning, from which every policy starts."""

    epochs: Count = Field(description="passes over the demonstrations")
    batch_size: Count = Field(description="demonstrations in an optimiser step")


class BradleyTerry(Section):
    """The reward model: trained on pairs, then calibrated on responses of the SFT policy."""

    kind: Literal["bradley_terry"]
    epochs: Count = Field(description="passes over the pairs")
    batch_size: Count = Field(description="pairs in an optimiser step")
    centring: NonNegative = Field(description="weight of (r_chosen + r_rejected)^2, which centres the scores at 0")
    calibration_responses: Annotated[int, Field(ge=2)] = Field(
        description="samples of the SFT policy that the calibration is computed from"
    )


class Rrm(BradleyTerry):
    """Bradley-Terry on the original pairs and on pairs across prompts."""

    kind: Literal["rrm"]  # type: ignore[assignment]
    threshold: Fraction = Field(description="augmented pairs are kept if the error of the first model is at least this")
    augmented_pairs: CountOrZero | None = Field(description="how many of the kept pairs are used; null is all")
    tie_weight: NonNegative = Field(description="weight of a tie in the loss; a pair with a winner has 1")


class Polar(Section):
    """A reward model that compares with a reference: trained to distinguish policies, then on preferences."""

    kind: Literal["polar"]
    epochs: Count = Field(description="passes over the pairs")
    batch_size: Count = Field(description="pairs in an optimiser step")
    calibration_responses: Annotated[int, Field(ge=2)] = Field(
        description="samples of the SFT policy that the calibration is computed from"
    )
    pretraining_prompts: Count = Field(
        description="prompts to which two policies of the pool respond, one of them twice"
    )
    pretraining_epochs: Count = Field(description="passes over these prompts")
    adapters: Annotated[list[NonNegative], Field(min_length=1)] = Field(
        description="the pool's shares of the SFT adapter: 0 is the base model, 1 the SFT policy"
    )
    temperatures: Annotated[list[Positive], Field(min_length=1)] = Field(
        description="the pool's temperatures; each is combined with every share"
    )
    max_tokens: Count = Field(description="of both trajectories together; a longer prompt loses its beginning")


class LocalJudge(Section):
    """The judge adapter on the backbone reads each rubric question and answers yes or no."""

    kind: Literal["local"]
    epochs: Count = Field(description="passes over the labelled responses")
    batch_size: Count = Field(description="prompts with their labelled responses in an optimiser step")
    turns: Count | None = Field(description="how many of the last turns it reads; null is all")
    hard: bool = Field(description="a probability of yes above 0.5 counts as 1, others as 0")


class OpenaiJudge(Section):
    """Any OpenAI-compatible endpoint. The key comes from the environment."""

    kind: Literal["openai"]
    model: Name = Field(description="the name of the model at the endpoint")
    base_url: Name | None = Field(description="address of the endpoint; null is OpenAI")
    api_key_env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] = Field(
        description="NAME of the environment variable that holds the key"
    )
    concurrency: Count = Field(description="concurrent calls")
    timeout: Positive = Field(description="the longest time of a call, in seconds")
    retries: CountOrZero = Field(description="retries after a failure, with growing pauses")
    max_calls: Count | None = Field(description="the most calls in a run; null is no limit")
    temperature: NonNegative
    max_tokens: Count = Field(description="the most tokens of a verdict")
    replay_only: bool = Field(description="take verdicts from the cache alone, without a network")
    hard: bool = Field(description="makes no difference here: verdicts are yes or no")


class NoJudge(Section):
    """No judge."""

    kind: Literal["none"]


RewardModelSection = Annotated[BradleyTerry | Rrm | Polar, Field(discriminator="kind")]
JudgeSection = Annotated[LocalJudge | OpenaiJudge | NoJudge, Field(discriminator="kind")]


class Gate(Section):
    """The condition under which the combiner `gated` uses the weighted sum."""

    source: Name = Field(description="the source whose score opens the gate")
    threshold: Finite = Field(description="the gate is open at this score or above")
    otherwise: Finite = Field(description="the total if the gate is closed")


class Reward(Section):
    """The reward sources, how they are combined, and what happens where scores are missing."""

    sources: dict[str, dict[str, object]] = Field(
        description="name: {kind, ...} for each source, or a list of names and kinds; null leaves a source out"
    )
    combine: Name = Field(description="a file of repo_exp/rewards/combine")
    n: Positive = Field(description="the bound of the enhancement: E = clip(sum of points, -n, n)")
    weights: dict[str, Finite] = Field(
        description="weight of each source, for combiners that use weights; 1 by default"
    )
    gate: Gate
    order: list[Name] = Field(description="sources by importance, for the combiner lexicographic; the first decides")
    tolerance: dict[str, NonNegative] = Field(
        description="difference up to which two scores of a source are equal for the combiner lexicographic, in the "
        "source's unit; 0 by default"
    )
    options: dict[str, object] = Field(description="options of a combiner that are not keys of `reward`")
    max_missing: Fraction = Field(
        description="share of an update's responses that a source may leave without a score (fewer than 8 are counted "
        "together with those of the updates before); above it training stops before this update"
    )
    drop_rules: list[Name] = Field(description="rules of domain.rules to leave out, by name")
    rule_points: dict[str, Finite] = Field(description="other points for single rules: reward.rule_points.NAME=-20")
    drop_items: list[Name] = Field(description="rubric items of domain.rubric to leave out, by name")
    item_points: dict[str, Finite] = Field(description="other points for single rubric items")


class Correction(Section):
    """Importance weights for tokens whose probability differs between sampler and training: w = training / sampler."""

    kind: Literal["none", "truncated", "masked"] = Field(
        description="truncated: a token's loss is multiplied with min(w, cap); masked: with w, and left out beyond cap"
    )
    cap: Annotated[float, Field(ge=1, allow_inf_nan=False)] = Field(
        description="the largest w; masked leaves out tokens with w below 1 / cap as well"
    )


class Rollout(Section):
    """How responses are sampled, in training and in the evaluation."""

    kind: Literal["torch"]
    temperature: Positive
    max_new_tokens: Count = Field(description="the most tokens of a response; a longer one is cut off, and unfinished")
    batch_size: Count = Field(description="responses sampled in one batch")
    correction: Correction
    max_gap: Positive | None = Field(
        description="largest mean difference of log-probabilities between sampler and training, in nats; above it the "
        "run stops; null sets it by model.dtype"
    )


class Trainer(Section):
    """The machine: Lightning's settings, and how work is split to fit into memory."""

    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"]
    devices: Count | Literal["auto"] = Field(description="1, or auto if the machine has one: a run uses one device")
    strategy: Name = Field(description="auto; others are not supported, since a run uses one device")
    threads: Annotated[int, Field(ge=1, le=1024)] | None = Field(description="CPU threads; null is torch's default")
    microbatch_tokens: Count = Field(
        description="tokens in a forward pass, padding included; memory depends on it. It is exceeded by single rows "
        "that are longer (a prompt with its response, pair, group or questions), and by up to twice the prefix that "
        "all prompts share"
    )
    checkpoint_every: Count = Field(description="optimiser steps or updates between two checkpoints")


class Evaluation(Section):
    """How the policies are compared at the end, and with which confidence."""

    temperature: Positive
    sources: Literal["all", "as_trained"] = Field(
        description="all: reward model, judge and rules make the total, so that all runs share one, further "
        "sources of the reward are measured but not included; as_trained: reward.sources"
    )
    n: Positive = Field(description="the bound of the evaluation metric, whatever reward.n the policy was trained with")
    resamples: Annotated[int, Field(ge=100, le=10**7)] = Field(description="of the bootstrap")
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = Field(description="of the intervals")
    max_unscored: Fraction = Field(description="share of failed scores above which a figure is not reported")
    validation_every: CountOrZero = Field(
        description="updates between points of the validation curve, out of the quarters of the budget; 0 turns it off"
    )
    validation_prompts: Count = Field(description="development prompts of each point of the curve")


class Logger(Section):
    """Where metrics go besides the run folder."""

    kind: Literal["wandb", "jsonl"]
    project: Name = Field(description="W&B's project")
    entity: Name | None = Field(description="W&B's account or team; null is your own")
    group: Name | None = Field(description="W&B's group of runs")
    tags: list[str]


class Config(Section):
    """One experiment."""

    seed: Annotated[int, Field(ge=0, lt=2**63)] = Field(description="all random numbers are derived from it")
    store: Name = Field(description="folder of the artifacts, shared by all runs")
    task: Task
    algorithm: dict[str, object] = Field(description="typed by the Options of repo_exp/algorithms/<kind>.py")
    reward: Reward
    domain: Domain
    data: Annotated[SerializeAsAny[DomainOptions] | JsonlOptions, Field(discriminator="kind")] = Field(
        description="typed by the Options of the domain; see domain_data.py"
    )
    model: Model
    optimizer: Optimizer
    budget: Budget
    sft: Sft
    reward_model: RewardModelSection
    judge: JudgeSection
    rollout: Rollout
    trainer: Trainer
    evaluation: Evaluation
    logger: Logger
