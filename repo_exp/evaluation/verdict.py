"""One paragraph that states what the figures show: better, worse, or no significant difference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from repo_exp.evaluation.names import SourceNames, capital, in_text
from repo_exp.evaluation.numbers import p_value, percent

Results = Mapping[str, Any]

SIGNIFICANT = 0.05
LENGTH_CHANGE = 1.25
"""Responses that are longer or shorter by this factor are mentioned: policies often raise a reward by length."""

REPETITION = 0.5
"""A fall of the share of different responses by this factor is mentioned: a policy may repeat one rewarded sentence."""


def verdict(results: Results) -> dict[str, str]:
    """Return ``{"text", "status"}`` from the JSON of ``summarise``.

    Status is "better" or "worse" where the paired test of the total is significant at 0.05, "unclear" where it is not,
    "withheld" where too many scores failed, and "alone" where there is no other policy to compare with. Sources
    without any score are mentioned first.
    """
    without_scores = _without_scores(results)
    if not results["comparisons"]:
        last = results["order"][-1]
        text = f"There is no other policy to compare {in_text(last)} with. Mean total reward: {_mean(results, last)}."
        return {"status": "alone", "text": " ".join([*without_scores, text])}
    comparison = results["comparisons"][0]
    status, sentence = _total(results, comparison)
    others = [each(results, comparison) for each in (_unscored, _violations, _length, _repetition)]
    return {"status": status, "text": " ".join(text for text in [*without_scores, sentence, *others] if text)}


def reasons(failed: Mapping[str, Any], *, most: int = 3) -> str:
    """Return why a source gave no score, the most frequent reasons first: ``17 timeout, 2 http 500``."""
    counts = list(failed["reasons"].items())
    listed = [f"{count} {reason or 'without a reason'}" for reason, count in counts[:most]]
    return ", ".join(listed + ([f"{len(counts) - most} other reasons"] if len(counts) > most else []))


def _without_scores(results: Results) -> list[str]:
    names = SourceNames(results)
    return [
        f"No response has a score from the {names.label(name)} ({reasons(failed)})."
        for name, failed in results["unscored"].items()
        if failed["responses"] == failed["of"]
    ]


def _total(results: Results, comparison: Mapping[str, Any]) -> tuple[str, str]:
    before, after = in_text(comparison["before"]), capital(in_text(comparison["after"]))
    total = comparison["total"]
    if total["withheld"]:
        allowed = percent(results["settings"]["max_unscored"])
        return "withheld", (
            f"The comparison of {after} with {before} is withheld: scores failed in {total['unscored']} of "
            f"{results['n']} prompts, more than evaluation.max_unscored = {allowed} allows. Fix the source and run "
            "the same command again; only the failed scores are asked for again."
        )
    if not total["n"]:
        return "unclear", f"{after} and {before} cannot be compared: no prompt has a score for both."
    confidence = f"{100 * results['settings']['confidence']:g} %"
    interval = "" if total["low"] is None else f" [{total['low']:+.2f}, {total['high']:+.2f}]"
    test = f"({confidence} interval, paired permutation test {p_value(total['p'])}, n = {total['n']} prompts)"
    if total["p"] is None or total["p"] >= SIGNIFICANT:
        return "unclear", (
            f"No significant difference: {after}'s mean total reward differs from {before}'s by "
            f"{total['difference']:+.2f}{interval} {test}."
        )
    if total["difference"] > 0:
        gain = f"{total['difference']:+.2f}{interval} above {before}'s"
        return "better", f"{after}'s mean total reward is {gain} {test}."
    loss = f"{total['difference']:+.2f}{interval} below {before}'s"
    return "worse", f"{after} is worse: its mean total reward is {loss} {test}."


def _unscored(results: Results, comparison: Mapping[str, Any]) -> str:
    """Say in how many prompts a score failed, of which source and why."""
    total, names = comparison["total"], SourceNames(results)
    causes = "; ".join(f"{names.label(name)}: {reasons(failed)}" for name, failed in results["unscored"].items())
    if not total["unscored"]:
        return ""
    if total["withheld"]:
        return f"Failed scores: {causes}." if causes else ""
    return (
        f"Scores are missing in {total['unscored']} of {results['n']} prompts"
        f"{f' ({causes})' if causes else ''}; totals that miss different sources are not compared."
    )


def _violations(results: Results, comparison: Mapping[str, Any]) -> str:
    before, after = (results["variants"][comparison[side]]["violations"] for side in ("before", "after"))
    test = comparison["violations"]
    if not (before and after and test):
        return ""
    if after["share"] == before["share"]:
        return f"The share of responses that break a rule is unchanged ({percent(after['share'])})."
    direction = "Fewer" if after["share"] < before["share"] else "More"
    significance = p_value(test["p"]) + ("" if test["p"] < SIGNIFICANT else ", not significant")
    figures = f"{percent(after['share'])} instead of {percent(before['share'])}"
    return f"{direction} responses break a rule: {figures} ({significance})."


def _length(results: Results, comparison: Mapping[str, Any]) -> str:
    tokens = comparison["tokens"]
    if not tokens["mean_before"] or not tokens["mean_after"]:
        return ""
    factor = tokens["mean_after"] / tokens["mean_before"]
    if 1 / LENGTH_CHANGE < factor < LENGTH_CHANGE:
        return ""
    direction = "longer" if factor > 1 else "shorter"
    figures = f"{tokens['mean_after']:.0f} tokens on average instead of {tokens['mean_before']:.0f}"
    return f"Its responses are {direction}: {figures}."


def _repetition(results: Results, comparison: Mapping[str, Any]) -> str:
    before, after = (results["variants"][comparison[side]]["distinct"] for side in ("before", "after"))
    if before is None or after is None or after >= REPETITION * before:
        return ""
    figures = f"{percent(after)} are distinct, instead of {percent(before)}"
    return f"Its responses repeat themselves: {figures}. Read the examples before trusting the reward."


def _mean(results: Results, variant: str) -> str:
    total, unscored, n = (results["variants"][variant][key] for key in ("total", "unscored", "n"))
    if total["withheld"]:
        return f"withheld (scores failed for {unscored} of {n} responses)"
    if total["mean"] is None:
        return "unknown (no response has a score)"
    interval = "" if total["low"] is None else f" [{total['low']:.2f}, {total['high']:.2f}]"
    without = f" (without {unscored} of {n} responses, whose scores failed)" if unscored else ""
    return f"{total['mean']:.2f}{interval}{without}"
