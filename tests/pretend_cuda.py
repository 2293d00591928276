"""A pretend GPU. Python sees `cuda:0`, torch a device of its own kind, and a tensor of the processor holds the numbers.

Tensors of two devices in one operation are refused, as a GPU refuses them. Launches, waits for the device and bytes
that are held are counted, and any operation can be made to fail. How fast a GPU is, how it rounds and what it does not
repeat cannot be seen here.
"""

import threading
import traceback
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from fpt.backbones.images import stream_of_copies
from fpt.bench import is_launched

CUDA = torch.device("cuda:0")
NAME, MEMORY = "NVIDIA H100 80GB HBM3", 80 * 2**30
WAITS = {"_local_scalar_dense", "equal", "nonzero", "masked_select", "bincount", "_unique2"}
COPIES = {"copy_", "_to_copy", "to", "_foreach_copy_"}
# No kernel of CUDA's adds in a fixed order, so that `repeatable` ends them: torch.use_deterministic_algorithms' list.
UNREPEATABLE = {
    *(
        "_adaptive_avg_pool2d_backward",
        "_adaptive_avg_pool3d_backward",
        "adaptive_max_pool2d_backward",
        "avg_pool3d_backward",
    ),
    *(f"upsample_{kind}_backward" for kind in ("linear1d", "bilinear2d", "bicubic2d", "trilinear3d")),
    *("_upsample_bilinear2d_aa_backward", "_upsample_bicubic2d_aa_backward", "grid_sampler_2d_backward"),
    *("reflection_pad1d_backward", "reflection_pad2d_backward", "max_unpool2d", "put_", "histc", "scatter_reduce"),
    *("kthvalue", "_ctc_loss_backward", "embedding_bag_backward"),
}
INDEXED = {"index", "index_put", "index_put_", "_index_put_impl_"}


class Device:
    """The one device there is. `fails` says of each launch, by name and number, what it raises."""

    def __init__(self) -> None:
        self.launches: Counter[str] = Counter()
        self.waits: Counter[str] = Counter()
        self.copies: Counter[str] = Counter()  # to the device, for which the processor waits
        self.streams: list[str] = []  # what was asked of them
        self.held: dict[int, list[int]] = {}  # bytes and users of each piece of memory
        self.bytes = self.peak = self.number = 0
        self.fails: Callable[[str, int], BaseException | None] = lambda name, number: None
        self.late: BaseException | None = None

    def forget(self) -> None:
        """Counts anew."""
        self.launches, self.waits, self.peak, self.number = Counter(), Counter(), self.bytes, 0
        self.copies, self.streams = Counter(), []

    def take(self, tensor: "OnDevice") -> None:
        storage = tensor.numbers.untyped_storage()
        if not storage.nbytes():
            return
        place = storage.data_ptr()
        piece = self.held.setdefault(place, [storage.nbytes(), 0])
        self.bytes += piece[0] if not piece[1] else 0
        piece[1] += 1
        self.peak = max(self.peak, self.bytes)
        weakref.finalize(tensor, self._let_go, place)

    def _let_go(self, place: int) -> None:
        piece = self.held[place]
        piece[1] -= 1
        if not piece[1]:
            self.bytes -= self.held.pop(place)[0]

    def launch(self, name: str) -> None:
        self.launches[name] += 1
        self.number += 1
        if (error := self.fails(name, self.number)) is not None:
            self.fail(error)

    def fail(self, error: BaseException) -> None:
        """Raises an error; autograd's own thread would end the process, so it is raised where that is waited for."""
        if threading.current_thread() is threading.main_thread():
            raise error
        self.late = error


DEVICE = Device()


class OnDevice(torch.Tensor):
    """A tensor of the device; `numbers` is what it holds."""

    numbers: Tensor

    @staticmethod
    def __new__(cls, numbers: Tensor) -> "OnDevice":
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            numbers.shape,
            strides=numbers.stride(),
            storage_offset=numbers.storage_offset(),
            dtype=numbers.dtype,
            device="pretend:0",
        )
        made.numbers = numbers
        DEVICE.take(made)
        return made

    device = property(lambda self: CUDA)
    is_cuda = property(lambda self: True)
    is_cpu = property(lambda self: False)

    def numpy(self, *, force: bool = False) -> Any:
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy it first.")

    def record_stream(self, stream: Any) -> None:
        DEVICE.streams.append(f"kept for {stream.name}")

    def tolist(self) -> Any:
        return self.detach().cpu().tolist()

    def __repr__(self, **_: Any) -> str:
        return f"OnDevice({tuple(self.shape)}, {self.dtype})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class _Dispatched(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class _Called(TorchFunctionMode):
    """Takes `cuda` for the pretend device before torch asks a driver, and raises what failed on autograd's thread."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = {name: _ours(value) if name == "device" else value for name, value in (kwargs or {}).items()}
        if func is Tensor.pin_memory:
            return pinned_copy(args[0])
        if func is Tensor.cuda:
            func, args = Tensor.to, (args[0], "cuda")
        args = tuple(_ours(one) if func is Tensor.to or isinstance(one, torch.device) else one for one in args)
        result = func(*args, **kwargs)
        late, DEVICE.late = DEVICE.late, None
        if late is not None:
            raise late
        return result


def pinned_copy(images: Tensor) -> Any:
    copied: Any = images.clone()
    copied.pinned = True
    return copied


class _Stream:
    """A queue of the device's work, by name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def wait_stream(self, other: "_Stream") -> None:
        DEVICE.streams.append(f"{self.name} waits for {other.name}")


@contextmanager
def _in_stream(stream: _Stream) -> Iterator[None]:
    DEVICE.streams.append(f"in {stream.name}")
    yield


def _ours(one: Any) -> Any:
    named = (isinstance(one, torch.device) and one.type == "cuda") or (isinstance(one, str) and one.startswith("cuda"))
    return torch.device("pretend:0") if named else one


def _run(func: Any, args: Any, kwargs: Any) -> Any:
    flat, spec = tree_flatten((args, kwargs))
    ours = [one for one in flat if isinstance(one, OnDevice)]
    target = None if kwargs.get("device") is None else torch.device(kwargs["device"]).type
    if not ours and target != "pretend":
        return func(*args, **kwargs)
    name = str(func._schema.name).partition("::")[2]
    _check(name, args, flat, ours)
    summed = (name == "nll_loss2d_forward" and args[3] != 0) or (name == "median" and "dim" in str(func._schema))
    if name in UNREPEATABLE or summed:
        DEVICE.fail(RuntimeError(f"{name} does not have a deterministic implementation (at {_place()})"))
    pinned = getattr(args[0], "pinned", False) if args else False
    if target == "pretend" and name in COPIES and not ours and not (kwargs.get("non_blocking") and pinned):
        DEVICE.copies[_place()] += 1
    down = target == "cpu" or (name == "copy_" and not isinstance(args[0], OnDevice))
    mask = name == "index" and any(one.dtype == torch.bool for one in ours[1:])
    if down or name in WAITS or mask:
        DEVICE.waits[f"{_place()} {name}"] += 1
    if is_launched(func):
        DEVICE.launch(name)
    bare_args, bare_kwargs = tree_unflatten([one.numbers if isinstance(one, OnDevice) else one for one in flat], spec)
    if target is not None:
        bare_kwargs = {**bare_kwargs, "device": torch.device("cpu")}
    result = func(*bare_args, **bare_kwargs)
    if down:
        return args[0] if name == "copy_" else result
    known = {id(one.numbers): one for one in ours}

    def ours_again(one: Any) -> Any:
        if not isinstance(one, Tensor):
            return one
        return known[id(one)] if id(one) in known else OnDevice(one)

    return tree_map(ours_again, result)


def _check(name: str, args: Any, flat: list[Any], ours: list[OnDevice]) -> None:
    """A tensor of the processor may stand among the device's where it is one number, or an index."""
    if not ours or name in COPIES:
        return
    among = [args[0], *args[2:]] if name in INDEXED else flat
    others = [one for one in among if isinstance(one, Tensor) and not isinstance(one, OnDevice) and one.ndim]
    if others:
        raise RuntimeError(
            "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu! "
            f"({name} at {_place()})"
        )


def _place() -> str:
    """Where in the project an operation was asked for."""
    for frame in reversed(traceback.extract_stack()):
        if "/fpt/" in frame.filename or "/pipeline/" in frame.filename:
            return f"{frame.filename.rpartition('/')[2]}:{frame.lineno}"
    return "elsewhere"


def on_cpu(value: Any) -> Any:
    """Returns a value with each tensor of the device replaced by its numbers, which nobody waits for."""
    return tree_map(lambda one: one.detach().numbers if isinstance(one, OnDevice) else one, value)


@contextmanager
def pretend_cuda() -> Iterator[Device]:
    """Inside, torch believes that there is one GPU."""
    patched = {
        "_lazy_init": lambda: None,
        "init": lambda: None,
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "get_device_name": lambda device=None: NAME,
        "get_device_properties": lambda device=None: SimpleNamespace(name=NAME, total_memory=MEMORY, major=9, minor=0),
        "synchronize": lambda device=None: None,
        "Stream": lambda device=None: _Stream("one of its own"),
        "current_stream": lambda device=None: _Stream("that of the computing"),
        "stream": _in_stream,
        "empty_cache": lambda: None,
        "max_memory_allocated": lambda device=None: DEVICE.peak,
        "is_bf16_supported": lambda including_emulation=True: True,
    }
    lifted = torch._C._only_lift_cpu_tensors()
    with ExitStack() as stack:
        stack.enter_context(mock.patch.multiple(torch.cuda, **patched))
        stack.callback(stream_of_copies.cache_clear)
        stack.callback(torch._C._set_only_lift_cpu_tensors, lifted)
        torch._C._set_only_lift_cpu_tensors(True)
        stack.enter_context(_Called())
        stack.enter_context(_Dispatched())
        yield DEVICE


class _Backend(torch.utils.backend_registration._DummyBackendModule):
    """Has no generators of its own, which tests that know nothing of this device would fork with the processor's."""

    def device_count(self) -> int:
        return 0


# Before the first gradient of a process: that is when autograd looks which kinds of devices there are.
torch.utils.backend_registration._setup_privateuseone_for_python_backend("pretend", _Backend())
