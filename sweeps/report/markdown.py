"""Tables in Markdown, for reports and MLflow's descriptions."""

from collections.abc import Sequence

from sweeps.schema.lines import in_a_cell


def table(head: Sequence[str], rows: Sequence[Sequence[object]], texts: Sequence[str] = ()) -> list[str]:
    """Returns the lines of a table: its first column and those called `texts` are flush left, numbers flush right."""
    rules = ["---" if place == 0 or name in texts else "---:" for place, name in enumerate(head)]
    return [_line(head), _line(rules), *map(_line, rows)]


def _line(cells: Sequence[object]) -> str:
    return f"| {' | '.join(map(in_a_cell, cells))} |"
