"""What looks like a secret is found and masked; what does not is left as it is."""

from __future__ import annotations

import pytest

from repo_exp.redaction import holds_secret, looks_like_key, masked


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://user:pass@host/v1", "http://***@host/v1"),
        ("http://user:p@ss@host/v1", "http://***@host/v1"),
        ("http://token@host", "http://***@host"),
        ("see https://h/v1?key=abc&v=2.", "see https://h/v1?key=***&v=2."),
        ("https://h/v1?v=2&api%5Fkey=abc", "https://h/v1?v=2&api%5Fkey=***"),
        ("https://h/v1?sig=abc", "https://h/v1?sig=***"),
        ("https://h/#access_token=abc", "https://h/#access_token=***"),
        ("judge.x=sk-proj-abc123def", "judge.x=***"),
        ("Authorization: Bearer abcdefgh12", "Authorization: ***"),
        ("hf_abcdefghijklmnop", "***"),
    ],
)
def test_secrets_are_masked(text, shown):
    assert masked(text) == shown
    assert holds_secret(text) and not holds_secret(shown)


@pytest.mark.parametrize(
    "text",
    ["http://localhost:8000/v1", "https://h/v1?api-version=2025-01-01", "mail me@host", "logger.tags=[sk-learn]",
     "task-force-12345", "pkg://a.b", "judge.max_tokens=64", "file:///home/a@b/c", "OPENAI_API_KEY"],
)  # fmt: skip
def test_what_is_no_secret_stays(text):
    assert masked(text) == text and not holds_secret(text)


def test_a_key_is_told_from_the_name_of_a_variable():
    keys = ["sk-1234567", "hf_AbCdEfGhIjKlMnOp", "gsk_AbCd1234efGH", "AKIAIOSFODNN7EXAMPLE"]
    keys.append("f3a9c04b7d2e4f6a8b1c3d5e7")
    assert all(map(looks_like_key, keys))
    names = ("OPENAI_API_KEY", "my_key", "KEY2", "AZURE_OPENAI_KEY_EAST_1", "_x")
    assert not any(map(looks_like_key, names))
