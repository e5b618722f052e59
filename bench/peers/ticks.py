"""Marks the end of each update of a trainer of `transformers`."""

from transformers import TrainerCallback

from bench.workload import Clock


class Ticks(TrainerCallback):
    """Starts a clock when training begins and lets it tick after each update."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def on_train_begin(self, *_, **__):
        self.clock.marks.clear()
        self.clock.tick()

    def on_step_end(self, *_, **__):
        self.clock.tick()
