"""Roles that follow the policy: copies that are refreshed every so many updates, and moving averages."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from repo_exp.algorithms.interface import Follower
from repo_exp.models.backbone import Backbone
from repo_exp.training.fp32_weights import FP32Weights, RoleWeights


class Followers(nn.Module):
    """The fp32 weights of an algorithm's followers, which a checkpoint keeps. They begin as the policy's."""

    def __init__(self, backbone: Backbone, followers: Sequence[Follower]) -> None:
        super().__init__()
        self.followers = tuple(followers)
        for follower in followers:
            backbone.copy("policy", follower.role)
        self.fp32_weights = RoleWeights(backbone, [follower.role for follower in followers])
        self.requires_grad_(False)

    def due(self, done: int) -> list[Follower]:
        """Return the followers that take a step after ``done`` updates."""
        return [follower for follower in self.followers if done % follower.every == 0]

    def update(self, done: int, policy: FP32Weights) -> None:
        """Let each that is due take a step towards the policy."""
        for follower in self.due(done):
            self.fp32_weights[follower.role].ema_update(policy, keep=follower.keep)

    def version(self, role: str, done: int) -> int:
        """Return how often the weights of a role have changed after ``done`` updates."""
        return next((done // follower.every for follower in self.followers if follower.role == role), done)

    def is_policy(self, role: str, done: int) -> bool:
        """Are the weights of a role the policy's, after ``done`` updates?"""
        return role == "policy" or any(
            follower.role == role and (done == 0 or follower.keep == 0) for follower in self.due(done)
        )
