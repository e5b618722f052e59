"""The judge against endpoints that are dead, endless, huge, elsewhere or not what they say; and what never leaks."""

from __future__ import annotations

import gzip
import logging
import socket
import ssl
import threading
import time

import pytest

from repo_exp.errors import RewardError
from repo_exp.rewards.judge.breaker import Breaker
from repo_exp.rewards.judge.client import MOST_BYTES
from repo_exp.rewards.judge.openai_judge import OpenAIJudge
from repo_exp.rewards.judge.reasons import may_pass, reason_of
from repo_exp.rewards.rubric import Item, Rubric

RUBRIC = Rubric((Item("polite", "", "Is it polite?", 20.0), Item("rude", "", "Is it rude?", -40.0)))


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.02)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("JUDGE_KEY", "sk-very-secret-key-1234567890")


@pytest.fixture
def make_judge(endpoint):
    def make(**options) -> OpenAIJudge:
        settings = {"model": "m", "base_url": endpoint.url, "api_key_env": "JUDGE_KEY", "timeout": 5.0, "retries": 0}
        return OpenAIJudge(RUBRIC, **(settings | options))

    return make


@pytest.fixture
def raw_server():
    """Return a function: a function of a connection -> the address of a server that hands each of them to it."""
    sockets = []

    def serve(handle) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        sockets.append(listener)

        def accept():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=talk, args=(connection,), daemon=True).start()

        def talk(connection):
            with connection:
                try:
                    connection.recv(65536)
                    handle(connection)
                except OSError:
                    pass

        threading.Thread(target=accept, daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}/v1"

    yield serve
    for listener in sockets:
        listener.close()


def test_a_dead_endpoint_is_not_asked_about_every_response(endpoint, make_judge, make_response, verdict_on):
    now = [0.0]
    endpoint.answer = lambda request, number: (503, {}, b"{}")
    judge = make_judge(concurrency=1, breaker=Breaker(failures=3, pause=30.0, clock=lambda: now[0]))
    scores = judge.judge([make_response(f"response {i}") for i in range(10)])
    assert [score.reason for score in scores] == ["http 503"] * 3 + ["endpoint down"] * 7
    assert len(endpoint.requests) == 3 and judge.counts["calls"] == 3
    endpoint.answer = lambda request, number: verdict_on(request, "polite")
    now[0] = 31.0  # repaired, and asked again
    assert [score.value for score in judge.judge([make_response("response 0"), make_response("response 1")])] == [
        20.0,
        20.0,
    ]


def test_a_byte_now_and_then_does_not_go_on_for_ever(raw_server, make_judge, make_response):
    def drip(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{")
        while True:
            connection.sendall(b" ")
            time.sleep(0.05)

    start = time.monotonic()
    (score,) = make_judge(base_url=raw_server(drip), timeout=0.4).judge([make_response("a")])
    assert score.reason == "timeout"
    assert time.monotonic() - start < 2.0


def test_headers_that_drip_end_too(raw_server, make_judge, make_response):
    def drip(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while True:
            connection.sendall(b"x: y\r\n")
            time.sleep(0.05)

    start = time.monotonic()
    (score,) = make_judge(base_url=raw_server(drip), timeout=0.4).judge([make_response("a")])
    assert score.missing
    assert time.monotonic() - start < 2.0


def test_an_answer_without_end_is_cut_off(raw_server, make_judge, make_response):
    sent = []

    def pour(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n")
        while True:
            sent.append(connection.send(b"x" * 65536))

    (score,) = make_judge(base_url=raw_server(pour)).judge([make_response("a")])
    assert score.reason == "answer too long"
    assert sum(sent) < 30 * MOST_BYTES  # what sockets hold besides


def test_what_is_compressed_without_being_asked_for_is_not_unpacked(endpoint, make_judge, make_response):
    bomb = gzip.compress(b" " * 50_000_000)
    endpoint.answer = lambda request, number: (200, {"content-encoding": "gzip"}, bomb)
    (score,) = make_judge().judge([make_response("a")])
    assert score.reason == "answer too long"
    assert endpoint.headers[0]["accept-encoding"] == "identity"


def test_neither_key_nor_response_follow_a_redirect_to_another_host(
    endpoint, make_judge, make_response, raw_server, caplog
):
    visited = []
    elsewhere = raw_server(lambda connection: visited.append(1))
    endpoint.answer = lambda request, number: (307, {"location": f"{elsewhere}/chat/completions"}, b"")
    (score,) = make_judge().judge([make_response("a")])
    assert score.reason == "redirected to another host"
    assert not visited
    assert "judge.base_url has to be the address itself" in caplog.text


def test_a_redirect_on_the_same_host_is_followed(endpoint, make_judge, make_response, verdict_on):
    endpoint.answer = lambda request, number: (
        (307, {"location": "/v2/chat/completions"}, b"") if number == 1 else verdict_on(request, "polite")
    )
    assert make_judge().judge([make_response("a")])[0].value == 20.0


def test_tls_trouble_is_named_with_what_would_work(endpoint, make_judge, make_response, caplog):
    (score,) = make_judge(base_url=endpoint.url.replace("http:", "https:")).judge([make_response("a")])
    assert score.reason == "TLS failed"
    assert "http:// instead of https://" in caplog.text


@pytest.mark.parametrize(
    ("code", "reason"),
    [(18, "certificate not trusted"), (62, "certificate of another host"), (10, "certificate expired")],
)
def test_a_certificate_is_said_to_be_what_it_is(code, reason):
    inner = ssl.SSLCertVerificationError("secret.example.org: no")
    inner.verify_code = code
    outer = ConnectionError("x")
    outer.__cause__ = inner
    assert reason_of(outer) == reason


def test_a_query_in_the_address_goes_with_every_request(make_judge, make_response, raw_server):
    lines = []

    def handle(connection):
        connection.sendall(b"HTTP/1.1 500 no\r\ncontent-length: 0\r\n\r\n")

    listener = socket.create_server(("127.0.0.1", 0))

    def accept():
        connection, _ = listener.accept()
        with connection:
            lines.append(connection.recv(65536).split(b"\r\n")[0].decode())
            handle(connection)

    threading.Thread(target=accept, daemon=True).start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/deployments/x?api-version=2025-01-01&b=c d".replace(" ", "%20")
    make_judge(base_url=url).judge([make_response("a")])
    listener.close()
    assert lines[0].startswith("POST /deployments/x/chat/completions?api-version=2025-01-01&b=c")


@pytest.mark.parametrize("url", ["http://user:hunter2@127.0.0.1/v1", "http://127.0.0.1/v1?key=hunter2", "localhost:80"])
def test_an_address_with_a_secret_is_refused_and_not_repeated(url):
    with pytest.raises(RewardError) as caught:
        OpenAIJudge(RUBRIC, model="m", base_url=url)
    assert "hunter2" not in str(caught.value) and "judge.base_url" in str(caught.value)


def test_verdicts_of_one_endpoint_are_not_those_of_another(endpoint, make_judge, make_response, tmp_path):
    make_judge(cache=tmp_path / "c").judge([make_response("a")])
    other = make_judge(cache=tmp_path / "c", base_url=endpoint.url + "/other", replay_only=True)
    assert other.judge([make_response("a")])[0].reason == "not in the cache"
    same = make_judge(cache=tmp_path / "c", base_url=endpoint.url + "/", replay_only=True)
    assert not same.judge([make_response("a")])[0].missing


def test_a_response_that_was_begun_is_asked_about_once_with_the_same_score(
    endpoint, make_judge, make_response, verdict_on
):
    arrived = threading.Event()

    def answer(request, number):
        arrived.set()
        return verdict_on(request, "polite")

    endpoint.answer = answer
    judge = make_judge()
    judge.begin(make_response("a"))
    assert arrived.wait(5)  # asked before anybody waits for it
    scores = judge.judge([make_response("a"), make_response("b")])
    assert [score.value for score in scores] == [20.0, 20.0]
    assert len(endpoint.requests) == 2
    assert not [thread for thread in threading.enumerate() if thread.name == "judge"]


def test_where_calls_are_counted_nobody_is_asked_out_of_order(endpoint, make_judge, make_response):
    judge = make_judge(max_calls=1)
    judge.begin(make_response("b"))
    assert [score.reason for score in judge.judge([make_response("a"), make_response("b")])] == ["", "budget"]


def test_failures_are_not_kept(endpoint, make_judge, make_response, tmp_path, verdict_on):
    endpoint.answer = lambda request, number: (500, {}, b"{}")
    assert make_judge(cache=tmp_path / "c").judge([make_response("a")])[0].missing
    endpoint.answer = lambda request, number: verdict_on(request, "polite")
    assert make_judge(cache=tmp_path / "c").judge([make_response("a")])[0].value == 20.0


def test_what_may_pass_is_told_from_what_will_not():
    assert all(map(may_pass, ("timeout", "http 500", "http 401", "budget", "not in the cache", "endpoint down")))
    assert not any(map(may_pass, ("refused", "unreadable", "contradictory", "no question applies")))


def test_nothing_of_a_key_is_logged(endpoint, make_judge, make_response, caplog):
    endpoint.answer = lambda request, number: (401, {}, b'{"error": {"message": "sk-very-secret-key-1234567890"}}')
    with caplog.at_level(logging.INFO):
        make_judge().judge([make_response("a")])
    assert "sk-very" not in caplog.text and "JUDGE_KEY (which is set)" in caplog.text
