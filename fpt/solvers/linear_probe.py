"""Fine-tunes the head alone, on frozen features."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from fpt.backbones.backbone import Backbone
from fpt.compiling import as_one_program
from fpt.phases import phase
from fpt.solvers.contract import (
    Learner,
    Learnt,
    Queries,
    Solution,
    Stack,
    Training,
    frozen_queries,
    head_of,
    head_scores,
    initial_head,
    mini_batches,
    named_parts,
    take,
)
from fpt.solvers.frozen_head import shapes
from fpt.solvers.optimisers import Sgd


def _learn(backbone: Backbone, stack: Stack, training: Training) -> Learnt:
    """Lowers cross-entropy by SGD with momentum, as the paper's released code does. Attention is not trained: it takes
    no prompts.
    """
    with phase("head"):
        leaves = [(part * training.head_multiplier).requires_grad_() for part in initial_head(stack, training)]
    head = (leaves[0], leaves[1])
    optimiser = Sgd(leaves, stack.lr)

    def step(batch: Sequence[Tensor]) -> None:
        features_SBD, labels_SB = batch
        logits_SBW = head_scores(features_SBD, head, training.head_multiplier)
        loss_SB = F.cross_entropy(logits_SBW.transpose(1, 2), labels_SB, reduction="none")
        optimiser.step(torch.autograd.grad(loss_SB.mean(1).sum(), leaves))

    take_step = as_one_program(step, backbone, ("linear_probe", training), lambda: [*leaves, *optimiser.state])
    with phase("fit"):
        for chosen in mini_batches(stack, training):
            take_step([take(stack.support_features, chosen), take(stack.labels, chosen)])
    return named_parts(head)


@torch.no_grad()
def _answer(backbone: Backbone, learnt: Learnt, queries: Queries, training: Training) -> Solution:
    features, attention = frozen_queries(queries)
    with phase("queries"):
        return Solution(head_scores(features, head_of(learnt), training.head_multiplier), attention)


linear_probe = Learner(_learn, _answer, shapes)
