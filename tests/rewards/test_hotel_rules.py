"""The shipped hotel rules against the domain's own responses: they spare the good ones and see the named faults."""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest

from repo_exp.rewards.rubric import load_rubric
from repo_exp.rewards.rules import load_rules
from repo_exp.types import Trajectory
from tests.domains.hotel_corpus import generate

SEEN_BY = {
    "wrong_number": {"numbers_grounded", "price_inside_bounds"},
    "over_promise": {"forbidden_promises"},
    "leaked_target": {"leaked_target", "internal_terms"},
    "too_long": {"too_long"},
    "wrong_language": {"wrong_language"},
    "leaked_reasoning": {"leaked_reasoning", "internal_terms"},
    "repeated_script": {"repeated_script"},
    "net_selling_swap": {"net_selling_swap"},
}


@pytest.fixture(scope="module")
def corpus():
    return generate(
        seed=3,
        scale=0.08,
        demonstrations=10,
        judgements=50,
        held_out=10,
        prompts={"train": 5, "development": 5, "test": 5},
    )


def test_good_responses_break_hardly_any_rule_and_named_faults_are_seen(conf, corpus):
    rules = load_rules(conf / "rules" / "hotel")
    pairs = corpus.preferences["train"]
    good = [rules.score(Trajectory.single(pair.prompt, pair.chosen)) for pair in pairs]
    assert sum(bool(score.parts) for score in good) < 0.02 * len(pairs)
    assert not rules.count_abstentions([Trajectory.single(pair.prompt, pair.chosen) for pair in pairs])
    seen, made = Counter(), Counter()
    broken: dict[str, set[str]] = defaultdict(set)
    for pair in pairs:
        if pair.fault in SEEN_BY:
            parts = rules.score(Trajectory.single(pair.prompt, pair.rejected)).parts
            made[pair.fault] += 1
            seen[pair.fault] += bool(SEEN_BY[pair.fault] & set(parts))
            broken[pair.fault] |= set(parts)
    assert set(made) == set(SEEN_BY)
    assert {fault: seen[fault] / made[fault] for fault in made if seen[fault] < 0.7 * made[fault]} == {}


def test_the_rubrics_questions_are_the_labels_of_the_domain(conf, corpus):
    names = set(load_rubric(conf / "rubric" / "hotel").names)
    assert all(set(example.labels) == names for example in corpus.judgements["train"])
