"""The value network's loss per token.   B responses, T tokens."""

from __future__ import annotations

import torch
from torch import Tensor

from repo_exp.core.masks import same_shape


def clipped_value_error(value_BT: Tensor, old_value_BT: Tensor, return_BT: Tensor, *, clip: float | None) -> Tensor:
    """Return PPO's value loss of each token, in squared reward units.

    V_clip = clip(V, V_old - clip, V_old + clip)
    L      = 0.5 * max((V - R)^2, (V_clip - R)^2)

    Without a clip (None) it is half the squared error.
    """
    same_shape("clipped_value_error", value_BT, old_value_BT, return_BT)
    if clip is None:
        return 0.5 * (value_BT - return_BT).square()
    clipped_BT = torch.clamp(value_BT, old_value_BT - clip, old_value_BT + clip)
    return 0.5 * torch.maximum((value_BT - return_BT).square(), (clipped_BT - return_BT).square())
