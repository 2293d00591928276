"""Solves one problem for good: what a solver learns of a support set is kept, and answers any number of queries."""

import torch
from jaxtyping import Int
from torch import Tensor

from fpt.backbones.backbone import Backbone
from fpt.backbones.images import Images
from fpt.problems.evidence import prompts_of_all
from fpt.problems.frozen import freeze, freeze_episodes, reads_frozen_queries
from fpt.problems.problem import EpisodeBatch, Setting, check_adapted
from fpt.problems.solving import stack_of
from fpt.registry import ESTIMATED, HEADS, SOLVERS, check_name
from fpt.solvers import learner_named
from fpt.solvers.contract import IMAGES_A_PASS, Learnt, Queries, Solution


def check_learnable(setting: Setting, backbone: Backbone) -> None:
    """Raises ValueError for a setting that a backbone cannot learn by, or whose solver keeps nothing."""
    check_name("solver", setting.solver, SOLVERS)
    check_name("head", setting.training.head, HEADS)
    check_name("variant", setting.variant, ESTIMATED)
    check_adapted(setting, backbone)
    learner_named(setting.solver)


def learn(
    backbone: Backbone, images: Images, labels: Int[Tensor, " images"], setting: Setting, index: int = 0
) -> Learnt:
    """Returns what a solver learns of labelled images (0 to way - 1, of any number each), prompts and fine-tuning
    included.

    Randomness comes from the setting's seed and `index`, so that an episode's support set is learnt as a sweep learns
    it. Raises ValueError for what cannot be learnt so, and where training diverges.
    """
    check_learnable(setting, backbone)
    support = images[None]
    labels = labels.to(backbone.device)[None]
    frozen = freeze_episodes(backbone, support, setting.training.adapted)
    episode = EpisodeBatch(
        indices=[index],
        support_images=support,
        support=frozen,
        labels=labels,
        query=frozen.change(lambda part: part[:, :0]),
        query_labels=labels[:, :0],
    )
    stack = stack_of(episode, [setting], prompts_of_all(backbone, episode, [setting]), [(0, 0)])
    learnt = learner_named(setting.solver).learn(backbone, stack, setting.training)
    if not all(bool(value.isfinite().all()) for value in learnt.values()):
        raise ValueError(
            f"lr must be small enough for training to converge, but with {setting.lr:g} solver {setting.solver} has "
            "learnt numbers that are not finite"
            if SOLVERS[setting.solver].trained
            else f"solver must be one that these images allow but {setting.solver} found no finite solution"
        )
    return learnt


@torch.no_grad()
def answer(backbone: Backbone, images: Images, setting: Setting, learnt: Learnt) -> Solution:
    """Returns scores of images by what was learnt, and [CLS] attention to their patches, as those of one problem; some
    images go at a time.
    """
    learner, whole = learner_named(setting.solver), reads_frozen_queries(setting.solver, masks=False)
    answered = []
    for first in range(0, len(images), IMAGES_A_PASS):
        frozen = freeze(backbone, images[first : first + IMAGES_A_PASS], setting.training.adapted, whole)
        seen = None if frozen.seen is None else (frozen.seen.features[None], frozen.seen.attention[None])
        queries = Queries(frozen.tokens[None], *(seen or (None, None)))
        answered.append(learner.answer(backbone, learnt, queries, setting.training))
    return Solution(
        torch.cat([part.scores for part in answered], 1), torch.cat([part.query_attention for part in answered], 1)
    )
