"""A table leaves files behind: Markdown, LaTeX and CSV."""

import csv
from collections.abc import Sequence
from pathlib import Path

from pipeline.config import Run
from sweeps.tables.cells import FIELDS, Cell, as_records
from sweeps.tables.latex import as_latex
from sweeps.tables.layout import as_markdown


def write_files(cells: Sequence[Cell], run: Run, folder: Path) -> list[Path]:
    """Writes table.md, table.tex and table.csv into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    markdown, latex, values = (folder / f"table.{kind}" for kind in ("md", "tex", "csv"))
    markdown.write_text(as_markdown(cells, run), encoding="utf-8")
    latex.write_text(as_latex(cells, run), encoding="utf-8")
    with values.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(as_records(cells))
    return [markdown, latex, values]
