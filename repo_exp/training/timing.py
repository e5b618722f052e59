"""Time spent in each phase of an update; a profiler sees the same names."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from torch.profiler import record_function


class PhaseTimer:
    """Adds up the seconds spent in named phases. A phase inside another is taken off the outer one."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._inner = [0.0]

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Count the time of the block for ``name``."""
        start = time.perf_counter()
        self._inner.append(0.0)
        try:
            with record_function(f"phase: {name}"):
                yield
        finally:
            spent, inside = time.perf_counter() - start, self._inner.pop()
            self._inner[-1] += spent
            self.seconds[name] = self.seconds.get(name, 0.0) + spent - inside

    def clear(self) -> None:
        """Forget what was counted."""
        self.seconds.clear()
