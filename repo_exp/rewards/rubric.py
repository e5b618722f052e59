"""The rubric: questions that a judge answers with yes or no, and the points of each yes."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repo_exp.errors import Problem, RewardError, did_you_mean
from repo_exp.rewards.declared import Declaration, fingerprint, overridden, read_folder
from repo_exp.rewards.facts import is_number, values_at
from repo_exp.types import Prompt, Score

SCALE = 100.0  # a score lies in [-SCALE, SCALE]
LONGEST_QUESTION = 14  # words; a small model reads them


@dataclass(frozen=True, slots=True)
class Item:
    """One question. A yes adds ``points``; it is asked only where the fact at ``when`` is true."""

    name: str
    purpose: str
    question: str
    points: float
    when: str = ""
    yes: tuple[str, ...] = ()
    no: tuple[str, ...] = ()

    def applies(self, prompt: Prompt) -> bool:
        """Is the question asked in this prompt?"""
        return not self.when or any(values_at(prompt.facts, self.when))


@dataclass(frozen=True, slots=True)
class Rubric:
    """Questions by name, sorted."""

    items: tuple[Item, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the questions."""
        return tuple(item.name for item in self.items)

    @property
    def fingerprint(self) -> str:
        """A digest of everything that can change a score."""
        return fingerprint([[item.name, item.question, item.points, item.when] for item in self.items])

    def applicable(self, prompt: Prompt) -> tuple[Item, ...]:
        """Return the questions that are asked in this prompt."""
        return tuple(item for item in self.items if item.applies(prompt))

    def score(self, probabilities: Mapping[str, float], *, hard: bool = False, words: str = "") -> Score:
        """Return sum of points * P(yes) over the questions that were asked, clipped to +-100 points.

        Where one of them has no answer there is no score: a sum without it would count it as a no.

        Args:
            probabilities: question -> P(yes), of the questions that were asked; NaN where there is no answer.
            words: the answer of the judge, untrusted text.
            hard: count a probability of one half or more as a whole yes, and anything below as a no.
        """
        answered = [item for item in self.items if _is_probability(probabilities.get(item.name))]
        if not answered:
            if not probabilities:
                return Score.none("no question applies", words, applies=False)
            return Score.none("no question was answered", words)
        if open_questions := self.unanswered(probabilities):
            return Score.none(f"no answer to {', '.join(open_questions)}", words)
        parts = {}
        for item in answered:
            yes = probabilities[item.name]
            parts[item.name] = item.points * (float(yes >= 0.5) if hard else yes)
        return Score(max(-SCALE, min(SCALE, math.fsum(parts.values()))), parts, "", words)

    def unanswered(self, probabilities: Mapping[str, float]) -> tuple[str, ...]:
        """Return the questions that were asked and have no answer (NaN, or no probability)."""
        return tuple(name for name, yes in probabilities.items() if name in self.names and not _is_probability(yes))


def require_facts(rubric: Rubric, prompts: Collection[Prompt]) -> None:
    """Refuse questions that depend on a fact which no prompt has: they would never be asked.

    Raises:
        RewardError: names each question, its fact, and the nearest fact that there is.
    """
    facts = {name for prompt in prompts for name in prompt.facts}
    asked = [(item.name, item.when.split(".")[0]) for item in rubric.items if item.when]
    problems = [
        Problem(
            f"{name}: when",
            f"no prompt has the fact '{fact}'",
            f"{did_you_mean(fact, facts) if facts else 'prompts have no facts'}; without the question: "
            f"reward.drop_items=[{name}]",
        )
        for name, fact in asked
        if fact not in {*facts, "*"}
    ]
    if problems:
        raise RewardError("The rubric does not fit the prompts:", problems)


def load_rubric(
    folder: str | Path,
    *,
    drop: Collection[str] = (),
    points: Mapping[str, float] | None = None,
    origin: str = "rubric",
) -> Rubric:
    """Return the questions declared in ``folder``, one YAML file each.

    Args:
        folder: where the files are.
        drop: questions to leave out (an ablation).
        points: question -> points that replace those in its file.
        origin: where ``drop`` and ``points`` come from, for messages.

    Raises:
        RewardError: lists everything that is wrong in any file, with file and line.
    """
    declarations, problems = read_folder(folder)
    items = []
    for declaration in declarations:
        item, wrong = _item(declaration)
        problems += wrong
        if item is not None:
            items.append(item)
    kept, wrong = overridden(
        declarations, {item.name: item.points for item in items}, drop=drop, override=points or {}, origin=origin
    )
    if problems + wrong:
        raise RewardError(f"The rubric in {folder} cannot be used:", problems + wrong)
    return Rubric(
        tuple(
            Item(item.name, item.purpose, item.question, float(kept[item.name]), item.when, item.yes, item.no)
            for item in items
            if item.name in kept
        )
    )


def _item(declaration: Declaration) -> tuple[Item | None, list[Problem]]:
    data, where = declaration.data, declaration.where
    problems = declaration.wrong_keys(required=("question", "points"), optional=("when", "examples"))
    question, points, when = data.get("question", "?"), data.get("points", 0), data.get("when", "")
    examples = data.get("examples", {})
    if not isinstance(question, str) or not question.strip().endswith("?"):
        problems.append(Problem(where("question"), f"question: {question!r}", "a text that ends with a question mark"))
    elif len(question.split()) > LONGEST_QUESTION:
        problems.append(
            Problem(where("question"), f"{len(question.split())} words", f"at most {LONGEST_QUESTION}: keep it short")
        )
    if not is_number(points):
        problems.append(Problem(where("points"), f"points: {points!r}", "a number: the points of a yes"))
    if not isinstance(when, str):
        problems.append(Problem(where("when"), f"when: {when!r}", "the path of a fact"))
    shape = "examples: {yes: [...], no: [...]}, texts in quotes"
    if not isinstance(examples, Mapping):
        problems.append(Problem(where("examples"), "examples are not a mapping", shape))
        examples = {}
    for side, texts in examples.items():
        if side not in ("yes", "no"):
            problems.append(Problem(where("examples", side), f"unknown key '{side}'", shape))
        elif not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            problems.append(Problem(where("examples", side), "is not a list of texts", shape))
    if problems:
        return None, problems
    yes, no = (tuple(examples.get(side, ())) for side in ("yes", "no"))
    return Item(declaration.name, declaration.purpose, question.strip(), float(points), when, yes, no), []


def _is_probability(value: Any) -> bool:
    return is_number(value) and 0.0 <= value <= 1.0
