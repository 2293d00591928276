"""Precisions. What could kill the process is tried in another, as the module itself does."""

import json
import os
import subprocess
import sys

import pytest
import torch

from fpt.backbones import precision, product_rate
from fpt.backbones.precision import best_precision, bfloat16_on_cpu, use_precision, use_repeatable_kernels

ENOUGH = 0.9  # of the predictions on five scenes a class; bfloat16 keeps three digits


@pytest.fixture(autouse=True)
def as_before():
    setting = torch.get_float32_matmul_precision()
    bfloat16_on_cpu.cache_clear()
    yield
    bfloat16_on_cpu.cache_clear()
    torch.set_float32_matmul_precision(setting)


def promised(monkeypatch, **instructions):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: instructions)


@pytest.mark.parametrize(("ratio", "chosen"), [(3.0, "bfloat16"), (1.1, "float32"), (0.0, "float32")])
def test_a_cpu_gets_bfloat16_where_it_is_faster(monkeypatch, ratio, chosen):
    promised(monkeypatch, avx512_bf16=True)
    monkeypatch.setattr(precision, "bfloat16_on_cpu", lambda: ratio)
    assert best_precision("cpu") == chosen


def test_a_cpu_that_promises_nothing_is_not_tried(monkeypatch):
    promised(monkeypatch, avx512_bf16=False, amx_bf16=False, avx2=True)
    monkeypatch.setattr(precision, "bfloat16_on_cpu", lambda: pytest.fail("tried"))
    assert best_precision("cpu") == "float32"


@pytest.mark.parametrize(
    ("script", "found"),
    [("print(2.5)", 2.5), ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", 0.0), ("raise ValueError", 0.0)],
)
def test_a_processor_that_kills_the_attempt_has_no_bfloat16(monkeypatch, tmp_path, script, found):
    stand_in = tmp_path / "attempt.py"
    stand_in.write_text(script)
    monkeypatch.setattr(product_rate, "__file__", str(stand_in))
    assert bfloat16_on_cpu() == found
    if found:
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
