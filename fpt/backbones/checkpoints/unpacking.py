"""Opens a file of weights by what is in it, not by its name, and runs nothing that is in it."""

import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

# Of several sets of weights in one file, the first of these is taken.
NESTS = (
    *("teacher", "target_encoder", "model_ema", "ema_model", "ema_state_dict", "state_dict_ema", "ema"),
    *("state_dict", "model_state_dict", "model_state", "model", "module", "net", "network", "backbone", "encoder"),
    *("base_encoder", "weights", "params", "student"),
)
# What lies beside the weights, and is never taken for them.
BESIDE = re.compile(r"opt|sched|scaler|loss|amp|args|config|hyper|callback|loop|predictor|decoder|head|proj|queue")
LFS = b"version https://git-lfs"


class _Ignored:
    """Stands in for an object beside the weights: takes whatever the file says of it, and does nothing."""

    def __init__(self, *_: Any) -> None: ...

    def __setstate__(self, _: Any) -> None: ...


# What DINO, iBOT and MAE save beside the weights: their arguments, and NumPy's numbers as learning rates (one module
# before NumPy 2, another since). These names are not allowed but replaced: not even NumPy's own code sees the file.
BESIDE_WEIGHTS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    (_Ignored, name)
    for name in (
        "argparse.Namespace",
        "numpy.dtype",
        "numpy.ndarray",
        *(f"numpy.{core}.multiarray.{maker}" for core in ("core", "_core") for maker in ("scalar", "_reconstruct")),
    )
]


def unpack(path: Path) -> Any:
    """Returns what a file of safetensors or PyTorch holds. Raises ValueError for a file that is not there, that cannot
    be read, or that needs code to run.
    """
    if path.is_dir():
        inside = sorted(file.name for file in path.iterdir() if _is_weights(file))
        hint = f"; name the file in it, like {path / inside[0]}" if inside else ""
        raise ValueError(f"weights must be an existing file but got {path}, which is a folder{hint}")
    if not path.is_file():
        raise ValueError(f"weights must be an existing file but got {path}")
    with path.open("rb") as stream:
        begins = stream.read(64)
    try:
        if begins[8:9] == b"{":  # after eight bytes that tell how long the header is
            return load_file(path)
        with torch.serialization.safe_globals(BESIDE_WEIGHTS), warnings.catch_warnings(), path.open("rb") as stream:
            warnings.simplefilter("ignore")  # on TorchScript, which is refused below
            return torch.load(stream, map_location="cpu", weights_only=True)  # of a path, torch would read the suffix
    except Exception as error:  # a damaged pickle can raise nearly anything
        if needed := re.search(r"GLOBAL (\S+)", str(error)):
            raise ValueError(
                f"weights must be plain tensors but {path} needs {needed[1]} to run: where you trust the file, open it "
                "with torch.load(..., weights_only=False) and save its state_dict alone"
            ) from error
        raise ValueError(
            f"weights must be a whole file of safetensors or PyTorch but {path} cannot be read{_hint(begins, error)}"
        ) from error


def weights_in(held: Any) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Returns the tensors of what a file holds, by name, and the names of the entries that they were found in, the
    outermost first. There are none where no entry is known to be weights, nor the only one that could be.
    """
    found_in: list[str] = []
    while isinstance(held, Mapping) and (name := _inner(held)) is not None:
        found_in.append(name)
        held = held[name]
    entries = held if isinstance(held, Mapping) else {}
    return {str(name): value.detach() for name, value in entries.items() if _is_tensor(value)}, tuple(found_in)


def _inner(held: Mapping[Any, Any]) -> str | None:
    """Returns the name of the entry that weights are in, None where they are here or nowhere."""
    named = next((name for name in NESTS if _holds_tensors(held.get(name))), None)
    if named is not None or any(map(_is_tensor, held.values())):
        return named
    others = [str(name) for name, value in held.items() if _holds_tensors(value) and not BESIDE.search(str(name))]
    return others[0] if len(others) == 1 else None


def _holds_tensors(held: Any) -> bool:
    """Tells whether an entry is a dictionary by text with tensors in it, or in another such dictionary within it."""
    if not isinstance(held, Mapping) or not held or not all(isinstance(name, str) for name in held):
        return False
    return any(_is_tensor(value) or _holds_tensors(value) for value in held.values())


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Tensor)


def _is_weights(file: Path) -> bool:
    return file.suffix in (".safetensors", ".pth", ".pt", ".bin", ".ckpt")


def _hint(begins: bytes, error: Exception) -> str:
    """Returns what a file that cannot be read seems to be, where that is known."""
    said = str(error)
    if not begins:
        return ": it is empty"
    if begins.startswith(LFS):
        return ": it only points at a file of Git LFS; git lfs pull fetches that"
    if begins.lstrip()[:1] == b"<":
        return ": it is a web page; fetch the file itself"
    if "TorchScript" in said:
        return ": it is TorchScript; save the state_dict of torch.jit.load(...) alone"
    if begins[:2] == b"PK" and b".npy" in begins:
        return ": it is NumPy's npz; save its arrays as tensors with safetensors"
    return ""
