"""Shows the progress of a stage: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Mapping

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

SHOWN = {  # metric -> what it is called on the bar
    "loss/train": "loss",
    "reward/total": "R",
    "reward/model": "RM",
    "reward/judge": "RJ",
    "reward/rules": "RF",
    "composition/violations": "violations",
    "implicit/accuracy": "accuracy",
    "implicit/margin": "margin",
}


class Heartbeat:
    """Prints that a stage is at work after a while without output: in a long step, while sampling.

    Args:
        stage: its name.
        first: seconds without output until the first line.
        every: seconds without output from then on.
    """

    step = ""  # of the stage at work: "step 3 of 25"
    last_output = 0.0  # when something was last printed of a stage; infinite while a bar is shown

    def __init__(self, stage: str, *, first: float = 8.0, every: float = 20.0) -> None:
        self.stage, self.first, self.every = stage, first, every
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"heartbeat of {stage}", daemon=True)

    def __enter__(self) -> Heartbeat:
        Heartbeat.step, Heartbeat.last_output = "", time.monotonic()
        self.start = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        Heartbeat.step = ""

    def _beat(self) -> None:
        silence = self.first
        while not self._over.wait(max(0.05, Heartbeat.last_output + silence - time.monotonic())):
            if time.monotonic() - Heartbeat.last_output < silence:
                continue
            silence, Heartbeat.last_output = self.every, time.monotonic()
            step = f"  {Heartbeat.step}" if Heartbeat.step else ""
            spent = time.monotonic() - self.start
            print(f"{self.stage:>13} at work for {spent:.0f} s{step}", file=sys.stderr, flush=True)


class StageProgress:
    """The progress of one stage: stage, step, the metrics that matter, time left.

    Args:
        stage: its name.
        total: its steps.
        every: seconds between two lines without a terminal.
    """

    def __init__(self, stage: str, total: int, *, every: float = 20.0) -> None:
        self.stage, self.total, self.every = stage, total, every
        self.before: int | None = None  # steps that a checkpoint brought along
        Heartbeat.step = f"step 1 of {total}"
        self.console = Console(file=sys.stderr, highlight=False)
        self.start = self.last = time.monotonic()
        self.bar: Progress | None = None
        if self.console.is_terminal:
            columns = (TextColumn("{task.description:>13}"), BarColumn(24), MofNCompleteColumn(), TimeElapsedColumn())
            self.bar = Progress(
                *columns, TimeRemainingColumn(), TextColumn("{task.fields[figures]}"), console=self.console
            )
            self.task = self.bar.add_task(stage, total=total, figures="")

    def __enter__(self) -> StageProgress:
        if self.bar is not None:
            self.bar.start()
            Heartbeat.last_output = math.inf  # the bar moves by itself
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.stop()
        Heartbeat.step, Heartbeat.last_output = "", time.monotonic()

    def update(self, step: int, metrics: Mapping[str, float]) -> None:
        """Show that ``step`` steps are done, and the metrics of the last one."""
        if self.before is None:
            self.before = max(step - 1, 0)
        figures = "  ".join(f"{name} {metrics[key]:.2f}" for key, name in SHOWN.items() if key in metrics)
        if self.bar is not None:
            self.bar.update(self.task, completed=step, figures=figures)
            return
        Heartbeat.step = f"step {min(step + 1, self.total)} of {self.total}"
        now = time.monotonic()
        if step == self.total or now - self.last >= self.every:
            self.last = Heartbeat.last_output = now
            taken = max(step - self.before, 1)
            left = (now - self.start) / taken * (self.total - step)
            self.console.print(
                f"{self.stage:>13} {step:>4}/{self.total}  {left:4.0f} s left  {figures}", soft_wrap=True
            )
