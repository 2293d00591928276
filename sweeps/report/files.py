"""The files that a sweep leaves behind: its report in words and as a page, pictures, the winner, its rows."""

from pathlib import Path

import pyarrow.parquet
import yaml

from pipeline.storage.ledger import Ledger
from sweeps.report.charts.album import Picture, draw_all
from sweeps.report.charts.page import write_page
from sweeps.report.placing import placed_when_done
from sweeps.report.text import as_markdown, verdict
from sweeps.schema.sweep import Sweep
from sweeps.verdict.finding import Finding


def write_report(finding: Finding, sweep: Sweep, episode: Picture, ledger: Ledger, folder: Path) -> list[Path]:
    """Writes report.md, report.html, best.yaml (`fpt run` takes it), ledger.parquet and pictures into a folder, each of
    them whole. `episode` is a picture that is there already.
    """
    with placed_when_done(folder) as drawn:
        names = _draw(finding, sweep, episode, drawn)
        pyarrow.parquet.write_table(ledger.read(finding.hashes), drawn / "ledger.parquet")
    return [*(folder / name for name in (*names, "ledger.parquet")), episode.path]


def _draw(finding: Finding, sweep: Sweep, episode: Picture, folder: Path) -> list[str]:
    """Writes what follows from a finding and its configuration, and returns the files' names."""
    (folder / "report.md").write_text(as_markdown(finding, sweep))
    described = finding.best.run.model_dump(by_alias=True, mode="json")
    best = f"# {verdict(finding)}\n{yaml.safe_dump(described, sort_keys=False, allow_unicode=True)}"
    (folder / "best.yaml").write_text(best)
    charts = draw_all(finding, folder)
    write_page(finding, sweep, [*charts, episode], folder / "report.html")
    return ["report.md", "report.html", "best.yaml", *(chart.path.name for chart in charts)]
