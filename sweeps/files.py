"""The files that a sweep leaves behind: its report in words and as a page, pictures, the winner, its rows."""

from pathlib import Path

import pyarrow.parquet
import yaml

from pipeline.ledger import Ledger
from pipeline.session import Session
from sweeps.charts.album import Picture, draw_all
from sweeps.charts.page import write_page
from sweeps.config import Sweep
from sweeps.final import Finding
from sweeps.naming import setting_name
from sweeps.pictures import picture_of_episode
from sweeps.report import as_markdown, verdict


def write_report(finding: Finding, sweep: Sweep, session: Session, ledger: Ledger, folder: Path) -> list[Path]:
    """Writes report.md, report.html, best.yaml (`fpt run` takes it), ledger.parquet and pictures into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    report, best, rows = folder / "report.md", folder / "best.yaml", folder / "ledger.parquet"
    report.write_text(as_markdown(finding, sweep))
    described = finding.best.run.model_dump(by_alias=True, mode="json")
    best.write_text(f"# {verdict(finding)}\n{yaml.safe_dump(described, sort_keys=False, allow_unicode=True)}")
    pyarrow.parquet.write_table(ledger.read(finding.hashes), rows)
    shown = next((c for c in (finding.best, *finding.compared.values()) if c.run.prompts.alpha > 0), finding.best)
    episode = Picture(
        picture_of_episode(shown.run, session.store, 0, folder / "episode-0.png"),
        f"The first unseen episode with {setting_name(shown.run)}: its images, prompts and predictions, and attention "
        "before and after fine-tuning.",
    )
    charts = draw_all(finding, folder)
    page = write_page(finding, sweep, [*charts, episode], folder / "report.html")
    return [report, page, best, rows, episode.path, *(chart.path for chart in charts)]
