"""The flags of the command line are Hydra's."""

from __future__ import annotations

import re

import pytest

from repo_exp.config.flags import _parser, command_line
from repo_exp.errors import ConfigError


def test_the_flags_are_those_that_hydra_lists(capsys, monkeypatch):
    import hydra

    from repo_exp.config.places import conf_dir

    monkeypatch.setattr("sys.argv", ["repo_exp", "--hydra-help"])
    with pytest.raises(SystemExit):
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")(lambda cfg: None)()
    listed = re.search(r"== Flags ==\n(.*?)\n== ", capsys.readouterr().out, re.DOTALL)[1]
    theirs = set(
        re.findall(r"(?<![\w-])--?[a-z][a-z-]*", "\n".join(line.split(" : ")[0] for line in listed.splitlines()))
    )
    ours = {name for action in _parser()._actions for name in action.option_strings}
    assert ours == theirs


def test_flags_may_stand_anywhere_and_others_are_handed_back():
    args, unknown = command_line(["seed=1", "-m", "reward=rm,rf", "--sed", "3", "-cd", "here"])
    assert (args.overrides, args.multirun, args.config_dir) == (["seed=1", "reward=rm,rf"], True, "here")
    assert unknown == ["--sed", "3"]
    assert command_line(["--info"])[0].info == "all"


@pytest.mark.parametrize("arguments", [["--cfg"], ["--cfg", "jobs"], ["--config-dir"]])
def test_a_flag_that_lacks_its_value_is_refused_without_argparses_exit(arguments):
    with pytest.raises(ConfigError, match="--hydra-help lists the flags"):
        command_line(arguments)
