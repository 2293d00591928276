"""One configuration: its accuracy over many episodes (`fpt run`), an episode's picture, its speed on one worker."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from fpt.backbones.loading import best_device, load_backbone
from fpt.bench import Shape, as_text, measure
from fpt.figures.episode import ATTENTION
from fpt.registry import SOLVERS
from pipeline.checks import check_run
from pipeline.config import plain_run
from pipeline.data.packed import on_this_node, packed_images
from pipeline.opening import open_session
from pipeline.storage.folder import Home
from pipeline.workers.worker import backbone_of, setting
from sweeps.report.episode import IMAGES, MOST, MOST_ALLOWED, as_json, draw_solved, solved_episode
from sweeps.report.text import left_out
from sweeps.schema.naming import setting_name
from sweeps.schema.sweep import Sweep
from sweeps.statistics.estimates import Estimate
from sweeps.statistics.rows import summary
from sweeps.terminal.progress import Progress, shown


def evaluate(sweep: Sweep, address: str | None) -> dict[str, Any]:
    """Accuracy and localisation of a configuration. Raises ValueError for bad input, before anything is written."""
    run = plain_run(sweep)
    check_run(run)
    with open_session(run, Home(sweep.home), address) as session:
        with shown(Progress(run.episodes.count), session):
            (rows,) = session.solve([run], range(run.episodes.count))
        (config_hash,) = session.hashes([run])
        lost = session.status().lost
    if not rows:
        raise RuntimeError(f"no episode is left: {left_out(lost)}")
    metrics = summary(rows)
    if metrics["failed"]:
        raise RuntimeError(f"{metrics['failed']} of {len(rows)} episodes failed: their scores are not finite")
    shown_as = Estimate(metrics["accuracy"], metrics["ci95"], metrics["episodes"])
    text = f"{setting_name(run)}: {shown_as} % on {shown_as.episodes} episodes of {run.episodes.split}"
    return {
        "text": f"{text}; {left_out(lost)}" if lost else text,
        "config_hash": config_hash,
        "episodes_lost": lost,
        **{key: value for key, value in metrics.items() if key not in ("failed", "seconds_per_episode")},
    }


def show(
    sweep: Sweep, episode: int, path: Path, attention: str = "map", images: str = "both", most: int = MOST
) -> dict[str, Any]:
    """Draws an episode of a configuration, on this machine alone, and says what is in it.

    Raises ValueError for bad input, before anything is packed.
    """
    run = plain_run(sweep)
    for name, value, allowed in (("--attention", attention, ATTENTION), ("--images", images, IMAGES)):
        if value not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(allowed)} but got {value!r}")
    if not 1 <= most <= MOST_ALLOWED:
        raise ValueError(f"--most must be from 1 to {MOST_ALLOWED} but got {most}")
    check_run(run)
    if not SOLVERS[run.solver.name].steered or run.prompts.alpha == 0:
        steered = ", ".join(name for name, solver in SOLVERS.items() if solver.steered)
        raise ValueError(
            f"solver.name must be one that takes prompts ({steered}), and prompts.alpha above 0, "
            f"for a picture of them but got {run.solver.name} and {run.prompts.alpha:g}"
        )
    if path.suffix.lower() != ".png":
        raise ValueError(f"--out must be a PNG file but got {str(path)!r}")
    if load_backbone(run.backbone.name, image_size=run.backbone.image_size).pyramid:
        raise ValueError(
            f"backbone.name must be one without windows or stages for a picture of its attention, as only those have "
            f"one map of the image, but got {run.backbone.name!r}"
        )
    solved = solved_episode(run, on_this_node(packed_images(run, Home(sweep.home))), episode)
    return as_json(solved, draw_solved(solved, path, attention, images, most))


def speed(sweep: Sweep, stacks: Sequence[int], repeats: int) -> tuple[str, dict[str, Any]]:
    """Text and figures of a configuration's speed on random pixels. Raises ValueError for bad input."""
    run = plain_run(sweep)
    check_run(run)
    for name, least in (("--stack", min(stacks)), ("--repeats", repeats)):
        if least < 1:
            raise ValueError(f"{name} must be at least 1 but got {least}")
    torch.set_num_threads(run.compute.threads_per_worker)
    shape = Shape(run.episodes.way, run.episodes.shot, run.episodes.query)
    _, backbone = backbone_of(run, best_device())
    result = measure(backbone, shape, setting(run), max(stacks), stacks, repeats)
    return as_text(result), result
