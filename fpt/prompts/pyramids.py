"""Position prompts of pyramids: the key patches of every window, in the last block of each stage.

Layers of different scales do not correspond, so nothing is rolled out: a patch is as important as the attention that
it gets in its window (the paper, section 3.4), with lambda times the gradient term where that is asked.
"""

# B images, W windows, N patches of a window, D dimensions

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fpt import defaults
from fpt.backbones.attention import listen, wide
from fpt.backbones.backbone import Backbone
from fpt.backbones.images import Images
from fpt.backbones.structure import dim_first, kept_input, tokens_first
from fpt.failures import in_parts
from fpt.heads.closed_form import Head
from fpt.prompts.columnar import PositionPrompts, first_component, own_scores, top_patches
from fpt.prompts.contrast import log_ratios, trusted
from fpt.prompts.loss import Steering
from fpt.prompts.parts import filled
from fpt.prompts.variants import variant_named

UNTRACED = (
    "lambda must be 0, and variant not contrast, for this backbone: the windows of stage {stage} cannot be traced back"
)


@dataclass(frozen=True)
class StageEvidence:
    """Holds the attention that each patch of one stage gets in its window; G there, which is None where it was not
    asked for; the log ratios of contrast.py, for the variant that reads them, and the tokens that these are made of,
    until all images of an episode are there.
    """

    received: Float[Tensor, "images windows patches"]
    gradient: Float[Tensor, "images windows patches"] | None
    ratios: Float[Tensor, "images windows patches"] | None = None
    tokens: Float[Tensor, "images windows patches dim"] | None = None


@dataclass(frozen=True)
class PyramidPrompts:
    """Holds the position prompts of a pyramid: each field is a list, one tensor a stage, images x windows x patches of
    a window.
    """

    importance: list[Tensor]
    mask: list[Tensor]
    target: list[Tensor]
    gradient_term: list[Tensor]
    confidence: list[Tensor]


def takes_gradient(variant: str, lam: float) -> bool:
    """Tells whether a pyramid's prompts have a gradient term: the released code's never do."""
    return variant != "official" and lam > 0


def gather_stage_evidence(
    backbone: Backbone,
    images: Images,
    labels: Int[Tensor, " images"],
    head: Head,
    problem_of: Int[Tensor, " images"],
    variant: str,
    with_gradient: bool,
) -> list[StageEvidence]:
    """Gathers the evidence of every stage: the mean over heads and queries of its last block's attention (`official`:
    of its logits).

    G is that of the input of the stage's last block, for the logit of each image's own class. Raises ValueError for a
    gradient in a backbone whose windows cannot be traced back to its tokens.
    """
    lasts = [stage[-1] for stage in backbone.stages]
    entered: dict[int, Tensor] = {}
    with ExitStack() as stack:
        for last in lasts:
            stack.enter_context(kept_input(backbone.blocks, last, entered))
        stack.enter_context(torch.set_grad_enabled(with_gradient))
        calls = stack.enter_context(listen(backbone.depth))
        inputs = backbone.normalise(images).requires_grad_(with_gradient)
        features = backbone.features(inputs)
        gradients: Sequence[Tensor] = ()
        if with_gradient:
            score = own_scores(features, labels, head, problem_of).sum()
            gradients = torch.autograd.grad(score, [entered[last] for last in lasts])
    evidence, contrasts = [], variant_named(variant).contrasts
    for stage, last in enumerate(lasts):
        prefix, call = backbone.stage_prefixes[stage], calls[last]
        rows = slice(prefix, None)
        with torch.no_grad():
            maps = call.head_mean_logits(rows) if variant == "official" else call.attention(rows)
            received = maps[..., prefix:].mean(1).unflatten(0, (len(images), -1))
            component = None
            if with_gradient:
                gradient, tokens = (
                    wide(_windowed(backbone, stage, part)) for part in (gradients[stage], entered[last])
                )
                relevance = (gradient * tokens).flatten(1, 2).sum(-1)
                component = first_component(gradient.flatten(1, 2), relevance).view_as(received)
            compared = wide(_windowed(backbone, stage, entered[last])) if contrasts else None
        evidence.append(StageEvidence(received.detach(), component, tokens=compared))
    return evidence


def stage_prompts(
    evidence: StageEvidence,
    variant: str,
    lam: float,
    patches: int,
    contrast: float = defaults.CONTRAST,
    support: int | None = None,
) -> PositionPrompts:
    """Returns the prompts of one stage, images x windows x patches: the `patches` most important of each window.
    `support` is how many images an episode has, None for all of them.

    The target is binary for `official`, as in the released code, and sums to 1 in each window otherwise.
    """
    scores = evidence.received
    component = torch.zeros_like(scores) if evidence.gradient is None else evidence.gradient
    if evidence.gradient is not None:
        component = variant_named(variant).rescale(component.flatten(1)).view_as(component)
        scores = scores + lam * component
    weight = contrast if variant_named(variant).contrasts else 0.0
    scores, trust = trusted(scores, evidence.ratios, weight, support)
    mask = top_patches(scores, patches)
    target = mask.to(scores.dtype) / (1 if variant == "official" else patches)
    return PositionPrompts(scores, mask, target * trust[:, None, None], component, trust)


def evidence_family(variant: str, lam: float) -> tuple[object, ...]:
    """Returns what evidence depends on beside images and head."""
    return variant == "official", takes_gradient(variant, lam), variant_named(variant).contrasts


def gather(
    backbone: Backbone,
    images: Images,
    labels: Int[Tensor, " images"],
    head: Head,
    problem_of: Int[Tensor, " images"],
    variant: str,
    lam: float,
) -> list[StageEvidence]:
    """Gathers the evidence of every stage, with a gradient term where it is asked for; fewer images at a time where
    memory runs out.
    """

    def gathered(part: slice) -> list[StageEvidence]:
        own = images[part], labels[part], head, problem_of[part]
        return gather_stage_evidence(backbone, *own, variant, with_gradient=takes_gradient(variant, lam))

    evidence: list[StageEvidence] = filled(in_parts(len(images), len(images), gathered), len(images))
    return [_compared(of_stage, labels, problem_of) for of_stage in evidence]


def _compared(
    evidence: StageEvidence, labels: Int[Tensor, " images"], problem_of: Int[Tensor, " images"]
) -> StageEvidence:
    if evidence.tokens is None:
        return evidence
    ratios = log_ratios(evidence.tokens.flatten(1, 2), labels, problem_of)
    return replace(evidence, tokens=None, ratios=ratios.view_as(evidence.received))


def estimate(
    evidence: Sequence[StageEvidence],
    variant: str,
    lam: float,
    patches: int,
    order: str | None,
    contrast: float,
    support: int,
) -> list[PositionPrompts]:
    """Returns the prompts of every stage, which have no `order`: nothing is rolled out."""
    return [stage_prompts(stage, variant, lam, patches, contrast, support) for stage in evidence]


def image_masks(prompts: Sequence[PositionPrompts]) -> Bool[Tensor, "images patches"]:
    """Returns no patches: those of a pyramid's windows are not an image's."""
    return prompts[0].mask.new_zeros(len(prompts[0].mask), 0)


def offered(prompts: Sequence[PositionPrompts]) -> PyramidPrompts:
    """Returns the prompts as other programs get them."""
    return PyramidPrompts(*([getattr(stage, field.name) for stage in prompts] for field in fields(PyramidPrompts)))


def steering(
    backbone: Backbone, blocks: int, layers: int, prefix: int, targets: Sequence[Float[Tensor, "stack images ..."]]
) -> Steering:
    """The last layer of every stage that is adapted is pulled, each towards its own targets; their pulls add up."""
    start = backbone.depth - blocks
    ends = [(stage[-1], before) for stage, before in zip(backbone.stages, backbone.stage_prefixes, strict=True)]
    adapted = [(last - start, before) for last, before in ends if last >= start]
    of_adapted = list(targets[-len(adapted) :])
    return Steering(blocks, [last for last, _ in adapted], [before for _, before in adapted], of_adapted, 1.0)


def _windowed(backbone: Backbone, stage: int, tokens: Float[Tensor, "images ..."]) -> Float[Tensor, "images w n dim"]:
    """Returns what enters a stage's last block, or its gradient, as its attention splits it into windows."""
    layer = backbone.layers[backbone.stages[stage][-1]]
    prefix = backbone.stage_prefixes[stage]
    flat = tokens_first(tokens)
    if layer.windows == 1:
        return flat[:, None, prefix:]
    places = window_places(backbone, stage)
    chosen = flat[:, places.clamp_min(0)]
    return torch.where((places >= 0)[..., None], chosen, 0)


@torch.no_grad()
def window_places(backbone: Backbone, stage: int) -> Int[Tensor, "windows patches"]:
    """Returns which of a block's input tokens each place of its windows holds, -1 for padding.

    They are found by experiment, so that shifts and padding need not be known: bit by bit, the tokens whose number has
    that bit are changed, and it is seen where attention's input changes. Raises ValueError where that cannot be tried.
    """
    last = backbone.stages[stage][-1]
    layer = backbone.layers[last]
    plain = backbone.entering(last)
    if len(plain) != 1:
        raise ValueError(UNTRACED.format(stage=stage))
    count = tokens_first(plain).shape[1]
    numbers = torch.arange(count, device=plain.device) + 1  # 0: changed by nothing, padding
    bits = int(numbers[-1]).bit_length()
    patterns = torch.stack([torch.zeros_like(numbers), *((numbers >> bit & 1) for bit in range(bits))])
    shape = tokens_first(plain).shape
    shift = torch.randn(shape[-1], generator=torch.Generator().manual_seed(0)).to(plain)
    changed = tokens_first(plain) + patterns[..., None] * shift * tokens_first(plain).std()
    seen = backbone.into_attention(last, _as(changed, plain))
    if seen.numel() != len(patterns) * layer.windows * layer.tokens * seen.shape[-1]:
        raise ValueError(UNTRACED.format(stage=stage))
    windows = seen.reshape(len(patterns), layer.windows, layer.tokens, -1)
    differs = (windows[1:] != windows[:1]).any(-1)
    weights = 2 ** torch.arange(bits, device=plain.device)
    return (differs * weights[:, None, None]).sum(0) - 1


def _as(tokens: Tensor, like: Tensor) -> Tensor:
    """Undoes `tokens_first`."""
    if dim_first(like.shape):
        tokens = tokens.transpose(1, 2)
    return tokens.reshape(len(tokens), *like.shape[1:])
