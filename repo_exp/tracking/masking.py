"""A configuration without its secrets, for everything that is shown or leaves the machine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from repo_exp.redaction import MASK, is_secret_name, looks_like_key, masked

_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")


def mask_secrets(value: Any, name: str = "") -> Any:
    """Return a copy in which the values of secret-sounding keys are ``***``.

    Secret-sounding is a key with key, token, secret, password, credential or authorization in its name. Left as
    they are: the name of an environment variable under a key that ends in ``_env`` (it says where the secret is,
    not what), counts such as ``max_new_tokens: 64``, and what is empty. What looks like a secret inside any text goes,
    too: user and password in a URL, a key in its query, keys of well-known services.

    Args:
        value: JSON: mappings, lists, scalars.
        name: the key under which it was found.
    """
    if _is_secret(name, value):
        return MASK
    if isinstance(value, Mapping):
        return {masked(key) if isinstance(key, str) else key: mask_secrets(inner, str(key))
                for key, inner in value.items()}  # fmt: skip
    if isinstance(value, list | tuple):
        return [mask_secrets(inner) for inner in value]
    return masked(value) if isinstance(value, str) else value


def _is_secret(name: str, value: Any) -> bool:
    if not is_secret_name(name) or value is None or isinstance(value, bool) or value in ("", [], {}, ()):
        return False
    if name.lower().endswith("_env") and isinstance(value, str) and _VARIABLE.fullmatch(value):
        return looks_like_key(value)
    return not ("tokens" in name.lower() and isinstance(value, int | float))
