"""The picture of the winner's surest mistakes in a sweep's report."""

from pathlib import Path

from sweeps.report.charts.album import Picture
from sweeps.report.placing import placed_when_done
from sweeps.schema.lines import on_a_line
from sweeps.schema.naming import setting_name
from sweeps.verdict.finding import Finding, takes_prompts
from sweeps.verdict.mistakes import Mistake

NAME = "mistakes.png"
SHOWN = 4  # an episode is solved again for each


def draw_surest(finding: Finding, store: Path, folder: Path) -> list[Picture]:
    """Draws the surest mistakes and returns the picture. Returns none, and leaves none, where there was no mistake."""
    shown = _shown(finding)
    if not shown:
        (folder / NAME).unlink(missing_ok=True)
        return []
    from sweeps.report.mistaken import picture_of_mistakes  # it needs torch, a report that is drawn again does not

    with placed_when_done(folder) as drawn:
        picture_of_mistakes(finding.best.run, store, shown, drawn / NAME, _setting(finding))
    return surest(finding, folder)


def surest(finding: Finding, folder: Path) -> list[Picture]:
    """Returns the picture if it has been drawn in a folder."""
    shown = _shown(finding)
    if not shown or not (folder / NAME).is_file():
        return []
    each = "; ".join(map(_told, shown))
    prompts = " with their prompts" if takes_prompts(finding.best.run) else ""
    told = (
        f"The surest mistakes on unseen episodes with {_setting(finding)}: {each}. Each query has attention before and "
        f"after fine-tuning beside it, and support images of both classes{prompts}."
    )
    return [Picture(folder / NAME, told)]


def _shown(finding: Finding) -> tuple[Mistake, ...]:
    return () if finding.mistakes is None else finding.mistakes.surest[:SHOWN]


def _setting(finding: Finding) -> str:
    return setting_name(finding.best.run, finding.values)


def _told(mistake: Mistake) -> str:
    true, held = on_a_line(mistake.true), on_a_line(mistake.held)
    return f"{true}, taken for {held} with {100 * mistake.probability:.1f} %, in episode {mistake.episode}"
