"""Weights & Biases, offline unless there is a login: it needs no account, asks no question and sends no secret."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import netrc
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from repo_exp.durable import write_text
from repo_exp.plain import plain
from repo_exp.tracking.masking import mask_secrets

CLOUD = ("api.wandb.ai", "api.forge.coreweave.com", "forge.coreweave.com")
"""The hosts of W&B's own service, for any of which a login may be stored."""

INIT_SECONDS = 20
FINISH_SECONDS = 120


RUN = "run.json"
"""In the ``wandb`` folder: which W&B run this is, for a command that goes on in the same run folder."""


class WandbTracker:
    """One W&B run in the run folder. Every stage has a step axis of its own: ``policy/step``, ``sft/step``.

    The same configuration started again in the same folder is the same W&B run: online it goes on after the steps that
    the server has; offline all steps are written again, and ``wandb sync`` of the newest folder has every one of them.

    Args:
        run_folder: where the ``wandb/`` folder goes.
        config: the run's configuration; secrets are masked before it is handed over.
        name: of the run.
        project, entity: where it belongs.
        group: what the runs of one sweep have in common.
        tags: to find it by.
        mode: "online", "offline" or "disabled".
    """

    def __init__(
        self,
        run_folder: Path,
        config: Mapping[str, Any],
        *,
        name: str,
        project: str = "repo_exp",
        entity: str | None = None,
        group: str | None = None,
        tags: Sequence[str] = (),
        mode: str = "offline",
    ) -> None:
        import wandb

        folder = Path(run_folder)
        folder.mkdir(parents=True, exist_ok=True)
        masked = dict(mask_secrets(config))
        run_id, goes_on = _run_id(folder / "wandb" / RUN, masked)
        self._wandb = wandb
        self._stages: set[str] = set()
        self._before: dict[str, int] = {}  # stage -> what _known found, before this run logs more
        # wandb reads the environment once per process; a server that was named since then counts, too.
        server = {"base_url": os.environ["WANDB_BASE_URL"]} if os.environ.get("WANDB_BASE_URL") else {}
        self._run = wandb.init(
            dir=str(folder),
            config=masked,
            id=run_id,
            resume="allow" if goes_on and mode == "online" else None,
            name=name,
            project=project,
            entity=entity,
            group=group,
            tags=list(tags),
            mode=mode,  # type: ignore[arg-type]  # from the environment: wandb itself refuses what it does not know
            # Several runs may follow each other in one process (a sweep); none takes over another's.
            reinit="create_new",
            settings=wandb.Settings(
                silent=True,
                console="off",
                disable_git=True,  # the remote's address may hold a password,
                x_disable_meta=True,  # and so may the command line
                x_disable_stats=True,
                x_disable_machine_info=True,
                save_code=False,
                init_timeout=INIT_SECONDS,
                finish_timeout=FINISH_SECONDS,
                **server,
            ),
        )

    def log(self, stage: str, step: int, metrics: Mapping[str, float]) -> None:
        """Log ``stage/name`` for each metric on the stage's own axis; one without a finite value is left out."""
        if step <= self._known(stage):
            return
        if stage not in self._stages:
            self._stages.add(stage)
            self._run.define_metric(f"{stage}/step", hidden=True)
            self._run.define_metric(f"{stage}/*", step_metric=f"{stage}/step")
        named = {_named(stage, name): float(value) for name, value in metrics.items() if math.isfinite(value)}
        self._run.log({f"{stage}/step": int(step), **named})

    def _known(self, stage: str) -> int:
        """Return the last step of a stage that the server has of a run that goes on; -1 for none."""
        if not self._run.resumed:
            return -1
        if stage not in self._before:
            last = self._run.summary.get(f"{stage}/step")
            self._before[stage] = int(last) if isinstance(last, int | float) else -1
        return self._before[stage]

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Log a wandb.Table."""
        data = [[_cell(value) for value in row] for row in rows]
        self._run.log({name: self._wandb.Table(columns=list(columns), data=data, allow_mixed_types=True)})

    def summary(self, values: Mapping[str, Any]) -> None:
        """Add to the run's summary."""
        self._run.summary.update({name: plain(value) for name, value in values.items()})

    def file(self, path: Path) -> None:
        """Show an HTML file as a panel of the run; keep any other with the run's files."""
        path = Path(path)
        if path.suffix == ".html":
            self._run.log({path.stem: self._wandb.Html(path, inject=False)})
        else:
            self._run.save(str(path), base_path=str(path.parent), policy="now")

    def finish(self, ok: bool) -> None:
        """End the run, as finished or as failed."""
        self._run.finish(exit_code=0 if ok else 1)


def _run_id(path: Path, config: Mapping[str, Any]) -> tuple[str, bool]:
    """Return the W&B id of a run with this configuration in this folder, and whether it was started here before."""
    of = hashlib.sha256(json.dumps(plain(config), sort_keys=True, default=str).encode()).hexdigest()
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        saved = json.loads(path.read_text(encoding="utf-8"))
        if saved["configuration"] == of:
            return str(saved["id"]), True
    made = secrets.token_hex(4)
    write_text(path, json.dumps({"id": made, "configuration": of}) + "\n")
    return made, False


def wandb_mode(wanted: str | None = None) -> str:
    """Return "online", "offline" or "disabled".

    ``WANDB_MODE`` in the environment wins; then ``wanted``, if the configuration says one; else online where a
    key or a login is found, and offline where none is.
    """
    chosen = os.environ.get("WANDB_MODE") or (wanted if wanted != "auto" else None)
    if chosen:
        return {"dryrun": "offline", "run": "online"}.get(chosen.lower(), chosen.lower())
    return "online" if os.environ.get("WANDB_API_KEY") or _netrc_login() else "offline"


def _netrc_login() -> bool:
    server = os.environ.get("WANDB_BASE_URL")
    hosts = [urlparse(server).hostname or ""] if server else CLOUD
    named = os.environ.get("NETRC")
    for path in [Path(named)] if named else [Path.home() / ".netrc", Path.home() / "_netrc"]:
        try:
            logins = netrc.netrc(str(path)).hosts
        except (OSError, netrc.NetrcParseError):
            continue
        if any(host in logins for host in hosts):
            return True
    return False


def _named(stage: str, metric: str) -> str:
    """reward/total -> policy/reward/total; policy/entropy stays, it says its stage already."""
    return metric if metric.startswith(f"{stage}/") else f"{stage}/{metric}"


def _cell(value: Any) -> Any:
    """Scalars as they are; anything else as text."""
    value = plain(value)
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
