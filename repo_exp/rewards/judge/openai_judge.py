"""A judge behind any OpenAI-compatible endpoint: concurrent, cached, with a budget, and never fatal."""

from __future__ import annotations

import asyncio
import logging
import os
from collections import Counter
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from repo_exp.rewards.judge.cache import VerdictCache, address
from repo_exp.rewards.judge.prompt import VERSION, asking_again, messages_for, schema_for
from repo_exp.rewards.judge.verdict import UnreadableError, read_verdict
from repo_exp.rewards.rubric import Item, Rubric
from repo_exp.types import Reply, Score

_LOG = logging.getLogger(__name__)
_WORDS = 4_000  # characters of an answer that are kept
_MISCONFIGURED = frozenset({"http 401", "http 403", "http 404"})


class _NoVerdictError(Exception):
    """Why there is no verdict, in a few words that never hold what an endpoint said."""


class OpenAIJudge:
    """Asks an endpoint for a verdict on each reply.

    Args:
        rubric: the questions.
        model: what the endpoint calls its model.
        base_url: the endpoint; ``None`` is the ``openai`` package's own default.
        api_key_env: NAME of the environment variable with the key. Local endpoints work without one.
        concurrency: how many requests are under way at once.
        timeout: seconds that one attempt may take.
        total_timeout: seconds that one reply may take with all attempts; ``None`` is three attempts' worth.
        retries: further attempts after 429, 5xx, a timeout or a lost connection; ``retry-after`` is obeyed.
        max_calls: how many verdicts may be asked for in this object's life; ``None`` is no bound.
        temperature: of the judge's answer.
        max_tokens: of the judge's answer.
        hard: as in :meth:`Rubric.score`; verdicts are yes or no, so it makes no difference here.
        replay_only: answer from the cache alone, without a network.
        cache: the SQLite file that keeps verdicts; ``None`` keeps nothing.
        show_facts: let the judge see the facts of the context.

    Attributes:
        counts: "calls", "cache hits", "asked again", and "no score/<reason>".
    """

    remote = True

    def __init__(
        self,
        rubric: Rubric,
        *,
        model: str,
        base_url: str | None = None,
        api_key_env: str = "OPENAI_API_KEY",
        concurrency: int = 8,
        timeout: float = 60.0,
        total_timeout: float | None = None,
        retries: int = 4,
        max_calls: int | None = None,
        temperature: float = 0.0,
        max_tokens: int = 512,
        hard: bool = True,
        replay_only: bool = False,
        cache: str | Path | None = None,
        show_facts: bool = True,
    ) -> None:
        self.rubric = rubric
        self.model = model
        self.counts: Counter[str] = Counter()
        self._base_url = base_url
        self._api_key_env = api_key_env
        self._concurrency = concurrency
        self._timeout = timeout
        self._total_timeout = 3 * timeout if total_timeout is None else total_timeout
        self._retries = retries
        self._max_calls = max_calls
        self._options = {"temperature": temperature, "max_tokens": max_tokens}
        self._hard = hard
        self._replay_only = replay_only
        self._cache = VerdictCache(cache)
        self._show_facts = show_facts
        self._takes_schema = True  # until the endpoint refuses it
        self._warned = False

    def __repr__(self) -> str:
        return f"OpenAIJudge(model={self.model!r}, base_url={self._base_url!r})"

    def judge(self, replies: Sequence[Reply]) -> list[Score]:
        """Return one score for each reply. Whatever goes wrong is ``Score.none`` with a short reason."""
        asked = [self.rubric.applicable(reply.context) for reply in replies]
        prompts = [
            messages_for(reply, items, show_facts=self._show_facts) for reply, items in zip(replies, asked, strict=True)
        ]
        keys = [self._key(messages, items) for messages, items in zip(prompts, asked, strict=True)]
        questions = {key: (prompt, items) for key, prompt, items in zip(keys, prompts, asked, strict=True) if items}
        kept = {key: value for key, value in self._cache.get(list(questions)).items() if _is_verdict(value)}
        self.counts["cache hits"] += sum(key in kept for key in keys)
        outcomes: dict[str, Any] = {**kept}
        open_questions = [key for key in questions if key not in kept]
        if self._replay_only:
            outcomes |= dict.fromkeys(open_questions, "not in the cache")
        elif open_questions:
            outcomes |= _run(self._ask_all({key: questions[key] for key in open_questions}))
        scores = []
        for key, items in zip(keys, asked, strict=True):
            outcome = outcomes.get(key, "no question applies") if items else "no question applies"
            if isinstance(outcome, str):
                self.counts[f"no score/{outcome}"] += 1
                scores.append(Score.none(outcome))
            else:
                answers = {item.name: float(bool(outcome["answers"].get(item.name))) for item in items}
                scores.append(self.rubric.score(answers, hard=self._hard, words=outcome["words"]))
        return scores

    def _key(self, messages: list[dict[str, str]], items: Sequence[Item]) -> str:
        # Points are not part of it: they can be changed without asking anybody again.
        questions = [[item.name, item.question] for item in items]
        return address([VERSION, self.model, self._options, questions, messages])

    async def _ask_all(self, questions: dict[str, tuple[list[dict[str, str]], Sequence[Item]]]) -> dict[str, Any]:
        """Return key -> verdict, or the reason why there is none."""
        left = len(questions) if self._max_calls is None else max(0, self._max_calls - self.counts["calls"])
        allowed = list(questions)[:left]  # in order, so that a budget is spent the same way each time
        self.counts["calls"] += len(allowed)
        outcomes: dict[str, Any] = dict.fromkeys(list(questions)[left:], "budget")
        if not allowed:
            return outcomes
        gate = asyncio.Semaphore(self._concurrency)
        key = (os.environ.get(self._api_key_env) or "").strip()
        if not (key.isascii() and key.isprintable()):  # no header can carry it; errors further down would print it
            self._warn(f"the key in the environment variable {self._api_key_env} has characters that no key has")
            return outcomes | dict.fromkeys(allowed, "unusable key")
        try:
            import openai  # here, so that no other judge needs the package

            client = openai.AsyncOpenAI(
                api_key=key or "none",
                base_url=self._base_url,
                timeout=self._timeout,
                max_retries=self._retries,
            )
        except Exception as error:  # the text of such errors may hold the key
            self._warn(f"the judge's client cannot be made ({type(error).__name__}): is 'openai' installed?")
            return outcomes | dict.fromkeys(allowed, f"no client ({type(error).__name__})")

        async def one(name: str) -> None:
            async with gate:
                outcomes[name] = await self._ask(client, key, *questions[name])
            if not isinstance(outcomes[name], str):
                self._cache.put(name, outcomes[name])

        async with client:
            await asyncio.gather(*(one(name) for name in allowed))
        refused = {outcomes[name] for name in allowed if isinstance(outcomes[name], str)} & _MISCONFIGURED
        if refused:
            state = "set" if key else "not set"
            self._warn(
                f"the judge's endpoint refuses requests ({', '.join(sorted(refused))}); "
                f"check base_url, model and the environment variable {self._api_key_env} (which is {state})"
            )
        return outcomes

    async def _ask(
        self, client: Any, secret: str, messages: list[dict[str, str]], items: Sequence[Item]
    ) -> dict[str, Any] | str:
        """Return a verdict ``{answers, words}`` for one reply, or the reason why there is none."""
        names = [item.name for item in items]
        try:
            async with asyncio.timeout(self._total_timeout):
                text = await self._complete(client, messages, items)
                try:
                    answers = read_verdict(text, names)
                except UnreadableError:
                    if self._max_calls is not None and self.counts["calls"] >= self._max_calls:
                        raise
                    self.counts.update(["calls", "asked again"])
                    text = await self._complete(client, asking_again(messages, items), items)
                    answers = read_verdict(text, names)
        except (_NoVerdictError, UnreadableError) as error:
            return str(error)
        except Exception as error:  # no failure of an endpoint may stop a run
            return _reason(error)
        words = (text.replace(secret, "[key]") if secret else text)[:_WORDS]
        return {"answers": answers, "words": words.encode("utf-8", "replace").decode()}

    async def _complete(self, client: Any, messages: list[dict[str, str]], items: Sequence[Item]) -> str:
        """Return the text of one answer; ask without a schema where the endpoint knows none."""
        import openai

        request = {"model": self.model, "messages": messages, **self._options}
        structured = {"response_format": schema_for(items)} if self._takes_schema else {}
        try:
            answer = await client.chat.completions.create(**request, **structured)
        except (openai.BadRequestError, openai.UnprocessableEntityError):
            if not structured:
                raise
            answer = await client.chat.completions.create(**request)
            self._takes_schema = False
        choice = answer.choices[0]
        if getattr(choice.message, "refusal", None) or choice.finish_reason == "content_filter":
            raise _NoVerdictError("refused")
        if not isinstance(choice.message.content, str):
            raise UnreadableError("unreadable")
        return choice.message.content

    def _warn(self, message: str) -> None:
        if not self._warned:
            self._warned = True
            _LOG.warning("%s", message)


def _reason(error: Exception) -> str:
    """Return a class of failure in a few words; never the error's text, which may quote a key or a reply."""
    import openai

    if isinstance(error, openai.APITimeoutError | TimeoutError):
        return "timeout"
    if isinstance(error, openai.APIStatusError):
        return f"http {error.status_code}"
    if isinstance(error, openai.APIConnectionError):
        return "no connection"
    if isinstance(error, openai.APIResponseValidationError | ValueError | TypeError | IndexError | AttributeError):
        return "unreadable"
    return type(error).__name__


def _is_verdict(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("answers"), dict) and isinstance(value.get("words"), str)


def _run(work: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any]:
    """Run to the end, also where an event loop is running already (a notebook)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()
