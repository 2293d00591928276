"""Prompts of every setting on a batch of episodes, the evidence for them gathered once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fpt.backbones.backbone import Backbone
from fpt.heads.closed_form import named_head
from fpt.problems.problem import EpisodeBatch, Setting
from fpt.prompts.parts import filled
from fpt.prompts.strategy import ScaleEvidence, strategy_of
from fpt.prompts.variants import uniform_target
from fpt.registry import MASKS
from fpt.solvers.contract import IMAGES_A_PASS, images_a_pass

# Evidence of a batch of episodes, a list with that of every scale of the backbone, by what it depends on beside them:
# another lambda or number of patches reuses it.
Gathered = dict[tuple[Any, ...], list[ScaleEvidence]]


@dataclass(frozen=True)
class Prompted:
    """Holds the prompts of all support images under one setting: `mask`, true for prompt patches (no patches, for a
    pyramid); `targets` of the loss, one tensor for each scale.
    """

    mask: Bool[Tensor, "episodes support patches"]
    targets: Sequence[Float[Tensor, "episodes support ..."]]


def prompts_of_all(
    backbone: Backbone, episodes: EpisodeBatch, settings: Sequence[Setting], gathered: Gathered | None = None
) -> list[Prompted]:
    """Returns the prompts of every setting, empty for one that takes none. The evidence of an episode is gathered
    once.
    """
    gathered = {} if gathered is None else gathered
    prompts = []
    for setting in settings:
        if not setting.steered:
            prompts.append(_no_prompts(backbone, episodes))
        elif setting.variant == MASKS:
            assert episodes.support_key is not None
            mask = episodes.support_key
            prompts.append(Prompted(mask, [uniform_target(episodes.support.features, mask)]))
        else:
            key = _evidence_key(backbone, setting)
            if key not in gathered:
                gathered[key] = episode_evidence(backbone, episodes, setting)
            prompts.append(_estimated(backbone, episodes, gathered[key], setting))
    return prompts


def _no_prompts(backbone: Backbone, episodes: EpisodeBatch) -> Prompted:
    lead, like = episodes.labels.shape, episodes.support.features
    mask = torch.zeros(*lead, backbone.grid_patches, dtype=torch.bool, device=like.device)
    return Prompted(mask, [like.new_zeros(*lead, *shape) for shape in backbone.target_shapes])


def _evidence_key(backbone: Backbone, setting: Setting) -> tuple[Any, ...]:
    """Returns a key; settings that have the same share their evidence."""
    family, training = strategy_of(backbone).evidence_family(setting.variant, setting.lam), setting.training
    return training.head, training.temperature, training.way, setting.seed, _score_multiplier(setting), *family


def _score_multiplier(setting: Setting) -> float:
    """Returns what the initial head is multiplied by before prompts are made from it: the released code takes the head
    as it is trained.
    """
    return setting.training.head_multiplier if setting.variant == "official" else 1.0


def episode_evidence(backbone: Backbone, episodes: EpisodeBatch, setting: Setting) -> list[ScaleEvidence]:
    """Gathers the evidence of all support images at every scale, under each episode's own initial head, some whole
    episodes at a time.
    """
    training = setting.training
    seeds = [(setting.seed, episode) for episode in episodes.indices]
    weight, bias = named_head(
        training.head, episodes.support.features, episodes.labels, training.way, training.temperature, seeds
    )
    multiplier = _score_multiplier(setting)
    count, support = episodes.labels.shape
    together = max(1, images_a_pass(backbone.device, IMAGES_A_PASS) // support)

    def gathered(first: int) -> Sequence[Any]:
        chosen = slice(first, first + together)
        images, labels = episodes.support_images[chosen].flatten(0, 1), episodes.labels[chosen]
        problem_of = torch.arange(len(labels), device=labels.device).repeat_interleave(support)
        head = weight[chosen] * multiplier, bias[chosen] * multiplier
        scored = images, labels.flatten(), head, problem_of
        return strategy_of(backbone).gather(backbone, *scored, setting.variant, setting.lam)

    return filled(map(gathered, range(0, count, together)), count * support)


def _estimated(
    backbone: Backbone, episodes: EpisodeBatch, evidence: Sequence[ScaleEvidence], setting: Setting
) -> Prompted:
    lead, strategy = episodes.labels.shape, strategy_of(backbone)
    asked = setting.variant, setting.lam, setting.patches, setting.order, setting.contrast
    found = strategy.estimate(evidence, *asked, support=lead[1])
    mask = strategy.image_masks(found)
    return Prompted(mask.unflatten(0, lead), [of_scale.target.unflatten(0, lead) for of_scale in found])
