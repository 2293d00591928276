"""What every solver takes and gives: a stack of problems in, predictions out; and what it has learnt in between."""

# S problems, B support images, Q queries, T tokens, N patches, D dimensions, W ways

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from fpt import defaults
from fpt.backbones.backbone import Backbone
from fpt.heads.closed_form import Head, named_head, scores
from fpt.randomness import generator
from fpt.registry import rows_of
from fpt.switches import is_on

IMAGES_A_PASS = 32  # without gradients: more do not fit a processor's caches
IMAGES_A_PASS_ON_GPU = 512  # fewer do not fill it


Learnt = Mapping[str, Tensor]  # what a solver has made of support images, by name, each leading with S
Shapes = dict[str, tuple[int, ...]]  # of what is learnt, without the leading S


@dataclass(frozen=True)
class Queries:
    """Holds the queries of S problems: tokens as they enter the first adapted block, and what the whole frozen backbone
    makes of them, features and [CLS] attention, None where the solver does not read them.
    """

    tokens: Float[Tensor, "stack query ..."]
    features: Float[Tensor, "stack query dim"] | None
    attention: Float[Tensor, "stack query patches"] | None


@dataclass(frozen=True)
class Stack:
    """Holds S problems of one shape, with what the frozen backbone made of their images.

    `tokens` enter the first adapted block; `features` and `query_attention` ([CLS] attention to the patches, summing
    to 1) are those of the whole frozen backbone. `targets` are what attention is trained towards, one tensor for each
    scale of the backbone (each window's own, for a pyramid); all zero where a problem has no prompts (alpha 0). The
    last two of queries are None where the solver does not read them.
    """

    support_tokens: Float[Tensor, "stack support ..."]
    support_features: Float[Tensor, "stack support dim"]
    labels: Int[Tensor, "stack support"]
    query_tokens: Float[Tensor, "stack query ..."]
    query_features: Float[Tensor, "stack query dim"] | None
    query_attention: Float[Tensor, "stack query patches"] | None
    targets: Sequence[Float[Tensor, "stack support ..."]]
    alpha: Float[Tensor, " stack"]
    tau: Float[Tensor, " stack"]
    lr: Float[Tensor, " stack"]
    seeds: Sequence[tuple[int, int]]  # (seed, episode) of each problem

    @property
    def size(self) -> int:
        return len(self.seeds)

    @property
    def queries(self) -> Queries:
        return Queries(self.query_tokens, self.query_features, self.query_attention)


@dataclass(frozen=True)
class Training:
    """Holds what all problems of a stack share. `temperature` divides the initial head's scores; the head is trained as
    `head_multiplier` times itself, its scores divided by as much, so that a step of Adam moves it less.
    """

    way: int
    blocks: int = defaults.BLOCKS
    epochs: int = defaults.EPOCHS
    batch: int = defaults.BATCH
    head: str = defaults.HEAD
    temperature: float = defaults.TEMPERATURE
    head_multiplier: float = defaults.HEAD_MULTIPLIER
    rank: int = defaults.RANK
    tokens: int = defaults.TOKENS
    deep: bool = defaults.DEEP
    embeddings: bool = defaults.EMBEDDINGS
    layers: int = defaults.LAYERS
    rows: str = rows_of(defaults.VARIANT, defaults.ROWS)
    heads: str = defaults.HEADS

    @property
    def adapted(self) -> int:
        """Returns how much of the backbone is adapted, from the top: blocks, and the embeddings as one more."""
        return self.blocks + self.embeddings


@dataclass(frozen=True)
class Solution:
    """Holds the scores of the queries, and the adapted model's [CLS] attention to their patches (summing to 1)."""

    scores: Float[Tensor, "stack query way"]
    query_attention: Float[Tensor, "stack query patches"]


@dataclass(frozen=True)
class Learner:
    """A solver in two parts, so that what it has learnt can be kept: `learn` makes tensors of a stack's support images,
    `answer` scores queries by them. Called, it does both, `at_once` problems at a time (0 for all).

    `shapes` tells, of a backbone, settings and a number of support images, which tensors are learnt for a problem.
    """

    learn: Callable[[Backbone, Stack, Training], Learnt]
    answer: Callable[[Backbone, Learnt, Queries, Training], Solution]
    shapes: Callable[[Backbone, Training, int], Shapes]
    at_once: Callable[[Backbone, Training], int] = lambda backbone, training: 0

    def __call__(self, backbone: Backbone, stack: Stack, training: Training) -> Solution:
        together = self.at_once(backbone, training) or stack.size
        parts = [part(stack, slice(first, first + together)) for first in range(0, stack.size, together)]
        solved = [self.answer(backbone, self.learn(backbone, one, training), one.queries, training) for one in parts]
        if len(solved) == 1:
            return solved[0]
        return Solution(
            torch.cat([solution.scores for solution in solved]),
            torch.cat([solution.query_attention for solution in solved]),
        )


def frozen_queries(queries: Queries) -> tuple[Float[Tensor, "stack query dim"], Float[Tensor, "stack query patches"]]:
    """Returns features and attention of queries, for a solver that leaves the backbone as it is."""
    assert queries.features is not None
    assert queries.attention is not None
    return queries.features, queries.attention


def images_a_pass(device: torch.device, elsewhere: int) -> int:
    """Returns how many images go through the backbone at once where nothing is kept for a way back: many on a GPU."""
    return IMAGES_A_PASS_ON_GPU if device.type == "cuda" and is_on("large passes") else elsewhere


def part(stack: Stack, problems: slice) -> Stack:
    """Returns some of a stack's problems."""

    def of(value: Any) -> Any:
        return value if value is None else value[problems]

    values = {field.name: of(getattr(stack, field.name)) for field in fields(stack) if field.name != "targets"}
    return Stack(**values, targets=[target[problems] for target in stack.targets])


def initial_head(stack: Stack, training: Training) -> Head:
    """Returns the head that the solver starts from. Raises ValueError for an unknown head."""
    return named_head(
        training.head, stack.support_features, stack.labels, training.way, training.temperature, stack.seeds
    )


def takes_whole_sets(stack: Stack, training: Training) -> bool:
    """Tells whether every step takes the whole support set."""
    return training.batch == 0 or training.batch >= stack.labels.shape[1]


def mini_batches(stack: Stack, training: Training) -> Iterator[Int[Tensor, "stack batch"] | slice]:
    """Yields indices into each problem's support set, for all steps; a full slice where a mini-batch is the whole set.

    The order is each problem's own, a pure function of its (seed, episode). A last short mini-batch is kept.
    """
    if takes_whole_sets(stack, training):
        for _ in range(training.epochs):
            yield slice(None)
        return
    generators = [generator(seed, episode, "batches") for seed, episode in stack.seeds]
    for _ in range(training.epochs):
        order = torch.from_numpy(np.stack([random.permutation(stack.labels.shape[1]) for random in generators]))
        yield from order.to(stack.labels.device).split(training.batch, dim=1)


def take(tensor: Tensor, chosen: Tensor | slice) -> Tensor:
    """Returns rows `chosen` of each problem."""
    if isinstance(chosen, slice):
        return tensor[:, chosen]
    return tensor[torch.arange(len(tensor), device=tensor.device)[:, None], chosen]


def named_parts(head: Head) -> dict[str, Tensor]:
    """Returns a head as what is learnt of it, by name."""
    return {"head.weight": head[0].detach(), "head.bias": head[1].detach()}


def head_of(learnt: Learnt) -> Head:
    """Returns the head among what was learnt."""
    return learnt["head.weight"], learnt["head.bias"]


def shapes_of_head(backbone: Backbone, training: Training) -> Shapes:
    """Returns the shapes of a head's parts."""
    return {"head.weight": (training.way, backbone.dim), "head.bias": (training.way,)}


def head_scores(features: Tensor, head: Head, multiplier: float) -> Tensor:
    """Returns the scores of a head that is kept as `multiplier` times itself."""
    return scores(features, head) / multiplier
