"""What a backbone's shape allows, known before anything is packed or started."""

from functools import cache
from typing import NamedTuple

from fpt.backbones.loading import load_backbone
from pipeline.config import Run
from pipeline.resizing import Resize, resize_of_pretraining


class Limits(NamedTuple):
    """Limits are what a backbone's shape allows, and how its pre-training has `seen` images."""

    patches: int
    depth: int
    has_class_token: bool
    image_size: int
    seen: Resize


@cache
def backbone_limits(name: str, image_size: int | None, weights: str | None) -> Limits:
    """Returns the limits of a timm model. Raises ValueError for a model that cannot work, or a local file of weights
    that does not fit.
    """
    backbone = load_backbone(name, image_size=image_size, weights=weights)
    return Limits(
        backbone.most_patches,
        backbone.depth,
        backbone.has_class_token,
        backbone.image_size,
        resize_of_pretraining(backbone.model.pretrained_cfg),
    )


def limits_of(run: Run) -> Limits:
    """Returns the limits of a run's backbone."""
    named = run.backbone
    return backbone_limits(named.name, named.image_size, named.weights if isinstance(named.weights, str) else None)
