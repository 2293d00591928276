"""Ways to search, in simulated sweeps over response surfaces from real ledgers: regret of the pick against problems.

`python -m benchmarks.search [--sweeps 200] [--out FOLDER] [--ways NAME ...] [SURFACE ...]`. The regret is how far the
true mean of the setting that is picked lies below the surface's best, in points. No way is told a good setting. What is
done stays in the folder: the same command goes on with it. Ours is the sweep's own sampler, plan and race; the others
propose in generations of 8, each raced by t tests up to 100 episodes, as sweeps did before.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import optuna
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, QMCSampler, RandomSampler, TPESampler
from threadpoolctl import ThreadpoolController

from benchmarks.simulated import Episodes, Simulated
from benchmarks.surfaces import FOLDER
from pipeline.config import HyperParameters
from sweeps.schema.space import sample
from sweeps.schema.sweep import Search
from sweeps.search.plan import plan_of
from sweeps.search.sampler import ACCURACY, BLOCK, LookSampler
from sweeps.statistics.racing import control_variate
from sweeps.statistics.t_racing import t_racing

RUNGS, GENERATION, TRIALS, DELTA = (16, 24, 32, 48, 64, 100), 8, 48, 0.05
BUDGETS = (300, 600, 1000, 1500)


class Pick(NamedTuple):
    """This is what a search would pick after so many problems."""

    problems: int
    setting: HyperParameters


Way = Callable[[Simulated, int], Iterator[Pick]]


def in_generations(make: Callable[[int], BaseSampler], surface: Simulated, seed: int) -> Iterator[Pick]:
    """Searches as sweeps did: generations that a sampler proposes, each raced by t tests up to 100 episodes."""
    episodes, study = Episodes(surface, seed), optuna.create_study(direction="maximize")
    rule = t_racing(TRIALS, len(RUNGS) - 1, DELTA)
    problems, whole = 0, list[tuple[float, HyperParameters, list[float]]]()
    while problems < BUDGETS[-1]:
        study.sampler = make(seed * 1_000_003 + len(study.trials))
        asked = [study.ask() for _ in range(GENERATION)]
        settings = [sample(trial, surface.space, surface.solver) for trial in asked]
        seen = episodes.on(settings, range(RUNGS[-1]))
        left = {f"0.{i}": i for i in range(len(asked))}
        did = dict.fromkeys(range(len(asked)), 0)
        for rung, end in enumerate(RUNGS, start=1):
            for place in left.values():
                problems += end - did[place]
                did[place] = end
            if end < RUNGS[-1]:
                going = rule(rung, {name: seen[place, :end].tolist() for name, place in left.items()})
                left = {name: place for name, place in left.items() if name in going}
        whole += [(float(seen[place].mean()), settings[place], seen[place].tolist()) for place in left.values()]
        leader = max(whole, key=lambda one: one[0])
        for place, trial in enumerate(asked):  # as sweeps told Optuna: by control variate
            study.tell(trial, control_variate(leader[2], seen[place, : did[place]].tolist()))
        yield Pick(problems, leader[1])


def ours(parallel: int, surface: Simulated, seed: int) -> Iterator[Pick]:
    """Searches as a sweep does, with plans of each budget."""
    for problems in BUDGETS:
        search = Search(space=surface.space, problems=problems, parallel=parallel)
        plan, told = plan_of(search), list[SimpleNamespace]()
        sampler = LookSampler(surface.space, surface.solver, plan, seed)
        study = SimpleNamespace(get_trials=lambda deepcopy, told=told: told)
        episodes = Episodes(surface, seed)
        for generation in range(sampler.race):
            settings = sampler.propose(study, generation)  # type: ignore[arg-type]
            seen = episodes.on(settings, plan.episodes(generation)).mean(axis=1)
            told += [SimpleNamespace(user_attrs={BLOCK: generation, ACCURACY: float(one)}) for one in seen]
        racers = sampler.propose(study, sampler.race)  # type: ignore[arg-type]
        means = episodes.on(racers, range(plan.rungs[-1])).mean(axis=1)
        yield Pick(plan.problems, racers[int(means.argmax())])


WAYS: dict[str, Way] = {
    "random": partial(in_generations, lambda seed: RandomSampler(seed=seed)),
    "Sobol": partial(in_generations, lambda seed: QMCSampler(seed=seed, warn_independent_sampling=False)),
    "TPE": partial(in_generations, lambda seed: TPESampler(seed=seed, n_startup_trials=GENERATION)),
    "TPE, grouped": partial(
        in_generations, lambda seed: TPESampler(seed=seed, n_startup_trials=GENERATION, multivariate=True, group=True)
    ),
    "Optuna's GP": partial(in_generations, lambda seed: GPSampler(seed=seed, n_startup_trials=GENERATION)),
    "CMA-ES": partial(
        in_generations,
        lambda seed: CmaEsSampler(seed=seed, n_startup_trials=GENERATION, warn_independent_sampling=False),
    ),
    "ours": partial(ours, 2),
    "ours, for 64 workers": partial(ours, 64),
}


@lru_cache
def surface_of(name: str) -> Simulated:
    """Returns a surface, made once in a process."""
    return Simulated(name)


@ThreadpoolController().wrap(limits=1)  # as many processes as cores are at work
def regrets(way: str, name: str, seed: int) -> list[float | None]:
    """Returns the regret of one simulated sweep at each of BUDGETS, in points; None where it has no pick by then."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
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
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
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
    told = np.array([json.loads(line) for line in file.read_text().splitlines()], float)
    cells = []
    for at in told.T:
        missing = np.isnan(at).mean() > 0.1
        cells.append("-" if missing else f"{np.nanmedian(at):.2f} ({np.nanquantile(at, 0.9):.2f})")
    return [way, str(len(told)), *cells]


if __name__ == "__main__":
    main()
