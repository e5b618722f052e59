"""Preference data of users: pairs of responses in common formats, read without loss or refused.

opening       a path becomes files
recognising   what a file is
rows          a file becomes rows
messages      messages as others write them
shapes        what of a row is the prompt, and what are the responses
reading       a row becomes a pair
splitting     pairs become a corpus
checking      notes on the rows: duplicates, contradictions, unused fields
"""

from __future__ import annotations

import functools
import logging
import os
from dataclasses import dataclass
from pathlib import Path

from repo_exp.domains.own_data import checking, splitting
from repo_exp.domains.own_data.faults import EXAMPLE, Bad, Fault, problems, refusal, write_all
from repo_exp.domains.own_data.faults import counted as count_faults
from repo_exp.domains.own_data.opening import Found, find, signature
from repo_exp.domains.own_data.options import JsonlOptions as Options
from repo_exp.domains.own_data.reading import Pair, pair
from repo_exp.domains.own_data.rows import rows_of
from repo_exp.errors import ConfigError, DataError, Problem
from repo_exp.types import Corpus

__all__ = ["Options", "OwnData", "corpus", "find", "forget", "load", "write_all"]
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OwnData:
    """Your data.

    Attributes:
        corpus: the pairs, by split.
        notes: what was counted in them, a sentence each.
        bad: rows that were left out.
        good: how many rows were not.
    """

    corpus: Corpus
    notes: tuple[str, ...]
    bad: tuple[Fault, ...]
    good: int

    def bad_lines(self, into: Path | None = None) -> str:
        """Return the warning that lists the rows that were left out, the first of them; empty where there are none."""
        if not self.bad:
            return ""
        listed = problems(self.bad, good=self.good, into=into)
        return "\n".join([f"left out: {count_faults(self.bad, good=self.good)}", *(f"  {each}" for each in listed)])


def load(
    path: str | os.PathLike[str], *, seed: int, development: float, test: float, skip_bad_lines: bool = False
) -> OwnData:
    """Return the pairs of a file or a folder, split, and notes on them.

    Args:
        seed: which prompts go to which split.
        development: share of the prompts held out for development.
        test: share of the prompts held out for the test.
        skip_bad_lines: leave bad rows out instead of stopping.

    Raises:
        DataError: the data cannot be read, have no usable row, or have bad rows (they are counted and listed).
        ConfigError: the shares leave nothing to train on.
    """
    if not (0 <= development < 1 and 0 <= test < 1 and development + test < 1):
        raise ConfigError(
            "nothing is left to train on",
            [
                Problem(
                    "data.development, data.test", f"{development} and {test}", "two shares from 0 whose sum is below 1"
                )
            ],
        )
    found = find(path)
    good, bad = _read(found, signature(found))
    if bad and not skip_bad_lines:
        raise refusal(bad, good=len(good))
    if not good:
        wrong = problems(bad, good=0) if bad else (Problem(str(path), "no row in it", f"a line: {EXAMPLE}"),)
        raise DataError("no pair to train on", wrong)
    split_of = splitting.splits(good, seed=seed, development=development, test=test)
    pairs = splitting.corpus(good, split_of)
    notes = [*_passed_over(found), *checking.notes(good, split_of), *checking.small_splits(pairs)]
    return OwnData(pairs, tuple(notes), bad, len(good))


def corpus(*, seed: int, options: Options) -> Corpus:
    """Return the corpus of :func:`load`; rows that were left out are a warning.

    Raises:
        DataError, ConfigError: as :func:`load` does.
    """
    shares = {"development": options.development, "test": options.test}
    data = load(options.path, seed=seed, skip_bad_lines=options.skip_bad_lines, **shares)
    if data.bad:
        _LOG.warning(data.bad_lines())
    return data.corpus


@functools.lru_cache(maxsize=1)
def _read(found: Found, state: tuple) -> tuple[tuple[Pair, ...], tuple[Fault, ...]]:
    """Return the pairs and the bad rows. Files in the same ``state`` are read once: checks come before runs."""
    good: list[Pair] = []
    bad: list[Fault] = []
    for source in found.sources:
        for where, number, row in rows_of(source):
            try:
                if isinstance(row, Bad):
                    raise row
                good.append(
                    pair(
                        row,
                        name=f"{source.name}-{number}",
                        where=where,
                        split=source.split,
                        cells=source.kind in ("csv", "tsv"),
                    )
                )
            except Bad as error:
                bad.append((where, error))
    return tuple(good), tuple(bad)


def forget() -> None:
    """Let go of the pairs that were read last."""
    _read.cache_clear()


def _passed_over(found: Found) -> list[str]:
    if not found.passed_over:
        return []
    names = ", ".join(map(repr, found.passed_over[:5])) + (", ..." if len(found.passed_over) > 5 else "")
    return [f"{len(found.passed_over):,} files of the folder are not read: {names}"]
