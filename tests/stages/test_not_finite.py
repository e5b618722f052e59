"""What is not finite stops its stage by name and leaves no artifact; a later run finds a store that is sound."""

import json
import math
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file

from repo_exp.algorithms.registry import find
from repo_exp.config.schema import LearningRates
from repo_exp.errors import ConfigError, NotFiniteError, StoreError
from repo_exp.stages import judge, reward_model, value_model
from repo_exp.stages.digests import digest
from repo_exp.stages.finite import require_all, require_some
from repo_exp.stages.store import Store
from repo_exp.training.losses import JudgeLoss, RewardedItem, RewardModelLoss, SFTLoss, ValueLoss
from repo_exp.types import Message
from tests.stages.test_pipeline import made, rows

SHORT = ("evaluation.validation_every=0", "budget={updates: 1, rollouts: 4}", "evaluation.resamples=100")
FAST = (*SHORT, "reward=rm", "evaluation.sources=as_trained")


def nothing_broken(store: Path) -> None:
    """Every number and weight of the store is finite."""
    for path in store.rglob("*"):
        if path.suffix == ".safetensors":
            assert all(bool(weight.isfinite().all()) for weight in load_file(path).values()), path
        if path.suffix in (".json", ".jsonl"):
            assert not {"NaN", "Infinity"} & set(path.read_text().replace(",", " ").split()), path


def spoilt(loss_of):
    """Return a loss that is NaN and has a gradient."""

    def loss(*given, **how):
        loss = loss_of(*given, **how)
        return (loss[0] * math.nan, loss[1]) if isinstance(loss, tuple) else loss * math.nan

    return loss


def stops_in(experiment, monkeypatch, store, stage, owner, name, *overrides) -> str:
    """Run with a loss that is NaN in one stage; return what is said."""
    with monkeypatch.context() as patched:
        patched.setattr(owner, name, spoilt(getattr(owner, name)))
        with pytest.raises(NotFiniteError, match=f"the stage {stage} stops: step 1 of ") as error:
            experiment(f"{stage}-bad", f"store={store}", *overrides, "optimizer.max_skipped_steps=0")
    assert not list(store.glob(f"{stage}/*")) and not list(store.glob(f".work/{stage}-*/*.ckpt"))
    nothing_broken(store)
    return str(error.value)


def test_a_loss_of_nan_stops_each_stage_and_poisons_nothing(experiment, monkeypatch, tmp_path) -> None:
    """From stage to stage in one store: each stops by name, and the next run makes it from where it was."""
    store = tmp_path / "store"

    def stops(stage, owner, name="loss") -> str:
        return stops_in(experiment, monkeypatch, store, stage, owner, name, *SHORT)

    assert "learning_rate.sft" in stops("sft", SFTLoss)
    assert "learning_rate.reward_model" in stops("reward_model", RewardModelLoss)
    assert "learning_rate.judge" in stops("judge", JudgeLoss)
    said = stops("policy", find("ppo").Algorithm, "policy_loss")
    assert "learning_rate.policy" in said and "response 0 " in said
    assert "role value" in stops("policy", find("ppo").Algorithm, "value_loss")
    folder = experiment("good", f"store={store}", *SHORT)
    assert (folder / "report.html").is_file()
    nothing_broken(store)
    assert rows(folder / "metrics.jsonl")[-1]["metrics"]["optim/skipped_steps"] == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "owner", "name", "overrides"),
    [
        ("value_model", ValueLoss, "loss", ["algorithm=dvpo", "algorithm.value_batch_size=8"]),
        ("first_reward_model", RewardModelLoss, "loss", ["reward_model=rrm"]),
        ("reward_pretraining", RewardModelLoss, "loss", ["reward_model=polar"]),
        ("policy", find("grpo").Algorithm, "policy_loss", ["algorithm=grpo", "algorithm.group_size=2"]),
        ("policy", find("dpo").Algorithm, "loss", ["algorithm=dpo"]),
    ],
    ids=["value model", "RRM", "POLAR", "GRPO", "DPO"],
)
def test_so_does_every_other_stage(experiment, monkeypatch, tmp_path, stage, owner, name, overrides) -> None:
    stops_in(experiment, monkeypatch, tmp_path / "store", stage, owner, name, *FAST, *overrides)


def scores_of(monkeypatch, change) -> None:
    """Let the reward model's raw scores be changed where responses are scored."""
    true_scores = reward_model.raw_scores
    monkeypatch.setattr(reward_model, "raw_scores", lambda kind, responses: change(true_scores(kind, responses)))


def test_one_score_that_is_infinite_is_missing(experiment, monkeypatch, tmp_path) -> None:
    """In the calibration it is left out; the response is not trained on; the figures of the others are there."""
    scores_of(monkeypatch, lambda raw: [math.inf, *raw[1:]])
    folder = experiment("a", f"store={tmp_path / 'store'}", *FAST, "evaluation.max_unscored=0.5")
    scored = rows(folder / "rollouts.jsonl")
    assert scored[0]["sources"]["model"]["value"] is None and scored[0]["total"] is None
    assert scored[0]["sources"]["model"]["reason"] == "not finite"
    assert all(row["total"] is not None for row in scored[1:])
    stages = made(folder)
    calibration = json.loads((Path(stages["reward_model"]) / "calibration.json").read_text())
    assert calibration["responses"] == 3 and math.isfinite(calibration["mean"]) and calibration["std"] > 0
    total = json.loads((Path(stages["evaluate"]) / "results.json").read_text())["variants"]["base"]["total"]
    assert total["missing"] == 1 and math.isfinite(total["mean"])
    nothing_broken(tmp_path / "store")


@pytest.mark.slow
def test_a_reward_model_without_a_finite_score_stops(experiment, monkeypatch, tmp_path) -> None:
    store = f"store={tmp_path / 'store'}"
    with monkeypatch.context() as patched:
        scores_of(patched, lambda raw: [math.nan] * len(raw))
        with pytest.raises(
            NotFiniteError, match=r"reward_model stops: .*\n  role reward: 4 of 4 raw scores to calibrate"
        ):
            experiment("a", store, *FAST)
    experiment("b", store, *FAST, "algorithm=sft")
    with monkeypatch.context() as patched:
        scores_of(patched, lambda raw: [math.inf] * len(raw))
        with pytest.raises(
            NotFiniteError, match=r"policy stops: step 1 of 1: .*\n  role reward: 4 of 4 scores of responses"
        ):
            experiment("c", store, *FAST)
    assert not list((tmp_path / "store").glob("policy/*"))


@pytest.mark.slow
def test_responses_that_all_score_alike_calibrate_to_0(experiment, monkeypatch, tmp_path, caplog) -> None:
    """There is no spread to divide by: the unit stays 1, and it is said."""
    scores_of(monkeypatch, lambda raw: [2.5] * len(raw))
    folder = experiment("a", f"store={tmp_path / 'store'}", *FAST)
    calibration = json.loads((Path(made(folder)["reward_model"]) / "calibration.json").read_text())
    assert calibration == {"mean": 2.5, "std": 1.0, "responses": 4}
    assert all(row["total"] == 0 for row in rows(folder / "rollouts.jsonl"))
    assert "all calibration responses the same score" in caplog.text


@pytest.mark.slow
def test_a_poisoned_adapter_of_before_is_made_anew_with_what_came_of_it(experiment, tmp_path, caplog) -> None:
    store = tmp_path / "store"
    first = made(experiment("a", f"store={store}", *FAST))
    weights = Path(first["sft"]) / "policy" / "adapter_model.safetensors"
    content = {name: torch.full_like(weight, math.nan) for name, weight in load_file(weights).items()}
    good = weights.read_bytes()
    save_file(content, weights)
    path = Path(first["sft"]) / "artifact.json"
    record = json.loads(path.read_text())
    record["files"]["policy/adapter_model.safetensors"] |= {"sha256": digest(weights)}
    path.write_text(json.dumps(record))
    again = made(experiment("b", f"store={store}", *FAST))
    assert again == first and weights.read_bytes() == good
    assert "weights that are not finite (policy/adapter_model.safetensors)" in caplog.text
    assert {a.stage for a in Store(store).all() if "damaged" in a.folder.name} == {
        "sft", "reward_model", "policy", "evaluate",
    }  # fmt: skip


def test_a_calibration_without_a_number_is_refused(experiment, tmp_path) -> None:
    """It may come from a version that wrote null for NaN."""
    store = tmp_path / "store"
    first = made(experiment("a", f"store={store}", *FAST, "algorithm=sft"))
    folder = Path(first["reward_model"])
    (folder / "calibration.json").write_text('{"mean": null, "std": 1.0}')
    record = json.loads((folder / "artifact.json").read_text())
    path = folder / "calibration.json"
    record["files"]["calibration.json"] = {"bytes": path.stat().st_size, "sha256": digest(path)}
    (folder / "artifact.json").write_text(json.dumps(record))
    with pytest.raises(StoreError, match=r"calibration.json: mean is None where a number has to be\n    remove "):
        experiment("b", f"store={store}", *FAST)


ROLES = ("sft", "reward_model", "judge", "policy", "value")


def test_rates_that_overflow_are_refused_at_the_entrance(experiment) -> None:
    with pytest.raises(ConfigError, match="5 problems") as error:
        experiment("a", *(f"optimizer.learning_rate.{role}=1e30" for role in ROLES))
    assert all(f"optimizer.learning_rate.{role}: 1e+30 is not valid" in str(error.value) for role in ROLES)
    assert "give a number of 1 or less" in str(error.value)


@pytest.mark.parametrize("rate", [1.5, math.inf, math.nan, -1e-4, 0.0, 1e-40, 1.0])
def test_which_rates_there_are(rate) -> None:
    if 0 <= rate <= 1:
        LearningRates(**dict.fromkeys(ROLES, rate))
    else:
        with pytest.raises(ValidationError, match="5 validation errors"):
            LearningRates(**dict.fromkeys(ROLES, rate))


BAD = {
    "optimizer.clip_norm": ".inf",
    "optimizer.eps": ".nan",
    "reward.weights.model": ".inf",
    "+reward.rule_points.too_long": ".nan",
    "algorithm.clip_high": ".inf",
    "algorithm.kl_horizon": ".inf",
    "evaluation.confidence": ".nan",
    "rollout.temperature": ".inf",
}


def test_no_number_of_a_configuration_is_infinite(experiment) -> None:
    with pytest.raises(ConfigError) as error:
        experiment("a", *(f"{key}={value}" for key, value in BAD.items()))
    assert [key for key in BAD if f"{key.lstrip('+')}:" not in str(error.value)] == []


def test_a_role_that_is_measured_or_asked_has_to_say_something_finite() -> None:
    require_all([0.5, 1.0], role="judge", what="answers")
    require_all([], role="judge", what="answers")
    require_some([math.nan, 1.0], role="judge", what="answers")
    with pytest.raises(NotFiniteError, match="1 of 2 answers are not finite; the first is number 1, which is nan"):
        require_all([0.5, math.nan], role="judge", what="answers")
    with pytest.raises(NotFiniteError, match="role judge: 2 of 2 answers"):
        require_some([math.inf, math.nan], role="judge", what="answers")
    with pytest.raises(NotFiniteError, match="2 of 3 scores"):
        require_some([1.0, math.nan, math.nan], least=2, role="reward", what="scores")


def broken(tiny, role):
    """Return a backbone one of whose roles says nothing finite."""
    backbone = tiny(role)
    next(iter(backbone.parameters_of(role).values())).data.fill_(math.nan)
    return backbone


def test_a_broken_judge_neither_judges_nor_agrees_with_anybody(tiny) -> None:
    asked = [((Message("user", "Hello?"),), "Yes.", ["Is it polite?", "Is it short?"])]
    with pytest.raises(NotFiniteError, match="role judge: 2 of 2 answers"):
        judge.ask(broken(tiny, "judge"), asked, turns=None, offsets={}, microbatch_tokens=400)


def test_a_broken_value_model_puts_no_pair_right(tiny) -> None:
    valuing = ValueLoss(targets="lambda_return", gamma=1.0, gae_lambda=0.95, of="state")
    items = [RewardedItem([5, 6], [7, 2], worth) for worth in (1.0, -1.0)]
    with pytest.raises(NotFiniteError, match="role value: 2 of 2 values of held-out responses"):
        value_model._quality(broken(tiny, "value"), valuing, items, microbatch_tokens=400)
