"""What a device's failures mean, told by what was raised; and work that is done in smaller parts where memory runs out.

No torch is loaded here: the dispatcher, which computes nothing, reads failures too.
"""

import gc
import sys
from collections.abc import Callable, Iterator
from typing import Any, Literal, TypeVar

Failure = Literal["smaller", "another worker", "fatal"]
Done = TypeVar("Done")

# What is said, in small letters, by torch, CUDA's driver and runtime, and its libraries. The first list that holds a
# part of a message decides.
NO_DEVICE_OF_OURS = (  # no other card of this kind will do, and no other try: installation and card do not fit
    "no kernel image is available",
    "driver on your system is too old",
    "driver version is insufficient",
    "forward compatibility was attempted",
    "unsupported ptx",
    "ptx was compiled with an unsupported toolchain",
    "ptx jit compil",
    "is not compatible with the current pytorch installation",
    "not compiled with cuda",
    "not linked with support for",
    "invalid device function",
    "device kernel image is invalid",
    "cudaerrorinsufficientdriver",
    "cudaerrornokernelimagefordevice",
    "architecture mismatch",
    "arch_mismatch",
)
WANT_OF_MEMORY = (
    "out of memory",
    "alloc_failed",  # cuBLAS, cuDNN, cuSOLVER, cuSPARSE, cuFFT
    "allocation_failed",
    "can't allocate memory",  # torch's allocator of a CPU
    "not enough memory",
    "cannot allocate memory",
    "unable to allocate",  # NumPy's
    "bad_alloc",
    "cudaerrormemoryallocation",
    "device memory allocation",
    "cublas_status_not_initialized",  # its handle, with its workspace, could not be made
    "cudnn_status_not_initialized",
    "cusolver_status_not_initialized",
    "unable to find an engine to execute",  # cuDNN's, where no workspace is left
)
BROKEN = (
    "cuda error",
    "cuda driver error",
    "cuda unknown error",
    "cuda call failed",
    "cudaerror",
    "hip error",
    "cudnn error",
    "cudnn_status",
    "cublas error",
    "cublas_status",
    "cusolver error",
    "cusolver_status",
    "cusparse error",
    "cusparse_status",
    "cufft error",
    "cufft_",
    "cudagetdevicecount",
    "magma",
    "nvml",
    "nvrtc",
    "triton error",
    "nvlink",
    "ecc error",
    "uncorrectable",
    "fallen off the bus",
    "gpu is lost",
    "device-side assert",
    "illegal memory access",
    "unspecified launch failure",
    "no cuda-capable device",
    "no cuda gpus are available",
    "found no nvidia driver",
    "driver/library version mismatch",
    "invalid device ordinal",
    "busy or unavailable",
    "acceleratorerror",
)
OF_DEVICES = ("AcceleratorError", "CudaError", "DeferredCudaCallError")  # torch's own names


def failure_of(error: BaseException) -> Failure | None:
    """Returns what an error asks for: `smaller` work, as memory ran out; `another worker`, as the device has failed,
    or this process's hold of it; `fatal`, as installation and device do not fit. None is for what is no device's
    failure but a mistake.
    """
    if isinstance(error, DeviceFailedError):
        return error.failure
    if not isinstance(error, (RuntimeError, MemoryError, AssertionError)):
        return None
    names = {kind.__name__ for kind in type(error).__mro__}
    said = str(error).lower()
    if any(part in said for part in NO_DEVICE_OF_OURS):
        return "fatal"
    if isinstance(error, AssertionError):
        return None
    if isinstance(error, MemoryError) or "OutOfMemoryError" in names or any(part in said for part in WANT_OF_MEMORY):
        return "smaller"
    if names.intersection(OF_DEVICES) or any(part in said for part in BROKEN):
        return "another worker"
    return None


class DeviceFailedError(RuntimeError):
    """A device has failed a worker. `card` says which, as people and logs name it; `said` is what it said itself."""

    def __init__(self, failure: Failure, card: str, host: str, said: str) -> None:
        super().__init__(failure, card, host, said)  # what it is made of again in another process
        self.failure, self.card, self.host, self.said = failure, card, host, said

    def __str__(self) -> str:
        said = self.said.strip().partition("\n")[0] or "it said nothing"
        if self.failure == "smaller":
            return (
                f"memory of {self.card} on {self.host} ran out with one problem alone: {said}; a smaller "
                "solver.batch, episodes.way, shot or query, fewer solver.blocks, a smaller backbone.name or image_size "
                "and backbone.precision bfloat16 need less"
            )
        if self.failure == "fatal":
            return (
                f"{self.card} on {self.host} does not fit the torch that is installed there: {said}; "
                "compute.gpus_per_worker 0 computes on processors"
            )
        return f"{self.card} on {self.host} has failed: {said}"


def in_parts(count: int, together: int, work: Callable[[slice], Done]) -> Iterator[Done]:
    """Does `work` on `count` things, `together` at a time, and yields what became of each part, in order. Where memory
    runs out, the part is halved, and so are all that follow; one thing alone that does not fit raises what was raised.
    """
    first = 0
    while first < count:
        last = min(first + together, count)
        try:
            done = [work(slice(first, last))]
        except (RuntimeError, MemoryError) as error:
            if last - first == 1 or failure_of(error) != "smaller":
                raise
            done = []
        if not done:
            give_back_memory()  # nothing holds what the failed part made any more: the error and its frames are gone
            together = (last - first) // 2
            continue
        yield done.pop()
        first = last


def with_memory_given_back(work: Callable[[], Done]) -> Done:
    """Returns what work gives, which is tried once more where memory runs out: for what is small, and cannot be halved,
    it is enough that an allocator gives back what nothing holds.
    """
    try:
        return work()
    except (RuntimeError, MemoryError) as error:
        if failure_of(error) != "smaller":
            raise
    give_back_memory()
    return work()


def give_back_memory() -> None:
    """Has the allocator of a GPU, if one is used, give back what nothing holds."""
    gc.collect()  # frames of a failure may hold each other
    torch: Any = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
