"""Which number format a device multiplies fastest, found by trying where a processor's word is not enough."""

import os
import subprocess
import sys
from functools import cache

import torch
from torch.utils import deterministic

from fpt.backbones import product_rate
from fpt.registry import PRECISIONS

CUBLAS_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
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
    """Returns the type of a backbone's weights, and switches this process's float32 products and convolutions to TF32,
    or back.

    Raises ValueError for an unknown name, or bfloat16 on a CPU on which it fails.
    """
    if name not in PRECISIONS:
        raise ValueError(f"backbone.precision must be one of auto, {', '.join(PRECISIONS)} but got {name!r}")
    if name == "bfloat16" and torch.device(device).type == "cpu" and not bfloat16_on_cpu():
        raise ValueError("backbone.precision must be float32 here, where bfloat16 products fail, but got 'bfloat16'")
    torch.set_float32_matmul_precision("high" if name == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = name == "tf32"  # convolutions: those that make tokens of patches
    dtype: torch.dtype = getattr(torch, PRECISIONS[name])
    return dtype


def use_repeatable_kernels(repeatable: bool, device: str) -> None:
    """Has a GPU use kernels that give the same bits every time, or whichever are fastest. A processor's always do.

    Backward passes of attention, sums of scattered numbers and some of cuBLAS's products add in the order in which
    threads happen to come, unless they are told not to.
    """
    if torch.device(device).type != "cuda":
        return
    if repeatable:
        os.environ.setdefault(CUBLAS_WORKSPACE, ":4096:8")  # read when its first handle is made
    torch.use_deterministic_algorithms(repeatable)
    deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # nothing here reads such
    torch.backends.cudnn.benchmark = False  # it chooses by what was fastest this time
