"""What tells one backbone's weights from another's."""

import hashlib

import torch

from fpt.backbones.backbone import Backbone


def backbone_fingerprint(backbone: Backbone) -> str:
    """Returns a digest of the weights: names, shapes and values; and of how pixels are normalised, features pooled,
    attention cut into heads, and what layer norms add to a variance, where that is not as timm has it.
    """
    digest = hashlib.sha256(repr(backbone.pixels).encode() if backbone.pixels else b"")
    digest.update((backbone.pooling or "").encode())
    if backbone.weights is not None and backbone.weights.heads:
        digest.update(f"{backbone.weights.heads} heads".encode())
    if backbone.weights is not None and backbone.weights.epsilon is not None:
        digest.update(f"epsilon {backbone.weights.epsilon}".encode())
    for name, value in sorted(backbone.model.state_dict().items()):
        digest.update(f"{name} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]
