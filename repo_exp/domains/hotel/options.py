"""What the hotel's corpus is made with: the section ``data`` of this domain."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from repo_exp.domains.interface import Amount, Count, DataOptions, DomainOptions, Fraction

KIND_SIZES = {"online": 252, "linguistic": 3178, "task": 1211, "sop": 1991}
"""How many preference pairs of each kind there are at scale 1: 6,632 in all."""


def kind_sizes(total: float) -> dict[str, int]:
    """Return how many of ``total`` pairs each kind gets in the paper's proportions; at least 1."""
    whole = sum(KIND_SIZES.values())
    return {kind: max(1, round(size * total / whole)) for kind, size in KIND_SIZES.items()}


class Prompts(DataOptions):
    """How many conversations to answer, by split."""

    train: Count
    development: Count
    test: Count


class HotelOptions(DomainOptions):
    """A corpus of price negotiations with hotels, generated from the seed."""

    scale: Annotated[float, Field(gt=0, le=10)] = Field(description="1.0 gives the paper's 6,632 training pairs")
    demonstrations: Count = Field(description="conversations with an expert's response, for supervised fine-tuning")
    faulty_demonstrations: Fraction = Field(
        description="share of training demonstrations with a random fault, as in the log of a busy desk"
    )
    held_out: Count = Field(description="demonstrations, pairs and labelled responses in each held-out split")
    judgements: Count = Field(description="labelled responses that the local judge learns from")
    prompts: Prompts
    careless: Fraction = Field(description="chance of a fault in each earlier turn of a talk")
    two_tickets: Annotated[float, Field(gt=0, le=1)] = Field(
        description="chance that a talk is about two rooms, where their prices have at most three digits; above 0, "
        "as some faults need two"
    )

    def amounts(self) -> tuple[Amount, ...]:
        """Return the sizes of all parts."""
        return (
            Amount("demonstrations", "demonstrations", "train", self.demonstrations),
            Amount("scale", "preferences", "train", round(sum(KIND_SIZES.values()) * self.scale)),
            Amount("judgements", "judgements", "train", self.judgements),
            Amount("held_out", "preferences", "test", self.held_out),
            Amount("prompts.train", "prompts", "train", self.prompts.train),
            Amount("prompts.development", "prompts", "development", self.prompts.development),
            Amount("prompts.test", "prompts", "test", self.prompts.test),
        )
