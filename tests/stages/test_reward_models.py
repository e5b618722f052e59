"""What each kind of reward model learns from, how it lays responses out, and that the pipeline runs with it."""

import json
import math
from pathlib import Path
from types import SimpleNamespace

import pytest

from repo_exp.config.schema import Polar, Rrm
from repo_exp.errors import DataError
from repo_exp.models.tokens import ChatTokenizer, byte_tokenizer
from repo_exp.stages import reward_model
from repo_exp.stages.backbone import LoadedModel
from repo_exp.stages.records import SamplingInputs
from repo_exp.stages.reward_model import RewardModelInputs
from repo_exp.stages.reward_models import polar, rrm
from repo_exp.types import Message, Preference, Prompt, Trajectory
from tests.stages.test_pipeline import made, rows

RRM = Rrm(kind="rrm", epochs=1, batch_size=8, centring=0.0, calibration_responses=4, threshold=0.2, augmented_pairs=5,
          tie_weight=0.5)  # fmt: skip
POLAR = Polar(kind="polar", epochs=1, batch_size=8, calibration_responses=4, pretraining_prompts=4,
              pretraining_epochs=1, adapters=[0.0, 1.0], temperatures=[1.0, 1.0], max_tokens=1024)  # fmt: skip

ALONE = ("reward=rm", "evaluation.sources=as_trained")  # no judge and no rules


def run_with(model) -> SimpleNamespace:
    """Return as much of a run as reward models need."""
    machine = SimpleNamespace(microbatch_tokens=99, sampling_batch_size=4)
    return SimpleNamespace(model=lambda inputs: model, machine=machine)


def reward_model_of(module, settings, model=None):
    """Return the reward model of a kind; by default on a model that has nothing but a tokenizer."""
    backbone = SimpleNamespace(tokens=ChatTokenizer(byte_tokenizer(), max_prompt_tokens=400))
    model = model or SimpleNamespace(backbone=backbone, role=lambda *_: backbone)
    training = SimpleNamespace(model=None, seed=0)
    return module.RewardModel(run_with(model), training, settings, max_new_tokens=8)


def prompt(words: str, reference: str = "") -> Prompt:
    return Prompt(words, (Message("user", words),), {}, reference)


def pair(words: str, **how) -> Preference:
    return Preference(prompt(words, **how), f"{words}, yes", f"{words}, no")


# -- RRM -----------------------------------------------------------------------------------------------


def test_partners_answer_other_prompts_even_where_these_are_nearly_the_same() -> None:
    pairs = [pair(words) for words in ("Hello", "hello ", " HELLO", "Bye", "Price?", "Room?")]
    hellos = {0, 1, 2}
    for number, contests in enumerate(rrm.augmented(pairs, seed=3)):
        assert len(contests) == 14
        others = {which.example for contest in contests for which in contest[:2]} - {number}
        assert len(others) == 2 and len(others & hellos) <= (0 if number in hellos else 1)


def test_pairs_of_two_prompts_cannot_be_augmented() -> None:
    with pytest.raises(DataError, match="2 different prompts among 3 pairs"):
        rrm.augmented([pair("a"), pair("b"), pair("A")], seed=0)


def examples_of(monkeypatch, tmp_path, pairs, score, **changes):
    """Return what RRM teaches where the first model gives the scores of ``score(prompt, response)``."""
    kind = reward_model_of(rrm, RRM.model_copy(update=changes))
    said = {(each, chosen): text for each, p in enumerate(pairs) for chosen, text in ((1, p.chosen), (0, p.rejected))}

    def scores(pairs, made):
        asked = [{which for contest in contests for which in contest[:2]} for contests in made]
        return [(i, {w: score(pairs[i].prompt.id, said[w]) for w in each}) for i, each in enumerate(asked)]

    monkeypatch.setattr(kind, "_scores", scores)
    items = kind.training_examples(SimpleNamespace(preferences={"train": pairs}), SimpleNamespace(), tmp_path)
    return items, json.loads((tmp_path / "augmentation.json").read_text())


PAIRS = [pair(words) for words in ("Lift", "Pool", "Sauna", "Garden")]


def test_what_the_first_model_gets_right_is_not_taught_again(monkeypatch, tmp_path) -> None:
    """A model that knows which responses belong here, and cares for nothing else: only original pairs are left."""
    items, counts = examples_of(monkeypatch, tmp_path, PAIRS, lambda here, said: 9.0 * said.startswith(here))
    assert counts == {"made": 4 * 14, "kept": 0, "learnt": 0, "ties": 0} and len(items) == 4


def test_a_model_that_likes_an_artifact_is_taught_what_it_gets_wrong(monkeypatch, tmp_path) -> None:
    """It likes a "yes" wherever. Of a prompt's 8 non-contextual pairs it has 2 right (our yes, their no): 6 are kept.
    Of the 6 neutral ones 2 are between equals (yes with yes, no with no): 4 are kept."""
    items, counts = examples_of(
        monkeypatch, tmp_path, PAIRS, lambda _, said: 9.0 * ("yes" in said), augmented_pairs=None
    )
    assert counts == {"made": 56, "kept": 4 * 10, "learnt": 40, "ties": 16} and len(items) == 44
    assert {(item.label, item.weight) for item in items} == {(1.0, 1.0), (0.5, 0.5)}


def test_of_those_that_are_kept_a_draw_is_learnt(monkeypatch, tmp_path) -> None:
    items, counts = examples_of(monkeypatch, tmp_path, PAIRS, lambda _, said: 9.0 * ("yes" in said))
    assert (counts["kept"], counts["learnt"], len(items)) == (40, 5, 9)
    again, _ = examples_of(monkeypatch, tmp_path, PAIRS, lambda _, said: 9.0 * ("yes" in said))
    assert again == items


def test_the_same_words_are_no_contest(monkeypatch, tmp_path) -> None:
    alike = [Preference(prompt(words), "Certainly.", f"{words}?") for words in ("Lift", "Pool", "Sauna")]
    items, counts = examples_of(monkeypatch, tmp_path, alike, lambda *_: 0.0, augmented_pairs=None)
    assert counts["made"] == 3 * (14 - 3)  # ours with either of theirs, and theirs with one another
    assert all(item.chosen != item.rejected for item in items)


# -- POLAR ---------------------------------------------------------------------------------------------


def test_prompt_and_reference_come_before_the_prompt_again() -> None:
    assert polar.laid_out([1, 2], [3, 4], split=[9], budget=100, longest=5) == [1, 2, 3, 4, 9, 1, 2]
    # the token that begins a sequence stands at its beginning alone
    assert polar.laid_out([1, 2], [3, 4], split=[9], budget=100, longest=5, begin=1) == [1, 2, 3, 4, 9, 2]


def test_truncation_keeps_the_tail_of_the_prompt_and_the_head_of_the_reference() -> None:
    """17 tokens, less two responses of 5 and the split, leave 3 for each prompt."""
    found = polar.laid_out(range(10), range(20, 30), split=[99], budget=17, longest=5)
    assert found == [7, 8, 9, 20, 21, 22, 23, 24, 99, 7, 8, 9]
    with pytest.raises(ValueError, match="no room for a prompt"):
        polar.laid_out(range(10), range(20, 30), split=[99], budget=11, longest=5)


def test_a_candidate_keeps_its_head_and_stands_last() -> None:
    kind = reward_model_of(polar, POLAR)
    item = kind.item(Preference(prompt("Hi", "Yes"), "a" * 40, "b" * 3))
    text = kind.tokens.hf.decode
    assert text(item.prompt).count("Hi") == 2 and text(item.prompt).index("Yes") < text(item.prompt).index("=====")
    assert text(item.chosen) == "a" * 16 and text(item.rejected).startswith("bbb")


def test_thoughts_are_not_compared(monkeypatch) -> None:
    kind, heard, thought = reward_model_of(polar, POLAR), [], "<think>Hm.\nYes?</think>\n"
    assert kind.before_response(prompt("Hi", thought + "Yes")) == kind.before_response(prompt("Hi", "Yes"))
    assert kind.response(thought + "Yes") == kind.response("Yes") != kind.response("No")
    assert kind.words("Yes <think>but if they") == "Yes"  # cut off within a thought
    said = [("Gladly", "No"), ("Gladly", thought + "Gladly")]
    pairs = [Preference(prompt("Hi", thought + "Yes"), *responses) for responses in said]
    assert [kind.can_measure(pair) for pair in pairs] == [True, False]
    assert not kind.can_measure(Preference(prompt("Hi", "Yes"), thought + "Yes", "No"))
    corpus = SimpleNamespace(preferences={"train": pairs})
    assert kind.training_examples(corpus, None, Path()) == [kind.item(pairs[0])]
    monkeypatch.setattr(reward_model, "score_responses", lambda *arguments, **_: heard.extend(arguments[2]) or [0.0])
    raw = reward_model.raw_scores(
        kind, [Trajectory.single(prompt("Hi"), "No"), Trajectory.single(prompt("Hi", "Yes"), thought + "No")]
    )
    assert heard == [kind.response("No")] and math.isnan(raw[0]) and raw[1] == 0.0


def test_a_pair_without_a_reference_has_the_chosen_response_for_one_and_measures_nothing() -> None:
    kind = reward_model_of(polar, POLAR)
    own, borrowed = pair("Hi", reference="Gladly"), pair("Hi")
    assert kind.item(borrowed).prompt == kind.item(pair("Hi", reference="Hi, yes")).prompt != kind.item(own).prompt
    assert [kind.can_measure(each) for each in (own, borrowed, pair("Hi", reference=" Hi, yes"))] == [
        True,
        False,
        False,
    ]


def test_reference_and_candidate_do_not_change_places() -> None:
    kind = reward_model_of(polar, POLAR)
    one, other = (kind.before_response(prompt("Hi", a)) + kind.response(b) for a, b in (("Yes", "No"), ("No", "Yes")))
    assert one != other and sorted(one) == sorted(other)


def test_each_prompt_is_answered_twice_by_one_policy_and_once_by_another(monkeypatch) -> None:
    kind = reward_model_of(polar, POLAR.model_copy(update={"temperatures": [0.5, 1.0]}))
    monkeypatch.setattr(kind, "_mixture", lambda sft, share: share)

    def answered(share, role, prompts, sampling, *, batch_size, seed):
        return [Trajectory.single(c, f"{share} {sampling.temperature} {i}") for i, c in enumerate(prompts)]

    monkeypatch.setattr(polar, "answer", answered)
    prompts = [prompt(f"{i}") for i in range(12)]
    items = kind.same_or_not(prompts, None)
    assert len(items) == 12 and len(kind.pool) == 4
    text, seen = kind.tokens.hf.decode, set()
    for item in items:
        same, other = (text(response).split("<")[0].rsplit(" ", 1)[0] for response in (item.chosen, item.rejected))
        assert same in text(item.prompt) and other != same
        seen |= {same, other}
    assert len(seen) == 4  # the whole pool had its say
    monkeypatch.setattr(
        polar, "answer", lambda *arguments, **_: [Trajectory.single(c, "<think>Hm.</think> Hi") for c in arguments[2]]
    )
    assert kind.same_or_not(prompts, None) == []  # where all say the same nobody is told apart


def test_a_mixture_lies_between_the_base_model_and_the_sft_policy(tiny) -> None:
    """A share of B, and so of B A, the adapter's whole effect; the next one starts from the SFT policy again."""
    backbone, artifact = tiny("policy"), SimpleNamespace(folder=Path("sft"), address="sft")
    sft = {name: weight.clone() for name, weight in backbone.weights_of("policy").items()}

    loaded = LoadedModel(None, name="tiny", store=None, machine=None)
    loaded._backbone, backbone.load = backbone, lambda role, folder: backbone.take(role, sft)
    for share in (0.5, 0.0, 1.0):
        loaded.role("policy", artifact)
        mixed = reward_model_of(polar, POLAR, loaded)._mixture(artifact, share).weights_of("policy")
        assert loaded._holds == {}  # what is mixed is never taken for what was stored
        for name, weight in sft.items():
            assert mixed[name].equal(weight * share if "lora_B" in name else weight)
    assert any(weight.abs().max() > 0 for name, weight in sft.items() if "lora_B" in name)


def test_a_response_without_a_reference_has_no_score_and_never_a_zero(monkeypatch) -> None:
    kind = reward_model_of(polar, POLAR)
    inputs = RewardModelInputs(kind.training, POLAR, SamplingInputs("torch", 1.0, max_new_tokens=8))
    monkeypatch.setattr(reward_model, "score_responses", lambda _, prompts, responses, **__: [3.0] * len(prompts))
    artifact = SimpleNamespace(read=lambda _: {"mean": 1.0, "std": 2.0})
    responses = [Trajectory.single(prompt("Hi", "Yes"), "Yes"), Trajectory.single(prompt("Hi"), "Yes")]
    known, unknown = reward_model.function(kind.run, inputs, artifact)(responses)
    assert known == 1.0 and math.isnan(unknown.value) and unknown.reason == "the prompt has no reference response"


# -- the pipeline --------------------------------------------------------------------------------------


def scored(folder: Path) -> list[float]:
    return [row["sources"]["model"]["value"] for row in rows(folder / "responses.jsonl")]


def test_rrm_runs_to_its_report_and_learns_original_and_augmented_pairs(experiment) -> None:
    folder = experiment("a", "reward_model=rrm", "reward_model.augmented_pairs=6", *ALONE)
    artifact = Path(made(folder)["reward_model"])
    counts = json.loads((artifact / "augmentation.json").read_text())
    assert counts["learnt"] == min(6, counts["kept"]) and counts["made"] > 100
    assert "before" in json.loads((artifact / "artifact.json").read_text())["parents"]
    assert all(value is not None for value in scored(folder))


def test_polar_runs_to_its_report_and_is_calibrated_on_responses_of_the_sft_policy(experiment) -> None:
    folder = experiment("a", "reward_model=polar", "reward_model.pretraining_prompts=6", *ALONE)
    artifact = Path(made(folder)["reward_model"])
    assert json.loads((artifact / "calibration.json").read_text())["responses"] == 4
    assert json.loads((artifact / "quality.json").read_text())["pairs"] > 0
    assert all(value is not None for value in scored(folder))


def test_polar_without_any_reference_says_what_would_work(experiment, monkeypatch) -> None:
    monkeypatch.setattr(polar.RewardModel, "can_score", lambda *_: False)
    with pytest.raises(DataError, match="no training prompt has a reference"):
        experiment("a", "reward_model=polar", "reward_model.pretraining_prompts=5", *ALONE)


def test_dvpo_learns_its_value_model_first_and_once(experiment) -> None:
    first, second = (
        made(experiment("a", "algorithm=dvpo", "reward=rf", "evaluation.sources=as_trained")),
        made(experiment("b", "algorithm=dvpo", "algorithm.clip_low=0.1", "reward=rf", "evaluation.sources=as_trained")),
    )
    assert list(first) == ["data", "sft", "value_model", "policy", "capability", "evaluate"]
    assert {stage for stage in first if first[stage] != second[stage]} == {"policy", "capability", "evaluate"}
    quality = json.loads((Path(first["value_model"]) / "quality.json").read_text())
    assert quality["pairs"] > 0 and 0 <= quality["correct"] <= quality["pairs"]
    assert not (Path(first["policy"]) / "value").exists()
