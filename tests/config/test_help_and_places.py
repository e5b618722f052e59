"""Help and reference are made from the files; conf/ is found in each place where it may be."""

from __future__ import annotations

import pytest

from repo_exp.algorithms.registry import names, options_of
from repo_exp.config import places, reference
from repo_exp.config.check import load
from repo_exp.config.compose import Composer
from repo_exp.config.help import help_text
from repo_exp.config.open_keys import open_mappings
from repo_exp.errors import ConfigError


def test_the_help_lists_every_file_and_marks_the_defaults():
    text = help_text()
    for path in places.conf_dir().glob("*/*.yaml"):
        assert f" {path.stem} " in text
    assert "* smollm2_135m" in text
    assert "* tiny" not in text


def test_the_help_begins_with_the_commands_and_names_the_rules():
    text = help_text()
    assert text.index("python -m repo_exp reward=rm+rj+rf model=qwen3_32b") < text.index("optimizer")
    assert "domain.rules=NAME" in text


@pytest.mark.parametrize(
    ("path", "text", "override"),
    [
        ("model/mine.yaml", "# My own model.\ndefaults: [tiny]\nname: mine\n", "model=mine"),
        ("algorithm/gentle.yaml", "# @package _global_\n# Gentler PPO.\ndefaults: [repo]\nalgorithm: {clip_low: 0.1}\n",
         "algorithm=gentle"),
        ("experiment/mine.yaml", "# @package _global_\n# My experiment.\nreward: {n: 7}\n", "experiment=mine"),
        ("reward/strict.yaml", "# Rules that bite.\ndefaults: [rm+rf]\nn: 10.0\n", "reward=strict"),
    ],
)  # fmt: skip
def test_one_new_file_is_listed_composed_and_checked(conf, path, text, override):
    (conf / path).write_text(text)
    comment = next(line for line in text.splitlines() if "@package" not in line).lstrip("# ")
    assert comment in help_text()
    load(Composer.create().compose([override]))


def test_the_reference_is_up_to_date():
    page = places.PACKAGE.parent / "docs" / "configuration.md"
    assert page.read_text(encoding="utf-8") == reference.markdown(), "run `make docs`"
    algorithms = page.with_name("algorithms.md").read_text(encoding="utf-8")
    assert algorithms == reference.algorithms(algorithms), "run `make docs`"
    assert algorithms.count("### `algorithms/") == len(names())


def test_the_reference_has_a_row_for_every_key():
    page = reference.markdown()
    for key in ("reward.n", "model.lora.rank", "data.prompts.train", "algorithm.clip_low", "judge.timeout", "seed"):
        assert f"| `{key}` |" in page
    for kind in names():
        for field in options_of(kind).model_fields:
            assert f"| `algorithm.{field}" in page, (kind, field)
    assert "| `algorithm.condition.threshold` |" in page


def test_the_environment_names_the_folder(conf):
    assert places.conf_dir() == conf


def test_a_folder_without_a_configuration_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("REPO_EXP_CONF", str(tmp_path))
    with pytest.raises(ConfigError, match="REPO_EXP_CONF"):
        places.conf_dir()


def test_without_a_checkout_the_packages_own_copy_is_taken(tmp_path, monkeypatch):
    monkeypatch.delenv("REPO_EXP_CONF", raising=False)
    package = tmp_path / "site-packages" / "repo_exp"
    (package / "conf").mkdir(parents=True)
    (package / "conf" / "config.yaml").touch()
    (tmp_path / "site-packages" / "conf").mkdir()
    (tmp_path / "site-packages" / "conf" / "config.yaml").touch()  # somebody else's: no pyproject.toml beside it
    monkeypatch.setattr(places, "PACKAGE", package)
    assert places.conf_dir() == package / "conf"


def test_a_name_is_looked_for_in_conf_before_it_is_a_path(conf, tmp_path):
    (tmp_path / "mine").mkdir()
    assert places.rules_folder("hotel") == conf / "rules" / "hotel"
    assert places.rubric_folder(str(tmp_path / "mine")) == tmp_path / "mine"


def test_only_sections_by_name_take_any_key():
    points, by_source = {"rule_points", "item_points"}, {"sources", "weights", "tolerance"}
    assert open_mappings() == {f"reward.{key}" for key in points | by_source | {"options"}}
