"""The header of a GGUF file, written here byte by byte as its specification says."""

import struct
from pathlib import Path

import pytest

from repo_exp import gguf_header
from repo_exp.gguf_header import read_header

UINT32, FLOAT32, BOOL, TEXT, LIST, UINT64 = 4, 6, 7, 8, 9, 10


def text(words: str) -> bytes:
    return struct.pack("<Q", len(words.encode())) + words.encode()


def entry(key: str, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def strings(*words: str) -> bytes:
    return struct.pack("<IQ", TEXT, len(words)) + b"".join(map(text, words))


def write(path: Path, *entries: bytes) -> Path:
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 7, len(entries)) + b"".join(entries))
    return path


ENTRIES = (
    entry("general.architecture", TEXT, text("llama")),
    entry("general.name", TEXT, text("Größe 1")),
    entry("general.languages", LIST, strings("en", "de")),
    entry("llama.sizes", LIST, struct.pack("<IQ2I", UINT32, 2, 5, 6)),
    entry("llama.nested", LIST, struct.pack("<IQ", LIST, 1) + strings("a")),
    entry("llama.context_length", UINT32, struct.pack("<I", 8192)),
    entry("llama.parameters", UINT64, struct.pack("<Q", 2**40)),
    entry("llama.eps", FLOAT32, struct.pack("<f", 0.5)),
    entry("llama.tied", BOOL, b"\x01"),
)


def test_every_kind_of_value_is_read(tmp_path) -> None:
    assert read_header(write(tmp_path / "m.gguf", *ENTRIES)) == {
        "general.architecture": "llama",
        "general.name": "Größe 1",
        "general.languages": ["en", "de"],
        "llama.sizes": [5, 6],
        "llama.nested": [["a"]],
        "llama.context_length": 8192,
        "llama.parameters": 2**40,
        "llama.eps": 0.5,
        "llama.tied": True,
    }


def test_reading_ends_where_the_tokenizer_begins(tmp_path) -> None:
    """What follows may be broken: it is not looked at."""
    path = write(tmp_path / "m.gguf", ENTRIES[0], text("tokenizer.ggml.tokens") + b"broken", ENTRIES[5])
    assert read_header(path) == {"general.architecture": "llama"}


def test_a_file_that_ends_early_is_refused_wherever_it_ends(tmp_path) -> None:
    whole = write(tmp_path / "whole.gguf", *ENTRIES).read_bytes()
    path = tmp_path / "m.gguf"
    for end in range(4, len(whole)):
        path.write_bytes(whole[:end])
        try:
            found = read_header(path)
        except ValueError:
            continue
        pytest.fail(f"cut after {end} bytes it gave {found}")


def test_another_format_has_no_header(tmp_path) -> None:
    for data in (b"", b"GGU", b"safetensors"):
        (tmp_path / "m").write_bytes(data)
        assert read_header(tmp_path / "m") == {}
    with pytest.raises(OSError, match="nowhere"):
        read_header(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (entry("a", TEXT, struct.pack("<Q", 2**60)), "a text of"),
        (struct.pack("<Q", 2**63), "a text of"),
        (entry("a", 99, b""), "unknown type 99"),
    ],
    ids=["long text", "long key", "unknown type"],
)
def test_a_broken_length_or_type_costs_no_memory(tmp_path, value, found) -> None:
    with pytest.raises(ValueError, match=found):
        read_header(write(tmp_path / "m.gguf", value))


def test_the_bound_on_texts_lies_far_above_real_ones(tmp_path) -> None:
    template = "x" * 100_000
    path = write(tmp_path / "m.gguf", entry("general.description", TEXT, text(template)))
    assert len(template) < gguf_header._LONGEST_TEXT and read_header(path) == {"general.description": template}
