"""The ``openai`` package's client with bounds: bytes and time of an answer, and no redirect to another host."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urljoin, urlsplit

from repo_exp.rewards.judge.reasons import ElsewhereError, TooLongError

MOST_BYTES = 2**20
"""An answer of a few hundred tokens has a few thousand bytes."""

_GRACE = 1.1  # the client's own limit ends a silent server first, and retries


def bounded_client(*, key: str, base_url: str | None, query: dict[str, str], timeout: float, retries: int) -> Any:
    """Return an ``AsyncOpenAI`` that needs an event loop and has to be closed.

    Proxies and further certificates come from the environment (``HTTPS_PROXY``, ``NO_PROXY``, ``SSL_CERT_FILE``).

    Args:
        key: sent as a bearer token.
        base_url: without a query; None is OpenAI's.
        query: of every request.
        timeout: seconds that one attempt may take in all, from the connection to the last byte.
        retries: further attempts after 429, 5xx, a timeout or a lost connection.
    """
    import openai  # here, so that no other judge needs the package

    class Client(openai.DefaultAsyncHttpxClient):
        async def send(self, request: Any, **how: Any) -> Any:
            # the package's own timeout is for each read: a byte now and then would go on for ever
            async with asyncio.timeout(_GRACE * timeout):
                return await super().send(request, **how)

    async def look(response: Any) -> None:
        location = response.headers.get("location")
        if response.is_redirect and location:
            old = urlsplit(str(response.request.url))
            new = urlsplit(urljoin(str(response.request.url), location))
            if (new.scheme, new.hostname, new.port) != (old.scheme, old.hostname, old.port):
                raise ElsewhereError
        # nothing compressed is asked for; what comes so all the same may be of any size unpacked
        if response.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
            raise TooLongError
        response.stream = _Bounded(response.stream)

    class _Bounded(type_of_stream(Client)):  # type: ignore[misc]  # the package is known only here
        def __init__(self, stream: Any) -> None:
            self._stream = stream

        async def __aiter__(self) -> AsyncIterator[bytes]:
            received = 0
            async for chunk in self._stream:
                received += len(chunk)
                if received > MOST_BYTES:
                    raise TooLongError
                yield chunk

        async def aclose(self) -> None:
            await self._stream.aclose()

    return openai.AsyncOpenAI(
        api_key=key or "none",
        base_url=base_url,
        timeout=timeout,
        max_retries=retries,
        default_query=query or None,
        default_headers={"Accept-Encoding": "identity"},
        http_client=Client(timeout=timeout, event_hooks={"response": [look]}),
    )


def type_of_stream(client: type) -> Any:
    """Return ``AsyncByteStream`` of the HTTP package that the client is built on (``httpx`` or its successor)."""
    import importlib

    base = next(each for each in client.__mro__ if each.__module__.split(".")[0].startswith("httpx"))
    return importlib.import_module(base.__module__.split(".")[0]).AsyncByteStream
