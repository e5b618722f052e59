"""Artifacts: there whole or not at all, found again by what went into them."""

import json
import threading

import pytest

from repo_exp.plain import plain
from repo_exp.stages.store import Store, write_json


def maker(calls, text="made"):
    def build(folder):
        calls.append(folder)
        (folder / "sub").mkdir(exist_ok=True)
        (folder / "sub" / "it.txt").write_text(text)

    return build


def make(store, calls, *, inputs=None, parents=None, version=1, build=None):
    return store.make(
        "sft", version=version, inputs=inputs or {"lr": 1e-4}, parents=parents or {}, build=build or maker(calls)
    )


def test_the_same_inputs_are_made_once(tmp_path) -> None:
    store, calls = Store(tmp_path), []
    first, again = make(store, calls), make(store, calls)
    assert len(calls) == 1 and not first.reused and again.reused
    assert first.address == again.address and (again.folder / "sub" / "it.txt").read_text() == "made"


def test_inputs_parents_and_version_all_decide_the_address(tmp_path) -> None:
    store, calls = Store(tmp_path), []
    base = make(store, calls)
    others = [
        make(store, calls, inputs={"lr": 2e-4}),
        make(store, calls, version=2),
        make(store, calls, parents={"data": base}),
    ]
    assert len({a.address for a in (base, *others)}) == 4
    assert store.address("sft", 1, {"a": 1, "b": 2}, {}) == store.address("sft", 1, {"b": 2, "a": 1}, {})


def test_a_build_that_fails_leaves_no_artifact_and_the_next_one_goes_on_from_its_work(tmp_path) -> None:
    store, calls = Store(tmp_path), []

    def dies(folder):
        (folder / "last.ckpt").write_text("half")
        raise RuntimeError("the power went")

    with pytest.raises(RuntimeError):
        make(store, calls, build=dies)
    assert list(store.all()) == []

    def goes_on(folder):
        assert (folder / "last.ckpt").read_text() == "half"
        (folder / "done.txt").write_text("x")

    artifact = make(store, calls, build=goes_on)
    assert sorted(p.name for p in artifact.folder.iterdir()) == ["artifact.json", "done.txt"]


@pytest.mark.parametrize("harm", ["cut", "gone", "record"])
def test_a_damaged_artifact_is_moved_aside_and_made_anew(tmp_path, harm, caplog) -> None:
    store, calls = Store(tmp_path), []
    file = make(store, calls).folder / "sub" / "it.txt"
    if harm == "cut":
        file.write_text("mad")
    elif harm == "gone":
        file.unlink()
    else:
        (file.parents[1] / "artifact.json").write_text("{")
    again = make(store, calls)
    assert len(calls) == 2 and not again.reused and "damaged" in caplog.text
    assert len(list((tmp_path / "sft").glob("*.damaged-*"))) == 1


def test_two_at_once_make_it_once(tmp_path) -> None:
    calls, found = [], []
    threads = [threading.Thread(target=lambda: found.append(make(Store(tmp_path), calls))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1 and len({a.address for a in found}) == 1


def test_the_record_says_what_it_was_made_from(tmp_path) -> None:
    store, calls = Store(tmp_path), []
    base = make(store, calls)
    child = make(store, calls, parents={"data": base}, inputs={"x": 1})
    record = json.loads((child.folder / "artifact.json").read_text())
    assert record["parents"] == {"data": f"sft/{base.address}"} and record["inputs"] == {"x": 1}
    assert record["files"]["sub/it.txt"]["bytes"] == 4
    assert {a.address for a in store.all()} == {base.address, child.address}


def test_json_is_written_whole_and_without_nan(tmp_path) -> None:
    write_json(tmp_path / "a.json", {"a": float("nan"), "b": [1, float("inf")], "c": (2.5, None)})
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": None, "b": [1, None], "c": [2.5, None]}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
    assert plain(0.5) == 0.5
