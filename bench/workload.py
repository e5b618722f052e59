"""The work that every contender does, and how a contender reports. Imports no library: peers import it too."""

from __future__ import annotations

import json
import os
import resource
import time
from dataclasses import asdict, dataclass, field

THREADS = int(os.environ.get("BENCH_THREADS", "2"))
DTYPE = os.environ.get("BENCH_DTYPE", "bfloat16")  # of the frozen weights, and of all that a peer computes
SHARED_PREFIX = 100  # tokens that all prompts share where that is measured: instructions before each case's own facts


@dataclass(frozen=True)
class Workload:
    """One update: responses of exactly ``new_tokens`` to prompts of exactly ``prompt_tokens``."""

    responses: int = 16
    group: int = 8  # responses to one prompt, for group methods; others take as many prompts as responses
    prompt_tokens: int = 169
    common_tokens: int = 0  # of these, a prefix that all prompts share, such as an SOP
    new_tokens: int = 64
    rank: int = 64
    roles: int = 1  # adapters on the backbone; those beyond the ones that the update uses are idle
    alpha: int = 64
    learning_rate: float = 1e-5
    warm_up: int = 1
    timed: int = 1


WORK = Workload(**json.loads(os.environ.get("BENCH_WORK", "{}")))


def kind(axis: str) -> str:
    """Return the algorithm whose update is measured along an axis of the work."""
    return "ppo" if axis == "common_tokens" else "grpo"


def random_prompts(count: int, length: int, *, common: int = 0) -> list[list[int]]:
    """Return different prompts of ordinary tokens, the same on every machine; their first ``common`` tokens agree."""
    state, found = 1, []
    for _ in range(count):
        tokens = []
        for _ in range(length):
            state = (state * 1103515245 + 12345) % 2**31
            tokens.append(1000 + state // 65536 % 20000)
        found.append(tokens)
    return [[*found[0][:common], *tokens[common:]] for tokens in found]


def shortness(texts: list[str]) -> list[float]:
    """The first of two reward functions."""
    return [-len(text) / 1000 for text in texts]


def digits(texts: list[str]) -> list[float]:
    """The second of two reward functions."""
    return [sum(c.isdigit() for c in text) / max(len(text), 1) for text in texts]


@dataclass
class Clock:
    """Takes the time between updates; the first ones warm up."""

    marks: list[float] = field(default_factory=lambda: [time.perf_counter()])

    def tick(self) -> None:
        self.marks.append(time.perf_counter())

    def report(self, name: str, **more: object) -> None:
        """Print the seconds of each timed update and the peak of the process's memory."""
        seconds = [b - a for a, b in zip(self.marks, self.marks[1:], strict=False)][WORK.warm_up :]
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(
            json.dumps({"name": name, "seconds": seconds, "peak_gib": peak, "work": asdict(WORK), **more}), flush=True
        )
