"""Which number format a device multiplies fastest, found by trying where a processor's word is not enough."""

import subprocess
import sys
import time
from collections.abc import Sequence
from functools import cache

import torch

# Of weights and tokens; heads, adapters, attention maps and optimisers are always kept in float32.
PRECISIONS = {"float32": torch.float32, "tf32": torch.float32, "bfloat16": torch.bfloat16}
FASTER = 1.5  # times float32's rate, for bfloat16 to be worth its rounding
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


def best_precision(device: str) -> str:
    """One of PRECISIONS: bfloat16 on a GPU that has it, and on a CPU that is faster with it; float32 elsewhere."""
    kind = torch.device(device).type
    if kind == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    promised = kind == "cpu" and any(held for name, held in torch.cpu.get_capabilities().items() if "bf16" in name)
    return "bfloat16" if promised and bfloat16_on_cpu() >= FASTER else "float32"


@cache
def bfloat16_on_cpu() -> float:
    """How many times float32's rate it reaches on this CPU; 0 where it fails.

    Tried in a process of its own: a virtual machine may promise instructions that it does not let through, and then
    the process dies.
    """
    command = [sys.executable, __file__, str(torch.get_num_threads())]
    try:
        tried = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 0.0
    return float(tried.stdout) if tried.returncode == 0 else 0.0


def use_precision(name: str, device: str) -> torch.dtype:
    """The type of a backbone's weights; switches this process's float32 products to TF32, or back.

    Raises ValueError for an unknown name, or bfloat16 on a CPU on which it fails.
    """
    if name not in PRECISIONS:
        raise ValueError(f"backbone.precision must be one of auto, {', '.join(PRECISIONS)} but got {name!r}")
    if name == "bfloat16" and torch.device(device).type == "cpu" and not bfloat16_on_cpu():
        raise ValueError("backbone.precision must be float32 here, where bfloat16 products fail, but got 'bfloat16'")
    torch.set_float32_matmul_precision("high" if name == "tf32" else "highest")
    return PRECISIONS[name]


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[1]))
    bfloat16, float32 = matrix_product_rates(torch.device("cpu"), [torch.bfloat16, torch.float32])
    print(bfloat16 / float32)
