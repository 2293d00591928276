"""Loads a backbone by name: timm's models, their weights from timm or a local file."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import timm
import torch
from torch import nn

import fpt.glyphs.backbone  # noqa: F401  (registers the embedded backbone with timm)
from fpt.backbones.backbone import Backbone
from fpt.backbones.checkpoints.beside import said_beside
from fpt.backbones.checkpoints.fitting import check_heads, heads_trained, pooled_by_class, pooled_by_mean
from fpt.backbones.checkpoints.layouts import layout_of
from fpt.backbones.checkpoints.pixels import Pixels, pixels_of_file
from fpt.backbones.naming import check_name
from fpt.backbones.weights import FileWeights, Matched, load_weights, own_names, read_file
from fpt.failures import failure_of

WAYS_ON = "a local file as backbone.weights, or the embedded backbone, backbone.name vit_micro_glyphs, needs no network"


# timm takes the mean of patches where DINOv3's authors take [CLS], and says so in its models.
POOLED_BY_CLASS = "_dinov3"


def load_backbone(
    name: str,
    *,
    weights: bool | str | Path | None = None,
    image_size: int | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Backbone:
    """Returns a backbone by its timm name, e.g. `vit_micro_glyphs` (embedded) or `vit_small_patch16_224.dino`.

    `weights`: True for timm's pre-trained ones, a path to a local file, None for random ones (always the same).
    What of a file matched is in the backbone's `weights`.
    `image_size` (pixels) may differ from the pre-training's: position embeddings are resampled by timm.
    `mean` and `std`, of red, green and blue between 0 and 1, are those of the pixels in pre-training; None stands for
    what timm says of the name, or a local file's layout of its weights.
    DINOv3's features are those of [CLS], as its authors have them.
    Raises ValueError for an unknown name, weights that do not fit or cannot be downloaded, a file that does not tell
    how pixels were normalised, or an architecture that cannot work.
    """
    name = check_name(name)
    if (mean is None) != (std is None):
        given, lacking = ("mean", "std") if std is None else ("std", "mean")
        raise ValueError(f"backbone.{lacking} must be given where backbone.{given} is, but is missing")
    model = _made(name, image_size, weights is True)
    told: Pixels | None = None if mean is None or std is None else (_colours(mean, "mean"), _colours(std, "std"))
    matched = None
    if isinstance(weights, (str, Path)):
        model, matched, found = _filled(model, name, image_size, Path(weights).expanduser(), told)
        told = told or found
    backbone = Backbone(model.to(device=device, dtype=dtype), image_size, told)
    backbone.weights = matched
    backbone.pooling = "token" if POOLED_BY_CLASS in name else None
    return backbone


def _made(name: str, image_size: int | None, pretrained: bool, **options: Any) -> Any:
    if image_size is not None:
        options["img_size"] = image_size
    if POOLED_BY_CLASS in name:
        options.setdefault("global_pool", "token")
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return timm.create_model(name, pretrained=pretrained, num_classes=0, **options)
    except TypeError as error:
        raise ValueError(f"backbone.image_size must be left out for {name} but got {image_size}: {error}") from error
    except OSError as error:
        why = str(error).partition("\n")[0]
        raise ValueError(
            f"backbone.weights must be a local file where {name}'s cannot be downloaded, which failed: {why}; {WAYS_ON}"
        ) from error
    except (RuntimeError, AssertionError) as error:
        if failure_of(error):
            raise
        if "No pretrained weights" in str(error):
            raise ValueError(
                f"backbone.weights must be false (random) or a local file for {name}, as timm knows none, but is true; "
                f"{WAYS_ON}"
            ) from error
        raise ValueError(
            f"backbone.name must have a tag and a size that timm knows but got {name!r}: {error}{_tags(name)}"
        ) from error


def _tags(name: str) -> str:
    """Returns a hint at the tags that timm knows of an architecture."""
    architecture, _, tag = name.partition(".")
    known = timm.list_models(f"{architecture}.*", pretrained=True) if tag else []
    return f"; it knows {', '.join(known[:6])}{', ...' if len(known) > 6 else ''}" if known else ""


def _filled(
    model: Any, name: str, image_size: int | None, path: Path, told: Pixels | None
) -> tuple[Any, Matched, Pixels]:
    """Returns the model with a file's weights, what of them matched, and the pixels that they were trained on. A file
    that was trained with the mean of patches or with [CLS], with other heads or another epsilon of layer norms, has the
    model take those.
    """
    source = f"backbone.weights {path}"
    try:
        file: FileWeights = read_file(path)
    except ValueError as error:
        raise ValueError(f"backbone.{error}; {WAYS_ON}" if not path.exists() else f"backbone.{error}") from error
    named, layout = own_names(model, file.state, source), layout_of(file.state, file.found_in)
    beside = said_beside(path, name.partition(".")[2])
    options: dict[str, Any] = {}
    pooled = "avg" if pooled_by_mean(named) else "token" if pooled_by_class(named, model) else None
    if pooled and {pooled, getattr(model, "global_pool", "")} == {"avg", "token"}:
        options["global_pool"] = pooled
    own_heads = {getattr(part, "num_heads", 0) for part in model.modules()}
    if (heads := heads_trained(named, layout, beside)) and len(own_heads - {0, heads}) == 1:
        check_heads(named, heads, source)
        options["num_heads"] = heads
    if options:
        model = _made(name, image_size, False, **options)
    matched = load_weights(model, file.state, source, file.found_in, beside)
    matched = replace(matched, heads=options.get("num_heads"), epsilon=_followed(model, beside.epsilon))
    own = (_colours(model.pretrained_cfg["mean"], "mean"), _colours(model.pretrained_cfg["std"], "std"))
    return model, matched, told or pixels_of_file(name, own, layout, beside, source)


def _followed(model: nn.Module, epsilon: float | None) -> float | None:
    """Has a model's layer norms add `epsilon` to a variance, and returns it, where they add something else."""
    norms = [part for part in model.modules() if isinstance(part, nn.LayerNorm)]
    if epsilon is None or all(norm.eps == epsilon for norm in norms):
        return None
    for norm in norms:
        norm.eps = epsilon
    return epsilon


def _colours(values: Sequence[float], field: str) -> tuple[float, float, float]:
    if len(values) != 3 or not all(0 <= value <= 1 for value in values) or (field == "std" and min(values) <= 0):
        raise ValueError(f"backbone.{field} must be three numbers between 0 and 1 but got {list(values)}")
    red, green, blue = (float(value) for value in values)
    return red, green, blue


def device_held(gpu: bool) -> str:
    """Returns what a worker computes on: the GPU that it holds, or else the processor, though the node have GPUs, which
    are others'. Raises RuntimeError, with what the driver says, where torch cannot use the GPU: nobody would know that
    it stands idle.
    """
    if not gpu:
        return "cpu"
    torch.cuda.init()
    if not torch.cuda.is_available():
        raise RuntimeError("No CUDA GPUs are available to torch, though this process holds one")
    return "cuda"


def best_device() -> str:
    """Returns a GPU where there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"
