"""No fine-tuning: the nearest support image on frozen features."""

import torch

from fpt.backbones.backbone import Backbone
from fpt.solvers.contract import Learner, Learnt, Queries, Shapes, Solution, Stack, Training, frozen_queries


def _learn(backbone: Backbone, stack: Stack, training: Training) -> Learnt:
    return {"features": stack.support_features, "labels": stack.labels}


@torch.no_grad()
def _answer(backbone: Backbone, learnt: Learnt, queries: Queries, training: Training) -> Solution:
    """Classifies by the one nearest neighbour: a class scores minus the Euclidean distance to its nearest support
    image.
    """
    (features, attention), labels = frozen_queries(queries), learnt["labels"]
    distance_SQB = torch.cdist(features, learnt["features"], compute_mode="donot_use_mm_for_euclid_dist")
    classes_W1 = torch.arange(training.way, device=labels.device)[:, None]
    others_SWB = labels[:, None] != classes_W1
    nearest_SQW = distance_SQB[:, :, None].masked_fill(others_SWB[:, None], torch.inf).amin(-1)
    return Solution(-nearest_SQW, attention)


def _shapes(backbone: Backbone, training: Training, support: int) -> Shapes:
    return {"features": (support, backbone.dim), "labels": (support,)}


knn = Learner(_learn, _answer, _shapes)
