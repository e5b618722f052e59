"""One paragraph that says what the figures say, and nothing more: better, worse, or not to be told apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SIGNIFICANT = 0.05
LENGTH_CHANGE = 1.25
"""Replies longer or shorter by this factor are mentioned: a reward is often won by length."""

SAMENESS = 0.5
"""Replies of which fewer are different, by this factor, are mentioned: a policy may find one sentence that pays."""

SOURCES = {"model": "reward model", "judge": "judge", "rules": "rules"}

_CAPITALS = "sft ppo repo dvpo grpo gdpo dapo gspo rloo cispo gopo p3o sppo dpo ipo nca"
NAMES = {name: name.upper() for name in _CAPITALS.split()} | {
    "base": "Base",
    "dr_grpo": "Dr. GRPO",
    "grpo_care": "GRPO-CARE",
    "jackpot": "Jackpot",
    "cdpo": "cDPO",
    "robust_dpo": "Robust DPO",
    "simpo": "SimPO",
    "ld_dpo": "LD-DPO",
    "apo_zero": "APO-zero",
}


def arm_name(name: str) -> str:
    """Return an arm's name as a reader expects it: sft -> SFT."""
    return NAMES.get(name, name)


def _spoken(name: str) -> str:
    return "the base model" if name == "base" else arm_name(name)


def verdict(results: Mapping[str, Any]) -> dict[str, str]:
    """Return ``{"text", "status"}`` from the JSON of ``summarise``.

    Status is "better" or "worse" where the paired test of the total is significant at 0.05, "unclear" where it
    is not, "withheld" where too many scores failed to say, and "alone" where there is nothing to compare with.
    A source that was silent all along is said first.
    """
    silent = _of_silence(results)
    if not results["comparisons"]:
        last = results["order"][-1]
        text = f"{_capital(_spoken(last))} was measured alone: mean total reward {_interval(results['arms'][last])}."
        return {"status": "alone", "text": " ".join([*silent, text])}
    comparison = results["comparisons"][0]
    status, sentence = _of_total(results, comparison)
    others = (_of_unscored, _of_violations, _of_length, _of_sameness)
    sentences = [*silent, sentence, *(of(results, comparison) for of in others)]
    return {"status": status, "text": " ".join(sentence for sentence in sentences if sentence)}


def reasons(failed: Mapping[str, Any], *, most: int = 3) -> str:
    """Return why a source gave no score, the commonest reasons first: ``17 timeout, 2 http 500``."""
    counts = list(failed["reasons"].items())
    told = [f"{count} {reason or 'without a reason'}" for reason, count in counts[:most]]
    return ", ".join(told + ([f"{len(counts) - most} further reasons"] if len(counts) > most else []))


def _of_silence(results: Mapping[str, Any]) -> list[str]:
    return [
        f"The {SOURCES[name]} gave no score at all: {failed['replies']} of {failed['of']} replies are without one "
        f"({reasons(failed)})."
        for name, failed in results["unscored"].items()
        if failed["replies"] == failed["of"]
    ]


def _of_unscored(results: Mapping[str, Any], comparison: Mapping[str, Any]) -> str:
    """Say how many contexts were not scored whole, and who failed."""
    total = comparison["total"]
    if not total["unscored"]:
        return ""
    who = "; ".join(f"{SOURCES[name]}: {reasons(failed)}" for name, failed in results["unscored"].items())
    cause = f" ({who})" if who else ""
    if total["withheld"]:
        return f"What gave no score, and why: {who}." if who else ""
    return (
        f"In {total['unscored']} of {results['n']} contexts a reply has no score from one of the sources{cause}; "
        "pairs of replies that lack different scores are left out."
    )


def percent(share: float | None) -> str:
    """0.1234 -> '12 %'; one decimal below 10 %, so that 0.4 % does not read as none."""
    if share is None:
        return "-"
    return f"{100 * share:.0f} %" if share >= 0.1 or share == 0 else f"{100 * share:.1f} %"


def p_value(p: float | None) -> str:
    """Return 'p = 0.012', or 'p < 0.001' where more digits would only pretend."""
    if p is None:
        return "p not defined"
    if p < 0.001:
        return "p < 0.001"
    return f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def _of_total(results: Mapping[str, Any], comparison: Mapping[str, Any]) -> tuple[str, str]:
    before, after = _spoken(comparison["before"]), _capital(_spoken(comparison["after"]))
    total = comparison["total"]
    if total["withheld"]:
        allowed = percent(results["settings"]["max_unscored"])
        return "withheld", (
            f"The comparison of {after} with {before} is withheld: in {total['unscored']} of {results['n']} contexts a "
            f"reply has no score from one of the sources, and evaluation.max_unscored allows {allowed}. See to the "
            "source and give the same command again: what failed is asked again."
        )
    if not total["n"]:
        return "unclear", f"{after} and {before} have no context in which both were scored: nothing can be said."
    confidence = f"{100 * results['settings']['confidence']:g} %"
    interval = "" if total["low"] is None else f" [{total['low']:+.2f}, {total['high']:+.2f}]"
    sure = f"({confidence} interval, paired permutation test {p_value(total['p'])}, n = {total['n']} contexts)"
    if total["p"] is None or total["p"] >= SIGNIFICANT:
        return "unclear", (
            f"No improvement is shown: {after}'s mean total reward differs from {before}'s by "
            f"{total['difference']:+.2f}{interval} {sure}, which chance explains as well."
        )
    if total["difference"] > 0:
        gain = f"{total['difference']:+.2f}{interval} above {before}'s"
        return "better", f"{after}'s mean total reward is {gain} {sure}."
    loss = f"{total['difference']:+.2f}{interval} below {before}'s"
    return "worse", f"{after} is worse: its mean total reward is {loss} {sure}."


def _of_violations(results: Mapping[str, Any], comparison: Mapping[str, Any]) -> str:
    before, after = (results["arms"][comparison[side]]["violations"] for side in ("before", "after"))
    test = comparison["violations"]
    if not (before and after and test):
        return ""
    figures = f"{percent(after['share'])} instead of {percent(before['share'])}"
    if after["share"] == before["share"]:
        return f"Replies that break a rule are as frequent as before ({percent(after['share'])})."
    direction = "fewer" if after["share"] < before["share"] else "more"
    surety = p_value(test["p"]) + ("" if test["p"] < SIGNIFICANT else ", not significant")
    return f"{_capital(direction)} replies break a rule: {figures} ({surety})."


def _of_length(results: Mapping[str, Any], comparison: Mapping[str, Any]) -> str:
    tokens = comparison["tokens"]
    if not tokens["mean_before"] or not tokens["mean_after"]:
        return ""
    factor = tokens["mean_after"] / tokens["mean_before"]
    if 1 / LENGTH_CHANGE < factor < LENGTH_CHANGE:
        return ""
    how = "longer" if factor > 1 else "shorter"
    figures = f"{tokens['mean_after']:.0f} tokens on average instead of {tokens['mean_before']:.0f}"
    return f"Its replies are {how}: {figures}."


def _of_sameness(results: Mapping[str, Any], comparison: Mapping[str, Any]) -> str:
    before, after = (results["arms"][comparison[side]]["distinct"] for side in ("before", "after"))
    if before is None or after is None or after >= SAMENESS * before:
        return ""
    figures = f"{percent(after)} are different ones, instead of {percent(before)}"
    return f"Its replies repeat themselves: {figures}. Whatever the reward says, look at the examples."


def _interval(arm: Mapping[str, Any]) -> str:
    total = arm["total"]
    if total["withheld"]:
        return f"withheld ({arm['unscored']} of {arm['n']} replies have no score from one of the sources)"
    if total["mean"] is None:
        return "unknown (no reply was scored)"
    interval = "" if total["low"] is None else f" [{total['low']:.2f}, {total['high']:.2f}]"
    without = f" ({arm['unscored']} of {arm['n']} replies are left out, for want of a score)" if arm["unscored"] else ""
    return f"{total['mean']:.2f}{interval}{without}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
