"""Fine-tunes every weight of what is adapted, and the head, steered by position prompts."""

# S problems, B support images

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad
from torch.nn.attention import SDPBackend, sdpa_kernel

from fpt.backbones.attention import wide
from fpt.backbones.backbone import Backbone
from fpt.backbones.embeddings import embedding_parameters
from fpt.backbones.memory import budget
from fpt.heads.closed_form import Head
from fpt.solvers.contract import Solution, Stack, Training, mini_batches, part, take
from fpt.solvers.fine_tuning import is_steered, losses, predict, starting_head
from fpt.solvers.optimisers import AdamW

COPIES_OF_WEIGHTS = 6  # themselves, their gradient, two moments, and two while a step is taken
CPU_BUDGET_BYTES = 4 * 2**30


def full(backbone: Backbone, stack: Stack, training: Training) -> Solution:
    """Fine-tunes the last `blocks` blocks and the norm above them by AdamW; with `embeddings`, which takes all blocks,
    patch embedding, position embedding and [CLS] token too (and what merges the patches of a pyramid), as the paper's
    released code does.

    It solves as many problems at once as there is memory for weights of their own (down to one after the other): each
    problem's result is the same.
    """
    trained = backbone.parameters_of_blocks(training.blocks)
    if training.embeddings:
        trained |= embedding_parameters(backbone)
    weights = {name: weight.detach() for name, weight in trained.items()}
    each = COPIES_OF_WEIGHTS * sum(weight.numel() * max(4, weight.itemsize) for weight in weights.values())
    on_gpu = backbone.device.type == "cuda"
    room = budget(backbone.device, backbone.model) // 2 if on_gpu else CPU_BUDGET_BYTES
    together = max(1, room // each)
    solved = [
        _together(backbone, part(stack, slice(first, first + together)), training, weights)
        for first in range(0, stack.size, together)
    ]
    return Solution(
        torch.cat([solution.scores for solution in solved]),
        torch.cat([solution.query_attention for solution in solved]),
    )


def _together(backbone: Backbone, stack: Stack, training: Training, weights: dict[str, Tensor]) -> Solution:
    names, count = list(weights), len(weights)
    leaves = [wide(weight).expand(stack.size, *weight.shape).clone() for weight in weights.values()]
    leaves += starting_head(stack, training)
    optimiser, steered = AdamW(leaves, stack.lr), is_steered(stack)

    def loss(
        own: Sequence[Tensor], tokens: Tensor, labels: Tensor, targets: list[Tensor], alpha: Tensor, tau: Tensor
    ) -> Tensor:
        batch = (tokens[None], labels[None], [target[None] for target in targets], alpha[None], tau[None])
        loss_1: Tensor = _with_weights(
            backbone, names, own[:count], losses, training, _head(own[count:]), *batch, backbone.prefix
        )
        return loss_1[0]

    gradients = torch.vmap(grad(loss), randomness="error")
    for chosen in mini_batches(stack, training):
        targets = [take(target, chosen) for target in stack.targets] if steered else []
        batch = (take(stack.support_tokens, chosen), take(stack.labels, chosen), targets, stack.alpha, stack.tau)
        with sdpa_kernel(SDPBackend.MATH):  # the fused kernels have no batching rule
            optimiser.step(gradients(leaves, *batch))
    start = backbone.depth - training.adapted
    solved = []
    for problem in range(stack.size):
        own = [leaf[problem] for leaf in leaves]
        one = part(stack, slice(problem, problem + 1))
        head = _head(own[count:])
        solved.append(_with_weights(backbone, names, own[:count], predict, one, start, head, training, backbone.prefix))
    return Solution(torch.cat([one.scores for one in solved]), torch.cat([one.query_attention for one in solved]))


def _head(own: Sequence[Tensor]) -> Head:
    return own[0][None], own[1][None]


class _Exchanged(nn.Module):
    """Runs a function of a backbone; functional_call exchanges weights of its `model`."""

    def __init__(self, backbone: Backbone, function: Callable[..., Any]) -> None:
        super().__init__()
        self.model, self.backbone, self.function = backbone.model, backbone, function

    def forward(self, *arguments: Any) -> Any:
        return self.function(self.backbone, *arguments)


def _with_weights(
    backbone: Backbone, names: Sequence[str], weights: Sequence[Tensor], function: Callable[..., Any], *arguments: Any
) -> Any:
    """Runs `function(backbone, *arguments)` with weights of the backbone exchanged."""
    exchanged = {f"model.{name}": weight.to(backbone.dtype) for name, weight in zip(names, weights, strict=True)}
    return functional_call(_Exchanged(backbone, function), exchanged, arguments)
