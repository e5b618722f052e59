"""A circuit breaker: stops calling an endpoint that is down, and tries it again from time to time."""

from __future__ import annotations

import time
from collections.abc import Callable


class Breaker:
    """Closed while the endpoint answers; open after so many failures in a row; then one probe each ``pause``.

    Args:
        failures: calls in a row that did not reach the endpoint, after which nobody asks it.
        pause: seconds until one call may try again.
        clock: seconds from any point; tests have their own.
    """

    def __init__(self, *, failures: int = 5, pause: float = 30.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._failures, self._pause, self._clock = failures, pause, clock
        self._in_a_row = 0
        self._next_probe = 0.0

    @property
    def open(self) -> bool:
        """Is the endpoint taken for dead?"""
        return self._in_a_row >= self._failures

    def allows(self) -> bool:
        """May a call be made? While it is open only one each ``pause``, the probe."""
        if not self.open:
            return True
        if self._clock() < self._next_probe:
            return False
        self._next_probe = self._clock() + self._pause
        return True

    def note(self, *, reached: bool) -> None:
        """Take in how a call ended. An answer, whatever it says, closes the breaker."""
        self._in_a_row = 0 if reached else self._in_a_row + 1
        if not reached:
            self._next_probe = self._clock() + self._pause
