"""The files that a sweep leaves behind: what it found, its report in words and as a page, pictures, rows."""

import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from fpt.classifier.calibration import as_described
from pipeline.storage.masking import without_secrets
from sweeps.lookup.winner import CALIBRATION, parameters_of
from sweeps.report.charts.album import NAMES as PICTURES
from sweeps.report.charts.album import Picture, draw_all
from sweeps.report.charts.page import configuration, write_page
from sweeps.report.placing import placed_when_done
from sweeps.report.text import as_markdown, verdict
from sweeps.report.trials import NAME as TRIALS
from sweeps.report.trials import as_csv, rows_of
from sweeps.schema.space import logarithmic
from sweeps.schema.strict_yaml import as_yaml
from sweeps.schema.sweep import Sweep
from sweeps.verdict import saved
from sweeps.verdict.finding import Finding

CONFIGURATION, LEDGER = "sweep.yaml", "ledger.parquet"


def write_report(finding: Finding, sweep: Sweep, solved: Sequence[Picture], rows: pa.Table, folder: Path) -> list[Path]:
    """Writes the files of a sweep that has finished into a folder, each of them whole, and returns them.

    report.md and report.html tell the finding, pictures show it, best.yaml is the winner (`fpt run` takes it),
    calibration.json how sure it may be, sweep.yaml the configuration (`fpt sweep` takes it), trials.csv the trials and
    ledger.parquet the `rows` of all that was compared. finding.json, written last, is what `draw_again` reads.
    `solved` are pictures of solved episodes, which are there already.
    """
    with placed_when_done(folder, last=saved.NAME) as drawn:
        (drawn / saved.NAME).write_text(saved.as_text(finding), encoding="utf-8")
        (drawn / CONFIGURATION).write_text(configuration(sweep), encoding="utf-8")
        pyarrow.parquet.write_table(rows, drawn / LEDGER)
        names = [*_draw(finding, sweep, solved, drawn), CONFIGURATION, LEDGER, saved.NAME]
    return [*(folder / name for name in names), *(picture.path for picture in solved)]


def draw_again(finding: Finding, sweep: Sweep, solved: Sequence[Picture], folder: Path) -> list[Path]:
    """Writes what follows from a finding and its configuration once more, and removes pictures that do not any more;
    all other files stay as they are.
    """
    with placed_when_done(folder) as drawn:
        names = _draw(finding, sweep, solved, drawn)
    for name in PICTURES:
        if f"{name}.png" not in names:
            (folder / f"{name}.png").unlink(missing_ok=True)
    return [folder / name for name in names]


def _draw(finding: Finding, sweep: Sweep, solved: Sequence[Picture], folder: Path) -> list[str]:
    (folder / "report.md").write_text(as_markdown(finding, sweep), encoding="utf-8")
    described = finding.best.run.model_dump(by_alias=True, mode="json")
    best = f"# {without_secrets(verdict(finding))}\n{as_yaml(described)}"
    (folder / "best.yaml").write_text(best, encoding="utf-8")
    (folder / TRIALS).write_text(as_csv(rows_of(finding.record)), encoding="utf-8")
    charts = draw_all(finding, logarithmic(sweep.search.space) if sweep.search else {}, folder)
    sure = _calibration(finding, folder)
    write_page(finding, sweep, [*charts, *solved], folder / "report.html")
    return ["report.md", "report.html", "best.yaml", TRIALS, *sure, *(chart.path.name for chart in charts)]


def _calibration(finding: Finding, folder: Path) -> list[str]:
    """Writes what `fpt fit` gives to the winner so that it knows how sure it may be."""
    if finding.confidence is None:
        return []
    described = as_described(finding.confidence.calibration, parameters_of(finding.best.run))
    (folder / CALIBRATION).write_text(json.dumps(described, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return [CALIBRATION]
