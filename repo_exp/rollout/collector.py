"""Plays environments with an engine and returns trajectories: all episodes in parallel, turn by turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from repo_exp.domains.interface import EnvironmentFactory
from repo_exp.domains.single_turn import SingleTurn
from repo_exp.rollout.engine import Completion, Engine, Sampling
from repo_exp.rollout.episode import Episode
from repo_exp.rollout.seeds import derived_seed
from repo_exp.types import Message, Prompt, Trajectory, Turn


class Tokenizer(Protocol):
    """Messages to prompt tokens, completion tokens to text (``models/tokens.py`` has the real one)."""

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """Return the tokens that the agent's next message continues."""
        ...

    def text(self, tokens: Sequence[int]) -> str:
        """Return the text of a completion."""
        ...


def collect(
    prompts: Sequence[Prompt],
    engine: Engine,
    tokenizer: Tokenizer,
    sampling: Sampling,
    *,
    seed: int,
    environment: EnvironmentFactory = SingleTurn,
    max_turns: int = 1,
    on_finished: Callable[[Trajectory], None] | None = None,
) -> list[Trajectory]:
    """Play one episode of each prompt.

    Args:
        prompts: where the episodes start; the same one several times gives several episodes.
        seed: every draw depends on it, on a prompt's place in ``prompts`` and on the number of the turn.
        environment: answers the agent; by default an episode is one response.
        max_turns: an episode that is not over after so many turns of the agent is truncated.
        on_finished: is called once for each trajectory, as soon as it is complete; the order may be any.

    Raises:
        NotFiniteError: the engine has no distribution to sample from.
    """
    # the strings are part of the seeds
    episodes = [
        Episode(prompt, environment, seed=derived_seed(seed, "environment", i)) for i, prompt in enumerate(prompts)
    ]
    for turn in range(max_turns):
        active = [i for i, episode in enumerate(episodes) if not episode.done]
        if not active:
            break
        seeds = [derived_seed(seed, i) if turn == 0 else derived_seed(seed, "turn", turn, i) for i in active]
        last = turn == max_turns - 1
        _play([episodes[i] for i in active], engine, tokenizer, sampling, seeds=seeds, last=last, complete=on_finished)
    return [episode.trajectory() for episode in episodes]


def _play(
    episodes: Sequence[Episode],
    engine: Engine,
    tokenizer: Tokenizer,
    sampling: Sampling,
    *,
    seeds: Sequence[int],
    last: bool,
    complete: Callable[[Trajectory], None] | None,
) -> None:
    """Play one turn of these episodes; report those that it completes."""
    prompt_ids = [tokenizer.prompt(episode.messages) for episode in episodes]

    def take(place: int, completion: Completion) -> None:
        episode = episodes[place]
        text, ids = tokenizer.text(completion.tokens), tuple(prompt_ids[place])
        episode.take(Turn(text, completion.finished, ids, completion.tokens, completion.logprobs))
        if complete is not None and (episode.done or last):
            complete(episode.trajectory())

    if complete is None:  # no callback
        for place, completion in enumerate(engine.generate(prompt_ids, sampling, seeds=seeds)):
            take(place, completion)
    else:
        engine.generate(prompt_ids, sampling, seeds=seeds, on_finished=take)
