"""Writes the measured part of docs/performance.md from results/*.json: `python -m bench.tables`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.workload import kind

ENDINGS = ("", "_float32")  # of the names of results
RESULTS = Path(__file__).parent / "results"
PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
START, END = "<!-- measured: start -->", "<!-- measured: end -->"


def result(name: str) -> dict[str, Any] | None:
    """Return a result; None where it was not measured."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def table(head: list[str], rows: list[list[Any]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def ratio(values: dict[str, float]) -> str:
    """Return the median, the minimum and the maximum in words."""
    return f"**{values['median']:.1f}** ({values['min']:.1f} to {values['max']:.1f})"


def machine(found: dict[str, Any]) -> str:
    """Return the machine in a line."""
    m = found["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in m["versions"].items())
    rates = m["products_gflops"]
    rates = rates if isinstance(rates, dict) else {"bfloat16": rates}
    products = ", ".join(f"{name} products {rate:g} GFLOP/s" for name, rate in rates.items())
    return (
        f"{m['cpu']} ({m.get('units', 'bfloat16 units')}), {m['threads']} threads, {products}, memory "
        f"{m['memory_gbs']} GB/s when asked; Python {m['python']}, {versions}"
    )


def precision(name: str) -> str:
    """Return the precision of a result by the end of its name."""
    return "float32" if name.endswith("_float32") else "bfloat16"


def updates() -> list[str]:
    """Return the comparison of updates."""
    rows = []
    for name in (f"{update}{dtype}" for dtype in ENDINGS for update in ("grpo", "ppo", "ppo_alike")):
        found = result(f"update_{name}")
        if found is None:
            continue
        seconds, peak = found["seconds"], found["peak_gib"]
        rows.append(
            [
                name.split("_")[0].upper(),
                precision(name),
                f"{found['work'].get('common_tokens', 0)} of {found['work']['prompt_tokens']}",
                found["contenders"]["peer"],
                f"{seconds['ours']['median']:.1f} s",
                f"{seconds['peer']['median']:.1f} s",
                ratio(found["speed_ratio"]),
                f"{peak['ours']['median']:.2f} GiB",
                f"{peak['peer']['median']:.2f} GiB",
                ratio(found["memory_ratio"]),
                len(found["runs"]),
            ]
        )
    head = ["update", "precision", "shared prefix", "peer", "ours", "peer", "times as fast"]
    head += ["our peak", "its peak", "times the memory", "runs"]
    return ["## An update against TRL\n", table(head, rows), ""] if rows else []


def sampling() -> list[str]:
    """Return the comparisons of sampling."""
    names = (f"{name}{dtype}" for dtype in ENDINGS for name in ("sampling", "sampling_alike"))
    found = [each for name in names if (each := result(name))]
    return ["## Sampling\n", *(line for each in found for line in sampled(each))] if found else []


def sampled(found: dict[str, Any]) -> list[str]:
    """Return one comparison of sampling."""
    work, floor = found["work"], found["roofline_seconds"]
    rows = [
        [name, f"{found['tokens_a_second'][name]:,}", f"{found['milliseconds_a_step'][name]} ms"]
        for name in found["seconds"]
    ]
    ratios = found["ratio_to_it"]
    middle, least, most = ratios[len(ratios) // 2], ratios[0], ratios[-1]
    products, memory = (f"{1000 * floor[name]:.1f} ms" for name in ("step_products", "step_memory"))
    steps = f"{products} (products; memory alone allows {memory})"
    alike = f"the first {work['common']} the same in all" if work.get("common") else "no shared prefix"
    return [
        f"In {work.get('dtype', 'bfloat16')}: batch {work['batch']}, prompts of {work['prompt']} tokens, {alike}, "
        f"{work['new_tokens']} new ones; ours "
        f"with an adapter of rank {work['rank']}, `generate` without one.\n",
        table(["contender", "tokens a second, prompts included", "a step"], rows),
        "",
        f"Against {found['best_of_generate']}: **{middle}** times as fast ({least} to {most}). Against the roofline: "
        f"{found['ours_over_roofline']} times as long. The roofline: {floor['reading']:.2f} s for reading the prompts, "
        f"then {steps} a step.\n",
    ]


def learning() -> list[str]:
    """Return the use of the machine by a training step."""
    rows = [
        [
            precision(f"learning{dtype}"),
            row["rank"],
            row["engine"],
            row["microbatch_tokens"],
            row["seconds"],
            row["tokens_a_second"],
            f"{row['gflops']} of {row['product_rate']}",
            f"{row['share']:.0%}",
        ]
        for dtype in ENDINGS
        for row in (result(f"learning{dtype}") or {"rows": []})["rows"]
    ]
    head = ["precision", "rank", "engine", "microbatch", "seconds", "tokens a second", "GFLOP/s in products", "share"]
    return ["## A training step against the matrix product rate\n", table(head, rows), ""] if rows else []


def scaling() -> list[str]:
    """Return cost as work grows."""
    found = {dtype: each for dtype in ENDINGS if (each := result(f"scaling{dtype}"))}
    if not found:
        return []
    shown = "![seconds and memory over batch, response, prompt, rank, roles and shared prefix](performance.svg)\n"
    parts = ["## Cost as work grows\n", shown]
    measured = [(dtype, *axis) for dtype, each in found.items() for axis in each["points"].items() if axis[1]]
    for dtype, axis, points in measured:
        head = [
            f"{axis.replace('_', ' ')} ({kind(axis)}, {precision(f'scaling{dtype}')})",
            *(str(point[axis]) for point in points),
        ]
        rows = [
            ["seconds an update", *(f"{point['seconds']:.1f}" for point in points)],
            ["peak GiB", *(f"{point['peak_gib']:.2f}" for point in points)],
        ]
        parts += [table(head, rows), ""]
    return parts


def main() -> None:
    """Replace what is between the marks."""
    page = PAGE.read_text(encoding="utf-8")
    lines = [START, "", "Which processor a figure holds for:\n"]
    for dtype in ENDINGS:
        measured = [found for name in ("update_grpo", "update_ppo", "sampling") if (found := result(f"{name}{dtype}"))]
        lines += [f"- {precision(dtype)}: {machine(measured[0])}." for _ in measured[:1]]
    lines.append("")
    lines += [*updates(), *sampling(), *learning(), *scaling(), END]
    before, _, rest = page.partition(START)
    after = rest.partition(END)[2]
    PAGE.write_text(before + "\n".join(lines) + after, encoding="utf-8")


if __name__ == "__main__":
    main()
