"""Every layout of the table in docs/data.md, built small and listed as a user would: what comes out is what it says."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.data import listed
from sweeps import cli
from tests.sweeps.layouts import archives, folders, tables  # noqa: F401 (each adds its own)
from tests.sweeps.layouts.table import LAYOUTS

PAGE = Path(__file__).parents[3] / "docs" / "data.md"


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_comes_out_as_the_page_says(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    listed._listed.cache_clear()
    monkeypatch.setenv("FPT_CACHE", str(tmp_path / "cache"))
    build, wanted = LAYOUTS[name]
    typed = build(tmp_path / "photos")
    result = CliRunner().invoke(cli.app, ["data", "list", *map(str, typed), "--json"])
    if isinstance(wanted, str):
        assert result.exit_code == 2
        assert re.search(wanted, result.stderr, re.IGNORECASE), result.stderr
        assert result.stderr.count("\n") == 1
        return
    assert result.exit_code == 0, result.stderr
    splits = json.loads(result.stdout)["splits"]
    if wanted.keys() <= {"base", "validation", "novel"}:
        assert {split: len(classes) for split, classes in splits.items()} == wanted
    else:
        assert {name: count for classes in splits.values() for name, count in classes.items()} == wanted


def test_the_page_has_these_layouts_and_no_others():
    table = PAGE.read_text().partition("## Layouts that were tried")[2].partition("\n## ")[0]
    rows = [line.split(" | ")[0].removeprefix("| ") for line in table.splitlines() if line.startswith("| ")]
    assert rows[0] == "layout"
    assert sorted(rows[1:]) == sorted(LAYOUTS)
    assert len(rows) > 25
