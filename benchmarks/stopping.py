"""Ways to stop trials early, on accuracies that are known beforehand: racing, as a sweep does it, and others."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import optuna
from jaxtyping import Float
from numpy import ndarray
from optuna.trial import FrozenTrial, TrialState, create_trial

from sweeps.statistics.halving import halving
from sweeps.statistics.racing import racing
from sweeps.statistics.t_racing import t_racing

Accuracies = Float[ndarray, "settings episodes"]

SETTINGS, EPISODES = 32, 600
DELTA = 0.05
RUNGS = (16, 23, 32, 44, 62, 87, 121, 169, 236, 330, 460, 600)
HALVING_RUNGS = (16, 32, 64, 128, 256, 600)
ASHA_RUNGS = {2: HALVING_RUNGS, 3: (16, 48, 144, 600)}


@dataclass(frozen=True)
class Outcome:
    """Which settings had all their episodes, how many each of them had, and which is picked."""

    finished: list[int]
    episodes: list[int]
    pick: int


Stopping = Callable[[Accuracies], Outcome]


def best_of(accuracies: Accuracies, among: list[int]) -> int:
    return max(among, key=lambda setting: float(accuracies[setting].mean()))


def no_stopping(accuracies: Accuracies) -> Outcome:
    everyone = list(range(SETTINGS))
    return Outcome(everyone, [EPISODES] * SETTINGS, best_of(accuracies, everyone))


def at_once(make: Callable[[], Any], rungs: tuple[int, ...], accuracies: Accuracies) -> Outcome:
    """As a sweep's race stops settings, by the rule that is made."""
    episodes, left, stops = [0] * SETTINGS, list(range(SETTINGS)), make()
    for rung, end in enumerate(rungs, start=1):
        for setting in left:
            episodes[setting] = end
        if end < rungs[-1]:
            going = stops(rung, {str(setting): accuracies[setting, :end].tolist() for setting in left})
            left = [setting for setting in left if str(setting) in going]
    return Outcome(left, episodes, best_of(accuracies, left))


def asha(eta: int, accuracies: Accuracies) -> Outcome:
    """Li et al., MLSys 2020 (arXiv:1810.05934), algorithm 2, one job after the other: promotes whatever is among the
    better 1/eta of its rung so far, the highest rung first; where nothing is, the next setting begins.
    """
    rungs, episodes = ASHA_RUNGS[eta], [0] * SETTINGS
    reached: list[list[int]] = [[] for _ in rungs]

    def promotable() -> Iterator[tuple[int, int]]:
        for rung in reversed(range(len(rungs) - 1)):
            ranked = sorted(reached[rung], key=lambda setting: -float(accuracies[setting, : rungs[rung]].mean()))
            for setting in ranked[: len(ranked) // eta]:
                if setting not in reached[rung + 1]:
                    yield setting, rung + 1
        if len(reached[0]) < SETTINGS:
            yield len(reached[0]), 0

    while job := next(promotable(), None):
        setting, rung = job
        reached[rung].append(setting)
        episodes[setting] = rungs[rung]
    top = max(rung for rung in range(len(rungs)) if reached[rung])
    return Outcome(reached[-1], episodes, best_of(accuracies[:, : rungs[top]], reached[top]))


def wilcoxon(accuracies: Accuracies) -> Outcome:
    """optuna.pruners.WilcoxonPruner at its defaults, asked at racing's rungs; settings one after the other."""
    study = optuna.create_study(
        direction="maximize", pruner=optuna.pruners.WilcoxonPruner(p_threshold=0.1, n_startup_steps=RUNGS[0])
    )
    episodes, finished = [0] * SETTINGS, list[int]()
    for setting, own in enumerate(accuracies):
        for end in RUNGS:
            episodes[setting] = end
            values = dict(enumerate(own[:end].tolist()))
            if study.pruner.prune(study, _trial(TrialState.RUNNING, values)):
                study.add_trial(_trial(TrialState.PRUNED, values))
                break
        else:
            study.add_trial(_trial(TrialState.COMPLETE, values))
            finished.append(setting)
    return Outcome(finished, episodes, best_of(accuracies, finished))


def _trial(state: TrialState, values: dict[int, float]) -> FrozenTrial:
    mean = float(np.mean(list(values.values()))) if state == TrialState.COMPLETE else None
    return create_trial(state=state, value=mean, intermediate_values=values)


def _race() -> Any:
    return t_racing(SETTINGS, len(RUNGS) - 1, DELTA)


def _bet() -> Any:
    return racing(SETTINGS, DELTA)


def _halve() -> Any:
    return halving(0.5)


RACING = "race of t tests"
STOPPING: dict[str, Stopping] = {
    "no stopping": no_stopping,
    RACING: partial(at_once, _race, RUNGS),
    "race of bets": partial(at_once, _bet, RUNGS),
    "halving": partial(at_once, _halve, HALVING_RUNGS),
    "ASHA, eta 2": partial(asha, 2),
    "ASHA, eta 3": partial(asha, 3),
    "Optuna's Wilcoxon rule": wilcoxon,
}
