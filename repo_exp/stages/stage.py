"""A stage: what it reads of the configuration, which artifacts go into it, and how it is built.

    inputs(config)                          a frozen record: all that `build` may read of the configuration
    parents(config)                         the artifacts that go into it: part -> name of the stage that makes it
    build(inputs, parents, folder, run)     writes the artifact's files

The store addresses an artifact by the record and by the parents' addresses, and `build` never sees the configuration,
so the address covers exactly what a stage reads. Settings that cannot change a result (threads, microbatches, retries)
are in ``run.machine``; no address contains them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

from repo_exp.config.schema import Config
from repo_exp.stages.run_context import RunContext
from repo_exp.stages.store import Artifact

I = TypeVar("I")  # noqa: E741  the record of a stage


class Stage(ABC, Generic[I]):
    """One stage of the pipeline.

    Attributes:
        name: of the stage; its artifacts are in this folder of the store, and its metrics carry it.
        version: is raised whenever the code changes the result for the same inputs.
        internal: is it a step of another stage, which reports and ``artifacts.tsv`` do not list?
    """

    name: str
    version: int
    internal: bool = False

    def wanted(self, config: Config) -> bool:
        """Return whether this configuration needs the stage."""
        return True

    @abstractmethod
    def inputs(self, config: Config) -> I:
        """Return what the artifact depends on besides its parents: a frozen dataclass, see :mod:`inputs`."""

    def parents(self, config: Config) -> Mapping[str, str]:
        """Return the artifacts that go into it: part -> name of the stage that makes it."""
        return {}

    @abstractmethod
    def build(
        self, inputs: I, parents: Mapping[str, Artifact], folder: Path, run: RunContext
    ) -> Mapping[str, Any] | None:
        """Write the artifact's files into ``folder``.

        Returns:
            Its cost, as JSON for the record. Unlike the files, this may differ between two runs.
        """

    def incomplete(self, artifact: Artifact) -> bool:
        """Return whether a finished artifact should be built again: an endpoint left it without scores."""
        return False

    def check(self, inputs: I, artifact: Artifact) -> None:
        """Reject an artifact, just built or found, that the run cannot use."""
