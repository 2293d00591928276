"""Fine-tunes low-rank updates of the attention's projections and the head, steered by position prompts."""

import torch
import torch.nn.functional as F
from torch import Tensor

from fpt.adapters import attention_projections, lora_applied, lora_start
from fpt.attention import class_attention
from fpt.backbones import Backbone
from fpt.enhancement import concentration
from fpt.optimisers import AdamW
from fpt.randomness import generator
from fpt.solvers.contract import Settings, Solution, Stack, head_scores, initial_head, mini_batches, take


def lora(backbone: Backbone, stack: Stack, settings: Settings) -> Solution:
    """LoRA, Hu et al., ICLR 2022 (arXiv:2106.09685), trained with the mean of cross-entropy - alpha R.

    AdamW on adapters and head; problems whose alpha is 0 are trained with cross-entropy alone.
    """
    start = backbone.depth - settings.blocks
    projections = attention_projections(backbone, start)
    generators = [generator(seed, episode, "adapter") for seed, episode in stack.seeds]
    adapters = lora_start(projections, settings.rank, generators, stack.labels.device)
    head = tuple(part * settings.head_multiplier for part in initial_head(stack, settings))
    leaves = [leaf.requires_grad_() for leaf in (*(part for adapter in adapters for part in adapter), *head)]
    optimiser = AdamW(leaves, stack.rate)
    steered = settings.layers if bool((stack.alpha > 0).any()) else 0
    with lora_applied(projections, adapters):
        for chosen in mini_batches(stack, settings):
            tokens_SBTD = take(stack.support_tokens, chosen)
            images = tokens_SBTD.shape[1]
            passed = backbone.upper(
                tokens_SBTD.flatten(0, 1), start, watched=steered, class_row_only=settings.rows == "class"
            )
            logits_SBW = head_scores(
                passed.features.unflatten(0, (stack.size, images)), (head[0], head[1]), settings.head_multiplier
            )
            loss_SB = F.cross_entropy(logits_SBW.transpose(1, 2), take(stack.labels, chosen), reduction="none")
            if steered:
                concentration_SB = concentration(
                    passed.calls,
                    take(stack.prompts, chosen).flatten(0, 1),
                    stack.tau.repeat_interleave(images),
                    backbone.prefix,
                    settings.rows,
                    settings.heads,
                ).unflatten(0, (stack.size, images))
                loss_SB = loss_SB - stack.alpha[:, None] * concentration_SB
            optimiser.step(torch.autograd.grad(loss_SB.mean(1).sum(), leaves))
        return _predict(backbone, stack, settings, start, (head[0], head[1]))


@torch.no_grad()
def _predict(backbone: Backbone, stack: Stack, settings: Settings, start: int, head: tuple[Tensor, Tensor]) -> Solution:
    passed = backbone.upper(stack.query_tokens.flatten(0, 1), start, watched=1)
    shape = stack.query_features.shape[:2]
    return Solution(
        head_scores(passed.features.unflatten(0, shape), head, settings.head_multiplier),
        class_attention(passed.calls[0], backbone.prefix).unflatten(0, shape),
    )
