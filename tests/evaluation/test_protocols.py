"""Agents and protocols: who plays what, with which draws, and what is measured of it."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest

from repo_exp.domains import registry
from repo_exp.domains.single_turn import SingleTurn
from repo_exp.evaluation.agents.function import FunctionAgent
from repo_exp.evaluation.agents.interface import Agent
from repo_exp.evaluation.agents.policy import PolicyAgent
from repo_exp.evaluation.protocols.dialogue import dialogues, outcomes
from repo_exp.evaluation.protocols.holdout import holdout
from repo_exp.rollout.engine import Sampling
from repo_exp.rollout.seeds import derived_seed
from repo_exp.types import Prompt, Trajectory, Turn
from tests.domains.hotel_corpus import TINY, generate
from tests.rollout.test_collector import SAMPLING, Countdown, Echo, Letters, prompt

PROMPTS = [prompt("abc"), prompt("x"), prompt("yz")]


def echo(name: str = "echo") -> PolicyAgent:
    return PolicyAgent(name, Echo(), Letters(), SAMPLING)


def repeat(messages) -> str:
    return messages[-1].content


def test_holdout_is_one_response_a_prompt_with_the_draws_that_a_run_has_always_had():
    engines = [Echo(), Echo()]
    agents = [PolicyAgent(f"agent {i}", engine, Letters(), SAMPLING) for i, engine in enumerate(engines)]
    played = holdout(agents, PROMPTS, seed=5)
    assert {name: [each.response for each in found] for name, found in played.items()} == {
        "agent 0": ["abc", "x", "yz"],
        "agent 1": ["abc", "x", "yz"],
    }
    assert engines[0].seeds == engines[1].seeds == [[derived_seed(5, place) for place in range(3)]]
    assert all(len(each.turns) == 1 and each.status == "terminated" for each in played["agent 0"])


def test_holdout_asks_for_an_agent_when_the_one_before_is_done():
    log: list[str] = []

    def agents() -> Iterator[Agent]:
        for name in ("base", "sft", "repo"):
            log.append(f"load {name}")
            yield FunctionAgent(name, repeat)

    holdout(agents(), PROMPTS[:1], seed=0, on_finished=lambda each: log.append(each.response))
    assert log == ["load base", "abc", "load sft", "abc", "load repo", "abc"]


def test_holdout_hands_on_every_trajectory_once():
    heard: list[Trajectory] = []
    played = holdout([echo(), FunctionAgent("f", repeat)], PROMPTS, seed=0, on_finished=heard.append)
    assert sorted(each.response for each in heard) == sorted(2 * ["abc", "x", "yz"])
    assert all(
        any(each is found for found in [*played["echo"], *played["f"]]) or each in played["echo"] for each in heard
    )


def test_all_agents_of_a_dialogue_meet_the_same_partners():
    played = dialogues([echo(), FunctionAgent("function", repeat)], PROMPTS, Countdown, seed=3, max_turns=9)
    said = {name: [[turn.message for turn in each.turns] for each in found] for name, found in played.items()}
    assert said["echo"] == said["function"] == [["abc", "ab", "a"], ["x"], ["yz", "y"]]
    seeds = {name: [each.outcome["seed"] for each in found] for name, found in played.items()}
    assert seeds["echo"] == seeds["function"] == [derived_seed(3, "environment", place) for place in range(3)]


@pytest.mark.parametrize("agent", [echo("agent"), FunctionAgent("agent", repeat)], ids=["policy", "function"])
def test_a_dialogue_that_is_not_over_in_time_is_truncated_and_has_no_outcome(agent):
    (found,) = dialogues([agent], PROMPTS[:1], Countdown, seed=3, max_turns=2)["agent"]
    assert (found.status, len(found.turns), dict(found.outcome)) == ("truncated", 2, {})
    assert agent.play(PROMPTS[:1], SingleTurn, seed=3, max_turns=9)[0].status == "terminated"


def played(status: str = "terminated", turns: int = 1, **outcome) -> Trajectory:
    return Trajectory(Prompt("p", ()), tuple(Turn("x") for _ in range(turns)), status, outcome)  # type: ignore[arg-type]


def test_outcomes_are_shares_of_truth_values_and_means_of_numbers_and_what_is_missing_is_not_zero():
    found = outcomes(
        [played(agreed=True, saving=0.5, note="x"), played(agreed=False, saving=1.5, turns=3), played("truncated", 2)],
        seed=0,
        resamples=200,
    )
    assert found.shares.keys() == {"agreed"} and found.means.keys() == {"saving"}
    assert (found.shares["agreed"].share, found.shares["agreed"].n) == (0.5, 2)
    saving = found.means["saving"]
    assert (saving.mean, saving.n, saving.missing, found.turns.mean) == (1.0, 2, 1, 2.0)
    assert found.truncated.share == pytest.approx(1 / 3)


def test_no_dialogue_at_all_gives_no_number():
    found = outcomes([], seed=0, resamples=200)
    assert not found.shares and not found.means and math.isnan(found.turns.mean)


def test_the_hotels_dialogues_are_played_and_measured_by_functions_and_by_engines():
    hotel = registry.find("hotel")
    prompts = generate(seed=1, **TINY).prompts["test"][:8]
    engine = PolicyAgent("engine", Echo(), Letters(), Sampling(1.0, 400))
    polite = FunctionAgent("polite", lambda messages: f"Thank you! Could it be lower? {'Please. ' * len(messages)}")
    found = dialogues([engine, polite], prompts, hotel.environment, seed=0, max_turns=12)
    assert found == dialogues([engine, polite], prompts, hotel.environment, seed=0, max_turns=12)
    for name in ("engine", "polite"):
        assert all(each.status == "terminated" and each.messages[: len(each.prompt.messages)] == each.prompt.messages
                   for each in found[name])  # fmt: skip
        measured = outcomes(found[name], seed=0, resamples=200)
        assert measured.shares.keys() == {"agreed", "success"} and measured.means.keys() == {"saving", "turns"}
        assert measured.truncated.share == 0 and measured.shares["agreed"].n == 8
