"""Kinds of prompts side by side on GlyphScenes: no prompts, paper, scaled, contrast and the true masks.

`python -m benchmarks.contrast [--solver lora] [--episodes 300] [--home FOLDER] [CELL ...]`. A cell is a context that
all classes share, or distractors of all base classes, with {5, 20}-way {1, 5}-shot episodes, like shared-20-1; or
`other` scenes than those that contrast was designed on: striped, the key glyph in two places, larger glyphs. Each
kind's learning rate and alpha are chosen on validation classes, on the same episodes from the same choices; what is
printed is of novel classes, paired, with 95 % intervals over episodes. It goes on where it stopped, as its rows are in
the home's ledger. `--cost` tells instead what `contrast` takes more than `scaled`, in processor time of one thread.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from benchmarks.search.surfaces import CONFIG, with_scenes, with_weak_context
from fpt.backbones.loading import load_backbone
from fpt.bench import Shape, frozen_episodes, random_pixels
from fpt.glyphs import scenes
from fpt.glyphs.characters import characters
from fpt.problems.evidence import prompts_of_all
from fpt.problems.solving import solve
from pipeline.config import HyperParameters, Run, plain_run, with_hyper_parameters
from pipeline.data.store import Sample
from pipeline.opening import open_session
from pipeline.session import Session
from pipeline.storage.folder import Home
from pipeline.workers.worker import setting
from sweeps.schema.loading import load
from sweeps.schema.sweep import Sweep
from sweeps.statistics.estimates import Estimate, paired_difference
from sweeps.statistics.rows import accuracies_of, summary

CELLS = [f"{context}-{way}-{shot}" for shot in (1, 5) for way in (20, 5) for context in ("shared", "all")]
CELLS += ["other-20-1", "other-5-5"]
RATES = {"lora": (0.003, 0.01, 0.03), "ssf": (0.003, 0.01, 0.03), "full": (0.0001, 0.0003, 0.001)}
ALPHAS = (0.03, 0.3)
PROMPTS: HyperParameters = {"lambda": 0.3, "tau": 1.0, "patches": 3}
# The paper's lambda multiplies a gradient that is not scaled.
KINDS: dict[str, HyperParameters] = {
    "paper": {"variant": "paper", "lambda": 1.0},
    "scaled": {"variant": "scaled"},
    "contrast": {"variant": "contrast"},
    "masks": {"variant": "masks"},
}
OTHER_SEED = 20261130
COSTS = ((20, 1), (20, 5), (5, 5), (64, 1))  # way and shot
QUERIES, BESIDE = 2400, ("no prompts", "frozen")  # of validation episodes, on which settings are chosen


def sweep_of(cell: str, solver: str, home: Path) -> Sweep:
    """Returns the configuration of a cell: glyphs.yaml's, with other episodes."""
    _, way, shot = cell.split("-")
    episodes = f"episodes={{split: novel, way: {way}, shot: {shot}, query: 5, seed: 0}}"
    fixed = ["backbone.precision=float32", "search.first={}", f"solver.name={solver}"]
    return load(CONFIG, [f"home={home_of(cell, home)}", episodes, *fixed])


def home_of(cell: str, home: Path) -> Path:
    """Returns where a cell's scenes and rows are."""
    return home / {"shared": "", "all": "weak", "other": "other"}[cell.split("-")[0]]


def scenes_of(cell: str, sweep: Sweep, home: Path) -> Path:
    """Packs the scenes of a cell where they are not the usual ones, and returns where."""
    own = home_of(cell, home)
    if cell.startswith("all"):
        with_weak_context(own, sweep)
    elif cell.startswith("other"):
        with_scenes(own, sweep, other_scenes)
    return own


def settings_of(run: Run, kind: str, solver: str) -> list[Run]:
    """Returns what a kind of prompts may choose from."""
    if kind == "frozen":
        return [with_hyper_parameters(run, {"name": "r2d2", "alpha": 0.0})]
    alphas = (0.0,) if kind == "no prompts" else ALPHAS
    values = PROMPTS | KINDS.get(kind, {})
    return [
        with_hyper_parameters(run, values | {"lr": rate, "alpha": alpha}) for rate in RATES[solver] for alpha in alphas
    ]


def chosen(session: Session, searched: Run, reported: Run, solver: str) -> dict[str, Run]:
    """Returns the setting of each kind that is the best on validation classes, for the novel ones."""
    found, of = {}, searched.episodes
    for kind in (*BESIDE, *KINDS):
        tried = settings_of(searched, kind, solver)
        rows = session.solve(tried, range(QUERIES // (of.way * of.query)))
        means = [summary(own)["accuracy"] or 0.0 for own in rows]
        found[kind] = settings_of(reported, kind, solver)[means.index(max(means))]
    return found


def table(cell: str, solver: str, home: Path, episodes: int) -> None:
    """Prints a row for each kind."""
    sweep = sweep_of(cell, solver, home)
    own = scenes_of(cell, sweep, home)
    searched, reported = plain_run(sweep, "validation"), plain_run(sweep)
    with open_session(searched, Home(str(own))) as session:
        runs = chosen(session, searched, reported, solver)
        rows = dict(zip(runs, session.solve(list(runs.values()), range(episodes)), strict=True))
    told = {kind: accuracies_of(of_kind) or [] for kind, of_kind in rows.items()}
    for kind, of_kind in rows.items():
        figures, run = summary(of_kind), runs[kind]
        against = {other: paired_difference(told[kind], told[other]) for other in ("no prompts", "scaled", "masks")}
        precision = figures["prompt_precision"]
        cells = [f"{100 * figures['accuracy']:.1f} ± {100 * figures['ci95']:.1f}", *map(points, against.values())]
        on_key = "" if precision is None else f"{100 * precision:.1f}"
        setting = "" if kind == "frozen" else f"lr {run.solver.lr:g}, alpha {run.prompts.alpha:g}"
        print(cell, solver, len(of_kind), kind, setting, *cells, on_key, sep=" | ", flush=True)


def other_scenes(which: tuple[str, int], images: int, distractors: int) -> list[Sample]:
    """Draws scenes of a class: a striped background, larger glyphs, the key glyph twice, distractors of the context."""
    split, class_index = which
    name, context = characters(split)[class_index], characters("context")
    made = []
    for index in range(images):
        random = np.random.default_rng((OTHER_SEED, scenes.SPLIT_CODES[split], class_index, index))
        others = [context[i] for i in random.choice(len(context), distractors, replace=False)]
        drawn = [name, name, *others]
        order = random.permutation(len(drawn))
        scene = scenes.compose([drawn[i] for i in order], key=int(np.argmin(order)), random=random, style=scenes.MEDIUM)
        ground, stripe = scene.owner < 0, np.arange(scenes.SIDE) // int(random.integers(3, 9)) % 2 == 0
        image = scene.image.copy()
        striped = np.clip(image.astype(int) + random.uniform(-60, 60, 3) * stripe[:, None], 0, 255).astype(np.uint8)
        image[ground] = striped[ground]
        made.append(Sample(split, name, image, np.isin(scene.owner, np.flatnonzero(order < 2))))
    return made


def cost() -> None:
    """Prints how long prompts of an episode of random images take, and the whole episode beside them."""
    torch.set_num_threads(1)
    backbone = load_backbone("vit_micro_glyphs", weights=True)
    for way, shot in COSTS:
        episodes = f"episodes={{split: novel, way: {way}, shot: {shot}, query: 5, seed: 0}}"
        own = setting(plain_run(load(CONFIG, [episodes])))
        scaled, contrast = (replace(own, variant=variant) for variant in ("scaled", "contrast"))
        shape = Shape(way, shot, 5)
        support, query = random_pixels(backbone, shape, 1)
        frozen = partial(frozen_episodes, backbone, shape, support, query, own)
        made = frozen()
        one, other = (seconds(partial(prompts_of_all, backbone, made, [variant])) for variant in (scaled, contrast))
        whole = seconds(frozen) + seconds(partial(solve, backbone, made, [scaled], 1))
        told = f"scaled {1000 * one:.0f} ms", f"contrast {1000 * other:.0f} ms", f"episode {1000 * whole:.0f} ms"
        print(f"{way}-way {shot}-shot", *told, f"{(other - one) / whole:.1%} more", sep=" | ", flush=True)


def seconds(call: Callable[[], object]) -> float:
    """Returns the median of five times that this process computed."""
    taken = []
    for _ in range(5):
        started = time.process_time()
        call()
        taken.append(time.process_time() - started)
    return statistics.median(taken)


def points(difference: Estimate) -> str:
    """Returns a difference as it stands in a table."""
    return f"{100 * difference.mean:+.2f} ± {100 * difference.ci95:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("cells", nargs="*", default=CELLS)
    parser.add_argument("--cost", action="store_true")
    parser.add_argument("--solver", choices=list(RATES), default="lora")
    parser.add_argument("--episodes", type=int, default=300)
    parser.add_argument("--home", type=Path, default=Path("runs/contrast"))
    arguments = parser.parse_args()
    if arguments.cost:
        cost()
        return
    for cell in arguments.cells:
        table(cell, arguments.solver, arguments.home, arguments.episodes)


if __name__ == "__main__":
    main()
