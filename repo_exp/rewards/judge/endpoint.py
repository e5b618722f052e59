"""The address of an endpoint, without secrets, and the query that every request carries."""

from __future__ import annotations

import os
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from repo_exp.errors import Problem, RewardError
from repo_exp.redaction import holds_secret

REMEDY = (
    "an address such as http://localhost:8000/v1; a key goes into the environment variable that judge.api_key_env "
    "names, and is sent as a bearer token"
)


def address(base_url: str | None) -> str:
    """Return the address that is asked: ``base_url``, or the ``openai`` package's own default; "" is OpenAI's."""
    return (base_url or os.environ.get("OPENAI_BASE_URL") or "").strip().rstrip("/")


def wrong_with(base_url: str) -> str:
    """Return what is wrong with an address, "" if nothing is. It is not repeated, for it may hold a secret."""
    if holds_secret(base_url):
        return "there is a user, a password or a key in the address (it is not shown)"
    try:
        parts = urlsplit(base_url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        sound = False
    if sound and any(sign.isspace() or not sign.isprintable() for sign in base_url):
        sound = False
    return "" if sound else "that is no address of the form http://HOST/PATH or https://HOST/PATH"


def split(base_url: str | None) -> tuple[str | None, dict[str, str]]:
    """Return the address without its query, and the query.

    Raises:
        RewardError: it is no address, or it holds a secret.
    """
    whole = address(base_url)
    if not whole:
        return None, {}
    if wrong := wrong_with(whole):
        where = "judge.base_url" if base_url else "the environment variable OPENAI_BASE_URL"
        raise RewardError("The judge's endpoint cannot be used:", [Problem(where, wrong, REMEDY)])
    parts = urlsplit(whole)
    return urlunsplit(parts._replace(query="", fragment="")), dict(parse_qsl(parts.query, keep_blank_values=True))
