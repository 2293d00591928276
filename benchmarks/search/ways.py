"""Ways to search a simulated surface: ours, and others. No way is told a good setting."""

from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import optuna
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, QMCSampler, RandomSampler, TPESampler

from benchmarks.search.simulated import Episodes, Simulated
from benchmarks.search.smac_picks import smac_picks
from benchmarks.search.surfaces import SURFACES
from pipeline.config import HyperParameters, plain_run
from sweeps.schema.space import sample
from sweeps.schema.sweep import Search
from sweeps.search.earlier import TAKEN, fitted
from sweeps.search.plan import plan_of
from sweeps.search.sampler import ACCURACY, BLOCK, LookSampler
from sweeps.statistics.racing import control_variate
from sweeps.statistics.t_racing import t_racing

RUNGS, GENERATION, TRIALS, DELTA = (16, 24, 32, 48, 64, 100), 8, 48, 0.05
BUDGETS = (300, 600, 1000, 1500)
NOTHING: Mapping[str, HyperParameters] = {}
NO_PROMPTS: Mapping[str, HyperParameters] = {"no prompts": {"alpha": 0.0, "lr": 0.02}}  # as glyphs.yaml names it
# Of which surface a sweep on each has the best settings to begin with, where it is warm.
ANOTHER = {
    "contrast-20way-1shot": "lora-20way-1shot",
    "lora-20way-1shot": "weak-context-20way-1shot",
    "weak-context-20way-1shot": "lora-20way-1shot",
    "lora-5way-5shot": "lora-20way-1shot",
    "ssf-20way-1shot": "lora-20way-1shot",
    "solvers-20way-1shot": "lora-20way-1shot",
}


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


def ours(
    parallel: int,
    surface: Simulated,
    seed: int,
    warm: Callable[[Simulated], list[HyperParameters]] = lambda _: [],
    first: Mapping[str, HyperParameters] = NOTHING,
    few: bool = False,
) -> Iterator[Pick]:
    """Searches as a sweep does, with plans of each budget, looking at `warm` settings first; those that are named,
    `first`, race too. With `few` it asks no more queries than a verdict.
    """
    for problems in BUDGETS:
        search = Search(space=surface.space, problems=problems, parallel=parallel, first=dict(first))
        plan, told = plan_of(search), list[SimpleNamespace]()
        sampler = LookSampler(surface.space, surface.solver, plan, seed, list(first.values()), warm(surface))
        study = SimpleNamespace(get_trials=lambda deepcopy, told=told: told)
        episodes = Episodes(surface, seed, few)
        for generation in range(sampler.race):
            settings = sampler.propose(study, generation)  # type: ignore[arg-type]
            seen = episodes.on(settings, plan.episodes(generation)).mean(axis=1)
            told += [SimpleNamespace(user_attrs={BLOCK: generation, ACCURACY: float(one)}) for one in seen]
        racers = sampler.propose(study, sampler.race)  # type: ignore[arg-type]
        means = episodes.on(racers, range(plan.rungs[-1])).mean(axis=1)
        yield Pick(plan.problems, racers[int(means.argmax())])


@cache
def best_of_another(surface: Simulated) -> list[HyperParameters]:
    """Returns what a sweep on another surface (other shots, context or solver) would hand over: its best settings, as
    they were measured, brought into this surface's ranges.
    """
    other, run = Simulated(ANOTHER[surface.name]), plain_run(SURFACES[surface.name].sweep(Path("runs")))
    order = np.argsort(-other.measured.mean(axis=1), kind="stable")
    fits = (fitted(other.settings[place], surface.space, run) for place in order)
    return [values for values in fits if values is not None][:TAKEN]


@cache
def worst_of_its_own(surface: Simulated) -> list[HyperParameters]:
    """Returns what a sweep with reversed accuracies would hand over."""
    order = np.argsort(surface.measured.mean(axis=1), kind="stable")
    return [surface.settings[place] for place in order[:TAKEN]]


def smac(surface: Simulated, seed: int) -> Iterator[Pick]:
    """Searches as SMAC3 does."""
    for problems, setting in smac_picks(surface, seed, BUDGETS):
        yield Pick(problems, setting)


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
    "SMAC3": smac,
    "ours": partial(ours, 2),
    "ours, no prompts named": partial(ours, 2, first=NO_PROMPTS),
    "ours, few queries": partial(ours, 2, few=True),
    "ours, warm": partial(ours, 2, warm=best_of_another),
    "ours, misled": partial(ours, 2, warm=worst_of_its_own),
    "ours, for 64 workers": partial(ours, 64),
}
