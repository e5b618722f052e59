"""What a model's configuration cannot take is refused with the number that it could."""

import pytest
from transformers import LlamaConfig

from repo_exp.errors import ConfigError, ModelError
from repo_exp.models.limits import attention_window, fit_tokens, require_room
from repo_exp.models.tokens import ChatTokenizer, byte_tokenizer


def config(**settings) -> LlamaConfig:
    made = LlamaConfig(max_position_embeddings=100)
    for name, value in settings.items():
        setattr(made, name, value)
    return made


def test_sequences_up_to_the_positions_fit() -> None:
    require_room(config(), longest=100, prompt=60)
    with pytest.raises(ConfigError, match=r"60; with responses up to 101 tokens, but .*max_position_embeddings is 100"):
        require_room(config(), longest=101, prompt=60)


@pytest.mark.parametrize(
    ("longest", "prompt", "remedy"),
    [
        (120, 60, "model.max_prompt_tokens=40 or less"),  # 60 tokens come behind a prompt: 100 - 60
        (161, 60, "a smaller rollout.max_new_tokens"),  # 101 of them: no prompt would fit
    ],
)
def test_the_way_out_is_a_number_where_there_is_one(longest, prompt, remedy) -> None:
    with pytest.raises(ConfigError, match=remedy.replace(".", r"\.")):
        require_room(config(), longest=longest, prompt=prompt)


def test_the_smallest_of_several_bounds_counts() -> None:
    with pytest.raises(ConfigError, match="max_seq_len is 50"):
        require_room(config(max_seq_len=50), longest=51, prompt=10)
    require_room(config(max_seq_len=-1, n_positions=None), longest=100, prompt=10)


def test_rotary_factors_that_change_for_a_whole_batch_are_a_bound() -> None:
    rope = {"rope_type": "longrope", "original_max_position_embeddings": 40}
    with pytest.raises(ConfigError, match="original_max_position_embeddings is 40"):
        require_room(config(rope_parameters=rope), longest=41, prompt=10)
    by_kind = {"full_attention": {"rope_type": "longrope"}, "sliding_attention": {"rope_type": "default"}}
    with pytest.raises(ConfigError, match="original_max_position_embeddings is 30"):
        require_room(config(rope_parameters=by_kind, original_max_position_embeddings=30), longest=31, prompt=10)


@pytest.mark.parametrize(
    ("settings", "window"),
    [
        ({}, None),
        ({"sliding_window": 24}, 24),
        ({"sliding_window": 64, "attention_chunk_size": 32}, 32),
        ({"sliding_window": 50}, None),  # as long as the longest sequence: nothing is cut off
        ({"sliding_window": None, "window_size": 0}, None),
        ({"sliding_window": 24, "layer_types": ["full_attention", "full_attention"]}, None),
        ({"sliding_window": 24, "layer_types": ["full_attention", "sliding_attention"]}, 24),
    ],
)
def test_the_smallest_window_that_is_crossed_counts(settings, window) -> None:
    assert attention_window(config(**settings), longest=50) == window


def test_every_token_that_can_come_needs_an_embedding() -> None:
    """259 tokens: three special ones, then the bytes."""
    tokens = ChatTokenizer(byte_tokenizer(), max_prompt_tokens=100)
    fit_tokens(tokens, 259)
    with pytest.raises(ModelError, match=r"1 tokens of the tokenizer have no embedding \(258 rows\)"):
        fit_tokens(tokens, 258)


def test_padding_without_an_embedding_is_replaced_by_the_end() -> None:
    tokens = ChatTokenizer(byte_tokenizer(), max_prompt_tokens=100)
    tokens.pad = 259
    fit_tokens(tokens, 259)
    assert tokens.pad == tokens.eos


def test_special_tokens_that_no_prompt_has_need_no_embedding() -> None:
    tokenizer = byte_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|unused|>"]})
    fit_tokens(ChatTokenizer(tokenizer, max_prompt_tokens=100), 259)
