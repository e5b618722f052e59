"""The table of several runs: from records by hand, and from folders as runs leave them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from repo_exp.evaluation.leaderboard import PAGE, Run, main, read_runs, table

GIB = 2**30


def mean(value: float | None, low: float | None = None, high: float | None = None) -> dict:
    return {"mean": value, "low": low, "high": high, "n": 96, "missing": 0}


def variant(total: float | None) -> dict:
    return {
        "n": 96,
        "total": mean(total, -0.125, 0.625),
        "sources": {"model": mean(0.5, 0.25, 0.75), "judge": mean(12.34, 10.0, 14.0)},
        "violations": {"share": 0.0625, "low": 0.02, "high": 0.13, "n": 96},
    }


def record(sampled: int, learnt: int) -> dict:
    cost = {"tokens": {"sampled": sampled, "learnt": learnt}, "phases": {}, "peak_memory": {"process": 3 * GIB // 2}}
    return {"seconds": 41.7, "cost": cost}


RESULTS = {
    "source_info": {
        "model": {"label": "reward model", "unit": "score"},
        "judge": {"label": "judge", "unit": "points"},
        "rm2": {"label": "reward model rm2", "unit": "score"},
    }
}
REPO = Run("repo", 0, variant(0.25), {"n": 100}, record(12000, 24000), results=RESULTS)
IPO = Run("ipo", 0, variant(0.5), {"n": 100}, record(0, 15000))
SFT = Run("sft", 0, variant(0.0), {"n": 100}, None)


def rows(page: str) -> list[list[str]]:
    lines = [line for line in page.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_a_row_by_hand() -> None:
    assert rows(table([REPO])) == [
        ["repo", "0", "0.25 [−0.12, 0.62]", "0.50 [0.25, 0.75]", "12.3 [10.0, 14.0]", "6.2 % [2.0 %, 13 %]",
         "0 of 96", "12,000", "24,000", "42", "1.50 GiB"]
    ]  # fmt: skip


def test_the_best_total_is_first_and_what_is_not_there_is_a_dash() -> None:
    unscored = Run("ppo", 0, variant(None) | {"violations": None}, {"n": 100}, {"seconds": 3.0})
    found = rows(table([SFT, unscored, REPO, IPO]))
    assert [row[0] for row in found] == ["ipo", "repo", "sft", "ppo"]
    assert found[2][-4:] == ["–"] * 4 and found[3][2] == "–" and found[3][-4:] == ["–", "–", "3", "–"]


def test_a_mean_that_is_withheld_is_said_and_so_is_how_many_responses_are_unscored() -> None:
    silent = variant(None) | {"unscored": 70}
    silent["total"] = {"mean": None, "low": None, "high": None, "n": 26, "missing": 70, "withheld": True}
    page = table([REPO, Run("ppo", 0, silent, {"n": 100}, None)])
    assert [row[2] for row in rows(page)] == ["0.25 [−0.12, 0.62]", "withheld"]
    assert rows(page)[1][6] == "70 of 96"
    assert "asks again for what failed" in page and "asks again" not in table([REPO])


def test_every_source_of_any_run_has_a_column() -> None:
    two = variant(0.5) | {"sources": {"model": mean(0.5), "rm2": mean(0.123)}}
    page = table([REPO, Run("grpo", 0, two, {"n": 100}, None, results=RESULTS)])
    assert page.startswith("| method | seed | total | reward model | reward model rm2 | judge | violations |")
    assert [row[3:6] for row in rows(page)] == [["0.50", "0.12", "–"], ["0.50 [0.25, 0.75]", "–", "12.3 [10.0, 14.0]"]]


def test_what_cannot_be_compared_is_said() -> None:
    page = table([REPO, IPO])
    assert "not measured alike" not in page and "within a seed" not in page
    other = Run("grpo", 1, variant(0.9), {"n": 50}, None)
    page = table([REPO, other, IPO], ["3-gdpo-seed0"])
    assert "not measured alike" in page and "within a seed" in page and "Not finished: 3-gdpo-seed0" in page
    assert [row[0] for row in rows(page)] == ["ipo", "repo", "grpo"]  # seed by seed


def test_each_override_that_differs_has_a_column() -> None:
    runs = [
        Run("repo", 0, variant(total), {}, None, {"reward.n": n, "model": "tiny", "rubric": "a|b"})
        for total, n in ((0.1, "25"), (0.4, "100"))
    ]
    page = table(runs)
    assert page.splitlines()[0].startswith("| method | seed | reward.n | total |")
    assert [row[2:4] for row in rows(page)] == [["100", "0.40 [−0.12, 0.62]"], ["25", "0.10 [−0.12, 0.62]"]]


def test_accelerators_have_their_own_peak() -> None:
    costly = record(1, 1) | {"cost": {"peak_memory": {"process": GIB, "accelerator": 2 * GIB}}}
    assert rows(table([Run("dpo", 0, variant(0.1), {}, costly)]))[0][-1] == "1.00 GiB + 2.00 GiB"


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Return a sweep of two jobs with a store named from the folder they ran in; the second did not finish."""
    for stage, files in {
        "evaluate": {"results.json": {"order": ["base", "sft", "dpo"], "metric": {"n": 100},
                                      "variants": {"dpo": variant(0.5), "sft": variant(0)}}},
        "policy": {"artifact.json": record(0, 15000)},
    }.items():  # fmt: skip
        (tmp_path / "store" / stage).mkdir(parents=True)
        for name, content in files.items():
            (tmp_path / "store" / stage / name).write_text(json.dumps(content))
    for job in ("0-ipo-seed7", "1-repo-seed7"):
        hydra = tmp_path / "sweep" / job / ".hydra"
        hydra.mkdir(parents=True)
        given = ["algorithm=ipo", "seed=7", "reward.n=25", "store=x"]
        method = {
            "hydra": {
                "overrides": {"task": given if job.startswith("0") else ["reward=rm", "budget.updates=3"]},
                "runtime": {"cwd": str(tmp_path), "choices": {"algorithm": job.split("-")[1], "reward": "rm+rf"}},
            }
        }
        (hydra / "hydra.yaml").write_text(yaml.safe_dump(method))
        (hydra / "config.yaml").write_text("seed: 7\nbudget: {updates: 12}\n")
    made = "".join(f"{stage}\tstore/{stage}\n" for stage in ("policy", "evaluate"))
    (tmp_path / "sweep" / "0-ipo-seed7" / "artifacts.tsv").write_text(made)
    return tmp_path / "sweep"


def test_finished_runs_are_read_by_the_option_that_was_chosen(sweep) -> None:
    """The variant is called dpo, the method is ipo."""
    runs, unfinished = read_runs(sweep)
    assert [(run.method, run.seed, run.variant["total"]["mean"]) for run in runs] == [("ipo", 7, 0.5)]
    assert unfinished == ["1-repo-seed7"]


def test_a_run_that_does_not_override_a_key_has_what_its_configuration_says(sweep) -> None:
    (sweep / "1-repo-seed7" / "artifacts.tsv").write_text((sweep / "0-ipo-seed7" / "artifacts.tsv").read_text())
    (first, second), _ = read_runs(sweep)
    assert first.settings == {"reward": "rm+rf", "reward.n": "25", "budget.updates": "12"}
    assert second.settings == {"reward": "rm", "reward.n": "–", "budget.updates": "3"}


def test_a_run_whose_artifacts_are_gone_is_named(sweep) -> None:
    (sweep / "1-repo-seed7" / "artifacts.tsv").write_text("evaluate\tnowhere\n")
    runs, unfinished = read_runs(sweep)
    assert len(runs) == 1 and unfinished == ["1-repo-seed7 (its artifacts cannot be read)"]


def test_the_page_is_written_into_the_folder(sweep) -> None:
    page = main(sweep)
    assert (sweep / PAGE).read_text(encoding="utf-8") == page and "15,000" in page
    assert not list(sweep.glob("*.tmp"))


def test_a_folder_without_runs_says_so(tmp_path) -> None:
    assert main(tmp_path) == "no finished run\n"
