"""The breaker by an injected clock: closed, open, one probe, closed again."""

from __future__ import annotations

from repo_exp.rewards.judge.breaker import Breaker


def test_a_dead_endpoint_is_left_alone_and_probed_once_a_pause():
    now = [0.0]
    breaker = Breaker(failures=3, pause=30.0, clock=lambda: now[0])
    for _ in range(3):
        assert breaker.allows()
        breaker.note(reached=False)
    assert breaker.open and not breaker.allows()
    now[0] = 29.9
    assert not breaker.allows()
    now[0] = 30.1
    assert breaker.allows() and not breaker.allows()  # the probe, and only one
    breaker.note(reached=False)
    now[0] = 60.0
    assert not breaker.allows()  # the pause begins again with the failed probe
    now[0] = 60.2
    assert breaker.allows()
    breaker.note(reached=True)
    assert not breaker.open and breaker.allows() and breaker.allows()


def test_only_failures_in_a_row_open_it():
    breaker = Breaker(failures=2, clock=lambda: 0.0)
    for reached in (False, True, False, True, False):
        breaker.note(reached=reached)
    assert not breaker.open
