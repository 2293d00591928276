"""The picture of one episode under one configuration."""

from dataclasses import replace
from pathlib import Path

from fpt.figures import draw_episode
from fpt.problems import prompts_of_all, stack_of
from fpt.solvers import SOLVERS
from pipeline.config import Run, with_precision
from pipeline.episodes import sampler_of
from pipeline.features import FrozenImages
from pipeline.images import ImageStore
from pipeline.worker import backbone_of, episode_tensors, setting

SHOWN_OF_EACH_CLASS = 2
SHOWN_CLASSES = 8


def picture_of_episode(run: Run, store_path: Path, index: int, path: Path) -> Path:
    """Fine-tunes on one episode and draws support images: prompts, [CLS] attention before and after."""
    _, backbone = backbone_of(with_precision(run, "float32"), "cpu")
    store, wanted, chosen = ImageStore(store_path), run.episodes, setting(run)
    classes = store.classes(wanted.split)
    episode = sampler_of(classes, wanted, run.dataset.small_classes)[index]
    frozen = FrozenImages(backbone, store, run.compute.cache_megabytes)
    episodes = episode_tensors(backbone, store, frozen, [episode], chosen.training.blocks)
    # Asked about its own support images, the fine-tuned model shows where it looks in them.
    episodes = replace(episodes, query=episodes.support, query_labels=episodes.labels, query_key=episodes.support_key)
    prompts = prompts_of_all(backbone, episodes, [chosen])
    stack = stack_of(episodes, [chosen], prompts, [(0, 0)])
    after = SOLVERS[chosen.solver](backbone, stack, chosen.training).query_attention[0]
    shown = [
        way * wanted.shot + i
        for way in range(min(wanted.way, SHOWN_CLASSES))
        for i in range(min(SHOWN_OF_EACH_CLASS, wanted.shot))
    ]
    class_of = {int(row): name for name, rows in classes.items() for row in rows}
    return draw_episode(
        episodes.support_images[0, shown].numpy(),
        [_printable(class_of[int(episode.support[i])]) for i in shown],
        prompts[0].mask[0, shown].cpu().numpy(),
        None if episodes.support_key is None else episodes.support_key[0, shown].cpu().numpy(),
        episodes.support.attention[0, shown].cpu().numpy(),
        after[shown].cpu().numpy(),
        backbone.grid,
        f"support images of episode {index}, split {wanted.split}",
        path,
    )


def _printable(class_name: str) -> str:
    """A character with its code point; other names as they are."""
    return f"{class_name}  U+{ord(class_name):04X}" if len(class_name) == 1 else class_name
