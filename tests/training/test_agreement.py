"""A run stops where the sampler's log-probabilities are not the learner's."""

import math

import pytest
import torch

from repo_exp.errors import ModelError
from repo_exp.training.agreement import require_agreement


def test_rounding_passes_and_more_does_not() -> None:
    how = {"temperature": 1.0, "bound": None}
    require_agreement(9e-4, dtype=torch.float32, **how)
    require_agreement(0.09, dtype=torch.bfloat16, **how)
    for gap, dtype in ((2e-3, torch.float32), (0.11, torch.bfloat16), (math.nan, torch.bfloat16)):
        with pytest.raises(ModelError, match=r"policy/sampler_gap.*\n.*rollout\.max_gap"):
            require_agreement(gap, dtype=dtype, **how)
    require_agreement(2e-3, dtype=torch.float32, temperature=0.5, bound=None)  # logits are twice as large
    require_agreement(0.3, dtype=torch.float32, temperature=1.0, bound=0.5)
    with pytest.raises(ModelError):
        require_agreement(0.6, dtype=torch.float32, temperature=1.0, bound=0.5)


@pytest.mark.parametrize("passes", [1, 2])
def test_nothing_is_learnt_from_responses_that_the_learner_sees_differently(online, monkeypatch, passes) -> None:
    learner = online(updates=0, passes=passes)
    before = [p.detach().clone() for p in learner.backbone.parameters_of("policy").values()]
    plain = learner.backbone.session

    class Off:
        """Reads every token as another one."""

        def __init__(self, inner) -> None:
            self.inner = inner

        last_BH = property(lambda self: self.inner.last_BH * 1.5)

        def step(self, token_B):
            return self.inner.step(token_B)

        def select(self, row_B):
            self.inner.select(row_B)

    monkeypatch.setattr(learner.backbone, "session", lambda *args, **how: Off(plain(*args, **how)))
    with pytest.raises(ModelError, match="do not compute the same model"):
        learner.update(0)
    assert all(
        torch.equal(a, b) for a, b in zip(before, learner.backbone.parameters_of("policy").values(), strict=True)
    )
