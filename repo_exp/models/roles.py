"""The roles of the one backbone.

A role is a LoRA adapter; ``value`` and ``reward`` have a scalar head besides. ``reference`` is a frozen copy of the SFT
policy, ``rollout`` a copy of the policy from some updates ago, ``average`` an exponential moving average of it.
``BASE`` is the backbone without an adapter.
"""

from __future__ import annotations

from typing import Literal

Role = Literal["policy", "reference", "rollout", "average", "value", "reward", "judge"]
BASE = "base"
COPIES = frozenset({"reference", "rollout", "average"})  # of the policy, and of its shape
SCALAR_ROLES = frozenset({"value", "reward"})
