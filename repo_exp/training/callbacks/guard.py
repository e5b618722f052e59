"""No step is taken on a loss or gradient that is not finite, and no weights that are not finite are kept.

A step whose loss or gradient is NaN or infinite is skipped, counted and named. Too many of them end the stage, and so
do weights that overflow in a step. A checkpoint is checked before it is written and after it is read.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from repo_exp.errors import NotFiniteError, Problem
from repo_exp.training.optimizer import OptimizerSettings

log = logging.getLogger(__name__)
LARGEST = torch.finfo(torch.float32).max ** 0.5  # AdamW squares gradients, and an adapter multiplies its weights
SHOWN = 4  # items of a batch that a message names
CHARACTERS = 60  # of each
REMEDY = "a smaller learning rate where it was trained, or model.dtype=float32"  # for a role that is broken
Names = Callable[[], Sequence[str]]


class StepGuard:
    """Decides whether the optimizer steps of a stage are taken.

    Args:
        stage: its name, for messages.
        options: AdamW and its schedule.
        learning_rates: by role.
        max_skipped_steps: steps of a role that may be skipped.

    Attributes:
        taken, skipped: steps by role; a checkpoint keeps them.
    """

    def __init__(
        self, stage: str, options: OptimizerSettings, learning_rates: Mapping[str, float], *, max_skipped_steps: int
    ) -> None:
        self.stage, self.options, self.learning_rates = stage, options, learning_rates
        self.max_skipped_steps = max_skipped_steps
        self.taken: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()

    def allows(self, role: str, *, step: int, loss: float, norm: float, names: Names) -> bool:
        """May this step be taken? One that may not is counted and named.

        Args:
            step: from 0, for messages.
            loss: of the whole step.
            norm: of its gradients before clipping.
            names: names what the step trains on; called only where it is not taken.

        Raises:
            NotFiniteError: more than ``max_skipped_steps`` of the role's steps were skipped.
        """
        if math.isfinite(loss) and min(norm, self.options.clip_norm) < LARGEST and math.isfinite(norm):
            self.taken[role] += 1
            return True
        self.skipped[role] += 1
        found = f"the loss is {loss:g} and the gradient norm {norm:g}; trained on: {listed(names())}"
        problem = Problem(f"{self.stage}, step {step + 1}, role {role}", found, self._remedy(role))
        if self.skipped[role] > self.max_skipped_steps:
            bound = f"optimizer.max_skipped_steps is {self.max_skipped_steps}"
            raise NotFiniteError(
                f"{self._count(role)} had a loss or gradient that is not finite, and {bound}", [problem]
            )
        log.warning("a step is skipped, since its loss or gradient is not finite\n  %s", problem)
        return False

    def check_weights(self, role: str, norm: float, *, step: int, names: Names) -> None:
        """Check the norm of a role's weights after a step.

        Raises:
            NotFiniteError: it is not finite, or so large that the products of the weights overflow.
        """
        if not norm < LARGEST:
            found = f"the norm of the weights is {norm:g}; trained on: {listed(names())}"
            problem = Problem(f"{self.stage}, step {step + 1}, role {role}", found, self._remedy(role))
            raise NotFiniteError("a step left weights that are not finite or close to it", [problem])

    def finish(self) -> None:
        """Check the whole stage at its end.

        Raises:
            NotFiniteError: every step of a role was skipped: nothing was trained.
        """
        idle = [role for role in self.skipped if not self.taken[role]]
        if idle:
            problems = [Problem(f"{self.stage}, role {role}", self._count(role), self._remedy(role)) for role in idle]
            raise NotFiniteError("every step was skipped, since no loss and gradient was finite", problems)

    def state(self) -> dict[str, dict[str, int]]:
        """Return what a checkpoint keeps."""
        return {"taken": dict(self.taken), "skipped": dict(self.skipped)}

    def restore(self, state: Mapping[str, Mapping[str, int]]) -> None:
        """Go on from what :meth:`state` returned."""
        self.taken, self.skipped = Counter(state["taken"]), Counter(state["skipped"])

    def _count(self, role: str) -> str:
        return f"{self.skipped[role]} of {self.skipped[role] + self.taken[role]} steps of the role {role}"

    def _remedy(self, role: str) -> str:
        options = self.options
        name = {"policy": "sft" if self.stage == "sft" else "policy", "reward": "reward_model"}.get(role, role)
        return (
            f"a smaller optimizer.learning_rate.{name} (it is {self.learning_rates[role]:g}) or optimizer.clip_norm "
            f"({options.clip_norm:g}), a larger optimizer.eps ({options.eps:g}), or model.dtype=float32; look at what "
            "the step is trained on"
        )


def listed(items: Sequence[str]) -> str:
    """Return the first items, and how many more there are."""
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return ", ".join(items[:SHOWN]) + more


def item_name(what: str, place: int, text: str) -> str:
    """Return an item as a message names it: what it is, its place (from 0), and its first words."""
    words = " ".join(text.split())
    return f"{what} {place} {(words[:CHARACTERS] + '...' if len(words) > CHARACTERS else words)!r}"


def require_finite(x_BT: Tensor, *, role: str, names: Callable[[Sequence[int]], Sequence[str]]) -> None:
    """Check a role's log-probabilities or values before anything is trained on them.

    Args:
        x_BT: on the CPU, 0 at padding.
        role: whose they are.
        names: names some of the responses.

    Raises:
        NotFiniteError: those of a response are not finite; no credit can come of that.
    """
    wrong = [i for i, finite in enumerate(x_BT.isfinite().flatten(1).all(1).tolist()) if not finite]
    if wrong:
        found = f"those of {len(wrong)} of {len(x_BT)} responses are not finite: {listed(names(wrong))}"
        raise NotFiniteError("log-probabilities or values are not finite", [Problem(f"role {role}", found, REMEDY)])


def not_finite(value: object, path: str = "") -> Iterator[str]:
    """Yield the path of every number and tensor in a checkpoint that is NaN or infinite."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from not_finite(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            yield from not_finite(inner, f"{path}.{number}")
    elif isinstance(value, Tensor):
        if not value.isfinite().all():
            yield path
    elif isinstance(value, float) and not math.isfinite(value):
        yield path


CHECKED = ("state_dict", "optimizer_states", "algorithm")  # parts of a checkpoint that training resumes from


def check_checkpoint(checkpoint: Mapping[str, object], *, stage: str, remedy: str) -> None:
    """Check what training resumes from: weights, moments of the optimizer, the algorithm's own state.

    Raises:
        NotFiniteError: names what is not finite.
    """
    found = list(not_finite({part: checkpoint[part] for part in CHECKED if part in checkpoint}))
    if found:
        problem = Problem(f"{stage}, checkpoint", f"not finite: {listed(found)}", remedy)
        raise NotFiniteError("a checkpoint with numbers that are not finite cannot be used", [problem])
