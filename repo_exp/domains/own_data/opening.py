"""Finds and opens the files of a path: one file, a folder of files, or a folder that ``datasets`` saved."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from repo_exp.domains.own_data.faults import printable, unreadable
from repo_exp.domains.own_data.recognising import Kind, kind_of
from repo_exp.errors import DataError
from repo_exp.types import Split

SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".arrow")
ABOUT = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json")  # of ``datasets``
MOST_FILES = 10_000
MOST_BYTES = 4 * 2**30  # of a file once it is unpacked: all rows are held in memory
SUSPICIOUS = 64 * 2**20, 200  # a gzip file that becomes larger than this, and this many times its size, is a bomb
HEAD = 4096
_SPLITS: dict[str, Split] = {
    "train": "train", "training": "train",
    "validation": "development", "valid": "development", "val": "development", "dev": "development",
    "development": "development", "eval": "development",
    "test": "test", "testing": "test",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Source:
    """One file.

    Attributes:
        path: where it is.
        name: what its rows are called after.
        split: the split that its name or its folder says it is; None where they say none.
        kind: what it holds.
        packed: is it gzip?
    """

    path: Path
    name: str
    split: Split | None
    kind: Kind
    packed: bool

    @property
    def shown(self) -> str:
        """The path as it can be printed: a name may hold bytes that are no text."""
        return printable(self.path)


@dataclass(frozen=True, slots=True)
class Found:
    """The files of a path, sorted, and what else is there and is not read."""

    sources: tuple[Source, ...]
    passed_over: tuple[str, ...]


def find(path: str | os.PathLike[str]) -> Found:
    """Return the files that a path stands for. A folder is looked through with its subfolders.

    Raises:
        DataError: there is nothing that can be read; says what it is instead.
    """
    try:
        place = Path(path).expanduser()
        mode = place.stat().st_mode
    except (OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise unreadable(path, reason, "the path of a file or a folder: data.path=...") from None
    if stat.S_ISDIR(mode):
        return _folder(place)
    if not stat.S_ISREG(mode):
        raise unreadable(place, f"this is {_what(mode)}, not a file", "save its output to a file")
    return Found((_source(place),), ())


def signature(found: Found) -> tuple[tuple[str, int, int], ...]:
    """Return what changes when a file does: its path, size and time."""
    files = []
    for source in found.sources:
        with _reasons(source.path):
            status = source.path.stat()
        files.append((str(source.path), status.st_size, status.st_mtime_ns))
    return tuple(files)


def _folder(folder: Path) -> Found:
    if (folder / "dataset_dict.json").is_file():
        named = _about(folder / "dataset_dict.json").get("splits")
        if not isinstance(named, list) or not all(isinstance(name, str) and _inside(name) for name in named):
            raise unreadable(folder / "dataset_dict.json", "it does not list the splits", "save the datasets again")
        parts = [_saved(folder / name, folder) for name in named]
        return Found(tuple(source for part in parts for source in part), ())
    if (folder / "state.json").is_file() and "_data_files" in _about(folder / "state.json"):
        return Found(_saved(folder, folder), ())
    files, passed_over = _walk(folder)
    if not files:
        there = f"; it holds {', '.join(passed_over[:5])}" if passed_over else ""
        raise unreadable(folder, f"this folder has no file that can be read{there}", f"files in {', '.join(SUFFIXES)}")
    return Found(tuple(_source(file, folder) for file in files), tuple(passed_over))


def _walk(folder: Path) -> tuple[list[Path], list[str]]:
    """Return the data files below a folder, and the names of what else is there; hidden ones are none of ours."""
    files, others = [], []

    def cannot(error: OSError) -> None:
        raise unreadable(
            error.filename or folder, error.strerror or str(error), "change its permissions so that you can read it"
        )

    for parent, folders, names in os.walk(folder, onerror=cannot):
        linked = [name for name in folders if (Path(parent) / name).is_symlink()]
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in linked)
        for name in sorted([*names, *linked]):
            file = Path(parent) / name
            if name.startswith(".") or name in ABOUT or (name.startswith("cache-") and file.suffix == ".arrow"):
                continue
            shown = str(file.relative_to(folder))
            if _suffix(file) not in SUFFIXES or name in linked:
                others.append(shown)
            elif not file.is_file():
                others.append(f"{shown} (not a file)")
            elif not file.stat().st_size:
                others.append(f"{shown} (empty)")
            else:
                files.append(file)
            if len(files) > MOST_FILES:
                raise unreadable(folder, f"more than {MOST_FILES:,} files", "the folder of the data alone")
    return files, others


def _saved(folder: Path, root: Path) -> tuple[Source, ...]:
    """Return the files of a folder that ``Dataset.save_to_disk`` wrote, in order; its caches are left alone."""
    about = _about(folder / "state.json")
    try:
        names = [each["filename"] for each in about["_data_files"]]
    except (KeyError, TypeError):
        raise unreadable(folder / "state.json", "it does not list the data files", "save the dataset again") from None
    if not all(isinstance(name, str) and _inside(name) for name in names):
        raise unreadable(folder / "state.json", "it names files outside the folder", "save the dataset again")
    return tuple(_source(folder / name, root) for name in names)


def _about(file: Path) -> dict:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise unreadable(file, error.strerror or str(error), "a folder that Dataset.save_to_disk wrote") from None
    except (ValueError, RecursionError):
        raise unreadable(file, "not JSON", "save the dataset again") from None
    return content if isinstance(content, dict) else {}


def _inside(name: str) -> bool:
    return bool(name) and name not in (".", "..") and not {"/", "\\", "\0"} & {*name}


def _source(path: Path, root: Path | None = None) -> Source:
    """Return a file, in the folder that was named or by itself. A file by itself is no split of anything."""
    with _reasons(path):
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise unreadable(path, f"this is {_what(status.st_mode)}, not a file", "save its output to a file")
        if not status.st_size:
            raise unreadable(path, "the file is empty", "a file with one pair of responses a line")
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        with _unpacked(path, packed) as stream:
            head = stream.read(HEAD)
    kind = kind_of(head, path, suffix=_suffix(path), packed=packed)
    name = printable(path.relative_to(root) if root else path.name)
    name = name[: -len(".gz")] if name.lower().endswith(".gz") else name
    return Source(path, name.removesuffix(Path(name).suffix), _split_of(path, root) if root else None, kind, packed)


def _suffix(path: Path) -> str:
    return Path(path.name.lower().removesuffix(".gz")).suffix


def _split_of(path: Path, root: Path) -> Split | None:
    """Return the split that the name of a file in a folder begins with, or else that of the folder in it."""
    for part in reversed(path.relative_to(root).parts):
        word = re.split(r"[^a-z]", part.lower(), maxsplit=1)[0]
        if word in _SPLITS:
            return _SPLITS[word]
    return None


@contextmanager
def _reasons(path: Path) -> Iterator[None]:
    """Turn what the system says of a file into an error that names it."""
    try:
        yield
    except DataError:
        raise
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise unreadable(path, f"the gzip file is damaged ({error})", "pack it again") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise unreadable(path, reason, "a file that can be read: data.path=...") from None


@contextmanager
def _unpacked(path: Path, packed: bool) -> Iterator[BinaryIO]:
    with path.open("rb") as raw:
        unpacked: _Readable = gzip.GzipFile(fileobj=raw) if packed else raw
        yield io.BufferedReader(_Bounded(unpacked, path, packed), 2**16)


@contextmanager
def opened(source: Source) -> Iterator[BinaryIO]:
    """Yield a file's bytes, unpacked; no more of them than a person would want.

    Raises:
        DataError: it cannot be read, is damaged, or grows beyond all bounds.
    """
    with _reasons(source.path), _unpacked(source.path, source.packed) as stream:
        yield stream


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Bounded(io.RawIOBase):
    """Reads on until there is more than anyone packs in earnest."""

    def __init__(self, inner: _Readable, path: Path, packed: bool) -> None:
        self.inner, self.path, self.total = inner, path, 0
        least, times = SUSPICIOUS
        self.most = min(MOST_BYTES, max(least, times * path.stat().st_size)) if packed else MOST_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # BufferedReader passes one
        piece = self.inner.read(len(buffer))
        self.total += len(piece)
        if self.total > self.most:
            found = (
                f"more than {self.most:,} bytes once it is unpacked" if self.most < MOST_BYTES else "more than 4 GiB"
            )
            raise unreadable(self.path, found, "a smaller file; a large one in parts, in a folder")
        buffer[: len(piece)] = piece
        return len(piece)


def _what(mode: int) -> str:
    kinds = {stat.S_IFIFO: "a pipe", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "something else")
