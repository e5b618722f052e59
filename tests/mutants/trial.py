"""Runs tests against mutants: the tests are collected once, and each mutant is tried in a fork of that process.

In a fork the functions of the module get the mutant's code. They stay the same objects, so it does not matter who has
imported them by name. A mutant meets the tests that call the function it is in, the fastest first, until one fails.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import pytest
from _pytest.runner import runtestprotocol

from tests.mutants.changes import Mutant, mutants

LEAST, TIMES = 5.0, 10  # a fork has this many seconds of the processor, or so many times what its tests take unchanged
KILLED, SURVIVED = 1, 0


class Trial:
    """A plugin of pytest that tries mutants instead of running the tests.

    Attributes:
        found: file -> (mutant, did it survive?) of each.
        broken: tests that fail without any mutant.
    """

    def __init__(self, files: Sequence[Path], *, root: Path, jobs: int, tell: Callable[[str], None]) -> None:
        self.files, self.root, self.jobs, self.tell = files, root, jobs, tell
        self.found: dict[Path, list[tuple[Mutant, bool]]] = {}
        self.broken: list[str] = []

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Try every mutant. (A hook of pytest; True says that the tests have been seen to.)"""
        if session.testsfailed or not session.items:
            return True
        _quick_hypothesis()
        runs, modules = json.loads(_output_of(lambda: json.dumps([self._unchanged(session.items), [*sys.modules]])))
        for name in modules:  # what tests import on their way, once and not in every fork
            if name not in sys.modules:
                with contextlib.suppress(Exception):
                    importlib.import_module(name)
        self.broken = [name for name, each in runs.items() if each["failed"]]
        for file in self.files if not self.broken else ():
            module = importlib.import_module(".".join(file.relative_to(self.root).with_suffix("").parts))
            source = file.read_text(encoding="utf-8")
            every = list(mutants(source))
            started = time.monotonic()
            sound, *survived = self._tried(session.items, runs, module, [Mutant("", "", "", source), *every])
            if not sound:  # then the others would seem to be noticed, whatever they are
                self.broken.append(f"some test of {file.name}, in a fork without a change")
            self.found[file] = list(zip(every, survived, strict=True))
            alive = sum(survived for _, survived in self.found[file])
            seconds = time.monotonic() - started
            self.tell(f"{file.relative_to(self.root)}: {len(every)} mutants, {alive} alive ({seconds:.0f} s)")
        return True

    def _unchanged(self, items: Sequence[pytest.Item]) -> dict[str, Any]:
        """Return test -> does it fail, how long does it take, and which functions does it call?"""
        runs, names = {}, {str(file) for file in self.files}
        for item, following in zip(items, [*items[1:], None], strict=True):
            called: set[tuple[str, str]] = set()

            def note(frame: Any, event: str, _: Any, called: set = called) -> None:
                code: CodeType = frame.f_code
                if event == "call" and code.co_filename in names:
                    called.add((code.co_filename, code.co_qualname.split(".<")[0]))

            started = time.process_time()
            sys.setprofile(note)
            reports = runtestprotocol(item, nextitem=following, log=False)
            sys.setprofile(None)
            seconds = time.process_time() - started
            failed = any(report.failed for report in reports)
            runs[item.nodeid] = {"failed": failed, "seconds": seconds, "called": sorted(called)}
        return runs

    def _tried(
        self, items: Sequence[pytest.Item], runs: dict[str, Any], module: ModuleType, every: Sequence[Mutant]
    ) -> Iterator[bool]:
        """Yield of each mutant whether it survives, in their order; ``jobs`` of them are tried at once."""
        waiting: dict[int, int] = {}  # process -> mutant
        alive: dict[int, bool] = {}

        def reap() -> None:
            process, status = os.wait()
            alive[waiting.pop(process)] = os.waitstatus_to_exitcode(status) == SURVIVED

        for number, mutant in enumerate(every):
            tests = [item for item in items if _calls(runs[item.nodeid]["called"], module, mutant.function)]
            tests.sort(key=lambda item: runs[item.nodeid]["seconds"])
            limit = max(LEAST, TIMES * sum(runs[item.nodeid]["seconds"] for item in tests))
            while len(waiting) >= self.jobs:
                reap()
            waiting[_forked(lambda m=mutant, t=tests: _survives(module, m, t), limit)] = number
        while waiting:
            reap()
        yield from (alive[number] for number in range(len(every)))


def _calls(called: Sequence[Sequence[str]], module: ModuleType, function: str) -> bool:
    """Does a test call the function? A class or a constant belongs to all that call anything of its module."""
    mine = [name for file, name in called if file == module.__file__]
    plain = inspect.isfunction(getattr(module, function.split(".")[0], None)) or "." in function
    return function in mine if plain and function else bool(mine)


def _survives(module: ModuleType, mutant: Mutant, tests: Sequence[pytest.Item]) -> int:
    install(module, mutant.source)
    for item, following in zip(tests, [*tests[1:], None], strict=True):
        if any(report.failed for report in runtestprotocol(item, nextitem=following, log=False)):
            return KILLED
    return SURVIVED


def install(module: ModuleType, source: str) -> None:
    """Give the functions, methods and constants of a module what ``source`` makes of them."""
    other = ModuleType(module.__name__)
    other.__file__ = module.__file__
    sys.modules[module.__name__] = other  # dataclasses look their own module up
    exec(compile(source, module.__file__, "exec"), vars(other))
    sys.modules[module.__name__] = module
    for name, new in vars(other).items():
        _graft(module, name, new, module.__name__)


def _graft(owner: Any, name: str, new: Any, home: str) -> None:
    old = vars(owner).get(name)
    inner, replacement = _function(old), _function(new)
    if isinstance(inner, FunctionType) and isinstance(replacement, FunctionType):
        if replacement.__module__ == home:
            inner.__code__, inner.__defaults__ = replacement.__code__, replacement.__defaults__
            inner.__kwdefaults__ = replacement.__kwdefaults__
            getattr(old, "cache_clear", lambda: None)()
    elif inspect.isclass(old) and inspect.isclass(new):
        if new.__module__ == home:
            for each, value in list(vars(new).items()):
                _graft(old, each, value, home)
    elif not name.startswith("__") and isinstance(new, int | float | str | tuple | list | dict | frozenset):
        setattr(owner, name, new)


def _function(wrapped: Any) -> Any:
    """Return what is inside of a static, class or cached method or a property."""
    inner = getattr(wrapped, "__func__", getattr(wrapped, "fget", wrapped))
    return inspect.unwrap(inner) if callable(inner) else inner


def _forked(action: Callable[[], int], limit: float) -> int:
    """Start ``action`` in a fork that ends after so many seconds of the processor, and return its number."""
    process = os.fork()
    if process:
        return process
    try:
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_PROF, limit)
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1), os.dup2(silence, 2)
        status = action()
    except BaseException:  # a mutant that cannot even be installed has been noticed
        status = KILLED
    os._exit(status)


def _output_of(action: Callable[[], str]) -> str:
    """Return what ``action`` returns in a fork, so that this process stays as it was."""
    into, out = os.pipe()
    process = os.fork()
    if not process:
        status = KILLED
        try:
            with os.fdopen(out, "w") as file:
                file.write(action())
            status = SURVIVED
        finally:
            os._exit(status)
    os.close(out)
    with os.fdopen(into) as file:
        text = file.read()
    if os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) != SURVIVED:
        raise RuntimeError("the tests could not be run without a mutant")
    return text


def _quick_hypothesis() -> None:
    """Draw the same examples for every mutant, and don't look for the simplest one that fails."""
    from hypothesis import Phase, settings

    settings.register_profile(
        "mutants", derandomize=True, database=None, deadline=None, phases=(Phase.explicit, Phase.generate)
    )
    settings.load_profile("mutants")
