"""Memory: how much there is, whether it ran out, and that what is freed is kept for the next operation."""

import ctypes
import os

import torch

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # glibc's mallopt parameters
SIZES = (2**30, 2**25)  # bytes; 2**25 is the most that older versions of glibc take


def keep_freed_memory() -> bool:
    """Makes this process's allocator keep large blocks. Returns whether it could; without glibc nothing happens.

    glibc maps every large block anew and gives it back when it is freed, so that each operation on large tensors waits
    for the system to clear its pages: a copy of 90 MB takes 30 ms instead of 3. The process stays as large as its peak.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return any(mallopt(MMAP_THRESHOLD, size) and mallopt(TRIM_THRESHOLD, size) for size in SIZES)


def held_by(device: torch.device) -> int:
    """Bytes that a device has in all."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def out_of_memory(error: RuntimeError) -> bool:
    """Whether an operation failed because memory ran out; what a GPU's allocator still holds is given back."""
    ran_out = isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
    if ran_out and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    return ran_out
