"""Rule functions (RF): what a program can find wrong with a response, declared in YAML with its own examples."""

from repo_exp.rewards.rules.loading import load_rules
from repo_exp.rewards.rules.ruleset import Rule, RuleSet

__all__ = ["Rule", "RuleSet", "load_rules"]
