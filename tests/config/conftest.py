"""Shared by the tests of the configuration: a private copy of conf/, and functions that return problems."""

from __future__ import annotations

import copy
import functools
import shutil
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from repo_exp.config.check import validate
from repo_exp.config.compose import Composer
from repo_exp.config.inspection import inspect_overrides
from repo_exp.config.overrides import for_hydra
from repo_exp.config.places import conf_dir
from repo_exp.errors import Problem


@pytest.fixture
def conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of conf/ that the program takes for its own."""
    folder = tmp_path / "conf"
    shutil.copytree(conf_dir(), folder)
    monkeypatch.setenv("REPO_EXP_CONF", str(folder))
    return folder


@pytest.fixture
def problems_of():
    """Return a function: a command line -> its problems, each as {where: "found; remedy"}."""

    def ask(*overrides: str, **options) -> dict[str, str]:
        return by_place(inspect_overrides(overrides, Composer.create(), **options).problems)

    return ask


@pytest.fixture
def problems_in():
    """Return a function: overrides that compose -> the problems of what they make, each as {where: "found; remedy"}."""

    def ask(*overrides: str, **options) -> dict[str, str]:
        composer = Composer.create()
        parsed = [composer.parse(each) for text in overrides for each in for_hydra(text)]
        choices = [each for each in parsed if composer.options(each.key_or_group) and isinstance(each.value(), str)]
        cfg = copy.deepcopy(composed(tuple(each.input_line for each in choices)))
        for each in (each for each in parsed if each not in choices):
            OmegaConf.update(cfg, each.key_or_group, each.value(), force_add=True)
        return by_place(validate(cfg, **options)[1])

    return ask


@functools.cache
def composed(choices: tuple[str, ...]) -> DictConfig:
    """Return a composition; most of these tests begin with the same one."""
    return Composer.create().compose(choices)


def by_place(problems: list[Problem]) -> dict[str, str]:
    assert len({problem.where for problem in problems}) == len(problems), f"a place is named twice: {problems}"
    return {problem.where: f"{problem.found}; {problem.remedy}" for problem in problems}
