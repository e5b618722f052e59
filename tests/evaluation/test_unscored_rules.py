"""Which totals are compared, what counts as unscored, which examples follow, and how a reward is worked out."""

from __future__ import annotations

import math

import pytest

from repo_exp.evaluation import worked
from repo_exp.evaluation.examples import worked_example
from repo_exp.evaluation.summary import source_value, violated
from repo_exp.evaluation.unscored import (
    above,
    alike_totals,
    by_prompt,
    failed_prompts,
    failures,
    mean,
    means_by_prompt,
    withheld,
)
from repo_exp.types import Prompt, RewardBreakdown, Score, Trajectory
from tests.evaluation.usual import NAMES, choose_examples, summarise
from tests.rewards.combining import USUAL

DOWN = Score.none("endpoint down")
SILENT = Score.none("no question applies", applies=False)


def answer(
    prompt: str, total: float, judge: Score | None = None, *, missing_sources: tuple[str, ...] = (), tokens: int = 5
):
    scores = {"model": Score(total)} | ({} if judge is None else {"judge": judge})
    return Trajectory.single(Prompt(prompt, ()), f"{prompt} {total}", tokens=tokens), RewardBreakdown(
        scores, 0.0, total, 0.0, missing_sources
    )


def test_a_share_is_exceeded_only_beyond_it() -> None:
    assert not above(2, 10, 0.2) and above(3, 10, 0.2) and not above(0, 0, 0.0) and above(1, 10, 0.0)


def test_of_totals_without_different_sources_those_without_the_fewest_are_compared() -> None:
    """Both variants have totals without the judge (1 and 5) and with it (2 and 8): the latter count."""
    before = [answer("a", 1.0, DOWN, missing_sources=("judge",)), answer("a", 2.0, Score(1.0))]
    after = [answer("a", 8.0, Score(1.0)), answer("a", 5.0, DOWN, missing_sources=("judge",))]
    assert alike_totals(before, after) == ([2.0], [8.0], 1)
    assert alike_totals(before[:1], after) == ([1.0], [5.0], 1)


def test_totals_that_nobody_can_compare_are_unscored_on_either_side() -> None:
    """Of prompt a the first variant lacks the judge and the second nothing; of b only one has a total at all."""
    nothing = Trajectory.single(Prompt("b", ()), ""), RewardBreakdown({"model": SILENT}, 0.0, math.nan, 0.0, ("model",))
    before = [answer("a", 1.0, SILENT, missing_sources=("judge",)), nothing]
    after = [answer("a", 2.0, Score(1.0)), answer("b", 3.0)]
    for one, other in ((before, after), (after, before)):
        first, second, unscored = alike_totals(one, other)
        assert all(map(math.isnan, first + second)) and unscored == 2
    assert alike_totals([nothing], [nothing])[2] == 0  # nothing failed, and there is nothing to compare


def test_answers_are_kept_by_their_prompt_in_the_order_of_its_first_one() -> None:
    answers = [answer("b", 1.0), answer("a", 2.0), answer("b", 3.0)]
    assert [(name, [each.total for _, each in group]) for name, group in by_prompt(answers).items()] == [
        ("b", [1.0, 3.0]), ("a", [2.0]),
    ]  # fmt: skip
    assert means_by_prompt(answers, lambda each: each[1].total) == [2.0, 2.0]
    found = means_by_prompt([answer("a", 1.0), answer("b", 2.0)], lambda each: math.nan if each[1].total == 1 else 4.0)
    assert math.isnan(found[0]) and found[1] == 4.0


def test_a_mean_is_over_what_is_there() -> None:
    assert mean([1.0, math.nan, 3.0]) == 2.0
    assert math.isnan(mean([])) and math.isnan(mean([math.nan]))


def test_failures_are_counted_by_reason_the_most_frequent_first_and_then_by_name() -> None:
    answers = [answer(name, 1.0, judge) for name, judge in zip(
        "abcdefg", [Score.none("x"), Score.none("b"), Score.none("b"), Score.none("a"), SILENT, Score(1.0), None],
        strict=True)]  # fmt: skip
    found = failures(answers, ["model", "judge"])
    assert found == {"judge": {"responses": 4, "of": 6, "reasons": {"b": 2, "a": 1, "x": 1}}}
    assert list(found["judge"]["reasons"]) == ["b", "a", "x"]


def test_a_prompt_failed_once_whichever_variant_or_response_it_was() -> None:
    good, bad = (
        [answer(name, 1.0, Score(1.0)) for name in "abc"],
        [answer("a", 1.0, DOWN), answer("b", 1.0, SILENT), answer("c", 1.0)],
    )
    assert failed_prompts(good, bad, "judge") == failed_prompts(bad, good, "judge") == 1
    assert failed_prompts(good * 2, bad + good, "judge") == 1
    assert failed_prompts(good, bad, "model") == 0


def test_a_withheld_figure_keeps_its_counts_and_no_number() -> None:
    figure = {"n": 3, "missing": 4, "unscored": 4, "mean": 1.0, "p": 0.1, "withheld": False}
    assert withheld(figure) == {"n": 3, "missing": 4, "unscored": 4, "mean": None, "p": None, "withheld": True}


def test_a_source_that_was_not_asked_has_no_value_and_breaks_no_rule() -> None:
    _, breakdown = answer("a", 1.0)
    assert source_value(breakdown, "model") == 1.0 and math.isnan(source_value(breakdown, "judge"))
    assert math.isnan(violated(breakdown, USUAL))


def test_the_base_model_has_no_comparison_of_its_own_and_the_first_is_with_the_baseline() -> None:
    variants = {
        name: [answer("a", total), answer("b", total)]
        for name, total in (("base", 0.0), ("sft", 1.0), ("ppo", 2.0), ("repo", 4.0))
    }

    def compared(**options) -> list[tuple[str, str, float]]:
        found = summarise(variants, resamples=50, **options)["comparisons"]
        return [(each["before"], each["after"], each["total"]["difference"]) for each in found]

    assert compared() == [("sft", "repo", 3.0), ("base", "sft", 1.0)]
    assert compared(baseline="ppo") == [("ppo", "repo", 2.0), ("sft", "ppo", 1.0)]
    assert compared(baseline="base") == [("base", "repo", 4.0)]
    assert compared(baseline="repo") == [("ppo", "repo", 2.0), ("sft", "ppo", 1.0)]  # a variant is not its own baseline


def test_examples_without_a_gain_are_called_by_what_they_are() -> None:
    """Nothing changes: the highest difference, the lowest and the median, a prompt each, the earlier ones first."""
    same = [answer(name, 1.0) for name in "abcd"]
    found = choose_examples({"sft": same, "repo": same})
    assert [(each["why"], each["prompt"]) for each in found] == [
        ("the highest difference", "a"), ("the lowest difference", "d"), ("the median difference", "b"),
    ]  # fmt: skip
    worse = [answer(name, total) for name, total in zip("abcd", (0.0, 0.5, 0.9, 0.2), strict=True)]
    found = choose_examples({"sft": same, "repo": worse})
    assert [(each["why"], each["difference"]) for each in found] == [
        ("the highest difference", pytest.approx(-0.1)), ("the biggest loss", -1.0), ("the median difference", -0.5),
    ]  # fmt: skip


def test_examples_compare_with_sft_wherever_it_stands_or_with_whom_the_caller_says() -> None:
    variants = {name: [answer("a", total)] for name, total in (("sft", 1.0), ("ppo", 5.0), ("repo", 2.0))}
    assert choose_examples(variants)[0]["difference"] == 1.0
    assert choose_examples(variants, before="ppo")[0]["difference"] == -3.0
    assert (
        choose_examples({"x" if name == "sft" else name: each for name, each in variants.items()})[0]["before"] == "ppo"
    )
    assert worked_example(variants)["variant"] == "repo"


# -- a reward, step by step --------------------------------------------------------------------------------------------


def worked_out(total: float | None, bound: float | None = 100.0, **values):
    sources = {name: value if isinstance(value, dict) else {"value": value} for name, value in values.items()}
    return worked.worked_steps({"total": total, "sources": sources}, {"bound": bound}, NAMES)


@pytest.mark.parametrize(
    ("total", "values", "how"),
    [
        (0.75, {"judge": 90.0, "rules": -15.0}, "+75 / 100"),
        (2.0, {"model": 2.0}, "R_model alone"),
        (0.0, {"model": -1.5, "judge": 130.0, "rules": 0.0}, "−1.500 + |−1.500| × (+100) / 100"),
    ],
)
def test_the_last_line_is_the_formula_with_its_numbers(total, values, how) -> None:
    found = worked_out(total, **values)
    assert found["holds"] and found["lines"][-1] == {
        "symbol": "R", "value": worked.number(total, 3), "how": how, "detail": [], "final": True,
    }  # fmt: skip


def test_the_sum_of_the_points_is_shown_inside_its_bound() -> None:
    found = worked_out(0.0, model=-1.5, judge=130.0, rules=-12.5)
    (line,) = [each for each in found["lines"] if each["symbol"] == "E"]
    assert (line["value"], line["how"]) == ("+100", "clip(+130 − 12.5, −100, 100)")


@pytest.mark.parametrize(("total", "bound"), [(None, 100.0), (2.0, None), (2.001, 100.0)])
def test_a_total_that_the_formula_does_not_give_has_no_formula(total, bound) -> None:
    found = worked_out(total, bound, model=2.0)
    assert not found["holds"] and [each["symbol"] for each in found["lines"]] == ["R_model"]


def test_a_source_says_what_its_points_are_of_and_lists_those_that_are_not_zero() -> None:
    found = worked_out(
        0.1,
        judge={"value": 20.0, "parts": {"soothes": 20.0, "rude": 0.0}},
        rules={"value": -10.0, "parts": {"too_long": -10.0}},
    )
    judge, rules = found["lines"][:2]
    assert judge["detail"] == [{"name": "soothes", "points": "+20"}]
    assert (judge["how"], rules["how"]) == ("points of the rubric items that apply", "points of the broken rules")
    none, kept = worked_out(0.0, judge=0.0, rules=0.0)["lines"][:2]
    assert (none["how"], kept["how"]) == ("no rubric item applies", "no rule is broken")
    other = worked.worked_steps({"total": None, "sources": {"length": {"value": -3.0}}}, {"bound": 9.0}, NAMES)
    assert other["lines"][0]["how"] == "points of the source length"


def test_a_reward_model_without_a_score_leaves_nothing_to_work_out() -> None:
    found = worked_out(None, model={"value": None, "reason": "not finite"}, judge={"value": None})
    model, judge = found["lines"]
    assert (model["value"], model["how"]) == ("–", "no score (not finite)")
    assert judge["how"] == "no score (no reason): counts as 0 points"
