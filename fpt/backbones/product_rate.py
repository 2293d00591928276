"""How fast a device multiplies matrices. As a script it tells how many times float32's rate a CPU reaches in bfloat16.

It imports nothing but torch, so that it runs by its path alone, in a process that may die of it (precision.py).
"""

import sys
import time
from collections.abc import Callable, Sequence

import torch

SECONDS_OF_RATE = 0.3
SIDE, SIDE_ON_GPU = (
    1024,
    6912,
)  # of the matrices: on a GPU one product takes a hundred times what a launch and a wait do
SECONDS_BETWEEN_WAITS = 0.005
COPIED_BYTES, LAUNCHES = 2**28, 1000  # a copy that no cache holds; operations on one number that are launched in a row


def matrix_product_rate(device: torch.device, dtype: torch.dtype, size: int | None = None) -> float:
    """Returns the operations a second of a product of square matrices: the best of many, for the machine is shared."""
    return matrix_product_rates(device, [dtype], size)[0]


def matrix_product_rates(device: torch.device, dtypes: Sequence[torch.dtype], size: int | None = None) -> list[float]:
    """Returns the rates of several types, which are tried in turns: what else a machine does slows all of them, and a
    choice between them must not hang on it. A GPU gets more products before it is waited for, until that is no more
    than a thousandth of the time.
    """
    on_gpu = device.type == "cuda"
    size = size or (SIDE_ON_GPU if on_gpu else SIDE)
    pairs = [[torch.randn(size, size, device=device, dtype=dtype) for _ in range(2)] for dtype in dtypes]
    best = [0.0] * len(pairs)
    many = [1] * len(pairs)
    ended = time.perf_counter() + SECONDS_OF_RATE * len(pairs)
    while time.perf_counter() < ended:
        for number, (left, right) in enumerate(pairs):
            started = time.perf_counter()
            for _ in range(many[number]):
                left @ right
            if on_gpu:
                torch.cuda.synchronize()
            seconds = time.perf_counter() - started
            best[number] = max(best[number], 2.0 * size**3 * many[number] / seconds)
            many[number] *= 2 if on_gpu and seconds < SECONDS_BETWEEN_WAITS else 1
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


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[1]))
    bfloat16, float32 = matrix_product_rates(torch.device("cpu"), [torch.bfloat16, torch.float32])
    print(bfloat16 / float32)
