"""How fast a device multiplies matrices. As a script it tells how many times float32's rate a CPU reaches in bfloat16.

It imports nothing but torch, so that it runs by its path alone, in a process that may die of it (precision.py).
"""

import sys
import time

import torch

SECONDS_OF_RATE = 0.3


def matrix_product_rate(device: torch.device, dtype: torch.dtype, size: int = 1024) -> float:
    """Operations a second of a product of square matrices: the best of many, for the machine is shared."""
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    best: float = 0.0
    ended = time.perf_counter() + SECONDS_OF_RATE
    while time.perf_counter() < ended:
        started = time.perf_counter()
        left @ right
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = max(best, 2.0 * size**3 / (time.perf_counter() - started))
    return float(best)


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[1]))
    bfloat16, float32 = (matrix_product_rate(torch.device("cpu"), kind) for kind in (torch.bfloat16, torch.float32))
    print(bfloat16 / float32)
