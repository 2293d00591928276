"""No fine-tuning: the nearest class mean on frozen features."""

import torch

from fpt.backbones.backbone import Backbone
from fpt.heads import closed_form as heads
from fpt.solvers.contract import Learner, Learnt, Stack, Training, named_parts
from fpt.solvers.frozen_head import answer, shapes


@torch.no_grad()
def _learn(backbone: Backbone, stack: Stack, training: Training) -> Learnt:
    """Makes the head of prototypical networks, Snell et al., NeurIPS 2017 (arXiv:1703.05175)."""
    return named_parts(heads.protonet(stack.support_features, stack.labels, training.way, temperature=1.0))


protonet = Learner(_learn, answer, shapes)
