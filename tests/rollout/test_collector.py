"""Collecting: environments and an engine that need no model at all, and the draws of one turn."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from repo_exp.domains.interface import Step
from repo_exp.rollout.collector import collect
from repo_exp.rollout.engine import Completion, Sampling
from repo_exp.rollout.seeds import derived_seed
from repo_exp.rollout.torch_engine import TorchEngine
from repo_exp.types import Message, Prompt, Trajectory

SAMPLING = Sampling(temperature=1.0, max_new_tokens=8)


class Letters:
    """A tokenizer whose tokens are the characters of the last message."""

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        return [ord(letter) for letter in messages[-1].content]

    def text(self, tokens: Sequence[int]) -> str:
        return "".join(map(chr, tokens))


class Echo:
    """An engine that says what it is asked, the longest prompt first, and keeps the seeds."""

    def __init__(self) -> None:
        self.seeds: list[list[int]] = []

    def generate(self, prompts, sampling, *, seeds, on_finished=None) -> list[Completion]:
        self.seeds.append(list(seeds))
        found = []
        for prompt in prompts:
            kept = tuple(prompt[: sampling.max_new_tokens])
            found.append(Completion(kept, (0.0,) * len(kept), len(kept) == len(prompt)))
        for place in sorted(range(len(prompts)), key=lambda i: -len(prompts[i])):
            if on_finished is not None:
                on_finished(place, found[place])
        return found

    def score(self, prompts, completions, *, temperature) -> list[tuple[float, ...]]:
        return [(0.0,) * len(each) for each in completions]

    def publish(self, role: str, version: int) -> None: ...

    def close(self) -> None: ...


class Countdown:
    """Answers with one letter less each time, until one is left."""

    def __init__(self, prompt: Prompt, *, seed: int) -> None:
        self.prompt, self.seed = prompt, seed

    def reset(self) -> tuple[Message, ...]:
        return self.prompt.messages

    def step(self, message: str) -> Step:
        over = len(message) <= 1
        answer = () if over else (Message("user", message[:-1]),)
        return Step(answer, done=over, outcome={"seed": self.seed} if over else {})


def prompt(text: str) -> Prompt:
    return Prompt(text, (Message("user", text),))


def test_a_single_turn_is_one_response_with_its_tokens() -> None:
    (found,) = collect([prompt("abc")], Echo(), Letters(), SAMPLING, seed=3)
    (turn,) = found.turns
    assert (found.response, found.status, found.finished, found.tokens) == ("abc", "terminated", True, 3)
    assert turn.prompt_ids == turn.completion_ids == (97, 98, 99) and turn.logprobs == (0.0,) * 3
    assert not turn.partner_messages and not found.outcome


def test_a_budget_that_cuts_a_turn_is_told() -> None:
    (found,) = collect([prompt("abc")], Echo(), Letters(), Sampling(1.0, 2), seed=3)
    assert (found.response, found.finished, found.turns[0].stop_reason) == ("ab", False, "length")


def test_dialogues_of_different_lengths_go_on_side_by_side_until_each_is_over() -> None:
    engine = Echo()
    found = collect(
        [prompt("abc"), prompt("x"), prompt("yz")], engine, Letters(), SAMPLING, seed=3, environment=Countdown,
        max_turns=9,
    )  # fmt: skip
    assert [[turn.message for turn in each.turns] for each in found] == [["abc", "ab", "a"], ["x"], ["yz", "y"]]
    assert [message.content for message in found[2].messages] == ["yz", "yz", "y", "y"]
    assert [each.status for each in found] == ["terminated"] * 3
    assert [len(seeds) for seeds in engine.seeds] == [3, 2, 1]


def test_the_seed_of_a_turn_does_not_depend_on_who_else_goes_on() -> None:
    engine = Echo()
    collect([prompt("x"), prompt("yz")], engine, Letters(), SAMPLING, seed=3, environment=Countdown, max_turns=2)
    assert engine.seeds == [[derived_seed(3, 0), derived_seed(3, 1)], [derived_seed(3, "turn", 1, 1)]]
    both = [engine.seeds[0][1], engine.seeds[1][0]]
    assert len(set(both)) == 2


def test_a_dialogue_that_is_not_over_in_time_is_truncated() -> None:
    (found,) = collect(
        [prompt("abcd")], Echo(), Letters(), SAMPLING, seed=3, environment=Countdown, max_turns=2
    )  # fmt: skip
    assert (found.status, len(found.turns), found.response) == ("truncated", 2, "abc")
    assert found.turns[-1].partner_messages == (Message("user", "ab"),)


def test_every_environment_has_a_seed_of_its_own() -> None:
    found = collect([prompt("x")] * 2, Echo(), Letters(), SAMPLING, seed=3, environment=Countdown)
    assert found[0].outcome != found[1].outcome


@pytest.mark.parametrize("max_turns", [1, 2, 9])
def test_each_trajectory_is_handed_on_once_as_it_is_returned(max_turns) -> None:
    heard: list[Trajectory] = []
    found = collect(
        [prompt("abc"), prompt("x")], Echo(), Letters(), SAMPLING, seed=3, environment=Countdown,
        max_turns=max_turns, on_finished=heard.append,
    )  # fmt: skip
    assert sorted(each.prompt.id for each in heard) == ["abc", "x"]
    assert all(each in found for each in heard)


def test_one_turn_draws_what_the_engine_draws_with_the_seeds_of_the_places(tiny) -> None:
    backbone = tiny("policy")
    engine = TorchEngine(backbone, batch_size=2)
    prompts = [prompt(text) for text in ("How much?", "Hello", "A longer question, is it not?")]
    found = collect(prompts, engine, backbone.tokens, SAMPLING, seed=11)
    ids = [backbone.tokens.prompt(each.messages) for each in prompts]
    wanted = engine.generate(ids, SAMPLING, seeds=[derived_seed(11, i) for i in range(3)])
    assert [each.turns[0].completion_ids for each in found] == [each.tokens for each in wanted]
    assert [each.turns[0].logprobs for each in found] == [each.logprobs for each in wanted]
    assert [each.response for each in found] == [backbone.tokens.text(each.tokens) for each in wanted]
