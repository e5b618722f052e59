"""Small corpora of the hotel domain: what a test does not set has a usual value."""

from __future__ import annotations

from typing import Any

from repo_exp.domains import registry
from repo_exp.types import Corpus

TINY: dict[str, Any] = {
    "scale": 0.003,
    "demonstrations": 20,
    "judgements": 10,
    "prompts": {"train": 20, "development": 2, "test": 20},
    "held_out": 5,
}
USUAL = {"kind": "generated", "faulty_demonstrations": 0.15, "careless": 0.1, "two_tickets": 0.15}


def generate(*, seed: int, **options: Any) -> Corpus:
    """Return a corpus of the hotel domain."""
    hotel = registry.find("hotel")
    return hotel.corpus(seed=seed, options=hotel.Options.model_validate(USUAL | options))
