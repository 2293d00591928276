"""The enhancement loss: attention is trained to look at the prompted patches."""

# B images, R rows (queries), N patches, H heads

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fpt.attention import AttentionCall

ROWS = ("patches", "all", "class")
HEADS = ("mean", "each")


def concentration(
    calls: list[AttentionCall],
    prompts: Bool[Tensor, "images patches"],
    tau: Float[Tensor, " images"],
    prefix: int,
    rows: str = "patches",
    heads: str = "mean",
) -> Float[Tensor, " images"]:
    """R of each image: mean log-attention to its prompted patches, never above 0 (the paper's Eq. 6, with a mean).

    R = 1 / (|rows| |Omega|) sum over rows n and t in Omega of ln softmax_t(logits_n / tau), softmax over patches alone,
    averaged over the layers in `calls` (and over heads, where they are taken one by one).
    Raises ValueError for unknown `rows` or `heads`.
    """
    if rows not in ROWS:
        raise ValueError(f"rows must be one of {', '.join(ROWS)} but got {rows!r}")
    if heads not in HEADS:
        raise ValueError(f"heads must be one of {', '.join(HEADS)} but got {heads!r}")
    chosen = {"patches": slice(prefix, None), "all": slice(0, None), "class": slice(0, 1)}[rows]
    target_BN = prompts.to(tau.dtype)
    target_BN = target_BN / target_BN.sum(1, keepdim=True).clamp_min(1)
    per_layer = []
    for call in calls:
        logits_BHRT = call.logits(chosen) if heads == "each" else call.head_mean_logits(chosen)[:, None]
        logits_BHRN = logits_BHRT[..., prefix:] / tau[:, None, None, None]
        prompted_BHR = (logits_BHRN @ target_BN[:, None, :, None])[..., 0]
        per_layer.append((prompted_BHR - logits_BHRN.logsumexp(-1)).mean((1, 2)))
    # An image without a prompt is not pulled anywhere.
    return torch.where(prompts.any(1), torch.stack(per_layer).mean(0), 0)
