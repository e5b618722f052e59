"""The parts that one backbone plays.

A role is a LoRA adapter; ``value`` and ``reward`` have a scalar head besides. ``reference`` is a frozen
copy of the SFT policy, ``average`` one that follows the learning policy slowly. ``BASE`` is the backbone with
every adapter off.
"""

from __future__ import annotations

from typing import Literal

Role = Literal["policy", "reference", "average", "value", "reward", "judge"]
BASE = "base"
COPIES = frozenset({"reference", "average"})  # of the policy, and of its shape
SCALAR_ROLES = frozenset({"value", "reward"})
