"""LoRA settings, and the adapter of each role."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from peft import LoraConfig
from transformers import PreTrainedModel

from repo_exp.models import targets
from repo_exp.models.roles import COPIES


@dataclass(frozen=True, slots=True)
class Lora:
    """The section ``model.lora``.

    Attributes:
        rank, alpha: of every adapter; the update is scaled by alpha / rank.
        target_modules: ``all-linear``, or the names of the layers to adapt.
        last_layers: how many of the last layers carry an adapter, by role; None or no entry is all of them.
    """

    rank: int
    alpha: float
    target_modules: str | Sequence[str]
    last_layers: Mapping[str, int | None]

    @property
    def scaling(self) -> float:
        """What B A is multiplied by."""
        return self.alpha / self.rank

    def config_of(self, role: str, model: PreTrainedModel, adaptable: Sequence[str]) -> LoraConfig:
        """Return peft's configuration of a role's adapter.

        Args:
            model: that the adapter goes on.
            adaptable: the names of its layers that can carry one.

        Raises:
            ConfigError: ``target_modules`` names layers that cannot.
        """
        last = self.last_layers.get("policy" if role in COPIES else role)
        layers = model.config.get_text_config().num_hidden_layers if last is not None else 0
        return LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,  # type: ignore[arg-type]  # peft declares int, and divides by the rank
            target_modules=targets.chosen(self.target_modules, adaptable),
            exclude_modules=targets.excluded(model, adaptable),
            layers_to_transform=None if last is None else list(range(max(layers - last, 0), layers)),
            lora_dropout=0.0,
            bias="none",
            task_type="CAUSAL_LM",
        )
