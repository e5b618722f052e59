"""The jobs of a sweep, which of them are checked, and the names of their folders."""

from __future__ import annotations

import time

import pytest

from repo_exp.config import sweeps
from repo_exp.config.entrance import inspect
from repo_exp.config.job_folders import folder_name
from repo_exp.config.sweeps import Dimension, combinations
from repo_exp.errors import ConfigError, Problem


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("seed=range(3,0)", "no value"),
        ("seed=range(0,0)", "no value"),
        ("seed=range(0,3,0)", "step of 0"),
        ("seed=glob(*)", "seed is not a group"),
        ("algorithm=glob(zz*)", "no option of 'algorithm' matches"),
        ("experiment=glob(zz*)", "no option of 'experiment' matches"),
        ("seed=range(1000000000000)", "1,000,000,000,000 jobs"),
        ("experiment=smoke,ablate_n", "a sweep itself"),
        ("hydra.sweeper.max_batch_size=0", "cannot run 0 jobs"),
    ],
)
def test_a_sweep_without_jobs_or_without_end_is_refused(value, words):
    with pytest.raises(ConfigError, match=words):
        inspect(["model=tiny", "-m", value])


def test_too_many_jobs_together_are_refused():
    with pytest.raises(ConfigError, match="40,000 jobs"):
        inspect(["model=tiny", "-m", "seed=range(200)", "reward.n=range(1,201)"])


def test_a_thousand_jobs_are_checked_in_seconds():
    start = time.monotonic()
    command = inspect(["model=tiny", "-m", "seed=range(1000)"])
    assert (command.jobs, command.checked) == (1000, sweeps.MOST_COMBINATIONS)
    assert time.monotonic() - start < 30  # it was minutes


def test_a_value_far_down_a_long_list_is_checked():
    values = [*map(str, range(1, 60)), "much", *map(str, range(60, 100))]
    with pytest.raises(ConfigError, match=r"'much'.*when reward.n=much"):
        inspect(["model=tiny", "-m", f"reward.n={','.join(values)}"])


def test_a_check_of_a_sweep_is_one_answer():
    command = inspect(["model=tiny", "task=check", "-m", "seed=0,1,2"])
    assert command.only_checks and (command.jobs, command.checked) == (3, 3)
    assert not inspect(["model=tiny", "-m", "task=check,run"]).only_checks


def test_a_problem_of_some_jobs_names_what_they_share_or_one_of_them():
    jobs = [("a=1", "b=1", "c=0"), ("a=1", "b=2", "c=0"), ("a=2", "b=1", "c=0"), ("a=2", "b=2", "c=0")]
    swept = {"a=1", "a=2", "b=1", "b=2"}
    problem = Problem("x", "wrong")
    found = [sweeps.with_case(problem, cases, 4, swept).found for cases in (jobs, jobs[:2], [jobs[0], jobs[3]])]
    assert found == ["wrong", "wrong (when a=1)", "wrong (in 2 of 4 jobs, such as a=1 b=1)"]


def test_a_bounded_number_of_combinations_holds_every_option():
    dimensions = [
        Dimension("a", tuple(f"a={i}" for i in range(40)), chooses=True),
        Dimension("b", tuple(f"b={i}" for i in range(20))),
        Dimension("c", ("c=1",)),
    ]
    chosen = combinations(dimensions, 16)
    assert len(chosen) == len(set(chosen)) <= 42
    seen = {line for lines in chosen for line in lines}
    assert {f"a={i}" for i in range(40)} <= seen and {"b=0", "b=19", "c=1"} <= seen


def test_few_combinations_are_all_of_them():
    assert len(combinations([Dimension("a", ("a=1", "a=2")), Dimension("b", ("b=1", "b=2", "b=3"))])) == 6


@pytest.mark.parametrize(
    ("overrides", "keys", "name"),
    [
        (["reward.n=25", "algorithm=grpo"], ["reward.n", "algorithm"], "3-n25-grpo"),
        (["seed=1", "model=tiny"], ["seed"], "3-seed1"),
        (["reward.combine=gated"], ["reward.combine"], "3-combine-gated"),
        (["optimizer.learning_rate.policy=1e-4"], ["optimizer.learning_rate.policy"], "3-policy1e-4"),
        (["a.x=1", "b.x=2"], ["a.x", "b.x"], "3-a.x1-b.x2"),
        (["data.path=../my data/a=b,c.jsonl"], ["data.path"], "3-path-my_data_a_b_c.jsonl"),
        (["reward=rm+rf"], ["reward"], "3-rm+rf"),
        ([], [], "3"),
    ],
)
def test_a_folder_is_named_by_what_differs(overrides, keys, name):
    assert folder_name(3, overrides, keys) == name


def test_a_folders_name_is_bounded():
    assert len(folder_name(3, [f"store={'a' * 500}"], ["store"])) <= 100


def test_the_keys_that_differ_reach_the_folders():
    assert inspect(["model=tiny", "-m", "seed=0,1", "reward.n=1,2"]).arguments[0] == (
        "hydra.sweep.subdir='${job_folder:${hydra.job.num},seed,reward.n}'"
    )
    given = inspect(["model=tiny", "-m", "seed=0,1", "hydra.sweep.subdir=mine"]).arguments
    assert [each for each in given if "subdir" in each] == ["hydra.sweep.subdir=mine"]
