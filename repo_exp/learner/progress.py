"""Says where a stage is: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
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
    "implicit/accuracy": "pairs put right",
    "implicit/margin": "margin",
}


class StageProgress:
    """The progress of one stage: stage, step, the figures that matter, time left.

    Args:
        stage: its name.
        total: its steps.
        every: seconds between two lines where there is no terminal.
    """

    def __init__(self, stage: str, total: int, *, every: float = 20.0) -> None:
        self.stage, self.total, self.every = stage, total, every
        self.before: int | None = None  # steps that a checkpoint brought along
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
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.stop()

    def update(self, step: int, metrics: Mapping[str, float]) -> None:
        """Show that ``step`` steps are done, and the figures of the last one."""
        if self.before is None:
            self.before = max(step - 1, 0)
        figures = "  ".join(f"{name} {metrics[key]:.2f}" for key, name in SHOWN.items() if key in metrics)
        if self.bar is not None:
            self.bar.update(self.task, completed=step, figures=figures)
            return
        now = time.monotonic()
        if step == self.total or now - self.last >= self.every:
            self.last = now
            taken = max(step - self.before, 1)
            left = (now - self.start) / taken * (self.total - step)
            self.console.print(
                f"{self.stage:>13} {step:>4}/{self.total}  {left:4.0f} s left  {figures}", soft_wrap=True
            )
