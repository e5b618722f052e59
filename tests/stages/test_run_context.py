"""What a run does around a stage: builds once, reports what is found as what is made, and names who failed."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from repo_exp.errors import NotFiniteError, Problem
from repo_exp.stages.backbone import LoadedModel
from repo_exp.stages.building import make
from repo_exp.stages.records import LoraInputs, ModelInputs, Weights
from repo_exp.stages.run_context import METRICS, NOTES, RunContext
from repo_exp.stages.stage import Stage
from repo_exp.stages.store import Store, write_json

MODEL = ModelInputs(Weights("random", "x", {"seed": 0}), "float32", "auto", "eager", 320,
                    LoraInputs(4, 8, "all-linear", {}))  # fmt: skip
MACHINE = SimpleNamespace(device=torch.device("cpu"), longest=10)


class Log:
    """A tracker that remembers."""

    def __init__(self) -> None:
        self.rows: list[tuple] = []

    def log(self, stage, step, metrics) -> None:
        self.rows.append((stage, step, dict(metrics)))


class Made(Stage):
    """Leaves two steps of metrics and a note."""

    name, version = "sft", 1

    def __init__(self, error: Exception | None = None) -> None:
        self.error, self.built, self.checked = error, [], []

    def inputs(self, config):
        return {}

    def build(self, inputs, parents, folder, run):
        self.built.append(inputs)
        if self.error is not None:
            raise self.error
        write_json(folder / METRICS, [{"step": 0, "loss": 1.5}, {"step": 1, "loss": math.nan}])
        write_json(folder / NOTES, ["two pairs are cut"])

    def check(self, inputs, artifact) -> None:
        self.checked.append(artifact.reused)


@pytest.fixture
def run(tmp_path):
    """Return a maker of runs on one store."""

    def new() -> RunContext:
        return RunContext(
            folder=tmp_path, trackers=Log(), store=Store(tmp_path / "store"), machine=MACHINE, model=MODEL, name="tiny"
        )

    return new


def test_what_is_found_is_reported_as_what_was_made_and_what_was_null_is_no_number(run) -> None:
    stage, first, second = Made(), run(), run()
    assert not make(stage, {"lr": 1}, {}, first).reused and first.trackers.rows == []  # a build reports its own steps
    found = make(stage, {"lr": 1}, {}, second)
    assert found.reused and len(stage.built) == 1 and stage.checked == [False, True]
    (stage_0, step_0, metrics_0), (_, step_1, metrics_1) = second.trackers.rows
    assert (stage_0, step_0, metrics_0) == ("sft", 0, {"loss": 1.5})
    assert step_1 == 1 and math.isnan(metrics_1["loss"])
    assert first.notes == second.notes == ["sft: two pairs are cut"]


def test_the_first_stage_that_is_built_and_not_found_is_announced_once(run) -> None:
    stage, announced = Made(), []
    make(stage, {"lr": 1}, {}, run())
    second, announce = run(), cache(lambda: announced.append(len(stage.built)))
    make(stage, {"lr": 1}, {}, second, before=announce)
    assert announced == []
    make(stage, {"lr": 2}, {}, second, before=announce)
    make(stage, {"lr": 3}, {}, second, before=announce)
    assert announced == [1] and len(stage.built) == 3


def test_numbers_that_are_not_finite_say_which_stage_they_stopped_and_keep_their_problem(run) -> None:
    problem = Problem("step 3", "the loss is nan", "a smaller rate")
    with pytest.raises(NotFiniteError, match="the stage sft stops: no step was finite") as caught:
        make(Made(NotFiniteError("no step was finite", [problem])), {}, {}, run())
    assert caught.value.problems == (problem,)
    with pytest.raises(ZeroDivisionError):
        make(Made(ZeroDivisionError()), {}, {}, run())


def test_what_stages_share_is_computed_once_a_run_and_key(run) -> None:
    one_run, calls = run(), []

    def build() -> str | None:
        calls.append(1)
        return None

    assert one_run.once("a", build) is one_run.once("a", build) is None and len(calls) == 1
    one_run.once(("a", 1), build), run().once("a", build)
    assert len(calls) == 3


@pytest.mark.parametrize(
    "changes", [{"dtype": "bfloat16"}, {"engine": "transformers"}, {"weights": Weights("hub", "y", {})}]
)
def test_a_run_has_one_model_whatever_adapters_a_stage_makes(run, changes) -> None:
    one_run = run()
    same = ModelInputs(MODEL.weights, "float32", "auto", "sdpa", 99, LoraInputs(16, 1, ["q_proj"], {"policy": 2}))
    assert one_run.model(same) is one_run.model(MODEL)
    fields = {
        name: getattr(MODEL, name) for name in ("weights", "dtype", "engine", "attention", "max_prompt_tokens", "lora")
    }
    with pytest.raises(ValueError, match="a run has one model"):
        one_run.model(ModelInputs(**fields | changes))
    for weights, longest in ((Weights("hub", "y", {}), 320), (MODEL.weights, 321)):
        with pytest.raises(ValueError, match="a run has one model"):
            one_run.tokens(weights, max_prompt_tokens=longest)


class Loads:
    """A backbone that remembers what it was told to load."""

    def __init__(self) -> None:
        self.loaded: list[str] = []

    def load(self, role: str, folder: Path) -> None:
        self.loaded.append(f"{role} {folder}")

    def add(self, role: str, *, seed: int) -> None:
        self.loaded.append(f"{role} fresh {seed}")


def test_a_role_is_read_again_only_where_it_may_have_other_weights(tmp_path) -> None:
    model = LoadedModel(MODEL, name="tiny", store=Store(tmp_path), machine=MACHINE)
    model._backbone = backbone = Loads()
    sft, policy = (SimpleNamespace(address=name, folder=Path(name)) for name in ("sft", "policy"))
    assert model.role("policy", sft) is backbone
    model.role("policy", sft), model.role("reference", sft, saved_as="policy")
    assert backbone.loaded == ["policy sft/policy", "reference sft/policy"]
    model.role("policy", policy)
    for disturb in (
        lambda: model.changed("policy"),
        lambda: model.load("policy", Path("elsewhere")),
        lambda: model.fresh("policy", seed=3),
    ):
        backbone.loaded.clear()
        model.role("policy", policy)
        assert backbone.loaded == []
        disturb()
        model.role("policy", policy), model.role("reference", sft)
        assert backbone.loaded[-1] == "policy policy/policy"
