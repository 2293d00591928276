"""Solves problems: every (episode, setting) pair of a batch of episodes, in stacks."""

# E episodes, S problems of a stack, B support images, Q queries, T tokens, N patches, D dimensions, W ways

from collections.abc import Sequence
from itertools import groupby

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from fpt.backbones.backbone import Backbone
from fpt.backbones.memory import held_by
from fpt.failures import in_parts, with_memory_given_back
from fpt.phases import phase
from fpt.problems.evidence import Gathered, Prompted, prompts_of_all
from fpt.problems.footprint import problems_on_gpu
from fpt.problems.frozen import reads_frozen_queries
from fpt.problems.problem import EpisodeBatch, Outcome, Setting, check_adapted
from fpt.prompts.localisation import attention_on_key, share, share_on_key
from fpt.registry import HEADS, MASKS, SOLVERS, VARIANTS, check_name
from fpt.solvers import solver_named
from fpt.solvers.contract import Solution, Stack, Training

INPUTS_KEPT_BY_A_BLOCK = 24  # that an adapted block keeps for the way back, in sizes of one: its inner width is up to 4
MOST_PROBLEMS_ON_CPU = 8  # of a stack


def solve(
    backbone: Backbone,
    episodes: EpisodeBatch,
    settings: Sequence[Setting],
    stack: int,
    gathered: Gathered | None = None,
    halvings: int = 0,
) -> list[list[Outcome]]:
    """Returns the outcomes of each setting (outer) on each episode (inner). Settings of one solver and shape share
    stacks.

    `stack` is how many problems are solved together at most, 0 for as many as fit the device; it is halved `halvings`
    times to begin with, and where memory runs out, which changes no prediction. `gathered` is filled, and used where it
    has been filled for the same episodes before.
    Raises ValueError for an unknown solver, head or variant, or masks that the data does not have.
    """
    for setting in settings:
        _check(backbone, setting, episodes)
    with phase("prompts"):
        prompts = with_memory_given_back(lambda: prompts_of_all(backbone, episodes, settings, gathered))
    count = len(episodes.indices)
    outcomes: dict[tuple[int, int], Outcome] = {}
    numbered = sorted(range(len(settings)), key=lambda i: (settings[i].solver, repr(settings[i].training)))
    for _, group in groupby(numbered, key=lambda i: (settings[i].solver, settings[i].training)):
        problems = [(i, episode) for i in group for episode in range(count)]
        together = max(1, (stack or _fitting(backbone, episodes, settings[problems[0][0]])) >> halvings)

        def solved(chosen: slice, problems: list[tuple[int, int]] = problems) -> list[Outcome]:
            return _solve_stack(backbone, episodes, settings, prompts, problems[chosen])

        parts = in_parts(len(problems), together, solved)
        outcomes.update(zip(problems, (outcome for part in parts for outcome in part), strict=True))
    return [[outcomes[i, episode] for episode in range(count)] for i in range(len(settings))]


def _fitting(backbone: Backbone, episodes: EpisodeBatch, setting: Setting) -> int:
    on_gpu = backbone.device.type == "cuda"
    return problems_on_gpu(backbone, episodes, setting) if on_gpu else fitting_stack(episodes, setting.training)


def fitting_stack(episodes: EpisodeBatch, training: Training) -> int:
    """Returns how many problems a processor's memory holds while they are trained, and no more than its caches like.

    All of its memory counts, not what is free, so that a rerun has the same stacks.
    """
    tokens = episodes.support.tokens[0]
    images = min(training.batch or len(tokens), len(tokens))
    each = images * tokens[0].nbytes * training.blocks * INPUTS_KEPT_BY_A_BLOCK
    return max(1, min(MOST_PROBLEMS_ON_CPU, held_by(tokens.device) // 4 // each))


def _check(backbone: Backbone, setting: Setting, episodes: EpisodeBatch) -> None:
    check_name("solver", setting.solver, SOLVERS)
    check_name("head", setting.training.head, HEADS)
    check_name("variant", setting.variant, VARIANTS)
    check_adapted(setting, backbone)
    masks = episodes.query_key is not None
    assert episodes.query.seen is not None or not reads_frozen_queries(setting.solver, masks), "queries were not frozen"
    if setting.variant == MASKS and episodes.support_key is None:
        raise ValueError("variant must not be masks for data without masks of its key entities")


def stack_of(
    episodes: EpisodeBatch, settings: Sequence[Setting], prompts: Sequence[Prompted], members: Sequence[tuple[int, int]]
) -> Stack:
    """Returns the problems `members`, (setting, episode) pairs, as a solver takes them."""
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
        alpha=per_problem([setting.alpha if setting.steered else 0.0 for setting in chosen]),
        tau=per_problem([setting.tau for setting in chosen]),
        lr=per_problem([setting.lr for setting in chosen]),
        seeds=[
            (setting.seed, episodes.indices[episode]) for setting, (_, episode) in zip(chosen, members, strict=True)
        ],
    )


def _solve_stack(
    backbone: Backbone,
    episodes: EpisodeBatch,
    settings: Sequence[Setting],
    prompts: Sequence[Prompted],
    members: Sequence[tuple[int, int]],
) -> list[Outcome]:
    first = settings[members[0][0]]
    stack = stack_of(episodes, settings, prompts, members)
    solution = solver_named(first.solver)(backbone, stack, first.training)
    labels = episodes.query_labels[[episode for _, episode in members]]
    located = [_located(episodes, prompts, solution, place, member) for place, member in enumerate(members)]
    right_SQ, finite_S, labels_SQ, located_SF = _read(
        solution.scores[:, : labels.shape[1]].argmax(-1) == labels,
        solution.scores.isfinite().all(-1).all(-1),
        labels,
        torch.stack(located),
    )
    outcomes = []
    has_key, has_before = episodes.support_key is not None, episodes.query.seen is not None
    for problem, (_, episode) in enumerate(members):
        hits = np.bincount(labels_SQ[problem][right_SQ[problem].astype(bool)], minlength=first.training.way)
        prompted, of_prompts, of_chance, before, after = located_SF[problem].tolist()
        outcomes.append(
            Outcome(
                episode=episodes.indices[episode],
                hits=tuple(int(hit) for hit in hits),
                queries=right_SQ.shape[1],
                failed=not bool(finite_S[problem]),
                prompt_precision=of_prompts if has_key and prompted else None,
                prompt_chance=of_chance if has_key and prompted else None,
                attention_on_key_before=before if episodes.query_key is not None and has_before else None,
                attention_on_key_after=after if episodes.query_key is not None else None,
                logits=solution.scores[problem],
            )
        )
    return outcomes


def _located(
    episodes: EpisodeBatch, prompts: Sequence[Prompted], solution: Solution, place: int, member: tuple[int, int]
) -> Float[Tensor, "5"]:
    """Returns whether a problem has prompts, their precision and chance, and attention on the key before and after; 0
    for what cannot be measured.
    """
    (i, episode), seen, key = member, episodes.query.seen, episodes.query_key
    queries = episodes.query_labels.shape[1]  # outsiders have no part in figures
    prompted, after = prompts[i].mask[episode], solution.query_attention[place][:queries]
    figures = [prompted.any()] + [after.new_zeros(())] * 4
    if episodes.support_key is not None:
        own = episodes.support_key[episode]
        figures[1:3] = share_on_key(prompted, own), share(own)
    if key is not None and seen is not None:
        figures[3] = attention_on_key(seen.attention[episode][:queries], key[episode])
    if key is not None:
        figures[4] = attention_on_key(after, key[episode])
    return torch.stack([one.to(after.dtype) for one in figures])


def _read(*parts: Tensor) -> list[np.ndarray]:
    """Returns the numbers of several tensors, for which a device is waited for once. Whole ones stay whole."""
    kind = torch.promote_types(parts[-1].dtype, torch.float32)
    flat = torch.cat([part.flatten().to(kind) for part in parts]).cpu().numpy()
    ends = np.cumsum([part.numel() for part in parts])[:-1]
    shaped = [own.reshape(part.shape) for own, part in zip(np.split(flat, ends), parts, strict=True)]
    return [own if part.is_floating_point() else own.astype(np.int64) for own, part in zip(shaped, parts, strict=True)]
