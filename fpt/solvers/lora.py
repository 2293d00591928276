"""Fine-tunes low-rank updates of the attention's projections and the head, steered by position prompts."""

from typing import Any

from torch import nn

from fpt.backbones.backbone import Backbone
from fpt.backbones.class_row import is_plain
from fpt.randomness import generator
from fpt.solvers.adapters import LowRank, attention_projections, lora_applied, lora_start
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


def _learn(backbone: Backbone, stack: Stack, training: Training) -> Learnt:
    """Trains adapters and head by AdamW: LoRA, Hu et al., ICLR 2022 (arXiv:2106.09685).

    Raises ValueError for a backbone whose attention has no linear projections.
    """
    projections = attention_projections(backbone, backbone.depth - training.blocks)
    generators = [generator(seed, episode, "adapter") for seed, episode in stack.seeds]
    adapters = lora_start(projections, training.rank, generators, stack.support_features)
    leaves = [part for adapter in adapters for part in adapter]
    applied = lora_applied(projections, adapters)
    head = train(backbone, stack, training, leaves, applied, unmoved=_before_any_update(backbone, training.blocks))
    downs, ups = ({f"{kind}.{i}": pair[k] for i, pair in enumerate(adapters)} for k, kind in enumerate(("down", "up")))
    return {**downs, **ups, **head}


def low_rank_updates(learnt: Learnt) -> list[LowRank]:
    """Returns the update of each projection, in their order, of what was learnt."""
    return [(learnt[f"down.{i}"], learnt[f"up.{i}"]) for i in range(sum(name.startswith("up.") for name in learnt))]


def _answer(backbone: Backbone, learnt: Learnt, queries: Queries, training: Training) -> Solution:
    projections = attention_projections(backbone, backbone.depth - training.blocks)
    with lora_applied(projections, low_rank_updates(learnt)):
        return predict(backbone, queries, head_of(learnt), training, backbone.prefix)


def _shapes(backbone: Backbone, training: Training, support: int) -> Shapes:
    projections = attention_projections(backbone, backbone.depth - training.blocks)
    return {
        **{f"down.{i}": (training.rank, linear.in_features) for i, linear in enumerate(projections)},
        **{f"up.{i}": (linear.out_features, training.rank) for i, linear in enumerate(projections)},
        **shapes_of_head(backbone, training),
    }


def _before_any_update(backbone: Backbone, blocks: int) -> list[nn.Module]:
    """Returns the modules of the first adapted block, if it is a plain one, that see what no update has moved."""
    start = backbone.depth - blocks
    block: Any = backbone.blocks[start]
    return [block.norm1, block.attn.qkv] if is_plain(block) and backbone.cut(start) == "between blocks" else []


lora = Learner(_learn, _answer, _shapes)
