"""Reasons why an endpoint gave no verdict, in a few words that never contain its answer or a key."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator, Mapping
from typing import Any

NO_CONNECTION = "no connection"
TIMEOUT = "timeout"
DOWN = "endpoint down"
BUDGET = "budget"
NOT_CACHED = "not in the cache"
TOO_LONG = "answer too long"
ELSEWHERE = "redirected to another host"
UNREADABLE = "unreadable"
UNTRUSTED = "certificate not trusted"
WRONG_HOST = "certificate of another host"
EXPIRED = "certificate expired"
NO_TLS = "TLS failed"

REMEDIES = {
    UNTRUSTED: "its certificate is signed by nobody this machine trusts; SSL_CERT_FILE=FILE names a file with the "
    "certificate of who signed it",
    WRONG_HOST: "its certificate is for another name; judge.base_url has to have the name that is in the certificate",
    EXPIRED: "its certificate has expired, or this machine's clock is wrong",
    NO_TLS: "no TLS connection could be made; is it http:// instead of https://, or another port?",
    ELSEWHERE: "it redirects to another host, where neither key nor responses are sent; judge.base_url has to be the "
    "address itself",
    "http 401": "it refuses the key",
    "http 403": "it refuses the key",
    "http 404": "it knows no such path or model: see judge.base_url and judge.model",
    DOWN: "it did not answer several times in a row and is asked only now and then",
}
"""What would work, for what the person at the keyboard can mend."""

_UNREACHED = {NO_CONNECTION, TIMEOUT, UNTRUSTED, WRONG_HOST, EXPIRED, NO_TLS, "http 502", "http 503", "http 504"}
_PASSING = re.compile(r"http \d+|no client.*|unusable key")


class TooLongError(Exception):
    """An answer has more bytes than an answer may have."""


class ElsewhereError(Exception):
    """An endpoint redirects to another host."""


class NoVerdictError(Exception):
    """There is no verdict; the message is the reason."""


def reached(outcome: object) -> bool:
    """Did a call reach the endpoint itself, whatever it answered?"""
    return not isinstance(outcome, str) or outcome not in _UNREACHED


def may_pass(reason: str) -> bool:
    """Would asking again, later or with other settings, perhaps give a verdict?"""
    passing = _UNREACHED | {DOWN, BUDGET, NOT_CACHED, ELSEWHERE, TOO_LONG}
    return reason in passing or bool(_PASSING.fullmatch(reason))


def worth_asking_again(unscored: Mapping[str, Any]) -> bool:
    """Did a source leave responses without a score for a reason that may have passed?

    Args:
        unscored: source -> ``{"reasons": {reason: responses}}``, of the sources that failed.
    """
    return any(may_pass(reason) for source in unscored.values() for reason in source["reasons"])


def reason_of(error: BaseException) -> str:
    """Return a class of failure in a few words; never the error's text, which may quote a key or a response."""
    import openai

    for each in _chain(error):
        if isinstance(each, NoVerdictError):
            return str(each)
        if isinstance(each, TooLongError):
            return TOO_LONG
        if isinstance(each, ElsewhereError):
            return ELSEWHERE
        if isinstance(each, ssl.SSLError):
            return _of_tls(each)
        if isinstance(each, openai.APITimeoutError | TimeoutError):
            return TIMEOUT
    if isinstance(error, openai.APIStatusError):
        return f"http {error.status_code}"
    if isinstance(error, openai.APIConnectionError | OSError):
        return NO_CONNECTION
    if isinstance(error, openai.APIResponseValidationError | ValueError | TypeError | IndexError | AttributeError):
        return UNREADABLE
    return type(error).__name__


def _of_tls(error: ssl.SSLError) -> str:
    if not isinstance(error, ssl.SSLCertVerificationError):
        return NO_TLS
    return {10: EXPIRED, 62: WRONG_HOST, 64: WRONG_HOST}.get(error.verify_code, UNTRUSTED)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    visited: set[int] = set()
    while error is not None and id(error) not in visited:
        visited.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
