"""Anyone's own preference file: what is read, and how a bad line is reported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from repo_exp.domains import own_data, registry
from repo_exp.domains.corpus import read_corpus, write_corpus
from repo_exp.errors import ConfigError, DataError
from repo_exp.types import SPLITS, Corpus

PAIRS = Path(__file__).parents[3] / "shared" / "data" / "travel_preference_pairs.jsonl"
GOOD = {
    "prompt": [{"role": "user", "content": "Hi"}],
    "chosen": [{"role": "assistant", "content": "Hello!"}],
    "rejected": "Go away.",
}


def save(path: Path, rows: list, end: str = "\n") -> Path:
    path.write_text(
        end.join(row if isinstance(row, str) else json.dumps(row) for row in rows) + end, encoding="utf-8", newline=""
    )
    return path


def read_own(path: Path, *, seed: int, **changed) -> Corpus:
    """Return the corpus as the domain 'own' reads it."""
    own = registry.find("own")
    usual = {"kind": "jsonl", "path": str(path), "skip_bad_lines": False, "development": 0.1, "test": 0.1}
    return own.corpus(seed=seed, options=own.Options.model_validate(usual | changed))


def everything(corpus, kind: str) -> list:
    return [item for split in SPLITS for item in getattr(corpus, kind)[split]]


def many(count: int) -> list[dict]:
    return [GOOD | {"prompt": f"Question {n}?"} for n in range(count)]


def test_a_pair_becomes_a_demonstration_a_preference_a_prompt_and_two_judgements(tmp_path):
    row = GOOD | {
        "facts": {"price": 3},
        "labels": {"chosen": {"polite": True}, "rejected": {"polite": False}},
        "fault": "rude",
    }
    corpus = read_own(save(tmp_path / "a.jsonl", [row]), seed=0)
    (pair,) = everything(corpus, "preferences")
    assert (pair.chosen, pair.rejected, pair.fault) == ("Hello!", "Go away.", "rude")
    assert pair.prompt.facts == {"price": 3}
    assert [d.response for d in everything(corpus, "demonstrations")] == ["Hello!"]
    assert [j.labels for j in everything(corpus, "judgements")] == [{"polite": True}, {"polite": False}]
    assert len(everything(corpus, "prompts")) == 1


def test_a_margin_is_kept_and_a_prompts_first_chosen_response_is_its_reference(tmp_path):
    rows = [GOOD | {"margin": 0.5}, GOOD | {"chosen": "Good day!"}, GOOD | {"prompt": "Other", "chosen": "Yes?"}]
    corpus = read_own(save(tmp_path / "a.jsonl", rows), seed=0)
    pairs = {pair.chosen: pair for pair in everything(corpus, "preferences")}
    assert [pairs[said].margin for said in ("Hello!", "Good day!", "Yes?")] == [0.5, 0.0, 0.0]
    assert [pairs[said].prompt.reference for said in ("Hello!", "Good day!", "Yes?")] == ["Hello!", "Hello!", "Yes?"]
    assert {prompt.reference for prompt in everything(corpus, "prompts")} == {"Hello!", "Yes?"}
    write_corpus(corpus, tmp_path / "corpus")
    assert read_corpus(tmp_path / "corpus") == corpus


@pytest.mark.parametrize("margin", [-0.1, "much", True, [1], 1e30])
def test_a_margin_that_is_none_is_reported(tmp_path, margin):
    with pytest.raises(DataError, match="'margin' is"):
        read_own(save(tmp_path / "a.jsonl", [GOOD | {"margin": margin}]), seed=0)


def test_a_number_of_400_digits_is_refused_with_its_line(tmp_path):
    with pytest.raises(DataError, match=r"a.jsonl:1: a number of 401 digits"):
        read_own(save(tmp_path / "a.jsonl", [GOOD | {"margin": 10**400}]), seed=0)


def test_bom_crlf_and_blank_lines_are_fine(tmp_path):
    path = save(tmp_path / "a.jsonl", ["\ufeff" + json.dumps(GOOD), "", "   ", GOOD | {"prompt": "Other"}], end="\r\n")
    assert len(everything(read_own(path, seed=0), "preferences")) == 2


def test_equal_prompts_land_in_one_split_and_order_does_not_matter(tmp_path):
    rows = [row | {"rejected": f"No {n}."} for n, row in enumerate(many(100) * 3)]
    one = read_own(save(tmp_path / "a.jsonl", rows), seed=0)
    two = read_own(save(tmp_path / "b.jsonl", rows[::-1]), seed=0)
    for split in SPLITS:
        prompts = [{p.prompt.messages for p in corpus.preferences[split]} for corpus in (one, two)]
        assert prompts[0] == prompts[1]
    assert not {c.messages for c in one.prompts["train"]} & {c.messages for c in one.prompts["test"]}
    assert len(everything(one, "prompts")) == 100


def test_the_shares_are_kept(tmp_path):
    corpus = read_own(save(tmp_path / "a.jsonl", many(1000)), seed=1, development=0.2, test=0.3)
    assert 150 < len(corpus.preferences["development"]) < 250
    assert 250 < len(corpus.preferences["test"]) < 350
    with pytest.raises(ConfigError):
        own_data.load(tmp_path / "a.jsonl", seed=1, development=0.5, test=0.5)


BAD = {
    "not JSON": "{oops",
    "not an object": "[1]",
    "no 'rejected'": {"prompt": "x", "chosen": "y"},
    "empty response": GOOD | {"chosen": " "},
    "empty prompt": GOOD | {"prompt": []},
    "wrong role": GOOD | {"prompt": [{"role": "bot", "content": "x"}]},
    "assistant last": GOOD | {"prompt": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]},
    "late system": GOOD | {"prompt": [{"role": "user", "content": "x"}, {"role": "system", "content": "y"}]},
    "same responses": GOOD | {"chosen": "Yes", "rejected": "Yes "},
    "a user's response": GOOD | {"chosen": [{"role": "user", "content": "x"}]},
    "a number": GOOD | {"chosen": 3},
    "null": GOOD | {"rejected": None},
    "NaN": '{"prompt": "x", "chosen": "y", "rejected": "z", "facts": {"price": NaN}}',
    "labels": GOOD | {"labels": {"chosen": {"polite": "yes"}}},
    "facts": GOOD | {"facts": [1]},
    "surrogate": '{"prompt": "\\ud800", "chosen": "y", "rejected": "z"}',
    "message": GOOD | {"prompt": ["x"]},
    "deep": "[" * 100_000,
    "overflow": '{"prompt": "x", "chosen": "y", "rejected": "z", "facts": {"price": 1e999}}',
}


def test_all_bad_lines_are_reported_at_once_by_file_and_line(tmp_path):
    path = save(tmp_path / "mine.jsonl", [GOOD, *BAD.values()])
    path.write_bytes(path.read_bytes() + b'{"prompt": "\xff"}\n')
    with pytest.raises(DataError) as caught:
        read_own(path, seed=0)
    assert [p.where for p in caught.value.problems] == [f"{path}:{n}" for n in range(2, len(BAD) + 3)]
    assert all(problem.found and problem.remedy for problem in caught.value.problems)


def test_bad_lines_can_be_left_out_with_a_warning(tmp_path, caplog):
    path = save(tmp_path / "mine.jsonl", [GOOD, *BAD.values(), GOOD | {"prompt": "Other"}])
    corpus = read_own(path, seed=0, skip_bad_lines=True)
    assert len(everything(corpus, "preferences")) == 2
    assert all(f"{path}:{n}" in caplog.text for n in range(2, len(BAD) + 2))


def test_a_file_with_no_good_line_is_refused_even_when_bad_lines_are_left_out(tmp_path):
    with pytest.raises(DataError, match="no pair"):
        read_own(save(tmp_path / "a.jsonl", ["{"]), seed=0, skip_bad_lines=True)


@pytest.mark.parametrize(
    ("name", "message"), [("missing.jsonl", "No such file"), ("", "folder"), ("empty.jsonl", "empty")]
)
def test_a_missing_file_a_folder_and_an_empty_file_are_told_apart(tmp_path, name, message):
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(DataError, match=message):
        read_own(tmp_path / name, seed=0)


@pytest.mark.skipif(not PAIRS.exists(), reason="the shared travel preference pairs are not here")
def test_real_preference_pairs_are_read(tmp_path):
    rows = []
    for line in PAIRS.read_text(encoding="utf-8").splitlines():
        pair = json.loads(line)
        rows.append(
            {
                "prompt": [
                    {"role": "system", "content": "Facts: " + " ".join(pair["context"]["knowledge"])},
                    {"role": "user", "content": pair["context"]["question"]},
                ],
                "chosen": pair["chosen"],
                "rejected": pair["rejected"],
            }
        )
    corpus = read_own(save(tmp_path / "travel.jsonl", rows), seed=0)
    assert len(everything(corpus, "preferences")) == len(rows)
    assert not {c.messages for c in corpus.prompts["train"]} & {c.messages for c in corpus.prompts["test"]}


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize("entry", ['"margin": %s', '"facts": {"price": [%s]}', '"labels": {"chosen": {"polite": %s}}'])
def test_a_number_that_is_not_finite_is_refused_with_its_line(tmp_path, word, entry):
    path, good = tmp_path / "a.jsonl", json.dumps(GOOD)
    path.write_text(f"{good}\n{good[:-1]}, {entry % word}}}\n")
    said = f"a.jsonl:2: .*({word} is not a number in JSON|not JSON|1e999 is too large for a number)"
    with pytest.raises(DataError, match=said):
        read_own(path, seed=0)
