"""A linear classifier of frozen features, which is all that some solvers learn."""

import torch

from fpt.backbones.backbone import Backbone
from fpt.heads.closed_form import scores
from fpt.solvers.contract import Learnt, Queries, Shapes, Solution, Training, frozen_queries, head_of, shapes_of_head


@torch.no_grad()
def answer(backbone: Backbone, learnt: Learnt, queries: Queries, training: Training) -> Solution:
    """Scores queries by the head that was learnt, in the precision that it has."""
    features, attention = frozen_queries(queries)
    head = head_of(learnt)
    return Solution(scores(features.to(head[0].dtype), head), attention)


def shapes(backbone: Backbone, training: Training, support: int) -> Shapes:
    """Returns the shapes of the head, whatever the number of support images."""
    return shapes_of_head(backbone, training)
