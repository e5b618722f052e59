"""Roles that follow the policy: when they take a step, what they become, and when they are the policy itself."""

from __future__ import annotations

import pytest
import torch

from repo_exp.algorithms.interface import Follower
from repo_exp.training.followers import Followers
from repo_exp.training.fp32_weights import RoleWeights

COPY, AVERAGE = Follower("rollout", every=3, samples=True), Follower("average", every=2, keep=0.75)


@pytest.fixture
def followed(tiny):
    """Return a policy with a copy and an average, and the fp32 weights of the policy."""
    backbone = tiny("policy")
    return backbone, Followers(backbone, [COPY, AVERAGE]), RoleWeights(backbone, ["policy"])["policy"]


def weights(backbone, role):
    return [p.detach().clone() for p in backbone.parameters_of(role).values()]


def test_followers_begin_as_the_policy_and_are_not_trained(followed) -> None:
    backbone, followers, _ = followed
    for role in ("rollout", "average"):
        assert all(map(torch.equal, weights(backbone, role), weights(backbone, "policy")))
    assert not any(weight.requires_grad for weight in followers.parameters())


def test_each_takes_a_step_every_so_many_updates(followed) -> None:
    _, followers, _ = followed
    due = [[follower.role for follower in followers.due(done)] for done in range(7)]
    assert due == [["rollout", "average"], [], ["average"], ["rollout"], ["average"], [], ["rollout", "average"]]


def test_a_version_counts_the_steps_of_a_role_and_the_policys_is_every_update(followed) -> None:
    _, followers, _ = followed
    assert [followers.version("rollout", done) for done in range(7)] == [0, 0, 0, 1, 1, 1, 2]
    assert [followers.version("average", done) for done in range(7)] == [0, 0, 1, 1, 2, 2, 3]
    assert [followers.version("policy", done) for done in range(3)] == [0, 1, 2]


def test_only_a_copy_that_was_just_made_is_the_policy(followed) -> None:
    """An average is the policy before the first update alone."""
    _, followers, _ = followed
    assert [followers.is_policy("rollout", done) for done in range(7)] == [True, False, False, True, False, False, True]
    assert [followers.is_policy("average", done) for done in range(5)] == [True, False, False, False, False]
    assert all(followers.is_policy("policy", done) for done in range(4))


def test_a_step_moves_those_that_are_due_and_no_others(followed) -> None:
    """After update 2 the average is a quarter of the way to the policy; after update 3 the copy is all of it."""
    backbone, followers, policy = followed
    start = weights(backbone, "policy")
    for weight in policy.weights:
        weight.data.add_(1.0)
    policy.sync()
    followers.update(2, policy)
    assert all(map(torch.equal, weights(backbone, "rollout"), start))
    for found, began in zip(weights(backbone, "average"), start, strict=True):
        torch.testing.assert_close(found, began + 0.25)
    followers.update(3, policy)
    assert all(map(torch.equal, weights(backbone, "rollout"), weights(backbone, "policy")))


def test_followers_of_a_checkpoint_go_on_where_they_were(followed, tiny) -> None:
    backbone, followers, policy = followed
    for weight in policy.weights:
        weight.data.mul_(3.0)
    followers.update(2, policy)
    other = tiny("policy")
    resumed = Followers(other, [COPY, AVERAGE])
    resumed.load_state_dict(followers.state_dict())
    resumed.fp32_weights.sync()
    assert all(map(torch.equal, weights(other, "average"), weights(backbone, "average")))
