"""Ways to search, in simulated sweeps over response surfaces from real ledgers: regret of the pick against problems.

`python -m benchmarks.search [--sweeps 200] [--out FOLDER] [--ways NAME ...] [SURFACE ...]`. The regret is how far the
true mean of the setting that is picked lies below the surface's best, in points. No way is told a good setting. What is
done stays in the folder: the same command goes on with it. Ours is the sweep's own sampler, plan and race; the others,
but for SMAC3, propose in generations of 8, each raced by t tests up to 100 episodes, as sweeps did before.
"""

import argparse
import json
import warnings
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning
from threadpoolctl import ThreadpoolController

from benchmarks.search.curves import at_budgets
from benchmarks.search.simulated import Simulated
from benchmarks.search.surfaces import FOLDER
from benchmarks.search.ways import BUDGETS, WAYS


@lru_cache
def surface_of(name: str) -> Simulated:
    """Returns a surface, made once in a process."""
    return Simulated(name)


@ThreadpoolController().wrap(limits=1)  # as many processes as cores are at work
def regrets(way: str, name: str, seed: int) -> list[float | None]:
    """Returns the regret of one simulated sweep at each of BUDGETS, in points; None where it has no pick by then."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", ExperimentalWarning)  # one for each sampler that is made
    surface, found, left = surface_of(name), list[float | None](), list(BUDGETS)
    latest: float | None = None
    for pick in WAYS[way](surface, seed):
        while left and pick.problems > left[0]:
            found.append(latest)
            left.pop(0)
        latest = 100 * float(surface.best - surface.truth([pick.setting])[0])
    return [*found, *([latest] * len(left))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("names", nargs="*", default=sorted(path.stem for path in FOLDER.glob("*.parquet")))
    parser.add_argument("--sweeps", type=int, default=200)
    parser.add_argument("--ways", nargs="+", default=[way for way in WAYS if way != "SMAC3"], choices=list(WAYS))
    parser.add_argument("--out", type=Path, default=Path("runs/search"))
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(arguments.processes) as pool:
        for name in arguments.names:
            for way in arguments.ways:
                file = arguments.out / f"{name} {way}.jsonl"
                done = len(file.read_text().splitlines()) if file.exists() else 0
                new = range(done, arguments.sweeps)
                with file.open("a") as log:
                    for found in pool.map(partial(regrets, way, name), new):
                        print(json.dumps(found), file=log, flush=True)
                print(name, *row(way, file), sep=" | ", flush=True)


def row(way: str, file: Path) -> list[str]:
    """Returns a way's row: how many sweeps, and the median regret, with its 90th percentile, at each of BUDGETS."""
    cells = ["-" if np.isnan(median) else f"{median:.2f} ({worse:.2f})" for median, worse in at_budgets(file)]
    return [way, str(len(file.read_text().splitlines())), *cells]


if __name__ == "__main__":
    main()
