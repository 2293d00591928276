"""The picture of one episode under one configuration, and the figures that are in it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from fpt.figures.coverage import smallest_cover
from fpt.figures.episode import Shown, draw_episode
from fpt.heads.closed_form import scores
from fpt.problems.evidence import prompts_of_all
from fpt.problems.frozen import joined
from fpt.problems.solving import stack_of
from fpt.prompts.localisation import attention_on_key, precision
from fpt.registry import SOLVERS
from fpt.solvers import solver_named
from fpt.solvers.contract import initial_head
from pipeline.config import Run
from pipeline.data.sampler import sampler_of
from pipeline.data.store import ImageStore
from pipeline.identity import with_precision
from pipeline.workers.features import FrozenImages
from pipeline.workers.worker import backbone_of, episode_tensors, setting
from sweeps.schema.lines import on_a_line
from sweeps.schema.naming import setting_name

IMAGES = ("support", "query", "both")
MOST, MOST_ALLOWED = 8, 100  # images of a kind


@dataclass(frozen=True)
class Kind:
    """A kind is all support or all query images of an episode, class by class, with attention to their patches."""

    images: UInt8[np.ndarray, "images height width 3"]
    labels: Int[Tensor, " images"]
    before: Float[Tensor, "images patches"]
    after: Float[Tensor, "images patches"]
    key: Bool[Tensor, "images patches"] | None

    def on_key(self) -> tuple[float, float] | None:
        """Returns the share of attention on the key entity before and after, mean over images, as the ledger has it."""
        if self.key is None:
            return None
        before, after = (float(attention_on_key(maps, self.key)) for maps in (self.before, self.after))
        return before, after

    def cover(self) -> tuple[float, float]:
        """Returns the fewest patches with 95 % of attention before and after, mean over images."""
        before, after = (float(smallest_cover(maps.numpy()).sum(1).mean()) for maps in (self.before, self.after))
        return before, after


@dataclass(frozen=True)
class SolvedEpisode:
    """A solved episode is what a configuration made of an episode. `start` is the accuracy of the head that fine-tuning
    starts from, on the frozen backbone (None for a solver that starts from none), `accuracy` is None where scores are
    not finite.
    """

    run: Run
    index: int
    classes: Sequence[str]
    support: Kind
    query: Kind
    prompts: Bool[Tensor, "support patches"]
    predicted: Int[Tensor, " query"]
    start: float | None
    accuracy: float | None
    grid: tuple[int, int]
    looking: str


def solved_episode(run: Run, store_path: Path, index: int) -> SolvedEpisode:
    """Fine-tunes on one episode, in float32 on the CPU, and looks at all its images before and after."""
    _, backbone = backbone_of(with_precision(run, "float32"), "cpu")
    store, wanted, chosen = ImageStore(store_path), run.episodes, setting(run)
    classes = store.classes(wanted.split)
    drawn = sampler_of(classes, wanted, run.dataset.small_classes)[index]
    frozen = FrozenImages(backbone, store, run.compute.cache_megabytes)
    episodes = episode_tensors(backbone, store, frozen, [drawn], chosen.training.adapted)
    prompts = prompts_of_all(backbone, episodes, [chosen])
    # Asked about its own support images too, the fine-tuned model shows where it looks in them.
    asked = replace(episodes, query=joined([episodes.query, episodes.support], lambda both: torch.cat(both, 1)))
    stack = stack_of(asked, [chosen], prompts, [(0, 0)])
    solution = solver_named(chosen.solver)(backbone, stack, chosen.training)
    queries, labels = len(drawn.query), episodes.query_labels[0]
    predicted = solution.scores[0, :queries].argmax(-1)
    finite = bool(solution.scores[0, :queries].isfinite().all())
    start = None
    if SOLVERS[chosen.solver].trained:
        first = scores(episodes.query.features, initial_head(stack, chosen.training))[0].argmax(-1)
        start = _share(first == labels)
    class_of = {int(row): name for name, rows in classes.items() for row in rows}
    after = solution.query_attention[0]
    keys = [None if key is None else key[0] for key in (episodes.support_key, episodes.query_key)]
    return SolvedEpisode(
        run,
        index,
        [class_of[int(row)] for row in drawn.support[:: wanted.shot]],
        Kind(store.images(drawn.support), episodes.labels[0], episodes.support.attention[0], after[queries:], keys[0]),
        Kind(store.images(drawn.query), labels, episodes.query.attention[0], after[:queries], keys[1]),
        prompts[0].mask[0],
        predicted,
        start,
        _share(predicted == labels) if finite else None,
        backbone.grid,
        "[CLS] attention" if backbone.has_class_token else "attention",
    )


def _share(right: Tensor) -> float:
    return int(right.sum()) / len(right)


def picture_of_episode(run: Run, store_path: Path, index: int, path: Path, whose: str = "") -> Path:
    """Fine-tunes on one episode and draws its images: prompts, predictions, attention before and after. `whose` is
    said before the setting.
    """
    return draw_solved(solved_episode(run, store_path, index), path, whose=whose)


def draw_solved(
    solved: SolvedEpisode, path: Path, attention: str = "map", images: str = "both", most: int = MOST, whose: str = ""
) -> Path:
    """Draws `most` images of each kind, of as many classes as can be; for a pyramid, no attention is drawn. `whose` is
    said before the setting.

    Raises ValueError for another kind of attention than fpt.figures.episode.ATTENTION.
    """
    parts, (episode, setting_) = parts_of(solved, images, most), title_of(solved)
    return draw_episode(parts, solved.grid, (episode, whose + setting_), path, attention, solved.looking)


def parts_of(solved: SolvedEpisode, images: str = "both", most: int = MOST) -> list[Shown]:
    """Returns what a picture shows of support images, of query images, or of both: `most` of each."""
    return [_shown(solved, kind, most) for kind in IMAGES[:2] if images in (kind, "both")]


def as_json(solved: SolvedEpisode, path: Path) -> dict[str, Any]:
    """Returns what a picture shows, of all queries. Attention figures are None for data without masks, or a pyramid."""
    key, prompts = solved.support.key, solved.prompts
    on_key = solved.query.on_key() or (None, None)
    cover = solved.query.cover() if solved.grid[0] else (None, None)
    return {
        "file": str(path),
        "episode": solved.index,
        "split": solved.run.episodes.split,
        "setting": setting_name(solved.run),
        "accuracy_before": solved.start,
        "accuracy": solved.accuracy,
        "classes": [solved.classes[label] for label in solved.query.labels.tolist()],
        "predictions": [solved.classes[label] for label in solved.predicted.tolist()],
        "prompt_precision": precision(prompts, key) if key is not None and bool(prompts.any()) else None,
        "attention_on_key_before": on_key[0],
        "attention_on_key_after": None if solved.accuracy is None else on_key[1],
        "patches_of_95_percent_before": cover[0],
        "patches_of_95_percent_after": cover[1],
    }


def _shown(solved: SolvedEpisode, name: str, most: int) -> Shown:
    kind: Kind = getattr(solved, name)
    rows = spread(kind.labels.numpy(), most)
    heading = f"{name.capitalize()} images, {len(rows)} of {len(kind.labels)}" + _means(solved, kind)
    of_queries = name == "query"
    return Shown(
        heading,
        kind.images[rows],
        [solved.classes[label] for label in kind.labels[rows].tolist()],
        kind.before[rows].numpy(),
        kind.after[rows].numpy(),
        None if kind.key is None else kind.key[rows].numpy(),
        None if of_queries or not solved.prompts.any() else solved.prompts[rows].numpy(),
        [solved.classes[label] for label in solved.predicted[rows].tolist()] if of_queries else None,
    )


def spread(labels: Int[np.ndarray, " images"], most: int) -> Int[np.ndarray, " shown"]:
    """Returns the places of at most `most` images, in order: the first of each class, then the second of each."""
    rank = np.array([(labels[:i] == label).sum() for i, label in enumerate(labels)])
    return np.sort(np.argsort(rank, kind="stable")[:most])


def _means(solved: SolvedEpisode, kind: Kind) -> str:
    """Returns the means over all images of a kind, shown or not, in words."""
    if not solved.grid[0]:
        return ""
    on_key, (before, after) = kind.on_key(), kind.cover()
    patches = f"{before:.1f} → {after:.1f} patches"
    if on_key is None:
        return f"; mean of all: 95 % of {solved.looking} in {patches}"
    share = f"{100 * on_key[0]:.0f} → {100 * on_key[1]:.0f} %"
    return f"; mean of all: {share} of {solved.looking} on key, 95 % of it in {patches}"


def title_of(solved: SolvedEpisode) -> tuple[str, str]:
    """Returns the heading of a picture and the line below it: the episode and how it ended, the setting."""
    run, episodes = solved.run, solved.run.episodes
    first = (
        f"{on_a_line(run.name)}: episode {solved.index} of {episodes.split}, {episodes.way}-way {episodes.shot}-shot"
    )
    told = "scores are not finite" if solved.accuracy is None else f"accuracy {100 * solved.accuracy:.0f} %"
    start = (
        "" if solved.start is None else f" ({100 * solved.start:.0f} % before, {run.solver.head} on frozen features)"
    )
    return f"{first}: {told}{start}", setting_name(run)
