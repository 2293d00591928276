"""`fpt show` draws an episode: its images, prompts and predictions, and attention before and after fine-tuning."""

from pathlib import Path
from typing import Any

from fpt.backbones.loading import load_backbone
from fpt.figures.episode import ATTENTION
from pipeline.checks import check_run
from pipeline.config import plain_run
from pipeline.data.packed import on_this_node, packed_images
from pipeline.limits import check_weights
from pipeline.storage.folder import Home
from sweeps.report.episode import IMAGES, MOST, MOST_ALLOWED, as_json, draw_solved, solved_episode
from sweeps.schema.sweep import Sweep


def show(
    sweep: Sweep, episode: int, path: Path, attention: str = "map", images: str = "both", most: int = MOST
) -> dict[str, Any]:
    """Draws an episode of a configuration, on this machine alone, and says what is in it; prompts, where it has any.

    Raises ValueError for bad input, before anything is packed.
    """
    run = plain_run(sweep)
    for name, value, allowed in (("--attention", attention, ATTENTION), ("--images", images, IMAGES)):
        if value not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(allowed)} but got {value!r}")
    if not 1 <= most <= MOST_ALLOWED:
        raise ValueError(f"--most must be from 1 to {MOST_ALLOWED} but got {most}")
    check_run(run)
    if path.suffix.lower() != ".png":
        raise ValueError(f"--out must be a PNG file but got {str(path)!r}")
    if load_backbone(run.backbone.name, image_size=run.backbone.image_size).pyramid:
        raise ValueError(
            f"backbone.name must be one without windows or stages for a picture of its attention, as only those have "
            f"one map of the image, but got {run.backbone.name!r}"
        )
    check_weights(run)
    solved = solved_episode(run, on_this_node(packed_images(run, Home(sweep.home))), episode)
    return as_json(solved, draw_solved(solved, path, attention, images, most))
