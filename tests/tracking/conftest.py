"""W&B without W&B: a reader of the file that an offline run leaves, and a server for the few calls of an online one."""

from __future__ import annotations

import gzip
import json
import re
import struct
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

BLOCK = 32 * 1024
HEADER = 7
WHOLE, FIRST, MIDDLE, LAST = 1, 2, 3, 4


def _payloads(path: Path) -> Iterator[bytes]:
    """Records of a log in blocks of 32 KiB: each chunk has a checksum, a length and which part of a record it is."""
    data = path.read_bytes()
    assert data[:4] == b":W&B"
    place, record = HEADER, b""
    while place + HEADER <= len(data):
        left = BLOCK - place % BLOCK
        if left < HEADER:  # a header never crosses into the next block
            place += left
            continue
        _, length, part = struct.unpack_from("<IHB", data, place)
        chunk = data[place + HEADER : place + HEADER + length]
        place += HEADER + length
        if place > len(data):  # half a record: it is being written
            return
        record = chunk if part in (WHOLE, FIRST) else record + chunk
        if part in (WHOLE, LAST):
            yield record


def _items(items) -> dict:
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}


@pytest.fixture
def read_offline():
    """Return a function: run folder -> what its only offline W&B run holds."""
    from wandb.proto import wandb_internal_pb2

    def read(folder: Path) -> SimpleNamespace:
        (path,) = Path(folder).glob("wandb/offline-run-*/*.wandb")
        # W&B's own process writes the file, and may do so some milliseconds after finish() has returned.
        patience = time.monotonic() + 10
        while (seen := parse(path)).exit is None and time.monotonic() < patience:
            time.sleep(0.02)
        return seen

    def parse(path: Path) -> SimpleNamespace:
        seen = SimpleNamespace(
            config={}, history=[], summary={}, axes={}, run=None, exit=None, bytes=path.read_bytes(), folder=path.parent
        )
        for payload in _payloads(path):
            record = wandb_internal_pb2.Record.FromString(payload)
            kind = record.WhichOneof("record_type")
            if kind == "run":
                seen.run = record.run
                seen.config |= _items(record.run.config.update)
            elif kind == "config":
                seen.config |= _items(record.config.update)
            elif kind == "history":
                seen.history.append(_items(record.history.item))
            elif kind == "summary":
                seen.summary |= _items(record.summary.update)
            elif kind == "metric":
                seen.axes[record.metric.name or record.metric.glob_name] = record.metric.step_metric
            elif kind == "exit":
                seen.exit = record.exit.exit_code
        return seen

    return read


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def _body(self) -> bytes:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

    def _answer(self, value: object, status: int = 200) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self._answer({})

    def do_PUT(self) -> None:
        self._body()
        self._answer({})

    def do_POST(self) -> None:
        body, seen = self._body(), self.server.seen
        if self.path == "/graphql":
            self._answer({"data": self._graphql(json.loads(body))})
        elif self.path.endswith("/file_stream"):
            stream = json.loads(body)
            for line in (stream.get("files") or {}).get("wandb-history.jsonl", {}).get("content", []):
                seen.history.append(json.loads(line))
            if stream.get("complete"):
                seen.exit = stream["exitcode"]
            self._answer({"exitcode": None, "limits": {}})
        else:
            self._answer({}, 404)

    def _graphql(self, request: dict) -> dict:
        query, values = request["query"], request.get("variables") or {}
        if "upsertBucket" in query:
            self.server.seen.run |= {key: value for key, value in values.items() if value is not None}
            entity = {"id": "e", "name": "somebody"}
            return {
                "upsertBucket": {
                    "inserted": True,
                    "bucket": {
                        "id": "1",
                        "name": values.get("name"),
                        "displayName": values.get("displayName"),
                        "description": "",
                        "config": "{}",
                        "sweepName": None,
                        "historyLineCount": 0,
                        "project": {"id": "p", "name": values.get("project"), "entity": entity},
                    },
                }
            }
        if "createRunFiles" in query:
            address = f"http://127.0.0.1:{self.server.server_port}/upload/"
            names = values.get("files") or []
            return {
                "createRunFiles": {
                    "runID": "1",
                    "uploadHeaders": [],
                    "files": [{"name": name, "uploadUrl": address + name} for name in names],
                }
            }
        if re.search(r"\bviewer\b", query):
            return {
                "viewer": {
                    "id": "1",
                    "entity": "somebody",
                    "username": "somebody",
                    "flags": "{}",
                    "email": "",
                    "admin": False,
                    "teams": {"edges": []},
                },
                "serverInfo": {
                    "features": [],
                    "cliVersionInfo": {"max_cli_version": "1.0"},
                    "latestLocalVersionInfo": None,
                },
            }
        return {}


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """A client that goes away without a word is not news."""


@pytest.fixture
def wandb_server():
    """A server on the loopback that remembers one run: ``.url``, ``.run``, ``.history``, ``.exit``."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.seen = SimpleNamespace(url=f"http://127.0.0.1:{server.server_port}", run={}, history=[], exit=None)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.seen
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def no_login(monkeypatch, tmp_path_factory):
    """No test sees the W&B settings of whoever runs it."""
    import os

    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path_factory.mktemp("home") / "none"))
