"""A small GGUF file, written with the library's own writer, becomes the folder that ``transformers`` makes of it."""

import gguf
import numpy as np
import pytest
import torch
from gguf.quants import quantize
from transformers import AutoModelForCausalLM, AutoTokenizer

from repo_exp.models import dequantise as module
from repo_exp.models.dequantise import dequantise
from repo_exp.models.tokens import byte_tokenizer

HIDDEN, MIDDLE, LAYERS, HEADS, KEYS = 32, 64, 2, 4, 2
FORM = gguf.GGMLQuantizationType.Q4_1
FILE = "m.gguf"


def write(folder, *, vocab_size: bool = True):
    """Write a random Llama with 4-bit weights and a tokenizer whose tokens are bytes."""
    rng = np.random.default_rng(0)
    tokens = sorted(byte_tokenizer().get_vocab().items(), key=lambda item: item[1])
    names = [name for name, _ in tokens]
    pairs = [(a, b) for a in names[3:40] for b in names[3:9]]
    names += [a + b for a, b in pairs]
    writer = gguf.GGUFWriter(folder / FILE, "llama")
    writer.add_name("tiny")
    writer.add_context_length(128)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(MIDDLE)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEYS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    if vocab_size:
        writer.add_vocab_size(len(names))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(names)
    writer.add_token_types([gguf.TokenType.CONTROL] * 3 + [gguf.TokenType.NORMAL] * (len(names) - 3))
    writer.add_token_merges([f"{a} {b}" for a, b in pairs])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)

    def tensor(name: str, *shape: int) -> None:
        values = rng.normal(size=shape).astype(np.float32)
        if len(shape) == 1:
            writer.add_tensor(name, values)
        else:
            writer.add_tensor(name, quantize(values, FORM), raw_dtype=FORM)

    tensor("token_embd.weight", len(names), HIDDEN)
    tensor("output_norm.weight", HIDDEN)
    for layer in range(LAYERS):
        for name, rows, columns in [
            ("attn_q", HIDDEN, HIDDEN), ("attn_k", HIDDEN // 2, HIDDEN), ("attn_v", HIDDEN // 2, HIDDEN),
            ("attn_output", HIDDEN, HIDDEN), ("ffn_gate", MIDDLE, HIDDEN), ("ffn_up", MIDDLE, HIDDEN),
            ("ffn_down", HIDDEN, MIDDLE),
        ]:  # fmt: skip
            tensor(f"blk.{layer}.{name}.weight", rows, columns)
        for name in ("attn_norm", "ffn_norm"):
            tensor(f"blk.{layer}.{name}.weight", HIDDEN)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return folder


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return write(tmp_path_factory.mktemp("package"))


@pytest.fixture
def counted(monkeypatch) -> list[str]:
    """The fields of a file that were read, and the maps of names that were built."""
    calls: list[str] = []

    def count(owner, name: str, kind: str) -> None:
        original = getattr(owner, name)

        def counting(*arguments):
            calls.append(kind)
            return original(*arguments)

        monkeypatch.setattr(owner, name, counting)

    count(gguf.GGUFReader, "_get_str", "text")
    count(gguf, "get_tensor_name_map", "map")
    return calls


def contents(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_quick_reading_writes_the_same_bytes_and_reads_no_vocabulary(package, tmp_path, monkeypatch, counted) -> None:
    monkeypatch.setattr(module, "LONG", 10)
    dequantise(package, FILE, dtype=torch.float32, into=tmp_path / "quick")
    quick = [counted.count(kind) for kind in ("text", "map")]
    counted.clear()
    monkeypatch.setattr(module, "LONG", 10**9)
    dequantise(package, FILE, dtype=torch.float32, into=tmp_path / "whole")
    whole = [counted.count(kind) for kind in ("text", "map")]
    assert contents(tmp_path / "quick") == contents(tmp_path / "whole")
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= contents(tmp_path / "quick").keys()
    assert quick[0] < whole[0] - 700, "481 tokens and 222 merges"
    assert quick[1] == whole[1] == 1, "one map of names serves every module"


def test_weights_are_the_librarys_own_dequantisation(package, tmp_path) -> None:
    dequantise(package, FILE, dtype=torch.float32, into=tmp_path)
    model = AutoModelForCausalLM.from_pretrained(tmp_path)
    tensors = {each.name: each for each in gguf.GGUFReader(package / FILE).tensors}
    for name, weight in [
        ("token_embd", model.model.embed_tokens.weight),
        ("blk.1.ffn_down", model.model.layers[1].mlp.down_proj.weight),
        ("blk.0.attn_v", model.model.layers[0].self_attn.v_proj.weight),
    ]:
        wanted = gguf.dequantize(tensors[f"{name}.weight"].data, FORM)
        assert torch.equal(weight.detach(), torch.from_numpy(np.copy(wanted))), name
    assert model.config.vocab_size == 481 and model.config.tie_word_embeddings
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert (
        tokenizer.decode(tokenizer("Could you do 350?")["input_ids"], skip_special_tokens=True) == "Could you do 350?"
    )


def test_the_precision_is_the_one_that_is_asked_for(package, tmp_path) -> None:
    dequantise(package, FILE, dtype=torch.bfloat16, into=tmp_path)
    assert AutoModelForCausalLM.from_pretrained(tmp_path, dtype="auto").dtype == torch.bfloat16


def test_a_file_that_does_not_say_how_many_tokens_it_has_is_read_whole(tmp_path, monkeypatch, counted) -> None:
    monkeypatch.setattr(module, "LONG", 10)
    package = write(tmp_path, vocab_size=False)
    dequantise(package, FILE, dtype=torch.float32, into=tmp_path / "folder")
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "folder").config.vocab_size == 481
    assert counted.count("text") > 700


@pytest.mark.parametrize("broken", [b"", b"GGUF", b"GGUF" + bytes(100)])
def test_the_library_is_left_as_it_was_whatever_happens(tmp_path, broken) -> None:
    before = gguf.GGUFReader, gguf.get_tensor_name_map
    (tmp_path / FILE).write_bytes(broken)
    with pytest.raises(Exception):  # noqa: B017, PT011  the library's own, of several kinds
        dequantise(tmp_path, FILE, dtype=torch.float32, into=tmp_path / "folder")
    assert (gguf.GGUFReader, gguf.get_tensor_name_map) == before
