"""The data of a report. Everything is JSON, so that it can be stored and drawn again later.

A key that is absent, or None, leaves its section out. Only ``results`` is needed.
"""

from __future__ import annotations

from typing import Any, TypedDict


class Interval(TypedDict):
    """A mean or a share with its interval; see ``statistics.Mean`` and ``statistics.Proportion``.

    Means have "missing", and "withheld", which is true where too many scores failed; then there is no number.
    """

    n: int
    low: float | None
    high: float | None


class Variant(TypedDict):
    """One policy on the held-out prompts."""

    n: int
    unscored: int  # responses whose total does without a score that failed
    total: Interval  # with "mean", over the other responses
    sources: dict[str, Interval]  # by the source's name
    violations: Interval | None  # with "share": responses that break at least one rule
    rules: dict[str, Interval]  # rule -> share of responses that break it
    items: dict[str, float]  # rubric item -> mean points
    tokens: dict[str, float]  # "mean", "p95"
    words: dict[str, float]
    unfinished: float  # share cut off by the token budget
    distinct: float  # share of different responses


class VariantComparison(TypedDict):
    """Two variants, prompt by prompt; the inner ones are ``statistics.Comparison`` as JSON.

    They have besides "unscored", prompts in which a score failed, and "withheld", which is true where these are too
    many; then there is no number.
    """

    before: str
    after: str
    total: dict[str, Any]
    sources: dict[str, dict[str, Any]]
    tokens: dict[str, Any]
    words: dict[str, Any]
    violations: dict[str, Any] | None  # "n", "fell", "rose", "p" of the exact paired test
    differences: list[float | None]  # after - before of the total, by prompt; empty where withheld


class Results(TypedDict):
    """What ``summary.summarise`` returns."""

    order: list[str]
    n: int
    sources: list[str]
    source_info: dict[str, dict[str, str]]  # source -> "kind", "unit", "label", "symbol", "parts"
    variants: dict[str, Variant]
    comparisons: list[VariantComparison]  # the last variant against the baseline comes first
    unscored: dict[str, dict[str, Any]]  # source that failed -> "responses", "of", "reasons"
    settings: dict[str, Any]  # "seed", "resamples", "confidence", "max_unscored"
    verdict: dict[str, str]  # "text", "status": better | worse | unclear | withheld | alone


class Run(TypedDict, total=False):
    """What was run. ``command`` is shown as it is: give no secrets."""

    name: str
    model: str
    algorithm: str
    domain: str
    seed: int
    command: str
    started: str  # as the reader shall see it, "2026-03-01 14:05"
    seconds: float
    hardware: str
    versions: dict[str, str]
    notices: list[str]  # what a reader must know before any figure; stands on top
    roles: dict[str, str]  # how speakers are called: {"assistant": "Agent", "user": "Guest"}


class RewardSetup(TypedDict, total=False):
    """The reward that the policy was trained on, and that of the evaluation."""

    learns_from: str  # "own responses"; "pairs" or "nothing" where the reward only measures
    sources: list[str]  # names of sources that had an effect
    combine: str  # the combiner, or a method that combines the sources itself
    bound: float | None  # n
    measured: dict[str, Any]  # "sources", "combine", "bound" of the evaluation's total; as above where it is absent
    formula: str  # in place of the explanation of the enhancement, for another combiner
    rules: dict[str, str]  # rule -> what it says, for the tables
    items: dict[str, str]  # rubric item -> the question


class Stage(TypedDict, total=False):
    """One step of the pipeline."""

    name: str
    seconds: float | None
    reused: bool  # taken from the store, not made by this run
    address: str  # of its artifact


class PairAccuracy(TypedDict, total=False):
    """The reward model on held-out preference pairs, all as counts; ``baselines`` on the same pairs."""

    pairs: int
    correct: float  # a tie may count one half
    baselines: dict[str, float]  # "length", "word overlap" -> pairs put right
    kinds: dict[str, dict[str, float]]  # kind of pair -> {"pairs", "correct"}
    mean: float  # of the raw score over samples of the SFT policy: becomes 0
    std: float  # becomes 1
    samples: int


class ItemAgreement(TypedDict, total=False):
    """The judge on held-out responses with known answers to one rubric question, as counts."""

    item: str
    n: int
    agreed: int
    ranked: float | None  # share of (yes, no) pairs of responses in the right order: 0.5 is guessing
    positives: int  # labelled yes: shows how far one would come by always giving the commoner answer


class Quality(TypedDict, total=False):
    """How accurate the trained reward sources are."""

    reward_models: dict[str, PairAccuracy]  # by label
    judge: list[ItemAgreement]


class Report(TypedDict, total=False):
    """All of it."""

    title: str
    run: Run
    reward: RewardSetup
    stages: list[Stage]
    results: Results  # summary.summarise
    metrics: list[dict[str, Any]]  # tracking.jsonl.read_metrics: {"stage", "step", "metrics"}
    quality: Quality
    worked_example: dict[str, Any] | None  # examples.worked_example
    examples: list[dict[str, Any]]  # examples.choose_examples
    config_yaml: str  # without secrets
    notes: list[str]  # what a reader has to know before he believes the figures
