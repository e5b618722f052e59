"""What does not fit is counted, and a pair that is alike where it is cut is learnt from by nobody."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from repo_exp.errors import DataError
from repo_exp.models.tokens import ChatTokenizer, byte_tokenizer
from repo_exp.stages import lengths
from repo_exp.stages.lengths import Readers
from repo_exp.stages.reward_models.bradley_terry import RewardModel
from repo_exp.stages.value_model import training_examples
from repo_exp.types import SPLITS, Corpus, Demonstration, Message, Preference, Prompt


def corpus(responses: list[tuple[str, str]], prompt: str = "Hi") -> Corpus:
    """Return a corpus of these pairs, all of them to train on."""
    prompts = [Prompt(str(n), (Message("user", f"{prompt} {n}"),)) for n in range(len(responses))]
    pairs = tuple(Preference(c, *both) for c, both in zip(prompts, responses, strict=True))
    shown = tuple(Demonstration(p.prompt, p.chosen) for p in pairs)
    empty: dict = dict.fromkeys(SPLITS, ())
    return Corpus(empty | {"train": shown}, empty | {"train": pairs}, empty, empty | {"train": tuple(prompts)})


PAIRS, ONLINE, RULES = Readers(True, True), Readers(False, True), Readers(False, False)


@pytest.fixture
def tokens() -> ChatTokenizer:
    return ChatTokenizer(byte_tokenizer(), max_prompt_tokens=60)


def test_what_is_cut_is_counted_by_hand(tokens):
    # A token is a byte, and a response has one more for its end: "12345678" has 9. The template takes 50 bytes or more.
    responses = [
        ("12345678", "1234567x"),
        ("12345678", "12345678 and more"),
        ("abc", "abd"),
        ("12345678901", "1234567890z"),
    ]
    counts = lengths.count(tokens, corpus(responses), max_new_tokens=8)
    assert counts["demonstrations_cut"] == 3  # all but "abc"
    # in 8 tokens: the 2nd and the 4th pair; the 1st differs in its 8th byte
    assert counts["pairs_alike"] == 2
    assert counts["pairs_alike_to_reward"] == 0  # in 16 tokens the 2nd differs at its 9th: one ends there
    assert counts["prompts"] == counts["pairs"] == 4
    assert lengths.count(tokens, corpus(responses, prompt="x" * 60), max_new_tokens=8)["prompts_cut"] == 4


def test_what_fits_is_not_remarked_upon(tokens):
    tokens.max_prompt_tokens = 400
    assert lengths.notes(lengths.count(tokens, corpus([("a", "b")]), max_new_tokens=8), PAIRS) == []


def test_only_whoever_learns_from_pairs_is_named(tokens):
    counts = lengths.count(tokens, corpus([("x" * 40, "x" * 40 + "y"), ("abc", "b")]), max_new_tokens=8)
    online, paired, rules = ("\n".join(lengths.notes(counts, readers)) for readers in (ONLINE, PAIRS, RULES))
    assert "1 of 2 training pairs" in online and "first 16 tokens, which is what the reward model reads" in online
    assert "which is what the policy reads" not in online
    assert "first 8 tokens, which is what the policy reads" in paired
    assert "pairs" not in rules
    assert "no demonstration shows the policy how to end" not in online
    every = lengths.count(tokens, corpus([("x" * 40, "y")]), max_new_tokens=8)
    assert "1 of 1 responses to imitate" in "\n".join(lengths.notes(every, ONLINE))
    assert "no demonstration shows the policy how to end" in "\n".join(lengths.notes(every, ONLINE))


def test_pairs_of_which_none_is_left_are_refused(tokens):
    counts = lengths.count(tokens, corpus([("x" * 40, "x" * 40 + "y")] * 3), max_new_tokens=8)
    with pytest.raises(DataError, match="no pair is left") as caught:
        lengths.require_pairs(counts, PAIRS)
    assert [p.where for p in caught.value.problems] == ["rollout.max_new_tokens"] * 2  # the policy, the reward model
    lengths.require_pairs(counts, RULES)
    with pytest.raises(DataError, match="all 3 training pairs"):
        lengths.require_pairs(counts, ONLINE)


def test_neither_reward_model_nor_value_model_learns_from_pairs_that_are_alike(tokens):
    pairs = corpus([("x" * 40, "x" * 40 + "y"), ("abc", "b")])
    run = SimpleNamespace(model=lambda inputs: SimpleNamespace(backbone=SimpleNamespace(tokens=tokens)))
    kind = RewardModel(run, SimpleNamespace(model=None, seed=0), SimpleNamespace(centring=0.0), max_new_tokens=8)
    assert len(kind.training_examples(pairs, None, None)) == 1
    assert [kind.can_measure(pair) for pair in pairs.preferences["train"]] == [False, True]
    assert [len(training_examples(tokens, pair, limit=16)) for pair in pairs.preferences["train"]] == [0, 2]
