"""SFT: the policy is the supervised policy; nothing is learnt from rewards.

The baseline that every online method starts from and is compared with.
"""

from __future__ import annotations

from typing import Literal

from repo_exp.algorithms.interface import MethodOptions


class Options(MethodOptions):
    """Nothing to set: the supervised stage has its own section, ``sft``."""

    kind: Literal["sft"]


online = False
