"""The promises of a sweep's report, held against simulations of which the truth is known, where differences are skewed,
come in steps, or belong to few classes.

`python -m benchmarks.promises [--sweeps 400] [--out FILE]` prints Markdown tables: how often the truly best setting is
dropped by each race; how often final intervals cover the truth, for a fixed number of episodes and for a precision; how
often prompts "help" in a sample of classes where in the population of classes they do not.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.special import stdtrit

from sweeps.schema.sweep import Final
from sweeps.statistics.betting import log_capital
from sweeps.statistics.classes import class_p_value
from sweeps.statistics.estimates import estimate, paired_p_value
from sweeps.statistics.t_racing import LEAST_SPREAD
from sweeps.verdict.extent import episodes_for

RUNGS = (16, 24, 32, 48, 64, 100)
DELTA = 0.05
Draw = Callable[[np.random.Generator, tuple[int, ...]], Float[ndarray, "..."]]


@dataclass(frozen=True)
class Kind:
    """A kind of differences of a rival to the best. `own` is drawn for each rival, `shared` once for all of them;
    together their mean is `mean`, 0 or below. `step` is what a query is worth.
    """

    own: Draw
    shared: Draw = lambda rng, size: np.zeros(size)
    mean: float = 0.0
    step: float = 0.01

    def ahead(self, rng: np.random.Generator, rivals: int, episodes: int) -> Float[ndarray, "rivals episodes"]:
        return self.own(rng, (rivals, episodes)) + self.shared(rng, (episodes,))


def rarely(share: float, far: float, noise: float = 0.01, mean: float = 0.0) -> Draw:
    """Draws `far` in a share of episodes, and otherwise what makes the mean."""
    rest = (mean - share * far) / (1 - share)

    def draw(rng: np.random.Generator, size: tuple[int, ...]) -> Float[ndarray, "..."]:
        return np.where(rng.random(size) < share, far, rest) + rng.normal(0, noise, size)

    return draw


def steps(values: tuple[float, ...], shares: tuple[float, ...]) -> Draw:
    return lambda rng, size: rng.choice(values, size, p=shares)


KINDS = {
    "normal, 4 points": Kind(lambda rng, size: rng.normal(0, 0.04, size)),
    "bimodal, +-5 points": Kind(lambda rng, size: rng.choice([-0.05, 0.05], size) + rng.normal(0, 0.01, size)),
    "t, 2 degrees of freedom": Kind(lambda rng, size: np.clip(0.02 * rng.standard_t(2, size), -0.5, 0.5)),
    "symmetric steps of 1/15": Kind(steps((-1 / 15, 0, 1 / 15), (0.2, 0.6, 0.2)), step=1 / 15),
    "exponential": Kind(lambda rng, size: np.minimum(rng.exponential(0.03, size), 0.5) - 0.03),
    "lognormal": Kind(lambda rng, size: np.minimum(0.02 * np.exp(rng.normal(0, 1, size)), 0.5) - 0.02 * np.exp(0.5)),
    "a query of 25 in 40 %, the best five in 8 %": Kind(
        steps((0.0, 0.04), (0.6, 0.4)), lambda rng, size: -0.2 * (rng.random(size) < 0.08), step=1 / 25
    ),
    "rivals lose 40 points in 3 %, shared": Kind(lambda rng, size: rng.normal(0, 0.01, size), rarely(0.03, -0.4, 0.0)),
    "the same, the best 0.5 ahead, each its own": Kind(rarely(0.03, -0.4, 0.003, -0.005), mean=-0.005),
    "the best gains 50 points in 2 %": Kind(lambda rng, size: rng.normal(0, 0.01, size), rarely(0.02, -0.5, 0.0)),
    "sparse steps of 1/15, +0.2": Kind(steps((0.0, -1 / 15), (0.97, 0.03)), mean=-0.002, step=1 / 15),
}


def dropped(kind: Kind, trials: int, sweeps: int, seed: int) -> tuple[float, float]:
    """Returns how often the best, all of whose rivals are of a kind and stay to the end (the worst case), is dropped by
    the race of bets and by that of t tests, in one generation of all trials.
    """
    lost, level = np.zeros(2), DELTA / ((trials - 1) * (len(RUNGS) - 1))
    for sweep in range(sweeps):
        ahead = kind.ahead(np.random.default_rng((seed, sweep)), trials - 1, RUNGS[-1])
        by_bets = by_t = False
        for end in RUNGS[:-1]:
            seen = ahead[:, :end]
            by_bets |= bool(np.exp(log_capital(seen)).sum() >= (trials - 1) / DELTA)
            spread = seen.std(axis=1, ddof=1)
            bar = -stdtrit(end - 1, level) / np.sqrt(end)
            by_t |= bool(np.any((spread > LEAST_SPREAD) & (seen.mean(axis=1) > bar * spread)))
        lost += [by_bets, by_t]
    return float(lost[0] / sweeps), float(lost[1] / sweeps)


def covered(kind: Kind, episodes: int, sweeps: int, seed: int) -> tuple[float, float]:
    """Returns how often an interval covers the truth, as reported and as Student's alone."""
    rng, ours, students = np.random.default_rng((seed, episodes)), 0, 0
    for _ in range(sweeps):
        values = kind.ahead(rng, 1, episodes)[0]
        judged = estimate(values, kind.step)
        ours += abs(judged.mean - kind.mean) <= judged.ci95
        students += abs(judged.mean - kind.mean) <= 1.96 * values.std(ddof=1) / np.sqrt(episodes)
    return ours / sweeps, students / sweeps


def covered_at_a_precision(kind: Kind, sweeps: int, seed: int) -> tuple[float, float, float]:
    """Returns how often the interval covers, how often it is as narrow as was asked for, and the mean number of
    episodes, where as many are asked for as would take some 790.
    """
    rng = np.random.default_rng((seed, 7))
    spread = kind.ahead(rng, 1, 200_000).std()
    final = Final(episodes=300, precision=100 * 1.96 * spread / np.sqrt(790), most=4000)
    covers, narrow, numbers = 0, 0, list[int]()
    for _ in range(sweeps):
        count = episodes_for(estimate(kind.ahead(rng, 1, RUNGS[-1])[0], kind.step), final)
        judged = estimate(kind.ahead(rng, 1, count)[0], kind.step)
        covers += abs(judged.mean - kind.mean) <= judged.ci95
        assert final.precision is not None
        narrow += 100 * judged.ci95 <= final.precision
        numbers.append(count)
    return covers / sweeps, narrow / sweeps, float(np.mean(numbers))


def told_of_classes(classes: int, effect: float, episodes: int, sweeps: int, seed: int) -> tuple[float, float]:
    """Returns how often p is below 0.05, over episodes and over classes, where a class gains or loses `effect` (a
    standard deviation) and the population of classes nothing.
    """
    rng, way, query = np.random.default_rng((seed, classes, episodes)), 5 if classes < 20 else 20, 5
    told = np.zeros(2)
    for _ in range(sweeps):
        gains = rng.normal(0, effect, classes)
        drawn = np.array([rng.choice(classes, way, replace=False) for _ in range(episodes)])
        easy = 0.6 + rng.normal(0, 0.1, (episodes, way))
        ours, theirs = (
            rng.binomial(query, np.clip(easy + share * gains[drawn], 0, 1)) / query for share in (0.5, -0.5)
        )
        p = paired_p_value(ours.mean(axis=1), theirs.mean(axis=1), 1 / way / query)
        told += [p < 0.05, class_p_value(ours - theirs, drawn, p) < 0.05]
    return float(told[0] / sweeps), float(told[1] / sweeps)


def tables(sweeps: int, seed: int) -> list[str]:
    """Returns the Markdown tables."""
    lines = ["| the best is dropped (bets / t tests), % | 8 trials | 32 | 256 |", "|---|---|---|---|"]
    for name, kind in KINDS.items():
        shares = [dropped(kind, trials, sweeps, seed) for trials in (8, 32, 256)]
        lines.append(f"| {name} | " + " | ".join(f"{100 * bets:.1f} / {100 * t:.1f}" for bets, t in shares) + " |")
        print(lines[-1], flush=True)
    lines += [
        "",
        "| the interval covers (as reported / Student's), % | 300 episodes | 600 | for a precision: covers; is as "
        "narrow; mean episodes |",
        "|---|---|---|---|",
    ]
    for name, kind in KINDS.items():
        fixed = [covered(kind, episodes, 10 * sweeps, seed) for episodes in (300, 600)]
        covers, narrow, count = covered_at_a_precision(kind, 5 * sweeps, seed)
        told = " | ".join(f"{100 * ours:.1f} / {100 * students:.1f}" for ours, students in fixed)
        lines.append(f"| {name} | {told} | {100 * covers:.1f}; {100 * narrow:.0f}; {count:.0f} |")
        print(lines[-1], flush=True)
    lines += ["", "| p < 0.05 without an effect (over episodes / classes), % | 8 classes | 16 | 40 | 262 |"]
    lines.append("|---|---|---|---|---|")
    for effect in (0.0, 0.02, 0.06):
        for episodes in (300, 600):
            shares = [told_of_classes(classes, effect, episodes, sweeps, seed) for classes in (8, 16, 40, 262)]
            told = " | ".join(f"{100 * one:.1f} / {100 * other:.1f}" for one, other in shares)
            lines.append(f"| class effects of {100 * effect:g} points, {episodes} episodes | {told} |")
            print(lines[-1], flush=True)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sweeps", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    text = "\n".join(tables(arguments.sweeps, arguments.seed)) + "\n"
    if arguments.out:
        arguments.out.write_text(text)


if __name__ == "__main__":
    main()
