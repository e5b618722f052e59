"""No secret leaves; what only sounds like one stays readable."""

from __future__ import annotations

import pytest

from repo_exp.tracking.masking import MASK, mask_secrets


@pytest.mark.parametrize(
    "name", ["api_key", "API-KEY", "key", "hf_token", "accessToken", "secret", "db_password", "passwd", "Authorization"]
)
def test_the_values_of_secret_sounding_keys_are_masked(name):
    assert mask_secrets({"judge": [{name: "sk-1234"}]}) == {"judge": [{name: MASK}]}
    assert mask_secrets({name: 1234567}) == {name: MASK}
    assert mask_secrets({name: {"inner": "sk-1234"}}) == {name: MASK}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("api_key_env", "OPENAI_API_KEY"),
        ("max_new_tokens", 64),
        ("tokenizer", "smollm2"),
        ("keywords", ["guarantee"]),
        ("api_key", None),
        ("api_key", ""),
        ("use_token", True),
        ("model", "tiny"),
    ],
)
def test_what_is_no_secret_stays(name, value):
    assert mask_secrets({name: value}) == {name: value}


def test_a_key_written_where_a_variable_name_belongs_is_masked():
    assert mask_secrets({"api_key_env": "sk-abc123"}) == {"api_key_env": MASK}


def test_the_user_in_a_url_is_masked():
    assert mask_secrets({"url": "https://me:pw@judge.example/v1"}) == {"url": f"https://{MASK}@judge.example/v1"}


def test_the_original_is_left_alone():
    config = {"judge": {"api_key": "sk-1234"}}
    mask_secrets(config)
    assert config == {"judge": {"api_key": "sk-1234"}}
