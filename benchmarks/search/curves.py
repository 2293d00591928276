"""Draws what `python -m benchmarks.search` has measured: regret against problems, a panel a surface.

`python -m benchmarks.search.curves FOLDER FILE`, from the folder that the benchmark keeps its sweeps in. Lines are
medians over simulated sweeps, dotted ones their 90th percentiles; a way has none before most of its sweeps have a pick.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from benchmarks.search.ways import BUDGETS, WAYS

COLUMNS = 3


def at_budgets(file: Path) -> np.ndarray:
    """Returns the median regret of a way's sweeps, and its 90th percentile, at each of BUDGETS, a row each; NaN where
    one in ten and more have no pick by then.
    """
    regrets = np.array([json.loads(line) for line in file.read_text().splitlines()], float)
    found = np.full((len(BUDGETS), 2), np.nan)
    for row, own in zip(found, regrets.T, strict=True):
        if np.isnan(own).mean() <= 0.1:
            row[:] = np.nanmedian(own), np.nanquantile(own, 0.9)
    return found


def told(folder: Path) -> dict[str, dict[str, np.ndarray]]:
    """Returns how each way did on each surface, as `at_budgets` has it."""
    found: dict[str, dict[str, np.ndarray]] = {}
    for file in sorted(folder.glob("*.jsonl")):
        surface, _, way = file.stem.partition(" ")
        if way in WAYS and file.stat().st_size:
            found.setdefault(surface, {})[way] = at_budgets(file)
    return found


def figure_of(regrets: dict[str, dict[str, np.ndarray]]) -> Figure:
    """Returns the picture: of each surface, how far below its best the pick of each way truly is."""
    ways = [way for way in WAYS if any(way in own for own in regrets.values())]
    rows = -(-len(regrets) // COLUMNS)
    figure = Figure(figsize=(3.2 * COLUMNS, 2.5 * rows), layout="constrained")
    panels = list(figure.subplots(rows, COLUMNS, squeeze=False).flat)
    for axes, (surface, own) in zip(panels, regrets.items(), strict=False):
        for place, way in enumerate(ways):
            if way not in own:
                continue
            median, worse = own[way].T
            axes.plot(BUDGETS, median, "o-", color=f"C{place}", label=way, markersize=3)
            axes.plot(BUDGETS, worse, ":", color=f"C{place}")
        axes.set_title(surface, fontsize=9)
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
        axes.set_xticks(BUDGETS)
    for axes in panels[len(regrets) :]:
        axes.set_axis_off()
    drawn = {line.get_label(): line for axes in panels for line in axes.get_legend_handles_labels()[0]}
    of_ways = [drawn[way] for way in ways]
    figure.legend(of_ways, ways, loc="outside upper center", ncols=len(ways), frameon=False, fontsize=8)
    figure.supxlabel("problems of the search", fontsize=9)
    figure.supylabel("regret, points: median, and 90th percentile (dotted)", fontsize=9)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("file", type=Path)
    arguments = parser.parse_args()
    figure_of(told(arguments.folder)).savefig(arguments.file, dpi=110)


if __name__ == "__main__":
    main()
