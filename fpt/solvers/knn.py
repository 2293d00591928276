"""No fine-tuning: the nearest support image on frozen features."""

import torch

from fpt.backbones.backbone import Backbone
from fpt.solvers.contract import Solution, Stack, Training, frozen_queries


@torch.no_grad()
def knn(backbone: Backbone, stack: Stack, training: Training) -> Solution:
    """Classifies by the one nearest neighbour: a class scores minus the Euclidean distance to its nearest support
    image.
    """
    features, attention = frozen_queries(stack)
    distance_SQB = torch.cdist(features, stack.support_features, compute_mode="donot_use_mm_for_euclid_dist")
    classes_W1 = torch.arange(training.way, device=stack.labels.device)[:, None]
    others_SWB = stack.labels[:, None] != classes_W1
    nearest_SQW = distance_SQB[:, :, None].masked_fill(others_SWB[:, None], torch.inf).amin(-1)
    return Solution(-nearest_SQW, attention)
