"""Position prompts: the key patches of a labelled image, from its attention and the gradient of its class score.

Paper: "Focus Your Attention when Few-Shot Classification", Wang, Jie, Deng, NeurIPS 2023. `paper`
deviates from its equations as printed in the sign rule of G and in keeping every fused map non-negative.
"""

# B images, L layers, N patches, D dimensions

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fpt.attention import listen
from fpt.backbones import Backbone
from fpt.heads import Head, scores

SQUARINGS = 12  # of the Gram matrix: as good as 4,096 power iterations


@dataclass(frozen=True)
class Evidence:
    """What the prompts of some images are made from; nothing here depends on lambda or the number of patches."""

    maps: Float[Tensor, "images layers patches patches"]
    gradient: Float[Tensor, "images patches"]

    def __getitem__(self, images: slice) -> "Evidence":
        return Evidence(self.maps[images], self.gradient[images])


def first_component(
    gradient: Float[Tensor, "images patches dim"], tokens: Float[Tensor, "images patches dim"]
) -> Float[Tensor, "images patches"]:
    """G = gradient V1, V1 the first right singular vector, its sign that of gradient-times-input relevance.

    G is the first left singular vector times its singular value, so the patches' Gram matrix is enough: it is squared
    until only its first eigenvector is left. A gradient of zero gives G = 0.
    """
    gram_BNN = gradient @ gradient.transpose(1, 2)
    power_BNN = gram_BNN
    tiny = torch.finfo(gradient.dtype).tiny
    for _ in range(SQUARINGS):
        power_BNN = power_BNN / power_BNN.diagonal(dim1=1, dim2=2).sum(-1).clamp_min(tiny)[:, None, None]
        power_BNN = power_BNN @ power_BNN
    largest_B = power_BNN.diagonal(dim1=1, dim2=2).argmax(-1)
    column_BN = power_BNN[torch.arange(len(largest_B), device=largest_B.device), :, largest_B]
    direction_BN = (gram_BNN @ column_BN[..., None])[..., 0]
    norm_B1 = direction_BN.norm(dim=1, keepdim=True)
    unit_BN = torch.where(norm_B1 > 0, direction_BN / norm_B1.clamp_min(tiny), 0)
    singular_B1 = (unit_BN[:, None] @ gradient).norm(dim=2)
    relevance_BN = (gradient * tokens).sum(-1)
    agrees_B1 = (unit_BN * relevance_BN).sum(1, keepdim=True) >= 0
    return torch.where(agrees_B1, singular_B1, -singular_B1) * unit_BN


def unscaled(component: Float[Tensor, "images patches"]) -> Float[Tensor, "images patches"]:
    """G as it is."""
    return component


def scaled(component: Float[Tensor, "images patches"]) -> Float[Tensor, "images patches"]:
    """G over the sum of its absolute values, so that lambda means the same on every backbone and episode."""
    total_B1 = component.abs().sum(1, keepdim=True)
    return torch.where(total_B1 > 0, component / total_B1.clamp_min(torch.finfo(component.dtype).tiny), 0)


VARIANTS: dict[str, Callable[[Tensor], Tensor]] = {"paper": unscaled, "scaled": scaled}


def gather_evidence(
    backbone: Backbone,
    images: Tensor,
    labels: Int[Tensor, " images"],
    head: Head,
    problem_of: Int[Tensor, " images"],
) -> Evidence:
    """Attention of every layer and the unscaled G of each image.

    `head` holds a stack of classifiers, `problem_of` says which of them scores each image: the score is the logit of
    the image's own class on the frozen backbone, its gradient is taken at the input of the top layer.
    """
    prefix, top = backbone.prefix, backbone.depth - 1
    with torch.no_grad(), listen(top) as calls:
        tokens = backbone.lower(images, top)
    rows = slice(prefix, None)
    maps = [call.attention(rows)[:, :, prefix:] for call in calls]
    with torch.enable_grad():
        leaf = tokens.detach().requires_grad_()
        passed = backbone.upper(leaf, top, watched=1, class_row_only=False)
        own_head = (head[0][problem_of], head[1][problem_of])
        logits_BW = scores(passed.features[:, None], own_head)[:, 0]
        score = logits_BW.gather(1, labels[:, None]).sum()
        (gradient,) = torch.autograd.grad(score, leaf)
    with torch.no_grad():
        maps.append(passed.calls[0].attention(rows)[:, :, prefix:])
        component = first_component(gradient[:, prefix:], tokens[:, prefix:])
    return Evidence(torch.stack(maps, 1).detach(), component)


def importance(
    maps: Float[Tensor, "images layers patches patches"],
    component: Float[Tensor, "images patches"],
    lambda_: float,
    order: str = "paper",
) -> Float[Tensor, "images patches"]:
    """Importance of each patch by attention rollout of maps fused with the gradient. Sums to 1 over the patches.

    The mean over rows of A_hat(1) ... A_hat(L), A_hat = norm(I + max(A + lambda G^T, 0)): a row vector times a chain of
    matrices, O(L N^2). `order: rollout` multiplies L ... 1 instead (arXiv:2005.00928).
    Raises ValueError for an unknown order.
    """
    if order not in ("paper", "rollout"):
        raise ValueError(f"order must be paper or rollout but got {order!r}")
    images, layers, patches, _ = maps.shape
    row_B1N = torch.full((images, 1, patches), 1 / patches, dtype=maps.dtype, device=maps.device)
    for layer in range(layers) if order == "paper" else reversed(range(layers)):
        fused_BNN = (maps[:, layer] + lambda_ * component[:, None]).clamp_min(0)
        weight_B1N = row_B1N / (1 + fused_BNN.sum(-1))[:, None]
        row_B1N = weight_B1N + weight_B1N @ fused_BNN
    return row_B1N[:, 0]


def top_patches(importance: Float[Tensor, "images patches"], patches: int) -> Bool[Tensor, "images patches"]:
    """True for the most important patches of each image; of equals, the first.

    Raises ValueError for fewer than one or more than there are.
    """
    if not 1 <= patches <= importance.shape[1]:
        raise ValueError(f"patches must be from 1 to {importance.shape[1]} but got {patches}")
    order = importance.argsort(dim=1, descending=True, stable=True)
    chosen = torch.zeros_like(importance, dtype=torch.bool)
    return chosen.scatter_(1, order[:, :patches], True)
