"""The expected time: counts by hand, and what a run says first."""

import logging
from types import SimpleNamespace

import pytest

from repo_exp.stages import forecast
from repo_exp.types import Corpus, Demonstration, Judgement, Message, Preference, Prompt


def corpus() -> Corpus:
    """Prompts of one message of 376 bytes: 376 / 4 + 6 = 100 tokens; responses of 36 bytes: 36 / 4 + 1 = 10."""
    prompt, response = Prompt("c", (Message("user", "x" * 376),)), "y" * 36
    pair, judged = Preference(prompt, response, response), Judgement(prompt, response, {})
    return Corpus(
        {"train": (Demonstration(prompt, response),) * 40},
        {"train": (pair,) * 30, "development": (pair,) * 5},
        {"train": (judged,) * 20, "development": (judged,) * 2},
        {"train": (prompt,) * 9, "test": (prompt,) * 7},
    )


def settings(kind: str = "sft") -> SimpleNamespace:
    layers = SimpleNamespace(model_dump=lambda: {"policy": None, "value": 5, "reward": 5, "judge": 5})
    return SimpleNamespace(
        sft=SimpleNamespace(epochs=2),
        reward_model=SimpleNamespace(epochs=1, calibration_responses=4),
        algorithm={"kind": kind},
        model=SimpleNamespace(max_prompt_tokens=320, lora=SimpleNamespace(last_layers=layers)),
        rollout=SimpleNamespace(max_new_tokens=48),
    )


def test_tokens_of_each_stage_by_hand() -> None:
    """Half of the layers are adapted for the reward: a token that is learnt from counts 1.5 there, 2 in SFT."""
    found = forecast.forecast(settings(), corpus(), layers=10, items=3)
    assert found["sft"] == 2 * 40 * 110 * 2
    assert found["reward_model"] == 30 * 120 * 1.5 + 5 * 120 + 4 * (130 + 110)
    judged = 65 + 10 + 3 * 16
    assert found["judge"] == 20 * (32.5 + 10 + 48) * 1.5 + 2 * judged
    assert found["evaluate"] == 3 * 7 * (130 + 110 + judged)
    assert found["policy"] == 0


def test_seconds_are_operations_over_the_rate() -> None:
    """1000 tokens of a million weights are 2e9 operations: 2 s at 1e9 a second, if products were everything."""
    found = forecast.seconds({"sft": 1000.0}, weights=1e6, rate=1e9)
    assert found["sft"] == pytest.approx(2.0 / forecast.EFFICIENCY)


def test_a_run_says_first_what_it_computes_with_and_how_long_it_takes(experiment, caplog, tmp_path) -> None:
    with caplog.at_level(logging.INFO):
        experiment("a", f"store={tmp_path / 'store'}", "algorithm=sft", "judge=none", "reward=rm+rf")
        lines = [record.getMessage() for record in caplog.records if record.name.startswith("repo_exp")]
        first = next(i for i, line in enumerate(lines) if line.startswith("expected time: "))
        precision = next(i for i, line in enumerate(lines) if line.startswith("tiny in float32 ("))
        assert precision < first < next(i for i, line in enumerate(lines) if line.startswith("sft: done"))
        caplog.clear()
        experiment("b", f"store={tmp_path / 'store'}", "algorithm=sft", "judge=none", "reward=rm+rf")
        lines = [record.getMessage() for record in caplog.records]
        assert not [line for line in lines if line.startswith("expected time: ")], "nothing is left to do"
