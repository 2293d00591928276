"""In which number format a device computes, and the switches that go with it."""

import os
import subprocess
import sys
from functools import cache

import torch
from torch.utils import deterministic

from fpt.registry import PRECISIONS

CUBLAS_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
ATTEMPT = "import torch; ones = torch.ones(1024, 1024, dtype=torch.bfloat16); ones @ ones"


def best_precision(device: str) -> str:
    """Returns the name of PRECISIONS that is fastest: bfloat16 on a GPU that has it, float32 elsewhere.

    A CPU may multiply matrices twice as fast in bfloat16 and yet take up to three times as long for a fine-tuning: the
    way back through attention and GELU is slow there. So all CPUs have float32, and the same results.
    """
    on_gpu = torch.device(device).type == "cuda"
    return "bfloat16" if on_gpu and torch.cuda.is_bf16_supported(including_emulation=False) else "float32"


@cache
def bfloat16_works_on_cpu() -> bool:
    """Tells whether this CPU multiplies in bfloat16.

    Tried in a process of its own: a virtual machine may promise instructions that it does not let through, and then
    the process dies.
    """
    try:
        tried = subprocess.run([sys.executable, "-c", ATTEMPT], capture_output=True, timeout=120, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return tried.returncode == 0


def use_precision(name: str, device: str) -> torch.dtype:
    """Returns the type of a backbone's weights, and switches this process's float32 products and convolutions to TF32,
    or back.

    Raises ValueError for an unknown name, or bfloat16 on a CPU on which it fails.
    """
    if name not in PRECISIONS:
        raise ValueError(f"backbone.precision must be one of auto, {', '.join(PRECISIONS)} but got {name!r}")
    if name == "bfloat16" and torch.device(device).type == "cpu" and not bfloat16_works_on_cpu():
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
