"""Fine-tunes low-rank updates of the attention's projections and the head, steered by position prompts."""

from fpt.adapters import attention_projections, lora_applied, lora_start
from fpt.backbones import Backbone
from fpt.randomness import generator
from fpt.solvers.contract import Settings, Solution, Stack
from fpt.solvers.fine_tuning import fine_tune


def lora(backbone: Backbone, stack: Stack, settings: Settings) -> Solution:
    """LoRA, Hu et al., ICLR 2022 (arXiv:2106.09685). AdamW on adapters and head.

    Raises ValueError for a backbone whose attention has no linear projections.
    """
    projections = attention_projections(backbone, backbone.depth - settings.blocks)
    generators = [generator(seed, episode, "adapter") for seed, episode in stack.seeds]
    adapters = lora_start(projections, settings.rank, generators, stack.support_features)
    leaves = [part for adapter in adapters for part in adapter]
    return fine_tune(backbone, stack, settings, leaves, lora_applied(projections, adapters))
