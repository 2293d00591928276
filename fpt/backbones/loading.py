"""Loads a backbone by name: timm's models, their weights from timm or a local file."""

from pathlib import Path
from typing import Any

import timm
import torch

import fpt.glyphs.backbone  # noqa: F401  (registers the embedded backbone with timm)
from fpt.backbones.backbone import Backbone
from fpt.backbones.weights import load_weights, read_weights


def load_backbone(
    name: str,
    *,
    weights: bool | str | Path | None = None,
    image_size: int | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Backbone:
    """Returns a backbone by its timm name, e.g. `vit_micro_glyphs` (embedded) or `vit_small_patch16_224.dino`.

    `weights`: True for timm's pre-trained ones, a path to a local file, None for random ones (always the same).
    What of a file matched is in the backbone's `weights`.
    `image_size` (pixels) may differ from the pre-training's: position embeddings are resampled by timm.
    Raises ValueError for an unknown name, weights that do not fit or cannot be downloaded, or an architecture that
    cannot work.
    """
    if not timm.is_model(name.split(".")[0]):
        near = ", ".join(timm.list_models(f"*{name.split('_')[0]}*")[:3])
        raise ValueError(f"backbone.name must be a timm model (like {near}) but got {name!r}")
    options: dict[str, Any] = {} if image_size is None else {"img_size": image_size}
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = timm.create_model(name, pretrained=weights is True, num_classes=0, **options)
    except TypeError as error:
        raise ValueError(f"backbone.image_size must be left out for {name} but got {image_size}: {error}") from error
    except OSError as error:
        why = str(error).partition("\n")[0]
        raise ValueError(
            f"backbone.weights must be a local file where {name}'s cannot be downloaded, which failed: {why}"
        ) from error
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"backbone.name must have a tag and a size that timm knows but got {name!r}: {error}"
        ) from error
    matched = None
    if isinstance(weights, (str, Path)):
        matched = load_weights(model, read_weights(Path(weights)), str(weights))
    backbone = Backbone(model.to(device=device, dtype=dtype), image_size)
    backbone.weights = matched
    return backbone


def best_device() -> str:
    """Returns a GPU where there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"
