"""Solves problems: every (episode, setting) pair of a batch of episodes, in stacks."""

# E episodes, S problems of a stack, B support images, Q queries, T tokens, N patches, D dimensions, W ways

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import groupby
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from fpt import defaults
from fpt.backbones.backbone import Backbone
from fpt.backbones.memory import held_by, out_of_memory
from fpt.heads.closed_form import named_head
from fpt.phases import phase
from fpt.problems.frozen import Frozen, reads_frozen_queries
from fpt.prompts.columnar import Evidence, gather_evidence, prompts_from, uniform_target, variant_named
from fpt.prompts.localisation import attention_on_key, chance, precision
from fpt.prompts.pyramids import StageEvidence, gather_stage_evidence, stage_prompts, takes_gradient
from fpt.registry import HEADS, MASKS, SOLVERS, VARIANTS, check_name
from fpt.solvers import solver_named
from fpt.solvers.contract import AT_ONCE, Stack, Training

KEPT = 24  # times what enters it, that an adapted block keeps for the way back: its inner width is up to 4
ON_GPU, ON_CPU = 64, 8  # most problems in a stack


@dataclass(frozen=True)
class Episodes:
    """Episodes of one shape. Key masks (which patches show the key entity) are None where the data has none."""

    indices: Sequence[int]
    support_images: UInt8[Tensor, "episodes support height width 3"] | Float[Tensor, "episodes support 3 height width"]
    support: Frozen
    labels: Int[Tensor, "episodes support"]
    query: Frozen
    query_labels: Int[Tensor, "episodes query"]
    support_key: Bool[Tensor, "episodes support patches"] | None = None
    query_key: Bool[Tensor, "episodes query patches"] | None = None


@dataclass(frozen=True)
class Setting:
    """One hyper-parameter setting. `alpha` 0 means no prompts."""

    solver: str
    training: Training
    variant: str = defaults.VARIANT
    order: str | None = defaults.ORDER
    lam: float = defaults.LAM
    alpha: float = defaults.ALPHA
    tau: float = defaults.TAU
    patches: int = defaults.PATCHES
    lr: float = defaults.LR
    seed: int = defaults.SEED


@dataclass(frozen=True)
class Outcome:
    """The result of one problem. Localisation figures are None where there are no prompts or masks to measure."""

    episode: int
    hits: tuple[int, ...]  # right queries of each class
    queries: int
    failed: bool  # scores that are not finite: no accuracy
    prompt_precision: float | None  # share of prompt patches that show the key entity
    prompt_chance: float | None  # the same for random patches
    attention_on_key_before: float | None  # of [CLS] on queries, share of its attention to patches
    attention_on_key_after: float | None
    logits: Float[Tensor, "query way"]

    @property
    def accuracy(self) -> float | None:
        return None if self.failed else sum(self.hits) / self.queries


# Evidence of a batch of episodes, by what it depends on beside them: another lambda or number of patches reuses it.
Gathered = dict[tuple[Any, ...], Evidence | list[StageEvidence]]


def solve(
    backbone: Backbone,
    episodes: Episodes,
    settings: Sequence[Setting],
    stack: int,
    gathered: Gathered | None = None,
    halvings: int = 0,
) -> list[list[Outcome]]:
    """Outcomes of each setting (outer) on each episode (inner). Settings of one solver and shape share stacks.

    `stack` is how many problems are solved together at most, 0 for as many as fit the device; it is halved `halvings`
    times to begin with, and where memory runs out, which changes no prediction. `gathered` is filled, and used where it
    has been filled for the same episodes before.
    Raises ValueError for an unknown solver, head or variant, or masks that the data does not have.
    """
    for setting in settings:
        _check(setting, episodes)
    with phase("prompts"):
        prompts = prompts_of_all(backbone, episodes, settings, gathered)
    count = len(episodes.indices)
    outcomes: dict[tuple[int, int], Outcome] = {}
    numbered = sorted(range(len(settings)), key=lambda i: (settings[i].solver, repr(settings[i].training)))
    for _, group in groupby(numbered, key=lambda i: (settings[i].solver, settings[i].training)):
        problems = [(i, episode) for i in group for episode in range(count)]
        together = max(1, (stack or fitting_stack(episodes, settings[problems[0][0]].training)) >> halvings)
        while problems:
            members = problems[:together]
            try:
                solved = _solve_stack(backbone, episodes, settings, prompts, members)
            except RuntimeError as error:
                if not out_of_memory(error) or len(members) == 1:
                    raise
                together = len(members) // 2
                continue
            outcomes.update(zip(members, solved, strict=True))
            problems = problems[together:]
    return [[outcomes[i, episode] for episode in range(count)] for i in range(len(settings))]


def fitting_stack(episodes: Episodes, training: Training) -> int:
    """How many problems a device's memory holds while they are trained; on a CPU no more than its caches like.

    By all of the device's memory, not by what is free, so that a rerun has the same stacks.
    """
    tokens = episodes.support.tokens[0]
    images = min(training.batch or len(tokens), len(tokens))
    each = images * tokens[0].nbytes * training.blocks * KEPT
    on_gpu = tokens.device.type == "cuda"
    return max(1, min(ON_GPU if on_gpu else ON_CPU, held_by(tokens.device) // 4 // each))


def _check(setting: Setting, episodes: Episodes) -> None:
    check_name("solver", setting.solver, SOLVERS)
    check_name("head", setting.training.head, HEADS)
    check_name("variant", setting.variant, VARIANTS)
    masks = episodes.query_key is not None
    assert episodes.query.seen is not None or not reads_frozen_queries(setting.solver, masks), "queries were not frozen"
    if setting.variant == MASKS and episodes.support_key is None:
        raise ValueError("variant must not be masks for data without masks of its key entities")


def _steered(setting: Setting) -> bool:
    return SOLVERS[setting.solver].steered and setting.alpha > 0


@dataclass(frozen=True)
class Prompted:
    """Prompts of all support images under one setting: `mask`, true for prompt patches (no patches, for a pyramid);
    `targets` of the loss, one tensor for each scale.
    """

    mask: Bool[Tensor, "episodes support patches"]
    targets: Sequence[Float[Tensor, "episodes support ..."]]


def prompts_of_all(
    backbone: Backbone, episodes: Episodes, settings: Sequence[Setting], gathered: Gathered | None = None
) -> list[Prompted]:
    """Prompts of every setting, empty for one that takes none. The evidence of an episode is gathered once."""
    gathered = {} if gathered is None else gathered
    prompts = []
    for setting in settings:
        if not _steered(setting):
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


def _no_prompts(backbone: Backbone, episodes: Episodes) -> Prompted:
    lead, like = episodes.labels.shape, episodes.support.features
    mask = torch.zeros(*lead, backbone.grid_patches, dtype=torch.bool, device=like.device)
    return Prompted(mask, [like.new_zeros(*lead, *shape) for shape in backbone.target_shapes])


def _evidence_key(backbone: Backbone, setting: Setting) -> tuple[Any, ...]:
    """Settings of one key share their evidence."""
    how, training = variant_named(setting.variant), setting.training
    of_stages = setting.variant == "official", takes_gradient(setting.variant, setting.lam)
    family = of_stages if backbone.pyramid else (how.heads, how.centred)
    return training.head, training.temperature, training.way, setting.seed, _score_multiplier(setting), *family


def _score_multiplier(setting: Setting) -> float:
    """Of the initial head's, for what prompts are made from: the released code takes the head as it is trained."""
    return setting.training.head_multiplier if setting.variant == "official" else 1.0


def episode_evidence(backbone: Backbone, episodes: Episodes, setting: Setting) -> Evidence | list[StageEvidence]:
    """Evidence of all support images, under each episode's own initial head, some whole episodes at a time."""
    training = setting.training
    seeds = [(setting.seed, episode) for episode in episodes.indices]
    weight, bias = named_head(
        training.head, episodes.support.features, episodes.labels, training.way, training.temperature, seeds
    )
    multiplier = _score_multiplier(setting)
    count, support = episodes.labels.shape
    together = max(1, AT_ONCE // support)
    parts: list[list[Any]] = []
    for first in range(0, count, together):
        chosen = slice(first, first + together)
        images, labels = episodes.support_images[chosen].flatten(0, 1), episodes.labels[chosen]
        problem_of = torch.arange(len(labels), device=labels.device).repeat_interleave(support)
        head = weight[chosen] * multiplier, bias[chosen] * multiplier
        if backbone.pyramid:
            with_gradient = takes_gradient(setting.variant, setting.lam)
            scored = backbone, images, labels.flatten(), head, problem_of, setting.variant
            parts.append(gather_stage_evidence(*scored, with_gradient))
        else:
            parts.append([gather_evidence(backbone, images, labels.flatten(), head, problem_of, setting.variant)])
    if backbone.pyramid:
        return [_joined_evidence(of_stage) for of_stage in zip(*parts, strict=True)]
    joined: Evidence = _joined_evidence([of_all for (of_all,) in parts])
    return joined


def _joined_evidence(parts: Sequence[Any]) -> Any:
    """One Evidence (or StageEvidence) of all images, from some images' each."""
    columns = [[getattr(part, field.name) for part in parts] for field in fields(parts[0])]
    return type(parts[0])(*(None if column[0] is None else torch.cat(column) for column in columns))


def _estimated(
    backbone: Backbone, episodes: Episodes, evidence: Evidence | list[StageEvidence], setting: Setting
) -> Prompted:
    lead = episodes.labels.shape
    if isinstance(evidence, Evidence):
        found = prompts_from(evidence, setting.variant, setting.lam, setting.patches, setting.order)
        return Prompted(found.mask.unflatten(0, lead), [found.target.unflatten(0, lead)])
    stages = [stage_prompts(stage, setting.variant, setting.lam, setting.patches) for stage in evidence]
    none = _no_prompts(backbone, episodes)
    return Prompted(none.mask, [stage.target.unflatten(0, lead) for stage in stages])


def stack_of(
    episodes: Episodes, settings: Sequence[Setting], prompts: Sequence[Prompted], members: Sequence[tuple[int, int]]
) -> Stack:
    """The problems `members`, (setting, episode) pairs, as a solver takes them."""
    chosen, queries = [settings[i] for i, _ in members], episodes.query.seen
    rows = torch.tensor([episode for _, episode in members], device=episodes.labels.device)

    def per_problem(values: Sequence[float]) -> Tensor:
        return torch.tensor(values, dtype=episodes.support.features.dtype, device=rows.device)

    return Stack(
        support_tokens=episodes.support.tokens[rows],
        support_features=episodes.support.features[rows],
        labels=episodes.labels[rows],
        query_tokens=episodes.query.tokens[rows],
        query_features=None if queries is None else queries.features[rows],
        query_attention=None if queries is None else queries.attention[rows],
        targets=[
            torch.stack([prompts[i].targets[scale][episode] for i, episode in members])
            for scale in range(len(prompts[0].targets))
        ],
        alpha=per_problem([setting.alpha if _steered(setting) else 0.0 for setting in chosen]),
        tau=per_problem([setting.tau for setting in chosen]),
        lr=per_problem([setting.lr for setting in chosen]),
        seeds=[
            (setting.seed, episodes.indices[episode]) for setting, (_, episode) in zip(chosen, members, strict=True)
        ],
    )


def _solve_stack(
    backbone: Backbone,
    episodes: Episodes,
    settings: Sequence[Setting],
    prompts: Sequence[Prompted],
    members: Sequence[tuple[int, int]],
) -> list[Outcome]:
    first = settings[members[0][0]]
    stack = stack_of(episodes, settings, prompts, members)
    solution = solver_named(first.solver)(backbone, stack, first.training)
    labels = episodes.query_labels[[episode for _, episode in members]]
    right_SQ = (solution.scores.argmax(-1) == labels).cpu().numpy()
    finite_S = solution.scores.isfinite().all(-1).all(-1).tolist()
    labels_SQ = labels.cpu().numpy()
    outcomes, before = [], episodes.query.seen
    for problem, (i, episode) in enumerate(members):
        hits = np.bincount(labels_SQ[problem][right_SQ[problem]], minlength=first.training.way)
        prompted, key = prompts[i].mask[episode], episodes.support_key
        located = key is not None and bool(prompted.any())
        outcomes.append(
            Outcome(
                episode=episodes.indices[episode],
                hits=tuple(int(hit) for hit in hits),
                queries=right_SQ.shape[1],
                failed=not finite_S[problem],
                prompt_precision=precision(prompted, key[episode]) if key is not None and located else None,
                prompt_chance=chance(key[episode]) if key is not None and located else None,
                attention_on_key_before=_on_key(
                    episodes, episode, None if before is None else before.attention[episode]
                ),
                attention_on_key_after=_on_key(episodes, episode, solution.query_attention[problem]),
                logits=solution.scores[problem],
            )
        )
    return outcomes


def _on_key(episodes: Episodes, episode: int, attention_QN: Tensor | None) -> float | None:
    if episodes.query_key is None or attention_QN is None:
        return None
    return float(attention_on_key(attention_QN, episodes.query_key[episode]))
