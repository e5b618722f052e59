"""make mutants: which small mistakes in the mathematics does no test notice?

A mutant that survives is a missing test, or a change that changes nothing. The second kind is listed in
``survivors.toml``, each with the reason why; a survivor without a reason fails the command, and so does a reason whose
mutant is no longer there or no longer survives.

    python -m tests.mutants                        all of repo_exp/core
    python -m tests.mutants advantage kl --jobs 1  some of it
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[2]
CORE = ROOT / "repo_exp" / "core"
REASONS = Path(__file__).with_name("survivors.toml")
TESTS = ("tests/core", "tests/algorithms", "tests/rewards/test_combine_batch.py")
WITHOUT_FORMULAS = ("__init__", "choices")
KEYS = ("file", "function", "line", "becomes")

Key = tuple[str, ...]


def reasons(text: str, files: Iterable[str]) -> dict[Key, str]:
    """Return (file, function, line, becomes) -> why, of the files that are looked at."""
    entries = [each for each in tomllib.loads(text).get("survivor", []) if each["file"] in set(files)]
    return {tuple(each[key] for key in KEYS): each["why"] for each in entries}


def verdict(alive: Iterable[Key], known: dict[Key, str]) -> list[str]:
    """Return what is wrong: survivors without a reason, and reasons without a survivor."""
    alive = list(dict.fromkeys(alive))
    new = [each for each in alive if not known.get(each)]
    gone = [each for each in known if each not in alive]
    lines = [f"{len(new)} mutants survive without a reason:"] if new else []
    for each in new:
        lines += ["", "[[survivor]]", *(f"{key} = {json.dumps(value)}" for key, value in zip(KEYS, each, strict=True))]
    lines += ["", f"{len(gone)} reasons no longer apply (noticed by a test, or gone):"] if gone else []
    return lines + [f"  {file} {function}: {line}  ->  {becomes}" for file, function, line, becomes in gone]


def main() -> int:
    """Try the mutants and return the exit code."""
    asked = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__.split("\n")[0])
    asked.add_argument("files", nargs="*", help="names of files in repo_exp/core (default: all)")
    asked.add_argument("--jobs", type=int, default=os.cpu_count(), help="mutants tried at once (default: the cores)")
    arguments = asked.parse_args()
    names = arguments.files or sorted(path.stem for path in CORE.glob("*.py") if path.stem not in WITHOUT_FORMULAS)
    files = [CORE / f"{Path(name).stem}.py" for name in names]
    if missing := [file.name for file in files if not file.is_file()]:
        asked.error(f"repo_exp/core has no {', '.join(missing)}")
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):  # before torch comes: threads and forks do not go together
        os.environ[name] = "1"
    import pytest

    from tests.mutants.trial import Trial

    os.chdir(ROOT)
    trial = Trial(files, root=ROOT, jobs=arguments.jobs, tell=lambda line: print(line, file=sys.__stdout__, flush=True))
    quiet = ["-qq", "--no-header", "--no-summary", "-p", "no:cacheprovider"]
    code = pytest.main([*quiet, *TESTS], plugins=[trial])
    if trial.broken or len(trial.found) < len(files):
        print("Without any mutant these fail:", *trial.broken or [f"(pytest ended with {code})"], sep="\n  ")
        return 1
    short = {file: file.name for file in files}
    alive = [(short[file], *mutant[:3]) for file, tried in trial.found.items() for mutant, is_ in tried if is_]
    wrong = verdict(alive, reasons(REASONS.read_text(encoding="utf-8"), short.values()))
    total = sum(len(tried) for tried in trial.found.values())
    print(f"{total} mutants, {len(alive)} alive.", *wrong, sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
