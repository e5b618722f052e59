"""Files that are complete or absent, also after a power cut: a temporary name, fsync, rename, fsync of the folder.

A write that fails (disk full, read-only, over quota, no permission) is a WriteError: file, reason, remedy.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator, Set
from pathlib import Path

from repo_exp.errors import Problem, WriteError

TEMPORARY = ".tmp"
"""How the names of unfinished files end."""

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_CLOSED = {errno.EROFS, errno.EACCES, errno.EPERM}
_WRONG_PLACE = {errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP, errno.ENAMETOOLONG, errno.EXDEV}
_REFUSED = _FULL | _CLOSED | _WRONG_PLACE | {errno.EIO, errno.ENOLCK}
_NO_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES}  # file systems that cannot sync a folder
_IN_WORDS = re.compile(r"\bos error (\d+)|\bOs \{ code: (\d+)")  # in the errors of Rust libraries


@contextlib.contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary name beside ``path``; what is written there takes its place at the end.

    A block that fails leaves what was at ``path`` before, and no temporary file.

    Raises:
        WriteError: it cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(path.name + TEMPORARY)
    with refusals(path):
        make_folder(path.parent)
        try:
            yield temporary
            sync(temporary)
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        sync(path.parent)


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        WriteError: it cannot be written.
    """
    with writing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a UTF-8 file whole or not at all, line ends as they are.

    Raises:
        WriteError: it cannot be written.
    """
    write_bytes(path, text.encode("utf-8"))


def append(path: str | os.PathLike[str], lines: bytes, *, synced: bool = True) -> None:
    """Add whole lines to a file. Half a line that a killed run left at its end is cut off first.

    Of lines that do not fit nothing stays. ``synced=False`` leaves it to the system when they reach the disk.

    Raises:
        WriteError: it cannot be written.
    """
    path = Path(path)
    with refusals(path):
        make_folder(path.parent)
        with path.open("ab", buffering=0) as file:
            end = end_of_lines(path) if path.is_file() else None  # a device has no end
            if end is not None:
                file.truncate(end)
            try:
                rest = memoryview(lines)
                while rest:
                    rest = rest[file.write(rest) :]
                if synced:
                    os.fsync(file.fileno())
            except BaseException:
                if end is not None:
                    with contextlib.suppress(OSError):
                        file.truncate(end)
                raise


def end_of_lines(path: Path) -> int:
    """Return where the last whole line of a file ends, in bytes."""
    with path.open("rb") as file:
        at = file.seek(0, os.SEEK_END)
        while at > 0:
            start = max(0, at - 65_536)
            file.seek(start)
            found = file.read(at - start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            at = start
    return 0


def make_folder(path: Path) -> None:
    """Make a folder and those above it that are missing; they outlast a power cut.

    Raises:
        WriteError: it cannot be written.
    """
    with refusals(path):
        missing = [each for each in (path, *path.parents) if not each.is_dir()]
        path.mkdir(parents=True, exist_ok=True)
        for each in missing:
            sync(each.parent)


def sync(path: Path) -> None:
    """Let a file's content, or a folder's names, reach the disk."""
    if os.name == "nt" and path.is_dir():
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if not (error.errno in _NO_SYNC and path.is_dir()):
            raise
    finally:
        os.close(handle)


@contextlib.contextmanager
def refusals(where: str | os.PathLike[str], *, remedy: str = "", only_full: bool = False) -> Iterator[None]:
    """Turn failed writes in this block into a WriteError about ``where``; other errors pass.

    ``only_full``: only a full disk counts, for a block that reads as well: a file that cannot be read is not about
    ``where``.

    Raises:
        WriteError: a write failed.
    """
    try:
        yield
    except WriteError:
        raise
    except Exception as error:
        refused = refusal(error, where, remedy=remedy, among=_FULL if only_full else _REFUSED)
        if refused is None:
            raise
        raise refused from error


def refusal(
    error: BaseException,
    where: str | os.PathLike[str] | None = None,
    *,
    remedy: str = "",
    among: Set[int] = _REFUSED,
) -> WriteError | None:
    """Return an error, or one of its causes, as a WriteError; None if no write failed."""
    checked: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in checked:
        checked.append(cause)
        number = _errno(cause)
        if number is not None and number in among:
            name = where if where is not None else getattr(cause, "filename", None)
            headline = "the disk is full" if number in _FULL else "a file cannot be written"
            headline = "a file cannot be read or written" if where is None and number not in _FULL else headline
            found = f"{os.strerror(number)} (while writing)" if number in _FULL else os.strerror(number)
            return WriteError(headline, [Problem(str(name or "a file"), found, remedy or _remedy(number))])
        cause = cause.__cause__
    return None


def _errno(error: BaseException) -> int | None:
    if isinstance(error, OSError):
        return error.errno
    match = _IN_WORDS.search(str(error)) if type(error).__name__ == "SafetensorError" else None
    return int(match[1] or match[2]) if match else None


def _remedy(number: int) -> str:
    places = "store=FOLDER for artifacts, hydra.run.dir=FOLDER for a run"
    if number in _FULL:
        return f"free some space, or set another folder ({places}); the same command then continues from what is saved"
    if number in _WRONG_PLACE:
        return f"there is something else at this path; set another folder ({places})"
    return f"set a folder that can be written ({places})"
