"""Is a contrasted prompt right as often as it expects? `python -m benchmarks.trust`; on novel classes masks tell.

How far a prompt is trusted follows from how many of its patches are expected to show the key entity, by a logistic
regression on validation classes (fpt/prompts/contrast.py). Here that is held against how many do: by cell
(benchmarks/contrast.py), and in ten parts of all images by what was expected, with 95 % intervals over episodes.
`--figure FILE` draws it. The scenes that are packed in `--home` are those of benchmarks/contrast.py.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from benchmarks.contrast import CELLS, scenes_of, sweep_of
from fpt.backbones.backbone import Backbone
from fpt.problems.evidence import episode_evidence
from fpt.problems.problem import EpisodeBatch, Setting
from fpt.prompts.columnar import Evidence, prompts_from
from fpt.prompts.contrast import expected_precision, gap
from pipeline.config import plain_run
from pipeline.data.packed import on_this_node, packed_images
from pipeline.data.sampler import sampler_of
from pipeline.data.store import ImageStore
from pipeline.identity import with_precision
from pipeline.storage.folder import Home
from pipeline.workers.features import FrozenImages
from pipeline.workers.worker import backbone_of, episode_tensors, setting
from sweeps.statistics.estimates import Estimate, estimate

IMAGES, PARTS = 1000, 10  # of a cell; of all images
FAR = 0.05  # from what it expects, so that the picture names a cell
NAMED = {"fontsize": 7, "color": "C1", "ha": "right", "va": "center"}
Told = Float[np.ndarray, "both episodes support"]  # expected and found share of each image's prompt patches on the key


def told(cell: str, home: Path, images: int) -> Told:
    """Returns what prompts of the novel classes expect, and what is found."""
    sweep = sweep_of(cell, "lora", home)
    own = scenes_of(cell, sweep, home)
    episodes = plain_run(sweep).episodes.model_copy(update={"query": 1})
    run = with_precision(plain_run(sweep).model_copy(update={"episodes": episodes}), "float32")
    torch.set_num_threads(1)
    _, backbone = backbone_of(run, "cpu")
    store = ImageStore(on_this_node(packed_images(run, Home(str(own)))))
    sampler = sampler_of(store.classes("novel"), run.episodes, run.dataset.small_classes)
    frozen, chosen = FrozenImages(backbone, store, run.compute.cache_megabytes), setting(run)

    def of_episode(index: int) -> tuple[Tensor, Tensor]:
        return both(
            backbone, episode_tensors(backbone, store, frozen, [sampler[index]], chosen.training.adapted), chosen
        )

    enough = range(images // (episodes.way * episodes.shot))
    return np.array([[part.numpy() for part in of_episode(index)] for index in enough]).swapaxes(0, 1)


def both(backbone: Backbone, episodes: EpisodeBatch, chosen: Setting) -> tuple[Tensor, Tensor]:
    """Returns the expected share of an episode's prompt patches on the key for each image, and the found one."""
    (evidence,) = episode_evidence(backbone, episodes, chosen)
    assert isinstance(evidence, Evidence)
    assert evidence.ratios is not None
    assert episodes.support_key is not None
    alone = prompts_from(evidence, "scaled", chosen.lam, chosen.patches)
    found = prompts_from(evidence, chosen.variant, chosen.lam, chosen.patches, contrast=chosen.contrast)
    expected = expected_precision(gap(alone.importance, found.importance, evidence.ratios)[None])[0]
    on_key = (found.mask & episodes.support_key[0]).sum(1) / found.mask.sum(1)
    return expected, on_key


def over_episodes(values: Float[np.ndarray, "episodes support"]) -> Estimate:
    """Returns the mean with its interval over episodes."""
    return estimate(values.mean(1).tolist())


def in_parts(cells: dict[str, Told]) -> list[tuple[float, Estimate]]:
    """Returns the mean expected share, and the found one with its interval over episodes, of PARTS of all images, from
    those that expect least to those that expect most.
    """
    expected = np.concatenate([one[0].ravel() for one in cells.values()])
    edges = np.quantile(expected, np.linspace(0, 1, PARTS + 1)[1:-1])
    parts = []
    for part in range(PARTS):
        means, hoped = [], []
        for one in cells.values():
            inside = np.digitize(one[0], edges) == part
            means += [found[own].mean() for found, own in zip(one[1], inside, strict=True) if own.any()]
            hoped += [asked[own].mean() for asked, own in zip(one[0], inside, strict=True) if own.any()]
        parts.append((float(np.mean(hoped)), estimate(means)))
    return parts


def figure_of(kinds: dict[str, tuple[list[tuple[float, Estimate]], dict[str, tuple[float, float]]]]) -> Figure:
    """Returns the picture: a panel for each kind of cells, parts of images (`in_parts`) and whole cells, as they were
    found against what they expect.
    """
    figure = Figure(figsize=(4.6 * len(kinds), 4.2), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(kinds)))
    for axes, (kind, (parts, cells)) in zip(panels, kinds.items(), strict=True):
        axes.plot([0, 100], [0, 100], color="0.8", zorder=0)
        axes.axvspan(0, 50, color="0.95", zorder=-1)
        across, up = [100 * asked for asked, _ in parts], [100 * found.mean for _, found in parts]
        apart = [100 * found.ci95 for _, found in parts]
        axes.errorbar(across, up, apart, fmt="o-", color="C0", markersize=4, label="tenths of the images")
        axes.plot(*100 * np.array(list(cells.values())).T, "s", color="C1", markersize=4, label="cells")
        for cell, (asked, found) in cells.items():
            if abs(found - asked) > FAR:
                axes.annotate(cell, (100 * asked, 100 * found), (-6, 0), textcoords="offset points", **NAMED)
        axes.set(xlim=(0, 100), ylim=(0, 100), title=kind)
        axes.legend(frameon=False, loc="upper left")
    figure.supxlabel("patches on the key entity, %, as expected (below 50, shaded, a prompt is left out)", fontsize=9)
    figure.supylabel("as found", fontsize=9)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("cells", nargs="*", default=CELLS)
    parser.add_argument("--home", type=Path, default=Path("runs/contrast"))
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--figure", type=Path)
    arguments = parser.parse_args()
    kinds: dict[str, dict[str, Told]] = {}
    for cell in arguments.cells:
        one = told(cell, arguments.home, arguments.images)
        kind = "other scenes" if cell.startswith("other") else "novel classes of GlyphScenes"
        kinds.setdefault(kind, {})[cell] = one
        trusted = one[0] > 0.5
        asked, found, apart = over_episodes(one[0]), over_episodes(one[1]), over_episodes(one[1] - one[0])
        of_trusted = f"{100 * one[1][trusted].mean():.1f}" if trusted.any() else ""
        shares = (
            f"{100 * asked.mean:.1f}",
            f"{100 * found.mean:.1f}",
            f"{100 * apart.mean:+.1f} ± {100 * apart.ci95:.1f}",
        )
        print(cell, one[0].size, *shares, f"{100 * trusted.mean():.0f}", of_trusted, sep=" | ", flush=True)
    drawn = {}
    for kind, cells in kinds.items():
        parts = in_parts(cells)
        for expected, of_part in parts:
            print(kind, f"{100 * expected:.1f}", f"{100 * of_part.mean:.1f} ± {100 * of_part.ci95:.1f}", sep=" | ")
        drawn[kind] = parts, {cell: (one[0].mean(), one[1].mean()) for cell, one in cells.items()}
    if arguments.figure:
        figure_of(drawn).savefig(arguments.figure, dpi=110)


if __name__ == "__main__":
    main()
