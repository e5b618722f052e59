"""Checks that sampler and training compute the same probabilities."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from repo_exp.config.schema import Correction
from repo_exp.errors import ModelError, Problem


@dataclass(frozen=True, slots=True)
class Mismatch:
    """What is done where the engine and training compute other probabilities of the same tokens.

    Attributes:
        correction: of the policy's loss; None is nothing.
        max_gap: how far they may differ, in nats, before the run stops; None is by the model's precision.
    """

    correction: Correction | None = None
    max_gap: float | None = None


UNCORRECTED = Mismatch()


# mean |log p(training) - log p(sampler)| of the sampled tokens, in nats at temperature 1; rounding is far below
BOUND = {torch.float32: 1e-3, torch.bfloat16: 0.1}


def require_agreement(gap: float, *, dtype: torch.dtype, temperature: float, bound: float | None) -> None:
    """Stop where the mean difference of the two log-probabilities is more than rounding.

    Args:
        gap: ``policy/sampler_gap``, in nats.
        bound: the largest that is accepted (``rollout.max_gap``); None is by ``dtype``, and below temperature 1 as many
            times more as the temperature enlarges logits.

    Raises:
        ModelError: the gap is larger, or is not a number.
    """
    most = BOUND.get(dtype, BOUND[torch.bfloat16]) / min(temperature, 1.0) if bound is None else bound
    if gap <= most:
        return
    found = (
        f"log-probabilities of the sampled tokens differ by {gap:.2g} nats on average; at most {most:.2g} is accepted"
    )
    remedy = (
        "model.engine=transformers or model.dtype=float32 show whether the passes differ; rollout.max_gap=NATS accepts "
        "more, and rollout.correction.kind=truncated weights it"
    )
    raise ModelError(
        "sampler and training do not compute the same model", [Problem("policy/sampler_gap", found, remedy)]
    )
