"""A batch of rollouts as it is trained on, and its division into minibatches, microbatches and columns.

The microbatch loop, which every forward pass of training goes through, is :func:`over_microbatches`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor

from repo_exp.models.backbone import Backbone
from repo_exp.models.forward import ResponseBatch, lay_out
from repo_exp.types import RewardBreakdown, Trajectory

T = TypeVar("T")
Result = TypeVar("Result")
Chunks = Callable[[Sequence[Sequence[Sequence[int]]], int], Iterator[list[int]]]


def over_microbatches(
    backbone: Backbone,
    role: str,
    microbatches: Iterable[T],
    run: Callable[[T], Result],
    *,
    training: bool = False,
    timed: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Iterator[Result]:
    """Yield the result of each microbatch with ``role`` active: the loop of every forward pass in training.

    Args:
        microbatches: of any kind; ``run`` knows what they are.
        run: the pass; with ``training`` the backward pass as well.
        training: do the role's weights take gradients? Without it there are none at all.
        timed: measures the time of a pass.
    """
    for microbatch in microbatches:
        with timed(), torch.set_grad_enabled(training), backbone.active_adapter(role, training=training):
            result = run(microbatch)
        yield result


def add_up(sums: dict[str, float], metrics: Mapping[str, float]) -> None:
    """Add metrics to those summed so far."""
    for name, value in metrics.items():
        sums[name] = sums.get(name, 0.0) + value


@dataclass(frozen=True, slots=True)
class Microbatch:
    """Some rows of a batch, laid out for a forward pass.

    Attributes:
        rows: their places in the batch.
        layout: their tokens.
        device: where the pass runs.
    """

    rows: list[int]
    layout: ResponseBatch
    device: torch.device

    @property
    def width(self) -> int:
        """The columns: tokens of the longest response."""
        return self.layout.mask_NR.shape[1]

    @property
    def mask(self) -> Tensor:
        """True at response tokens."""
        return self.layout.mask_NR.to(self.device)

    def slice(self, x_BT: Tensor) -> Tensor:
        """Return these rows and columns of something about the whole batch."""
        return x_BT[self.rows, : self.width].to(self.device)

    def write(self, x_BT: Tensor, part_BT: Tensor) -> None:
        """Write these rows and columns of something about the whole batch."""
        x_BT[self.rows, : part_BT.shape[1]] = part_BT.detach().cpu()


@dataclass(frozen=True, slots=True)
class TrainingBatch:
    """The responses of an update that can be trained on: those with a total.

    Attributes:
        prompts, completions: their tokens.
        logprobs: of the completions' tokens, as the engine computed them.
        finished: did the response end by itself? (B,)
        total_B: R_total of each.
        group_B: equal numbers for responses that are compared: to the same prompt, and without the same scores.
        mask_BT: True at response tokens.
        scores: by source, (B,); NaN where there is none.
        places: their places in the round, of which some may have no total.
        sampler_logp_BT: ``logprobs``, laid out.
    """

    prompts: Sequence[Sequence[int]]
    completions: Sequence[Sequence[int]]
    logprobs: Sequence[Sequence[float]]
    finished: Tensor
    total_B: Tensor
    group_B: Tensor
    mask_BT: Tensor
    scores: Mapping[str, Tensor]
    places: Sequence[int] = ()
    sampler_logp_BT: Tensor = field(init=False)

    def __post_init__(self) -> None:
        logp_BT = torch.zeros(self.mask_BT.shape)
        logp_BT[self.mask_BT] = torch.tensor([p for logprobs in self.logprobs for p in logprobs])
        object.__setattr__(self, "sampler_logp_BT", logp_BT)

    @classmethod
    def of(cls, trajectories: Sequence[Trajectory], rewards: Sequence[RewardBreakdown]) -> TrainingBatch | None:
        """Return what can be trained on; None if no response has a total.

        Totals that lack different scores are not on one scale, so a response is compared with those that lack the same.

        Raises:
            ValueError: a trajectory has several turns; training reads one.
        """
        places = [i for i, reward in enumerate(rewards) if math.isfinite(reward.total)]
        if not places:
            return None
        if any(len(trajectory.turns) > 1 for trajectory in trajectories):
            raise ValueError("training reads trajectories of one turn")
        turns = [trajectories[i].turns[0] for i in places]
        length_B = torch.tensor([len(turn.completion_ids) for turn in turns])
        numbers: dict[tuple[str, ...], int] = {}
        keys = [(trajectories[i].prompt.id, *rewards[i].missing_sources) for i in places]
        return cls(
            prompts=[turn.prompt_ids for turn in turns],
            completions=[turn.completion_ids for turn in turns],
            logprobs=[turn.logprobs for turn in turns],
            finished=torch.tensor([turn.finished for turn in turns]),
            total_B=torch.tensor([rewards[i].total for i in places], dtype=torch.float32),
            group_B=torch.tensor([numbers.setdefault(key, len(numbers)) for key in keys]),
            mask_BT=torch.arange(int(length_B.max()))[None] < length_B[:, None],
            scores={
                name: torch.tensor([rewards[i].scores[name].value for i in places], dtype=torch.float32)
                for name in rewards[places[0]].scores
            },
            places=places,
        )

    def __len__(self) -> int:
        return len(self.completions)

    def grouped(self, rows: Sequence[int]) -> list[list[int]]:
        """Return rows in groups, those that are compared together."""
        groups: dict[int, list[int]] = {}
        for i in rows:
            groups.setdefault(int(self.group_B[i]), []).append(i)
        return list(groups.values())

    def microbatches(
        self, rows: Sequence[int], backbone: Backbone, *, tokens: int, whole_groups: bool
    ) -> Iterator[Microbatch]:
        """Yield rows of similar length together, laid out for forward passes.

        Args:
            rows: which of the batch.
            tokens: of a microbatch.
            whole_groups: are responses to the same prompt never split?
        """
        found = self.cut(rows, tokens=tokens, whole_groups=whole_groups, chunks=backbone.chunks, packs=backbone.packs)
        for some in found:
            prompts, completions = [self.prompts[i] for i in some], [self.completions[i] for i in some]
            layout = lay_out(prompts, completions, pad=backbone.tokens.pad)
            yield Microbatch(some, layout, backbone.model.device)

    def cut(
        self, rows: Sequence[int], *, tokens: int, whole_groups: bool, chunks: Chunks, packs: bool = True
    ) -> Iterator[list[int]]:
        """Yield the rows of each microbatch; responses to the same prompt stand side by side.

        Args:
            chunks: cuts rows as the passes that read them can take them: :meth:`Backbone.chunks`.
            packs: do responses to the same prompt share its computation? If not, they need not stay together.
        """
        groups = self.grouped(rows)
        if not whole_groups and not packs:
            groups = [[i] for group in groups for i in group]
        elif not whole_groups:
            groups = [piece for group in groups for piece in self._pieces(group, tokens)]
        sequences = [[[*self.prompts[i], *self.completions[i]] for i in group] for group in groups]
        for chosen in chunks(sequences, tokens):
            yield [i for k in chosen for i in groups[k]]

    def _pieces(self, group: Sequence[int], tokens: int) -> Iterator[list[int]]:
        """Split a group whose row would be longer than a microbatch; few responses do not repeat a long prompt."""
        room = max(tokens, 2 * len(self.prompts[group[0]]))
        piece: list[int] = []
        for i in group:
            if piece and self._length([*piece, i]) > room:
                yield piece
                piece = []
            piece.append(i)
        yield piece

    def _length(self, group: Sequence[int]) -> int:
        """Return the tokens of responses to one prompt, the prompt counted once."""
        return len(self.prompts[group[0]]) + sum(len(self.completions[i]) for i in group)


def split(units: Sequence[list[int]], parts: int) -> Iterator[list[int]]:
    """Yield the rows of ``parts`` runs of units whose sizes differ by at most one; none is empty."""
    size, rest = divmod(len(units), parts)
    start = 0
    for number in range(parts):
        end = start + size + (number < rest)
        if end > start:
            yield [i for unit in units[start:end] for i in unit]
        start = end
