"""Two runs that start in the same second have two folders, and so have two sweeps."""

from __future__ import annotations

import sys
import types

import pytest

from repo_exp import __main__ as entry
from repo_exp.config.run_folder import unused
from repo_exp.errors import WriteError


@pytest.fixture
def started(monkeypatch, tmp_path):
    """Return a function that runs a command whose clock stands still, and returns the run folders."""

    def start(*arguments: str) -> list[str]:
        folders = []
        module = types.ModuleType("repo_exp.stages.pipeline")
        module.run = lambda config, *, folder, **_: folders.append(str(folder.relative_to(tmp_path)))
        monkeypatch.setitem(sys.modules, "repo_exp.stages.pipeline", module)
        monkeypatch.setattr("repo_exp.stages.pipeline", module, raising=False)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("hydra.core.utils.datetime", Clock)
        monkeypatch.setattr(sys, "argv", ["repo_exp", "model=tiny", *arguments])
        assert entry.main() == 0
        return folders

    return start


class Clock:
    """A clock that stands still."""

    @staticmethod
    def now():
        import datetime

        return datetime.datetime(2025, 1, 2, 3, 4, 5)


def test_runs_of_one_second_get_folders_of_their_own(started) -> None:
    assert [started() for _ in range(3)] == [[f"outputs/2025-01-02/03-04-05{end}"] for end in ("", "-2", "-3")]


def test_sweeps_of_one_second_get_folders_of_their_own(started) -> None:
    first, second = started("-m", "seed=0,1"), started("-m", "seed=0,1")
    assert all(folder.startswith("multirun/2025-01-02/03-04-05/") for folder in first)
    assert all(folder.startswith("multirun/2025-01-02/03-04-05-2/") for folder in second)
    assert len({*first, *second}) == 4


def test_a_folder_that_the_command_names_is_used_as_it_is(started) -> None:
    assert started("hydra.run.dir=here") == started("hydra.run.dir=here") == ["here"]


def test_a_path_that_is_not_a_folder_is_a_plain_error(tmp_path) -> None:
    (tmp_path / "outputs").write_text("")
    with pytest.raises(WriteError, match="there is something else"):
        unused(tmp_path / "outputs" / "a")
