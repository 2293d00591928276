"""Episodes of mistakes, solved again to show where a setting looked and what it told the two classes by."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from fpt.backbones.backbone import Backbone
from fpt.figures.mistakes import Mistaken, Support, draw_mistakes
from fpt.problems.evidence import prompts_of_all
from fpt.problems.problem import Setting
from fpt.problems.solving import stack_of
from fpt.solvers import solver_named
from pipeline.config import Run
from pipeline.data.sampler import DrawnEpisode, EpisodeSampler, sampler_of
from pipeline.data.store import ImageStore
from pipeline.identity import with_precision
from pipeline.workers.features import FrozenImages
from pipeline.workers.worker import backbone_of, episode_tensors, setting
from sweeps.schema.lines import on_a_line
from sweeps.verdict.mistakes import Mistake

SUPPORT = 2  # images of each class that are shown


def picture_of_mistakes(run: Run, store_path: Path, mistakes: Sequence[Mistake], path: Path, named: str) -> Path:
    """Draws mistakes of a run, which is called `named`, with what fine-tuning once more on their episodes shows, in
    float32 on the CPU.
    """
    _, backbone = backbone_of(with_precision(run, "float32"), "cpu")
    looking = "[CLS] attention" if backbone.has_class_token else "attention"
    shape = f"{run.episodes.way}-way {run.episodes.shot}-shot"
    title = f"{on_a_line(run.name)}: the surest mistakes on unseen episodes, {shape}", named
    solved = solved_mistakes(run, backbone, store_path, mistakes)
    return draw_mistakes(solved, backbone.grid, title, path, looking)


def solved_mistakes(run: Run, backbone: Backbone, store_path: Path, mistakes: Sequence[Mistake]) -> list[Mistaken]:
    """Fine-tunes on the episode of each mistake, and asks about its query alone."""
    store, chosen = ImageStore(store_path), setting(run)
    sampler = sampler_of(store.classes(run.episodes.split), run.episodes, run.dataset.small_classes)
    frozen = FrozenImages(backbone, store, run.compute.cache_megabytes)
    drawn = [_asked_once(sampler, mistake) for mistake in mistakes]
    # All images at once fill the batches of the frozen backbone, those of one episode would not.
    needed = np.concatenate([rows for one in drawn for rows in (one.support, one.query)])
    frozen(np.unique(needed), chosen.training.adapted)
    return [
        _solved(backbone, store, frozen, chosen, own, mistake, _label(sampler, mistake.episode, mistake.held))
        for own, mistake in zip(drawn, mistakes, strict=True)
    ]


def _asked_once(sampler: EpisodeSampler, mistake: Mistake) -> DrawnEpisode:
    """Returns the episode of a mistake, of whose queries only that one is left."""
    drawn = sampler[mistake.episode]
    place = _label(sampler, mistake.episode, mistake.true) * sampler.query + mistake.query
    return replace(drawn, query=drawn.query[[place]], query_labels=drawn.query_labels[[place]])


def _label(sampler: EpisodeSampler, episode: int, name: str) -> int:
    return [sampler.names[place] for place in sampler.classes_of(episode)].index(name)


def _solved(
    backbone: Backbone,
    store: ImageStore,
    frozen: FrozenImages,
    chosen: Setting,
    drawn: DrawnEpisode,
    mistake: Mistake,
    held: int,
) -> Mistaken:
    episodes = episode_tensors(backbone, store, frozen, [drawn], chosen.training.adapted)
    prompts = prompts_of_all(backbone, episodes, [chosen])
    solution = solver_named(chosen.solver)(backbone, stack_of(episodes, [chosen], prompts, [(0, 0)]), chosen.training)

    def support(label: int) -> Support:
        rows = np.flatnonzero(drawn.labels == label)[:SUPPORT]
        mask = prompts[0].mask[0, rows].numpy()
        key = None if episodes.support_key is None else episodes.support_key[0, rows].numpy()
        return Support(store.images(drawn.support[rows]), mask if mask.any() else None, key)

    return Mistaken(
        where=f"episode {mistake.episode}",
        true=mistake.true,
        held=mistake.held,
        probability=mistake.probability,
        query=store.images(drawn.query)[0],
        before=episodes.query.attention[0, 0].numpy(),
        after=solution.query_attention[0, 0].numpy(),
        key=None if episodes.query_key is None else episodes.query_key[0, 0].numpy(),
        of_true=support(int(drawn.query_labels[0])),
        of_held=support(held),
    )
