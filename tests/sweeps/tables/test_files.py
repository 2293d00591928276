"""The files of a table."""

import csv
from pathlib import Path

from sweeps.tables.cells import as_records
from sweeps.tables.files import write_files
from sweeps.tables.latex import as_latex
from sweeps.tables.layout import as_markdown
from tests.sweeps.tables.examples import CELLS, RUN


def test_files_hold_every_cell(tmp_path: Path):
    markdown, latex, values = write_files(CELLS, RUN, tmp_path / "tables" / "tiny")
    assert (markdown.read_text(), latex.read_text()) == (as_markdown(CELLS, RUN), as_latex(CELLS, RUN))
    with values.open() as file:
        read = list(csv.DictReader(file))
    assert read == [
        {name: "" if value is None else str(value) for name, value in record.items()} for record in as_records(CELLS)
    ]
    assert [row["accuracy"] for row in read] == ["0.5", "0.612", "0.634", "0.75", "", "0.8"]
    assert [row["difference_ci95"] for row in read] == ["", "", "0.0149", "", "", ""]
