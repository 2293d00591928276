"""What a device says, and what is made of it: the words are those of CUDA, its libraries, and torch."""

import gc
import pickle
import weakref

import numpy as np
import pytest
import torch

from fpt.failures import DeviceFailedError, failure_of, in_parts, with_memory_given_back
from fpt.heads.closed_form import class_means

SAID = {
    "smaller": [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79 GiB"),
        torch.AcceleratorError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
        RuntimeError("CUDA driver error: out of memory"),
        RuntimeError("HIP out of memory."),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
        RuntimeError("cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnCreate(handle)`"),
        RuntimeError("cuFFT error: CUFFT_ALLOC_FAILED"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:114] DefaultCPUAllocator: can't allocate memory: 9 bytes"),
        RuntimeError("std::bad_alloc"),
        MemoryError(),
        np._core._exceptions._ArrayMemoryError((2**60,), np.dtype(float)),
    ],
    "another worker": [
        torch.AcceleratorError(
            "CUDA error: uncorrectable ECC error encountered\nSearch for `cudaErrorECCUncorrectable'"
        ),
        torch.AcceleratorError("CUDA error: Invalid access of peer GPU memory over nvlink or a hardware error"),
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
        RuntimeError("CUDA error: all CUDA-capable devices are busy or unavailable"),
        RuntimeError("No CUDA GPUs are available"),
        RuntimeError("Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU"),
        RuntimeError("CUDA unknown error - this may be due to an incorrectly set up environment"),
    ],
    "fatal": [
        torch.AcceleratorError("CUDA error: no kernel image is available for execution on the device"),
        RuntimeError("The NVIDIA driver on your system is too old (found version 11040)."),
        RuntimeError("CUDA driver version is insufficient for CUDA runtime version"),
        RuntimeError("CUDA error: the provided PTX was compiled with an unsupported toolchain."),
        RuntimeError("CUDA error: CUBLAS_STATUS_ARCH_MISMATCH when calling `cublasLtMatmul`"),
        AssertionError("Torch not compiled with CUDA enabled"),
    ],
    None: [
        RuntimeError("The size of tensor a (64) must match the size of tensor b (65)"),
        RuntimeError("expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu!"),
        RuntimeError("One of the differentiated Tensors appears to not have been used in the graph."),
        ValueError("captured 0 of 12 layers"),
        OSError("No space left on device"),
        AssertionError("workers do not allocate"),
    ],
}


@pytest.mark.parametrize(
    ("asked", "error"),
    [(asked, error) for asked, errors in SAID.items() for error in errors],
    ids=lambda one: str(one)[:40],
)
def test_what_is_said_is_understood(asked, error):
    assert failure_of(error) == asked


def test_an_error_of_a_failed_device_travels_and_names_card_and_host():
    for failure in ("smaller", "another worker", "fatal"):
        error = DeviceFailedError(failure, "NVIDIA H200 (GPU 3)", "box-7", "uncorrectable ECC error\nmore")
        sent = pickle.loads(pickle.dumps(error))
        assert (failure_of(sent), str(sent)) == (failure, str(error))
        assert "NVIDIA H200 (GPU 3) on box-7" in str(sent)
        assert "uncorrectable ECC error" in str(sent)
        assert "\n" not in str(sent)


def test_parts_are_halved_from_where_memory_ran_out():
    tried = []

    def work(part):
        tried.append((part.start, part.stop))
        if part.start >= 4 and part.stop - part.start > 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return part.stop - part.start

    assert list(in_parts(7, 4, work)) == [4, 1, 1, 1]
    assert tried == [(0, 4), (4, 7), (4, 5), (5, 6), (6, 7)]


def test_one_thing_that_does_not_fit_and_other_errors_are_not_hidden():
    for error in (torch.OutOfMemoryError("CUDA out of memory."), MemoryError("none"), RuntimeError("shapes differ")):

        def work(part, error=error):
            raise error

        with pytest.raises(type(error), match=str(error)):
            list(in_parts(3, 1 if failure_of(error) else 3, work))


def test_memory_is_given_back_once_nothing_holds_it(monkeypatch):
    """A frame that an exception holds holds the stack's tensors; those of a failure that is caught in between, too."""
    held, alive = [], []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: alive.append(sum(one() is not None for one in held)))
    gc.disable()

    def work(part):
        large = torch.zeros(8)
        itself = [large]
        itself.append(itself)
        held.append(weakref.ref(large))
        if part.stop - part.start > 1:
            try:
                class_means(large, large, large)
            except Exception:
                raise torch.OutOfMemoryError("CUDA out of memory.") from None
        return large.sum()

    try:
        assert list(in_parts(2, 2, work)) == [0, 0]
    finally:
        gc.enable()
    assert alive == [0]


def test_what_is_small_is_tried_once_more():
    left = [torch.OutOfMemoryError("CUDA out of memory."), RuntimeError("shapes differ")]

    def work():
        if left:
            raise left.pop(0)
        return 3

    with pytest.raises(RuntimeError, match=r"^shapes differ$"):
        with_memory_given_back(work)
    left.append(torch.OutOfMemoryError("CUDA out of memory."))
    assert with_memory_given_back(work) == 3
