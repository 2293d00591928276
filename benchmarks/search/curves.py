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


def told(folder: Path) -> dict[str, dict[str, np.ndarray]]:
    """Returns the regrets of each way on each surface, a row a sweep and a column for each of BUDGETS."""
    found: dict[str, dict[str, np.ndarray]] = {}
    for file in sorted(folder.glob("*.jsonl")):
        surface, _, way = file.stem.partition(" ")
        if way in WAYS and (lines := file.read_text().splitlines()):
            found.setdefault(surface, {})[way] = np.array([json.loads(line) for line in lines], float)
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
            there = np.isnan(own[way]).mean(axis=0) <= 0.1
            shown = own[way][:, there]
            at = np.array(BUDGETS)[there]
            axes.plot(at, np.nanmedian(shown, axis=0), "o-", color=f"C{place}", label=way, markersize=3)
            axes.plot(at, np.nanquantile(shown, 0.9, axis=0), ":", color=f"C{place}")
        axes.set_title(surface, fontsize=9)
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
        axes.set_xticks(BUDGETS)
    for axes in panels[len(regrets) :]:
        axes.set_axis_off()
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
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
