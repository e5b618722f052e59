"""Sequences with a common prefix share a row, and do not attend to one another."""

import pytest
import torch

from repo_exp.models.forward import answer_yes, final_scores, lay_out, response_logp, response_values
from repo_exp.models.packing import chunks, common_prefix, group_by_prefix, pack, packed_length, shared_prefix_length

PAIR = [[5, 6, 7, 8, 9, 10], [5, 6, 7, 20, 21]]
GROUPS = [PAIR, [[3, 4, 5]], [[9, 9, 9, 1], [9, 9, 9, 2], [9, 9, 3, 3, 3, 3, 3]]]


def test_a_prefix_leaves_every_sequence_a_token_of_its_own() -> None:
    assert common_prefix(PAIR) == 3
    assert common_prefix([[1, 2, 3]]) == 2
    assert common_prefix([[1, 2], [1, 2, 3]]) == 1
    assert common_prefix([[1], [2]]) == 0


def test_a_pair_by_hand() -> None:
    """Prefix 5 6 7 once; branches 8 9 10 and 20 21 both continue at position 3."""
    packed = pack([PAIR], pad=0)
    assert packed.token_BT.tolist() == [[5, 6, 7, 8, 9, 10, 20, 21]]
    assert packed.position_BT.tolist() == [[0, 1, 2, 3, 4, 5, 3, 4]]
    assert packed.column_NL.tolist() == [[0, 1, 2, 3, 4, 5], [0, 1, 2, 6, 7, 0]]
    assert packed.allowed_B1TT[0, 0, 6].tolist() == [True, True, True, False, False, False, True, False]
    assert packed.allowed_B1TT[0, 0, 4].tolist() == [True, True, True, True, True, False, False, False]


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("architecture", ["llama", "qwen3"])
def test_packed_sequences_score_as_they_do_alone(tiny, architecture, attention) -> None:
    backbone = tiny("reward", architecture=architecture, attention=attention)
    with torch.no_grad(), backbone.active_adapter("reward"):
        together = final_scores(backbone, pack(GROUPS, pad=0))
        alone = torch.cat([final_scores(backbone, pack([[s]], pad=0)) for group in GROUPS for s in group])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
    assert together.std() > 0.01  # they do not agree because all are the same


def test_a_question_more_does_not_change_the_other_answers(tiny) -> None:
    backbone = tiny("judge")
    few = answer_yes(backbone, [[[5, 6, 7, 8], [5, 6, 9]]], microbatch_tokens=9)
    more = answer_yes(backbone, [[[5, 6, 7, 8], [5, 6, 9], [5, 6, 11, 12, 13]], [], [[4, 4]]], microbatch_tokens=3)
    assert more[0][:2] == pytest.approx(few[0], abs=1e-6)
    assert [len(answers) for answers in more] == [3, 0, 1]
    assert all(0 <= p <= 1 for answers in more for p in answers)


def test_response_log_probabilities_equal_those_of_the_plain_model(tiny) -> None:
    """Compared with transformers' own forward pass and a softmax, one row at a time."""
    backbone = tiny("policy")
    prompts, responses = [[5, 6, 7, 8], [9, 8]], [[10, 11], [12, 13, 14, 2]]
    batch = lay_out(prompts, responses, pad=0)
    with torch.no_grad(), backbone.active_adapter("policy"):
        found, spread = response_logp(backbone, batch, temperature=0.5, with_entropy=True)
        for row, (prompt, response) in enumerate(zip(prompts, responses, strict=True)):
            logits = backbone.model(torch.tensor([[*prompt, *response]])).logits[0] / 0.5
            logp = logits.log_softmax(-1)
            for k, token in enumerate(response):
                where = len(prompt) + k - 1
                assert found[row, k].item() == pytest.approx(logp[where, token].item(), abs=1e-5)
                assert spread[row, k].item() == pytest.approx(-(logp[where].exp() * logp[where]).sum().item(), abs=1e-4)
    assert batch.mask_NR.tolist() == [[True, True, False, False], [True] * 4]


def test_padding_cannot_change_what_is_said(tiny) -> None:
    backbone = tiny("policy", "value")
    alone, wide = lay_out([[5, 6]], [[7, 8]], pad=0), lay_out([[5, 6], [9] * 30], [[7, 8], [3] * 9], pad=0)
    with torch.no_grad():
        for role, forward in (
            ("policy", lambda b: response_logp(backbone, b)[0]),
            ("value", lambda b: response_values(backbone, b)),
        ):
            with backbone.active_adapter(role):
                torch.testing.assert_close(forward(wide)[0, :2], forward(alone)[0], atol=1e-5, rtol=1e-5)


def test_an_empty_group_is_refused() -> None:
    with pytest.raises(ValueError, match="group 1"):
        pack([[[1]], []], pad=0)


def alone(*lengths: int) -> list[list[list[int]]]:
    """Groups of one sequence each, no two of which share a prefix."""
    return [[[number, *range(100, 99 + length)]] for number, length in enumerate(lengths)]


def test_chunks_hold_to_their_budget_and_lose_nothing() -> None:
    """Sorted lengths 1 2 2 5 9 at a budget of 6: 3 * 2 = 6 fits; 5 alone; 9 is longer than the budget, and alone."""
    assert list(chunks(alone(5, 2, 9, 1, 2), 6)) == [[3, 1, 4], [0], [2]]
    assert list(chunks([], 6)) == []


def test_a_shared_prefix_counts_once() -> None:
    """Eight rows of 12 tokens that share 10 take 10 + 8 * 2 = 26 tokens, and five of them 20, twice what they share."""
    rows = [[[*range(10), 50 + n, 60]] for n in range(8)]
    assert list(map(len, chunks(rows, 26))) == [8]
    assert list(map(len, chunks(rows, 25))) == [4, 4]
    assert list(map(len, chunks([[[*row[0][:7], n, *row[0][8:]]] for n, row in enumerate(rows)], 26))) == [2] * 4
    assert list(map(len, chunks(rows, 1))) == [4, 4], "a prefix of 10 is not computed again for every single row"
    assert list(map(len, chunks(rows, 12, sharing=False))) == [1] * 8, "forward passes that compute it in every row"
    longer = [[[*range(10), 50 + n, *range(60, 65)]] for n in range(4)]
    assert list(chunks(longer, 1)) == [[0], [1], [2], [3]], "10 + 2 * 6 is more than twice the prefix"


def test_a_long_prefix_that_many_rows_attend_to_bounds_a_chunk() -> None:
    """12 rows of 12 tokens take 10 + 12 * 2 = 34 tokens, but side by side 144, and a budget of 34 is good for 136."""
    rows = [[[*range(10), 50 + n, 60]] for n in range(12)]
    assert list(map(len, chunks(rows, 34))) == [6, 6]
    assert list(map(len, chunks(rows, 36))) == [12]


def test_the_fullest_chunk_is_as_small_as_it_can_be() -> None:
    """Nine of 4 tokens at a budget of 16 are three chunks, which need no more than 12."""
    assert list(map(len, chunks(alone(*[4] * 9), 16))) == [3, 3, 3]
    assert list(map(len, chunks(alone(1, 1, 1, 1, 1, 5), 5))) == [5, 1], "no chunk more for the sake of evenness"


def test_rows_know_the_prefix_that_all_of_them_share() -> None:
    start = [*range(10, 20)]
    assert pack([[[*start, 1, 2], [*start, 1, 3]], [[*start, 4, 4, 4]]], pad=0).shared == 10
    assert pack([[[*start, 1, 1], [*start, 2]], [[*start, 1, 1, 1]]], pad=0).shared == 10, "one row branches there"
    assert pack([[start], [[*start, 1]]], pad=0).shared == 9, "every row has a token of its own"
    assert pack([[[*start, 1, 2]]], pad=0).shared == 0, "a single row shares with nobody"
    assert shared_prefix_length([[*range(8), 1], [*range(8), 2]]) == 8
    assert shared_prefix_length([[*range(7), 1], [*range(7), 2]]) == 0, "too short to be worth it"


def test_a_group_is_as_long_as_its_row() -> None:
    for group in GROUPS:
        assert packed_length(group) == pack([group], pad=0).token_BT.shape[1]


TREE = [[1, 2, 3, 4], [1, 2, 3, 5, 6], [1, 2, 7], [1, 2, 3, 5, 8]]


def test_sequences_are_laid_out_as_a_trie() -> None:
    """1 2 once, 3 once, 5 once: columns 1 2 3 4 | 5 6 | 7 | 8, and 8 sees 1 2 3 5 before it."""
    packed = pack([TREE], pad=0)
    assert packed.token_BT.tolist() == [[1, 2, 3, 4, 5, 6, 7, 8]]
    assert packed.position_BT.tolist() == [[0, 1, 2, 3, 3, 4, 2, 4]]
    assert packed.column_NL.tolist() == [[0, 1, 2, 3, 0], [0, 1, 2, 4, 5], [0, 1, 6, 0, 0], [0, 1, 2, 4, 7]]
    visible = [row.nonzero().squeeze(1).tolist() for row in packed.allowed_B1TT[0, 0]]
    assert visible == [[0], [0, 1], [0, 1, 2], [0, 1, 2, 3], [0, 1, 2, 4], [0, 1, 2, 4, 5], [0, 1, 6], [0, 1, 2, 4, 7]]


def test_a_sequence_that_another_goes_on_from_takes_no_column_of_its_own() -> None:
    packed = pack([[[1, 2, 3], [1, 2], [1, 2, 3]], [[4]]], pad=0)
    assert packed.token_BT.tolist() == [[1, 2, 3], [4, 0, 0]]
    assert packed.column_NL.tolist() == [[0, 1, 2], [0, 1, 0], [0, 1, 2], [0, 0, 0]]
    assert packed.width_B.tolist() == [3, 1]


@pytest.mark.parametrize("engine", ["own", "transformers"])
def test_gradients_through_a_trie_are_those_of_separate_rows(tiny, engine) -> None:
    """Rows of very different lengths, so that the padding is left out, and shared prefixes within and across rows."""
    start = [11, 12, 13, 14, 15, 16, 17, 18, 19]
    groups = [[[*start, *each] for each in TREE], [[*start, 5, 5, *range(30, 60)]], [[*start, 9]]]
    backbone, found = tiny("reward", engine=engine), []
    for rows in (groups, [[sequence] for group in groups for sequence in group]):
        with backbone.active_adapter("reward", training=True):
            scores = final_scores(backbone, pack(rows, pad=0))
            weight_N = torch.linspace(-1, 2, len(scores))
            slopes = torch.autograd.grad((scores * weight_N).sum(), list(backbone.parameters_of("reward").values()))
        found.append([scores.detach(), *slopes])
    for together, apart in zip(*found, strict=True):
        torch.testing.assert_close(together, apart, atol=1e-5, rtol=1e-5)


def test_groups_with_a_common_prefix_come_together_and_score_the_same(tiny) -> None:
    stem = [*range(20, 32)]
    groups = [[[*stem, 1, 2]], [[5, 6, 7]], [[*stem, 3], [*stem, 1, 4]], [], [[*stem, 40, 41, 42]]]
    assert group_by_prefix(groups) == [[1], [0, 2, 4]]
    assert group_by_prefix(groups, longest=17) == [[1], [0, 2], [4]]
    assert group_by_prefix([[[1, 2, 3, 4]], [[1, 9, 9, 9]]]) == [[0], [1]], "less than half is shared"
    backbone = tiny("judge")
    together = answer_yes(backbone, groups, microbatch_tokens=40)
    alone = [answer_yes(backbone, [group], microbatch_tokens=40)[0] for group in groups]
    for one, other in zip(together, alone, strict=True):
        assert one == pytest.approx(other, abs=1e-6)


def test_only_what_is_asked_for_leaves_the_last_layer(tiny) -> None:
    backbone, packed = tiny("policy"), pack(GROUPS, pad=0)
    index_NR = torch.tensor([[0, 2], [4, 4], [1, 0], [3, 3], [0, 1], [6, 2]])
    with torch.no_grad(), backbone.active_adapter("policy"):
        wanted = packed.gather(backbone.hidden(packed), index_NR)
        torch.testing.assert_close(backbone.hidden_at(packed, index_NR), wanted, atol=1e-5, rtol=1e-5)
