"""A set of rules, and the points of those that a response breaks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from repo_exp.rewards.declared import fingerprint
from repo_exp.types import Score, Trajectory

Check = Callable[..., bool | None]
ABSTAINS = "the prompt does not say enough"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: a kind with its options, and what breaking it costs (points <= 0)."""

    name: str
    purpose: str
    kind: str
    points: float
    check: Check = field(repr=False)
    options: Mapping[str, Any] = field(default_factory=dict)
    message: str = ""

    def verdict(self, trajectory: Trajectory) -> tuple[bool | None, str]:
        """Is the rule broken? ``None`` where it cannot say, with the reason.

        A rule that has nothing to hold the response against abstains, with the reason ``ABSTAINS``; one that raises has
        failed: no response, however odd, stops a run, but neither does such a rule count as kept.
        """
        try:
            broken = self.check(trajectory, **self.options)
        except TimeoutError:
            return None, f"a pattern of '{self.name}' takes too long on this response"
        except Exception as error:  # whatever a kind does wrong, the run goes on
            return None, f"{type(error).__name__} in '{self.kind}'"
        if broken is None:
            return None, ABSTAINS
        return bool(broken), ""


@dataclass(frozen=True, slots=True)
class RuleSet:
    """Rules by name. Scoring is pure: the same response always gets the same points."""

    rules: tuple[Rule, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the rules, sorted."""
        return tuple(rule.name for rule in self.rules)

    @property
    def fingerprint(self) -> str:
        """A digest of everything that can change a score, but for the code of the kinds."""
        return fingerprint([[rule.name, rule.kind, rule.points, dict(rule.options)] for rule in self.rules])

    def verdicts(self, trajectory: Trajectory) -> dict[str, tuple[bool | None, str]]:
        """Return rule -> (is it broken?, why it cannot say)."""
        return {rule.name: rule.verdict(trajectory) for rule in self.rules}

    def score(self, trajectory: Trajectory) -> Score:
        """Return the points of the broken rules: 0 where none is. No score where all rules abstained, or one failed."""
        verdicts = self.verdicts(trajectory)
        for broken, why in verdicts.values():
            if broken is None and why != ABSTAINS:
                return Score.none(why)
        if all(broken is None for broken, _ in verdicts.values()):
            return Score.none("every rule abstained" if verdicts else "no rules", applies=False)
        parts = {rule.name: rule.points for rule in self.rules if verdicts[rule.name][0]}
        return Score(float(sum(parts.values())), parts)

    def abstentions(self, trajectory: Trajectory) -> dict[str, str]:
        """Return the rules that cannot judge this response, with the reason."""
        return {name: why for name, (broken, why) in self.verdicts(trajectory).items() if broken is None}

    def count_abstentions(self, trajectories: Sequence[Trajectory]) -> dict[str, int]:
        """Return rule -> on how many of the responses it abstains (rules that never do are left out)."""
        counts: dict[str, int] = {}
        for trajectory in trajectories:
            for name in self.abstentions(trajectory):
                counts[name] = counts.get(name, 0) + 1
        return counts
