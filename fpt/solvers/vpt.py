"""Fine-tunes tokens put before the patches, and the head."""

from collections.abc import Iterator
from contextlib import contextmanager
from math import sqrt

import numpy as np
import torch

from fpt.backbones.backbone import Backbone
from fpt.failures import failure_of
from fpt.randomness import generator
from fpt.solvers.adapters import tokens_inserted
from fpt.solvers.contract import (
    Learner,
    Learnt,
    Queries,
    Shapes,
    Solution,
    Stack,
    Training,
    head_of,
    shapes_of_head,
)
from fpt.solvers.fine_tuning import predict, train
from fpt.solvers.optimisers import Sgd


def _learn(backbone: Backbone, stack: Stack, training: Training) -> Learnt:
    """Trains tokens and head by SGD: visual prompt tuning, Jia et al., ECCV 2022 (arXiv:2203.12119).

    Deep: every adapted block has its own `tokens`, dropped behind it (Eq. 5 to 7). Shallow: the first adapted block has
    them, and they go on to the top (Eq. 4). Started as there, uniformly within sqrt(6 / (3 patch^2 + dim)).
    Raises ValueError for a backbone that takes no further tokens.
    """
    if not backbone.has_class_token:  # as no pyramid has
        raise ValueError("solver vpt must have a columnar backbone with a [CLS] token to put its tokens behind")
    patch = backbone.image_size // backbone.grid[0]
    dim = stack.support_tokens.shape[-1]
    bound = sqrt(6 / (3 * patch**2 + dim))
    drawn = np.stack(
        [
            generator(seed, episode, "adapter").uniform(-bound, bound, (_groups(training), training.tokens, dim))
            for seed, episode in stack.seeds
        ]
    )
    tokens_SGPD = torch.from_numpy(drawn).to(stack.support_features)
    inserted = tokens_inserted(
        backbone.blocks[backbone.depth - training.blocks :], tokens_SGPD, backbone.prefix, training.deep
    )
    with _any_number_of_tokens():
        head = train(backbone, stack, training, [tokens_SGPD], inserted, Sgd, training.tokens)
    return {"tokens": tokens_SGPD, **head}


def _answer(backbone: Backbone, learnt: Learnt, queries: Queries, training: Training) -> Solution:
    blocks = backbone.blocks[backbone.depth - training.blocks :]
    with _any_number_of_tokens(), tokens_inserted(blocks, learnt["tokens"], backbone.prefix, training.deep):
        return predict(backbone, queries, head_of(learnt), training, backbone.prefix + training.tokens)


def _shapes(backbone: Backbone, training: Training, support: int) -> Shapes:
    dim = backbone.entering(backbone.depth - training.blocks).shape[-1]
    return {"tokens": (_groups(training), training.tokens, dim), **shapes_of_head(backbone, training)}


def _groups(training: Training) -> int:
    return training.blocks if training.deep else 1


@contextmanager
def _any_number_of_tokens() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if failure_of(error) or ("size" not in str(error) and "shape" not in str(error)):
            raise
        raise ValueError(
            "solver vpt must have a backbone that takes any number of tokens; this one's position bias or rotary "
            "embedding does not"
        ) from error


vpt = Learner(_learn, _answer, _shapes)
