"""Options as they are shipped, and batches and minibatches as the training loop makes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import torch
import yaml
from torch import Tensor

from repo_exp.algorithms.interface import (
    AnswerMask,
    Minibatch,
    OldLogprobs,
    PairMinibatch,
    ReferenceLogprobs,
    RoleLogprobs,
    RolloutBatch,
    Signal,
    ValueMinibatch,
    Values,
)
from repo_exp.config.places import conf_dir
from repo_exp.core.masks import aggregation_weights

SIGNALS: dict[str, Signal] = {
    "value": Values(),
    "old_logp": OldLogprobs(),
    "reference_logp": ReferenceLogprobs(),
    "average_logp": RoleLogprobs("average"),
    "answer": AnswerMask(),
}


def hyperparameters(option: str, **changes: Any) -> dict[str, Any]:
    """Return the options of an algorithm as ``conf/`` has them, with changes."""
    content = yaml.safe_load((conf_dir() / "algorithm" / f"{option}.yaml").read_text(encoding="utf-8"))
    return content["algorithm"] | changes


def pair_hyperparameters(option: str, **changes: Any) -> dict[str, Any]:
    """Return the options of an offline method as ``conf/`` has them: DPO's, what differs, and changes."""
    files = [conf_dir() / "algorithm" / f"{name}.yaml" for name in ("dpo", option)]
    contents = [yaml.safe_load(file.read_text(encoding="utf-8")) for file in files]
    return {key: value for each in (*contents, changes) for key, value in each.items() if key != "defaults"}


def rollouts(
    total_B: Tensor,
    group_B: Tensor,
    mask_BT: Tensor,
    max_tokens: int = 8,
    *,
    scores: Mapping[str, Tensor] | None = None,
    finished: Tensor | None = None,
    **signals: Tensor,
) -> RolloutBatch:
    """Return a batch with signals by their names in ``SIGNALS``; every response has ended unless told otherwise."""
    finished_B = torch.ones(len(total_B), dtype=torch.bool) if finished is None else finished
    found = {SIGNALS[name]: x_BT for name, x_BT in signals.items()}
    return RolloutBatch(total_B, group_B, mask_BT, max_tokens, scores or {}, finished_B, signals=found)


def minibatch(
    mask_BT: Tensor, advantage_BT: Tensor, old_logp_BT: Tensor, *, aggregation="token_mean", **signals: Tensor
) -> Minibatch:
    """Return a whole step as one minibatch."""
    weight_BT, share_BT = (
        aggregation_weights(mask_BT, how, longest=mask_BT.shape[1]).to(old_logp_BT.dtype)
        for how in (aggregation, "token_mean")
    )
    found = {SIGNALS[name]: x_BT for name, x_BT in signals.items()}
    return Minibatch(mask_BT, weight_BT, share_BT, advantage_BT, old_logp_BT, signals=found)


def value_minibatch(
    mask_BT: Tensor, return_BT: Tensor, old_value_BT: Tensor, *, aggregation="token_mean"
) -> ValueMinibatch:
    """Return a whole step of the value network as one minibatch."""
    weight_BT = aggregation_weights(mask_BT, aggregation, longest=mask_BT.shape[1]).to(old_value_BT.dtype)
    return ValueMinibatch(mask_BT, weight_BT, return_BT, old_value_BT)


def pairs(mask_B2T: Tensor, count: int, better_tokens: int, reference_B2T: Tensor | None = None) -> PairMinibatch:
    """Return pairs of a step, with the reference's log-probabilities if there are any."""
    signals = {} if reference_B2T is None else {ReferenceLogprobs(): reference_B2T}
    return PairMinibatch(mask_B2T, count, better_tokens, signals=signals)


def rows_of(whole: Any, rows: list[int]) -> Any:
    """Return some responses of a step; their weights still belong to the whole step."""

    def some(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: some(inner) for key, inner in value.items()}
        return value[rows] if isinstance(value, Tensor) else value

    return type(whole)(**{each.name: some(getattr(whole, each.name)) for each in fields(whole)})
