"""SMAC3 (Lindauer et al., JMLR 2022) searches a simulated surface: a way from outside, that has to be asked for.

It is no dependency of this project: `pip install smac` brings it (its random forest is compiled, with swig). Its forest
and its intensification over seeds are made for noisy targets as they are: a problem is a target's call, a seed is an
episode, and settings that hold their own are called again, on 100 episodes at most, as the other ways race.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.search.simulated import Episodes, Simulated
from fpt.registry import SOLVERS
from pipeline.config import HyperParameters
from sweeps.schema.space import SOLVER, STEERING, Choices, dimensions, solvers_of

MOST_EPISODES = 100  # of a setting


def smac_picks(surface: Simulated, seed: int, budgets: tuple[int, ...]) -> Iterator[tuple[int, HyperParameters]]:
    """Yields the incumbent after each budget of problems. Raises ModuleNotFoundError where SMAC3 is not installed."""
    from smac import HyperparameterOptimizationFacade as Facade
    from smac import Scenario
    from smac.runhistory.dataclasses import TrialValue

    episodes, numbers = Episodes(surface, seed), dict[int, int]()
    with tempfile.TemporaryDirectory() as folder:
        scenario = Scenario(
            configuration_space(surface, seed),
            deterministic=False,
            n_trials=budgets[-1],
            seed=seed,
            output_directory=Path(folder),
        )
        optimiser = Facade(
            scenario,
            lambda config, seed: 0.0,
            intensifier=Facade.get_intensifier(scenario, max_config_calls=MOST_EPISODES),
            logging_level=False,
            overwrite=True,
        )
        for problems in range(1, budgets[-1] + 1):
            asked = optimiser.ask()
            setting = setting_of(asked.config, surface)
            episode = numbers.setdefault(asked.seed, len(numbers))
            accuracy = float(episodes.on([setting], range(episode, episode + 1))[0, 0])
            optimiser.tell(asked, TrialValue(cost=1 - accuracy))
            if problems in budgets:
                yield problems, setting_of(optimiser.intensifier.get_incumbent(), surface)


def configuration_space(surface: Simulated, seed: int) -> Any:
    """Returns the search space in SMAC's words, what means nothing without prompts or to a solver conditional."""
    import ConfigSpace

    space, tried = ConfigSpace.ConfigurationSpace(seed=seed), solvers_of(surface.space, surface.solver)
    known: dict[str, Any] = {}
    if SOLVER in surface.space:
        known[SOLVER] = ConfigSpace.Categorical(SOLVER, list(tried))
    readers: dict[str, list[str]] = {}
    for solver in tried:
        for label, entry in dimensions(surface.space, solver).values():
            readers.setdefault(label, []).append(solver)
            if label in known:
                continue
            if isinstance(entry, Choices):
                known[label] = ConfigSpace.Categorical(label, list(entry.choices))
                continue
            if entry.zero:
                known[f"{label} is zero"] = ConfigSpace.Categorical(f"{label} is zero", [False, True])
            kind = ConfigSpace.Integer if entry.integer else ConfigSpace.Float
            bounds = (int(entry.low), int(entry.high)) if entry.integer else (entry.low, entry.high)
            known[label] = kind(label, bounds, log=entry.log)
    space.add(list(known.values()))
    for label, solvers in readers.items():
        name = label.split(" of ")[0]
        conditions = []
        if len(solvers) < len(tried):
            conditions.append(ConfigSpace.InCondition(known[label], known[SOLVER], solvers))
        if f"{label} is zero" in known:
            conditions.append(ConfigSpace.EqualsCondition(known[label], known[f"{label} is zero"], False))
        elif name in STEERING and "alpha is zero" in known and all(SOLVERS[one].steered for one in solvers):
            conditions.append(ConfigSpace.EqualsCondition(known[label], known["alpha is zero"], False))
        if conditions:
            space.add(conditions[0] if len(conditions) == 1 else ConfigSpace.AndConjunction(*conditions))
    return space


def setting_of(config: Any, surface: Simulated) -> HyperParameters:
    """Returns SMAC's configuration as a setting."""
    told = {name: getattr(value, "item", lambda value=value: value)() for name, value in dict(config).items()}
    solver = str(told.get(SOLVER, surface.solver))
    values: HyperParameters = {SOLVER: solver} if SOLVER in surface.space else {}
    for name, (label, _) in dimensions(surface.space, solver).items():
        if told.get(f"{label} is zero"):
            values[name] = 0.0
        elif label in told:
            values[name] = told[label]
    return values
