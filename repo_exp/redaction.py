"""Finds what looks like a secret in a text, and masks it.

Three kinds: user and password in a URL, a key in the query of a URL, and keys in the forms of well-known services. In
input a secret is refused and not repeated; in output it is masked.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

MASK = "***"

_NAME = re.compile(
    r"key(?!word|board|_value)|token(?!i[sz]er)|secret|passw|pwd|credential|authori[sz]ation|signature", re.IGNORECASE
)
_QUERY_NAME = re.compile(r"sig|auth\w*|code|sas", re.IGNORECASE)
_USER = re.compile(r"([A-Za-z][\w+.-]*://)[^/\s]*@")
_QUERY = re.compile(r"([?&;#])([^=&;#?\s]+)=([^&;#\s'\"]+)")
_KEY = re.compile(
    r"(?<![A-Za-z0-9])(?:[sprx]k-(?:(?=[\w-]*\d)[\w-]{5,}|[\w-]{20,})|sk_(?=\w*\d)\w{8,}|hf_[A-Za-z0-9]{10,}|gh[pousr]_\w{10,}|github_pat_\w{10,}|glpat-[\w-]{10,}"
    r"|xox[a-z]-[\w-]{8,}|AKIA[0-9A-Z]{12,}|AIza[\w-]{20,}|gsk_\w{10,}|(?:xai|nvapi|pplx|wandb_v1)[-_]\w{10,}"
    r"|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*|Bearer\s+[\w.~+/-]{8,}=*)"
)
_LONG = re.compile(r"[A-Za-z0-9]{24,}")


def masked(text: str) -> str:
    """Return ``text`` with ``***`` in place of everything in it that looks like a secret."""
    text = _USER.sub(rf"\1{MASK}@", text)
    text = _QUERY.sub(_masked_parameter, text)
    return _KEY.sub(MASK, text)


def holds_secret(text: str) -> bool:
    """Does something in the text look like a secret?"""
    return masked(text) != text


def is_secret_name(name: str) -> bool:
    """Does a name suggest that its value is a secret?"""
    return bool(_NAME.search(name))


def looks_like_key(text: str) -> bool:
    """Is the whole text, in the place of a variable's name, more likely a key itself?

    It has a known form, or a long run of letters and digits that a name would not have.
    """
    if _KEY.fullmatch(text):
        return True
    return any(
        sum(sign.isdigit() for sign in run) >= 3 and sum(sign.isalpha() for sign in run) >= 3
        for run in _LONG.findall(text)
    )


def _masked_parameter(found: re.Match[str]) -> str:
    before, name, value = found.groups()
    plain = unquote(name)
    secret = is_secret_name(plain) or _QUERY_NAME.fullmatch(plain) or looks_like_key(unquote(value))
    return f"{before}{name}={MASK}" if secret and value != MASK else found[0]
