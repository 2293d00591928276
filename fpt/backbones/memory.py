"""Memory: how much there is, and that the allocator serves large tensors well."""

import ctypes
import os

import torch

HUGE_PAGES = "THP_MEM_ALLOC_ENABLE"
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # glibc's mallopt parameters
USABLE = 0.85  # of a GPU's memory: the rest is CUDA's own, its libraries' workspaces, and lost between blocks
SIZES = (2**30, 2**25)  # bytes; 2**25 is the most that older versions of glibc take


def tune_allocator() -> bool:
    """Makes this process keep large blocks, on huge pages. Returns whether it could; without glibc nothing is kept.

    glibc maps every large block anew and gives it back when it is freed, so that each operation on large tensors waits
    for the system to clear its pages: a copy of 90 MB takes 30 ms instead of 3. The process stays as large as its peak.
    torch asks Linux for huge pages if its variable is set before the first tensor is made; a user's own value is left.
    """
    os.environ.setdefault(HUGE_PAGES, "1")
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return any(mallopt(MMAP_THRESHOLD, size) and mallopt(TRIM_THRESHOLD, size) for size in SIZES)


_share = [1.0]  # of a GPU, that this process may use
_kept = [0]  # bytes of it that this process's caches may hold


def own_share(share: float) -> None:
    """Notes how much of a GPU this process may use."""
    _share[0] = min(1.0, share)


def keep_for_caches(kept: int) -> None:
    """Notes how many bytes of a GPU this process's caches may hold."""
    _kept[0] = kept


def budget(device: torch.device, model: torch.nn.Module) -> int:
    """Returns the bytes of a GPU that this process may use for work, beside a model's weights and its caches.

    What is free just now does not count: a neighbour would decide how large stacks are, and a rerun would have others.
    """
    weights = sum(weight.nbytes for weight in model.parameters())
    return max(0, int(USABLE * _share[0] * held_by(device)) - weights - _kept[0])


def held_by(device: torch.device) -> int:
    """Returns the bytes that a device has in all."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
