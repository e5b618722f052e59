"""Which model it is: every file that can be read goes into the address, and nothing else does."""

import json
import os
import time
from types import SimpleNamespace

import pytest

from repo_exp.errors import ModelError
from repo_exp.models import place
from repo_exp.stages import digests
from repo_exp.stages.positions import problems
from repo_exp.stages.records import identify
from repo_exp.stages.store import Store

COMMITS = {"main": "a" * 40, "v1": "b" * 40}
READ = (
    "config.json", "generation_config.json", "model.safetensors", "pytorch_model.bin", "pytorch_model.bin.index.json",
    "model.gguf", "weights.pt", "tokenizer.json", "tokenizer_config.json", "tokenizer.model", "tekken.json",
    "special_tokens_map.json", "added_tokens.json", "vocab.json", "vocab.txt", "merges.txt", "qwen.tiktoken",
    "chat_template.jinja", "additional_chat_templates/tools.jinja", "modeling_own.py", "inner/code.py",
)  # fmt: skip


def identity(tmp_path, **model) -> dict:
    settings = {"source": "folder", "package": None, "gguf": None, "hub": None, "folder": None, "revision": None}
    settings |= {"name": "m"} | model
    section = SimpleNamespace(**settings, model_dump=lambda: settings)
    return identify(section, seed=0, digest=digests.Digests(tmp_path / "store")).fingerprint


def write(path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


@pytest.fixture
def folder(tmp_path):
    for name in READ:
        write(tmp_path / "model" / name, b"{}")
    return tmp_path / "model"


@pytest.mark.parametrize("name", READ)
def test_whatever_a_model_is_read_from_is_part_of_its_address(tmp_path, folder, name) -> None:
    before = identity(tmp_path, folder=str(folder))
    write(folder / name, b"{ }")
    changed = identity(tmp_path, folder=str(folder))
    (folder / name).unlink()
    if name != "config.json":
        assert len({json.dumps(each) for each in (before, changed, identity(tmp_path, folder=str(folder)))}) == 3
    assert before != changed


def test_a_shard_in_a_subfolder_is_found_through_the_index_and_texts_are_passed_over(tmp_path, folder) -> None:
    before = identity(tmp_path, folder=str(folder))
    write(folder / "README.md", b"words")
    write(folder / ".cache" / "x.json", b"{}")
    write(folder / "checkpoint-5" / "optimizer.pt", b"other work")
    assert identity(tmp_path, folder=str(folder)) == before
    write(folder / "model.safetensors.index.json", json.dumps({"weight_map": {"w": "parts/1.bin", "v": "/x"}}).encode())
    write(folder / "parts" / "1.bin", b"1")
    with_parts = identity(tmp_path, folder=str(folder))
    write(folder / "parts" / "1.bin", b"2")
    assert before != with_parts != identity(tmp_path, folder=str(folder))


def test_the_same_files_in_another_folder_are_the_same_model(tmp_path, folder) -> None:
    before = identity(tmp_path, folder=str(folder))
    folder.rename(tmp_path / "elsewhere")
    assert identity(tmp_path, folder=str(tmp_path / "elsewhere")) == before


def test_an_adapter_beside_a_model_is_refused(tmp_path, folder) -> None:
    write(folder / "adapter_config.json", b"{}")
    with pytest.raises(ModelError, match="merge it first"):
        identity(tmp_path, folder=str(folder))


def flip(path, *, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))


@pytest.mark.parametrize("age", [0, 100])
def test_a_flipped_byte_in_a_large_file_is_noticed_even_with_its_old_time(tmp_path, monkeypatch, age) -> None:
    monkeypatch.setattr(digests, "LARGE", 1000)
    path, known = tmp_path / "weights.bin", digests.Digests(tmp_path / "store")
    path.write_bytes(bytes(5000))
    if age:
        later = time.time() + age
        monkeypatch.setattr(digests.time, "time", lambda: later)
    before = known(path)
    assert known(path) == before == digests.digest(path)
    status = path.stat()
    flip(path, at=4321)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert known(path) != before and known(path) == digests.digest(path)


def test_an_unchanged_large_file_is_read_once(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(digests, "LARGE", 1000)
    monkeypatch.setattr(digests, "SETTLED", -1.0)
    path, read = tmp_path / "weights.bin", []
    path.write_bytes(bytes(5000))
    honest = digests.digest
    monkeypatch.setattr(digests, "digest", lambda path: read.append(path) or honest(path))
    assert digests.Digests(tmp_path)(path) == digests.Digests(tmp_path)(path) == honest(path)
    assert len(read) == 1
    (tmp_path / ".digests.json").write_text("[broken")
    assert digests.Digests(tmp_path)(path) == honest(path)


def test_a_flipped_byte_in_a_large_artifact_is_noticed(tmp_path) -> None:
    def build(folder) -> None:
        (folder / "weights.bin").write_bytes(bytes(2**24 + 10))

    def make():
        return Store(tmp_path).make("sft", version=1, inputs={}, parents={}, build=build)

    path = make().folder / "weights.bin"
    assert make().reused
    flip(path, at=2**24)
    assert not make().reused


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A cache of the hub with two revisions of one model, and no network."""
    from huggingface_hub import constants

    cache = tmp_path / "cache"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    repo = cache / "models--org--name"
    for number, (name, commit) in enumerate(COMMITS.items()):
        write(repo / "refs" / name, commit.encode())
        write(repo / "snapshots" / commit / "config.json", json.dumps({"n_positions": 100 + number}).encode())
    return "org/name"


def test_a_model_of_the_hub_is_its_commit(tmp_path, hub) -> None:
    for revision, commit in [(None, "a" * 40), ("main", "a" * 40), ("v1", "b" * 40), ("c" * 40, "c" * 40)]:
        expected = {"kind": "hub", "hub": hub, "commit": commit}
        assert identity(tmp_path, source="hub", hub=hub, revision=revision) == expected
    for name, revision in [(hub, "v2"), ("org/other", None), ("no name: at all", None)]:
        with pytest.raises(ModelError, match=r"model\.hub.*gave"):
            place.commit(name, revision)


def test_positions_of_a_cached_model_are_known_without_loading_it(hub) -> None:
    model = {"source": "hub", "package": None, "gguf": None, "folder": None, "hub": hub, "name": "m"}
    found = [place.positions(SimpleNamespace(**model, revision=revision)) for revision in (None, "v1", "v2")]
    assert found == [100, 101, None]


@pytest.mark.parametrize(
    ("config", "there"),
    [
        ({"max_position_embeddings": 2048}, 2048),
        ({"n_positions": 1024, "n_ctx": 1024}, 1024),
        ({"max_seq_len": 64}, 64),
        ({"text_config": {"max_position_embeddings": 512}}, 512),
        ({"model_type": "bloom"}, None),
        ({"max_position_embeddings": "many"}, None),
    ],
)  # fmt: skip
def test_the_window_of_a_configuration(config, there) -> None:
    assert place.max_positions(config) == there


def test_the_header_of_a_gguf_file_gives_its_context_length(tmp_path) -> None:
    import struct

    def text(word: str) -> bytes:
        return struct.pack("<Q", len(word)) + word.encode()

    def header(*entries: bytes) -> bytes:
        return b"GGUF" + struct.pack("<IQQ", 3, 7, len(entries)) + b"".join(entries)

    name, scale = text("general.name") + struct.pack("<I", 8) + text("x"), text("a") + struct.pack("<If", 6, 1.5)
    length = text("llama.context_length") + struct.pack("<II", 4, 8192)
    tongues = text("general.languages") + struct.pack("<IIQ", 9, 8, 2) + text("en") + text("de")
    words = text("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 1) + text("a")
    path = tmp_path / "m.gguf"
    for data, there in [
        (header(name, tongues, scale, length, words), 8192),
        (header(name, words, length), None),
        (header(name, scale), None),
        (header(name, length)[:-2], None),
        (b"no such thing", None),
        (b"", None),
    ]:
        path.write_bytes(data)
        assert place.gguf_positions(path) == there


@pytest.mark.parametrize(
    ("prompt", "response", "where", "way_out"),
    [
        (100, 14, None, ""),  # 100 + 2 x 14 are 128
        (100, 15, "model.max_prompt_tokens", "model.max_prompt_tokens=98"),
        (100, 29, "rollout.max_new_tokens", "rollout.max_new_tokens=14"),
        (10, 100_000, "rollout.max_new_tokens", "rollout.max_new_tokens=59"),
        (128, 1, "model.max_prompt_tokens", "model.max_prompt_tokens=126"),
    ],
)
def test_a_check_says_with_numbers_what_the_positions_cannot_hold(tmp_path, prompt, response, where, way_out) -> None:
    (tmp_path / "config.json").write_text('{"n_positions": 128}')
    source = {"source": "folder", "package": None, "gguf": None, "hub": None, "revision": None, "name": "m"}
    config = SimpleNamespace(
        model=SimpleNamespace(**source, folder=str(tmp_path), max_prompt_tokens=prompt),
        rollout=SimpleNamespace(max_new_tokens=response),
        reward_model=SimpleNamespace(kind="bradley_terry"),
        reward=SimpleNamespace(sources={"model": {"kind": "reward_model", "settings": {"kind": "bradley_terry"}}}),
        evaluation=SimpleNamespace(sources="all"),
        algorithm={"kind": "repo"},
    )
    found = list(problems(config))
    assert [problem.where for problem in found] == ([where] if where else [])
    assert not found or (way_out in found[0].remedy and "128" in found[0].found)
