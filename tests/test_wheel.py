"""A wheel carries conf/ and works from an empty folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("build", reason="the package 'build' comes with the extra 'dev'")
pytest.importorskip("hatchling", reason="the package 'hatchling' comes with the extra 'dev'")

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("pyproject.toml", "README.md", "LICENSE", "repo_exp", "conf")


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory) -> Path:
    """Build a wheel from a copy of the project, and unpack it as an installation would."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for part in (ROOT / name for name in PARTS):
        if part.is_dir():
            shutil.copytree(part, source / part.name, ignore=shutil.ignore_patterns("__pycache__"))
        elif part.is_file():
            shutil.copy(part, source)
    (source / "README.md").touch()  # the build asks for one
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(source)]
    done = subprocess.run(build, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = out.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(out / "site")
    return out / "site"


def run(site: Path, cwd: Path, *arguments: str) -> subprocess.CompletedProcess:
    env = {key: value for key, value in os.environ.items() if not key.startswith(("HYDRA", "REPO_EXP"))}
    return subprocess.run(
        [sys.executable, "-m", "repo_exp", *arguments],
        cwd=cwd, env=env | {"PYTHONPATH": str(site), "WANDB_MODE": "offline"},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_the_wheel_carries_every_file(unpacked):
    carried = {path.relative_to(unpacked).as_posix() for path in unpacked.rglob("*") if path.is_file()}
    ours = {f"repo_exp/{path.relative_to(ROOT).as_posix()}" for path in (ROOT / "conf").rglob("*.yaml")}
    ours |= {path.relative_to(ROOT).as_posix() for path in (ROOT / "repo_exp").rglob("*.py")}
    ours |= {path.relative_to(ROOT).as_posix() for path in (ROOT / "repo_exp").rglob("*.j2")}
    assert ours <= carried
    assert not [name for name in carried if name.startswith("conf/")]


def test_the_wheel_has_the_command(unpacked):
    (entry,) = unpacked.glob("*.dist-info/entry_points.txt")
    assert "repo-exp = repo_exp.__main__:main" in entry.read_text()


def test_an_installed_wheel_helps_and_checks_from_an_empty_folder(unpacked, tmp_path):
    helped = run(unpacked, tmp_path, "--help")
    assert helped.returncode == 0, helped.stderr
    assert str(unpacked / "repo_exp" / "conf") in helped.stdout
    checked = run(unpacked, tmp_path, "task=check", "experiment=smoke")
    assert checked.returncode == 0, checked.stderr
    assert "Configuration OK." in checked.stdout


def test_an_installed_wheel_runs_the_whole_pipeline_from_an_empty_folder(unpacked, tmp_path):
    done = run(unpacked, tmp_path, "experiment=smoke")
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.glob("outputs/*/*/report.html"))
