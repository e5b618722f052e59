"""Notes on data that can be read but may not be what was meant: a sentence and a count for each kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from repo_exp.domains.own_data.reading import KNOWN, Pair
from repo_exp.errors import did_you_mean
from repo_exp.types import SPLITS, Corpus, Split

_MOST_FIELDS = 20


def notes(pairs: Sequence[Pair], split_of: Mapping[str, Split]) -> list[str]:
    """Return the notes on the rows: unused fields, duplicates, contradictions, and how they were read."""
    return [
        *_unused(pairs),
        *_repeated(pairs),
        *_contradicting(pairs),
        *_labelled_both_ways(pairs),
        *_leaked(pairs, split_of),
        *_read_as(pairs),
    ]


def small_splits(corpus: Corpus) -> list[str]:
    """Return a note on each split that is too small to measure anything on."""
    return [
        f"the split {split} has a single prompt: figures measured on it have no interval"
        for split in SPLITS
        if len(corpus.prompts[split]) == 1
    ]


def label_notes(corpus: Corpus, items: Collection[str], *, trained: bool) -> list[str]:
    """Return which labels answer no question of the rubric, and where there are no labels at all.

    Args:
        items: the questions of the rubric.
        trained: is a local judge trained on the labels?
    """
    judgements = [each for split in SPLITS for each in corpus.judgements[split]]
    counts = Counter(label for each in judgements for label in each.labels)
    found = [
        f"the label {label!r} answers no question of the rubric, and is not used: "
        f"{_responses(count)} ({did_you_mean(str(label), items)})"
        for label, count in sorted(counts.items())
        if label not in items
    ]
    if trained and not any(label in items for each in corpus.judgements["train"] for label in each.labels):
        found.append("no training response has a label of the rubric: the local judge is the model without training")
    return found


def _responses(count: int) -> str:
    return f"{count:,} {'response' if count == 1 else 'responses'}"


def _of(count: int, pairs: Sequence[Pair], places: Iterable[str]) -> str:
    """Return how many rows it is, and where the first of them are. (Files may move: they are called by their names.)"""
    found = list(dict.fromkeys(place.rpartition("/")[2] for place in places))
    shown = ", ".join(found[:2]) + (", ..." if len(found) > 2 else "")
    return f"{count:,} of {len(pairs):,} rows ({shown})"


def _unused(pairs: Sequence[Pair]) -> list[str]:
    fields: dict[str, list[str]] = {}
    for pair in pairs:
        for kind, detail in pair.remarks:
            if kind == "unused":
                fields.setdefault(detail, []).append(pair.where)
    common = sorted(fields, key=lambda name: (-len(fields[name]), name))
    found = []
    for name in common[:_MOST_FIELDS]:
        hint = did_you_mean(name, KNOWN)
        near = (
            f": {hint}" if hint.startswith("did you mean") and hint[14:-2] not in _present(pairs, hint[14:-2]) else ""
        )
        found.append(f"the field {name!r} is not used: {_of(len(fields[name]), pairs, fields[name])}{near}")
    if len(common) > _MOST_FIELDS:
        found.append(f"{len(common) - _MOST_FIELDS:,} more fields are not used")
    return found


def _present(pairs: Sequence[Pair], name: str) -> set[str]:
    """Return the name where the rows have such a field already: nobody meant it by another one."""
    always = {"prompt", "chosen", "rejected", "conversations", "messages", "system"}
    has = {"facts": lambda p: p.prompt.facts, "labels": lambda p: p.labels, "margin": lambda p: p.margin,
           "kind": lambda p: p.kind, "fault": lambda p: p.fault}  # fmt: skip
    return {name} if name in always or (name in has and any(map(has[name], pairs))) else set()


def _repeated(pairs: Sequence[Pair]) -> list[str]:
    earlier: set[tuple[str, str, str]] = set()
    again = []
    for pair in pairs:
        key = (pair.key, pair.chosen, pair.rejected)
        if key in earlier:
            again.append(pair.where)
        earlier.add(key)
    return [f"the same prompt and responses as in a row before: {_of(len(again), pairs, again)}"] if again else []


def _contradicting(pairs: Sequence[Pair]) -> list[str]:
    ranked = {(pair.key, pair.chosen.strip(), pair.rejected.strip()) for pair in pairs}
    places = [p.where for p in pairs if (p.key, p.rejected.strip(), p.chosen.strip()) in ranked]
    return (
        [f"the same responses to one prompt are ranked both ways: {_of(len(places), pairs, places)}"] if places else []
    )


def _labelled_both_ways(pairs: Sequence[Pair]) -> list[str]:
    answers: dict[tuple, tuple[bool, str]] = {}
    places = []
    for pair in pairs:
        for side, response in (("chosen", pair.chosen), ("rejected", pair.rejected)):
            for item, answer in pair.labels.get(side, {}).items():
                before, _ = answers.setdefault((pair.key, response, item), (answer, pair.where))
                if before != answer:
                    places.append(pair.where)
    return (
        [f"the same response has a label that is both true and false: {_of(len(places), pairs, places)}"]
        if places
        else []
    )


def _leaked(pairs: Sequence[Pair], split_of: Mapping[str, Split]) -> list[str]:
    held = {(pair.key, pair.split) for pair in pairs}
    moved = [p.where for p in pairs if p.split != split_of[p.key] and (p.key, split_of[p.key]) in held]
    if not moved:
        return []
    rows = _of(len(moved), pairs, moved)
    return [f"the prompt is also in a file that is held out, and the row is held out with it: {rows}"]


def _read_as(pairs: Sequence[Pair]) -> list[str]:
    found = []
    for kind, note in (
        ("implicit", "no 'prompt': the beginning that 'chosen' and 'rejected' share is taken as the prompt"),
        ("repeated", "both responses begin with the text of the prompt, which is trained on as a part of the response"),
    ):
        places = [pair.where for pair in pairs if any(remark[0] == kind for remark in pair.remarks)]
        found += [f"{note}: {_of(len(places), pairs, places)}"] if places else []
    tools = Counter(detail for pair in pairs for kind, detail in set(pair.remarks) if kind == "tool")
    found += [f"{what} are written as JSON into the messages: {count:,} of {len(pairs):,} rows"
              for what, count in sorted(tools.items())]  # fmt: skip
    return found
