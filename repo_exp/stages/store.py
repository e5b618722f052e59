"""A store of artifacts, addressed by the content of what went into them.

    <root>/<stage>/<address>/artifact.json      who made it, from what, and every file with its digest
    <root>/.work/<stage>-<address>/             unfinished work and its checkpoint; a later run takes it up

An artifact is there whole or not at all: it is made in the work folder and renamed at the end. Two runs
that want the same artifact at once wait for one another. Nothing here is pickled, and no weight is NaN or infinite.
"""

from __future__ import annotations

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

from filelock import FileLock

from repo_exp.errors import NotFiniteError, Problem, StoreError
from repo_exp.plain import plain

log = logging.getLogger(__name__)
RECORD = "artifact.json"
SMALL = 2**24  # bytes; larger files are weights, whose content is looked at when they are read for use


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
                still in it, so that it can go on. What it cost is what it returns: JSON for the record, which
                unlike the files may differ from one making to the next.
            again: is true of an artifact that is there and worth making once more, as one that could not be finished
                for want of somebody's answer. It is replaced when the new one is whole.

        Raises:
            NotFiniteError: it wrote weights that are not finite; they do not enter the store.
        """
        address = self.address(stage, version, inputs, parents)
        final, work = self.root / stage / address, self.root / ".work" / f"{stage}-{address}"
        (self.root / ".work").mkdir(parents=True, exist_ok=True)
        with FileLock(str(work) + ".lock"):
            found = self._find(stage, address, final)
            if found is not None and not (again is not None and again(found)):
                return found
            work.mkdir(parents=True, exist_ok=True)
            start = time.monotonic()
            cost = build(work)
            _require_finite(work)
            for leftover in [*work.glob("*.ckpt"), *work.glob("*.tmp")]:
                leftover.unlink()
            record = {
                "stage": stage,
                "address": address,
                "version": version,
                "inputs": inputs,
                "parents": {name: f"{parent.stage}/{parent.address}" for name, parent in parents.items()},
                "made": datetime.now(UTC).isoformat(timespec="seconds"),
                "seconds": round(time.monotonic() - start, 1),
                "cost": dict(cost or {}),
                "files": {str(p.relative_to(work)): _describe(p) for p in sorted(work.rglob("*")) if p.is_file()},
            }
            write_json(work / RECORD, record)
            final.parent.mkdir(parents=True, exist_ok=True)
            if final.exists():
                old = self.root / ".work" / f"{stage}-{address}.old-{time.time_ns()}"
                os.replace(final, old)
                shutil.rmtree(old, ignore_errors=True)
            os.replace(work, final)
        return Artifact(stage, address, final, record, reused=False)

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

    def _find(self, stage: str, address: str, folder: Path) -> Artifact | None:
        if not folder.exists():
            return None
        try:
            record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
            damaged = [name for name, told in record["files"].items() if _differs(folder / name, told)]
        except (OSError, ValueError, KeyError) as error:
            damaged = [f"{RECORD} ({error.__class__.__name__})"]
        if damaged:
            self._set_aside(folder, f"is damaged ({', '.join(damaged)})")
            return None
        broken = [name for name, told in record["files"].items() if told["bytes"] < SMALL and _broken(folder / name)]
        if not broken:
            return Artifact(stage, address, folder, record, reused=True)
        self._set_aside(folder, f"has weights that are not finite ({', '.join(broken)})")
        for child in self._made_from(f"{stage}/{address}"):
            self._set_aside(child.folder, f"was made from {stage}/{address}, whose weights are not finite,")
        return None

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


def write_json(path: Path, value: Any) -> None:
    """Write JSON whole or not at all. NaN and infinities become null."""
    _write_whole(path, json.dumps(plain(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write JSON lines whole or not at all. NaN and infinities become null."""
    lines = (json.dumps(plain(row), ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
    _write_whole(path, "".join(lines))


def _write_whole(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    unfinished.write_text(text, encoding="utf-8")
    os.replace(unfinished, path)


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _describe(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": digest(path)}


def _differs(path: Path, told: Mapping[str, Any]) -> bool:
    # large files are weights, whose own format checks them; their size is enough here
    return (
        not path.is_file()
        or path.stat().st_size != told["bytes"]
        or (told["bytes"] < SMALL and digest(path) != told["sha256"])
    )
