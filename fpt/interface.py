"""What other programs call: prompts of some images, and episodes solved, on tensors of their own."""

# B images, N patches, D dimensions, W ways

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import groupby
from typing import Any

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from fpt import defaults
from fpt.backbones.backbone import Backbone
from fpt.backbones.images import Images
from fpt.problems.frozen import freeze_episodes, reads_frozen_queries
from fpt.problems.problem import EpisodeBatch, Setting, check_adapted
from fpt.problems.solving import solve as solve_problems
from fpt.prompts.columnar import PositionPrompts
from fpt.prompts.pyramids import PyramidPrompts
from fpt.prompts.strategy import strategy_of
from fpt.registry import ESTIMATED, SOLVERS, check_name, rows_of
from fpt.solvers import Training


@dataclass(frozen=True)
class Episode:
    """Images are uint8, images x height x width x 3, or normalised already, images x 3 x height x width.

    Labels are 0 to way - 1. `index` is what the episode's randomness comes from, with the seed.
    """

    support_images: UInt8[Tensor, "support height width 3"] | Float[Tensor, "support 3 height width"]
    support_labels: Int[Tensor, " support"]
    query_images: UInt8[Tensor, "query height width 3"] | Float[Tensor, "query 3 height width"]
    query_labels: Int[Tensor, " query"]
    index: int


@dataclass(frozen=True)
class Record:
    """Holds one episode's result, on the processor. `accuracy` is None where the logits are not finite."""

    index: int
    accuracy: float | None
    predictions: Int[Tensor, " query"]
    logits: Float[Tensor, "query way"]


def position_prompts(
    backbone: Backbone,
    images: Images,
    labels: Int[Tensor, " images"],
    head_weight: Float[Tensor, "way dim"],
    head_bias: Float[Tensor, " way"],
    *,
    lam: float = defaults.LAM,
    patches: int = defaults.PATCHES,
    variant: str = defaults.VARIANT,
    order: str | None = defaults.ORDER,
    contrast: float = defaults.CONTRAST,
) -> PositionPrompts | PyramidPrompts:
    """Finds the key patches of labelled images under a linear classifier of the backbone's features.

    There are `patches` of each image, or of each window of a pyramid (which has no `order`; its gradient term is added
    where `lam` is not 0, but never for `official`). For `contrast` all images are those of one episode, and `contrast`
    is how much the others tell of each. Raises ValueError for a variant, order or number that there is not.
    """
    check_name("variant", variant, ESTIMATED)
    labels = labels.to(backbone.device)
    kind = torch.promote_types(backbone.dtype, torch.float32)
    head = tuple(part.to(backbone.device, kind)[None] for part in (head_weight, head_bias))
    one_problem = torch.zeros_like(labels)
    strategy = strategy_of(backbone)
    evidence = strategy.gather(backbone, images, labels, (head[0], head[1]), one_problem, variant, lam)
    return strategy.offered(strategy.estimate(evidence, variant, lam, patches, order, contrast, len(labels)))


def solve(
    backbone: Backbone,
    episodes: Sequence[Episode],
    *,
    solver: str,
    seed: int,
    stack: int = 8,
    **hyper_parameters: Any,
) -> list[Record]:
    """Solves episodes, those of one shape in stacks of `stack`. Returns a record of each, in their order.

    Hyper-parameters: lam, alpha, tau, patches, variant, contrast, order; lr, epochs, batch, blocks, head, temperature,
    head_multiplier, rank, tokens, deep, embeddings; layers, rows, heads. What is left out is as in fpt/defaults.py
    (`order` and `rows` are the variant's own there), and a solver ignores what it has no use for, but for `embeddings`.
    Raises ValueError for an unknown one, an unknown solver, what cannot be adapted, or labels that are not 0 to
    way - 1.
    """
    records: dict[int, Record] = {}
    places = sorted(range(len(episodes)), key=lambda i: _shape(episodes[i]))
    for _, group in groupby(places, key=lambda i: _shape(episodes[i])):
        members = list(group)
        for first in range(0, len(members), stack):
            chosen = members[first : first + stack]
            together = [episodes[i] for i in chosen]
            setting = setting_of(solver, _way(together), seed, hyper_parameters)
            check_adapted(setting, backbone)
            held = _stacked(backbone, together, setting)
            for place, outcome in zip(chosen, solve_problems(backbone, held, [setting], stack)[0], strict=True):
                logits = outcome.logits.cpu()
                records[place] = Record(outcome.episode, outcome.accuracy, logits.argmax(-1), logits)
    return [records[place] for place in range(len(episodes))]


def _shape(episode: Episode) -> tuple[int, ...]:
    return int(episode.support_labels.max()) + 1, len(episode.support_labels), len(episode.query_labels)


def _way(episodes: Sequence[Episode]) -> int:
    way, _, _ = _shape(episodes[0])
    for episode in episodes:
        present, asked = episode.support_labels.unique(), episode.query_labels
        if len(present) != way or int(present[0]) != 0 or not 0 <= int(asked.min()) <= int(asked.max()) < way:
            raise ValueError(
                f"support_labels must hold every number from 0 to way - 1, and query_labels none else, but episode "
                f"{episode.index} has {present.tolist()} and {asked.unique().tolist()}"
            )
    return way


def setting_of(solver: str, way: int, seed: int, hyper_parameters: Mapping[str, Any]) -> Setting:
    """Returns a setting of named hyper-parameters. Raises ValueError for an unknown one, or an unknown solver."""
    check_name("solver", solver, SOLVERS)
    of_training = {field.name for field in fields(Training)} - {"way"}
    of_setting = {field.name for field in fields(Setting)} - {"solver", "training", "seed"}
    for name in hyper_parameters:
        if name not in of_training | of_setting:
            allowed = ", ".join(sorted(of_training | of_setting))
            raise ValueError(f"hyper-parameters must be among {allowed} but got {name!r}")
    training, others = (
        {name: value for name, value in hyper_parameters.items() if name in known}
        for known in (of_training, of_setting)
    )
    training["rows"] = rows_of(others.get("variant", defaults.VARIANT), training.get("rows", defaults.ROWS))
    return Setting(solver, Training(way=way, **training), seed=seed, **others)


def _stacked(backbone: Backbone, episodes: Sequence[Episode], setting: Setting) -> EpisodeBatch:
    support, query = (
        torch.stack([getattr(episode, name) for episode in episodes]) for name in ("support_images", "query_images")
    )
    labels, query_labels = (
        torch.stack([getattr(episode, name) for episode in episodes]).to(backbone.device)
        for name in ("support_labels", "query_labels")
    )
    return EpisodeBatch(
        indices=[episode.index for episode in episodes],
        support_images=support,
        support=freeze_episodes(backbone, support, setting.training.adapted),
        labels=labels,
        query=freeze_episodes(
            backbone, query, setting.training.adapted, reads_frozen_queries(setting.solver, masks=False)
        ),
        query_labels=query_labels,
    )
