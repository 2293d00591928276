"""Position prompts of columnar transformers: the key patches of a labelled image, by attention rollout over all layers.

Attention is fused with the gradient of the image's class score, as its variant has it (variants.py).
"""

# B images, L layers, N patches, D dimensions

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fpt import defaults
from fpt.backbones.attention import keep_map, keep_maps, wide
from fpt.backbones.backbone import Backbone
from fpt.backbones.structure import kept_input
from fpt.exact import exact_products
from fpt.failures import in_parts
from fpt.heads.closed_form import Head, scores
from fpt.prompts.contrast import log_ratios, trusted
from fpt.prompts.loss import Steering
from fpt.prompts.parts import filled
from fpt.prompts.relevance import gradient_and_relevance, norm_apart
from fpt.prompts.variants import rectified, variant_named
from fpt.registry import ORDERS, check_name

SQUARINGS = 12  # of the Gram matrix: as good as 4,096 power iterations


@dataclass(frozen=True)
class Evidence:
    """Holds what the prompts of some images are made from; nothing here depends on lambda, on the weight of contrast or
    on the number of patches.

    `maps`: the attention of every layer, heads fused; `gradient`: G; `ratios`: the log ratios of contrast.py, for the
    variant that reads them; `tokens`: what these are made of, until all images of an episode are there.
    """

    maps: Float[Tensor, "images layers patches patches"]
    gradient: Float[Tensor, "images patches"]
    ratios: Float[Tensor, "images patches"] | None = None
    tokens: Float[Tensor, "images patches dim"] | None = None


@dataclass(frozen=True)
class PositionPrompts:
    """Holds the prompts of some images, each field images x patches (images x windows x patches for a stage of a
    pyramid): `mask`, true for the prompt patches; `target`, what the loss uses, times `confidence`, how far an image's
    prompt is trusted, which is 1 but for `contrast`; `gradient_term`, G.
    """

    importance: Float[Tensor, "*images patches"]
    mask: Bool[Tensor, "*images patches"]
    target: Float[Tensor, "*images patches"]
    gradient_term: Float[Tensor, "*images patches"]
    confidence: Float[Tensor, " images"]


@exact_products()
def first_component(
    gradient: Float[Tensor, "images patches dim"], relevance_BN: Float[Tensor, "images patches"]
) -> Float[Tensor, "images patches"]:
    """Returns G = gradient V1, V1 the first right singular vector, its sign that of gradient-times-input relevance
    (relevance.py).

    G is the first left singular vector times its singular value, too: the Gram matrix of patches or of dimensions,
    whichever are fewer, is squared until only its first eigenvector is left. A gradient of zero gives G = 0.
    """
    few_patches = gradient.shape[1] <= gradient.shape[2]
    rows_BKM = gradient if few_patches else gradient.transpose(1, 2)
    gram_BKK = rows_BKM @ rows_BKM.transpose(1, 2)
    power_BKK = gram_BKK
    tiny = torch.finfo(gradient.dtype).tiny
    for _ in range(SQUARINGS):
        power_BKK = power_BKK / power_BKK.diagonal(dim1=1, dim2=2).sum(-1).clamp_min(tiny)[:, None, None]
        power_BKK = power_BKK @ power_BKK
    largest_B = power_BKK.diagonal(dim1=1, dim2=2).argmax(-1)
    column_BK = power_BKK[torch.arange(len(largest_B), device=largest_B.device), :, largest_B]
    direction_BK = (gram_BKK @ column_BK[..., None])[..., 0]
    norm_B1 = direction_BK.norm(dim=1, keepdim=True)
    unit_BK = torch.where(norm_B1 > 0, direction_BK / norm_B1.clamp_min(tiny), 0)
    if few_patches:
        component_BN = (unit_BK[:, None] @ gradient).norm(dim=2) * unit_BK
    else:
        component_BN = (gradient @ unit_BK[..., None])[..., 0]
    agrees_B1 = (component_BN * relevance_BN).sum(1, keepdim=True) >= 0
    return torch.where(agrees_B1, component_BN, -component_BN)


def gather_evidence(
    backbone: Backbone,
    images: Tensor,
    labels: Int[Tensor, " images"],
    head: Head,
    problem_of: Int[Tensor, " images"],
    variant: str,
) -> Evidence:
    """Gathers the attention of every layer, G of each image before it is rescaled, and, for a variant that contrasts,
    the log ratios of what enters the second last block; fewer images at a time where memory runs out.

    `head` holds a stack of classifiers, `problem_of` says which of them scores each image: the score is the logit of
    the image's own class on the frozen backbone, its gradient is taken at the input of the top layer.
    """
    counts = problem_of.new_zeros(len(head[0])).index_add(0, problem_of, torch.ones_like(problem_of))
    together = counts[problem_of]  # images of one batch, whose scores are averaged

    def gathered(part: slice) -> list[Evidence]:
        own = images[part], labels[part], head, problem_of[part], together[part]
        return [_gathered(backbone, *own, variant)]

    evidence: Evidence = filled(in_parts(len(images), len(images), gathered), len(images))[0]
    if evidence.tokens is None:
        return evidence
    return replace(evidence, tokens=None, ratios=log_ratios(evidence.tokens, labels, problem_of))


def _gathered(
    backbone: Backbone,
    images: Tensor,
    labels: Int[Tensor, " images"],
    head: Head,
    problem_of: Int[Tensor, " images"],
    together: Int[Tensor, " images"],
    variant: str,
) -> Evidence:
    top, how = backbone.depth - 1, variant_named(variant)
    kind = torch.promote_types(backbone.dtype, torch.float32)
    maps = torch.empty(
        len(images), backbone.depth, backbone.grid_patches, backbone.grid_patches, dtype=kind, device=backbone.device
    )
    entered: dict[int, Tensor] = {}
    below = max(top - 1, 0)
    with torch.no_grad(), keep_maps(maps[:, :top], how.heads), kept_input(backbone.blocks, below, entered):
        tokens = backbone.lower(images, top)
    leaf = tokens.detach().requires_grad_()
    with torch.enable_grad(), norm_apart(backbone.blocks[top], leaf) as apart:
        passed = backbone.upper(leaf, top, watched=1)
        whole = gradient_and_relevance(own_scores(passed.features, labels, head, problem_of).sum(), leaf, apart)
    with torch.no_grad():
        keep_map(passed.calls[0], how.heads, maps[:, top])
        gradient, relevance = (backbone.patch_tokens(part) for part in whole)
        relevance = relevance.nan_to_num().sum(-1)
        if how.centred:
            mean = gradient.mean(1, keepdim=True)
            relevance = relevance - (mean * wide(backbone.patch_tokens(tokens))).nan_to_num().sum(-1)
            gradient = (gradient - mean) / together[:, None, None]
        component = first_component(gradient.nan_to_num(), relevance)
    compared = wide(backbone.patch_tokens(entered.get(below, tokens))) if how.contrasts else None
    return Evidence(maps, component, tokens=compared)


def own_scores(
    features: Float[Tensor, "images dim"],
    labels: Int[Tensor, " images"],
    head: Head,
    problem_of: Int[Tensor, " images"],
) -> Float[Tensor, " images"]:
    """Returns the logit of each image's own class under its problem's classifier."""
    logits_BW = scores(features[:, None], (head[0][problem_of], head[1][problem_of]))[:, 0]
    return logits_BW.gather(1, labels[:, None])[:, 0]


def importance(
    maps: Float[Tensor, "images layers patches patches"],
    component: Float[Tensor, "images patches"],
    lam: float,
    order: str = "paper",
    fuse: Callable[[Tensor], Tensor] = rectified,
) -> Float[Tensor, "images patches"]:
    """Returns the importance of each patch by attention rollout of maps fused with the gradient. It sums to 1 over the
    patches.

    It is the mean over rows of A_hat(1) ... A_hat(L), A_hat = norm(I + fuse(A + lambda G^T)): a row vector times a
    chain of matrices, O(L N^2). `order: rollout` multiplies L ... 1 instead (arXiv:2005.00928). Raises ValueError for
    an unknown order.
    """
    check_name("order", order, ORDERS)
    images, layers, count, _ = maps.shape
    row_B1N = torch.full((images, 1, count), 1 / count, dtype=maps.dtype, device=maps.device)
    for layer in range(layers) if order == "paper" else reversed(range(layers)):
        fused_BNN = fuse(maps[:, layer] + lam * component[:, None])
        weight_B1N = row_B1N / (1 + fused_BNN.sum(-1))[:, None]
        row_B1N = weight_B1N + weight_B1N @ fused_BNN
    return row_B1N[:, 0]


def prompts_from(
    evidence: Evidence,
    variant: str,
    lam: float,
    patches: int,
    order: str | None = defaults.ORDER,
    contrast: float = defaults.CONTRAST,
    support: int | None = None,
) -> PositionPrompts:
    """Returns the position prompts of each image, from its evidence. `order` None is the variant's own; `support` is
    how many images an episode has, None for all of them.
    """
    how = variant_named(variant)
    component = how.rescale(evidence.gradient)
    of_each = importance(evidence.maps, component, lam, order or how.order, how.fuse)
    of_each, trust = trusted(of_each, evidence.ratios, contrast if how.contrasts else 0.0, support)
    mask = top_patches(of_each, patches)
    return PositionPrompts(of_each, mask, how.target(of_each, mask) * trust[:, None], component, trust)


def top_patches(importance: Float[Tensor, "*images patches"], patches: int) -> Bool[Tensor, "*images patches"]:
    """Returns true for the most important patches of each image (or window); of equals, for the first.

    Raises ValueError for fewer than one or more than there are.
    """
    if not 1 <= patches <= importance.shape[-1]:
        raise ValueError(f"patches must be from 1 to {importance.shape[-1]} but got {patches}")
    order = importance.argsort(dim=-1, descending=True, stable=True)
    chosen = torch.zeros_like(importance, dtype=torch.bool)
    return chosen.scatter_(-1, order[..., :patches], True)


def evidence_family(variant: str, lam: float) -> tuple[object, ...]:
    """Returns what evidence depends on beside images and head."""
    how = variant_named(variant)
    return how.heads, how.centred, how.contrasts


def gather(
    backbone: Backbone,
    images: Tensor,
    labels: Int[Tensor, " images"],
    head: Head,
    problem_of: Int[Tensor, " images"],
    variant: str,
    lam: float,
) -> list[Evidence]:
    """Gathers the evidence of the one scale that there is."""
    return [gather_evidence(backbone, images, labels, head, problem_of, variant)]


def estimate(
    evidence: Sequence[Evidence],
    variant: str,
    lam: float,
    patches: int,
    order: str | None,
    contrast: float,
    support: int,
) -> list[PositionPrompts]:
    """Returns the prompts of the one scale that there is."""
    return [prompts_from(of_scale, variant, lam, patches, order, contrast, support) for of_scale in evidence]


def image_masks(prompts: Sequence[PositionPrompts]) -> Bool[Tensor, "images patches"]:
    """Returns true for the prompt patches of each image."""
    return prompts[0].mask


def offered(prompts: Sequence[PositionPrompts]) -> PositionPrompts:
    """Returns the prompts as other programs get them."""
    return prompts[0]


def steering(
    backbone: Backbone, blocks: int, layers: int, prefix: int, targets: Sequence[Float[Tensor, "stack images patches"]]
) -> Steering:
    """The last `layers` layers are pulled, all towards the same targets; their pulls are averaged."""
    return Steering(layers, list(range(layers)), [prefix] * layers, list(targets) * layers, 1 / layers)
