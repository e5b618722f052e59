"""Artifacts: there whole or not at all, found again by what went into them."""

import json
import math
import threading

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from repo_exp.errors import NotFiniteError, StoreError
from repo_exp.plain import plain
from repo_exp.stages.digests import digest
from repo_exp.stages.store import Store, address, write_json


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
    one, other = ({"a": 1, "b": 2}, {"b": 2, "a": 1})
    assert address("sft", version=1, inputs=one, parents={}) == address("sft", version=1, inputs=other, parents={})


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


def adapter(value=1.0):
    """Return what makes an artifact with weights of this value."""

    def build(folder):
        save_file({"good": torch.ones(2), "lora_B": torch.tensor([1.0, value])}, folder / "adapter_model.safetensors")

    return build


def poison(artifact, value=math.nan) -> None:
    """Make an artifact what one of an earlier version may be: whole by its digests, and not finite."""
    adapter(value)(artifact.folder)
    path = artifact.folder / "artifact.json"
    record = json.loads(path.read_text())
    weights = artifact.folder / "adapter_model.safetensors"
    record["files"][weights.name] = {"bytes": weights.stat().st_size, "sha256": digest(weights)}
    path.write_text(json.dumps(record))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_weights_that_are_not_finite_do_not_enter_the_store(tmp_path, value) -> None:
    store = Store(tmp_path)
    with pytest.raises(NotFiniteError, match=r"adapter_model.safetensors: not finite: lora_B"):
        make(store, [], build=adapter(value))
    assert list(store.all()) == [] and not list(tmp_path.glob("sft/*"))
    assert not make(store, [], build=adapter()).reused


def test_a_poisoned_artifact_of_before_is_set_aside_with_all_that_was_made_from_it(tmp_path, caplog) -> None:
    """One NaN poisons no store for good: the way out is taken, and said."""
    store = Store(tmp_path)
    base = make(store, [], build=adapter())
    other = make(store, [], inputs={"lr": 2.0}, build=adapter())
    child = make(store, [], parents={"sft": base}, build=adapter())
    grandchild = make(store, [], parents={"before": child}, build=adapter())
    assert make(store, [], build=adapter()).reused
    poison(base)
    again = make(store, [], build=adapter())
    assert not again.reused and again.folder == base.folder
    assert "not finite (adapter_model.safetensors)" in caplog.text
    assert {a.address for a in store.all() if a.folder.name == a.address} == {again.address, other.address}
    for gone in (child, grandchild):
        assert not gone.folder.exists() and f"sft/{gone.address}" in caplog.text


def test_a_weights_file_that_is_no_safetensors_file_does_not_enter_either(tmp_path) -> None:
    with pytest.raises(NotFiniteError, match="cannot be read"):
        make(Store(tmp_path), [], build=lambda folder: (folder / "a.safetensors").write_bytes(b"x") and None)


def test_json_with_a_nan_is_not_read(tmp_path) -> None:
    artifact = make(Store(tmp_path), [], build=lambda folder: (folder / "it.json").write_text('{"mean": NaN}') and None)
    with pytest.raises(StoreError, match=r"it.json: NaN where a number has to be\n    remove "):
        artifact.read("it.json")


def test_numbers_of_every_library_are_null_where_they_are_not_finite() -> None:
    assert plain([np.float32("nan"), np.float64("inf"), np.float32(0.5), np.bool_(True) is np.True_, 3]) == [
        None, None, 0.5, True, 3,
    ]  # fmt: skip
