"""Sets up the process: threads, and how freed memory is kept; measures the peak use of memory."""

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

    Activations are allocated and freed thousands of times. By default glibc maps each large one again, and the kernel
    clears its pages: on a CPU that took a fifth to a third of a training step.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
    torch.use_deterministic_algorithms(True, warn_only=True)
    # otherwise every new tensor is filled with NaN, to reveal reads of uninitialised memory
    setattr(torch.utils.deterministic, "fill_uninitialized_memory", False)  # noqa: B010  torch does not declare it


def forget_peak() -> None:
    """Return free memory to the system and reset the peaks where that is possible (Linux; any accelerator)."""
    gc.collect()
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
    with suppress(OSError):  # otherwise the peak is that of the process so far
        Path("/proc/self/clear_refs").write_text("5")
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def peak_memory() -> dict[str, int]:
    """Return the peaks since :func:`forget_peak`, in bytes: of the process, and of the accelerator if there is one."""
    # ru_maxrss is in kilobytes; on macOS it is in bytes
    peaks = {"process": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 2**10)}
    if torch.cuda.is_available():
        peaks["accelerator"] = torch.cuda.max_memory_allocated()
    return peaks
