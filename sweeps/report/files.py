"""The files that a sweep leaves behind: its report in words and as a page, pictures, the winner, its rows."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet
import yaml

from pipeline.config import HyperParameters, Run, plain_run, with_hyper_parameters
from pipeline.storage.ledger import Ledger
from sweeps.report.charts.album import Picture, draw_all
from sweeps.report.charts.page import write_page
from sweeps.report.episode import picture_of_episode
from sweeps.report.text import as_markdown, verdict
from sweeps.schema.naming import setting_name
from sweeps.schema.sweep import Search, Sweep
from sweeps.verdict.finding import Finding


def draw_first_episode(sweep: Sweep, search: Search, winner: HyperParameters, store: Path, folder: Path) -> Picture:
    """The first unseen episode with the winner, or with a named setting where the winner takes no prompts."""
    run = _prompted(plain_run(sweep), [winner, *search.first.values()])
    folder.mkdir(parents=True, exist_ok=True)
    return Picture(
        picture_of_episode(run, store, 0, folder / "episode-0.png"),
        f"The first unseen episode with {setting_name(run)}: its images, prompts and predictions, and attention "
        "before and after fine-tuning.",
    )


def _prompted(run: Run, settings: Sequence[HyperParameters]) -> Run:
    """The first setting that takes prompts; the first of all where none does."""
    runs = [with_hyper_parameters(run, values) for values in settings]
    return next((one for one in runs if one.prompts.alpha > 0), runs[0])


def write_report(finding: Finding, sweep: Sweep, episode: Picture, ledger: Ledger, folder: Path) -> list[Path]:
    """Writes report.md, report.html, best.yaml (`fpt run` takes it), ledger.parquet and pictures into a folder.

    `episode` is a picture that is there already.
    """
    folder.mkdir(parents=True, exist_ok=True)
    report, best, rows = folder / "report.md", folder / "best.yaml", folder / "ledger.parquet"
    report.write_text(as_markdown(finding, sweep))
    described = finding.best.run.model_dump(by_alias=True, mode="json")
    best.write_text(f"# {verdict(finding)}\n{yaml.safe_dump(described, sort_keys=False, allow_unicode=True)}")
    pyarrow.parquet.write_table(ledger.read(finding.hashes), rows)
    charts = draw_all(finding, folder)
    page = write_page(finding, sweep, [*charts, episode], folder / "report.html")
    return [report, page, best, rows, episode.path, *(chart.path for chart in charts)]
