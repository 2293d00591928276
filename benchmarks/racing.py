"""Racing beside other ways to stop trials, in simulated sweeps of which the truth is known.

`python -m benchmarks.racing [--sweeps 500] [--out FILE] [--ledger FOLDER]`: share of sweeps in which the true best or
one as good survives, share of the full grid's episodes spent, true regret of the pick; then sweeps of settings that are
all the same. With a ledger: how often the test errs on differences drawn from its own.
"""

import argparse
import json
import warnings
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

import numpy as np
import optuna
from jaxtyping import Float
from numpy import ndarray
from optuna.exceptions import ExperimentalWarning
from scipy.special import stdtrit

from benchmarks.stopping import DELTA, EPISODES, RACING, RUNGS, SETTINGS, STOPPING, Accuracies, wilcoxon
from pipeline.storage.ledger import Ledger
from sweeps.statistics.estimates import paired_difference
from sweeps.statistics.racing import control_variate
from sweeps.statistics.t_racing import LEAST_SPREAD

AS_GOOD = 0.002  # as the best, for most purposes
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
