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
from fpt.compiling import as_one_program
from fpt.heads.closed_form import Head
from fpt.solvers.contract import (
    Learner,
    Learnt,
    Queries,
    Shapes,
    Solution,
    Stack,
    Training,
    head_of,
    mini_batches,
    named_parts,
    shapes_of_head,
    take,
)
from fpt.solvers.fine_tuning import in_batches, is_steered, losses, predict, starting_head
from fpt.solvers.optimisers import AdamW

COPIES_OF_WEIGHTS = 6  # themselves, their gradient, two moments, and two while a step is taken
CPU_BUDGET_BYTES = 4 * 2**30
PREFIX = "backbone."  # of the backbone's weights among what is learnt


def _at_once(backbone: Backbone, training: Training) -> int:
    """Returns for how many problems there is memory for weights of their own; each problem's result is the same."""
    weights = _trained(backbone, training).values()
    each = COPIES_OF_WEIGHTS * sum(weight.numel() * max(4, weight.itemsize) for weight in weights)
    on_gpu = backbone.device.type == "cuda"
    room = budget(backbone.device, backbone.model) // 2 if on_gpu else CPU_BUDGET_BYTES
    return max(1, room // each)


def _trained(backbone: Backbone, training: Training) -> dict[str, Tensor]:
    """Returns the weights that are trained, by name, as they are before."""
    trained = backbone.parameters_of_blocks(training.blocks)
    if training.embeddings:
        trained |= embedding_parameters(backbone)
    return {name: weight.detach() for name, weight in trained.items()}


def _learn(backbone: Backbone, stack: Stack, training: Training) -> Learnt:
    """Fine-tunes the last `blocks` blocks and the norm above them by AdamW; with `embeddings`, which takes all blocks,
    patch embedding, position embedding and [CLS] token too (and what merges the patches of a pyramid), as the paper's
    released code does.
    """
    weights = _trained(backbone, training)
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

    def step(batch: Sequence[Tensor]) -> None:
        tokens, labels, *targets = batch
        with sdpa_kernel(SDPBackend.MATH):  # the fused kernels have no batching rule
            optimiser.step(gradients(leaves, tokens, labels, targets, stack.alpha, stack.tau))

    take_step = as_one_program(
        step, backbone, ("full", training), lambda: [*leaves, *optimiser.state, stack.alpha, stack.tau]
    )
    for chosen in mini_batches(stack, training):
        take_step([take(one, chosen) for one in in_batches(stack, steered)])
    learnt = {f"{PREFIX}{name}": leaf for name, leaf in zip(names, leaves, strict=False)}
    return {**learnt, **named_parts((leaves[count], leaves[count + 1]))}


def own_weights(learnt: Learnt) -> dict[str, Tensor]:
    """Returns the backbone's weights among what was learnt, by their names there."""
    return {name.removeprefix(PREFIX): weight for name, weight in learnt.items() if name.startswith(PREFIX)}


def _answer(backbone: Backbone, learnt: Learnt, queries: Queries, training: Training) -> Solution:
    weights, (weight_SWD, bias_SW), solved = own_weights(learnt), head_of(learnt), []
    for problem in range(len(queries.tokens)):
        own = [weight[problem] for weight in weights.values()]
        head = (weight_SWD[problem][None], bias_SW[problem][None])
        one = Queries(queries.tokens[problem][None], None, None)
        solved.append(_with_weights(backbone, list(weights), own, predict, one, head, training, backbone.prefix))
    return Solution(torch.cat([one.scores for one in solved]), torch.cat([one.query_attention for one in solved]))


def _shapes(backbone: Backbone, training: Training, support: int) -> Shapes:
    trained = _trained(backbone, training)
    return {
        **{f"{PREFIX}{name}": tuple(weight.shape) for name, weight in trained.items()},
        **shapes_of_head(backbone, training),
    }


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


full = Learner(_learn, _answer, _shapes, _at_once)
