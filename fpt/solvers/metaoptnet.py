"""No fine-tuning: a multi-class support vector machine without bias on frozen features."""

import torch

from fpt.backbones.backbone import Backbone
from fpt.heads import closed_form as heads
from fpt.solvers.contract import Solution, Stack, Training, frozen_queries


@torch.no_grad()
def metaoptnet(backbone: Backbone, stack: Stack, training: Training) -> Solution:
    """Scores as MetaOptNet does, Lee et al., CVPR 2019 (arXiv:1904.03758). Scores of a problem that was not solved are
    NaN.
    """
    head = heads.metaoptnet(stack.support_features, stack.labels, training.way, temperature=1.0)
    features, attention = frozen_queries(stack)
    return Solution(heads.scores(features, head), attention)
