"""Responses kept by update and gathered into one file, and input records as the JSON of an address."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field

import pytest

from repo_exp.config.schema import Correction
from repo_exp.stages.inputs import as_json
from repo_exp.stages.rollouts import PARTS, ROLLOUTS, gather, unreadable, write


def rows(*values: tuple[int, float]) -> list[dict]:
    return [{"response": "é\ud800\n", "tokens": tokens, "total": total} for tokens, total in values]


def test_updates_are_gathered_in_their_order_and_tokens_with_a_total_are_counted(tmp_path) -> None:
    """Eleven updates, written backwards: the tenth does not come before the second."""
    for update in reversed(range(11)):
        write(tmp_path, update, rows((update, 1.0), (100, math.nan)))
    assert gather(tmp_path, 11) == (55 + 1100, 55)
    lines = [json.loads(line) for line in (tmp_path / ROLLOUTS).read_text("utf-8").split("\n")[:-1]]
    assert [line["tokens"] for line in lines] == [n for update in range(11) for n in (update, 100)]
    assert {line["total"] for line in lines} == {1.0, None} and lines[0]["response"] == "é\ud800\n"
    assert len(list((tmp_path / PARTS).iterdir())) == 11  # a run that is cut off here needs them again


def test_an_update_that_is_done_again_replaces_its_own_and_later_ones_are_left_out(tmp_path) -> None:
    for update in range(3):
        write(tmp_path, update, rows((1, 1.0)))
    write(tmp_path, 1, rows((20, 0.0), (30, 0.0)))
    assert gather(tmp_path, 2) == (51, 51)
    assert gather(tmp_path, 0) == (0, 0) and (tmp_path / ROLLOUTS).read_bytes() == b""


@pytest.mark.parametrize("harm", ["", "{", "[]\n", '{"tokens": 3}\n', '{"total": 3}\n', "gone"])
def test_an_update_that_cannot_be_read_is_named_from_one(tmp_path, harm) -> None:
    for update in range(3):
        write(tmp_path, update, rows((4, 1.0)))
    assert unreadable(tmp_path, 3) == ""
    part = tmp_path / PARTS / "000001.jsonl"
    part.unlink() if harm == "gone" else part.write_text(part.read_text("utf-8", "surrogatepass") + harm)
    assert unreadable(tmp_path, 3) == ("" if not harm else "the responses of update 2 cannot be read")
    assert unreadable(tmp_path, 1) == ""


def test_a_gathering_that_fails_leaves_the_file_of_before(tmp_path) -> None:
    write(tmp_path, 0, rows((4, 1.0)))
    gather(tmp_path, 1)
    before = (tmp_path / ROLLOUTS).read_bytes()
    with pytest.raises(FileNotFoundError):
        gather(tmp_path, 2)
    assert (tmp_path / ROLLOUTS).read_bytes() == before and not list(tmp_path.glob("*.tmp"))


@dataclass(frozen=True)
class Weights:
    """A value that has a fingerprint, and a place that no address may contain."""

    place: str
    fingerprint: dict = field(default_factory=lambda: {"sha256": ("ab", 1)})


@dataclass(frozen=True)
class Inputs:
    weights: Weights
    rates: tuple[float, ...]
    correction: Correction
    nothing: None = None


def test_what_has_a_fingerprint_is_represented_by_it_and_never_by_its_place() -> None:
    record = Inputs(Weights("/home/somebody"), (0.1, 2), Correction(kind="masked", cap=2.0))
    expected = {"weights": {"sha256": ["ab", 1]}, "rates": [0.1, 2], "correction": {"kind": "masked", "cap": 2.0},
                "nothing": None}  # fmt: skip
    assert as_json(record) == expected
    assert as_json({"a": [record]}) == {"a": [expected]}
    assert as_json(Inputs(Weights("/elsewhere"), (0.1, 2), record.correction)) == expected


@pytest.mark.parametrize("value", [{1, 2}, object(), Weights, b"bytes", lambda: None])
def test_what_no_address_could_be_computed_from_is_refused(value) -> None:
    with pytest.raises(TypeError, match="neither JSON nor has a fingerprint"):
        as_json({"x": [value]})


def test_keys_of_an_address_are_texts() -> None:
    assert as_json({1: True, None: "x"}) == {"1": True, "None": "x"}
