"""The precision that a device computes fast: bfloat16 where it has units for it, else float32."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from typing import Literal

import torch

Precision = Literal["auto", "float32", "bfloat16"]


def resolve_precision(precision: Precision, device: torch.device) -> Literal["float32", "bfloat16"]:
    """Return the precision itself; ``auto`` is bfloat16 where the device has units for it, else float32."""
    if precision != "auto":
        return precision
    return "bfloat16" if has_bfloat16_units(device) else "float32"


def has_bfloat16_units(device: torch.device) -> bool:
    """Does the device multiply in bfloat16 natively? Where it only emulates that, float32 is faster, often 100 times.

    On a CPU: AMX or AVX-512 with bfloat16 (x86), or the bfloat16 extension of Arm. Apple's GPUs are taken to have none.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and bool(cpu_bfloat16_units())


def cpu_bfloat16_units() -> tuple[str, ...]:
    """Return the names of the CPU's units for bfloat16 products; none on AVX2."""
    capabilities = torch.cpu.get_capabilities()
    names = ("amx_bf16", "avx512_bf16") if platform.machine().lower() in ("x86_64", "amd64") else ("bf16", "sve_bf16")
    return tuple(name for name in names if capabilities.get(name))


def processor_units(device: torch.device) -> str:
    """Return the units that decide about speed, in words: "AVX2, no bfloat16 units"."""
    if device.type != "cpu":
        return device.type
    widest = torch.backends.cpu.get_cpu_capability()
    units = cpu_bfloat16_units()
    return f"{widest}, {', '.join(units) if units else 'no bfloat16 units'}"


def matmul_rate(dtype: torch.dtype, device: torch.device, *, size: int = 512, seconds: float = 0.2) -> float:
    """Return the GFLOP/s of matrix products, measured for about ``seconds``: 2 size^3 operations a product."""
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(size, size, generator=generator).to(device, dtype) for _ in range(2))
    return 2 * size**3 / _fastest(lambda: a @ b, device, seconds=seconds) / 1e9


def slowdown(device: torch.device) -> float:
    """Return how many times as long a product takes in bfloat16 as in float32 on this device, measured."""
    small = 256  # of this size even an emulated product takes little more than 0.1 s
    rates = {dtype: matmul_rate(dtype, device, size=small, seconds=0.2) for dtype in (torch.bfloat16, torch.float32)}
    return rates[torch.float32] / rates[torch.bfloat16]


def _fastest(action: Callable[[], object], device: torch.device, *, seconds: float) -> float:
    """Return the seconds of an action's fastest run; it is run once before, and at least once more."""

    def once() -> float:
        start = time.perf_counter()
        action()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - start

    once()
    until, least = time.perf_counter() + seconds, once()
    while time.perf_counter() < until:
        least = min(least, once())
    return least
