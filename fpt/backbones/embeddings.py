"""What makes tokens of an image before the first block, patch embedding, position embedding and [CLS], and what merges
tokens between the blocks of a pyramid.

They are found by running the model, not by what its parts are called.
"""

from typing import cast

import torch
from torch import nn

from fpt.backbones.backbone import MODULES, Backbone

PROJECTIONS = (nn.Conv2d, nn.Linear)


def embedding_parameters(backbone: Backbone) -> dict[str, nn.Parameter]:
    """Returns the weights, by name, that tokens depend on before they leave the last block but are no block's: those of
    the embeddings, and of what the blocks share of them (rotations, biases of positions).
    """
    in_blocks = set(backbone.parameters_of_blocks(backbone.depth))
    others = {name: weight for name, weight in backbone.model.named_parameters() if name not in in_blocks}
    try:
        for weight in others.values():
            weight.requires_grad_(True)
        with torch.enable_grad():
            entering = backbone.entering(backbone.depth - 1).sum()
        found = torch.autograd.grad(entering, list(others.values()), allow_unused=True)
    finally:
        for weight in others.values():
            weight.requires_grad_(False)
    return {name: weight for (name, weight), own in zip(others.items(), found, strict=True) if own is not None}


def embedding_modules(backbone: Backbone) -> list[nn.Module]:
    """Returns the projection of patches, the last convolution or linear layer before the first block, and the norms
    that tokens pass behind it but in no block: where the paper's released code scales and shifts, in ViT and Swin.

    Raises ValueError for a backbone that projects no patches before its first block.
    """
    called: list[nn.Module] = []

    def note(module: nn.Module, *_: object) -> None:
        called.append(module)

    first, inside = backbone.blocks[0], {module for block in backbone.blocks for module in block.modules()}
    watched = (*PROJECTIONS, *MODULES["norm"])
    handles = [
        module.register_forward_hook(note)
        for module in cast(nn.Module, backbone.model).modules()
        if isinstance(module, watched) and module not in inside
    ]
    handles.append(first.register_forward_pre_hook(note))
    try:
        with torch.no_grad():
            backbone.entering(backbone.depth - 1)
    finally:
        for handle in handles:
            handle.remove()
    below = called[: called.index(first)] if first in called else called
    projections = [place for place, module in enumerate(below) if isinstance(module, PROJECTIONS)]
    if not projections:
        raise ValueError("embeddings must be false for a backbone that projects no patches but is true")
    last = projections[-1]
    return [called[last], *(module for module in called[last:] if isinstance(module, MODULES["norm"]))]
