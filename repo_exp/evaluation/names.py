"""Display names of variants and reward sources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_CAPITALS = "sft ppo repo dvpo grpo gdpo dapo gspo rloo cispo gopo p3o sppo dpo ipo nca"
NAMES = {name: name.upper() for name in _CAPITALS.split()} | {
    "base": "Base",
    "dr_grpo": "Dr. GRPO",
    "grpo_care": "GRPO-CARE",
    "jackpot": "Jackpot",
    "cdpo": "cDPO",
    "robust_dpo": "Robust DPO",
    "simpo": "SimPO",
    "ld_dpo": "LD-DPO",
    "apo_zero": "APO-zero",
}


def variant_name(name: str) -> str:
    """Return a variant's name as a reader expects it: sft -> SFT."""
    return NAMES.get(name, name)


def in_text(name: str) -> str:
    """Return a variant's name inside a sentence: base -> the base model."""
    return "the base model" if name == "base" else variant_name(name)


def capital(text: str) -> str:
    """Return a text that begins with a capital letter."""
    return text[:1].upper() + text[1:]


class SourceNames:
    """What the sources of an evaluation are called, from the ``source_info`` of its results.

    Args:
        results: of ``summary.summarise``; those of an older version have no ``source_info``.
    """

    def __init__(self, results: Mapping[str, Any]) -> None:
        self._infos: Mapping[str, Mapping[str, Any]] = results.get("source_info") or {}

    def label(self, name: str) -> str:
        """Return what a reader calls a source: model -> reward model."""
        return str(self._infos.get(name, {}).get("label", name))

    def symbol(self, name: str) -> str:
        """Return what formulas call a source: model -> R_model."""
        return str(self._infos.get(name, {}).get("symbol", name))

    def is_score(self, name: str) -> bool:
        """Is the source's unit "score", like a reward model's? Otherwise it gives points."""
        return bool(self._infos.get(name, {}).get("unit") == "score")

    def parts(self, name: str) -> str:
        """Return what the source's scores consist of: "violations", "items" or ""."""
        return str(self._infos.get(name, {}).get("parts", ""))

    def scores(self, names: list[str]) -> list[str]:
        """Return those whose unit is "score"."""
        return [name for name in names if self.is_score(name)]

    def points(self, names: list[str]) -> list[str]:
        """Return those that give points."""
        return [name for name in names if not self.is_score(name)]
