"""Fine-tunes the head alone, on frozen features."""

import torch
import torch.nn.functional as F

from fpt.backbones.backbone import Backbone
from fpt.phases import phase
from fpt.solvers.contract import (
    Settings,
    Solution,
    Stack,
    frozen_queries,
    head_scores,
    initial_head,
    mini_batches,
    take,
)
from fpt.solvers.optimisers import Sgd


def linear_probe(backbone: Backbone, stack: Stack, settings: Settings) -> Solution:
    """Cross-entropy by SGD with momentum, as in the paper's released code. Attention is not trained: no prompts."""
    queries, attention = frozen_queries(stack)
    with phase("head"):
        leaves = [(part * settings.head_multiplier).requires_grad_() for part in initial_head(stack, settings)]
    head = (leaves[0], leaves[1])
    optimiser = Sgd(leaves, stack.rate)
    with phase("fit"):
        for chosen in mini_batches(stack, settings):
            logits_SBW = head_scores(take(stack.support_features, chosen), head, settings.head_multiplier)
            labels_SB = take(stack.labels, chosen)
            loss_SB = F.cross_entropy(logits_SBW.transpose(1, 2), labels_SB, reduction="none")
            optimiser.step(torch.autograd.grad(loss_SB.mean(1).sum(), leaves))
    with phase("queries"), torch.no_grad():
        return Solution(head_scores(queries, head, settings.head_multiplier), attention)
