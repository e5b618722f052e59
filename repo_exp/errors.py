"""The errors that users can see.

RepoExpError
|- ConfigError      the configuration cannot run; lists every problem at once
|- DataError        a data file has bad lines; lists every one of them
|- RewardError      a rule, a rubric or a judge is not valid
|- ModelError       a model or an adapter is missing or cannot be used
|- MissingScoresError  too many responses have no score to train on
|- NotFiniteError   a loss, gradient, weight or score is NaN or infinite, and the run cannot go on
|- StoreError       an artifact is damaged or of another version
`- WriteError       a file cannot be written: disk full, read-only, no permission
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem: where it is, what was found, what would work."""

    where: str
    found: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.found}" + (f"\n    {self.remedy}" if self.remedy else "")


def from_system(error: OSError) -> Problem:
    """Return the problem that the operating system reports, with its file."""
    name = str(error.filename or "the operating system")
    where = name if len(name) <= 120 else f"{name[:117]}..."
    return Problem(where, (error.strerror or str(error) or type(error).__name__).lower())


class RepoExpError(Exception):
    """An error that the user can correct, with all its problems."""

    def __init__(self, headline: str, problems: Iterable[Problem] = ()) -> None:
        self.headline = headline
        self.problems = tuple(problems)
        super().__init__("\n".join([headline, *(f"  {problem}" for problem in self.problems)]))

    def __reduce__(self) -> tuple[type[RepoExpError], tuple[str, tuple[Problem, ...]]]:
        # Launchers send errors between processes; the default would hand the joined text to __init__.
        return (type(self), (self.headline, self.problems))


class ConfigError(RepoExpError):
    """The configuration cannot run."""


class DataError(RepoExpError):
    """A data file has lines that cannot be read."""


class RewardError(RepoExpError):
    """A rule, a rubric or a judge is not valid."""


class ModelError(RepoExpError):
    """A model or an adapter is missing or cannot be used."""


class MissingScoresError(RepoExpError):
    """Too many responses have no score to train on. The same command continues from the last checkpoint."""


class NotFiniteError(RepoExpError):
    """A loss, gradient, weight or score is NaN or infinite. Nothing computed from it may be kept."""

    def during(self, what: str) -> NotFiniteError:
        """Return the error with the activity in front; callers add it as the error passes through."""
        return NotFiniteError(f"{what}: {self.headline}", self.problems)


class StoreError(RepoExpError):
    """An artifact is damaged, or was made by another version."""


class WriteError(RepoExpError):
    """A file cannot be written: the disk is full or read-only, or the permission is missing."""


def did_you_mean(word: str, valid: Iterable[str]) -> str:
    """Return a sentence with the nearest valid name, or with all of them if none is near.

    Capitals, - for _, and the order of what + joins do not count: REPO is repo, and rf+rm is rm+rf.
    """
    valid = sorted(valid)
    plain = {_plain(name): name for name in valid}
    near = [plain[_plain(word)]] if _plain(word) in plain else difflib.get_close_matches(word, valid, n=1, cutoff=0.6)
    near = near or [plain[name] for name in difflib.get_close_matches(_plain(word), plain, n=1, cutoff=0.6)]
    if near:
        return f"did you mean '{near[0]}'?"
    return f"valid: {', '.join(valid)}" if valid else "there are no valid names"


def _plain(name: str) -> str:
    return "+".join(sorted(name.strip().casefold().replace("-", "_").split("+")))
