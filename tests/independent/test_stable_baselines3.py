"""GAE and explained variance against stable-baselines3, whose episodes follow one another in a buffer."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.utils import explained_variance as theirs

from repo_exp.core.advantage import gae
from repo_exp.core.diagnostics import explained_variance

RESPONSES, LONGEST = 5, 7


@pytest.mark.parametrize(("gamma", "gae_lambda"), [(1.0, 0.95), (0.99, 0.95), (0.9, 0.0), (1.0, 1.0), (0.5, 0.7)])
def test_advantages_and_returns(gamma, gae_lambda) -> None:
    """A response is an environment; behind its end another episode begins, whose numbers must not matter to it."""
    draw = np.random.default_rng(0)
    reward_BT, value_BT = (draw.normal(size=(RESPONSES, LONGEST)).astype(np.float32) for _ in range(2))
    length_B = np.array([7, 1, 3, 6, 2])
    box = spaces.Box(0, 1, (1,))
    buffer = RolloutBuffer(LONGEST, box, box, "cpu", gae_lambda=gae_lambda, gamma=gamma, n_envs=RESPONSES)
    buffer.rewards, buffer.values = reward_BT.T.copy(), value_BT.T.copy()
    buffer.episode_starts = (np.arange(LONGEST)[:, None] == length_B).astype(np.float32)
    buffer.compute_returns_and_advantage(torch.full((RESPONSES,), 99.0), dones=np.ones(RESPONSES))
    mask_BT = torch.arange(LONGEST) < torch.tensor(length_B)[:, None]
    reward, value = torch.tensor(reward_BT), torch.tensor(value_BT)
    advantage_BT = gae(reward, value, mask_BT, gamma=gamma, gae_lambda=gae_lambda)
    torch.testing.assert_close(advantage_BT[mask_BT], torch.tensor(buffer.advantages.T)[mask_BT])
    torch.testing.assert_close((advantage_BT + value)[mask_BT], torch.tensor(buffer.returns.T)[mask_BT])


def test_explained_variance() -> None:
    draw = np.random.default_rng(1)
    said, true = draw.normal(size=20), draw.normal(size=20)
    mask = torch.ones(1, 20, dtype=torch.bool)
    found = explained_variance(torch.tensor(said)[None], torch.tensor(true)[None], mask)
    assert found.item() == pytest.approx(theirs(said, true))
