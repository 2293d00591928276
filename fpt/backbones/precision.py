"""Which number format a device multiplies fastest, found by trying where a processor's word is not enough."""

import subprocess
import sys
from functools import cache

import torch

from fpt.backbones import product_rate
from fpt.registry import PRECISIONS

WORTHWHILE_SPEED = 1.5  # in float32's rates, for bfloat16 to be worth its rounding


def best_precision(device: str) -> str:
    """Returns the name of PRECISIONS that is fastest: bfloat16 on a GPU that has it, and on a CPU that is faster with
    it; float32 elsewhere.
    """
    kind = torch.device(device).type
    if kind == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    promised = kind == "cpu" and any(held for name, held in torch.cpu.get_capabilities().items() if "bf16" in name)
    return "bfloat16" if promised and bfloat16_on_cpu() >= WORTHWHILE_SPEED else "float32"


@cache
def bfloat16_on_cpu() -> float:
    """Returns how many times float32's rate bfloat16 reaches on this CPU; 0 where it fails.

    Tried in a process of its own: a virtual machine may promise instructions that it does not let through, and then
    the process dies.
    """
    command = [sys.executable, product_rate.__file__, str(torch.get_num_threads())]
    try:
        tried = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 0.0
    return float(tried.stdout) if tried.returncode == 0 else 0.0


def use_precision(name: str, device: str) -> torch.dtype:
    """Returns the type of a backbone's weights, and switches this process's float32 products to TF32, or back.

    Raises ValueError for an unknown name, or bfloat16 on a CPU on which it fails.
    """
    if name not in PRECISIONS:
        raise ValueError(f"backbone.precision must be one of auto, {', '.join(PRECISIONS)} but got {name!r}")
    if name == "bfloat16" and torch.device(device).type == "cpu" and not bfloat16_on_cpu():
        raise ValueError("backbone.precision must be float32 here, where bfloat16 products fail, but got 'bfloat16'")
    torch.set_float32_matmul_precision("high" if name == "tf32" else "highest")
    dtype: torch.dtype = getattr(torch, PRECISIONS[name])
    return dtype
