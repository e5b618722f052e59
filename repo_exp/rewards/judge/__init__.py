"""Reward judges (RJ): whatever can answer the questions of a rubric about a reply."""

from repo_exp.rewards.judge.protocol import Judge

__all__ = ["Judge"]
