"""No fine-tuning: the nearest class mean on frozen features."""

import torch

from fpt.backbones.backbone import Backbone
from fpt.heads import closed_form as heads
from fpt.solvers.contract import Solution, Stack, Training, frozen_queries


@torch.no_grad()
def protonet(backbone: Backbone, stack: Stack, training: Training) -> Solution:
    """Scores as prototypical networks do, Snell et al., NeurIPS 2017 (arXiv:1703.05175)."""
    head = heads.protonet(stack.support_features, stack.labels, training.way, temperature=1.0)
    features, attention = frozen_queries(stack)
    return Solution(heads.scores(features, head), attention)
