"""Read rules from a folder, and test each on its own examples before anything runs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from repo_exp.errors import Problem, RewardError
from repo_exp.rewards.declared import Declaration, overridden, read_folder
from repo_exp.rewards.facts import is_number
from repo_exp.rewards.rules.finding import find_kind
from repo_exp.rewards.rules.ruleset import Rule, RuleSet
from repo_exp.types import Message, Prompt, Trajectory

_ROLES = ("system", "user", "assistant")
_EXAMPLE_KEYS = ("response", "facts", "history", "finished")
_RENAMED = {"reply": "response"}
"""Keys of an example that have another name now: old -> new."""


def load_rules(
    folder: str | Path,
    *,
    drop: Collection[str] = (),
    points: Mapping[str, float] | None = None,
    origin: str = "rules",
) -> RuleSet:
    """Return the rules declared in ``folder``.

    Args:
        folder: one YAML file for each rule.
        drop: rules to leave out (an ablation).
        points: rule -> points that replace those in its file.
        origin: where ``drop`` and ``points`` come from, for messages.

    Raises:
        RewardError: lists everything that is wrong in any file, with file and line.
    """
    declarations, problems = read_folder(folder)
    rules = []
    for declaration in declarations:
        rule, wrong = _rule(declaration)
        problems += wrong
        if rule is not None:
            rules.append(rule)
    kept, wrong = overridden(
        declarations, {rule.name: rule.points for rule in rules}, drop=drop, override=points or {}, origin=origin
    )
    problems += wrong
    problems += [
        Problem(f"{origin}.points.{name}", f"{value} is above 0", "a broken rule costs points: 0 or less")
        for name, value in (points or {}).items()
        if is_number(value) and value > 0
    ]
    if problems:
        raise RewardError(f"The rules in {folder} cannot be used:", problems)
    return RuleSet(
        tuple(
            Rule(rule.name, rule.purpose, rule.kind, float(kept[rule.name]), rule.check, rule.options, rule.message)
            for rule in rules
            if rule.name in kept
        )
    )


def _rule(declaration: Declaration) -> tuple[Rule | None, list[Problem]]:
    """Return the rule that a file declares, or ``None`` and everything that is wrong with it."""
    data, where = declaration.data, declaration.where
    problems = declaration.wrong_keys(required=("kind", "points", "examples"), optional=("message", "options"))
    points, options, message = data.get("points", 0.0), data.get("options") or {}, data.get("message", "")
    if not is_number(points) or points > 0:
        problems.append(Problem(where("points"), f"points: {points!r}", "a number, 0 or less: what a violation costs"))
    if not isinstance(message, str):
        problems.append(Problem(where("message"), f"message: {message!r} is not text"))
    kind = None
    if "kind" in data:
        try:
            kind = find_kind(str(data["kind"]))
        except LookupError as error:
            problems.append(Problem(where("kind"), str(error)))
    if not isinstance(options, Mapping):
        problems.append(Problem(where("options"), f"options: {options!r} is not a mapping", "option: value"))
    elif kind is not None:
        problems += [
            Problem(where("options", option), found, remedy) for option, found, remedy in kind.option_problems(options)
        ]
    examples, wrong = _examples(declaration)
    problems += wrong
    if problems or kind is None:
        return None, problems
    rule = Rule(declaration.name, declaration.purpose, kind.name, float(points), kind.check, dict(options), message)
    return rule, [problem for example in examples for problem in _disagreement(rule, declaration, *example)]


def _examples(declaration: Declaration) -> tuple[list[tuple[str, int, Trajectory]], list[Problem]]:
    """Return (passes or violates, index, trajectory) for every example, and what is wrong with the others."""
    examples = declaration.data.get("examples")
    if "examples" not in declaration.data:
        return [], []  # already reported: the key is missing
    shape = "examples: {passes: [...], violates: [...]}, at least one of each"
    if not isinstance(examples, Mapping):
        return [], [Problem(declaration.where("examples"), "examples are not a mapping", shape)]
    found, problems = [], []
    for side in examples:
        if side not in ("passes", "violates"):
            problems.append(Problem(declaration.where("examples", side), f"unknown key '{side}'", shape))
    for side in ("passes", "violates"):
        entries = examples.get(side)
        if not isinstance(entries, list) or not entries:
            problems.append(Problem(declaration.where("examples", side), f"no example that {side}", shape))
            continue
        for index, entry in enumerate(entries):
            trajectory = _trajectory(entry)
            if isinstance(trajectory, Trajectory):
                found.append((side, index, trajectory))
            else:
                problems.append(
                    Problem(
                        declaration.where("examples", side, index),
                        f"example {index + 1}: {trajectory}",
                        "a text, or {response, facts, history: [{role, content}], finished}",
                    )
                )
    return found, problems


def _trajectory(entry: Any) -> Trajectory | str:
    """Return an example as a trajectory, or what is wrong with it."""
    if isinstance(entry, str):
        entry = {"response": entry}
    if not isinstance(entry, Mapping):
        return f"{entry!r} is not text (put it in quotes)"
    if unknown := [key for key in entry if key not in _EXAMPLE_KEYS]:
        old = unknown[0]
        return f"'{old}' is now called '{_RENAMED[old]}'" if old in _RENAMED else f"unknown key '{old}'"
    text, facts, history = entry.get("response"), entry.get("facts", {}), entry.get("history", [])
    if not isinstance(text, str):
        return f"response: {text!r} is not text (put it in quotes)"
    if not isinstance(facts, Mapping) or not isinstance(history, list):
        return "facts must be a mapping and history a list"
    for turn in history:
        if not (
            isinstance(turn, Mapping)
            and set(turn) == {"role", "content"}
            and turn["role"] in _ROLES
            and isinstance(turn["content"], str)
        ):
            return f"history: {turn!r} is no turn; a role is one of {', '.join(_ROLES)}"
    finished = entry.get("finished", True)
    if not isinstance(finished, bool):
        return f"finished: {finished!r} is neither true nor false"
    turns = tuple(Message(turn["role"], turn["content"]) for turn in history)
    return Trajectory.single(Prompt("example", turns, facts), text, finished)


def _disagreement(rule: Rule, declaration: Declaration, side: str, index: int, trajectory: Trajectory) -> list[Problem]:
    """Return a problem if the rule does not give the verdict that this example expects."""
    broken, why = rule.verdict(trajectory)
    if broken is (side == "violates"):
        return []
    verdict = (
        f"the rule says it {'violates' if broken else 'passes'}"
        if broken is not None
        else f"the rule cannot judge it ({why})"
    )
    shown = trajectory.response if len(trajectory.response) <= 80 else f"{trajectory.response[:77]}..."
    return [
        Problem(
            declaration.where("examples", side, index),
            f"rule '{rule.name}': {side}[{index}] should be one that {side}, but {verdict}: {shown!r}",
            "fix the options or the example",
        )
    ]
