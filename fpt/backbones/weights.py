"""Weights from a local file into a timm model: no code in the file is run, and what did not fit is told."""

import inspect
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")
NESTS = ("teacher", "model_ema", "state_dict_ema", "state_dict", "model", "student")  # the first found is taken
PREFIXES = ("module.", "_orig_mod.", "backbone.")
# Without these a model still runs, and is another model.
VITAL = ("blocks", "cls_token", "patch_embed", "pos_embed", "reg_token")
LEAST_SHARE_OF_VALUES = 0.9
NAMES_SHOWN = 3

Shape = tuple[int, ...]
State = dict[str, Tensor]


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


@dataclass(frozen=True)
class Matched:
    """Tells how a file's weights met a model's, by name. A `mismatched` one has its shape in the file, then in the
    model.
    """

    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[tuple[str, Shape, Shape], ...]


def read_weights(path: Path) -> State:
    """Returns the weights in a file of safetensors or PyTorch, as they were saved by DINO, iBOT, MAE, DeiT or timm.

    Of several sets of weights in one file, a teacher is preferred to averaged weights (`model_ema`), these to plain
    ones, and a student comes last. Prefixes of wrappers (`module.`, `backbone.`) are dropped; projection heads keep
    their names. Raises ValueError for a file that cannot be read, needs code to run, or holds no weights.
    """
    if path.suffix not in SUFFIXES:
        raise ValueError(f"weights must be a file that ends in {', '.join(SUFFIXES)} but got {path}")
    if not path.is_file():
        raise ValueError(f"weights must be an existing file but got {path}")
    held = _unpack(path)
    while inner := _nested(held):
        held = inner
    entries = held if isinstance(held, dict) else {}
    tensors = {str(name): value.detach() for name, value in entries.items() if isinstance(value, Tensor)}
    if not tensors:
        raise ValueError(f"weights must be tensors by name but {path} holds none where they were looked for")
    bare = {_bare(name): value for name, value in tensors.items()}
    if len(bare) < len(tensors):
        raise ValueError(f"weights must have one name each but in {path} some differ only in {', '.join(PREFIXES)}")
    return bare


def load_weights(model: nn.Module, state: State, source: str) -> Matched:
    """Copies into the model what fits it by name and shape, after timm's own translation for its architecture.

    timm's translation also resamples position embeddings to the model's image size. Raises ValueError, and leaves the
    model as it was, unless the file holds all of the model's blocks and embeddings, no further ones, and 90 % of the
    model's values; a classification head does not count. `source` names the file in errors.
    """
    offered, wanted = _translated(model, state, source), model.state_dict()
    shared = sorted(offered.keys() & wanted.keys())
    result = Matched(
        matched=tuple(name for name in shared if offered[name].shape == wanted[name].shape),
        missing=tuple(sorted(wanted.keys() - offered.keys())),
        unexpected=tuple(sorted(offered.keys() - wanted.keys())),
        mismatched=tuple(
            (name, tuple(offered[name].shape), tuple(wanted[name].shape))
            for name in shared
            if offered[name].shape != wanted[name].shape
        ),
    )
    sizes = {name: value.numel() for name, value in wanted.items() if not name.startswith("head")}
    share = sum(sizes.get(name, 0) for name in result.matched) / sum(sizes.values())
    astray = (*result.missing, *result.unexpected, *(name for name, _, _ in result.mismatched))
    if share < LEAST_SHARE_OF_VALUES or any(map(_is_vital, astray)):
        raise ValueError(
            f"{source} must hold the weights of {_architecture(model)}: of {', '.join(VITAL)} all that it has and no "
            f"more, and {LEAST_SHARE_OF_VALUES:.0%} of all values; but {share:.1%} of them fit, {_told(result)}"
        )
    model.load_state_dict({name: offered[name] for name in result.matched}, strict=False)
    return result


def _unpack(path: Path) -> Any:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with torch.serialization.safe_globals(BESIDE_WEIGHTS):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can raise nearly anything
        if needed := re.search(r"GLOBAL (\S+)", str(error)):
            raise ValueError(
                f"weights must be plain tensors but {path} needs {needed[1]} to run: where you trust the file, open it "
                "with torch.load(..., weights_only=False) and save its state_dict alone"
            ) from error
        raise ValueError(f"weights must be a whole file of {path.suffix} but {path} cannot be read") from error


def _nested(held: Any) -> dict[Any, Any] | None:
    inner = [held.get(key) for key in NESTS] if isinstance(held, dict) else []
    return next((found for found in inner if found and isinstance(found, dict)), None)


def _bare(name: str) -> str:
    while name.startswith(PREFIXES):
        name = name.partition(".")[2]
    return name


def _architecture(model: nn.Module) -> str:
    """Returns timm's name of the architecture; the class's where timm gave none."""
    config: Any = getattr(model, "pretrained_cfg", {})
    return config.get("architecture") or type(model).__name__


def _filter(model: nn.Module) -> Callable[..., State] | None:
    """Returns timm's `checkpoint_filter_fn`, which lies beside the model's class or the class that it was derived
    from.
    """
    homes = (sys.modules[parent.__module__] for parent in type(model).__mro__)
    return next((home.checkpoint_filter_fn for home in homes if hasattr(home, "checkpoint_filter_fn")), None)


def _translated(model: nn.Module, state: State, source: str) -> State:
    translate = _filter(model)
    if translate is None:
        return state
    # DeiT III's own names of its layer scales, which timm otherwise turns on in a closure of its model builder.
    names = {"adapt_layer_scale": True} if "adapt_layer_scale" in inspect.signature(translate).parameters else {}
    try:
        return translate(dict(state), model, **names)  # a copy: some take entries out
    except Exception as error:  # how timm's code fails on a file of another architecture is anyone's guess
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"{source} must hold the weights of {_architecture(model)} but timm cannot translate them: {reason}"
        ) from error


def _is_vital(name: str) -> bool:
    return any(part in VITAL for part in name.split("."))


def _told(result: Matched) -> str:
    """Returns the counts, and the first names of each kind, vital ones first."""
    shapes = {name: f"{name} {in_file} for {in_model}" for name, in_file, in_model in result.mismatched}
    kinds = {"missing": result.missing, "unexpected": result.unexpected, "of another shape": tuple(shapes)}
    told = [f"{len(result.matched)} by name and shape"]
    for kind, names in kinds.items():
        first = [shapes.get(name, name) for name in sorted(names, key=lambda name: not _is_vital(name))[:NAMES_SHOWN]]
        listed = f" ({', '.join(first)}{', ...' if len(names) > NAMES_SHOWN else ''})" if names else ""
        told.append(f"{len(names)} {kind}{listed}")
    return ", ".join(told)
