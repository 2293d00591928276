"""What can be known to be wrong before anything is packed, started or written."""

from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

from fpt.glyphs.characters import characters
from fpt.loading import load_backbone
from pipeline.config import Run

GLYPH_SPLITS = ("validation", "novel")


def split_sizes(run: Run) -> Mapping[str, int]:
    """Classes in each split of a run's data set."""
    return {split: len(characters(split)) for split in GLYPH_SPLITS}


def check_run(run: Run, split_field: str = "episodes.split") -> None:
    """Raises ValueError, naming the field, for a run that its data set or backbone cannot serve."""
    sizes, split = split_sizes(run), run.episodes.split
    if split not in sizes:
        raise ValueError(f"{split_field} must be one of {', '.join(sizes)} but got {split!r}")
    episodes, available = run.episodes, run.dataset.images_per_class
    if episodes.way > sizes[split]:
        raise ValueError(
            f"episodes.way must be at most {sizes[split]}, the classes of split {split}, but got {episodes.way}"
        )
    if episodes.shot + episodes.query > available:
        raise ValueError(
            f"episodes.shot + episodes.query must be at most {available}, which is dataset.images_per_class, "
            f"but got {episodes.shot} + {episodes.query}"
        )
    named = run.backbone
    limits = backbone_limits(named.name, named.image_size, named.weights if isinstance(named.weights, str) else None)
    if run.prompts.alpha > 0 and run.prompts.patches > limits.patches:
        raise ValueError(
            f"prompts.patches must be at most {limits.patches}, the patches of {run.backbone.name}, "
            f"but got {run.prompts.patches}"
        )
    if run.solver.blocks > limits.depth:
        raise ValueError(
            f"solver.blocks must be at most {limits.depth}, the blocks of {run.backbone.name}, "
            f"but got {run.solver.blocks}"
        )
    if run.prompts.alpha > 0 and run.prompts.rows == "class" and not limits.has_class_token:
        raise ValueError(f"prompts.rows must be patches or all, as {run.backbone.name} has no [CLS], but got 'class'")


class Limits(NamedTuple):
    """What a backbone's shape allows."""

    patches: int
    depth: int
    has_class_token: bool


@cache
def backbone_limits(name: str, image_size: int | None, weights: str | None) -> Limits:
    """Of a timm model. Raises ValueError for one that cannot work, or a local file of weights that does not fit."""
    backbone = load_backbone(name, image_size=image_size, weights=weights)
    return Limits(backbone.most_patches, backbone.depth, backbone.has_class_token)
