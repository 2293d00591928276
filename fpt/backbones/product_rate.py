"""How fast a device multiplies matrices, copies, and launches."""

import time
from collections.abc import Callable

import torch

SECONDS_OF_RATE = 0.3
SIDE, SIDE_ON_GPU = (
    1024,
    6912,
)  # of the matrices: on a GPU one product takes a hundred times what a launch and a wait do
SECONDS_BETWEEN_WAITS = 0.005
COPIED_BYTES, LAUNCHES = 2**28, 1000  # a copy that no cache holds; operations on one number that are launched in a row


def matrix_product_rate(device: torch.device, dtype: torch.dtype, size: int | None = None) -> float:
    """Returns the operations a second of a product of square matrices: the best of many, for the machine is shared. A
    GPU gets more products before it is waited for, until that is no more than a thousandth of the time.
    """
    on_gpu = device.type == "cuda"
    size = size or (SIDE_ON_GPU if on_gpu else SIDE)
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    best, many = 0.0, 1
    ended = time.perf_counter() + SECONDS_OF_RATE
    while time.perf_counter() < ended:
        started = time.perf_counter()
        for _ in range(many):
            left @ right
        if on_gpu:
            torch.cuda.synchronize()
        seconds = time.perf_counter() - started
        best = max(best, 2.0 * size**3 * many / seconds)
        many *= 2 if on_gpu and seconds < SECONDS_BETWEEN_WAITS else 1
    return best


def memory_rate(device: torch.device) -> float:
    """Returns the bytes a second that a device reads and writes while it copies: the best of five."""
    source = torch.zeros(COPIED_BYTES, dtype=torch.uint8, device=device)
    into = torch.empty_like(source)
    return 2 * COPIED_BYTES / min(_seconds(device, lambda: into.copy_(source)) for _ in range(5))


def launch_seconds(device: torch.device) -> float:
    """Returns the seconds that the smallest operation takes from Python, of many in a row: the best of five."""
    number = torch.zeros(1, device=device)

    def launched() -> None:
        for _ in range(LAUNCHES):
            number.add_(1)

    return min(_seconds(device, launched) for _ in range(5)) / LAUNCHES


def _seconds(device: torch.device, work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started
