"""The values of a sweep, and which of its combinations are checked before the first job starts.

Up to ``MOST_COMBINATIONS`` combinations are checked, since composing one takes a fifth of a second. Further values of a
long list are checked for their type alone.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep, ValueType

from repo_exp.config.overrides import Findings, line_of
from repo_exp.config.wording import lookup
from repo_exp.errors import Problem

T = TypeVar("T")

MOST_COMBINATIONS = 16
MOST_VALUES_ALONE = 400
MOST_JOBS = 10_000


@dataclass(frozen=True)
class Dimension:
    """One key with the overrides that the jobs get: a single one, or in a sweep several.

    Attributes:
        chooses: does it choose an option of a group?
    """

    key: str
    lines: tuple[str, ...]
    chooses: bool = False

    @property
    def swept(self) -> bool:
        """Does it differ between jobs?"""
        return len(self.lines) > 1


def lines_of(override: Override, groups: Sequence[str], options: Sequence[str], findings: Findings) -> list[str]:
    """Return an override for each value. A sweep with no values, or with too many, is a problem.

    Args:
        groups: those that there are.
        options: of the override's group; none where it sets a value.
    """
    key, line, value = override.get_key_element(), line_of(override), override.value()
    is_glob = override.value_type == ValueType.GLOB_CHOICE_SWEEP
    if is_glob and override.key_or_group not in groups:
        remedy = f"write the values: {key}=VALUE,VALUE; glob is for groups, such as algorithm=glob(*)"
        findings.add(line, f"glob chooses among the options of a group, and {key} is not a group", remedy)
        return []
    if isinstance(value, IntervalSweep):
        return [f"{key}={value.start}", f"{key}={value.end}"]
    if isinstance(value, RangeSweep):
        if value.step == 0:
            findings.add(line, "a range with a step of 0 has no end", f"{key}=range({value.start:g},{value.stop:g})")
            return []
        if (count := _count(value)) > MOST_JOBS:
            findings.add(line, _too_many(count), f"{key}=range({value.start:g},STOP,STEP) with fewer values")
            return []
    lines = [f"{key}={each}" for each in override.sweep_string_iterator()]
    if not lines and is_glob:
        findings.add(line, f"no option of '{key}' matches", f"valid: {', '.join(options)}")
    elif not lines:
        findings.add(
            line, "this sweep has no value", f"range(START,STOP) ends before STOP: {key}=range(0,3) is 0, 1, 2"
        )
    return lines


def _count(bounds: RangeSweep) -> int:
    assert bounds.start is not None and bounds.stop is not None  # of a parsed override
    return max(0, math.ceil((bounds.stop - bounds.start) / bounds.step))


def _too_many(count: int) -> str:
    return f"{count:,} jobs are more than a sweep may have ({MOST_JOBS:,})"


def size(dimensions: Sequence[Dimension]) -> int:
    """Return how many jobs there are."""
    return math.prod(len(each.lines) for each in dimensions)


def inside_sweeps(
    dimensions: Sequence[Dimension], contents: Callable[[str], Mapping[str, Mapping[str, Any]]]
) -> list[Problem]:
    """Return the problems of options that are sweeps themselves: a job of a sweep cannot be another sweep.

    Args:
        contents: group -> option -> its file.
    """
    problems = []
    for each in dimensions:
        for line in each.lines if each.swept and each.chooses else ():
            group, _, option = line.partition("=")
            content = contents(group).get(option)
            if content is not None and lookup(content, ("hydra", "sweeper", "params")):
                problems.append(
                    Problem(
                        line,
                        "this option is a sweep itself, not a single job",
                        f"run it in a command of its own: {line}",
                    )
                )
    return problems


def too_many(dimensions: Sequence[Dimension]) -> list[Problem]:
    """Return a problem if there are more jobs than a sweep may have."""
    if size(dimensions) <= MOST_JOBS:
        return []
    swept = " ".join(f"{each.key} ({len(each.lines):,} values)" for each in dimensions if each.swept)
    return [
        Problem(swept, _too_many(size(dimensions)), "several smaller sweeps; artifacts that they share are built once")
    ]


def combinations(dimensions: Sequence[Dimension], most: int | None = None) -> list[tuple[str, ...]]:
    """Return all combinations; of too many, each option and some values of each key, then others at equal distances."""
    count, most = size(dimensions), most or MOST_COMBINATIONS
    if count <= most:
        return list(itertools.product(*(each.lines for each in dimensions)))
    first = [each.lines[0] for each in dimensions]
    options = sum(len(each.lines) - 1 for each in dimensions if each.chooses)
    lists = sum(each.swept and not each.chooses for each in dimensions)
    quota = max(2, (most - options) // max(lists, 1))
    singles = [
        (*first[:place], line, *first[place + 1 :])
        for place, each in enumerate(dimensions)
        for line in (each.lines if each.chooses else evenly(each.lines, quota))
    ]
    others = (_combination(dimensions, number) for number in evenly(range(count), most))
    chosen = list(dict.fromkeys(singles))
    return chosen + [each for each in dict.fromkeys(others) if each not in chosen][: max(0, most - len(chosen))]


def _combination(dimensions: Sequence[Dimension], number: int) -> tuple[str, ...]:
    """Return one of all combinations, counted as ``itertools.product`` does."""
    lines = []
    for each in reversed(dimensions):
        number, place = divmod(number, len(each.lines))
        lines.append(each.lines[place])
    return tuple(reversed(lines))


def evenly(values: Sequence[T], most: int) -> list[T]:
    """Return at most ``most`` of the values, at equal distances, with both ends."""
    if len(values) <= most:
        return list(values)
    return [values[round(k * (len(values) - 1) / (most - 1))] for k in range(most)]


def with_case(problem: Problem, cases: Sequence[tuple[str, ...]], checked: int, swept: Collection[str]) -> Problem:
    """Return the problem with the jobs that have it, if not all do.

    Args:
        cases: the combinations that have it.
        checked: how many there were.
        swept: the lines that differ between jobs.
    """
    if len(cases) == checked:
        return problem
    common = [line for line in cases[0] if line in swept and all(line in case for case in cases)]
    if common:
        return replace(problem, found=f"{problem.found} (when {' '.join(common)})")
    example = " ".join(line for line in cases[0] if line in swept)
    return replace(problem, found=f"{problem.found} (in {len(cases)} of {checked} jobs, such as {example})")
