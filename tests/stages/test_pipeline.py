"""The whole story on the tiny model: every stage, what is reused, what is made again, and what is left to read."""

import json
import re
import zlib
from pathlib import Path

import pytest

from repo_exp.errors import MissingScoresError, RewardError
from repo_exp.evaluation.leaderboard import read_runs
from tests.rewards.conftest import Endpoint, asked_items, verdict


@pytest.fixture
def endpoint(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = Endpoint()
    yield server
    server.close()


def made(folder: Path) -> dict[str, str]:
    """Return stage -> artifact folder."""
    return dict(line.split("\t") for line in (folder / "artifacts.tsv").read_text().splitlines())


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_one_command_goes_from_data_to_report(experiment) -> None:
    folder = experiment("a")
    stages = made(folder)
    assert list(stages) == ["data", "sft", "reward_model", "judge", "policy", "capability", "evaluate"]

    html = (folder / "report.html").read_text()
    assert "R_model" in html and "evaluate" in html
    assert not re.search(r"""(src|href)\s*=\s*["']https?:""", html)  # self-contained

    rollouts = rows(folder / "rollouts.jsonl")
    assert len(rollouts) == 2 * 4
    assert {"model", "judge", "rules"} <= set(rollouts[0]["sources"])
    responses = rows(folder / "responses.jsonl")
    assert [sum(row["variant"] == variant for row in responses) for variant in ("base", "sft", "repo")] == [4, 4, 4]

    metrics = rows(folder / "metrics.jsonl")
    assert {row["stage"] for row in metrics} == {"sft", "reward_model", "judge", "policy", "capability"}
    policy, validation = ([row for row in metrics if row["stage"] == name] for name in ("policy", "capability"))
    assert [row["step"] for row in policy] == [1, 2] and "reward/total" in policy[0]["metrics"]
    assert [row["step"] for row in validation] == [0, 1, 2]
    assert all("capability/total" in row["metrics"] for row in validation)


def test_a_table_of_runs_reads_what_a_run_writes(experiment) -> None:
    folder = experiment("a")
    hydra = {"overrides": {"task": []}, "runtime": {"cwd": str(folder), "choices": {"algorithm": "repo"}}}
    (folder / ".hydra").mkdir()
    (folder / ".hydra/hydra.yaml").write_text(json.dumps({"hydra": hydra}))
    (folder / ".hydra/config.yaml").write_text(json.dumps({"seed": 0}))
    [run], unfinished = read_runs(folder.parent)
    assert unfinished == [] and run.method == "repo" and run.variant["n"] == 4
    assert {"sources", "combine", "total"} <= set(run.metric)


def test_a_second_run_makes_nothing_and_says_the_same(experiment) -> None:
    first, second = experiment("a"), experiment("b")
    assert made(first) == made(second)
    for name in ("responses.jsonl", "rollouts.jsonl"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    assert "from the store" in (second / "report.html").read_text() or "reused" in (second / "report.html").read_text()


def test_the_notebook_reads_a_run(experiment, monkeypatch, capsys) -> None:
    """Every cell, on a run that was just made; one of them works every reward out again."""
    monkeypatch.setenv("REPO_EXP_RUN", str(experiment("a")))
    monkeypatch.setenv("MPLBACKEND", "agg")
    notebook = json.loads((Path(__file__).parents[2] / "notebooks" / "01_read_a_run.ipynb").read_text(encoding="utf-8"))
    names: dict = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), cell["id"], "exec"), names)
    said = capsys.readouterr().out
    assert "all 12 totals of the evaluation are what the formula says" in said
    assert "biggest gain" in said


def test_two_stores_hold_the_same_bits(experiment, tmp_path) -> None:
    """Same seed, same command, nothing shared: every artifact has the same address and the same content."""
    first, second = made(experiment("a")), made(experiment("b", f"store={tmp_path / 'other'}"))
    for stage, folder in first.items():
        one, other = (json.loads((Path(f) / "artifact.json").read_text()) for f in (folder, second[stage]))
        assert one["address"] == other["address"]
        assert one["files"] == other["files"], stage


def test_a_run_that_is_cut_off_ends_as_if_it_had_not_been(experiment, tmp_path, monkeypatch) -> None:
    """The power goes in the policy's second update; the same command then gives the bits of an unbroken run."""
    from repo_exp.training.callbacks.progress import StageProgress

    class PowerCut(Exception):
        pass

    def cut(self, step, metrics) -> None:
        if self.stage == "policy" and step == 2:
            raise PowerCut

    whole, store = made(experiment("a")), f"store={tmp_path / 'other'}"
    with monkeypatch.context() as patched:
        patched.setattr(StageProgress, "update", cut)
        with pytest.raises(PowerCut):
            experiment("b", store)
    assert not list((tmp_path / "other").glob("policy/*")) and list(
        (tmp_path / "other").glob(".work/policy-*/last.ckpt")
    )
    resumed = made(experiment("c", store))
    for stage in ("policy", "evaluate"):
        one, other = (json.loads((Path(run[stage]) / "artifact.json").read_text()) for run in (whole, resumed))
        assert one["files"] == other["files"]


def test_another_n_retrains_the_policy_alone(experiment) -> None:
    before, after = made(experiment("a")), made(experiment("b", "reward.n=25"))
    changed = {stage for stage in before if before[stage] != after[stage]}
    assert changed == {"policy", "capability", "evaluate"}


def test_measuring_in_another_way_trains_nothing(experiment) -> None:
    before = made(experiment("a"))
    after = made(experiment("b", "evaluation.n=50", "evaluation.validation_prompts=3"))
    assert {stage for stage in before if before[stage] != after[stage]} == {"capability", "evaluate"}


def test_dropping_sources_trains_sft_and_reward_model_once(experiment) -> None:
    runs = [made(experiment(name, f"reward={name}")) for name in ("rm+rj+rf", "rm+rf", "rm")]
    for stage in ("data", "sft", "reward_model", "judge"):
        assert len({run[stage] for run in runs}) == 1
    assert len({run["policy"] for run in runs}) == 3


def test_another_seed_shares_nothing(experiment) -> None:
    first, other = made(experiment("a")), made(experiment("b", "seed=1"))
    assert not set(first.values()) & set(other.values())


@pytest.mark.parametrize(
    ("overrides", "variants"),
    [
        (["algorithm=sft"], ["base", "sft"]),
        (["algorithm=ppo", "reward=rm", "algorithm.kl_coefficient=0.05"], ["base", "sft", "ppo"]),
        (["algorithm=grpo_care", "algorithm.group_size=2", "algorithm.average_every=1"], ["base", "sft", "grpo_care"]),
        (["reward=rf", "evaluation.sources=as_trained"], ["base", "sft", "repo"]),
        (["reward=rj+rf", "evaluation.sources=as_trained"], ["base", "sft", "repo"]),
    ],
    ids=["sft", "ppo with a KL", "a moving average", "rules alone", "no reward model"],
)
def test_other_experiments_run_to_their_report(experiment, overrides, variants) -> None:
    folder = experiment("a", *overrides)
    results = json.loads((Path(made(folder)["evaluate"]) / "results.json").read_text())
    assert results["order"] == variants
    assert (folder / "report.html").is_file()


def test_training_stops_before_it_learns_from_responses_that_a_dead_judge_left_unscored(experiment, tmp_path) -> None:
    store = tmp_path / "store"
    with pytest.raises(MissingScoresError, match="no score for 4 of 4 responses") as caught:
        experiment("a", f"store={store}", *judge_at("http://127.0.0.1:9"))
    assert "judge: " in str(caught.value) and "reward.max_missing" in str(caught.value)
    assert not list(store.glob("policy/*")) and list(store.glob(".work/policy-*"))


def test_a_share_of_one_lets_training_go_on_and_the_evaluation_says_so_first(experiment) -> None:
    folder = experiment("a", *judge_at("http://127.0.0.1:9"), "reward.max_missing=1.0")
    scored = rows(folder / "rollouts.jsonl")
    assert all(row["sources"]["judge"]["value"] is None and row["sources"]["judge"]["reason"] for row in scored)
    conclusion = json.loads((Path(made(folder)["evaluate"]) / "results.json").read_text())["verdict"]
    assert conclusion["status"] == "withheld"
    assert conclusion["text"].startswith("No response has a score from the judge (")
    curve = [row["metrics"] for row in rows(folder / "metrics.jsonl") if row["stage"] == "capability"]
    assert all("capability/total" not in each and "capability/judge" not in each for each in curve)
    assert all(each["capability/unscored"] == 1.0 for each in curve)
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["test/repo/unscored"], summary["test/repo/total"]) == (4, None)


def opinion(request) -> str:
    """A judge that says yes or no by the response alone, whenever it is asked."""
    number = zlib.crc32(request["messages"][-1]["content"].encode())
    return verdict(request, *[name for place, name in enumerate(asked_items(request)) if number >> place & 1])


@pytest.mark.slow
def test_a_run_goes_on_where_its_judge_died_and_ends_as_one_whose_judge_did_not(experiment, tmp_path, endpoint) -> None:
    endpoint.answer = lambda request, number: opinion(request)
    whole = made(experiment("a", f"store={tmp_path / 'one'}", *judge_at(endpoint.url)))
    before = len(endpoint.requests)
    # the second of two updates is what it does not live to see
    endpoint.answer = lambda request, number: opinion(request) if number <= before + 4 else (500, {}, b"{}")
    store = f"store={tmp_path / 'other'}"
    with pytest.raises(MissingScoresError):
        experiment("b", store, *judge_at(endpoint.url))
    assert list((tmp_path / "other").glob(".work/policy-*/last.ckpt"))
    endpoint.answer = lambda request, number: opinion(request)
    resumed = made(experiment("c", store, *judge_at(endpoint.url)))
    for stage in ("policy", "evaluate"):
        one, other = (json.loads((Path(run[stage]) / "artifact.json").read_text()) for run in (whole, resumed))
        assert one["files"] == other["files"]


@pytest.mark.slow
def test_an_evaluation_whose_judge_died_is_made_again(experiment, tmp_path, endpoint, monkeypatch) -> None:
    from repo_exp.stages import evaluate

    variants, policy_agent = [], evaluate.policy_agent

    def counted(*args, **kwargs):
        variants.append(1)
        return policy_agent(*args, **kwargs)

    monkeypatch.setattr(evaluate, "policy_agent", counted)
    endpoint.answer = lambda request, number: opinion(request) if len(variants) < 2 else (500, {}, b"{}")
    command = [f"store={tmp_path / 'store'}", *judge_at(endpoint.url)]
    first = experiment("a", *command)
    results = json.loads((Path(made(first)["evaluate"]) / "results.json").read_text())
    assert results["verdict"]["status"] == "withheld" and results["comparisons"][0]["total"]["p"] is None
    assert "withheld" in (first / "report.html").read_text()
    endpoint.answer = lambda request, number: opinion(request)
    second = experiment("b", *command)
    results = json.loads((Path(made(second)["evaluate"]) / "results.json").read_text())
    assert results["unscored"] == {} and results["verdict"]["status"] != "withheld"
    assert made(first) == made(second)
    asked = len(endpoint.requests)
    experiment("c", *command)
    assert len(endpoint.requests) == asked


def judge_at(url: str) -> list[str]:
    gone = ("epochs", "batch_size", "turns")
    settings = {"model": "m", "base_url": url, "api_key_env": "NO_KEY", "concurrency": 8, "timeout": 1.0, "retries": 0}
    settings |= {"max_calls": "null", "temperature": 0.0, "max_tokens": 64, "replay_only": "false"}
    return ["judge.kind=openai", *(f"~judge.{k}" for k in gone), *(f"+judge.{k}={v}" for k, v in settings.items())]


def test_own_data_runs_with_general_rules(experiment, tmp_path) -> None:
    lines = [
        {
            "prompt": [{"role": "user", "content": f"Is there a lift on floor {i}?"}],
            "chosen": [{"role": "assistant", "content": f"Yes, floor {i} has one."}],
            "rejected": [{"role": "assistant", "content": "I do not care."}],
        }
        for i in range(60)
    ]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    folder = experiment("a", "data=jsonl", f"data.path={path}")
    html = (folder / "report.html").read_text()
    assert (
        "no demonstration shows the policy how to end" in html
        and "no training response has a label of the rubric" in html
    )
    with pytest.raises(RewardError, match="no prompt has the fact 'hotel_complains'"):
        experiment("a", "data=jsonl", f"data.path={path}", "domain.rubric=hotel")


def test_adapters_are_safetensors_and_nothing_is_pickled(experiment) -> None:
    stages = made(experiment("a"))
    files = {path.name for folder in stages.values() for path in Path(folder).rglob("*") if path.is_file()}
    assert {"adapter_model.safetensors", "head.safetensors"} <= files
    assert not [name for name in files if name.endswith((".ckpt", ".pt", ".bin", ".pkl", ".tmp"))]
