"""The parts that one backbone plays.

A role is a LoRA adapter; ``value`` and ``reward`` have a scalar head besides. ``reference`` is a frozen
copy of the SFT policy, ``rollout`` a copy of the policy as it was some updates ago, ``average`` one that follows
the learning policy slowly. ``BASE`` is the backbone with
every adapter off.
"""

from __future__ import annotations

from typing import Literal

Role = Literal["policy", "reference", "rollout", "average", "value", "reward", "judge"]
BASE = "base"
COPIES = frozenset({"reference", "rollout", "average"})  # of the policy, and of its shape
SCALAR_ROLES = frozenset({"value", "reward"})
