"""What cannot run on this machine is refused with numbers, before anything is loaded."""

from __future__ import annotations

import struct

import pytest

from repo_exp.config.check import validate
from repo_exp.config.compose import Composer, as_if_running
from repo_exp.config.shape import _named, shape_of
from repo_exp.gguf_header import read_header
from repo_exp.stages import capacity


@pytest.fixture(autouse=True)
def small_machine(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(capacity, "_ram", lambda: 24 * 2.0**30)


def problems(*overrides: str) -> dict[str, str]:
    cfg = Composer.create().compose(overrides)
    with as_if_running(cfg):
        return {each.where: f"{each.found}; {each.remedy}" for each in validate(cfg, checks=capacity.CHECKS)[1]}


@pytest.mark.parametrize(
    ("overrides", "where", "words"),
    [
        (["trainer=gpu"], "trainer.accelerator", ["no GPU", "trainer=cpu"]),
        (["trainer.accelerator=cuda"], "trainer.accelerator", ["no GPU"]),
        (["model=qwen3_32b"], "model", ["32.0 billion", "60 GiB", "24 GiB", "model=smollm2_135m"]),
        (["model=any", "model.source=hub", "model.hub=x/Big-70B"], "model", ["130 GiB"]),
        (["model=tiny", "model.random.hidden_size=1000000"], "model", ["GiB in float32"]),
        (["model=tiny", "model.lora.rank=64"], "model.lora.rank", ["hidden size of 32", "model.lora.rank=16"]),
        (["budget.updates=1000000000000"], "budget.updates", ["years", "budget.updates=12"]),
        (["model=tiny", "budget.rollouts=1000000000000"], "budget.rollouts", ["years", "budget.rollouts=32"]),
        (["model=tiny", "sft.epochs=1000000000000"], "sft.epochs", ["years"]),
        (["model=tiny", "judge.epochs=1000000000000"], "judge.epochs", ["years"]),
        (["model=tiny", "data.judgements=1000000000000", "judge.epochs=1", "reward=rm", "judge=none"],
         "data.judgements", ["1,862,645 GiB"]),
    ],
)  # fmt: skip
def test_what_cannot_run_here_is_refused_with_numbers(overrides, where, words):
    if "judge=none" in overrides:
        overrides = [each for each in overrides if not each.startswith("judge.")]
    found = problems(*overrides)
    assert list(found) == [where]
    for word in words:
        assert word in found[where]


@pytest.mark.parametrize(
    "overrides",
    [[], ["model=tiny"], ["experiment=smoke"], ["model=qwen3_0_6b"], ["model=tiny", "budget.updates=100000"],
     ["model=tiny", "model.lora.rank=32"]],
)  # fmt: skip
def test_what_can_run_is_let_through(overrides):
    assert problems(*overrides) == {}


def test_all_the_gpus_of_a_machine_are_not_taken(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(capacity, "_memory", lambda accelerator: ("the GPU", 80 * 2.0**30))
    assert "all 4 GPUs" in problems("model=tiny", "trainer=gpu", "trainer.devices=auto")["trainer.devices"]
    assert problems("model=tiny", "trainer=gpu") == {}


@pytest.mark.parametrize(
    ("hub", "weights"),
    [("Qwen/Qwen3-0.6B", 6e8), ("a/SmolLM2-135M-Instruct", 1.35e8), ("a/Llama-3.1-70B-Instruct", 7e10),
     ("a/gpt2", None), ("Mixtral-8x7B", None)],
)  # fmt: skip
def test_a_name_says_how_many_weights_there_are(hub, weights):
    assert _named(hub) == weights


def test_a_random_models_weights_are_counted():
    """Layer: 32x32 + 2 of 32x16 + 32x32 + 3 of 32x64 = 9,216; two of them and 300x32 = 28,032."""
    cfg = Composer.create().compose(["model=tiny"])
    config, _ = validate(_plain(cfg))
    shape = shape_of(config.model)
    assert (shape.parameters, shape.hidden, shape.layers) == (28_032, 32, 2)
    assert shape.widths == 64 + 48 + 48 + 64 + 3 * 96


def _plain(cfg):
    from repo_exp.config.check import resolved

    with as_if_running(cfg):
        return resolved(cfg)[0]


def test_the_head_of_a_gguf_file_is_read_up_to_the_tokenizer(tmp_path):
    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    parts = [b"GGUF", struct.pack("<IQQ", 3, 0, 4)]
    parts += [text("general.architecture"), struct.pack("<I", 8), text("llama")]
    parts += [text("general.languages"), struct.pack("<IIQ", 9, 8, 1), text("en")]
    parts += [text("llama.embedding_length"), struct.pack("<II", 4, 576)]
    parts += [text("tokenizer.ggml.tokens"), b"not read"]
    path = tmp_path / "a.gguf"
    path.write_bytes(b"".join(parts))
    assert read_header(path) == {
        "general.architecture": "llama",
        "general.languages": ["en"],
        "llama.embedding_length": 576,
    }
