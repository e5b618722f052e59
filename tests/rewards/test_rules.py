"""Rules: loading with every problem at once, scoring, abstaining."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repo_exp.errors import RewardError
from repo_exp.rewards.rules import RuleSet, load_rules
from repo_exp.rewards.rules.finding import find_kind, kind_names
from repo_exp.rewards.rules.ruleset import Rule

GOOD = """\
kind: forbidden_text
points: -60
options: {patterns: [guarantee]}
examples: {passes: [hello], violates: ["we guarantee it"]}
"""


def problems_of(folder, **kwargs) -> str:
    with pytest.raises(RewardError) as caught:
        load_rules(folder, **kwargs)
    return str(caught.value)


@pytest.mark.parametrize("domain", ["hotel", "general"])
def test_every_shipped_rule_agrees_with_its_examples(conf, domain):
    rules = load_rules(conf / "rules" / domain)
    assert {"too_long", "repeated_script", "leaked_reasoning", "unfinished", "empty"} <= set(rules.names)
    assert all(rule.points < 0 and rule.purpose and rule.message for rule in rules.rules)


def test_every_kind_says_in_a_line_what_it_is():
    assert len(kind_names()) >= 10
    assert all(find_kind(name).idea.endswith(".") for name in kind_names())


def test_all_problems_of_all_files_come_at_once(declare):
    said = problems_of(
        declare(
            one="kind: forbiden_text\npoints: -1\nexamples: {passes: [a], violates: [b]}",
            two="kind: length\npoints: 5\noptions: {max_word: 3}\nexamples: {passes: [a]}",
            three="kind: forbidden_text\npoint: -1\noptions: {patterns: ['(']}\nexamples: {passes: [1], violates: []}",
            four=GOOD,
        )
    )
    assert "did you mean 'forbidden_text'" in said
    assert "two.yaml:3: points: 5" in said
    assert "did you mean 'max_words'" in said
    assert "no example that violates" in said
    assert "did you mean 'points'" in said
    assert "'(' is no regular expression" in said
    assert "1 is not text (put it in quotes)" in said
    assert "four.yaml" not in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("{}", "needs the option 'patterns'"),
        ("{patterns: guarantee}", "valid list"),
        ("{patterns: [1]}", "valid string"),
        ("{patterns: [a], whole_words: 1}", "valid boolean"),
        ("{patterns: []}", "is empty"),
        ("{patterns: ['a*']}", "matches the empty text"),
        ("{patterns: ['(a|aa)+b']}", "far too long"),
        ("{patterns: ['a)(b']}", "no regular expression"),
        ("[1]", "is not a mapping"),
    ],
)
def test_options_are_held_against_the_signature_of_the_kind(declare, options, said):
    folder = declare(a=GOOD.replace("{patterns: [guarantee]}", options))
    message = problems_of(folder)
    assert said in message
    assert "a.yaml:4" in message


@pytest.mark.parametrize(
    ("examples", "said"),
    [
        ("{passes: [we guarantee], violates: [guarantee]}", "passes[0] should be one that passes, but the rule says"),
        (
            "{passes: [a], violates: [guaranteed]}",
            "violates[0] should be one that violates, but the rule says it passes",
        ),
        ("{passes: [a], violates: [b], pass: [c]}", "unknown key 'pass'"),
        ("{passes: [{text: a}], violates: [guarantee]}", "unknown key 'text'"),
        ("{passes: [{reply: a}], violates: [guarantee]}", "'reply' is now called 'response'"),
        ("{passes: [{response: a, history: [{role: hotel, content: x}]}], violates: [guarantee]}", "is no turn"),
        ("{passes: [{response: a, finished: maybe}], violates: [guarantee]}", "neither true nor false"),
        ("[a, b]", "not a mapping"),
    ],
)
def test_an_example_that_does_not_do_what_it_says_names_rule_and_example(declare, examples, said):
    message = problems_of(declare(my_rule=GOOD.replace('{passes: [hello], violates: ["we guarantee it"]}', examples)))
    assert said in message
    assert "my_rule" in message


def test_an_example_that_the_rule_cannot_judge_is_a_problem(declare):
    text = "kind: numbers_grounded\npoints: -1\noptions: {facts: [price]}\n"
    text += "examples:\n  passes: [hi]\n  violates: ['380 EUR']"
    assert "the rule cannot judge it" in problems_of(declare(a=text))


def test_rules_can_be_dropped_and_weighed_anew(declare):
    folder = declare(a=GOOD, b=GOOD)
    assert load_rules(folder, drop=["a"]).names == ("b",)
    assert load_rules(folder, points={"a": -5.0}).rules[0].points == -5.0
    assert load_rules(folder).fingerprint != load_rules(folder, points={"a": -5.0}).fingerprint


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ({"drop": ["too_lon"]}, "did you mean 'too_long'"),
        ({"points": {"toolong": -1.0}}, "did you mean 'too_long'"),
        ({"points": {"too_long": 3.0}}, "above 0"),
        ({"points": {"too_long": float("nan")}}, "not a finite number"),
        ({"drop": ["too_long"]}, "nothing is left"),
    ],
)
def test_an_override_that_makes_no_sense_is_refused(declare, override, said):
    assert said in problems_of(declare(too_long=GOOD), **override)


def test_broken_rules_cost_their_points_and_no_others_are_in_the_parts(conf, make_response, hotel_facts):
    rules = load_rules(conf / "rules" / "hotel")
    score = rules.score(make_response("We guarantee full rooms if you do 200.", hotel_facts))
    # 200 is neither a fact (-60) nor above 0.6 * 380 = 228 (-80), and the promise costs 60: -200
    assert score.parts == {"forbidden_promises": -60.0, "numbers_grounded": -60.0, "price_inside_bounds": -80.0}
    assert score.value == -200.0
    assert rules.score(make_response("Could you do 380 for the twin?", hotel_facts)).value == 0.0


def broken(response, **options):
    raise ZeroDivisionError("secret text of a response")


def rule(name: str, points: float, check) -> Rule:
    return Rule(name, "", "test", points, check)


def test_a_rule_that_cannot_say_abstains_and_the_others_count(make_response):
    rules = RuleSet((rule("shrugs", -10, lambda r: None), rule("hits", -1, lambda r: True)))
    assert rules.score(make_response("x")).value == -1.0
    assert rules.score(make_response("x")).parts == {"hits": -1}


def too_slow(response):
    raise TimeoutError


@pytest.mark.parametrize(
    ("check", "reason"),
    [(broken, "ZeroDivisionError in 'test'"), (too_slow, "a pattern of 'fails' takes too long on this response")],
)
def test_a_rule_that_fails_counts_neither_as_kept_nor_as_broken(make_response, check, reason):
    rules = RuleSet((rule("fails", -10, check), rule("hits", -1, lambda r: True)))
    score = rules.score(make_response("x"))
    assert score.failed and score.reason == reason and not score.parts


def test_abstaining_and_failing_rules_are_counted(make_response):
    rules = RuleSet(
        (rule("raises", -10, broken), rule("shrugs", -10, lambda r: None), rule("hits", -1, lambda r: True))
    )
    response = make_response("x")
    assert set(rules.abstentions(response)) == {"raises", "shrugs"}
    assert rules.abstentions(response)["raises"] == "ZeroDivisionError in 'test'"
    assert rules.count_abstentions([response, response]) == {"raises": 2, "shrugs": 2}


def test_where_every_rule_abstains_there_is_no_score(make_response):
    score = RuleSet((rule("shrugs", -10, lambda r: None),)).score(make_response("x"))
    assert score.missing and not score.failed


points = st.lists(st.tuples(st.booleans(), st.integers(-100, 0)), min_size=1, max_size=8)


@given(points, st.integers(-100, 0))
def test_the_score_is_the_sum_of_its_parts_and_one_more_violation_never_raises_it(make_response, given_rules, cost):
    rules = tuple(rule(f"r{i}", float(p), lambda response, hit=hit: hit) for i, (hit, p) in enumerate(given_rules))
    response = make_response("x")
    score = RuleSet(rules).score(response)
    assert score.value == sum(score.parts.values()) == sum(p for hit, p in given_rules if hit)
    more = RuleSet((*rules, rule("more", float(cost), lambda response: True))).score(response)
    assert more.value <= score.value


@pytest.fixture(scope="session")
def hotel_rules(conf) -> RuleSet:
    return load_rules(conf / "rules" / "hotel")


@settings(max_examples=150, deadline=None)
@given(text=st.text(st.characters(exclude_categories=[]), max_size=300), turn=st.text(max_size=100))
def test_no_text_makes_a_rule_fail(hotel_rules, make_response, hotel_facts, text, turn):
    response = make_response(text, hotel_facts, ("assistant", turn), ("user", turn))
    assert not hotel_rules.score(response).missing
    assert hotel_rules.abstentions(response) == {}


@pytest.mark.parametrize(
    "piece", ["a", "1", " ", "a1 ", "\u200b", "\ufdfa", "can't guarantee ", "9" * 50 + " ", "<|", "é́"]
)
def test_a_very_long_response_is_judged_in_reasonable_time(hotel_rules, make_response, hotel_facts, piece):
    response = make_response(piece * (100_000 // len(piece)), hotel_facts, ("assistant", piece * 50_000))
    start = time.perf_counter()
    score = hotel_rules.score(response)
    assert time.perf_counter() - start < 3.0
    assert not score.missing


@pytest.mark.parametrize(
    "facts", [None, {"tickets": None}, {"tickets": [None, 3, {"selling_price": "x"}]}, {"tickets": {}}]
)
def test_odd_facts_make_rules_abstain_and_never_fail(hotel_rules, make_response, facts):
    response = make_response("Our target is 380, the selling price is 450.", facts)
    assert not any("Error" in why for why in hotel_rules.abstentions(response).values())
    assert "numbers_grounded" in hotel_rules.abstentions(response)
