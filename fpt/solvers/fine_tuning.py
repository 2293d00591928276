"""What all solvers that train the transformer share: the loss, the steps, the prediction."""

# S problems, B support images, Q queries, W ways

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from fpt.backbones.backbone import Backbone
from fpt.compiling import as_one_program
from fpt.heads.closed_form import Head
from fpt.phases import phase
from fpt.prompts.loss import concentration
from fpt.prompts.strategy import strategy_of
from fpt.solvers.adapters import computed_once
from fpt.solvers.contract import (
    IMAGES_A_PASS,
    Queries,
    Solution,
    Stack,
    Training,
    head_scores,
    images_a_pass,
    initial_head,
    mini_batches,
    named_parts,
    take,
    takes_whole_sets,
)
from fpt.solvers.optimisers import AdamW, Sgd

Optimiser = Callable[[Sequence[Tensor], Tensor], AdamW | Sgd]


def train(
    backbone: Backbone,
    stack: Stack,
    training: Training,
    adapter: Sequence[Tensor],
    applied: AbstractContextManager[None],
    optimiser: Optimiser = AdamW,
    added_tokens: int = 0,
    unmoved: Sequence[nn.Module] = (),
) -> dict[str, Tensor]:
    """Trains an adapter and the head with the mean of cross-entropy - alpha R. Returns the head by name; the adapter
    changes where it is.

    `adapter` are tensors with a leading S that take effect inside `applied`; `added_tokens` is how many tokens it puts
    before the patches; `unmoved` are modules whose input depends on nothing but the images of a step. Nothing else gets
    a gradient. Problems whose alpha is 0 are trained with cross-entropy alone.
    """
    with phase("head"):
        head = starting_head(stack, training)
    leaves = [leaf.requires_grad_() for leaf in (*adapter, *head)]
    stepper = optimiser(leaves, stack.lr)
    steered = is_steered(stack)
    once = unmoved if takes_whole_sets(stack, training) else ()
    prefix = backbone.prefix + added_tokens
    with applied if training.epochs else nullcontext(), phase("fit"), computed_once(once) as kept:

        def step(batch: Sequence[Tensor]) -> None:
            tokens, labels, *targets = batch
            loss_S = losses(backbone, training, head, tokens, labels, targets, stack.alpha, stack.tau, prefix)
            stepper.step(torch.autograd.grad(loss_S.sum(), leaves))

        take_step = as_one_program(
            step,
            backbone,
            (training, prefix, optimiser),
            lambda: [*leaves, *stepper.state, *kept.values(), stack.alpha, stack.tau],
        )
        for chosen in mini_batches(stack, training):
            take_step([take(one, chosen) for one in in_batches(stack, steered)])
    for leaf in adapter:
        leaf.requires_grad_(False)
    return named_parts(head)


def starting_head(stack: Stack, training: Training) -> Head:
    """Returns the initial head, `head_multiplier` times itself."""
    weight, bias = initial_head(stack, training)
    return weight * training.head_multiplier, bias * training.head_multiplier


def in_batches(stack: Stack, steered: bool) -> list[Tensor]:
    """Returns what a step of training takes a mini-batch of: tokens, labels and, if it is `steered`, targets."""
    return [stack.support_tokens, stack.labels, *(stack.targets if steered else ())]


def is_steered(stack: Stack) -> bool:
    """Tells whether any problem of the stack takes prompts."""
    return bool((stack.alpha > 0).any())


def losses(
    backbone: Backbone,
    training: Training,
    head: Head,
    tokens: Float[Tensor, "stack batch ..."],
    labels: Int[Tensor, "stack batch"],
    targets: Sequence[Float[Tensor, "stack batch ..."]],
    alpha: Float[Tensor, " stack"],
    tau: Float[Tensor, " stack"],
    prefix: int,
) -> Float[Tensor, " stack"]:
    """Returns the mean over a mini-batch of cross-entropy - alpha R for each problem; without `targets` that of
    cross-entropy alone.
    """
    start = backbone.depth - training.adapted
    size, images = labels.shape
    if training.rows == "class" and not backbone.has_class_token and targets:
        raise ValueError("rows must be patches or all for a backbone without a [CLS] token but got 'class'")
    steering = strategy_of(backbone).steering(backbone, training.blocks, training.layers, prefix, targets)
    watched = steering.watched if targets else 0
    passed = backbone.upper(tokens.flatten(0, 1), start, watched=watched, class_row_only=training.rows == "class")
    logits_SBW = head_scores(passed.features.unflatten(0, (size, images)), head, training.head_multiplier)
    loss_SB = F.cross_entropy(logits_SBW.transpose(1, 2), labels, reduction="none")
    if targets:
        pulled_SB = concentration(
            [passed.calls[i] for i in steering.calls],
            [target.flatten(0, 1) for target in steering.targets],
            tau.repeat_interleave(images),
            steering.prefixes,
            training.rows,
            training.heads,
        ).unflatten(0, (size, images))
        loss_SB = loss_SB - alpha[:, None] * steering.share * pulled_SB
    return loss_SB.mean(1)


@torch.no_grad()
def predict(backbone: Backbone, queries: Queries, head: Head, training: Training, prefix: int) -> Solution:
    """Scores queries by the adapted backbone, and returns its [CLS] attention too. Some queries of each problem go at a
    time.
    """
    scores, attention = [], []
    stack, start = len(queries.tokens), backbone.depth - training.adapted
    with phase("queries"):
        for tokens in queries.tokens.split(max(1, images_a_pass(backbone.device, IMAGES_A_PASS) // stack), dim=1):
            passed = backbone.upper(tokens.flatten(0, 1), start, watched=1, class_row_only=True)
            shape = tokens.shape[:2]
            scores.append(head_scores(passed.features.unflatten(0, shape), head, training.head_multiplier))
            attention.append(backbone.class_attention(passed, prefix).unflatten(0, shape))
    return Solution(torch.cat(scores, 1), torch.cat(attention, 1))
