"""The page of a configuration's fields is what the models say, and says the bounds of every number."""

import runpy
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "configuration.md"


def test_the_page_is_made_from_the_models():
    made = runpy.run_path(str(PAGE.with_suffix(".py")))["page"]()
    assert PAGE.read_text() == made, "docs/configuration.py makes it again"


def test_every_number_on_the_page_has_bounds():
    rows = [line.split(" | ") for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    numbers = [row for row in rows if "number" in row[1]]
    assert len(numbers) > 35
    assert [row[0] for row in numbers if not any(digit in row[3] for digit in "0123456789")] == []
