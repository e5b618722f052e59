"""A store of artifacts, addressed by the content of what went into them.

    <root>/<stage>/<address>/artifact.json      who made it, from what, and every file with its digest
    <root>/.work/<stage>-<address>/             unfinished work and its checkpoint; a later run takes it up

An artifact is there whole or not at all. It is made in the work folder; its files are synced to disk, then the record
is written, then the folder is renamed, and only then what helped on the way is removed. Two runs that want the same
artifact at once wait for one another. An artifact that is there is read without a lock, so a store may be read-only.
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
SMALL = 2**24  # bytes; larger files are weights, whose content is looked at when they are read for use
HELPERS = (".ckpt", ".parts", durable.TEMPORARY)
"""How the names of files and folders end that only help to go on: they stay out of the artifact."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """A finished piece of work.

    Attributes:
        stage: what made it.
        address: what it is called; hangs on everything that went into it.
        folder: where its files are.
        record: what ``artifact.json`` says.
        reused: was it there already?
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
            raise StoreError("an artifact is not sound; it is made anew once its folder is removed", [problem])

        return refuse


class Store:
    """The artifacts below one folder."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self.digest = Digests(self.root)

    def address(self, stage: str, version: int, inputs: Mapping[str, Any], parents: Mapping[str, Artifact]) -> str:
        """Return the address of what ``stage`` would make of these inputs: 16 hexadecimal digits."""
        told = {"stage": stage, "version": version, "inputs": inputs}
        told["parents"] = {name: parent.address for name, parent in parents.items()}
        text = json.dumps(told, sort_keys=True, ensure_ascii=False, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

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
        """Return the artifact, made by ``build`` unless it is there.

        Args:
            stage: the stage's name.
            version: grows when the stage's code changes what it makes.
            inputs: the part of the configuration that can change the result; JSON.
            parents: artifacts that go into it, by the part they play.
            build: writes the files into the folder it is handed. What an interrupted run left there is
                still in it, so that it can go on. Names that end as in ``HELPERS`` are not part of the artifact.
                What it cost is what it returns: JSON for the record, which unlike the files may differ from one
                making to the next.
            again: is true of an artifact that is there and worth making once more, as one that could not be finished
                for want of somebody's answer. It is replaced when the new one is whole.

        Raises:
            NotFiniteError: it wrote weights that are not finite; they do not enter the store.
            WriteError: the artifact is not there, and the store cannot be written or is full.
            StoreError: the artifact is damaged and cannot be moved aside.
        """
        address = self.address(stage, version, inputs, parents)
        final, work = self.root / stage / address, self.root / ".work" / f"{stage}-{address}"
        found, amiss = self._look(stage, address, final)
        if found is not None and not (again is not None and again(found)):
            _remove_helpers(final)  # a run that was cut off right after the rename left them
            return found
        amiss = "lacks scores and would be made once more" if found is not None else amiss or "is not in this store yet"
        remedy = f"{stage} {address} {amiss}; use a store that can be written: store=FOLDER"
        with durable.refusals(self.root, remedy=remedy):
            work.parent.mkdir(parents=True, exist_ok=True)
            lock = _lock(Path(f"{work}.lock"), f"{stage} {address}")
        with lock:
            found = self._find(stage, address, final)
            if found is not None and not (again is not None and again(found)):
                return found
            whole = self._look(stage, address, work)[0] is not None  # a run was cut off just before the rename
            if not whole:
                told = {"stage": stage, "address": address, "version": version, "inputs": inputs}
                told["parents"] = {name: f"{parent.stage}/{parent.address}" for name, parent in parents.items()}
                _build(build, work, told, describe=self._describe)
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
        return Artifact(stage, address, final, record, reused=whole)

    def all(self) -> Iterator[Artifact]:
        """Yield every finished artifact, oldest first. Folders without a readable record are passed over."""
        found = []
        for path in self.root.glob(f"[!.]*/*/{RECORD}"):
            try:
                record = json.loads(path.read_text(encoding="utf-8"))
                found.append(Artifact(record["stage"], record["address"], path.parent, record, reused=True))
            except (OSError, ValueError, KeyError):
                log.warning("%s: cannot be read, passed over", path)
        yield from sorted(found, key=lambda artifact: artifact.record.get("made", ""))

    def _look(self, stage: str, address: str, folder: Path) -> tuple[Artifact | None, str]:
        """Return the artifact if it is whole, and what is amiss if it is there and is not."""
        if not folder.exists():
            return None, ""
        try:
            record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
            damaged = [name for name, told in record["files"].items() if self._differs(folder / name, told)]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            damaged = [f"{RECORD} ({error.__class__.__name__})"]
        if damaged:
            return None, f"is damaged ({', '.join(damaged)})"
        broken = [name for name, told in record["files"].items() if told["bytes"] < SMALL and _broken(folder / name)]
        if broken:
            return None, f"{NOT_FINITE} ({', '.join(broken)})"
        return Artifact(stage, address, folder, record, reused=True), ""

    def _find(self, stage: str, address: str, folder: Path) -> Artifact | None:
        """Return the artifact if it is there; move it aside if it is damaged. Under the lock."""
        found, amiss = self._look(stage, address, folder)
        if amiss:
            self._set_aside(folder, amiss)
            for child in self._made_from(f"{stage}/{address}") if amiss.startswith(NOT_FINITE) else ():
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
        log.warning("%s %s: moved to %s and made anew", folder, why, aside.name)

    def _describe(self, path: Path) -> dict[str, Any]:
        return {"bytes": path.stat().st_size, "sha256": self.digest(path)}

    def _differs(self, path: Path, told: Mapping[str, Any]) -> bool:
        return not path.is_file() or path.stat().st_size != told["bytes"] or self.digest(path) != told["sha256"]

    def _made_from(self, parent: str) -> list[Artifact]:
        """Return the artifacts that were made from one, and from these, and so on."""
        found = {parent}
        made = [each for each in self.all() if each.folder.name == each.address]  # not those that were set aside
        for artifact in made:  # oldest first: parents come before children
            if found & set(artifact.record["parents"].values()):
                found.add(f"{artifact.stage}/{artifact.address}")
        return [artifact for artifact in made if f"{artifact.stage}/{artifact.address}" in found - {parent}]


def _broken(path: Path) -> list[str]:
    """Return the tensors of a file that are not finite; none where it holds no tensors."""
    if path.suffix != ".safetensors":
        return []
    from repo_exp.models.finite import broken_weights  # inside: listing the store needs no torch

    return broken_weights(path)


def _require_finite(folder: Path) -> None:
    """Raise NotFiniteError if weights in a folder are not finite."""
    broken = [(path, names) for path in sorted(folder.rglob("*.safetensors")) if (names := _broken(path))]
    if broken:
        remedy = "a smaller learning rate where they were learnt, or model.dtype=float32"
        problems = [Problem(str(path), f"not finite: {', '.join(names[:3])}", remedy) for path, names in broken]
        raise NotFiniteError("weights that are not finite do not enter the store", problems)


def _lock(path: Path, what: str) -> contextlib.AbstractContextManager[Any]:
    """Return the lock, held; says so where it has to wait for another run."""
    lock = FileLock(str(path))
    try:
        try:
            return lock.acquire(timeout=0.5)
        except Timeout:
            log.info("%s: another run makes it, waiting for it", what)
            return lock.acquire()
    except NotImplementedError:
        log.warning("%s: this file system has no locks; let no second run use it at the same time", path.parent)
        return contextlib.nullcontext()


def _build(
    build: Callable[[Path], Mapping[str, Any] | None],
    work: Path,
    told: Mapping[str, Any],
    *,
    describe: Callable[[Path], dict[str, Any]],
) -> None:
    """Let ``build`` write into the work folder, and write the record of what is there last."""
    durable.make_folder(work)
    with durable.refusals(work):
        (work / RECORD).unlink(missing_ok=True)  # of files that will change
    start = time.monotonic()
    with durable.refusals(work, only_full=True):
        cost = build(work)
    _require_finite(work)
    with durable.refusals(work):
        paths = sorted(path for path in work.rglob("*") if not _helps(path.relative_to(work)))
        record = {
            **told,
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - start, 1),
            "cost": dict(cost or {}),
            "files": {str(path.relative_to(work)): describe(path) for path in paths if path.is_file()},
        }
        for path in [*paths, work]:
            durable.sync(path)
    write_json(work / RECORD, record)


def _helps(path: Path) -> bool:
    return any(Path(part).suffix in HELPERS for part in path.parts)


def _remove_helpers(folder: Path) -> None:
    """Remove from a finished artifact what helped to make it; where that is refused, it stays and does no harm."""
    for path in folder.iterdir():
        if _helps(path.relative_to(folder)):
            with contextlib.suppress(OSError):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def write_json(path: Path, value: Any) -> None:
    """Write JSON whole or not at all. NaN and infinities become null."""
    _write(path, json.dumps(plain(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write JSON lines whole or not at all. NaN and infinities become null."""
    lines = (json.dumps(plain(row), ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
    _write(path, "".join(lines))


def _write(path: Path, text: str) -> None:
    # A lone surrogate in a model's output has no UTF-8, but its escape is JSON.
    durable.write_bytes(path, text.encode("utf-8", "backslashreplace"))
