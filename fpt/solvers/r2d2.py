"""No fine-tuning: ridge regression without bias on frozen features."""

import torch

from fpt.backbones.backbone import Backbone
from fpt.heads import closed_form as heads
from fpt.solvers.contract import Solution, Stack, Training, frozen_queries


@torch.no_grad()
def r2d2(backbone: Backbone, stack: Stack, training: Training) -> Solution:
    """Scores as R2-D2 does, Bertinetto et al., ICLR 2019 (arXiv:1805.08136)."""
    head = heads.r2d2(stack.support_features, stack.labels, training.way, temperature=1.0)
    features, attention = frozen_queries(stack)
    return Solution(heads.scores(features, head), attention)
