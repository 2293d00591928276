"""No fine-tuning: ridge regression without bias on frozen features."""

import torch

from fpt.backbones.backbone import Backbone
from fpt.heads import closed_form as heads
from fpt.solvers.contract import Learner, Learnt, Stack, Training, named_parts
from fpt.solvers.frozen_head import answer, shapes


@torch.no_grad()
def _learn(backbone: Backbone, stack: Stack, training: Training) -> Learnt:
    """Makes the head of R2-D2, Bertinetto et al., ICLR 2019 (arXiv:1805.08136)."""
    return named_parts(heads.r2d2(stack.support_features, stack.labels, training.way, temperature=1.0))


r2d2 = Learner(_learn, answer, shapes)
