"""Precisions. What could kill the process is tried in another, as the module itself does."""

import json
import os
import subprocess
import sys

import pytest
import torch

from fpt.backbones import precision
from fpt.backbones.precision import best_precision, bfloat16_works_on_cpu, use_precision, use_repeatable_kernels

ENOUGH = 0.9  # of the predictions on five scenes a class; bfloat16 keeps three digits


@pytest.fixture(autouse=True)
def as_before():
    setting = torch.get_float32_matmul_precision()
    bfloat16_works_on_cpu.cache_clear()
    yield
    bfloat16_works_on_cpu.cache_clear()
    torch.set_float32_matmul_precision(setting)


def test_every_cpu_computes_in_float32_unless_told_otherwise(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True, "amx_bf16": True})
    assert best_precision("cpu") == "float32"


@pytest.mark.parametrize(("has", "chosen"), [(True, "bfloat16"), (False, "float32")])
def test_a_gpu_computes_in_bfloat16_where_it_has_it(monkeypatch, has, chosen):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has)
    assert best_precision("cuda:0") == chosen


@pytest.mark.parametrize(
    ("script", "works"),
    [("pass", True), ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", False), ("raise ValueError", False)],
)
def test_a_processor_that_kills_the_attempt_has_no_bfloat16(monkeypatch, script, works):
    monkeypatch.setattr(precision, "ATTEMPT", script)
    assert bfloat16_works_on_cpu() == works
    if works:
        assert use_precision("bfloat16", "cpu") == torch.bfloat16
    else:
        with pytest.raises(ValueError, match="precision must be float32 here, where bfloat16 products fail"):
            use_precision("bfloat16", "cpu")


def test_tf32_is_a_switch_and_not_a_type():
    assert use_precision("tf32", "cpu") == torch.float32
    assert torch.get_float32_matmul_precision() == "high"
    assert use_precision("float32", "cpu") == torch.float32
    assert torch.get_float32_matmul_precision() == "highest"


def test_an_unknown_precision_is_refused():
    with pytest.raises(ValueError, match="precision must be one of auto, float32, tf32, bfloat16 but got 'int8'"):
        use_precision("int8", "cpu")


def test_every_solver_predicts_in_bfloat16_as_in_float32():
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16"}
    ran = subprocess.run(
        [sys.executable, "-m", "tests.fpt.backbones.half"], capture_output=True, text=True, env=environment
    )
    assert ran.returncode == 0, ran.stderr
    same = json.loads(ran.stdout)
    assert len(same) == 11
    assert min(same.values()) >= ENOUGH, same


def test_convolutions_are_rounded_where_products_are_and_nowhere_else():
    before = torch.backends.cudnn.allow_tf32
    try:
        told = []
        for name in ("tf32", "float32"):
            use_precision(name, "cpu")
            told.append((torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32))
        assert told == [("high", True), ("highest", False)]
    finally:
        torch.backends.cudnn.allow_tf32 = before


def test_a_gpu_is_told_to_repeat_itself_and_a_processor_need_not_be(monkeypatch):
    told = []
    monkeypatch.setattr(torch, "use_deterministic_algorithms", told.append)
    monkeypatch.setattr(precision.deterministic, "fill_uninitialized_memory", True)
    monkeypatch.setenv(precision.CUBLAS_WORKSPACE, "")
    monkeypatch.delenv(precision.CUBLAS_WORKSPACE)
    use_repeatable_kernels(True, "cpu")
    assert told == []
    use_repeatable_kernels(False, "cuda:0")
    assert precision.CUBLAS_WORKSPACE not in os.environ
    use_repeatable_kernels(True, "cuda:0")
    assert told == [False, True]
    assert os.environ[precision.CUBLAS_WORKSPACE] == ":4096:8"
    monkeypatch.setenv(precision.CUBLAS_WORKSPACE, ":16:8")
    use_repeatable_kernels(True, "cuda")
    assert os.environ[precision.CUBLAS_WORKSPACE] == ":16:8"
