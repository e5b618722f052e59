"""task=artifacts: lists the store."""

from __future__ import annotations

from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table

from repo_exp.config.schema import Config
from repo_exp.stages.store import Artifact, Store


def show(config: Config) -> None:
    """Print every artifact with its stage, address, size, age and parents."""
    store = Store(config.store)
    found = list(store.all())
    console = Console(highlight=False)
    if not found:
        console.print(f"{config.store}: no artifacts yet", markup=False)
        return
    table = Table("stage", "address", "size", "age", "took", "made from", box=None, pad_edge=False)
    for artifact in found:
        origin = ", ".join(artifact.record["parents"].values()) or "the configuration"
        took = f"{artifact.record['seconds']:.0f} s"
        table.add_row(artifact.stage, artifact.address, size(artifact), age(artifact), took, origin)
    console.print(table)
    total = sum(map(_bytes, found))
    console.print(f"{len(found)} artifacts in {config.store}, {total / 2**20:,.0f} MiB", markup=False)


def size(artifact: Artifact) -> str:
    """Return the size of its files in MiB."""
    return f"{_bytes(artifact) / 2**20:,.1f} MiB"


def age(artifact: Artifact) -> str:
    """Return how long ago it was built, in the largest unit that fits."""
    seconds = (datetime.now(UTC) - datetime.fromisoformat(artifact.record["made"])).total_seconds()
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def _bytes(artifact: Artifact) -> int:
    return sum(file["bytes"] for file in artifact.record["files"].values())
