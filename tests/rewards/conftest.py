"""What the tests of the rewards share: responses, sources, a folder of declarations, and a loopback judge."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from repo_exp.types import Message, Prompt, Score, Trajectory


@pytest.fixture(scope="session")
def conf() -> Path:
    """The folder ``conf`` of the project."""
    return Path(__file__).parents[2] / "conf"


@pytest.fixture(scope="session")
def hotel_facts() -> dict[str, Any]:
    """The facts of a hotel prompt with one ticket: 450 now, 390 net, 380 wanted, 372 elsewhere."""
    ticket = {
        "hotel": "Sea View",
        "city": "Lisbon",
        "room": "twin",
        "currency": "EUR",
        "selling_price": 450,
        "net_price": 390,
        "commission_percent": 13,
        "target_price": 380,
        "evidence": [{"source": "Booking", "price": 372}],
    }
    return {
        "tickets": [ticket],
        "stage": "persuade",
        "last_offer": None,
        "hotel_complains": False,
        "hotel_silent": False,
        "mood": "calm",
        "language": "en",
    }


@pytest.fixture(scope="session")
def make_response() -> Callable[..., Trajectory]:
    """Return a function: text, facts, (role, content)... -> response."""

    def make(text: str, facts: dict | None = None, *history: tuple[str, str], finished: bool = True) -> Trajectory:
        turns = tuple(Message(role, content) for role, content in history)
        return Trajectory.single(Prompt("c", turns, facts or {}), text, finished, tokens=len(text.split()))

    return make


@pytest.fixture(scope="session")
def worth() -> Callable[..., dict[str, Score]]:
    """Return a function: points by source -> sources; NaN is a source that was asked and gave no score."""

    def make(model: float | None = None, judge: float | None = None, rules: float | None = None) -> dict[str, Score]:
        given = {"model": model, "judge": judge, "rules": rules}
        return {
            name: Score.none("timeout") if math.isnan(value) else Score(value)
            for name, value in given.items()
            if value is not None
        }

    return make


@pytest.fixture
def declare(tmp_path: Path) -> Callable[..., Path]:
    """Return a function: name=YAML text... -> folder. A comment is put in front where there is none."""

    def write(**files: str) -> Path:
        for name, text in files.items():
            text = text if text.startswith("#") else f"# what it is for\n{text}"
            (tmp_path / f"{name}.yaml").write_text(text, "utf-8")
        return tmp_path

    return write


class Endpoint:
    """A real HTTP server on the loopback that plays an OpenAI-compatible endpoint.

    ``answer(request, number) -> str | tuple[status, headers, body] | float | None`` decides on each request:
    a text is the model's message, a tuple a bare response, a float hangs that many seconds, None hangs up.
    """

    def __init__(self) -> None:
        self.answer: Callable[[dict, int], Any] = lambda request, number: verdict(request)
        self.requests: list[dict] = []
        self.headers: list[dict[str, str]] = []
        self.at: list[float] = []
        self.in_flight = self.most_in_flight = 0
        self._lock = threading.Lock()
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                endpoint._serve(self)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"
        self._thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        request = json.loads(handler.rfile.read(int(handler.headers["content-length"])))
        with self._lock:
            self.requests.append(request)
            self.headers.append({name.lower(): value for name, value in handler.headers.items()})
            self.at.append(time.monotonic())
            number = len(self.requests)
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            outcome = self.answer(request, number)
            if isinstance(outcome, float):
                time.sleep(outcome)
                outcome = None
            if outcome is None:
                handler.connection.close()
                return
            status, headers, body = outcome if isinstance(outcome, tuple) else (200, {}, completion(outcome))
            handler.send_response(status)
            for name, value in {"content-type": "application/json", **headers}.items():
                handler.send_header(name, value)
            handler.send_header("content-length", str(len(body)))
            handler.end_headers()
            handler.wfile.write(body)
        except OSError:
            pass  # the client has given up
        finally:
            with self._lock:
                self.in_flight -= 1

    def close(self) -> None:
        """Stop listening."""
        self.server.shutdown()
        self.server.server_close()


def completion(text: str, **message: Any) -> bytes:
    """Return the body of a chat completion."""
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text, **message}}
    return json.dumps(
        {"id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
    ).encode()


def asked_items(request: dict) -> list[str]:
    """Return the names of the questions in a request."""
    lines = request["messages"][-1]["content"].split("Questions about the reply:\n")[1].split("\n\n")[0]
    return [line[2:].split(":")[0] for line in lines.splitlines()]


def verdict(request: dict, *yes: str, **changes: Any) -> str:
    """Return a verdict on what was asked: yes for the items in ``yes``, no for the others."""
    answers: dict[str, Any] = {
        name: {"reason": "so it seems", "answer": "yes" if name in yes else "no"} for name in asked_items(request)
    }
    return json.dumps({name: value for name, value in (answers | changes).items() if value is not None})


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    """A loopback endpoint that answers every question with no."""
    server = Endpoint()
    yield server
    server.close()


@pytest.fixture(scope="session")
def verdict_on() -> Callable[..., str]:
    """The function ``verdict``."""
    return verdict


@pytest.fixture(scope="session")
def completion_of() -> Callable[..., bytes]:
    """The function ``completion``."""
    return completion
