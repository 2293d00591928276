"""No fine-tuning: the closed-form head on frozen features."""

import torch

from fpt.backbones import Backbone
from fpt.heads import scores
from fpt.solvers.contract import Settings, Solution, Stack, initial_head


@torch.no_grad()
def protonet(backbone: Backbone, stack: Stack, settings: Settings) -> Solution:
    """Nearest class mean, Snell et al., NeurIPS 2017 (arXiv:1703.05175); `settings.head` may name another head."""
    return Solution(scores(stack.query_features, initial_head(stack, settings)), stack.query_attention)
