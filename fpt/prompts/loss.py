"""The enhancement loss: attention is trained to look at the prompted patches."""

# B images, W windows, R rows (queries), N patches, H heads

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from fpt import defaults
from fpt.backbones.attention import AttentionCall
from fpt.registry import ROWS, STEERED_HEADS, check_name, rows_of


@dataclass(frozen=True)
class Steering:
    """Says which layers are pulled towards what: of the last `watched` layers those at the places `calls`, each with
    the tokens before its patches and its targets; `share` is what the sum of their pulls is multiplied by.
    """

    watched: int
    calls: Sequence[int]
    prefixes: Sequence[int]
    targets: Sequence[Float[Tensor, "stack images ..."]]
    share: float


def log_attention_to(
    logits: Float[Tensor, "images *heads rows patches"],
    target: Float[Tensor, "images patches"],
    tau: Float[Tensor, " images"],
) -> Float[Tensor, " images"]:
    """Returns R of each image: the sum over patches t of target_t ln softmax_t(logits / tau), mean over rows (and
    heads).

    A target of zeros gives 0, since an image without a prompt is not pulled anywhere.
    """
    extra = [1] * (logits.ndim - 1)
    scaled = logits / tau.view(-1, *extra)
    target_of_each = target.view(len(target), *extra[1:], -1)
    pulled = (scaled * target_of_each).sum(-1) - scaled.logsumexp(-1) * target_of_each.sum(-1)
    return pulled.flatten(1).mean(1)


def focus_loss(
    logits: Float[Tensor, "images *heads rows patches"],
    target: Float[Tensor, "images patches"],
    tau: float = defaults.TAU,
) -> Float[Tensor, ""]:
    """Returns minus R, the mean over images (the paper's Eq. 6, a mean for its sum): what alpha multiplies.

    `logits` are those of the attention to the patches, as the model used them; `target` is `PositionPrompts.target`:
    for `paper` it sums to 1 over the patches, for `official` to P, so that alpha_paper is about P alpha_official.
    Whose rows they are is the caller's choice: the paper has those of patches, its released code those of all tokens.
    Raises ValueError for a tau that is not positive.
    """
    if tau <= 0:
        raise ValueError(f"tau must be above 0 but got {tau}")
    return -log_attention_to(logits, target, torch.full_like(target[:, 0], tau)).mean()


def concentration(
    calls: Sequence[AttentionCall],
    targets: Sequence[Float[Tensor, "images ..."]],
    tau: Float[Tensor, " images"],
    prefixes: Sequence[int],
    rows: str = rows_of(defaults.VARIANT, defaults.ROWS),
    heads: str = defaults.HEADS,
) -> Float[Tensor, " images"]:
    """Returns R of each image, summed over `calls`, each with its own target (images x windows x patches for a
    pyramid).

    `rows` are the queries that are pulled: those of patches, all tokens', or [CLS] alone. `heads`: the mean of their
    logits, or each head on its own. Raises ValueError for unknown ones.
    """
    check_name("rows", rows, ROWS)
    check_name("heads", heads, STEERED_HEADS)
    total = torch.zeros_like(tau)
    for call, target, prefix in zip(calls, targets, prefixes, strict=True):
        chosen = {"patches": slice(prefix, None), "all": slice(0, None), "class": slice(0, 1)}[rows]
        logits = call.logits(chosen) if heads == "each" else call.head_mean_logits(chosen)
        windows = target[0, ..., 0].numel()
        of_windows = log_attention_to(
            logits[..., prefix:], target.reshape(-1, target.shape[-1]), tau.repeat_interleave(windows)
        )
        total = total + of_windows.unflatten(0, (-1, windows)).mean(1)
    return total
