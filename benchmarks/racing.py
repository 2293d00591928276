"""Racing beside other ways to stop trials, in simulated sweeps of which the truth is known.

`python -m benchmarks.racing [--sweeps 500] [--out FILE] [--ledger FOLDER]`: share of sweeps in which the true best or
one as good survives, share of the full grid's episodes spent, true regret of the pick; then sweeps of settings that are
all the same. With a ledger: how often the test errs on differences drawn from its own.
"""

import argparse
import json
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from jaxtyping import Float
from numpy import ndarray
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial, TrialState, create_trial
from scipy.special import stdtrit

from pipeline.ledger import Ledger
from sweeps.halving import halving
from sweeps.racing import LEAST_SPREAD, control_variate, racing
from sweeps.statistics import paired_difference

Accuracies = Float[ndarray, "settings episodes"]

SETTINGS, GENERATION, EPISODES = 32, 8, 600
DELTA = 0.05
AS_GOOD = 0.002  # as the best, for most purposes
RUNGS = (16, 23, 32, 44, 62, 87, 121, 169, 236, 330, 460, 600)
HALVING_RUNGS = (16, 32, 64, 128, 256, 600)
ASHA_RUNGS = {2: HALVING_RUNGS, 3: (16, 48, 144, 600)}
WILCOXON_SHARE = 5  # one sweep in so many: its tests are slow

# Measured in the ledger of GlyphScenes, embedded backbone, novel classes, 20-way 1-shot, 5 queries (steps of 1/100), on
# 200 episodes x 15 settings (seven classifiers on frozen features; LoRA, VPT, SSF and full fine-tuning, two each):
# means 0.60 to 0.68; standard deviation of accuracy over episodes 0.062 (0.059 to 0.064). Of the difference of two
# settings less than 8 points apart 0.022, 0.033, 0.042 (quartiles of 102 pairs; median correlation 0.86), less than 2
# points apart 0.020, 0.023, 0.031 (57 pairs; 0.94). Of the simulated ones 0.026, 0.033, 0.042 (0.86) in WIDE and 0.021,
# 0.026, 0.031 (0.92) in NARROW.
MEAN = 0.66
DEVIATION = 0.062
LIKINGS = 4  # traits of an episode that suit one setting more than another


@dataclass(frozen=True)
class Spread:
    """How far apart the true means are, and how a setting deviates from an episode's difficulty: by what it likes about
    the episode, and by chance (standard deviations).
    """

    points: float
    liking: float
    chance: float


WIDE, NARROW, NONE = Spread(8, 0.025, 0.005), Spread(2, 0.0175, 0.008), Spread(0, 0.0175, 0.008)


@dataclass(frozen=True)
class Settings:
    """True means of settings, in random order, and what each of them likes about episodes."""

    means: Float[ndarray, " settings"]
    likes: Float[ndarray, "settings likings"]
    spread: Spread

    def on(self, rng: np.random.Generator, episodes: int) -> Accuracies:
        """Accuracies on episodes that are drawn anew, in steps of 1/100."""
        spread = self.spread
        difficulty = rng.normal(0, np.sqrt(DEVIATION**2 - spread.liking**2 - spread.chance**2), episodes)
        own = rng.normal(0, spread.chance, (SETTINGS, episodes))
        exact = self.means[:, None] + difficulty + self.likes @ rng.normal(0, 1, (LIKINGS, episodes)) + own
        return np.round(np.clip(exact, 0, 1), 2)


def settings(rng: np.random.Generator, spread: Spread) -> Settings:
    means = MEAN - np.linspace(0, spread.points / 100, SETTINGS)
    likes = rng.normal(0, spread.liking / np.sqrt(LIKINGS), (SETTINGS, LIKINGS))
    return Settings(rng.permutation(means), likes, spread)


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


def in_generations(
    rule: Callable[[int], Any],
    rungs: tuple[int, ...],
    size: int,
    incumbents: bool,
    accuracies: Accuracies,
) -> Outcome:
    """As a sweep stops trials. `rule` makes one for as many trials as have begun; `incumbents`: it is shown those."""
    episodes, finished = [0] * SETTINGS, list[int]()
    for first in range(0, SETTINGS, size):
        stops, left = rule(first + size), list(range(first, first + size))
        earlier = [best_of(accuracies, finished)] if finished and incumbents else []
        for rung, end in enumerate(rungs, start=1):
            for setting in left:
                episodes[setting] = end
            if end < rungs[-1]:
                seen = {str(setting): accuracies[setting, :end].tolist() for setting in left}
                going = stops(rung, seen, *(accuracies[setting, :end].tolist() for setting in earlier))
                left = [setting for setting in left if str(setting) in going]
        finished += left
    return Outcome(finished, episodes, best_of(accuracies, finished))


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


def _race(trials: int) -> Any:
    return racing(trials, len(RUNGS) - 1, DELTA)


def _race_of_all(begun: int) -> Any:
    return _race(SETTINGS)


def _halve(begun: int) -> Any:
    return halving(0.5)


RACING = "racing, generations of 8"
STOPPING: dict[str, Stopping] = {
    "no stopping": no_stopping,
    RACING: partial(in_generations, _race_of_all, RUNGS, GENERATION, True),
    "racing, generations of 8, `trials` those begun": partial(in_generations, _race, RUNGS, GENERATION, True),
    "racing, all 32 at once": partial(in_generations, _race, RUNGS, SETTINGS, True),
    "halving, generations of 8": partial(in_generations, _halve, HALVING_RUNGS, GENERATION, False),
    "halving, all 32 at once": partial(in_generations, _halve, HALVING_RUNGS, SETTINGS, False),
    "ASHA, eta 2": partial(asha, 2),
    "ASHA, eta 3": partial(asha, 3),
    "Optuna's Wilcoxon rule": wilcoxon,
}


def compare(spread: Spread, sweeps: int, seed: int) -> list[str]:
    """A Markdown table: each way to stop, on the same sweeps."""
    measured: dict[str, list[tuple[float, ...]]] = {name: [] for name in STOPPING}
    raw, corrected = list[float](), list[float]()
    for sweep in range(sweeps):
        rng = np.random.default_rng((seed, sweep))
        drawn = settings(rng, spread)
        accuracies, best = drawn.on(rng, EPISODES), drawn.means.max()
        for name, stopping in STOPPING.items():
            if stopping is wilcoxon and sweep % WILCOXON_SHARE:
                continue
            outcome = stopping(accuracies)
            alive = drawn.means[outcome.finished]
            measured[name].append(
                (
                    bool(np.any(alive == best)),
                    bool(np.any(alive >= best - AS_GOOD)),
                    sum(outcome.episodes) / (SETTINGS * EPISODES),
                    100 * (best - drawn.means[outcome.pick]),
                )
            )
            if name == RACING:
                for setting in set(range(SETTINGS)) - set(outcome.finished):
                    saw, truth = accuracies[setting, : outcome.episodes[setting]].tolist(), drawn.means[setting]
                    raw.append(float(np.mean(saw)) - truth)
                    corrected.append(control_variate(accuracies[outcome.pick].tolist(), saw) - truth)
    lines = [
        f"| {spread.points:g} points | best survives | or one within 0.2 | episodes | regret | worst 5 % | sweeps |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, rows in measured.items():
        kept, near, spent, regret = np.mean(rows, axis=0)
        worst = np.quantile([row[3] for row in rows], 0.95)
        shares = f"{100 * kept:.1f} % | {100 * near:.1f} % | {100 * spent:.1f} %"
        lines.append(f"| {name} | {shares} | {regret:.3f} | {worst:.2f} | {len(rows)} |")
    errors = [100 * float(np.sqrt(np.mean(np.square(values)))) for values in (corrected, raw)]
    return [
        *lines,
        "",
        f"Score of a stopped trial, root mean square error in points: {errors[0]:.2f} by control variate, "
        f"{errors[1]:.2f} as its plain mean.",
    ]


def noise(sweeps: int, seed: int) -> list[str]:
    """Sweeps of settings that are all the same: what racing stops, and whether its pick seems to win."""
    stopped, dropped, covered = list[float](), list[bool](), list[bool]()
    for sweep in range(sweeps):
        rng = np.random.default_rng((seed, sweep))
        same = settings(rng, NONE)
        outcome = STOPPING[RACING](same.on(rng, EPISODES))
        stopped.append(1 - len(outcome.finished) / SETTINGS)
        dropped.append(sweep % SETTINGS not in outcome.finished)  # any may be called the best
        other = (outcome.pick + 1) % SETTINGS
        fresh = same.on(rng, EPISODES)
        difference = paired_difference(fresh[outcome.pick].tolist(), fresh[other].tolist())
        covered.append(abs(difference.mean) <= difference.ci95)
    return [
        f"All settings the same, {sweeps} sweeps: {100 * np.mean(stopped):.2f} % of trials stopped; one named "
        f"beforehand stopped in {100 * np.mean(dropped):.1f} % of sweeps; on {EPISODES} new episodes the 95 % interval "
        f"of the pick against another setting covers 0 in {100 * np.mean(covered):.1f} %.",
    ]


def errors_on(ledger: Path, times: int, seed: int) -> list[str]:
    """How often racing stops one of two settings that are equally good: pairs of a ledger's, less than 8 points apart,
    on episodes drawn from theirs, with the mean difference taken out.
    """
    rows = Ledger(str(ledger)).read().select(["config_hash", "episode", "accuracy"]).to_pylist()
    accuracies: dict[str, dict[int, float]] = {}
    for row in rows:
        accuracies.setdefault(row["config_hash"], {})[row["episode"]] = row["accuracy"]
    alike: dict[str, list[dict[int, float]]] = {}
    for config_hash, values in accuracies.items():
        if len(values) >= 128 and None not in values.values():
            described = json.loads((ledger / "configurations" / f"{config_hash}.json").read_text())
            alike.setdefault(json.dumps([described["dataset"], described["episodes"]]), []).append(values)
    differences = []
    for members in alike.values():
        for ours, theirs in permutations(members, 2):
            apart = np.array([ours[episode] - theirs[episode] for episode in sorted(ours.keys() & theirs.keys())])
            if apart.any() and abs(apart.mean()) < WIDE.points / 100:
                differences.append(apart)
    promised, rng, lines = DELTA / ((SETTINGS - 1) * (len(RUNGS) - 1)), np.random.default_rng(seed), list[str]()
    for end in RUNGS[:5]:
        erred = []
        for apart in differences:
            drawn = rng.choice(apart, (times, end))
            spread, ahead = drawn.std(axis=1, ddof=1), drawn.mean(axis=1) - apart.mean()
            bar = -stdtrit(end - 1, promised) / np.sqrt(end)
            erred.append(np.mean((spread > LEAST_SPREAD) & (ahead > bar * spread)))
        lines.append(f"| {end} | {1e4 * promised:.2f} | {1e4 * np.mean(erred):.2f} | {1e4 * np.max(erred):.1f} |")
    head = f"| episodes | errors promised, of 10,000 | {len(differences)} pairs of the ledger | the worst of them |"
    return ["", head, "|---|---|---|---|", *lines]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sweeps", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--ledger", type=Path)
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore", ExperimentalWarning)  # the Wilcoxon rule is one
    lines = list[str]()
    for spread in (WIDE, NARROW):
        lines += [*compare(spread, arguments.sweeps, arguments.seed), ""]
    lines += noise(arguments.sweeps, arguments.seed)
    if arguments.ledger:
        lines += errors_on(arguments.ledger, 20000, arguments.seed)
    text = "\n".join(lines) + "\n"
    print(text, end="")
    if arguments.out:
        arguments.out.write_text(text)


if __name__ == "__main__":
    main()
