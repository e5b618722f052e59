"""Rule functions (RF): faults of a response that a program can detect, declared in YAML with examples."""

from repo_exp.rewards.rules.loading import load_rules
from repo_exp.rewards.rules.ruleset import Rule, RuleSet

__all__ = ["Rule", "RuleSet", "load_rules"]
