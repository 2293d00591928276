"""No fine-tuning: a multi-class support vector machine without bias on frozen features."""

import torch

from fpt.backbones.backbone import Backbone
from fpt.heads import closed_form as heads
from fpt.solvers.contract import Learner, Learnt, Stack, Training, named_parts
from fpt.solvers.frozen_head import answer, shapes


@torch.no_grad()
def _learn(backbone: Backbone, stack: Stack, training: Training) -> Learnt:
    """Makes the head of MetaOptNet, Lee et al., CVPR 2019 (arXiv:1904.03758). That of a problem that was not solved is
    NaN.
    """
    return named_parts(heads.metaoptnet(stack.support_features, stack.labels, training.way, temperature=1.0))


metaoptnet = Learner(_learn, answer, shapes)
