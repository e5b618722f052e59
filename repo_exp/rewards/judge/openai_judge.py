"""A judge behind any OpenAI-compatible endpoint: concurrent, cached, with a budget, and never fatal."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeGuard

from repo_exp.rewards.judge.breaker import Breaker
from repo_exp.rewards.judge.cache import VerdictCache
from repo_exp.rewards.judge.cache import address as content_key
from repo_exp.rewards.judge.client import bounded_client
from repo_exp.rewards.judge.endpoint import address, split
from repo_exp.rewards.judge.prompt import VERSION, asking_again, messages_for, schema_for
from repo_exp.rewards.judge.reasons import BUDGET, DOWN, NOT_CACHED, REMEDIES, NoVerdictError, reached, reason_of
from repo_exp.rewards.judge.session import Session
from repo_exp.rewards.judge.verdict import UnreadableError, read_verdict
from repo_exp.rewards.rubric import Item, Rubric
from repo_exp.types import Score, Trajectory

_LOG = logging.getLogger(__name__)
_WORDS = 4_000  # characters of an answer that are kept
_ABOUT_KEYS = frozenset({"http 401", "http 403", "http 404"})


class OpenAIJudge:
    """Asks an endpoint for a verdict on each response.

    Args:
        rubric: the questions.
        model: what the endpoint calls its model.
        base_url: the endpoint; ``None`` is the ``openai`` package's own default.
        api_key_env: NAME of the environment variable with the key. Local endpoints work without one.
        concurrency: how many requests are under way at once.
        timeout: seconds that one attempt may take.
        total_timeout: seconds that one response may take with all attempts; ``None`` is as many as three attempts.
        retries: further attempts after 429, 5xx, a timeout or a lost connection; ``retry-after`` is obeyed.
        max_calls: how many verdicts may be asked for in this object's life; ``None`` is no bound.
        temperature: of the judge's answer.
        max_tokens: of the judge's answer.
        hard: as in :meth:`Rubric.score`; verdicts are yes or no, so it makes no difference here.
        replay_only: answer from the cache alone, without a network.
        cache: the SQLite file that keeps verdicts; ``None`` keeps nothing.
        show_facts: let the judge see the facts of the prompt.
        breaker: stops asking an endpoint that is dead; None is one with the usual patience.

    Attributes:
        counts: "calls", "cache hits", "asked again", and "no score/<reason>".

    Raises:
        RewardError: ``base_url`` is no address, or holds a secret.
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
        breaker: Breaker | None = None,
    ) -> None:
        self.rubric = rubric
        self.model = model
        self.counts: Counter[str] = Counter()
        self._base_url, self._query = split(base_url)
        self._address = address(base_url)
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
        self._warned: set[str] = set()
        self._breaker = Breaker() if breaker is None else breaker
        self._session: Session | None = None
        self._lock = threading.Lock()
        self._begun: dict[str, Any] = {}  # key -> verdict, reason or the future of one

    @property
    def identity(self) -> dict[str, Any]:
        """Everything besides the rubric that can change a verdict."""
        return {"model": self.model, "address": self._address, "hard": self._hard, **self._options}

    def __repr__(self) -> str:
        return f"OpenAIJudge(model={self.model!r}, base_url={self._base_url!r})"

    def begin(self, trajectory: Trajectory) -> None:
        """Ask about a response without waiting, unless calls are counted: then the order of asking matters."""
        if self._replay_only or self._max_calls is not None:
            return
        key, prompt, items = self._question(trajectory)
        if items and key not in self._begun:
            kept = self._kept(key, items)
            self._begun[key] = self._ask_aside(key, prompt, items) if kept is None else kept

    def judge(self, trajectories: Sequence[Trajectory]) -> list[Score]:
        """Return one score for each response. Whatever goes wrong is ``Score.none`` with a short reason."""
        questions = [self._question(trajectory) for trajectory in trajectories]
        outcomes: dict[str, Any] = {}
        try:
            for key, _, items in questions:
                if items and key not in outcomes:
                    begun = self._begun.pop(key, None)
                    outcomes[key] = self._kept(key, items) if begun is None else begun
            # in order, so that a budget is spent the same way each time, whoever answers first
            open_keys = [key for key, outcome in outcomes.items() if outcome is None]
            left = len(open_keys) if self._max_calls is None else max(0, self._max_calls - self.counts["calls"])
            outcomes |= dict.fromkeys(open_keys[left:], BUDGET)
            self._count("calls", 0 if self._max_calls is None else len(open_keys[:left]))
            asked = {key: (prompt, items) for key, prompt, items in questions if key in open_keys[:left]}
            outcomes |= {key: self._ask_aside(key, *question) for key, question in asked.items()}
            self.counts["cache hits"] += sum(isinstance(outcomes.get(key), dict) for key, _, _ in questions)
            outcomes = {
                key: outcome.result() if isinstance(outcome, Future) else outcome for key, outcome in outcomes.items()
            }
        except BaseException:  # somebody stopped the program: do not leave calls under way
            self._begun.clear()
            raise
        finally:
            if not self._begun and self._session is not None:
                self._session.close()
                self._session = None
        self._explain({outcome for outcome in outcomes.values() if isinstance(outcome, str)})
        return [self._score(outcomes.get(key), items) for key, _, items in questions]

    def _score(self, outcome: Any, items: Sequence[Item]) -> Score:
        if not items:
            self.counts["no score/no question applies"] += 1
            return Score.none("no question applies", applies=False)
        if isinstance(outcome, str):
            self.counts[f"no score/{outcome}"] += 1
            return Score.none(outcome)
        answers = {item.name: float(bool(outcome["answers"].get(item.name))) for item in items}
        return self.rubric.score(answers, hard=self._hard, words=outcome["words"])

    def _question(self, trajectory: Trajectory) -> tuple[str, list[dict[str, str]], Sequence[Item]]:
        """Return the address of what is asked about a response, the messages, and the questions."""
        items = self.rubric.applicable(trajectory.prompt)
        messages = messages_for(trajectory, items, show_facts=self._show_facts)
        # Points are not part of it: they can be changed without asking anybody again.
        questions = [[item.name, item.question] for item in items]
        return content_key([VERSION, self._address, self.model, self._options, questions, messages]), messages, items

    def _kept(self, key: str, items: Sequence[Item]) -> dict[str, Any] | str | None:
        """Return the verdict that is kept, why there can be none, or None where somebody has to be asked."""
        kept = self._cache.get([key]).get(key)
        if _is_verdict(kept) and all(item.name in kept["answers"] for item in items):
            return kept
        return NOT_CACHED if self._replay_only else None

    def _ask_aside(self, key: str, messages: list[dict[str, str]], items: Sequence[Item]) -> Future[Any]:
        """Ask in another thread; return the future of a verdict, or of the reason why there is none."""
        if self._session is None:
            self._session = Session(self._concurrency)
        if self._max_calls is None:  # else they are counted already
            self._count("calls", 1)
        return self._session.submit(self._asked(self._session, key, messages, items))

    async def _asked(
        self, session: Session, key: str, messages: list[dict[str, str]], items: Sequence[Item]
    ) -> dict[str, Any] | str:
        """Return a verdict, which is kept, or the reason why there is none, which is not."""
        async with session.gate:
            if not self._breaker.allows():
                self._count("calls", -1)
                return DOWN
            secret = (os.environ.get(self._api_key_env) or "").strip()
            try:
                session.client = session.client or self._client(secret)
            except NoVerdictError as error:
                return str(error)
            outcome = await self._ask(session.client, secret, messages, items)
        self._breaker.note(reached=reached(outcome))
        if not isinstance(outcome, str):
            self._cache.put(key, outcome)
        return outcome

    def _client(self, key: str) -> Any:
        if not (key.isascii() and key.isprintable()):  # no header can carry it; errors further down would print it
            self._warn(f"the key in the environment variable {self._api_key_env} has characters that no key has")
            raise NoVerdictError("unusable key")
        try:
            return bounded_client(
                key=key, base_url=self._base_url, query=self._query, timeout=self._timeout, retries=self._retries
            )
        except Exception as error:  # the text of such errors may hold the key
            self._warn(
                f"the judge's client cannot be made ({type(error).__name__}): is 'openai' installed, and are "
                "SSL_CERT_FILE and the proxies of the environment, if they are set, what they should be?"
            )
            raise NoVerdictError(f"no client ({type(error).__name__})") from None

    def _explain(self, found: set[str]) -> None:
        """Warn once of each thing that the person at the keyboard can mend."""
        state = "set" if (os.environ.get(self._api_key_env) or "").strip() else "not set"
        for reason in sorted(found & REMEDIES.keys()):
            key = f"; the key is that of {self._api_key_env} (which is {state})" if reason in _ABOUT_KEYS else ""
            self._warn(f"the judge's endpoint gave no verdict, {reason}: {REMEDIES[reason]}{key}")

    async def _ask(
        self, client: Any, secret: str, messages: list[dict[str, str]], items: Sequence[Item]
    ) -> dict[str, Any] | str:
        """Return a verdict ``{answers, words}`` for one response, or the reason why there is none."""
        names = [item.name for item in items]
        try:
            async with asyncio.timeout(self._total_timeout):
                text = await self._complete(client, messages, items)
                try:
                    answers = read_verdict(text, names)
                except UnreadableError:
                    if self._max_calls is not None and self.counts["calls"] >= self._max_calls:
                        raise
                    self._count("calls", 1)
                    self._count("asked again", 1)
                    text = await self._complete(client, asking_again(messages, items), items)
                    answers = read_verdict(text, names)
        except UnreadableError as error:
            return str(error)
        except Exception as error:  # no failure of an endpoint may stop a run
            return reason_of(error)
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
            raise NoVerdictError("refused")
        if not isinstance(choice.message.content, str):
            raise UnreadableError("unreadable")
        return choice.message.content

    def _count(self, name: str, number: int) -> None:
        with self._lock:
            self.counts[name] += number

    def _warn(self, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            _LOG.warning("%s", message)


def _is_verdict(value: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict) and isinstance(value.get("answers"), dict) and isinstance(value.get("words"), str)
