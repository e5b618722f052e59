"""Builds a stage's artifact, or finds it in the store."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from repo_exp import stopping
from repo_exp.errors import NotFiniteError
from repo_exp.stages.inputs import as_json
from repo_exp.stages.run_context import METRICS, NOTES, RunContext
from repo_exp.stages.stage import I, Stage
from repo_exp.stages.store import Artifact
from repo_exp.training.callbacks.progress import Heartbeat

log = logging.getLogger(__name__)


def make(
    stage: Stage[I],
    inputs: I,
    parents: Mapping[str, Artifact],
    run: RunContext,
    *,
    before: Callable[[], object] | None = None,
) -> Artifact:
    """Return a stage's artifact; its metrics reach the trackers whether it was built or found.

    Args:
        before: called where the artifact is built and not found.

    Raises:
        NotFiniteError: something in it is not finite, so that it is not made; names the stage.
        StoreError, WriteError: see :meth:`Store.make`.
    """

    def build(folder: Path) -> Mapping[str, Any] | None:
        if before is not None:
            before()
        try:
            with Heartbeat(stage.name):
                return stage.build(inputs, parents, folder, run)
        except NotFiniteError as error:
            raise error.during(f"the stage {stage.name} stops") from error

    artifact = run.store.make(
        stage.name,
        version=stage.version,
        inputs=as_json(inputs),
        parents=parents,
        build=build,
        again=stage.incomplete,
    )
    stopping.kept("")  # of a stage that goes on; this one is finished
    if artifact.reused:
        log.info("%s: from the store (%s)", stage.name, artifact.address)
        if (artifact.folder / METRICS).is_file():
            run.replay(stage.name, artifact.read(METRICS))
    else:
        log.info("%s: done in %.0f s (%s)", stage.name, artifact.record["seconds"], artifact.address)
    if (artifact.folder / NOTES).is_file():
        run.note(stage.name, artifact.read(NOTES))
    stage.check(inputs, artifact)
    return artifact
