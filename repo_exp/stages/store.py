"""A store of artifacts, addressed by the content of their inputs.

    <root>/<stage>/<address>/artifact.json      who made it, from what, and every file with its digest
    <root>/.work/<stage>-<address>/             unfinished work and its checkpoint; a later run takes it up

An artifact is complete or absent. It is built in the work folder: its files are synced to disk, then the record is
written, then the folder is renamed, and only then temporary files such as checkpoints are removed. Two runs that want
the same artifact at once wait for one another. A finished artifact is read without a lock, so a store may be read-only.
Finished artifacts hold no pickle, and no weight is NaN or infinite.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from repo_exp import durable
from repo_exp.errors import NotFiniteError, Problem, StoreError
from repo_exp.plain import plain
from repo_exp.stages.digests import Digests

log = logging.getLogger(__name__)
RECORD = "artifact.json"
NOT_FINITE = "has weights that are not finite"
SMALL = 2**24  # bytes; larger files are weights, whose content is checked when they are loaded
HELPERS = (".ckpt", ".parts", durable.TEMPORARY)
"""Suffixes of files and folders that only serve to resume: they are not part of the artifact."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """A finished piece of work.

    Attributes:
        stage: name of the stage that built it.
        address: its name in the store; depends on everything that went into it.
        folder: where its files are.
        record: the content of ``artifact.json``.
        reused: was it found and not built?
    """

    stage: str
    address: str
    folder: Path
    record: Mapping[str, Any]
    reused: bool

    def read(self, name: str) -> Any:
        """Return one of its JSON files.

        Raises:
            StoreError: it holds NaN or an infinity, which is no JSON.
        """
        return json.loads((self.folder / name).read_text(encoding="utf-8"), parse_constant=self.not_a_number(name))

    def not_a_number(self, name: str) -> Callable[[object], Any]:
        """Return what refuses a number of one of its files that is not finite, or not there."""

        def refuse(found: object) -> Any:
            problem = Problem(str(self.folder / name), f"{found} where a number has to be", f"remove {self.folder}")
            raise StoreError("an artifact is damaged; it is built again once its folder is removed", [problem])

        return refuse


def address(stage: str, *, version: int, inputs: Any, parents: Mapping[str, str]) -> str:
    """Return the address of what a stage makes of these inputs: 16 hexadecimal digits.

    Args:
        inputs: JSON.
        parents: the addresses of the artifacts that go into it, by the part they play.
    """
    content = {"stage": stage, "version": version, "inputs": inputs, "parents": dict(parents)}
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Store:
    """The artifacts below one folder."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self.digest = Digests(self.root)

    def make(
        self,
        stage: str,
        *,
        version: int,
        inputs: Mapping[str, Any],
        parents: Mapping[str, Artifact],
        build: Callable[[Path], Mapping[str, Any] | None],
        again: Callable[[Artifact], bool] | None = None,
    ) -> Artifact:
        """Return the artifact: found, or else built.

        Args:
            stage: the stage's name.
            version: is raised whenever the stage's code changes what it makes.
            inputs: JSON, everything besides the parents that can change the result.
            parents: artifacts that go into it, by the part they play.
            build: writes the files into the given folder. What an interrupted run left there is still in it, so
                that it can resume. Names with a suffix of ``HELPERS`` are not part of the artifact. It returns what
                it cost: JSON for the record, which unlike the files may differ between two runs.
            again: returns whether a finished artifact is to be built again, as one that an endpoint left without
                scores. It is replaced when the new one is complete.

        Raises:
            NotFiniteError: weights that are not finite were written; they do not enter the store.
            WriteError: the artifact is missing, and the store cannot be written or is full.
            StoreError: the artifact is damaged and cannot be moved aside.
        """
        name = address(stage, version=version, inputs=inputs, parents={k: p.address for k, p in parents.items()})
        final, work = self.root / stage / name, self.root / ".work" / f"{stage}-{name}"
        found, damage = self._look(stage, name, final)
        if found is not None and not (again is not None and again(found)):
            _remove_helpers(final)  # a run that was cut off right after the rename left them
            return found
        state = "has missing scores and would be built again" if found is not None else damage or "is not in this store"
        remedy = f"{stage} {name} {state}; use a store that can be written: store=FOLDER"
        with durable.refusals(self.root, remedy=remedy):
            work.parent.mkdir(parents=True, exist_ok=True)
            lock = _lock(Path(f"{work}.lock"), f"{stage} {name}")
        with lock:
            found = self._find(stage, name, final)
            if found is not None and not (again is not None and again(found)):
                return found
            complete = self._look(stage, name, work)[0] is not None  # a run was cut off just before the rename
            if not complete:
                origin = {"stage": stage, "address": name, "version": version, "inputs": inputs}
                origin["parents"] = {part: f"{parent.stage}/{parent.address}" for part, parent in parents.items()}
                _build(build, work, origin, describe=self._describe)
            durable.make_folder(final.parent)
            old = work.with_name(f"{work.name}.old-{time.time_ns()}")
            with durable.refusals(final):
                if final.exists():
                    os.replace(final, old)
                os.replace(work, final)
                durable.sync(final.parent)
                durable.sync(work.parent)
            shutil.rmtree(old, ignore_errors=True)
            _remove_helpers(final)
            record = json.loads((final / RECORD).read_text(encoding="utf-8"))
        return Artifact(stage, name, final, record, reused=complete)

    def all(self) -> Iterator[Artifact]:
        """Yield every finished artifact, oldest first. Folders without a readable record are skipped."""
        found = []
        for path in self.root.glob(f"[!.]*/*/{RECORD}"):
            try:
                record = json.loads(path.read_text(encoding="utf-8"))
                found.append(Artifact(record["stage"], record["address"], path.parent, record, reused=True))
            except (OSError, ValueError, KeyError):
                log.warning("%s: cannot be read, skipped", path)
        yield from sorted(found, key=lambda artifact: artifact.record.get("made", ""))

    def _look(self, stage: str, address: str, folder: Path) -> tuple[Artifact | None, str]:
        """Return the artifact if it is complete; otherwise None, and what is wrong with it if it is there."""
        if not folder.exists():
            return None, ""
        try:
            record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
            damaged = [name for name, file in record["files"].items() if self._differs(folder / name, file)]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            damaged = [f"{RECORD} ({error.__class__.__name__})"]
        if damaged:
            return None, f"is damaged ({', '.join(damaged)})"
        broken = [name for name, file in record["files"].items() if file["bytes"] < SMALL and _broken(folder / name)]
        if broken:
            return None, f"{NOT_FINITE} ({', '.join(broken)})"
        return Artifact(stage, address, folder, record, reused=True), ""

    def _find(self, stage: str, address: str, folder: Path) -> Artifact | None:
        """Return the artifact if it is there; move it aside if it is damaged. The caller holds the lock."""
        found, damage = self._look(stage, address, folder)
        if damage:
            self._set_aside(folder, damage)
            for child in self._made_from(f"{stage}/{address}") if damage.startswith(NOT_FINITE) else ():
                self._set_aside(child.folder, f"was made from {stage}/{address}, whose weights are not finite,")
        return found

    def _set_aside(self, folder: Path, why: str) -> None:
        aside = folder.with_name(f"{folder.name}.damaged-{time.time_ns()}")
        try:
            os.replace(folder, aside)
        except OSError as error:
            raise StoreError(
                "an artifact is damaged and cannot be moved aside",
                [Problem(str(folder), str(error), "remove it by hand")],
            ) from error
        log.warning("%s %s: moved to %s and built again", folder, why, aside.name)

    def _describe(self, path: Path) -> dict[str, Any]:
        return {"bytes": path.stat().st_size, "sha256": self.digest(path)}

    def _differs(self, path: Path, recorded: Mapping[str, Any]) -> bool:
        return not path.is_file() or path.stat().st_size != recorded["bytes"] or self.digest(path) != recorded["sha256"]

    def _made_from(self, parent: str) -> list[Artifact]:
        """Return the artifacts that one went into, directly or through others."""
        found = {parent}
        made = [each for each in self.all() if each.folder.name == each.address]  # not those that were set aside
        for artifact in made:  # oldest first: parents come before children
            if found & set(artifact.record["parents"].values()):
                found.add(f"{artifact.stage}/{artifact.address}")
        return [artifact for artifact in made if f"{artifact.stage}/{artifact.address}" in found - {parent}]


def _broken(path: Path) -> list[str]:
    """Return the names of the tensors of a file that are not finite; none where it holds no tensors."""
    if path.suffix != ".safetensors":
        return []
    from repo_exp.models.finite import broken_weights  # inside: listing the store needs no torch

    return broken_weights(path)


def _require_finite(folder: Path) -> None:
    """Raise NotFiniteError if weights in a folder are not finite."""
    broken = [(path, names) for path in sorted(folder.rglob("*.safetensors")) if (names := _broken(path))]
    if broken:
        remedy = "a smaller learning rate where they were trained, or model.dtype=float32"
        problems = [Problem(str(path), f"not finite: {', '.join(names[:3])}", remedy) for path, names in broken]
        raise NotFiniteError("weights that are not finite do not enter the store", problems)


def _lock(path: Path, what: str) -> contextlib.AbstractContextManager[Any]:
    """Return the lock, acquired; logs that it waits where another run has it."""
    lock = FileLock(str(path))
    try:
        try:
            return lock.acquire(timeout=0.5)
        except Timeout:
            log.info("%s: another run is building it; waiting", what)
            return lock.acquire()
    except NotImplementedError:
        log.warning("%s: this file system has no locks; do not run two commands on it at the same time", path.parent)
        return contextlib.nullcontext()


def _build(
    build: Callable[[Path], Mapping[str, Any] | None],
    work: Path,
    origin: Mapping[str, Any],
    *,
    describe: Callable[[Path], dict[str, Any]],
) -> None:
    """Let ``build`` write into the work folder; the record of its files is written last."""
    durable.make_folder(work)
    with durable.refusals(work):
        (work / RECORD).unlink(missing_ok=True)  # of files that will change
    start = time.monotonic()
    with durable.refusals(work, only_full=True):
        cost = build(work)
    _require_finite(work)
    with durable.refusals(work):
        paths = sorted(path for path in work.rglob("*") if not _is_helper(path.relative_to(work)))
        record = {
            **origin,
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - start, 1),
            "cost": dict(cost or {}),
            "files": {str(path.relative_to(work)): describe(path) for path in paths if path.is_file()},
        }
        for path in [*paths, work]:
            durable.sync(path)
    write_json(work / RECORD, record)


def _is_helper(path: Path) -> bool:
    return any(Path(part).suffix in HELPERS for part in path.parts)


def _remove_helpers(folder: Path) -> None:
    """Remove checkpoints and the like from a finished artifact; what cannot be removed stays, and does no harm."""
    for path in folder.iterdir():
        if _is_helper(path.relative_to(folder)):
            with contextlib.suppress(OSError):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically. NaN and infinities become null."""
    _write(path, json.dumps(plain(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write JSON lines atomically. NaN and infinities become null."""
    lines = (json.dumps(plain(row), ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
    _write(path, "".join(lines))


def _write(path: Path, text: str) -> None:
    # A lone surrogate in a model's output has no UTF-8, but its escape is JSON.
    durable.write_bytes(path, text.encode("utf-8", "backslashreplace"))
