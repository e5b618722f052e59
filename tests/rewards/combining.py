"""Combiners for tests: the units of the sources follow from their names."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from functools import partial
from typing import Any

from repo_exp.rewards.combine import Combined, build
from repo_exp.types import Score, SourceInfo


def units(names) -> dict[str, str]:
    """Return the unit of each source: "score" for names of a reward model."""
    return {name: "score" if name in ("model", "rm2") else "points" for name in names}


def infos(*names: str, **parts: Sequence[str]) -> dict[str, SourceInfo]:
    """Return how tables name these sources; ``parts``: source -> the names of its rules or items."""
    made_of = {"rules": "violations", "judge": "items", "style": "violations"}
    symbols = {"model": "R_model", "judge": "E_judge", "rules": "E_func"}
    labels = {"model": "reward model", "rm2": "reward model rm2", "style": "rules style"}
    kinds = {"model": "reward_model", "rm2": "reward_model", "judge": "local_judge", "style": "rules"}
    return {
        name: SourceInfo(
            name,
            kinds.get(name, name),
            unit,
            labels.get(name, name),
            symbols.get(name, f"{'R' if unit == 'score' else 'E'}_{name}"),
            made_of.get(name, ""),
            tuple(parts.get(name, ())),
        )
        for name, unit in units(names).items()
    }


USUAL = infos("model", "judge", "rules")


def combine(name: str, **options: Any):
    """Return a function: the sources of all responses, and their groups -> what the combiner makes of them."""
    return partial(_combined, name, {"n": 100.0} | options)


def _combined(
    name: str, options: dict[str, Any], batch: Sequence[Mapping[str, Score]], groups: Sequence[Hashable]
) -> list[Combined]:
    return build(name, units(batch[0]), options)(batch, list(groups))
