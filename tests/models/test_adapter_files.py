"""A role on disk: what is written is read back, and what is broken is refused."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from repo_exp.errors import ModelError, WriteError
from repo_exp.models.adapter_files import ADAPTER, CONFIG, HEAD


def same(left: dict, right: dict) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def rewrite(path, change) -> None:
    weights = load_file(path)
    change(weights)
    save_file(weights, path)


@pytest.mark.parametrize("role", ["policy", "reward"])
def test_a_role_is_read_back_bit_for_bit(tiny, tmp_path, role) -> None:
    backbone, other = tiny(role), tiny()
    backbone.save(role, tmp_path)
    other.load(role, tmp_path)
    assert same(backbone.weights_of(role), other.weights_of(role))
    files = {ADAPTER, CONFIG, HEAD} if role == "reward" else {ADAPTER, CONFIG}
    assert {path.name for path in tmp_path.iterdir()} == files


def test_the_same_role_gives_the_same_bytes(tiny, tmp_path) -> None:
    for name in ("a", "b"):
        tiny("value").save("value", tmp_path / name)
    for file in (ADAPTER, CONFIG, HEAD):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    assert json.loads((tmp_path / "a" / CONFIG).read_text())["target_modules"][0] == "down_proj", "sorted"


def test_names_of_weights_are_pefts_and_know_no_role(tiny, tmp_path) -> None:
    tiny("policy", "judge").save("judge", tmp_path)
    names = [*load_file(tmp_path / ADAPTER)]
    assert "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight" in names
    assert not any("judge" in name or "policy" in name for name in names)
    tiny("judge").load("policy", tmp_path)  # another role takes them


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda w: w.pop(next(iter(w))), "1 weights missing, 0 unknown"),
        (lambda w: w.update(more=torch.zeros(1)), "0 weights missing, 1 unknown"),
        (lambda w: next(iter(w.values())).fill_(float("nan")), "1 weights are not finite, the first is base_model"),
        (
            lambda w: w.update({name: weight[:1] for name, weight in w.items()}),
            r"28 weights have another shape, the first is .+: \[1, \d+\] instead of \[\d+, \d+\]",
        ),
    ],
    ids=["missing", "unknown", "nan", "shape"],
)
def test_broken_adapters_are_refused_and_leave_no_role(tiny, tmp_path, change, found) -> None:
    tiny("policy").save("policy", tmp_path)
    rewrite(tmp_path / ADAPTER, change)
    other = tiny("judge")
    with pytest.raises(ModelError, match=found) as refusal:
        other.load("policy", tmp_path)
    assert str(tmp_path) in str(refusal.value) and other.roles == ("judge",)


@pytest.mark.parametrize("file", [ADAPTER, HEAD])
@pytest.mark.parametrize("how", ["gone", "short"])
def test_files_that_cannot_be_read_are_refused(tiny, tmp_path, file, how) -> None:
    tiny("reward").save("reward", tmp_path)
    path = tmp_path / file
    data = path.read_bytes()
    path.unlink()
    if how == "short":
        path.write_bytes(data[: len(data) // 2])
    other = tiny()
    with pytest.raises(ModelError, match="the reward adapter cannot be read"):
        other.load("reward", tmp_path)
    assert other.roles == () and "reward" not in other.heads


def test_a_head_that_is_not_finite_is_refused(tiny, tmp_path) -> None:
    tiny("reward").save("reward", tmp_path)
    rewrite(tmp_path / HEAD, lambda weights: weights["bias"].fill_(float("inf")))
    with pytest.raises(ModelError, match="the first is bias"):
        tiny().load("reward", tmp_path)


def test_a_disk_that_refuses_is_a_write_error(tiny, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError):
        tiny("policy").save("policy", tmp_path / "file" / "policy")
    with pytest.raises(ModelError, match="'judge' was not added"):
        tiny("policy").save("judge", tmp_path)
