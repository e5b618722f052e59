"""Sets the process up: threads, and memory that is given back less often; says how much of it was used."""

from __future__ import annotations

import ctypes
import ctypes.util
import gc
import platform
import resource
import sys
from contextlib import suppress
from pathlib import Path

import torch

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # names of glibc's mallopt(3)


def prepare(threads: int | None) -> None:
    """Set the number of CPU threads (None leaves it), and keep freed memory in the process.

    Activations are allocated and freed thousands of times. By default glibc maps each large one anew,
    and the kernel clears its pages: on a CPU that took a fifth to a third of a learning step.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
    torch.use_deterministic_algorithms(True, warn_only=True)
    # it would also write NaN over every new tensor, to show reads of what was never written
    torch.utils.deterministic.fill_uninitialized_memory = False


def forget_peak() -> None:
    """Give free memory back and start the peaks anew, where the system lets us (Linux; the accelerator anywhere)."""
    gc.collect()
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
    with suppress(OSError):  # the peak then is that of the process so far
        Path("/proc/self/clear_refs").write_text("5")
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def peak_memory() -> dict[str, int]:
    """Return the peaks since :func:`forget_peak`, in bytes: of the process, and of the accelerator if there is one."""
    # ru_maxrss is in kilobytes, but for macOS, where it is in bytes
    told = {"process": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 2**10)}
    if torch.cuda.is_available():
        told["accelerator"] = torch.cuda.max_memory_allocated()
    return told
