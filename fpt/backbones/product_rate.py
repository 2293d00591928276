"""How fast a device multiplies matrices. As a script it tells how many times float32's rate a CPU reaches in bfloat16.

It imports nothing but torch, so that it runs by its path alone, in a process that may die of it (precision.py).
"""

import sys
import time
from collections.abc import Sequence

import torch

SECONDS_OF_RATE = 0.3


def matrix_product_rate(device: torch.device, dtype: torch.dtype, size: int = 1024) -> float:
    """Returns the operations a second of a product of square matrices: the best of many, for the machine is shared."""
    return matrix_product_rates(device, [dtype], size)[0]


def matrix_product_rates(device: torch.device, dtypes: Sequence[torch.dtype], size: int = 1024) -> list[float]:
    """Returns the rates of several types, which are tried in turns: what else a machine does slows all of them, and a
    choice between them must not hang on it.
    """
    pairs = [[torch.randn(size, size, device=device, dtype=dtype) for _ in range(2)] for dtype in dtypes]
    best = [0.0] * len(pairs)
    ended = time.perf_counter() + SECONDS_OF_RATE * len(pairs)
    while time.perf_counter() < ended:
        for number, (left, right) in enumerate(pairs):
            started = time.perf_counter()
            left @ right
            if device.type == "cuda":
                torch.cuda.synchronize()
            best[number] = max(best[number], 2.0 * size**3 / (time.perf_counter() - started))
    return best


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[1]))
    bfloat16, float32 = matrix_product_rates(torch.device("cpu"), [torch.bfloat16, torch.float32])
    print(bfloat16 / float32)
