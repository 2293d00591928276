"""What the winner mistakes for what, in words and tables."""

from typing import Any

from sweeps.report import markdown
from sweeps.verdict.mistakes import Mistakes

TITLE = "What it mistakes"
NOTE = (
    "On the unseen episodes. A pair counts where an episode had both classes; a class's interval is over the episodes "
    "that it was in, and that it is among the worst of many is chance in part. `fpt show best.yaml --episode N` draws "
    "the episode of a mistake, with prompts, and attention before and after."
)
Row = tuple[str, ...]
Table = tuple[str, Row, list[Row]]  # its title, its columns and its rows


def tables(mistakes: Mistakes) -> list[Table]:
    """Returns the tables of a report's section."""
    pairs: list[Row] = [(one.true, one.held, f"{one.mistaken} of {one.asked}") for one in mistakes.pairs]
    classes: list[Row] = [(one.name, str(one.right), str(one.right.episodes)) for one in mistakes.classes]
    surest: list[Row] = [
        (one.true, one.held, f"{100 * one.probability:.1f}", str(one.episode), str(one.query))
        for one in mistakes.surest
    ]
    return [
        ("Mistaken most often", ("class", "held to be", "queries"), pairs),
        ("Right least often", ("class", "right %", "episodes"), classes),
        ("The surest mistakes", ("class", "held to be", "probability %", "episode", "query of its class"), surest),
    ]


def as_markdown(mistakes: Mistakes) -> list[str]:
    """Returns the lines of a report's section."""
    lines = [f"## {TITLE}", "", NOTE]
    for title, columns, rows in tables(mistakes):
        lines += ["", f"**{title}**", "", *markdown.table(columns, rows, texts=("held to be",))]
    return lines


def for_page(mistakes: Mistakes) -> dict[str, Any]:
    """Returns what the page's section shows."""
    return {"title": TITLE, "note": NOTE.replace("`", ""), "tables": tables(mistakes)}
