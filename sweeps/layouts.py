"""A table of solvers x shots as text: for the terminal, Markdown, LaTeX, CSV and JSON."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from rich.table import Table

from pipeline.config import Run
from sweeps.statistics import Estimate

FIELDS = ("solver", "shot", "prompts", "episodes", "accuracy", "ci95", "difference", "difference_ci95", "config_hash")
OF_A_SHOT = ("without", "with prompts", "difference")
SPECIAL = str.maketrans({character: f"\\{character}" for character in "&%$#_{}"})


@dataclass(frozen=True)
class Cell:
    """One solver at one shot, with or without prompts. `estimate` is None where an episode failed.

    `difference` is to the same without prompts.
    """

    solver: str
    shot: int
    prompts: bool
    episodes: int
    config_hash: str
    estimate: Estimate | None
    difference: Estimate | None


def caption(run: Run) -> str:
    """What all cells share."""
    episodes = run.episodes
    return (
        f"Accuracy in %, {episodes.way}-way, {episodes.query} queries a class, split {episodes.split}, "
        f"{run.backbone.name}; difference: paired, with minus without prompts; intervals are 95 %."
    )


def as_records(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """FIELDS of each cell; None where there is no number (one episode has no interval)."""
    return [
        {
            "solver": cell.solver,
            "shot": cell.shot,
            "prompts": cell.prompts,
            "episodes": cell.episodes,
            "config_hash": cell.config_hash,
            "accuracy": cell.estimate.mean if cell.estimate else None,
            "ci95": _finite(cell.estimate),
            "difference": cell.difference.mean if cell.difference else None,
            "difference_ci95": _finite(cell.difference),
        }
        for cell in cells
    ]


def _finite(judged: Estimate | None) -> float | None:
    return judged.ci95 if judged is not None and isfinite(judged.ci95) else None


def _of_a_shot(cells: Sequence[Cell], solver: str, shot: int) -> tuple[str, str, str]:
    """Without prompts, with them, difference; empty where a solver takes none."""
    own = {cell.prompts: cell for cell in cells if (cell.solver, cell.shot) == (solver, shot)}
    without, prompted = (_shown(own[prompts]) if prompts in own else "" for prompts in (False, True))
    gain = own[True].difference if True in own else None
    return without, prompted, "" if gain is None else f"{100 * gain.mean:+.1f} ± {100 * gain.ci95:.1f}"


def _shown(cell: Cell) -> str:
    return "failed" if cell.estimate is None else str(cell.estimate)


def _order(cells: Sequence[Cell]) -> tuple[dict[str, int], list[int]]:
    """Solvers with their episodes, and shots, as they come."""
    return {cell.solver: cell.episodes for cell in cells}, list(dict.fromkeys(cell.shot for cell in cells))


def as_table(cells: Sequence[Cell], run: Run) -> Table:
    """For the terminal, under 100 columns: shots one below the other."""
    solvers, shots = _order(cells)
    table = Table(title=caption(run), title_justify="left")
    for column in ("solver", "shots", "episodes", *OF_A_SHOT):
        table.add_column(column, justify="left" if column == "solver" else "right", no_wrap=True)
    for shot in shots:
        for solver, episodes in solvers.items():
            table.add_row(solver, str(shot), str(episodes), *_of_a_shot(cells, solver, shot))
        table.add_section()
    return table


def as_markdown(cells: Sequence[Cell], run: Run) -> str:
    """A line for each solver, shots side by side, the caption below."""
    solvers, shots = _order(cells)
    columns = ["solver", "episodes", *(f"{shot}-shot, {part}" for shot in shots for part in OF_A_SHOT)]
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)]]
    for solver, episodes in solvers.items():
        own = [cell for shot in shots for cell in _of_a_shot(cells, solver, shot)]
        lines.append([solver.replace("|", "\\|"), str(episodes), *own])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + f"\n\n{caption(run)}\n"


def as_latex(cells: Sequence[Cell], run: Run) -> str:
    """A tabular for booktabs, the caption as a comment above."""
    solvers, shots = _order(cells)
    heads = [rf"\multicolumn{{3}}{{c}}{{{shot}-shot}}" for shot in shots]
    rules = [rf"\cmidrule(lr){{{3 + 3 * i}-{5 + 3 * i}}}" for i in range(len(shots))]
    lines = [
        "% \\usepackage{booktabs}",
        f"% {caption(run)}",
        rf"\begin{{tabular}}{{lr{'rrr' * len(shots)}}}",
        r"\toprule",
        rf" & & {' & '.join(heads)} \\",
        "".join(rules),
        rf"solver & episodes & {' & '.join(OF_A_SHOT * len(shots))} \\",
        r"\midrule",
    ]
    for solver, episodes in solvers.items():
        own = [_in_latex(cell) for shot in shots for cell in _of_a_shot(cells, solver, shot)]
        lines.append(rf"{solver.translate(SPECIAL)} & {episodes} & {' & '.join(own)} \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _in_latex(shown: str) -> str:
    return f"${shown.replace('±', chr(92) + 'pm').replace('inf', chr(92) + 'infty')}$" if "±" in shown else shown


def write_files(cells: Sequence[Cell], run: Run, folder: Path) -> list[Path]:
    """Writes table.md, table.tex and table.csv into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    markdown, latex, values = (folder / f"table.{kind}" for kind in ("md", "tex", "csv"))
    markdown.write_text(as_markdown(cells, run))
    latex.write_text(as_latex(cells, run))
    with values.open("w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(as_records(cells))
    return [markdown, latex, values]
