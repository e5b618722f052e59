"""One table of several runs: the results of each method on the test prompts, and what training cost.

    python -m repo_exp.evaluation.leaderboard multirun/DATE/TIME

prints the table and writes it to ``leaderboard.md`` in that folder.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from repo_exp.durable import write_text
from repo_exp.evaluation.names import SourceNames
from repo_exp.evaluation.numbers import number, percent

PAGE = "leaderboard.md"
NONE = "–"
FIRST, LAST = ("method", "seed"), ("violations", "unscored", "tokens sampled", "tokens trained on", "seconds",
                                   "peak memory")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run.

    Attributes:
        method: the option of ``algorithm`` that was chosen.
        variant: of its trained policy, as in ``results.json``.
        metric: the reward that it was measured with; totals of another one cannot be compared.
        policy: the record of its policy artifact; None where nothing was trained beyond SFT.
        settings: what it has for each key that any of the runs overrides.
        results: of its evaluation, for the names of its sources.
    """

    method: str
    seed: int
    variant: Mapping[str, Any]
    metric: Mapping[str, Any]
    policy: Mapping[str, Any] | None
    settings: Mapping[str, str] = field(default_factory=dict)
    results: Mapping[str, Any] = field(default_factory=dict)


def read_runs(folder: Path) -> tuple[list[Run], list[str]]:
    """Return the finished runs below a folder, and the names of those that did not finish."""
    runs, unfinished, found = [], [], []
    for hydra in sorted(folder.glob("*/.hydra/hydra.yaml")):
        place = hydra.parents[1]
        if (place / "artifacts.tsv").is_file():
            found.append((place, yaml.safe_load(hydra.read_text(encoding="utf-8"))["hydra"]))
        else:
            unfinished.append(place.name)
    keys = {key for _, hydra in found for key in _overrides(hydra)}
    for place, hydra in found:
        try:
            runs.append(_read(place, hydra, sorted(keys)))
        except (OSError, KeyError, ValueError):
            unfinished.append(f"{place.name} (its artifacts cannot be read)")
    return runs, unfinished


def _read(place: Path, hydra: Mapping[str, Any], keys: Sequence[str]) -> Run:
    runtime = hydra["runtime"]
    lines = (place / "artifacts.tsv").read_text(encoding="utf-8").splitlines()
    # the store may be given from the folder that the run was started in
    made = {stage: Path(runtime["cwd"], at) for stage, at in (line.split("\t") for line in lines)}
    results = _json(made["evaluate"] / "results.json")
    config = yaml.safe_load((place / ".hydra/config.yaml").read_text(encoding="utf-8"))
    policy = _json(made["policy"] / "artifact.json") if "policy" in made else None
    overrides = _overrides(hydra)
    settings = {key: overrides.get(key) or _setting(key, runtime["choices"], config) for key in keys}
    variant = results["variants"][results["order"][-1]]
    return Run(runtime["choices"]["algorithm"], config["seed"], variant, results["metric"], policy, settings, results)


def _overrides(hydra: Mapping[str, Any]) -> dict[str, str]:
    """Return key -> value of the overrides that say what a run is; where it is kept is no part of that."""
    task = (hydra.get("overrides") or {}).get("task") or []
    overrides = dict(str(each).lstrip("+~").partition("=")[::2] for each in task)
    return {key: value for key, value in overrides.items() if key not in ("algorithm", "seed", "store", "task")}


def _setting(key: str, choices: Mapping[str, Any], config: Any) -> str:
    """Return what a run has that does not override a key: its group's option, or the value in its configuration."""
    if key in choices:
        return str(choices[key])
    for part in key.split("."):
        config = config.get(part) if isinstance(config, Mapping) else None
    return NONE if config is None else str(config)


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def table(runs: Sequence[Run], unfinished: Sequence[str] = ()) -> str:
    """Return the runs as a markdown table, seed by seed, the best total first; what is not there is a dash.

    Each override that differs between the runs has a column.

    Under it stands what a reader must know to compare them.
    """
    if not runs:
        return "no finished run\n"
    ordered = sorted(runs, key=lambda run: (run.seed, -_or(run.variant["total"]["mean"], float("-inf")), run.method))
    differing = [key for key in sorted(runs[0].settings) if len({run.settings.get(key) for run in runs}) > 1]
    sources: dict[str, SourceNames] = {}
    for run in ordered:
        for name in run.variant["sources"]:
            sources.setdefault(name, SourceNames(run.results))
    labels = [names.label(name) for name, names in sources.items()]
    columns = [*FIRST, *differing, "total", *labels, *LAST]
    rows = [[run.method, str(run.seed), *(_plain(run.settings[key]) for key in differing), *_cells(run, sources)]
            for run in ordered]  # fmt: skip
    lines = [columns, ["---"] * len(columns), *rows]
    page = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    prompts = " or ".join(map(str, sorted({run.variant["n"] for run in runs})))
    notes = [
        f"n = {prompts} test prompts; means and shares with their intervals. Tokens (of responses), seconds and the "
        "process's peak of memory are those of the policy stage when it was made; of a run that went on after a stop, "
        "the seconds after that alone."
    ]
    if any(run.variant.get("unscored") for run in runs):
        notes.append(
            "Unscored responses have a score that failed and are left out of the means; where there are too many of "
            "them, a mean is withheld (evaluation.max_unscored). The same command asks again for what failed."
        )
    if any(run.metric != runs[0].metric for run in runs):
        notes.append("These runs were not measured alike: their totals cannot be compared.")
    if len({run.seed for run in runs}) > 1:
        notes.append("Each seed has a reward model of its own: compare totals within a seed.")
    if unfinished:
        notes.append(f"Not finished: {', '.join(unfinished)}.")
    return "\n\n".join([page, *notes]) + "\n"


def _cells(run: Run, sources: Mapping[str, SourceNames]) -> list[str]:
    record = run.policy or {}
    cost = record.get("cost") or {}  # records of an older version have none
    tokens, peak = cost.get("tokens", {}), cost.get("peak_memory", {})
    return [
        _mean(run.variant["total"], 2),
        *(_mean(run.variant["sources"].get(name), 2 if names.is_score(name) else 1) for name, names in sources.items()),
        _share(run.variant["violations"]),
        f"{run.variant.get('unscored', 0)} of {run.variant['n']}",
        *(f"{tokens[name]:,}" if name in tokens else NONE for name in ("sampled", "learnt")),
        f"{record['seconds']:.0f}" if record else NONE,
        " + ".join(f"{size / 2**30:.2f} GiB" for size in peak.values()) or NONE,
    ]


def _plain(value: str) -> str:
    """A value as a cell holds it: on one line, and without the sign that ends a cell."""
    return " ".join(value.split()).replace("|", "\\|")


def _mean(cell: Mapping[str, Any] | None, digits: int) -> str:
    if cell is None or cell["mean"] is None:
        return "withheld" if cell and cell.get("withheld") else NONE
    interval = "" if cell["low"] is None else f" [{number(cell['low'], digits)}, {number(cell['high'], digits)}]"
    return number(cell["mean"], digits) + interval


def _share(cell: Mapping[str, Any] | None) -> str:
    return NONE if cell is None else f"{percent(cell['share'])} [{percent(cell['low'])}, {percent(cell['high'])}]"


def _or(value: float | None, other: float) -> float:
    return other if value is None else value


def main(folder: Path) -> str:
    """Write the page into the folder, whole or not at all, and return it."""
    page = table(*read_runs(folder))
    write_text(folder / PAGE, page)
    return page


if __name__ == "__main__":
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        sys.exit("usage: python -m repo_exp.evaluation.leaderboard FOLDER   (of a sweep: multirun/DATE/TIME)")
    print(main(Path(sys.argv[1])), end="")
