"""The command as a user types it: what is printed, where, and how it ends."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

from repo_exp import __main__ as entry
from repo_exp import job
from repo_exp.config.check import load
from repo_exp.errors import DataError, Problem, RewardError, StoreError

ROOT = Path(__file__).resolve().parents[1]


def command(*arguments: str, cwd: Path, code: str | None = None, **environment: str) -> subprocess.CompletedProcess:
    start = ["-c", code] if code else ["-m", "repo_exp"]
    env = {key: value for key, value in os.environ.items() if not key.startswith(("HYDRA", "REPO_EXP"))}
    env |= {"PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(
        [sys.executable, *start, *arguments], cwd=cwd, env=env, capture_output=True, text=True, timeout=60, check=False
    )


# Runs the entry point and says which heavy libraries it has imported by the end.
WATCHED = """
import sys
from repo_exp.__main__ import main
code = 1
try:
    code = main()
finally:
    heavy = {"torch", "transformers", "lightning", "peft", "wandb", "matplotlib", "scipy", "pandas", "pyarrow"}
    heavy |= {"openai", "datasets", "sklearn", "numpy", "psutil", "filelock", "tokenizers", "huggingface_hub", "jinja2"}
    print("HEAVY:", *sorted(heavy & set(sys.modules)), file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--help"], "smollm2_135m"),
        (["--help", "reward"], "reward.n=100"),
        (["--help", "algorithm=grpo"], "algorithm.group_size"),
        (["reward=rm+rj+rf", "model=qwen3_32b", "--cfg", "job"], "hub: Qwen/Qwen3-32B"),
    ],
)
def test_help_and_configuration_are_shown_without_anything_heavy(tmp_path, arguments, expected):
    done = command(*arguments, cwd=tmp_path, code=WATCHED)
    assert done.returncode == 0, done.stderr
    assert expected in done.stdout
    assert done.stderr.strip() == "HEAVY:"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "choices",
    [
        [],
        ["model=smollm2_135m"],
        ["algorithm=dpo"],
        ["algorithm=gdpo", "reward=rm+rf"],
        ["algorithm=ppo", "reward.combine=lexicographic"],
        ["trainer.accelerator=auto"],
    ],
)
def test_a_check_imports_nothing_heavy(tmp_path, choices):
    done = command("task=check", "model=tiny", *choices, cwd=tmp_path, code=WATCHED)
    assert done.returncode == 0, done.stderr
    assert "Configuration OK." in done.stdout
    assert done.stderr.strip() == "HEAVY:"


def test_a_mistaken_command_ends_with_one_report_and_no_traceback(tmp_path):
    done = command("modle=tiny", "optimizer=adm", "reward.nn=5", "reward.n=abc", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "4 problems" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_installed_commands_completion_lists_groups_and_options(tmp_path):
    expected = {"repo-exp re": ["reward=", "reward_model="], "repo-exp reward=rm+": ["reward=rm+rj+rf"]}
    for line, words in expected.items():
        done = command("-sc", "query=bash", cwd=tmp_path, COMP_LINE=line, COMP_POINT=str(len(line)))
        assert done.returncode == 0, done.stderr
        assert set(words) <= set(done.stdout.split())


class TestJobs:
    """The entry point in this process, with a pipeline that does what the test says."""

    @pytest.fixture
    def run(self, monkeypatch, tmp_path, capsys):
        """Return a function: (what the pipeline does, arguments) -> (exit code, what was printed, the calls)."""

        def start(pipeline, *arguments: str):
            calls = []

            def fake(config, **named):
                calls.append((config, named))
                return pipeline(config)

            module = types.ModuleType("repo_exp.stages.pipeline")
            module.run = fake
            monkeypatch.setitem(sys.modules, "repo_exp.stages.pipeline", module)
            monkeypatch.setattr("repo_exp.stages.pipeline", module, raising=False)
            monkeypatch.setattr(sys, "argv", ["repo_exp", "model=tiny", *arguments])
            monkeypatch.chdir(tmp_path)
            monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
            code = entry.main()
            return code, capsys.readouterr(), calls

        return start

    def test_a_run_gets_config_values_folder_and_command(self, run, tmp_path):
        code, _, [(config, named)] = run(lambda config: {"objective": 1.5}, "reward.n=7", "seed=3")
        assert code == 0
        assert (config.reward.n, config.seed, named["raw"]["reward"]["n"]) == (7.0, 3, 7)
        assert named["command"] == "python -m repo_exp model=tiny reward.n=7 seed=3"
        assert named["folder"].is_relative_to(tmp_path / "outputs")
        assert (named["folder"] / ".hydra" / "config.yaml").is_file()

    def test_a_sweep_runs_each_job_with_its_own_command(self, run):
        code, _, calls = run(lambda config: None, "-m", "seed=0,1")
        assert code == 0
        assert [named["command"] for _, named in calls] == [
            "python -m repo_exp model=tiny seed=0",
            "python -m repo_exp model=tiny seed=1",
        ]
        assert [named["folder"].name for _, named in calls] == ["0-seed0", "1-seed1"]

    def test_a_check_starts_no_job_and_leaves_no_folder(self, run, tmp_path):
        code, printed, calls = run(lambda config: None, "task=check", "-m", "seed=0,1,2")
        assert (code, calls, list(tmp_path.iterdir())) == (0, [], [])
        assert "3 jobs, all checked" in printed.out

    def test_points_of_a_single_rule_reach_the_run(self, run):
        code, _, [(config, _)] = run(lambda config: None, "reward.rule_points.too_long=-7")
        assert code == 0
        assert config.reward.rule_points == {"too_long": -7.0}

    @pytest.mark.parametrize(("error", "code"), [(DataError, 2), (RewardError, 2), (StoreError, 1)])
    def test_an_error_that_the_user_can_mend_is_a_message(self, run, error, code):
        def fail(config):
            raise error("It is broken.", [Problem("here", "a crack", "glue")])

        ended, printed, _ = run(fail)
        assert ended == code
        assert "It is broken.\n  here: a crack\n    glue\n" in printed.err
        assert "Traceback" not in printed.err
        assert "HYDRA_FULL_ERROR" not in os.environ

    def test_an_error_of_the_program_keeps_its_traceback(self, run):
        def fail(config):
            raise ZeroDivisionError("a bug")

        with pytest.raises(ZeroDivisionError, match="a bug"):
            run(fail)

    def test_a_failed_job_does_not_stop_the_others_of_a_sweep(self, run):
        def fail_at_1_and_2(config):
            if config.seed in (1, 2):
                raise StoreError(f"seed {config.seed} is broken.")

        code, printed, calls = run(fail_at_1_and_2, "-m", "seed=0,1,2,3")
        assert (code, len(calls)) == (1, 4)
        assert "seed 1 is broken." in printed.err
        assert "job 2 (2-seed2): seed 2 is broken." in printed.out + printed.err
        assert "Traceback" not in printed.out + printed.err

    def test_a_stopped_run_says_how_to_go_on(self, run):
        def stop(config):
            raise KeyboardInterrupt

        code, printed, _ = run(stop)
        assert code == 130
        assert len(printed.err.strip().splitlines()) == 1

    def test_hydras_own_errors_are_messages_too(self, run):
        code, printed, _ = run(lambda config: None, "--config-dir", "/nowhere")
        assert code == 2
        assert "/nowhere" in printed.err
        assert "Traceback" not in printed.err

    def test_rules_that_fail_their_own_examples_are_in_the_same_report(self, run, tmp_path):
        folder = tmp_path / "rules"
        folder.mkdir()
        (folder / "odd.yaml").write_text("kind: no_such_kind\npoints: 5\n")
        code, printed, calls = run(lambda config: None, f"domain.rules={folder}", "reward.n=abc")
        assert (code, calls) == (2, [])
        assert "odd.yaml" in printed.err
        assert "'abc'" in printed.err

    def test_the_objective_is_what_a_sweeper_gets(self, monkeypatch):
        module = types.ModuleType("repo_exp.stages.pipeline")
        module.run = lambda config, **named: {"objective": 2}
        monkeypatch.setitem(sys.modules, "repo_exp.stages.pipeline", module)
        monkeypatch.setattr("repo_exp.stages.pipeline", module, raising=False)
        from repo_exp.config.compose import Composer

        cfg = Composer.create().compose(["model=tiny"])
        assert job._do(load(cfg), cfg, folder=Path(), overrides=[]) == 2.0

    def test_listing_artifacts_asks_the_store(self, run, monkeypatch):
        seen = []
        module = types.ModuleType("repo_exp.stages.artifacts")
        module.show = seen.append
        monkeypatch.setitem(sys.modules, "repo_exp.stages.artifacts", module)
        monkeypatch.setattr("repo_exp.stages.artifacts", module, raising=False)
        code, _, calls = run(lambda config: None, "task=artifacts")
        assert (code, calls, len(seen)) == (0, [], 1)
