"""Runs contenders in turn, each in a process of its own, and writes ratios with their minimum and maximum.

`python -m bench.compare grpo|ppo --peer PEER_PYTHON [--runs 5] [--alike] [--dtype float32]`
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.machine import DTYPES, describe, fast_dtype, model_folder, suffix
from bench.workload import SHARED_PREFIX, THREADS

RESULTS = Path(__file__).parent / "results"
ROOT = Path(__file__).parent.parent


def run(command: list[str]) -> dict[str, Any]:
    """Run one contender and return its report.

    Raises:
        SystemExit: it failed.
    """
    env = os.environ | {
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": str(THREADS),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "WANDB_MODE": "disabled",
    }
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=ROOT, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return json.loads(lines[-1])


def min_median_max(values: list[float]) -> dict[str, float]:
    """Return these three of some values."""
    return {"min": min(values), "median": statistics.median(values), "max": max(values)}


def main() -> None:
    """Alternate the contenders and write ``results/update_<kind>[_alike][_float32].json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("grpo", "ppo"))
    parser.add_argument("--peer", required=True, help="the python of the peer's environment")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--alike", action="store_true", help=f"all prompts share their first {SHARED_PREFIX} tokens")
    parser.add_argument("--dtype", choices=DTYPES, default=fast_dtype(), help="default: what this processor is fast in")
    args = parser.parse_args()
    os.environ["BENCH_DTYPE"] = args.dtype
    if args.alike:
        work = json.loads(os.environ.get("BENCH_WORK", "{}"))
        os.environ["BENCH_WORK"] = json.dumps(work | {"common_tokens": SHARED_PREFIX})
    folder = str(model_folder())
    ours = [sys.executable, "-m", "bench.ours_update", folder, args.kind]
    peer = [args.peer, f"bench/peers/trl_{args.kind}.py", folder]
    runs: list[dict[str, dict[str, Any]]] = []
    for number in range(args.runs):
        pair = {"ours": run(ours), "peer": run(peer)}
        runs.append(pair)
        seconds = {name: statistics.median(report["seconds"]) for name, report in pair.items()}
        print(f"run {number + 1}: ours {seconds['ours']:.1f} s, peer {seconds['peer']:.1f} s", flush=True)
    times = {name: [statistics.median(pair[name]["seconds"]) for pair in runs] for name in ("ours", "peer")}
    peaks = {name: [pair[name]["peak_gib"] for pair in runs] for name in ("ours", "peer")}
    result = {
        "contenders": {name: runs[0][name]["name"] for name in ("ours", "peer")},
        "machine": describe(),
        "work": runs[0]["ours"]["work"] | {"dtype": args.dtype},
        "seconds": {name: min_median_max(values) for name, values in times.items()},
        "peak_gib": {name: min_median_max(values) for name, values in peaks.items()},
        "speed_ratio": min_median_max([p / o for o, p in zip(times["ours"], times["peer"], strict=True)]),
        "memory_ratio": min_median_max([p / o for o, p in zip(peaks["ours"], peaks["peer"], strict=True)]),
        "runs": runs,
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"update_{args.kind}{'_alike' if args.alike else ''}{suffix(args.dtype)}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    shown = {key: result[key] for key in ("seconds", "peak_gib", "speed_ratio", "memory_ratio")}
    print(json.dumps(shown, indent=1))


if __name__ == "__main__":
    main()
