"""The picture of an episode in a sweep's report."""

from collections.abc import Mapping
from pathlib import Path

from pipeline.config import BACKBONE, HyperParameters, Run, plain_run, with_hyper_parameters
from sweeps.report.charts.album import Picture
from sweeps.report.placing import placed_when_done
from sweeps.schema.lines import on_a_line
from sweeps.schema.naming import setting_name
from sweeps.schema.sweep import Sweep
from sweeps.verdict.finding import takes_prompts

NAME = "episode-0.png"


def draw_first_episode(sweep: Sweep, winner: HyperParameters, store: Path, folder: Path) -> Picture:
    """Draws the first unseen episode with the setting that `pictured_run` says."""
    from sweeps.report.episode import picture_of_episode  # it needs torch, a report that is drawn again does not

    name, run = pictured_run(sweep, winner)
    with placed_when_done(folder) as drawn:
        picture_of_episode(run, store, 0, drawn / NAME, _instead(name))
    return first_episode(sweep, winner, folder)


def first_episode(sweep: Sweep, winner: HyperParameters, folder: Path) -> Picture:
    """Returns the picture that has been drawn in a folder."""
    name, run = pictured_run(sweep, winner)
    return Picture(
        folder / NAME,
        f"The first unseen episode with {_instead(name)}{setting_name(run)}: its images, prompts and predictions, and "
        "attention before and after fine-tuning.",
    )


def _instead(name: str | None) -> str:
    """Returns what is said before a setting that is not the winner's."""
    return "" if name is None else f"{on_a_line(name)}, as the winner has no prompts: "


def pictured_run(sweep: Sweep, winner: HyperParameters) -> tuple[str | None, Run]:
    """Returns the first setting that takes prompts, of the winner and the named settings on its backbone; the winner
    where none does. The name is None for the winner.
    """
    named: Mapping[str, HyperParameters] = sweep.search.first if sweep.search else {}
    if (own := winner.get(BACKBONE)) is not None:
        named = {name: {**of, BACKBONE: own} for name, of in named.items() if of.get(BACKBONE, own) == own}
    settings: list[tuple[str | None, HyperParameters]] = [(None, winner), *named.items()]
    runs = [(name, with_hyper_parameters(plain_run(sweep), values)) for name, values in settings]
    return next(((name, run) for name, run in runs if takes_prompts(run)), runs[0])
