"""A key, option or value that was renamed is refused with its new name, wherever it is used."""

from __future__ import annotations

import pytest

from repo_exp.config import renamed
from repo_exp.config.entrance import inspect
from repo_exp.config.keys import sections
from repo_exp.errors import ConfigError

OLD, NEW = "reward.bound", "reward.n"
KEYS = {name for section in sections() for name in (section.path, *(key.path for key in section.keys))}


@pytest.fixture
def table(monkeypatch):
    """Put three renamed names into the table: of a key, of a section, and of an option."""
    for old, new in ((OLD, NEW), ("model.adapter", "model.lora"), ("model=small", "model=tiny")):
        monkeypatch.setitem(renamed.RENAMED, old, new)
    monkeypatch.setitem(renamed.RENAMED, "evaluation.sources=every", "evaluation.sources=all")


@pytest.mark.usefixtures("table")
@pytest.mark.parametrize(
    ("override", "where", "new"),
    [
        (f"{OLD}=7", f"{OLD}=7", f"{NEW}=7"),
        (f"++{OLD}=7", OLD, f"{NEW}=VALUE"),
        (f"+{OLD}=7", OLD, f"{NEW}=VALUE"),
        ("model.adapter.rank=4", "model.adapter.rank=4", "model.lora.rank=4"),
        ("model=small", "model=small", "model=tiny"),
        ("evaluation.sources=every", "evaluation.sources", "evaluation.sources=all"),
        (f"budget.updates=${{{OLD}}}", "budget.updates", f"${{{NEW}}}"),
    ],
)
def test_an_override_with_an_old_name_gets_the_new_one(problems_of, override, where, new):
    found = problems_of(override)
    assert list(found) == [where]
    assert found[where].endswith(f"; {new}")


@pytest.mark.usefixtures("table")
def test_a_flag_with_an_old_name_gets_the_new_one():
    with pytest.raises(ConfigError, match=rf"{NEW}=7"):
        inspect([f"--{OLD}", "7"])


@pytest.mark.usefixtures("table")
@pytest.mark.parametrize(
    "text", ["reward:\n  bound: 7\n", "hydra:\n  sweeper:\n    params:\n      reward.bound: 7,8\n"]
)
def test_an_experiment_and_a_sweep_of_a_file_with_an_old_name_get_the_new_one(conf, problems_of, text):
    (conf / "experiment" / "old.yaml").write_text(f"# @package _global_\n# Old names.\n{text}")
    more = {"multirun": True} if "sweeper" in text else {}
    (found,) = problems_of("experiment=old", **more).items()
    assert OLD in found[0] and NEW in found[1]


@pytest.mark.usefixtures("table")
def test_a_sweep_of_the_command_line_with_an_old_name_gets_the_new_one(problems_of):
    assert problems_of(f"{OLD}=7,8", multirun=True)[f"{OLD}=7,8"].endswith(f"{NEW}=7,8")


@pytest.mark.usefixtures("table")
def test_an_experiment_that_chooses_an_old_option_gets_the_new_one(conf, problems_of):
    text = "# @package _global_\n# Old names.\ndefaults:\n  - override /model: small\n"
    (conf / "experiment" / "old.yaml").write_text(text)
    assert problems_of("experiment=old")["conf/experiment/old.yaml"].endswith("model=tiny")


@pytest.mark.usefixtures("table")
def test_a_value_under_its_old_name_is_not_reported_as_missing_as_well(conf, problems_of):
    file = conf / "reward" / "rm+rj+rf.yaml"
    file.write_text(file.read_text().replace("\nn:", "\nbound:"))
    assert list(problems_of()) == ["reward.bound (conf/reward/rm+rj+rf.yaml)"]


def test_no_entry_of_the_table_leads_to_another_entry():
    assert not set(renamed.RENAMED) & set(renamed.RENAMED.values())


KIND_OF = {"reward_model.pretraining_contexts": "reward_model=polar", "algorithm.answer_after": "algorithm=grpo_care"}


@pytest.mark.parametrize("old", [old for old in renamed.RENAMED if "=" not in old])
def test_every_key_of_the_table_is_refused_with_its_new_name(problems_of, old):
    assert old not in KEYS, "the key still has this name"
    assert any(key == renamed.RENAMED[old] or key.startswith(f"{renamed.RENAMED[old]}.") for key in KEYS)
    kind = [KIND_OF[old]] if old in KIND_OF else []
    assert problems_of(f"{old}=1", *kind)[f"{old}=1"].endswith(f"; {renamed.RENAMED[old]}=1")


def test_a_key_of_another_method_is_not_reported_as_renamed(problems_of) -> None:
    """Only GRPO-CARE has this key; the table once promised a name that no method has."""
    (remedy,) = problems_of("algorithm.answer_after=x").values()
    assert "renamed" not in remedy and "answer_delimiter" not in remedy
