"""The parts that one backbone plays.

A role is a LoRA adapter; ``value`` and ``reward`` have a scalar head besides. ``reference`` is a frozen
copy of the SFT policy. ``BASE`` is the backbone with every adapter off.
"""

from __future__ import annotations

from typing import Literal

Role = Literal["policy", "reference", "value", "reward", "judge"]
BASE = "base"
SCALAR_ROLES = frozenset({"value", "reward"})
