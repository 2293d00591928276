"""The picture of an episode in a sweep's report."""

from collections.abc import Sequence
from pathlib import Path

from pipeline.config import BACKBONE, HyperParameters, Run, plain_run, with_hyper_parameters
from sweeps.report.charts.album import Picture
from sweeps.report.placing import placed_when_done
from sweeps.schema.naming import setting_name
from sweeps.schema.sweep import Sweep

NAME = "episode-0.png"


def draw_first_episode(sweep: Sweep, winner: HyperParameters, store: Path, folder: Path) -> Picture:
    """Draws the first unseen episode with the setting that `pictured_run` says."""
    from sweeps.report.episode import picture_of_episode  # it needs torch, a report that is drawn again does not

    with placed_when_done(folder) as drawn:
        picture_of_episode(pictured_run(sweep, winner), store, 0, drawn / NAME)
    return first_episode(sweep, winner, folder)


def first_episode(sweep: Sweep, winner: HyperParameters, folder: Path) -> Picture:
    """Returns the picture that has been drawn in a folder."""
    return Picture(
        folder / NAME,
        f"The first unseen episode with {setting_name(pictured_run(sweep, winner))}: its images, prompts and "
        "predictions, and attention before and after fine-tuning.",
    )


def pictured_run(sweep: Sweep, winner: HyperParameters) -> Run:
    """Returns the first setting that takes prompts, of the winner and the named settings on its backbone; the winner
    where none does.
    """
    named: Sequence[HyperParameters] = list(sweep.search.first.values()) if sweep.search else []
    if (own := winner.get(BACKBONE)) is not None:
        named = [{**values, BACKBONE: own} for values in named if values.get(BACKBONE, own) == own]
    runs = [with_hyper_parameters(plain_run(sweep), values) for values in (winner, *named)]
    return next((run for run in runs if run.prompts.alpha > 0), runs[0])
