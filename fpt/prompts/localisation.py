"""Where prompts and attention fall, for data that knows where its key entity is."""

# B images, N patches

import torch
from jaxtyping import Bool, Float
from torch import Tensor

LEAST_SHARE = 1 / 16  # of a patch's pixels


def key_patches(masks: Bool[Tensor, "*images height width"], grid: tuple[int, int]) -> Bool[Tensor, "*images patches"]:
    """Returns the patches of which at least 1/16 shows the key entity; the best patch where it is thinner than that
    everywhere.

    Raises ValueError for masks that the grid does not divide.
    """
    *images, height, width = masks.shape
    rows, columns = grid
    if height % rows or width % columns:
        raise ValueError(f"masks must be a multiple of the {rows} x {columns} patch grid but are {height} x {width}")
    cells = masks.reshape(-1, rows, height // rows, columns, width // columns).float()
    share_BN = cells.mean((2, 4)).flatten(1)
    best_B1 = share_BN.max(1, keepdim=True).values
    key_BN = (share_BN >= LEAST_SHARE) | ((share_BN == best_B1) & (best_B1 > 0))
    return key_BN.reshape(*images, rows * columns)


def precision(prompts: Bool[Tensor, "images patches"], key: Bool[Tensor, "images patches"]) -> float:
    """Returns the share of the prompt patches that show the key entity, the mean over images."""
    return float(share_on_key(prompts, key))


def share_on_key(prompts: Bool[Tensor, "images patches"], key: Bool[Tensor, "images patches"]) -> Float[Tensor, ""]:
    """Returns the precision as a device has it, which nobody waits for."""
    return ((prompts & key).sum(1) / prompts.sum(1).clamp_min(1)).mean()


def chance(key: Bool[Tensor, "images patches"]) -> float:
    """Returns the precision that random patches would have."""
    return float(share(key))


def share(key: Bool[Tensor, "images patches"]) -> Float[Tensor, ""]:
    """Returns the chance as a device has it."""
    return key.float().mean()


def attention_on_key(
    attention: Float[Tensor, "images patches"], key: Bool[Tensor, "images patches"]
) -> Float[Tensor, ""]:
    """Returns the share of [CLS] attention (to patches, summing to 1) that falls on the key entity, the mean over
    images.
    """
    return torch.where(key, attention, 0).sum(1).mean()
