"""What the frozen backbone makes of images, before any solver adapts anything."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from fpt.backbones.backbone import Backbone
from fpt.backbones.images import Images
from fpt.failures import in_parts
from fpt.registry import SOLVERS
from fpt.solvers.contract import IMAGES_A_PASS, images_a_pass


@dataclass(frozen=True)
class Seen:
    """Holds what the whole frozen backbone makes of images: features, and [CLS] attention to the patches, summing
    to 1.
    """

    features: Float[Tensor, "*images dim"]
    attention: Float[Tensor, "*images patches"]


@dataclass(frozen=True)
class Frozen:
    """Holds images as they enter the first adapted block, and after the whole frozen backbone, where that was asked
    for.

    All lead with the same dimensions, those of images.
    """

    tokens: Float[Tensor, "..."]
    seen: Seen | None = None

    @property
    def features(self) -> Float[Tensor, "*images dim"]:
        assert self.seen is not None, "the whole backbone has not seen these images"
        return self.seen.features

    @property
    def attention(self) -> Float[Tensor, "*images patches"]:
        assert self.seen is not None, "the whole backbone has not seen these images"
        return self.seen.attention

    def change(self, each: Callable[[Tensor], Tensor]) -> "Frozen":
        """Returns the images with `each` done to every tensor."""
        return joined([self], lambda parts: each(parts[0]))


def joined(parts: Sequence[Frozen], join: Callable[[list[Tensor]], Tensor]) -> Frozen:
    """Joins several batches of images into one, by `join` (torch.cat, torch.stack)."""
    seen = [part.seen for part in parts if part.seen is not None]
    assert len(seen) in (0, len(parts))
    return Frozen(
        join([part.tokens for part in parts]),
        Seen(join([one.features for one in seen]), join([one.attention for one in seen])) if seen else None,
    )


def reads_frozen_queries(solver: str, masks: bool) -> bool:
    """Tells whether the whole frozen backbone must see queries: for a solver that leaves it frozen, and where masks
    tell how much of its attention was on the key entity before. Else they need not go further than the adapted blocks.
    """
    return SOLVERS[solver].frozen_features or masks


@torch.no_grad()
def freeze(backbone: Backbone, images: Images, blocks: int, whole: bool = True) -> Frozen:
    """Runs images through the frozen backbone, once: up to the last `blocks` blocks, or through them too (`whole`). One
    more than there are stands for the embeddings too, which take images themselves (EMBEDDINGS). Where memory runs out
    they go in smaller parts.
    """
    start = backbone.depth - blocks

    def frozen(part: slice) -> Frozen:
        tokens = backbone.lower(images[part], start)
        if not whole:
            return Frozen(tokens)
        passed = backbone.upper(tokens, start, watched=1, class_row_only=True)
        return Frozen(tokens, Seen(passed.features, backbone.class_attention(passed)))

    parts = list(in_parts(len(images), len(images), frozen))
    return parts[0] if len(parts) == 1 else joined(parts, torch.cat)


def freeze_episodes(
    backbone: Backbone,
    images: UInt8[Tensor, "episodes images height width 3"] | Float[Tensor, "episodes images 3 height width"],
    blocks: int,
    whole: bool = True,
) -> Frozen:
    """Runs the images of episodes through the frozen backbone, some of them at a time."""
    flat, lead, together = images.flatten(0, 1), images.shape[:2], images_a_pass(backbone.device, IMAGES_A_PASS)
    parts = [freeze(backbone, flat[first : first + together], blocks, whole) for first in range(0, len(flat), together)]
    return joined(parts, torch.cat).change(lambda part: part.unflatten(0, lead))
