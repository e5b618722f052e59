"""How cost grows with the work: `python -m bench.scaling [AXIS ...]`. One update a point, in a process of its own.

It is GRPO's, and PPO's where the axis is the prompts' shared prefix: each of its responses has a prompt of its own.
With axes only these are measured again; the others keep their results.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from bench.compare import RESULTS, run
from bench.machine import describe, fast_dtype, model_folder, suffix
from bench.workload import kind

AXES = {
    "responses": (8, 16, 32, 64, 128),
    "new_tokens": (32, 64, 128, 256, 512),
    "prompt_tokens": (64, 128, 256, 512, 1024),
    "rank": (8, 16, 32, 64, 128),
    "roles": (1, 2, 4, 8),
    "common_tokens": (0, 25, 50, 100, 150),
}
PICTURE = Path(__file__).parent.parent / "docs" / "performance.svg"


def main() -> None:
    """Measure every point in the precision that this processor is fast in.

    Writes ``results/scaling[_float32].json`` and the picture.
    """
    os.environ["BENCH_DTYPE"] = dtype = fast_dtype()
    path, wanted = RESULTS / f"scaling{suffix(dtype)}.json", sys.argv[1:] or list(AXES)
    points: dict[str, list[dict[str, float]]] = {axis: [] for axis in AXES}
    if path.is_file():
        points |= json.loads(path.read_text())["points"]
    for axis in wanted:
        points[axis] = []
        for value in AXES[axis]:
            os.environ["BENCH_WORK"] = json.dumps({axis: value})
            found = run([sys.executable, "-m", "bench.ours_update", str(model_folder()), kind(axis)])
            points[axis].append({axis: value, "seconds": found["seconds"][0], "peak_gib": found["peak_gib"]})
            print(axis, points[axis][-1], flush=True)
    RESULTS.mkdir(exist_ok=True)
    path.write_text(json.dumps({"machine": describe(), "points": points}, indent=1) + "\n")
    draw({axis: measured for axis, measured in points.items() if measured})


def draw(points: dict[str, list[dict[str, float]]]) -> None:
    """Draw seconds and memory over each axis, with the line that is exactly linear."""
    matplotlib.rcParams["svg.hashsalt"] = "bench"
    figure = Figure(figsize=(18, 5), layout="constrained")
    panels = figure.subplots(2, len(points), sharex="col", squeeze=False)
    for column, (axis, measured) in enumerate(points.items()):
        x = [point[axis] for point in measured]
        for row, name in enumerate(("seconds", "peak_gib")):
            panel = panels[row][column]
            panel.plot(x, [point[name] for point in measured], marker="o")
            if name == "seconds" and x[0]:
                panel.plot(x, [measured[0][name] * value / x[0] for value in x], linestyle=":", color="grey")
            panel.set(xscale="log" if x[0] else "linear", yscale="log" if x[0] and name == "seconds" else "linear")
            panel.set_xticks(x, [str(value) for value in x])
            panel.minorticks_off()
            if name == "peak_gib" or not x[0]:
                panel.set(ylim=(0, None))
            if name == "peak_gib":
                panel.set(xlabel=f"{axis.replace('_', ' ')} ({kind(axis)})")
            if column == 0:
                panel.set_ylabel({"seconds": "seconds an update", "peak_gib": "peak memory, GiB"}[name])
    figure.savefig(PICTURE, format="svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
