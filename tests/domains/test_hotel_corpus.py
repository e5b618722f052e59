"""The corpus of the hotel domain: sizes, splits, balance, and what must not give a fault away."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from pydantic import ValidationError

from repo_exp.domains.corpus import describe, read_corpus, write_corpus
from repo_exp.domains.hotel.faults import FAULTS
from repo_exp.domains.hotel.generate import KIND_FAULTS
from repo_exp.domains.hotel.options import KIND_SIZES, kind_sizes
from repo_exp.domains.hotel.situation import LABELS
from repo_exp.errors import DataError
from repo_exp.types import SPLITS
from tests.domains.hotel_corpus import TINY, generate

SMALL = {
    "scale": 0.06,
    "demonstrations": 200,
    "judgements": 400,
    "prompts": {"train": 200, "development": 40, "test": 60},
    "held_out": 30,
}


@pytest.fixture(scope="module")
def corpus():
    return generate(seed=0, **SMALL)


def prompts_of(corpus, split):
    return [
        *corpus.prompts[split],
        *(d.prompt for d in corpus.demonstrations[split]),
        *(p.prompt for p in corpus.preferences[split]),
        *(j.prompt for j in corpus.judgements[split]),
    ]


def test_the_four_kinds_have_the_papers_sizes():
    assert sum(KIND_SIZES.values()) == 6632
    assert kind_sizes(6632) == {"online": 252, "linguistic": 3178, "task": 1211, "sop": 1991}
    assert min(kind_sizes(1).values()) == 1


def test_the_corpus_has_the_sizes_that_were_asked_for(corpus):
    counts = describe(corpus)
    assert counts["prompts"] == {"train": 200, "development": 40, "test": 60}
    assert counts["demonstrations"] == {"train": 200, "development": 30, "test": 30}
    assert counts["judgements"] == {"train": 400, "development": 30, "test": 30}
    # 0.06 times 252, 3178, 1211 and 1991, rounded: 15.12, 190.68, 72.66, 119.46
    assert counts["preferences_by_kind"]["train"] == {"linguistic": 191, "online": 15, "sop": 119, "task": 73}


def test_the_splits_share_no_hotel_whatever_the_seed(corpus):
    other = generate(seed=1, **TINY)
    hotels = {
        split: {c.facts["tickets"][0]["hotel"] for one in (corpus, other) for c in prompts_of(one, split)}
        for split in SPLITS
    }
    assert not hotels["train"] & hotels["development"]
    assert not hotels["train"] & hotels["test"]
    assert not hotels["development"] & hotels["test"]


def test_an_id_names_one_prompt(corpus):
    """A good and a faulty response to judge may share their prompt; nothing else shares an id."""
    found = [prompt for split in SPLITS for prompt in prompts_of(corpus, split)]
    named = {prompt.id: prompt for prompt in found}
    assert all(named[prompt.id] == prompt for prompt in found)
    alone = [c.id for c in found if "judgement" not in c.id]
    assert len(alone) == len(set(alone))


def test_faulty_responses_are_judged_beside_good_ones(corpus):
    by_prompt = {}
    for judgement in corpus.judgements["train"]:
        by_prompt.setdefault(judgement.prompt.id, []).append(judgement)
    pairs = [group for group in by_prompt.values() if len(group) == 2]
    assert len(pairs) > 0.6 * len(by_prompt)
    assert all(one.response != other.response for one, other in pairs)
    assert sum(dict(one.labels) != dict(other.labels) for one, other in pairs) > 0.8 * len(pairs)


def test_prompts_and_pairs_have_a_reference_of_their_own_and_nothing_else_has(corpus):
    for split in SPLITS:
        assert all(prompt.reference for prompt in corpus.prompts[split])
        own = [pair.prompt.reference not in ("", pair.chosen, pair.rejected) for pair in corpus.preferences[split]]
        assert sum(own) > 0.9 * len(own)
        assert not any(shown.prompt.reference for shown in corpus.demonstrations[split])


def test_facts_are_json(corpus):
    for prompt in prompts_of(corpus, "train"):
        assert json.loads(json.dumps(prompt.facts, allow_nan=False)) == prompt.facts


def test_every_fault_has_pairs_and_every_kind_its_own(corpus):
    assert set().union(*KIND_FAULTS.values()) == set(FAULTS)
    assert set(describe(corpus)["preferences_by_fault"]["train"]) == set(FAULTS)
    for pair in corpus.preferences["train"]:
        assert pair.fault in KIND_FAULTS[pair.kind]
        assert pair.chosen != pair.rejected


def test_length_does_not_give_a_fault_away(corpus):
    pairs = [p for split in SPLITS for p in corpus.preferences[split] if p.fault != "too_long"]
    chosen = sum(len(p.chosen) for p in pairs) / len(pairs)
    rejected = sum(len(p.rejected) for p in pairs) / len(pairs)
    assert abs(rejected - chosen) < 0.08 * chosen
    shorter_is_better = sum(len(p.chosen) < len(p.rejected) for p in pairs) / len(pairs)
    assert 0.35 < shorter_is_better < 0.65


@pytest.mark.parametrize("label", LABELS)
def test_each_label_has_both_answers(corpus, label):
    answers = [judgement.labels[label] for judgement in corpus.judgements["train"]]
    assert 0.03 < sum(answers) / len(answers) < 0.97


def test_a_tenth_of_the_prompts_has_two_tickets_and_some_have_no_history(corpus):
    found = prompts_of(corpus, "train")
    two = sum(len(c.facts["tickets"]) == 2 for c in found) / len(found)
    none = sum(len(c.messages) == 1 for c in found) / len(found)
    assert 0.06 < two < 0.25
    assert 0.05 < none < 0.35


def test_the_log_can_be_flawless_or_careless():
    few = TINY | {"demonstrations": 100, "careless": 0.0}
    clean = generate(seed=3, **few | {"faulty_demonstrations": 0.0})
    spoilt = generate(seed=3, **few | {"faulty_demonstrations": 1.0})
    words = ("<think>", "guarantee", "target", "stage", "stupid", "谢谢", "promise")
    count = {
        name: sum(any(w in d.response.lower() for w in words) for d in made.demonstrations["train"])
        for name, made in (("clean", clean), ("spoilt", spoilt))
    }
    assert count["clean"] == 0
    assert count["spoilt"] >= 5


def test_the_same_seed_gives_the_same_corpus_and_another_seed_another():
    assert generate(seed=0, **TINY) == generate(seed=0, **TINY)
    assert generate(seed=0, **TINY) != generate(seed=5, **TINY)


def test_the_corpus_is_the_same_in_another_process(tmp_path):
    code = (
        "import sys; from tests.domains.hotel_corpus import TINY, generate;"
        "from repo_exp.domains.corpus import write_corpus; write_corpus(generate(seed=2, **TINY), sys.argv[1])"
    )
    for name, hashing in (("a", "1"), ("b", "2")):
        subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / name)],
            check=True,
            env={"PYTHONHASHSEED": hashing, "PYTHONPATH": ":".join(p for p in sys.path if p)},
        )
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()


def test_the_size_of_one_part_leaves_the_others_as_they_are():
    one, other = generate(seed=0, **TINY), generate(seed=0, **(TINY | {"demonstrations": 10}))
    assert other.preferences == one.preferences
    assert other.prompts == one.prompts
    assert one.demonstrations["train"][:10] == other.demonstrations["train"]


def test_a_corpus_comes_back_as_it_was_written(corpus, tmp_path):
    write_corpus(corpus, tmp_path / "corpus")
    assert read_corpus(tmp_path / "corpus") == corpus
    assert sorted(p.name for p in (tmp_path / "corpus").iterdir()) == [
        "demonstrations.jsonl",
        "judgements.jsonl",
        "preferences.jsonl",
        "prompts.jsonl",
    ]


def test_a_damaged_corpus_is_reported_by_file_and_line(corpus, tmp_path):
    write_corpus(corpus, tmp_path)
    with (tmp_path / "prompts.jsonl").open("a") as file:
        file.write("{broken\n")
    (tmp_path / "judgements.jsonl").unlink()
    with pytest.raises(DataError) as caught:
        read_corpus(tmp_path)
    assert "prompts.jsonl:301" in str(caught.value)  # 200 + 40 + 60 good lines
    assert "judgements.jsonl" in str(caught.value)


def test_impossible_sizes_are_refused_all_at_once():
    with pytest.raises(ValidationError) as caught:
        generate(seed=0, **TINY | {"scale": -1, "faulty_demonstrations": 2, "two_tickets": 0, "prompts": {"tst": 3}})
    places = {".".join(map(str, each["loc"])) for each in caught.value.errors()}
    assert places == {
        "scale", "faulty_demonstrations", "two_tickets",
        "prompts.tst", "prompts.train", "prompts.development", "prompts.test",
    }  # fmt: skip
