"""What a backbone's shape allows, known before anything is packed or started."""

from functools import cache
from typing import NamedTuple

from fpt.backbones.checkpoints.fitting import check_finite
from fpt.backbones.hub import check_reachable
from fpt.backbones.loading import load_backbone
from fpt.pictures.resizing import Resize, resize_of_pretraining
from pipeline.config import Run


class Limits(NamedTuple):
    """Limits are what a backbone's shape allows, and how its pre-training has `seen` images."""

    patches: int
    depth: int
    has_class_token: bool
    image_size: int
    seen: Resize


Colours = tuple[float, float, float]


@cache
def backbone_limits(
    name: str,
    image_size: int | None,
    weights: str | None,
    mean: Colours | None = None,
    std: Colours | None = None,
) -> Limits:
    """Returns the limits of a timm model. Raises ValueError for a model that cannot work, or a local file of weights
    that does not fit.
    """
    backbone = load_backbone(name, image_size=image_size, weights=weights, mean=mean, std=std)
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
    file = named.weights if isinstance(named.weights, str) else None
    told = (named.mean, named.std) if named.mean is not None else ()
    return backbone_limits(named.name, named.image_size, file, *told)


def check_weights(run: Run) -> None:
    """Raises ValueError where the pre-trained weights of a run's backbone are not here and cannot be had, with other
    ways on. They are fetched now, where they are to be had: nothing is packed or started for want of them.
    """
    if run.backbone.weights is True:
        _fetch(run.backbone.name)


@cache
def _fetch(name: str) -> None:
    check_reachable(name)
    check_finite(load_backbone(name, weights=True).model.state_dict(), f"backbone.weights, those of {name} here,")
