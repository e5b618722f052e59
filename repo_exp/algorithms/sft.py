"""SFT: the policy is the supervised policy; nothing is learnt from rewards.

The baseline that every online method starts from and is compared with.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class Options(BaseModel):
    """Nothing to set: the supervised stage has its own section, ``sft``."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: Literal["sft"]


online = False
