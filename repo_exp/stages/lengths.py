"""lengths: counts what does not fit into the model's window or the length of a response, before anything is trained.

A response is trained on up to ``rollout.max_new_tokens`` tokens; the reward and the value model read twice as many. A
response that is cut off has no end to train on; a pair whose responses are equal up to the cut gives no signal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repo_exp.algorithms.registry import learns_from
from repo_exp.config.reward_sources import of_kind
from repo_exp.config.schema import Config, Model
from repo_exp.errors import DataError, ModelError, Problem
from repo_exp.models.tokens import ChatTokenizer
from repo_exp.stages.asked_sources import evaluation_sources
from repo_exp.stages.data import read
from repo_exp.stages.records import Weights, weights
from repo_exp.stages.run_context import NOTES, RunContext
from repo_exp.stages.stage import Stage
from repo_exp.stages.store import Artifact, Store, write_json
from repo_exp.types import Corpus, Preference, Prompt

COUNTS = "lengths.json"
UNCUT = 10**9


@dataclass(frozen=True, slots=True)
class LengthsInputs:
    """What decides what is cut, and who reads pairs."""

    weights: Weights
    max_prompt_tokens: int
    max_new_tokens: int
    readers: Readers


@dataclass(frozen=True, slots=True)
class Readers:
    """Who is trained on preference pairs."""

    policy: bool
    reward_model: bool

    def rows(self, limit: int) -> list[tuple[str, str, int]]:
        """Return of each: the count of what is lost to it, its name, and how many tokens of a response it reads."""
        policy = ("pairs_alike", "policy", limit)
        reward_model = ("pairs_alike_to_reward", "reward model", 2 * limit)
        return [row for row, reads in ((policy, self.policy), (reward_model, self.reward_model)) if reads]


class LengthsStage(Stage[LengthsInputs]):
    """Leaves the counts, ``lengths.json``, and sentences about them, ``notes.json``."""

    name, version, internal = "lengths", 2, True

    def inputs(self, config: Config) -> LengthsInputs:
        """Return what decides what is cut, and who reads pairs."""
        limits = (config.model.max_prompt_tokens, config.rollout.max_new_tokens)
        return LengthsInputs(weights(config), *limits, readers(config))

    def parents(self, config: Config) -> Mapping[str, str]:
        """Return the corpus."""
        return {"data": "data"}

    def build(self, inputs: LengthsInputs, parents: Mapping[str, Artifact], folder: Path, run: RunContext) -> None:
        """Count what is cut."""
        tokens = run.tokens(inputs.weights, max_prompt_tokens=inputs.max_prompt_tokens)
        counts = count(tokens, read(parents["data"]), max_new_tokens=inputs.max_new_tokens)
        write_json(folder / COUNTS, counts)
        write_json(folder / NOTES, notes(counts, inputs.readers))

    def check(self, inputs: LengthsInputs, artifact: Artifact) -> None:
        """Refuse a corpus of which no pair is left to train on.

        Raises:
            DataError: all are alike where they are cut.
        """
        require_pairs(artifact.read(COUNTS), inputs.readers)


def readers(config: Config) -> Readers:
    """Return who is trained on preference pairs. (The value model leaves out pairs for itself.)"""
    models = dict(of_kind(evaluation_sources(config), "reward_model"))
    return Readers(policy=learns_from(str(config.algorithm["kind"])) == "pairs", reward_model=bool(models))


def count(tokens: ChatTokenizer, corpus: Corpus, *, max_new_tokens: int) -> dict[str, int]:
    """Return how many prompts and responses are cut, and how many pairs are alike once they are.

    Args:
        tokens: the model's tokenizer with its window.
        max_new_tokens: the longest response.
    """
    whole = ChatTokenizer(tokens.hf, max_prompt_tokens=UNCUT)
    longest = tokens.max_prompt_tokens
    prompts = [prompt for split in corpus.prompts.values() for prompt in split]
    shown, pairs = corpus.demonstrations["train"], corpus.preferences["train"]

    def too_long(prompt: Prompt) -> bool:
        return len(whole.prompt(prompt.messages)) > longest

    return {
        "prompts": len(prompts),
        "prompts_cut": sum(map(too_long, prompts)),
        "demonstrations": len(shown),
        "demonstrations_cut": sum(len(tokens.response(each.response)) > max_new_tokens for each in shown),
        "pairs": len(pairs),
        "pairs_alike": sum(not differ(tokens, pair, limit=max_new_tokens) for pair in pairs),
        "pairs_alike_to_reward": sum(not differ(tokens, pair, limit=2 * max_new_tokens) for pair in pairs),
        "max_new_tokens": max_new_tokens,
        "max_prompt_tokens": longest,
    }


def differ(tokens: ChatTokenizer, pair: Preference, *, limit: int) -> bool:
    """Do the responses of a pair differ in the tokens that are trained on, their first ``limit`` tokens?"""
    return list(tokens.response(pair.chosen, limit=limit)) != list(tokens.response(pair.rejected, limit=limit))


def notes(counts: Mapping[str, int], readers: Readers) -> list[str]:
    """Return a sentence for each count that a reader should know."""
    limit, found = counts["max_new_tokens"], []
    if counts["prompts_cut"]:
        found.append(
            f"{counts['prompts_cut']:,} of {counts['prompts']:,} prompts are longer than model.max_prompt_tokens "
            f"({counts['max_prompt_tokens']}) and are cut: their oldest turns are left out"
        )
    if counts["demonstrations_cut"]:
        end = (
            "; no demonstration shows the policy how to end"
            if counts["demonstrations_cut"] == counts["demonstrations"]
            else ""
        )
        found.append(
            f"{counts['demonstrations_cut']:,} of {counts['demonstrations']:,} responses to imitate are longer than "
            f"rollout.max_new_tokens ({limit}) and are cut, so that their end is not trained on{end}"
        )
    for key, who, most in readers.rows(limit):
        if counts[key]:
            found.append(
                f"{counts[key]:,} of {counts['pairs']:,} training pairs have responses that are the same in their "
                f"first {most} tokens, which is what the {who} reads; they are left out "
                f"(rollout.max_new_tokens={limit})"
            )
    return found


def require_pairs(counts: Mapping[str, int], readers: Readers) -> None:
    """Refuse a corpus in which no pair can be trained on.

    Raises:
        DataError: all are alike where they are cut.
    """
    limit = counts["max_new_tokens"]
    problems = [
        Problem(
            "rollout.max_new_tokens",
            f"all {counts['pairs']:,} training pairs have responses that are the same in their first {most} tokens, "
            f"which is what the {who} reads",
            f"more than {limit}; or responses that differ earlier",
        )
        for key, who, most in readers.rows(limit)
        if counts["pairs"] and counts[key] == counts["pairs"]
    ]
    if problems:
        raise DataError("no pair is left to train on", problems)


def tokenizer(model: Model, *, store: Store) -> ChatTokenizer | None:
    """Return a model's tokenizer where it can be had without its weights and without a network, else None."""
    from transformers import AutoTokenizer

    from repo_exp.models.place import resolve
    from repo_exp.models.tokens import byte_tokenizer

    read_it: Callable[[], Any]
    try:
        kind, place = resolve(model)
        if kind == "random":
            read_it = byte_tokenizer
        elif kind == "package":
            weights = {"kind": kind, "gguf": store.digest(Path(place) / str(model.gguf))}
            made = [each for each in store.all() if each.stage == "backbone"]
            mine = [each for each in made if each.record["inputs"]["weights"] == weights]
            if not mine:
                return None
            read_it = lambda: AutoTokenizer.from_pretrained(mine[-1].folder)  # noqa: E731
        else:
            read_it = lambda: AutoTokenizer.from_pretrained(place, local_files_only=True)  # noqa: E731
        return ChatTokenizer(read_it(), max_prompt_tokens=model.max_prompt_tokens)
    except (ModelError, OSError, ValueError, KeyError):
        return None
