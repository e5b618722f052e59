"""SIGTERM, SIGINT and SIGHUP end the program within seconds, with the code 128 + the signal's number and a message.

A signal raises :class:`Stopped` in the main thread: at once, or after a block that must not be interrupted
(:func:`hold`, :func:`release`). If the main thread does not get that far in ``GRACE`` seconds (a long
computation, a call that hangs), a thread ends the process. Files are complete at every moment, so this loses only what
was not saved yet. A second signal ends it at once.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any, NoReturn

GRACE = 7.0
"""Seconds from the first signal to the end of the process, at most."""
REPEATED = 1.0
"""Seconds in which another signal is the same one, sent twice: ``timeout`` sends to the process and to its group."""
SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name))


class Stopped(BaseException):
    """The program was asked to stop. No ``except Exception`` on the way catches it."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(f"stopped by {signal.Signals(number).name}")

    @property
    def code(self) -> int:
        """The exit code."""
        return 128 + self.number


class _State:
    asked: int | None = None  # the signal that came
    held = False
    kept = ""  # what a run continues from
    forks = False  # do forked children know?


_state = _State()


def hold() -> None:
    """From here on, a stop waits for :func:`release`."""
    _state.held = True


def release(*, failed: bool = False) -> None:
    """End a block that must not be interrupted.

    Args:
        failed: an error is on its way that is more important than the stop.

    Raises:
        Stopped: a signal came meanwhile.
    """
    held, _state.held = _state.held, False
    if held and not failed and _state.asked is not None:
        raise Stopped(_state.asked)


def kept(what: str) -> None:
    """Set what is saved of the work in progress, for the last message; "" when a stage is finished."""
    _state.kept = what


def last_message(number: int) -> str:
    """Return the last message."""
    saved = f"{_state.kept}. " if _state.kept else ""
    start = "there" if saved else "the finished stages"
    return f"Stopped by {signal.Signals(number).name}. {saved}The same command continues from {start}."


@contextlib.contextmanager
def handled() -> Iterator[None]:
    """Let signals stop the program as above while the block runs. Only the main thread can; elsewhere nothing changes.

    SIGHUP stays ignored where it is (nohup).
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _state.asked, _state.held, _state.kept = None, False, ""
    mine = [each for each in SIGNALS if each == signal.SIGINT or signal.getsignal(each) is not signal.SIG_IGN]
    read, write = os.pipe()
    os.set_blocking(write, False)
    before = {each: signal.signal(each, _raise) for each in mine}
    # the system writes each signal's number here at once, also while the main thread is busy outside Python
    waker = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(read, set(mine)), name="stopping", daemon=True).start()
    if hasattr(os, "register_at_fork") and not _state.forks:
        os.register_at_fork(after_in_child=_forget)
        _state.forks = True
    try:
        yield
    finally:
        signal.set_wakeup_fd(waker)
        for each, handler in before.items():
            signal.signal(each, handler)
        os.close(write)  # ends the thread
        _state.asked, _state.held = None, False


def end(stop: Stopped) -> NoReturn:
    """Print the last message and end the process, also if threads and children are waiting."""
    print(f"\n{last_message(stop.number)}", file=sys.stderr)
    with contextlib.suppress(Exception):
        logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(stop.code)


def _raise(number: int, _: FrameType | None) -> None:
    if _state.asked is not None:
        return  # on its way already
    _state.asked = number
    if not _state.held:
        raise Stopped(number)


def _watch(read: int, mine: set[int]) -> None:
    first, at = 0, 0.0
    while True:
        left = GRACE - (time.monotonic() - at) if first else None
        ready, _, _ = select.select([read], [], [], None if left is None else max(left, 0.0))
        if not ready:
            _end_hard(first)
        received = os.read(read, 1)
        if not received:  # the program ended by itself
            os.close(read)
            return
        if received[0] not in mine:
            continue
        if not first:
            first, at = received[0], time.monotonic()
        elif time.monotonic() - at > REPEATED:
            _end_hard(received[0])


def _end_hard(number: int) -> NoReturn:
    """End the process from a thread. The streams of Python may be locked, so the message does not use them."""
    shown = "\x1b[?25h" if os.isatty(2) else ""  # a progress bar hides the cursor
    with contextlib.suppress(OSError):
        os.write(2, f"{shown}\n{last_message(number)}\n".encode())
    os._exit(128 + number)


def _forget(*_: Any) -> None:
    """A forked child has no thread that watches; signals there do what they do by default."""
    for each in SIGNALS:
        if signal.getsignal(each) is _raise:
            signal.set_wakeup_fd(-1)
            signal.signal(each, signal.default_int_handler if each == signal.SIGINT else signal.SIG_DFL)
