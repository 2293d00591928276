"""Variants of position prompts: how what is seen of an image becomes its prompt.

Paper: "Focus Your Attention when Few-Shot Classification", Wang, Jie, Deng, NeurIPS 2023.

- `paper`: its equations;
- `scaled`: the same with G over the sum of its absolute values;
- `contrast`: `scaled`, joined to what the whole episode knows of a patch (contrast.py);
- `official`: what the released code does (FORT): minimum over heads, centred gradient of the mean score, the lowest
  90 % of each fused row dropped, product L ... 1, targets weighted by importance that sum to P (to 1 in the others).

Each has rows of its own, too, whose attention is steered (fpt.registry.rows_of). docs/method.md lists what differs from
equations and code.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from fpt.registry import ESTIMATED, check_name, load

DROPPED_SHARE = 0.9  # of each fused row, in the released code


@dataclass(frozen=True)
class Variant:
    """Says how evidence becomes prompts: which maps and G are gathered, how they are fused, what the loss aims at."""

    heads: str  # "mean" or "min"
    order: str
    centred: bool  # G of the gradient less its mean over the patches, of the mean score instead of each image's own
    rescale: Callable[[Tensor], Tensor]
    fuse: Callable[[Tensor], Tensor]
    target: Callable[[Tensor, Tensor], Tensor]
    contrasts: bool = False  # with the other images of the episode


def unscaled(component: Float[Tensor, "*images patches"]) -> Float[Tensor, "*images patches"]:
    """Returns G as it is."""
    return component


def scaled(component: Float[Tensor, "*images patches"]) -> Float[Tensor, "*images patches"]:
    """Returns G over the sum of its absolute values, so that lambda means the same on every backbone and episode."""
    total_B1 = component.abs().sum(-1, keepdim=True)
    return torch.where(total_B1 > 0, component / total_B1.clamp_min(torch.finfo(component.dtype).tiny), 0)


def rectified(fused: Float[Tensor, "images patches patches"]) -> Float[Tensor, "images patches patches"]:
    """Drops what is negative, so that every row is a distribution at any lambda."""
    return fused.clamp_min(0)


def highest_tenth(fused: Float[Tensor, "images patches patches"]) -> Float[Tensor, "images patches patches"]:
    """Sets the lowest 90 % of every row to 0, as the released code does."""
    count = fused.shape[-1]
    dropped = int(count * DROPPED_SHARE)
    if dropped and fused.device.type == "cpu":  # NumPy sorts whole rows in less time than torch finds their tenth
        ordered = np.sort(fused.detach().numpy(), axis=-1)
        least, below = (torch.from_numpy(ordered[..., [place]]) for place in (dropped, dropped - 1))
        if bool((least > below).all()):  # of equals at the limit only some are dropped
            return fused * torch.ge(fused, least, out=torch.empty_like(fused))  # a product with numbers, not booleans
    kept = fused.topk(count - dropped, dim=-1, sorted=False)  # few, where the dropped are many
    return torch.zeros_like(fused).scatter_(-1, kept.indices, kept.values)


def uniform_target(importance: Tensor, mask: Tensor) -> Tensor:
    """Returns the same for each prompt patch, 1 in all."""
    return mask.to(importance.dtype) / mask.sum(-1, keepdim=True).clamp_min(1)


def weighted_target(importance: Tensor, mask: Tensor) -> Tensor:
    """Weights each prompt patch by its importance, P in all."""
    weight = importance * mask
    return weight / weight.sum(-1, keepdim=True) * mask.sum(-1, keepdim=True)


PAPER = Variant("mean", "paper", False, unscaled, rectified, uniform_target)
SCALED = Variant("mean", "paper", False, scaled, rectified, uniform_target)
CONTRAST = replace(SCALED, contrasts=True)
OFFICIAL = Variant("min", "rollout", True, unscaled, highest_tenth, weighted_target)


def variant_named(name: str) -> Variant:
    """Returns the variant called `name`. Raises ValueError for an unknown one."""
    check_name("variant", name, ESTIMATED)
    variant: Variant = load(ESTIMATED[name])
    return variant
