"""The interface for reporting metrics during a run, and a fan-out in which no tracker can stop the run."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, runtime_checkable

from repo_exp.errors import WriteError
from repo_exp.redaction import masked

LOG = logging.getLogger(__name__)


@runtime_checkable
class Tracker(Protocol):
    """Where figures go."""

    def log(self, stage: str, step: int, metrics: Mapping[str, float]) -> None:
        """Take the metrics of one step of one stage; NaN means "no value"."""

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Take a table, of sample responses say. A second one of the same name replaces the first."""

    def summary(self, values: Mapping[str, Any]) -> None:
        """Take figures of the run as a whole; later ones are added."""

    def file(self, path: Path) -> None:
        """Take a finished file of the run folder, the report say."""

    def finish(self, ok: bool) -> None:
        """End, well or not. Nothing is reported afterwards."""


class Trackers:
    """Several trackers as one; a context manager that finishes them.

    A tracker that fails (network, a service) is named in one warning and switched off; the run and the other trackers
    go on. A run folder that cannot be written is an error: ``WriteError``.

        with Trackers([JsonlTracker(folder)]) as trackers:
            trackers.log("policy", 3, {"reward/total": 0.4})
    """

    def __init__(self, trackers: Sequence[Tracker]) -> None:
        self._trackers = list(trackers)

    @property
    def active(self) -> tuple[Tracker, ...]:
        """Those that have not failed and are not finished."""
        return tuple(self._trackers)

    def log(self, stage: str, step: int, metrics: Mapping[str, float]) -> None:
        """See ``Tracker.log``."""
        self._each("log", lambda tracker: tracker.log(stage, step, metrics))

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """See ``Tracker.table``."""
        self._each("table", lambda tracker: tracker.table(name, columns, rows))

    def summary(self, values: Mapping[str, Any]) -> None:
        """See ``Tracker.summary``."""
        self._each("summary", lambda tracker: tracker.summary(values))

    def file(self, path: Path) -> None:
        """See ``Tracker.file``."""
        self._each("file", lambda tracker: tracker.file(path))

    def finish(self, ok: bool = True) -> None:
        """Finish all of them; a second call does nothing."""
        self._each("finish", lambda tracker: tracker.finish(ok))
        self._trackers.clear()

    def __enter__(self) -> Trackers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.finish(ok=kind is None)

    def _each(self, what: str, call: Callable[[Tracker], None]) -> None:
        for tracker in list(self._trackers):
            try:
                call(tracker)
            except WriteError:  # the run folder is full or gone: nothing quietly goes missing
                raise
            except Exception as error:  # whatever it is, a figure less is no reason to lose the run
                self._trackers.remove(tracker)
                LOG.warning(
                    "%s failed in %s (%s: %s) and is switched off; the run continues without it",
                    type(tracker).__name__,
                    what,
                    type(error).__name__,
                    masked(str(error)),
                )
                if what != "finish":
                    with contextlib.suppress(Exception):
                        tracker.finish(False)
