"""Cuts work off before its N-th file operation below a folder, as ``kill -9`` or as a power cut does.

The work runs in a forked child. Operations are what Python announces (opening for writing, rename, unlink, link, mkdir,
rmdir) and fsync. A power cut also loses half of whatever was not synced.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

KILLED = 137
CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.truncate")


def cut(work: Callable[[], None], root: Path, *, at: int | None, power: bool = False) -> int:
    """Do the work in a child; return how many operations it did.

    Args:
        work: what is done.
        root: the folder that counts.
        at: the operation before which the child ends; None lets it finish.
        power: lose what was not synced, too.
    """
    root.mkdir(parents=True, exist_ok=True)
    note = root.parent / f"{root.name}.operations"
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            counter = _Counter(str(root.resolve()), at=at, power=power)
            counter.start()
            work()
            counter.at = None
            note.write_text(str(counter.count))
            code = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(code)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status == (0 if at is None else KILLED), f"operation {at}: ended with {status}"
    return int(note.read_text()) if at is None else at


class _Counter:
    def __init__(self, root: str, *, at: int | None, power: bool) -> None:
        self.root, self.at, self.power, self.count = root, at, power, 0
        self.synced: dict[tuple[int, int], int] = {}

    def start(self) -> None:
        if self.power:
            for path in Path(self.root).rglob("*"):
                if path.is_file():
                    self._note(os.stat(path))
        fsync = os.fsync

        def counted(handle: int) -> None:
            self._operation()
            fsync(handle)
            self._note(os.fstat(handle))

        os.fsync = counted
        sys.addaudithook(self._hear)

    def _hear(self, event: str, given: tuple) -> None:
        if event == "open":
            path, mode, flags = given
            writes = any(letter in (mode or "") for letter in "wax+") or flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if writes and self._counts(path):
                self._operation()
        elif event in CHANGES and any(map(self._counts, given)):
            self._operation()

    def _counts(self, path: object) -> bool:
        if not isinstance(path, str | bytes | os.PathLike):
            return False
        name = os.path.abspath(os.fsdecode(path))
        return name.startswith(self.root) and not name.endswith(".lock")

    def _note(self, stat: os.stat_result) -> None:
        self.synced[(stat.st_dev, stat.st_ino)] = stat.st_size

    def _operation(self) -> None:
        self.count += 1
        if self.at is None or self.count < self.at:
            return
        self.at = None
        if self.power:
            for path in Path(self.root).rglob("*"):
                if path.is_file() and not path.is_symlink():
                    stat = os.stat(path)
                    kept = self.synced.get((stat.st_dev, stat.st_ino), 0)
                    if kept < stat.st_size:
                        os.truncate(path, kept + (stat.st_size - kept) // 2)
        os._exit(KILLED)
