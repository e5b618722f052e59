"""Options as they are shipped, and parts of a step as the learner cuts them."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import yaml
from torch import Tensor

from repo_exp.algorithms.interface import Part, ValuePart
from repo_exp.config.places import conf_dir
from repo_exp.core.masks import token_weights


def knobs(option: str, **changes: Any) -> dict[str, Any]:
    """Return the options of an algorithm as ``conf/`` has them, with changes."""
    told = yaml.safe_load((conf_dir() / "algorithm" / f"{option}.yaml").read_text(encoding="utf-8"))
    return told["algorithm"] | changes


def part(mask_BT: Tensor, advantage_BT: Tensor, old_logp_BT: Tensor, *, aggregation="token_mean", **known) -> Part:
    """Return a whole step as one part."""
    weight_BT, share_BT = (
        token_weights(mask_BT, how, longest=mask_BT.shape[1]).to(old_logp_BT.dtype)
        for how in (aggregation, "token_mean")
    )
    return Part(mask_BT, weight_BT, share_BT, advantage_BT, old_logp_BT, **known)


def value_part(mask_BT: Tensor, return_BT: Tensor, old_value_BT: Tensor, *, aggregation="token_mean") -> ValuePart:
    """Return a whole step of the value network as one part."""
    weight_BT = token_weights(mask_BT, aggregation, longest=mask_BT.shape[1]).to(old_value_BT.dtype)
    return ValuePart(mask_BT, weight_BT, return_BT, old_value_BT)


def rows_of(whole: Any, rows: list[int]) -> Any:
    """Return some replies of a step; their weights still belong to the whole step."""
    told = {each.name: getattr(whole, each.name) for each in fields(whole)}
    told = {name: value[rows] if isinstance(value, Tensor) else value for name, value in told.items()}
    return type(whole)(**told)


def pair_knobs(option: str, **changes: Any) -> dict[str, Any]:
    """Return the options of an offline method as ``conf/`` has them: DPO's, what differs, and changes."""
    files = [conf_dir() / "algorithm" / f"{name}.yaml" for name in ("dpo", option)]
    told = [yaml.safe_load(file.read_text(encoding="utf-8")) for file in files]
    return {key: value for each in (*told, changes) for key, value in each.items() if key != "defaults"}
