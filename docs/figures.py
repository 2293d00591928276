"""Makes the figures of method.md from the embedded data: `.venv/bin/python docs/figures.py`, two minutes.

method.png: one support image after another, from attention and gradient to its prompts.
lambda.png: the share of prompt patches on the key entity, and what prompts gain, against lambda.
contrast.png: the same images, with what the other images of the episode tell.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fpt.figures.page import KEY_COLOUR, PROMPT_COLOUR
from fpt.problems.evidence import episode_evidence, prompts_of_all
from fpt.problems.problem import EpisodeBatch, Setting
from fpt.prompts.columnar import Evidence, importance, prompts_from, top_patches
from fpt.prompts.localisation import chance, precision
from fpt.prompts.variants import variant_named
from pipeline.config import plain_run
from pipeline.data.packed import on_this_node, packed_images
from pipeline.data.sampler import sampler_of
from pipeline.data.store import ImageStore
from pipeline.identity import with_precision
from pipeline.storage.folder import Home
from pipeline.workers.features import FrozenImages
from pipeline.workers.worker import backbone_of, episode_tensors, setting
from sweeps.schema.loading import load
from sweeps.statistics.estimates import estimate

HERE = Path(__file__).parent
CONFIG = HERE.parent / "sweeps" / "configs" / "glyphs.yaml"
SHOWN = (18, 15, 4)  # of the first episode: G helps, G helps, G harms
CONTRASTED = (4, 6, 12)  # of the first episode: put right, put right, still wrong and not trusted
EPISODES = 100
LAMBDAS = (0.0, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)


def main() -> None:
    run = with_precision(plain_run(load(CONFIG, []), "validation"), "float32")
    torch.manual_seed(0)
    _, backbone = backbone_of(run, "cpu")
    store = ImageStore(on_this_node(packed_images(run, Home(str(HERE.parent / "runs")))))
    sampler = sampler_of(store.classes("validation"), run.episodes, run.dataset.small_classes)
    frozen, chosen = FrozenImages(backbone, store, run.compute.cache_megabytes), setting(run)

    def tensors(index: int) -> EpisodeBatch:
        return episode_tensors(backbone, store, frozen, [sampler[index]], chosen.training.adapted)

    scaled, contrast = (replace(chosen, variant=variant) for variant in ("scaled", "contrast"))
    draw_method(backbone, tensors(0), scaled, HERE / "method.png")
    draw_contrast(backbone, tensors(0), contrast, HERE / "contrast.png")
    draw_lambda(backbone, [tensors(index) for index in range(EPISODES)], scaled, HERE / "lambda.png")


def draw_method(backbone: Any, episodes: EpisodeBatch, chosen: Setting, path: Path) -> None:
    """Rows: images; columns: the image and its key, attention, G, importance without G and with it, prompts."""
    (evidence,) = episode_evidence(backbone, episodes, chosen)
    assert isinstance(evidence, Evidence)
    gradient = variant_named(chosen.variant).rescale(evidence.gradient)
    plain, fused = (importance(evidence.maps, gradient, lam) for lam in (0.0, chosen.lam))
    mask = prompts_of_all(backbone, episodes, [chosen])[0].mask[0]
    without = top_patches(plain, int(mask[0].sum()))
    assert episodes.support_key is not None
    titles = (
        "support image\n(dashed: its key)",
        "attention, last layer\n(mean over heads, rows)",
        "gradient term G\n(blue below 0)",
        "importance, λ = 0\n(attention alone)",
        f"importance, λ = {chosen.lam:g}",
        f"position prompt:\nthe top {int(mask[0].sum())} patches",
    )
    figure = Figure(figsize=(10, 1.75 * len(SHOWN) + 0.4), layout="constrained")
    axes = figure.subplots(len(SHOWN), len(titles), squeeze=False)
    for row, image in enumerate(SHOWN):
        pixels, key = episodes.support_images[0, image].numpy(), episodes.support_key[0, image].numpy()
        grid = backbone.grid
        most = float(gradient[image].abs().max())
        shown: list[tuple[np.ndarray, dict[str, Any]]] = [
            (pixels, {}),
            (evidence.maps[image, -1].mean(0).reshape(grid).numpy(), {"cmap": "gray", "vmin": 0}),
            (gradient[image].reshape(grid).numpy(), {"cmap": "RdBu_r", "vmin": -most, "vmax": most}),
            (plain[image].reshape(grid).numpy(), {"cmap": "gray", "vmin": 0}),
            (fused[image].reshape(grid).numpy(), {"cmap": "gray", "vmin": 0}),
            (pixels, {}),
        ]
        panels(axes[row], shown, titles if row == 0 else None, key, grid)
        for column, chosen_here in ((3, without), (4, mask), (5, mask)):
            outline(axes[row, column], chosen_here[image].numpy(), grid, PROMPT_COLOUR, "-")
    figure.savefig(path, dpi=130, metadata={"Software": None})


def draw_contrast(backbone: Any, episodes: EpisodeBatch, chosen: Setting, path: Path) -> None:
    """Rows: images; columns: the image and its key, importance, log ratio, importance joined to it, both prompts."""
    (evidence,) = episode_evidence(backbone, episodes, chosen)
    assert isinstance(evidence, Evidence)
    assert evidence.ratios is not None
    assert episodes.support_key is not None
    alone = prompts_from(evidence, "scaled", chosen.lam, chosen.patches)
    joined = prompts_from(evidence, "contrast", chosen.lam, chosen.patches, contrast=chosen.contrast)
    titles = (
        "support image\n(dashed: its key)",
        "importance\nof this image alone",
        "log ratio\n(blue: others have it too)",
        "importance joined\nto the log ratio",
        "prompt without\nthe other images",
        "prompt with them,\nand how far it is trusted",
    )
    figure = Figure(figsize=(10, 1.75 * len(CONTRASTED) + 0.4), layout="constrained")
    axes = figure.subplots(len(CONTRASTED), len(titles), squeeze=False)
    grid = backbone.grid
    for row, image in enumerate(CONTRASTED):
        pixels, key = episodes.support_images[0, image].numpy(), episodes.support_key[0, image].numpy()
        ratios = evidence.ratios[image] - evidence.ratios[image].mean()
        most = float(ratios.abs().max())
        shown: list[tuple[np.ndarray, dict[str, Any]]] = [
            (pixels, {}),
            (alone.importance[image].reshape(grid).numpy(), {"cmap": "gray", "vmin": 0}),
            (ratios.reshape(grid).numpy(), {"cmap": "RdBu_r", "vmin": -most, "vmax": most}),
            (joined.importance[image].reshape(grid).numpy(), {"cmap": "gray", "vmin": 0}),
            (pixels, {}),
            (pixels, {}),
        ]
        panels(axes[row], shown, titles if row == 0 else None, key, grid)
        outline(axes[row, 4], alone.mask[image].numpy(), grid, PROMPT_COLOUR, "-")
        outline(axes[row, 5], joined.mask[image].numpy(), grid, PROMPT_COLOUR, "-")
        axes[row, 5].set_xlabel(f"confidence {float(joined.confidence[image]):.2f}", fontsize=9)
    figure.savefig(path, dpi=130, metadata={"Software": None})


def panels(
    axes: Sequence[Axes],
    shown: Sequence[tuple[np.ndarray, dict[str, Any]]],
    titles: Sequence[str] | None,
    key: Bool[np.ndarray, " patches"],
    grid: tuple[int, int],
) -> None:
    """Draws a row of maps of one image, with its key outlined."""
    for column, (axis, (values, how)) in enumerate(zip(axes, shown, strict=True)):
        axis.imshow(values, extent=(0, grid[1], grid[0], 0), **how)
        axis.set_xticks([])
        axis.set_yticks([])
        if titles is not None:
            axis.set_title(titles[column], fontsize=9)
        outline(axis, key, grid, KEY_COLOUR, "--")


def draw_lambda(backbone: Any, episodes: list[EpisodeBatch], chosen: Setting, path: Path) -> None:
    """Share of the prompt patches on the key against lambda, for some numbers of patches, with 95 % intervals."""
    figure = Figure(figsize=(6, 3.2), layout="constrained")
    axis = figure.subplots()
    keys = [own.support_key[0] for own in episodes if own.support_key is not None]
    places = [value or LAMBDAS[1] / 4 for value in LAMBDAS]
    for patches, marker, colour in ((1, "o", "#009e73"), (3, "s", PROMPT_COLOUR), (8, "^", KEY_COLOUR)):
        settings = [replace(chosen, lam=value, patches=patches) for value in LAMBDAS]
        found = [[100 * precision(one.mask[0], key) for one in prompts_of_all(backbone, own, settings)]
                 for own, key in zip(episodes, keys, strict=True)]  # fmt: skip
        means = [estimate(column) for column in zip(*found, strict=True)]
        axis.errorbar(places, [one.mean for one in means], [one.ci95 for one in means], color=colour, marker=marker,
                      markersize=5, capsize=2, label=f"{patches} patch{'es' * (patches > 1)}")  # fmt: skip
    by_chance = estimate([100 * chance(key) for key in keys]).mean
    axis.axhline(by_chance, color="0.4", linestyle=":")
    axis.annotate("chance", (1, by_chance), (-2, 2), xycoords=("axes fraction", "data"), textcoords="offset points",
                  ha="right", fontsize=8, color="0.3")  # fmt: skip
    axis.set_xscale("log")
    axis.set_xticks(places, [f"{value:g}" for value in LAMBDAS])
    axis.minorticks_off()
    axis.set_ylim(0)
    axis.set_xlabel("λ")
    axis.set_ylabel("prompt patches on the key, %")
    figure.legend(*axis.get_legend_handles_labels(), loc="outside upper right", fontsize=8, frameon=False, ncols=3)
    figure.savefig(path, dpi=130, metadata={"Software": None})


def outline(axis: Axes, chosen: Bool[np.ndarray, " patches"], grid: tuple[int, int], colour: str, style: str) -> None:
    """The border of a set of patches."""
    inside: Float[np.ndarray, "rows columns"] = np.pad(chosen.reshape(grid), 1).astype(int)
    for row, column in np.argwhere(np.diff(inside, axis=0)):
        axis.plot([column - 1, column], [row, row], color=colour, linestyle=style, linewidth=1.4)
    for row, column in np.argwhere(np.diff(inside, axis=1)):
        axis.plot([column, column], [row - 1, row], color=colour, linestyle=style, linewidth=1.4)


if __name__ == "__main__":
    main()
