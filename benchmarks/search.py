"""Ways to search, in simulated sweeps over response surfaces from real ledgers: regret of the pick against problems.

`python -m benchmarks.search [--sweeps 40] [--out FILE] [SURFACE ...]`. The regret is how far the true mean of the
setting that is picked lies below the surface's best, in points. None is told a good setting.
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import optuna
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

from benchmarks.simulated import Episodes, Simulated
from benchmarks.surfaces import FOLDER
from pipeline.config import HyperParameters
from sweeps.schema.space import sample
from sweeps.search.looks import Looks, finalists, next_settings, spread_evenly
from sweeps.statistics.t_racing import t_racing

RUNGS, GENERATION, DELTA = (16, 24, 32, 48, 64, 100), 8, 0.05


class Outcome(NamedTuple):
    problems: int
    pick: HyperParameters


Way = Callable[[Simulated, int], Outcome]


def in_generations(make: Callable[[int], BaseSampler], trials: int, surface: Simulated, seed: int) -> Outcome:
    """Searches as a sweep does today: generations that a sampler proposes, each raced by t tests up to 100 episodes."""
    episodes, study = Episodes(surface, seed), optuna.create_study(direction="maximize")
    rule = t_racing(trials, len(RUNGS) - 1, DELTA)
    problems, whole = 0, list[tuple[float, HyperParameters, list[float]]]()
    for first in range(0, trials, GENERATION):
        study.sampler = make(seed * 1_000_003 + first)
        asked = [study.ask() for _ in range(min(GENERATION, trials - first))]
        settings = [sample(trial, surface.space, surface.solver) for trial in asked]
        seen = episodes.on(settings, range(RUNGS[-1]))
        left = {f"0.{i}": i for i in range(len(asked))}
        did = dict.fromkeys(range(len(asked)), 0)
        for rung, end in enumerate(RUNGS, start=1):
            for place in left.values():
                problems += end - did[place]
                did[place] = end
            if end < RUNGS[-1]:
                best = max(whole)[2][:end] if whole else None
                going = rule(rung, {name: seen[place, :end].tolist() for name, place in left.items()}, best)
                left = {name: place for name, place in left.items() if name in going}
        whole += [(float(seen[place].mean()), settings[place], seen[place].tolist()) for place in left.values()]
        leader = max(whole, key=lambda one: one[0])
        for place, trial in enumerate(asked):  # as a sweep tells Optuna: by control variate
            shared = np.mean(seen[place, : did[place]] - np.array(leader[2][: did[place]]))
            study.tell(trial, leader[0] + float(shared))
    return Outcome(problems, max(whole, key=lambda one: one[0])[1])


def wide_and_thin(
    surface: Simulated, seed: int, start: int = 96, rounds: int = 10, batch: int = 16, final: int = 8, last: int = 40
) -> Outcome:
    """Looks at many settings on an episode each, then at batches that a model which knows the noise draws; the most
    promising have a last look at as many episodes.
    """
    episodes, looks, at = Episodes(surface, seed), Looks(), 0
    for block in range(rounds + 1):
        chosen = (
            next_settings(surface.encoding, looks, batch, seed)
            if block
            else spread_evenly(surface.encoding, start, seed)
        )
        looks.add(chosen, block, episodes.on(chosen, range(at, at + 1)).mean(axis=1).tolist(), 1)
        at += 1
    left = finalists(surface.encoding, looks, final)
    seen = episodes.on(left, range(at, at + last))
    return Outcome(start + rounds * batch + final * last, left[int(seen.mean(axis=1).argmax())])


WAYS: dict[str, Way] = {
    **{
        f"{name}, {trials} trials": partial(in_generations, make, trials)
        for name, make in (
            ("random", lambda seed: RandomSampler(seed=seed)),
            ("TPE, as it is", lambda seed: TPESampler(seed=seed, n_startup_trials=GENERATION)),
        )
        for trials in (8, 16, 48)
    },
    "model with noise, 96 + 10 x 16 looks": wide_and_thin,
    "model with noise, 192 + 20 x 16 looks": partial(wide_and_thin, start=192, rounds=20, last=100),
}


def compare(name: str, sweeps: int) -> list[str]:
    """Returns the Markdown table of a surface."""
    surface = Simulated(name)
    error, noise = (100 * value for value in surface.held_out())
    lines = [
        f"**{name}**: settings that it has not seen are predicted to {error:.1f} points (root mean square), of which "
        f"{noise:.1f} are the measured means' own noise; the median setting lies "
        f"{100 * (surface.best - float(np.median(surface.means))):.1f} below the best.",
        "",
        "| way | problems | regret: median | mean | 90 % |",
        "|---|---|---|---|---|",
    ]
    for way, search in WAYS.items():
        outcomes = [search(surface, seed) for seed in range(sweeps)]
        regret = 100 * (surface.best - surface.truth([outcome.pick for outcome in outcomes]))
        spent = np.mean([outcome.problems for outcome in outcomes])
        told = f"{np.median(regret):.2f} | {regret.mean():.2f} | {np.quantile(regret, 0.9):.2f}"
        lines.append(f"| {way} | {spent:.0f} | {told} |")
        print(name, lines[-1], flush=True)
    return [*lines, ""]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("names", nargs="*", default=sorted(path.stem for path in FOLDER.glob("*.parquet")))
    parser.add_argument("--sweeps", type=int, default=40)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    text = "\n".join(line for name in arguments.names for line in compare(name, arguments.sweeps))
    if arguments.out:
        arguments.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
