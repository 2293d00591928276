"""Means with intervals, and paired differences."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np
from scipy.special import stdtr, stdtrit  # Student's t; scipy.stats takes seconds to import in every trial

NORMAL = 1.959964  # standard deviations of a normal distribution, between which 95 % of it lie
SIGNIFICANCE = 0.05  # a difference is told where p, corrected, is below it
PSEUDO_EPISODES = 4  # of plus or minus one query: the least spread (Agresti and Coull, 1998, add as many)
SKEWNESS_SHARE = 0.5  # of it is corrected for: each interval has its farther end on both sides (benchmarks/README.md)
SKEWED = 0.35  # skewness over the root of the episodes, from which on an interval is called approximate


@dataclass(frozen=True)
class Estimate:
    """An estimate is a mean over `episodes` episodes, and half the width of its 95 % interval. `skewness` is that of
    the values.
    """

    mean: float
    ci95: float
    episodes: int
    skewness: float = 0.0

    def __str__(self) -> str:
        return f"{100 * self.mean:.1f} ± {100 * self.ci95:.1f}"

    @property
    def skewed(self) -> bool:
        """Returns whether a few episodes decide the mean, so that its interval is approximate."""
        return bool(abs(self.skewness) > SKEWED * self.episodes**0.5)


def estimate(values: Sequence[float], step: float = 0.0) -> Estimate:
    """Returns the mean and its 95 % interval, which is infinite for a single value. `step` is what one query more
    changes in a value, 0 for what is not counted in queries.

    The interval is Student's, widened on both sides to the farther end of the one that corrects for half of the
    values' skewness (Hall, Journal of the Royal Statistical Society B 1992). Its spread is never less than if, among
    four episodes more, two had gained a query and two lost one, so that equal values are not certain. Raises ValueError
    for no values.
    """
    if len(values) == 0:
        raise ValueError("episodes must be at least 1 but got 0")
    array = np.asarray(values, float)
    if len(array) == 1:
        return Estimate(float(array[0]), float("inf"), 1)
    spread, skewness = _spread(array, step)
    quantile = stdtrit(len(array) - 1, 0.975) / np.sqrt(len(array))
    half = spread * max(quantile, *(_untransformed(sign * quantile, skewness, len(array)) * sign for sign in (1, -1)))
    return Estimate(float(array.mean()), float(half), len(array), skewness)


def _spread(values: np.ndarray, step: float) -> tuple[float, float]:
    """Returns the standard deviation of values, not below its least, and their skewness."""
    spread = max(float(values.std(ddof=1)), step * (PSEUDO_EPISODES / len(values)) ** 0.5)
    cubed = float(((values - values.mean()) ** 3).mean())
    return spread, cubed / spread**3 if spread > 0 else 0.0


def _transformed(t: float, skewness: float, count: int) -> float:
    """Returns Hall's transformation of a mean in standard deviations, which takes out some of the skewness."""
    taken = SKEWNESS_SHARE * skewness
    return t + taken * t**2 / 3 + taken**2 * t**3 / 27 + taken / (6 * count)


def _untransformed(quantile: float, skewness: float, count: int) -> float:
    """Returns the mean, in standard deviations, that `_transformed` makes a quantile of."""
    taken = SKEWNESS_SHARE * skewness
    shifted = quantile - taken / (6 * count)
    if abs(taken) < 1e-6:
        return shifted
    return float(3 / taken * (np.cbrt(1 + taken * shifted) - 1))


def p_text(p: float) -> str:
    """Returns a p-value with its sign, to follow the letter p."""
    return "< 0.0001" if p < 1e-4 else f"= {p:.2g}"


def numbers(judged: Estimate | None) -> tuple[float | None, float | None]:
    """Returns mean and half interval, for JSON, None where there is none (the mean of one episode has no interval)."""
    if judged is None:
        return None, None
    return judged.mean, judged.ci95 if isfinite(judged.ci95) else None


def paired_difference(ours: Sequence[float], theirs: Sequence[float], step: float = 0.0) -> Estimate:
    """Returns the mean of the differences on the same episodes, in the same order. Raises ValueError for unequal
    lengths.
    """
    if len(ours) != len(theirs):
        raise ValueError(f"paired episodes must be as many on both sides but are {len(ours)} and {len(theirs)}")
    return estimate(np.asarray(ours, float) - np.asarray(theirs, float), step)


def paired_p_value(ours: Sequence[float], theirs: Sequence[float], step: float = 0.0) -> float:
    """Returns the two-sided p of no difference, below 0.05 where the interval of `paired_difference` leaves out 0: the
    paired t test (Student, Biometrika 1908), or that of the transformed mean where it is less sure. It is 1 where all
    differences are 0.

    Raises ValueError for unequal lengths and for fewer than two pairs.
    """
    if len(ours) != len(theirs) or len(ours) < 2:
        raise ValueError(
            f"paired episodes must be as many on both sides and at least 2 but are {len(ours)} and {len(theirs)}"
        )
    differences = np.asarray(ours, float) - np.asarray(theirs, float)
    if not differences.any():
        return 1.0
    spread, skewness = _spread(differences, step)
    if spread == 0:
        return 0.0
    t = abs(float(differences.mean())) / spread
    ends = [sign * _transformed(sign * t, skewness, len(differences)) for sign in (1, -1)]
    return float(2 * stdtr(len(differences) - 1, -max(0.0, min(t, *ends)) * np.sqrt(len(differences))))


def holm(p_values: Sequence[float]) -> list[float]:
    """Returns p-values adjusted for how many they are, in the order given (Holm, Scandinavian Journal of Statistics
    1979).

    Those at most q are rejected; the chance that any of them is a true hypothesis is then at most q, however they
    depend on each other. Raises ValueError for what is not between 0 and 1.
    """
    for p in p_values:
        if not 0 <= p <= 1:
            raise ValueError(f"p-values must be between 0 and 1 but got {p:g}")
    adjusted, least = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda place: p_values[place])):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = float(least)
    return adjusted
