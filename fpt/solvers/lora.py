"""Fine-tunes low-rank updates of the attention's projections and the head, steered by position prompts."""

from typing import Any

from torch import nn

from fpt.backbones.backbone import Backbone
from fpt.backbones.class_row import is_plain
from fpt.randomness import generator
from fpt.solvers.adapters import attention_projections, lora_applied, lora_start
from fpt.solvers.contract import Solution, Stack, Training
from fpt.solvers.fine_tuning import fine_tune


def lora(backbone: Backbone, stack: Stack, training: Training) -> Solution:
    """Trains adapters and head by AdamW: LoRA, Hu et al., ICLR 2022 (arXiv:2106.09685).

    Raises ValueError for a backbone whose attention has no linear projections.
    """
    projections = attention_projections(backbone, backbone.depth - training.blocks)
    generators = [generator(seed, episode, "adapter") for seed, episode in stack.seeds]
    adapters = lora_start(projections, training.rank, generators, stack.support_features)
    leaves = [part for adapter in adapters for part in adapter]
    applied = lora_applied(projections, adapters)
    return fine_tune(backbone, stack, training, leaves, applied, unmoved=_before_any_update(backbone, training.blocks))


def _before_any_update(backbone: Backbone, blocks: int) -> list[nn.Module]:
    """Returns the modules of the first adapted block, if it is a plain one, that see what no update has moved."""
    start = backbone.depth - blocks
    block: Any = backbone.blocks[start]
    return [block.norm1, block.attn.qkv] if is_plain(block) and backbone.cut(start) == "between blocks" else []
