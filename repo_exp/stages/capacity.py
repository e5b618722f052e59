"""Checks what a configuration needs against this machine: accelerator, memory, time. Bounds from below.

A run is refused where it cannot fit, or would take years, by arithmetic that is generous to the machine: real
runs need several times as much. Nothing is loaded for it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

from repo_exp.config.shape import BYTES, Shape, shape_of
from repo_exp.errors import Problem

GIB, YEAR = 2**30, 365.25 * 86_400
MASTER_BYTES = 16  # a trained weight: itself, its gradient and two moments in float32
FASTEST = {"cuda": 1e15, "cpu": 1e11}  # operations a second, of one GPU and of one core
RESPONSE_SECONDS = 5e-4  # what sampling and scoring a response takes at the very least, whatever the model
TEXT_BYTES = 2_000  # of a conversation in memory


def accelerator_is_there(config: Any) -> Iterator[Problem]:
    """The accelerator that is asked for is in this machine, and is a single one."""
    wanted = config.trainer.accelerator
    if not _may_be_there(wanted):
        return
    import torch

    count = torch.cuda.device_count()
    if wanted in ("gpu", "cuda") and not torch.cuda.is_available() and not (wanted == "gpu" and _mps()):
        built = "" if torch.backends.cuda.is_built() else f", and torch {torch.__version__} is built without CUDA"
        yield Problem("trainer.accelerator", f"there is no GPU that torch can use here{built}", "trainer=cpu")
    elif wanted == "mps" and not _mps():
        yield Problem("trainer.accelerator", "there is no Apple GPU that torch can use here", "trainer=cpu")
    if config.trainer.devices == "auto" and wanted != "cpu" and count > 1:
        yield Problem("trainer.devices", f"auto would take all {count} GPUs, and a run uses one", "trainer.devices=1")


def _may_be_there(accelerator: str) -> bool:
    """Is torch to be asked for an accelerator? Importing it takes seconds, so ``auto`` looks for a driver first."""
    drivers = sys.platform != "linux" or any(map(os.path.exists, ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")))
    return accelerator != "cpu" and (accelerator != "auto" or drivers)


def _mps() -> bool:
    import torch

    return torch.backends.mps.is_available()


def memory_suffices(config: Any) -> Iterator[Problem]:
    """The frozen and the trained weights fit into memory."""
    device, there = _memory(config.trainer.accelerator)
    shape, model = shape_of(config.model), config.model
    if shape.parameters is None:
        return
    dtype = "bfloat16" if model.dtype == "auto" else model.dtype
    weights, adapter = shape.parameters * BYTES[dtype], _adapter(shape, model) * MASTER_BYTES
    if weights > there:
        yield Problem(
            "model",
            f"{model.name} has {_count(shape.parameters)} weights, {_gib(weights)} in {dtype}; "
            f"{device} has {_gib(there)}",
            "a smaller model, such as model=smollm2_135m or model=tiny; or a machine with more memory",
        )
    elif weights + adapter > there:
        yield Problem(
            "model.lora.rank",
            f"an adapter of rank {model.lora.rank:,} needs {_gib(adapter)} for training in addition to the weights' "
            f"{_gib(weights)}; {device} has {_gib(there)}",
            "a smaller rank, such as model.lora.rank=16",
        )


def rank_suits(config: Any) -> Iterator[Problem]:
    """An adapter of more than the hidden size's rank is no low-rank adapter."""
    rank, hidden = config.model.lora.rank, shape_of(config.model).hidden
    if hidden is not None and rank > hidden:
        yield Problem(
            "model.lora.rank",
            f"rank {rank:,} is above the model's hidden size of {hidden:,}: the adapter would be larger than the layer",
            f"model.lora.rank={min(16, hidden)}; at most {hidden:,}",
        )


def corpus_fits(config: Any) -> Iterator[Problem]:
    """What the domain generates fits into memory."""
    there = _ram()
    for each in config.data.amounts():
        if each.count * TEXT_BYTES > there:
            where = f"data.{each.key}"
            found = f"{each.count:,} conversations need {_gib(each.count * TEXT_BYTES)}; this machine has {_gib(there)}"
            yield Problem(where, found, f"{where}=1000, or as many as fit")


def time_suffices(config: Any) -> Iterator[Problem]:
    """The run ends within a year, by the fastest that this machine could be."""
    worst = max(_work(config), key=lambda part: part[2])
    where, what, seconds = worst
    if seconds > YEAR:
        yield Problem(
            where, f"{what} take at least {_years(seconds)} on this machine", f"{where}={_within(where, config)}"
        )


def _work(config: Any) -> list[tuple[str, str, float]]:
    """Return (key, what it asks for, seconds) of what takes long."""
    size = shape_of(config.model).parameters or 1e6
    device, _ = _memory(config.trainer.accelerator)
    speed = FASTEST["cuda"] if "GPU" in device else FASTEST["cpu"] * (os.cpu_count() or 1)
    tokens = max(1, config.rollout.max_new_tokens // 4)
    response = max(RESPONSE_SECONDS, tokens * size * 8 / speed)  # 2 operations a weight to sample, 6 to train
    updates, rollouts = config.budget.updates, config.budget.rollouts
    budget = "budget.rollouts" if rollouts > updates else "budget.updates"
    parts = [(budget, f"{updates:,} updates of {rollouts:,} responses", updates * rollouts * response)]
    readers = {"demonstrations": "sft", "preferences": "reward_model", "judgements": "judge"}
    for each in config.data.amounts():
        reader = readers.get(each.part, "") if each.split == "train" else ""
        if reader and (reader != "judge" or config.judge.kind == "local"):
            epochs = getattr(config, reader).epochs
            found = f"{epochs:,} epochs of {each.count:,} {each.part}"
            parts.append((f"{reader}.epochs", found, epochs * each.count * response))
    responses = config.reward_model.calibration_responses
    parts.append(("reward_model.calibration_responses", f"{responses:,} responses", responses * response))
    return parts


def _within(where: str, config: Any) -> str:
    """Return a value that is sound for a key of which there was far too much."""
    small = {"budget.updates": 12, "budget.rollouts": 32}
    if where == "budget.rollouts":  # whole groups
        return str(
            small[where] // (config.algorithm.get("group_size") or 1) * (config.algorithm.get("group_size") or 1)
        )
    return str(small.get(where, 64 if where.endswith("responses") else 1))


def _adapter(shape: Shape, model: Any) -> float:
    """Return how many weights an adapter on all linear layers has; 0 where the shape is not known."""
    if shape.widths is None or shape.layers is None or model.lora.target_modules != "all-linear":
        return 0.0
    return float(model.lora.rank) * shape.widths * min(shape.layers, model.lora.last_layers.policy or shape.layers)


def _memory(accelerator: str) -> tuple[str, float]:
    """Return where the model will be, and how many bytes there are."""
    if not _may_be_there(accelerator):
        return "this machine", _ram()
    import torch

    if accelerator in ("gpu", "cuda", "auto") and torch.cuda.is_available():
        return "the GPU", float(torch.cuda.get_device_properties(0).total_memory)
    return "this machine", _ram()


def _ram() -> float:
    """Return the bytes of memory that this process may have: the machine's, or its container's."""
    total = _physical()
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            with open(path, encoding="ascii") as file:
                total = min(total, float(file.read()))
        except (OSError, ValueError):  # no such limit, or "max"
            continue
    return total


def _physical() -> float:
    """Return the bytes of memory of the machine."""
    if hasattr(os, "sysconf"):
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    import psutil  # for Windows; it takes a tenth of a second to import

    return float(psutil.virtual_memory().total)


def _gib(size: float) -> str:
    return f"{size / GIB:,.0f} GiB" if size >= 10 * GIB else f"{size / GIB:,.1f} GiB"


def _count(weights: float) -> str:
    return f"{weights / 1e9:,.1f} billion" if weights >= 1e9 else f"{weights / 1e6:,.0f} million"


def _years(seconds: float) -> str:
    return f"about {seconds / YEAR:,.0f} years" if seconds < 1e6 * YEAR else f"about {seconds / YEAR:.0e} years"


CHECKS = (
    accelerator_is_there,
    memory_suffices,
    rank_suits,
    corpus_fits,
    time_suffices,
)
